// The page's Python: one worker, in which Pyodide runs the cells, so that the page never waits for them.
let python = null;

const tell = (stage) => postMessage({ kind: "stage", stage });

async function start({ pyodide, wheels, harness }) {
  tell("Pyodide");
  const { loadPyodide } = await import(new URL("pyodide.mjs", pyodide).href);
  const engine = await loadPyodide({ indexURL: pyodide });
  tell("NumPy");
  await engine.loadPackage("numpy");
  for (const wheel of wheels) {
    tell(wheel.name);
    const answer = await fetch(wheel.url);
    if (!answer.ok) throw new Error(`${wheel.url}: ${answer.status}`);
    await engine.unpackArchive(await answer.arrayBuffer(), "wheel");
  }
  await engine.runPythonAsync(await (await fetch(harness)).text());
  await engine.runPythonAsync("import tinyseq");
  python = engine;
  const loaded = performance.getEntriesByType("resource").reduce((sum, e) => sum + (e.encodedBodySize || 0), 0);
  return { loaded };
}

async function run({ source }) {
  await python.loadPackagesFromImports(source);
  const call = `run_cell(${JSON.stringify(source)})`;
  return { outputs: JSON.parse(await python.runPythonAsync(call)) };
}

onmessage = async ({ data }) => {
  try {
    const answer = data.kind === "start" ? await start(data) : await run(data);
    postMessage({ kind: "done", id: data.id, ...answer });
  } catch (error) {
    postMessage({ kind: "failed", id: data.id, message: String(error.message || error) });
  }
};
