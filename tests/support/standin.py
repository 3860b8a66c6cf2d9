"""A stand-in for Pyodide: the calls that the site's worker makes of it, answered by a native Python of its own.

Pyodide's own NumPy cannot be had from a package registry. What the pages do around it (the start, the wheels that they
unpack, the runner, outputs, checks) is tried with this in a real browser: each page's Python is a process whose path
holds what the page has unpacked and NumPy, and which refuses to import anything else that is installed.
"""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

#: A folder with a Pyodide distribution, to try the pages with that.
PYODIDE = os.environ.get("TINYSEQ_PYODIDE")
SCRIPT = """
export async function loadPyodide({ indexURL }) {
  const id = Math.random().toString(36).slice(2);
  const call = async (kind, body) => {
    const answer = await fetch(new URL(`${kind}/${id}`, indexURL), { method: "POST", body });
    const { value, error } = await answer.json();
    if (error) throw new Error(error);
    return value;
  };
  return {
    loadPackage: (names) => call("package", names),
    loadPackagesFromImports: async () => {},
    unpackArchive: (bytes, format) => call("unpack", bytes),
    runPythonAsync: (source) => call("python", source),
  };
}
"""

#: Reads one JSON line a request, `{"source": ...}`, and answers with the value of the last expression, as Pyodide does.
CHILD = """
import ast, importlib.util, json, os, sys
import numpy
unpacked, real = sys.argv[1], os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
here = {os.path.dirname(os.path.dirname(os.path.abspath(numpy.__file__)))}
class OnlyNumPy:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "numpy" or os.path.exists(os.path.join(unpacked, top)):
            return None
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, OnlyNumPy())
sys.path.insert(0, unpacked)
names = {"__name__": "__main__"}
for line in sys.stdin:
    value = error = None
    try:
        tree = ast.parse(json.loads(line)["source"])
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<page>", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<page>", "eval"), names)
    except BaseException as caught:
        error = f"{type(caught).__name__}: {caught}"
    print(json.dumps({"value": value if isinstance(value, str) else None, "error": error}), file=real, flush=True)
"""


class Python:
    """One page's Python."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.lock = threading.Lock()
        # Not the checkout: what a page has not unpacked is not there.
        command = [sys.executable, "-I", "-c", CHILD, self.folder.name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, source: str) -> dict[str, str | None]:
        assert self.process.stdin
        assert self.process.stdout
        with self.lock:
            self.process.stdin.write(json.dumps({"source": source}) + "\n")
            self.process.stdin.flush()
            return dict(json.loads(self.process.stdout.readline()))

    def unpack(self, wheel: bytes) -> None:
        zipfile.ZipFile(io.BytesIO(wheel)).extractall(self.folder.name)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()


class _Handler(http.server.SimpleHTTPRequestHandler):
    pythons: ClassVar[dict[str, Python]]
    #: What pages have asked for, by path.
    asked: ClassVar[list[str]]

    def log_message(self, *parts: object) -> None:
        """Nothing: a test's output is its own."""

    def translate_path(self, path: str) -> str:
        """A distribution of Pyodide, where one is at hand, is served as a folder of the site."""
        if PYODIDE and path.startswith("/pyodide/"):
            return os.path.join(PYODIDE, os.path.basename(path))
        return super().translate_path(path)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/standin/pyodide.mjs":
            self._answer(SCRIPT.encode(), "text/javascript")
        else:
            super().do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _, _, kind, page = self.path.split("/")
        if page not in self.pythons:
            self.pythons[page] = Python()
        python = self.pythons[page]
        answer: dict[str, str | None] = {"value": None, "error": None}
        if kind == "unpack":
            python.unpack(body)
        elif kind == "python":
            answer = python.run(body.decode())
        self._answer(json.dumps(answer).encode(), "application/json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a built site, the stand-in beside it; give its address, and the list of what is asked for."""
    kinds = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

    class Handler(_Handler):
        pythons: ClassVar[dict[str, Python]] = {}
        asked: ClassVar[list[str]] = []
        extensions_map = kinds

        def __init__(self, *parts: object) -> None:
            super().__init__(*parts, directory=str(folder))  # type: ignore[arg-type]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", Handler.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        for python in Handler.pythons.values():
            python.close()
