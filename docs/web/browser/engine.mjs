// What the pages share: the worker with Python in it, started when it is first needed, and how outputs are shown.

const here = new URL("./", import.meta.url);
let worker = null;
let started = null;
let count = 0;
const waiting = new Map();
const listeners = new Set();

export const settings = fetch(new URL("playground.json", here)).then((answer) => answer.json());

/** Calls back with each stage of the start, a line of text. */
export function onStage(listener) {
  listeners.add(listener);
}

function ask(message) {
  return new Promise((resolve, reject) => {
    const id = ++count;
    waiting.set(id, { resolve, reject });
    worker.postMessage({ ...message, id });
  });
}

function answered({ data }) {
  if (data.kind === "stage") {
    listeners.forEach((listener) => listener(`Loading ${data.stage} ...`));
    return;
  }
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.kind === "done") resolve(data);
  else reject(new Error(data.message));
}

/** Starts Python once; a second call waits for the first. */
export function start() {
  started ??= (async () => {
    if (typeof WebAssembly !== "object") throw new Error("This browser has no WebAssembly; the outputs on this page were made when it was built.");
    const { pyodide, wheels } = await settings;
    worker = new Worker(new URL("worker.mjs", here), { type: "module" });
    worker.onmessage = answered;
    const address = (name) => new URL(name, here).href;
    const { loaded } = await ask({
      kind: "start",
      pyodide: new URL(pyodide, here).href,
      wheels: wheels.map((name) => ({ name: name.split("-")[0], url: address(name) })),
      harness: address("harness.py"),
    });
    listeners.forEach((listener) => listener(`Python is ready (${(loaded / 1e6).toFixed(1)} MB loaded). Nothing is sent anywhere.`));
  })().catch((error) => {
    started = null;
    worker?.terminate();
    throw error;
  });
  return started;
}

/** Ends a cell that takes too long; names are forgotten. */
export function stop() {
  worker?.terminate();
  worker = started = null;
  waiting.forEach(({ reject }) => reject(new Error("Stopped. What the cells have defined is forgotten.")));
  waiting.clear();
}

/** Runs a cell's text and returns its outputs. */
export async function run(source) {
  await start();
  return (await ask({ kind: "run", source })).outputs;
}

function picture(svg) {
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svg);
  image.alt = new DOMParser().parseFromString(svg, "image/svg+xml").querySelector("title")?.textContent || "picture";
  return image;
}

/** One output as an element. */
export function element({ kind, text }) {
  if (kind === "svg") return picture(text);
  const box = document.createElement(kind === "html" ? "div" : "pre");
  box.className = `playground-${kind}`;
  if (kind === "html") box.innerHTML = text;
  else {
    box.textContent = text;
    box.tabIndex = 0;
  }
  return box;
}
