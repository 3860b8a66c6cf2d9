"""Faults put back one at a time, each in a copy of the package: the machine must find every one of them.

    python tests/support/differential/plant.py [--programs 2000] [--jobs 2] [NAME ...]

A fault counts as found at the first program that fails with it and passes without it. Prints a table; fails where a
fault is not found, or where the line that it changes is no longer there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from support.differential.playing import judge  # noqa: E402
from support.differential.programs import written  # noqa: E402


@dataclass(frozen=True)
class Fault:
    """A line of the package as it was wrong, or as somebody might get it wrong."""

    what: str
    file: str
    right: str
    wrong: str
    backend: str = "numpy"


FUNCTION, TRACE = "compiler/function.py", "compiler/capture.py"
FAULTS = {
    "outputs copied too late": Fault(
        "the copies that outputs need belong to the backward part",
        "compiler/planning.py",
        "        outputs = [self.in_memory(node, values, instructions) for node in graph.outputs[:forward]]\n"
        "        boundary = len(instructions)\n",
        "        boundary = len(instructions)\n"
        "        outputs = [self.in_memory(node, values, instructions) for node in graph.outputs[:forward]]\n",
    ),
    "keywords sorted": Fault(
        "tensors are listed by sorted keyword, inputs made in the order of the call",
        "compiler/arguments.py",
        "scalars, held)) for key, x in kwargs.items()))",
        "scalars, held)) for key, x in sorted(kwargs.items())))",
    ),
    "whole vectors summed": Fault(
        "the last vector of a sum is not masked where its load reads one value",
        "compiler/lower/llvm/kernels/reducing.py",
        "        if count is not None:  # what is beyond the end counts for nothing, whatever was read there\n",
        '        if count is not None and stage.name != "sum":\n',
        "llvm",
    ),
    "draws frozen": Fault(
        "ts.rand draws once, while the function is traced",
        "creation.py",
        "    if mode.tracing is not None and mode.tracing.repeatable:\n        return uniform(",
        "    if False:\n        return uniform(",
    ),
    "no guards": Fault(
        "attributes, closures and replaced weights are not looked at again",
        FUNCTION,
        "        if not self.guards.hold():\n",
        "        if False:\n",
    ),
    "old weights": Fault(
        "a weight that another has taken the place of is read on",
        FUNCTION,
        "        if moved:\n",
        "        if False:\n",
    ),
    "modes not guarded": Fault(
        "train() and eval(), and another seed, go by unnoticed",
        FUNCTION,
        "        self.looked_at, self.effects = tracing.guards, tracing.effects\n",
        "        self.looked_at, self.effects = [], tracing.effects\n",
    ),
    "arguments' gradients lost": Fault(
        "backward() inside leaves gradients to closed-over tensors only",
        FUNCTION,
        "                leaf.grad = new\n",
        "                leaf.grad = new if x in entry.binding.members else x.grad\n",
    ),
    "second derivatives of today": Fault(
        "gradients of gradients are taken at the weights of now, not of the call",
        FUNCTION,
        "Tensor(values[leaf], x.node, x.requires_grad)",
        "Tensor(x.value, x.node, x.requires_grad)",
    ),
    "draws not counted": Fault(
        "a call that draws leaves the generator where it was",
        TRACE,
        "        tracing.effects.append(partial(_advance, draws()))\n",
        "        pass\n",
    ),
    "effects unseen": Fault(
        "what a call changes outside stands still, and nobody says so",
        TRACE,
        "        if repeatable and (changed := list(changes(environment.groups, before))):\n",
        "        if False and (changed := list(changes(environment.groups, before))):\n",
    ),
    "outputs not kept": Fault(
        "the memory of an output may be used again before it is handed out",
        "compiler/planning.py",
        "        kept = [x.buffer for x in outputs]\n",
        "        kept = []\n",
    ),
    "buffers shared": Fault(
        "a call takes the buffers of one whose backward pass is still to come",
        "compiler/arena.py",
        "            if executable.slab is None or self.arena.lease(executable.slab):\n"
        "                try:\n"
        "                    self.remove(executable)\n",
        "            if executable.slab is None or self.arena.lease(executable.slab) or True:\n"
        "                try:\n"
        "                    self.index(executable)\n",
    ),
    "floats frozen": Fault(
        "a float whose value decides something is not looked at again",
        FUNCTION,
        "            if not alike(scalars[index], value):\n",
        "            if False:\n",
    ),
    "checks left out": Fault(
        "the check of a label goes with a loss that is not returned",
        TRACE,
        "    checks = [node for node in tracing.checks if node not in reached]\n",
        "    checks = []\n",
    ),
    "options frozen": Fault(
        "an optimiser's numbers are those of the first step",
        "optim/optimizers.py",
        "live(partial(read, name), dtype)",
        "partial(read, name)()",
    ),
}


#: Programs share one process's generator and op table.
_one_at_a_time = threading.Lock()


@contextmanager
def planted(fault: Fault) -> Iterator[Path]:
    """A copy of the package and the tests' helpers with a fault."""
    with tempfile.TemporaryDirectory(prefix="tinyseq-planted-") as folder:
        shutil.copytree(ROOT / "tinyseq", Path(folder) / "tinyseq", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "tests", Path(folder) / "tests", ignore=shutil.ignore_patterns("__pycache__", "corpus"))
        path = Path(folder) / "tinyseq" / fault.file
        text = path.read_text(encoding="utf-8")
        if text.count(fault.right) != 1:
            raise LookupError(f"{fault.file} has {text.count(fault.right)} times, not once:\n{fault.right}")
        path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        yield Path(folder)


def failing(backend: str, start: int, programs: int) -> Iterator[tuple[int, str]]:
    """Yield the seeds of programs that fail here."""
    for seed in range(start, start + programs):
        program = written(seed)
        verdict = judge(program.text, backend, program.features)
        if verdict.outcome == "fault":
            yield seed, str(verdict.difference).splitlines()[0]


def hunted(name: str, start: int, programs: int) -> tuple[str, int | None, str]:
    """Return at which program a fault is found, and what is seen of it."""
    fault = FAULTS[name]
    with planted(fault) as folder:
        options = [f"--list={fault.backend}", f"--start={start}", f"--programs={programs}"]
        with subprocess.Popen(
            [sys.executable, str(folder / "tests/support/differential/plant.py"), *options],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(folder), "TINYSEQ_CACHE": "", "OPENBLAS_NUM_THREADS": "1"},
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    seed, _, seen = line.strip().partition(" ")
                    with _one_at_a_time:
                        program = written(int(seed))
                        verdict = judge(program.text, fault.backend, program.features)
                    if verdict.outcome != "fault":
                        return name, int(seed) - start + 1, seen
            finally:
                process.kill()
    return name, None, ""


def main(arguments: Any = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which faults; all by default")
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", metavar="BACKEND", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.list:
        for seed, seen in failing(args.list, args.start, args.programs):
            print(seed, seen, flush=True)
        return 0
    names = args.names or list(FAULTS)
    missed = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        for name, at, seen in pool.map(lambda name: hunted(name, args.start, args.programs), names):
            found = f"program {at:5d}" if at else "NOT FOUND"
            missed += at is None
            print(f"{name:28} {FAULTS[name].backend:6} {found:14} {FAULTS[name].what}\n{'':36}{seen[:120]}", flush=True)
    print(f"{len(names) - missed} of {len(names)} found within {args.programs} programs")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
