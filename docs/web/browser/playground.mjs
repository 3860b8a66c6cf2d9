// "Run" and "change" below each code cell of a page. Without this script the page shows what it showed when it was built.

import { element, onStage, run, settings, start, stop } from "./engine.mjs";

const cells = [...document.querySelectorAll("div.cell")].filter((cell) => cell.querySelector("pre"));
const kinds = ["exercise", "answer", "check"];
const kindOf = (cell) => kinds.find((kind) => cell.classList.contains(`tag_${kind}`)) ?? "code";
const state = new Map(cells.map((cell) => [cell, { source: cell.querySelector("pre").textContent, ran: false, editor: null }]));

function button(label, title, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.title = title;
  made.addEventListener("click", act);
  return made;
}

function sourceOf(cell) {
  const { editor, source } = state.get(cell);
  return editor ? editor.value : source;
}

function outputsOf(cell) {
  let box = cell.querySelector(".cell_output");
  if (!box) {
    box = document.createElement("div");
    box.className = "cell_output docutils container";
    cell.append(box);
  }
  box.setAttribute("aria-live", "polite");
  return box;
}

function show(cell, outputs) {
  outputsOf(cell).replaceChildren(...outputs.map(element));
}

async function runOne(cell) {
  cell.classList.add("playground-running");
  try {
    const outputs = await run(sourceOf(cell));
    state.get(cell).ran = !outputs.some(({ kind }) => kind === "error");
    return outputs;
  } finally {
    cell.classList.remove("playground-running");
  }
}

/** The cells before this one that have not run yet, in order: what its names need. */
async function runBefore(cell) {
  for (const before of cells.slice(0, cells.indexOf(cell))) {
    if (kindOf(before) === "code" && !state.get(before).ran) show(before, await runOne(before));
  }
}

async function act(cell, work) {
  try {
    await start();
    await runBefore(cell);
    await work();
  } catch (error) {
    show(cell, [{ kind: "error", text: error.message }]);
  }
}

const runCell = (cell) => act(cell, async () => show(cell, await runOne(cell)));

/** Runs the reader's answer, then the check that the page keeps out of sight. */
const checkCell = (cell) =>
  act(cell, async () => {
    const mine = await runOne(cell);
    const check = cells.slice(cells.indexOf(cell)).find((other) => kindOf(other) === "check");
    const judged = mine.some(({ kind }) => kind === "error") ? [] : await run(state.get(check).source);
    show(cell, [...mine, ...judged]);
  });

function grow(editor) {
  editor.rows = editor.value.split("\n").length + 1;
}

/** Enter keeps the indentation, Shift-Enter runs; Tab moves on, as everywhere on a page. */
function typed(event, cell) {
  const editor = event.target;
  if (event.key !== "Enter") return;
  event.preventDefault();
  if (event.shiftKey || event.ctrlKey || event.metaKey) {
    runCell(cell);
    return;
  }
  const line = editor.value.slice(0, editor.selectionStart).split("\n").pop();
  const indent = line.match(/^ */)[0] + (/:\s*$/.test(line) ? "    " : "");
  editor.setRangeText("\n" + indent, editor.selectionStart, editor.selectionEnd, "end");
  grow(editor);
}

function change(cell) {
  const own = state.get(cell);
  if (own.editor) {
    own.editor.focus();
    return;
  }
  const editor = document.createElement("textarea");
  editor.value = own.source.replace(/\n$/, "");
  editor.spellcheck = false;
  editor.className = "playground-editor";
  editor.setAttribute("aria-label", "Code of this cell; Shift-Enter runs it");
  editor.addEventListener("input", () => grow(editor));
  editor.addEventListener("keydown", (event) => typed(event, cell));
  own.editor = editor;
  grow(editor);
  cell.querySelector(".cell_input").replaceChildren(editor);
  editor.focus();
}

function toolbar(cell) {
  const bar = document.createElement("div");
  bar.className = "playground-bar";
  bar.append(
    button("Run", "Run this cell, after those above that have not run (Shift-Enter)", () => runCell(cell)),
    button("Change", "Edit this cell", () => change(cell)),
  );
  if (kindOf(cell) === "exercise") bar.append(button("Check", "Run this cell, then look whether it is right", () => checkCell(cell)));
  bar.append(button("Stop", "End what runs now; names are forgotten", () => { stop(); state.forEach((own) => { own.ran = false; }); }));
  cell.querySelector(".cell_input").after(bar);
}

async function note() {
  const first = cells.find((cell) => kindOf(cell) === "code");
  if (!first) return;
  const { host, size } = await settings;
  const line = document.createElement("p");
  line.className = "playground-note";
  line.setAttribute("role", "status");
  line.textContent = `This page runs. The first "Run" loads Python for the browser (${size}, from ${host}); after that it works offline, and nothing you type leaves this page.`;
  first.before(line);
  onStage((stage) => { line.textContent = stage; });
}

cells.filter((cell) => kindOf(cell) !== "check").forEach(toolbar);
note();
// A reader's next pages, and this one without a network: what was loaded once is kept.
if ("serviceWorker" in navigator && location.protocol !== "file:") {
  const root = new URL("../", import.meta.url);
  navigator.serviceWorker.register(new URL("sw.js", root), { scope: root.pathname }).catch(() => {});
}
