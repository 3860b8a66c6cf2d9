// The lab: an editor beside the picture, the gradients and the equations of what it defines. A link holds the code.

import { element, onStage, run, settings, stop } from "./engine.mjs";

const FIRST = `import tinyseq as ts
from tinyseq import nn

# What the lab shows: \`loss\` (its picture and gradients) and \`cell\` (its equations).


class MyCell(nn.Cell):
    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = nn.parameter(nn.init.glorot(input_size, hidden_size))
        self.U = nn.parameter(nn.init.orthogonal(hidden_size, hidden_size))

    def step(self, x, h):
        h = ts.tanh(x @ self.W + h @ self.U)
        return h, h


ts.seed(0)
cell = MyCell(2, 3)
ys, last = ts.unroll(cell, ts.randn(1, 3, 2))
loss = (ys * ys).sum()
`;
// Run after the reader's code: what there is to show of it. The page is drawn first, for backward() frees what it plays.
const SHOW = {
  picture: `display(ts.draw(loss, level="op"))`,
  player: `display(ts.draw(loss).player())`,
  gradients: `import numpy as _np
loss.backward(retain_graph=True)
for _name, _p in cell.named_parameters():
    print(f"dL/d{_name}, norm {float(ts.norm(_p.grad)):.4g}")
    print(_np.array2string(_p.grad.numpy(), precision=4, suppress_small=True))
    _p.grad = None`,
  equations: `display(cell)`,
};
const NAMES = { picture: "Picture", player: "Player", gradients: "Gradients", equations: "Equations" };

async function packed(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).text();
}

function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const root = document.getElementById("lab");
const editor = make("textarea", { className: "playground-editor lab-editor", spellcheck: false, value: FIRST, rows: 26 });
editor.setAttribute("aria-label", "Code; Shift-Enter runs it");
const status = make("p", { className: "playground-note" });
status.setAttribute("role", "status");
const output = make("div", { className: "lab-output" });
output.setAttribute("aria-live", "polite");
const tabs = make("div", { className: "playground-bar" });
tabs.setAttribute("role", "group");
tabs.setAttribute("aria-label", "What to show");
let shown = "picture";
let defined = false;

function mark() {
  for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.dataset.kind === shown));
}

async function show() {
  mark();
  if (!defined) return;
  const outputs = await run(SHOW[shown]);
  const missing = outputs.find(({ kind, text }) => kind === "error" && /NameError: name '(loss|cell)'/.test(text));
  output.replaceChildren(...(missing ? [element({ kind: "text", text: "Define `loss` for the picture and the gradients, `cell` for the equations." })] : outputs.map(element)));
}

async function runCode() {
  output.replaceChildren(element({ kind: "text", text: "Running ..." }));
  try {
    const outputs = await run(editor.value);
    const wrong = outputs.some(({ kind }) => kind === "error");
    defined = !wrong;
    if (wrong) output.replaceChildren(...outputs.map(element));
    else await show();
    if (!wrong && outputs.length) output.prepend(...outputs.map(element));
  } catch (error) {
    output.replaceChildren(element({ kind: "error", text: error.message }));
  }
}

async function share() {
  const link = `${location.href.split("#")[0]}#code=${await packed(editor.value)}`;
  history.replaceState(null, "", link);
  try {
    await navigator.clipboard.writeText(link);
    status.textContent = "The link is copied: it holds the code itself, and nothing was sent anywhere.";
  } catch {
    status.textContent = "The link is in the address bar: it holds the code itself, and nothing was sent anywhere.";
  }
}

function button(label, act) {
  const made = make("button", { type: "button", textContent: label });
  made.addEventListener("click", act);
  return made;
}

for (const [kind, name] of Object.entries(NAMES)) {
  const tab = button(name, () => { shown = kind; show(); });
  tab.dataset.kind = kind;
  tabs.append(tab);
}
editor.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.shiftKey || event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    runCode();
  }
});
const bar = make("div", { className: "playground-bar" }, button("Run", runCode), button("Share", share), button("Stop", () => { stop(); defined = false; }));
root.append(status, make("div", { className: "lab-panes" }, make("div", {}, editor, bar), make("div", {}, tabs, output)));
mark();
settings.then(({ host, size }) => {
  status.textContent = `The first "Run" loads Python for the browser (${size}, from ${host}); nothing you type leaves this page.`;
});
onStage((stage) => { status.textContent = stage; });
if (location.hash.startsWith("#code=")) {
  unpacked(location.hash.slice(6)).then(
    (text) => { editor.value = text; },
    () => { status.textContent = "The code in this link cannot be read: it is cut off or was changed."; },
  );
}
