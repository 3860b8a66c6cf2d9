"""The engine in Pyodide beside the engine here: the same losses, the same picture. It needs node.

    python docs/web/pyodide_check.py FOLDER

FOLDER is a Pyodide distribution with its NumPy wheel. Losses may differ by 1e-6 of their size, for the browser's tanh
and exp are not the C library's; the picture's bytes may not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from browser_wheels import browser_wheels

PROGRAM = """
import json
import tinyseq as ts
from tinyseq import nn, optim

def program():
    ts.seed(1)
    cell, head = nn.GRUCell(3, 8), nn.Linear(8, 2)
    xs, targets = ts.randn(4, 12, 3), ts.zeros(4, 12, dtype=ts.int64)
    picture = ts.draw(ts.trace(lambda xs: ts.unroll(cell, xs)[0], xs[:1, :3])).svg
    opt = optim.Adam([*cell.parameters(), *head.parameters()], lr=0.01)
    step = ts.compile(lambda xs: nn.cross_entropy(head(ts.unroll(cell, xs, truncate=5)[0]), targets, reduction="mean"))
    losses = []
    for _ in range(40):
        opt.zero_grad()
        loss = step(xs)
        loss.backward()
        optim.clip_grad_norm(opt.parameters, 1.0)
        opt.step()
        losses.append(float(loss))
    return json.dumps({"losses": losses, "picture": picture})

program()
"""
NODE = """
import fs from "node:fs";
const [folder, wheels, program] = process.argv.slice(2);
const { loadPyodide } = await import(`${folder}/pyodide.mjs`);
const python = await loadPyodide({ indexURL: folder });
await python.loadPackage("numpy");
for (const name of fs.readdirSync(wheels).filter((name) => name.endsWith(".whl"))) {
  const bytes = fs.readFileSync(`${wheels}/${name}`);
  python.unpackArchive(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), "wheel");
}
const answer = await python.runPythonAsync(fs.readFileSync(program, "utf8"));
fs.writeFileSync(`${wheels}/answer.json`, answer);
"""


def here() -> dict[str, Any]:
    """Run the program in this Python."""
    names: dict[str, Any] = {}
    exec(compile(PROGRAM, "<program>", "exec"), names)
    return dict(json.loads(names["program"]()))


def in_pyodide(folder: Path) -> dict[str, Any]:
    """Run the program in Pyodide, on node."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        browser_wheels(work)
        (work / "program.py").write_text(PROGRAM, encoding="utf-8")
        (work / "run.mjs").write_text(NODE, encoding="utf-8")
        command = ["node", str(work / "run.mjs"), str(folder.resolve()), name, str(work / "program.py")]
        subprocess.run(command, check=True)
        return dict(json.loads((work / "answer.json").read_text(encoding="utf-8")))


def main() -> int:
    """Compare, and say by how much they differ."""
    ours, theirs = here(), in_pyodide(Path(sys.argv[1]))
    pairs = zip(ours["losses"], theirs["losses"], strict=True)
    worst = max(abs(a - b) / abs(a) for a, b in pairs)
    same = ours["picture"] == theirs["picture"]
    print(
        f"40 losses: relative difference at most {worst:.1e}; the picture's bytes: {'equal' if same else 'different'}"
    )
    return 0 if same and worst < 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
