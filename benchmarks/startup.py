"""How long it takes to begin: imports, a config with an error in it, and the first step of the default job.

    python benchmarks/startup.py

Each is a process of its own, from its start: the time until it ends, or for the first step until metrics.jsonl has its
first line. The least of several runs, in seconds; processor time beside it, which a busy machine changes less.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "lstm.yaml"
CLI = [sys.executable, "-c", "from tinyseq.cli import main; main()"]
RUNS = 7


def ended(command: list[str]) -> tuple[float, float]:
    """Return wall and processor time of a process until its end."""
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    wall, after = time.perf_counter() - began, os.times()
    return wall, sum(after[2:4]) - sum(before[2:4])


def first_step(folder: Path) -> tuple[float, float]:
    """Return wall and processor time of the default job until its first step is written down."""
    output = Path(tempfile.mkdtemp(dir=folder))
    began, before = time.perf_counter(), os.times()
    command = [*CLI, "run", str(EXAMPLE), "--output", str(output), "--set", "train.log_every=1", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = output / "lstm" / "0001" / "metrics.jsonl"
    while process.poll() is None and not (metrics.is_file() and b"\n" in metrics.read_bytes()):
        time.sleep(0.002)
    wall = time.perf_counter() - began
    process.kill()
    process.wait()
    after = os.times()
    return wall, sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wrong = folder / "wrong.yaml"
        wrong.write_text(EXAMPLE.read_text(encoding="utf-8").replace("hidden_size", "hiden_size"), encoding="utf-8")
        cases = {
            "python -c 'import numpy'": lambda: ended([sys.executable, "-c", "import numpy"]),
            "python -c 'import tinyseq'": lambda: ended([sys.executable, "-c", "import tinyseq"]),
            "tinyseq --help": lambda: ended([*CLI, "--help"]),
            "tinyseq run, a config with an error": lambda: ended([*CLI, "run", str(wrong)]),
            "tinyseq run examples/lstm.yaml, first step": lambda: first_step(folder),
        }
        for label, case in cases.items():
            walls, processor = zip(*(case() for _ in range(RUNS)), strict=True)
            print(f"{label:<45}{min(walls):6.2f} s   {min(processor):6.2f} s of processor time")


if __name__ == "__main__":
    main()
