"""What a change costs: the rows of native.py and compiled.py, before it and with it.

    python benchmarks/before_after.py REV [--rounds 7] [--limit 1.05] [--only lstm] [--seconds 0.3] [--threads 1]

REV is checked out beside this one; two processes, one of each checkout, take turns, seven rounds a row, so that what
slows the machine down for a while meets both, and one waits while the other computes. What is timed comes from each
checkout's own `peers.py`; rows that one of the two does not have are named and left out. Both must compute the same
loss. A row over the limit (time now / time before, of the minima) makes the exit status 1. On a machine with other work
to do, `--threads 1` keeps both from waiting for cores.

Rows: forward and gradients of the textbook layers, training steps with clipping and Adam, cells that no library has,
each on NumPy and native; the first call (trace, passes, plan, and native code that is kept nowhere); `import tinyseq`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

Step = Callable[[], float]
HERE = Path(__file__).resolve().parents[1]
BACKENDS = ("numpy", "llvm")
#: Seconds between turns, in which threads of the one whose turn it was stop spinning.
PAUSE = 0.1
#: What says how many threads there are.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TINYSEQ_NUM_THREADS")
#: What native.py asks for at H=512: else page faults are what is measured.
MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": "500000000",
}


# -- in a process of its own: what is timed ------------------------------------------------------------------------


def on(backend: str, make: Callable[..., Step], *given: Any) -> Step:
    """Return a step that is compiled and run on a backend."""
    import tinyseq as ts

    inner = make(*given)

    def step() -> float:
        with ts.backend(backend):
            return inner()

    return step


def rows() -> dict[str, Callable[[], Step]]:
    """Return, by name, what makes each step, of this process's checkout."""
    import compiled
    import native
    import peers

    found: dict[str, Callable[[], Step]] = {}
    cases = dict.fromkeys([(kind, size) for kind, size, *_ in native.ROWS] + [tuple(case) for case in compiled.CASES])
    for kind, size in cases:
        for backend in BACKENDS:
            for what, make in (("", peers.ours), (", training", peers.our_training)):
                found[f"{backend} {kind} {size}{what}"] = lambda backend=backend, make=make, kind=kind, size=size: on(
                    backend, make, *peers.problem(kind, size)
                )
    *_, inputs, hidden = native.CELL_SIZE
    for name, equations in native.CELLS.items():
        for backend in BACKENDS:
            found[f"{backend} {name} {native.CELL_SIZE}"] = lambda backend=backend, equations=equations: on(
                backend,
                native.our_cell,
                equations,
                native.cell_weights(inputs, hidden),
                *peers.problem("lstm", native.CELL_SIZE)[3:],
            )
    for backend in BACKENDS:
        for steps in (64, 1024):
            size = (4, steps, 64, 128)
            found[f"{backend} lstm {size}, first call"] = lambda backend=backend, size=size: first_call(
                backend, peers.ours, peers.problem("lstm", size)
            )
    found["import tinyseq"] = lambda: importing
    return found


def first_call(backend: str, make: Callable[..., Step], given: Any) -> Step:
    """Return a step that compiles anew each time, and runs once."""
    return lambda: on(backend, make, *given)()


def importing() -> float:
    subprocess.run([sys.executable, "-c", "import tinyseq"], check=True)
    return 0.0


def seconds_of(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def serve(root: Path) -> None:
    """Answer a request a line: the names of rows; a row's first value and about its seconds; those of so many calls."""
    sys.path[0] = str(root / "benchmarks")
    sys.path.insert(0, str(root))
    answers, sys.stdout = sys.stdout, sys.stderr
    import tinyseq

    assert Path(tinyseq.__file__).is_relative_to(root), f"{tinyseq.__file__} is not of {root}"
    makers, step = rows(), importing
    for line in sys.stdin:
        request = json.loads(line)
        if "row" in request:
            step = makers[request["row"]]()
            value = step()
            answer: Any = [value, min(seconds_of(step) for _ in range(2))]
        elif "calls" in request:
            gc.collect()
            answer = [seconds_of(step) for _ in range(request["calls"])]
        else:
            answer = list(makers)
        print(json.dumps(answer), file=answers, flush=True)


# -- both of them --------------------------------------------------------------------------------------------------


class Checkout:
    """A process that times what is in a checkout."""

    def __init__(self, root: Path, threads: int | None) -> None:
        limits = dict.fromkeys(THREADS, str(threads)) if threads else {}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            # What is compiled is kept nowhere, or the first call would find it.
            env={**os.environ, **MEMORY, **limits, "PYTHONPATH": str(root), "TINYSEQ_CACHE": ""},
        )

    def ask(self, **request: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args} ended: see its error above")
        return json.loads(line)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Give a folder with a revision of the repository, and take it away again."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "before").resolve()
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(place), revision], check=True)
        try:
            yield place
        finally:
            subprocess.run([*git, "remove", "--force", str(place)], check=True)


def compare(name: str, both: list[Checkout], rounds: int, seconds: float) -> list[list[float]]:
    """Return the seconds of each call of a row, before and now."""
    prepared = [one.ask(row=name) for one in both]
    (before, taken), (now, _) = prepared
    if abs(before - now) > 1e-3 * abs(before):
        sys.exit(f"{name}: computes {now}, and {before} before")
    calls = max(1, min(1000, round(seconds / taken)))
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for one, found in zip(both, times, strict=True):
            time.sleep(PAUSE)
            found += one.ask(calls=calls)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", metavar="REV")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit", type=float, default=1.05)
    parser.add_argument("--seconds", type=float, default=0.3, help="how long a turn takes, about")
    parser.add_argument("--threads", type=int, help="of BLAS and native code; by default as the environment says")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="rows whose names hold one of these")
    options = parser.parse_args()
    over = []
    with checked_out(options.revision) as place:
        both: list[Checkout] = []
        try:
            both += [Checkout(root, options.threads) for root in (place, HERE)]
            before, now = (one.ask() for one in both)
            names = [name for name in now if name in before and any(text in name for text in options.only)]
            width = max(map(len, names), default=0)
            print(f"{'milliseconds':<{width}}{'before':>10}{'median':>10}{'now':>10}{'median':>10}{'now/before':>12}")
            for name in names:
                old, new = compare(name, both, options.rounds, options.seconds)
                ratio = min(new) / min(old)
                told = min(old), median(old), min(new), median(new)
                shown = "".join(f"{value * 1e3:>10.3f}" for value in told)
                mark = "  over" if ratio > options.limit else ""
                print(f"{name:<{width}}{shown}{ratio:>12.3f}{mark}", flush=True)
                over += [name] if mark else []
        finally:
            for one in both:
                one.end()
    for name in sorted(set(before) ^ set(now)):
        print(f"left out, as only one has it: {name}")
    print(f"{len(over)} of {len(names)} rows over {options.limit}")
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        main()
