"""The differential machine by hand: many programs over processes, resumable; failures are kept as small scripts.

    python tests/support/differential/run.py --programs 20000 --shards 2 --resume DIR

A process writes down which program it is at, so that one that dies (a fault of native code) is itself a finding, and
the run goes on behind it. Run again with the same folder, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from support.differential.playing import BACKENDS, SCRIPT, Difference, judge, reason  # noqa: E402
from support.differential.programs import Program, written  # noqa: E402
from support.differential.shrinking import shrunk  # noqa: E402

#: Each backend sees every so manieth program: native code takes longer to compile, and C++ longer still.
EVERY = {"numpy": 1, "llvm": 1, "strict": 4, "cuda-on-host": 40}
#: What must not be rare, or faults there would not be seen: at least this part of the programs has it.
COMMON = {
    "outputs that are views or slices": 0.1,
    "keyword arguments": 0.1,
    "replaced weights": 0.1,
    "changed attributes": 0.1,
}
#: A process is replaced after so many programs: what native code takes is not all given back.
FRESH = 400
PATIENCE = 120.0


def backends_of(seed: int, known: Sequence[str] = BACKENDS) -> list[str]:
    """The backends that a program runs on."""
    return [name for name in known if seed % EVERY[name] == 0]


def kind_of(difference: Difference) -> str:
    """What differences are counted by."""
    return "values" if difference.kind == "values" else reason(difference)


def tried(seed: int, backends: Sequence[str]) -> Iterator[tuple[Program, str, Any]]:
    """Yield what came of a program on each backend."""
    program = written(seed)
    for backend in backends_of(seed, backends):
        yield program, backend, judge(program.text, backend, program.features)


def work(args: argparse.Namespace) -> None:
    """Run the programs of a shard, in a process of its own."""
    place = Path(args.resume) / f"shard{args.shard}.json"
    state = json.loads(place.read_text()) if place.exists() else {"next": args.start_seed + args.shard, "counts": {}}
    counts = Counter(state["counts"])
    at = os.open(Path(args.resume) / f"shard{args.shard}.at", os.O_CREAT | os.O_WRONLY)
    last = args.start_seed + args.programs
    until = min(last, state["next"] + FRESH * args.shards)
    seed = state["next"]
    parent = os.getppid()
    while seed < until and os.getppid() == parent:  # who is left alone stops
        os.pwrite(at, f"{seed:12d}".encode(), 0)
        features: set[str] = set()
        kinds: set[str] = set()
        for program, backend, verdict in tried(seed, args.backends):
            features = program.features
            counts[f"{backend}: {verdict.outcome}"] += 1
            if verdict.outcome == "refused":
                counts[f"refused: {reason(verdict.difference)}"] += 1
            if verdict.outcome == "fault":
                kind = kind_of(verdict.difference)
                known = kind in kinds
                kinds.add(kind)
                counts[f"fault: {kind}"] += 1
                if counts[f"fault: {kind}"] <= args.keep and not known:
                    small = shrunk(program.text, backend, features, verdict.difference)
                    save(Path(args.resume), seed, backend, small, verdict.difference)
        counts["programs"] += 1
        counts.update(f"feature: {name}" for name in features)
        seed += args.shards
        if counts["programs"] % 20 == 0:
            place.write_text(json.dumps({"next": seed, "counts": counts}))
    place.write_text(json.dumps({"next": seed, "counts": counts}))


def save(folder: Path, seed: int, backend: str, text: str, difference: Difference) -> None:
    """Keep a failure as a script that shows it."""
    told = "\n".join(f"# {line}" for line in str(difference).splitlines())
    script = SCRIPT.format(text=text, backend=backend)
    (folder / f"fault_{seed}_{backend}.py").write_text(
        f"{told}\n# Seed {seed}; run from the repository's root.\n{script}"
    )


class Shard:
    """A process that works, and is started again where it ends early."""

    def __init__(self, args: argparse.Namespace, number: int) -> None:
        self.args, self.number = args, number
        self.folder = Path(args.resume)
        self.died: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        """Start the process anew."""
        options = [f"--{name.replace('_', '-')}={getattr(self.args, name)}" for name in OPTIONS]
        command = [sys.executable, __file__, *options, f"--backends={','.join(self.args.backends)}"]
        self.process = subprocess.Popen(
            [*command, f"--shard={self.number}"],
            env=os.environ | {"TINYSEQ_CACHE": "", "OPENBLAS_NUM_THREADS": "1"},
            stderr=(self.folder / f"shard{self.number}.log").open("a"),
        )
        self.seen, self.since = -1, time.monotonic()

    def state(self) -> dict[str, Any]:
        place = self.folder / f"shard{self.number}.json"
        return json.loads(place.read_text() or "{}") if place.exists() else {}

    def now(self) -> int:
        place = self.folder / f"shard{self.number}.at"
        return int(place.read_text() or -1) if place.exists() else -1

    def check(self) -> bool:
        """Look after the process; return whether the shard is done."""
        if self.now() != self.seen:
            self.seen, self.since = self.now(), time.monotonic()
        hangs = time.monotonic() - self.since > PATIENCE
        if hangs:
            self.process.kill()
            self.process.wait()
        if self.process.poll() is None:
            return False
        code = self.process.returncode
        if code != 0:
            what = "hangs" if hangs else signal.Signals(-code).name if code < 0 else f"exit {code}"
            self.skip(what)
        if self.state().get("next", 0) >= self.args.start_seed + self.args.programs:
            return True
        self.start()
        return False

    def skip(self, what: str) -> None:
        """Note the program that the process has died of, and go on behind it."""
        seed = self.now()
        save(self.folder, seed, "process", written(seed).text, Difference("the process ends", what, ""))
        state = self.state() or {"counts": {}}
        counts = Counter(state["counts"])
        counts[f"fault: the process ends: {what}"] += 1
        place = self.folder / f"shard{self.number}.json"
        place.write_text(json.dumps({"next": seed + self.args.shards, "counts": counts}))


def merged(folder: Path) -> Counter[str]:
    """The counts of all shards."""
    total: Counter[str] = Counter()
    for path in folder.glob("shard*.json"):
        total.update(json.loads(path.read_text())["counts"])
    return total


def told(counts: Counter[str]) -> str:
    """The counts as a table."""
    programs = counts["programs"]
    rows = [f"{programs} programs"]
    for group in ("feature", "numpy", "llvm", "strict", "cuda-on-host", "refused", "fault"):
        for name, count in sorted(counts.items(), key=lambda item: -item[1]):
            if name.startswith(f"{group}: "):
                part = f"{count / programs:6.1%}" if group == "feature" and programs else ""
                rows.append(f"{count:7d} {part} {name}")
    return "\n".join(rows)


def rare(counts: Counter[str]) -> list[str]:
    """The features that too few programs have."""
    return [name for name, part in COMMON.items() if counts[f"feature: {name}"] < part * counts["programs"]]


OPTIONS = ("programs", "shards", "start_seed", "resume", "keep")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=20000)
    parser.add_argument("--shards", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--start-seed", type=int, default=0)
    parser.add_argument("--resume", default="differential", help="the folder of counts and failures")
    parser.add_argument("--keep", type=int, default=4, help="how many failures of a kind are made small and kept")
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--shard", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.backends = args.backends.split(",")
    Path(args.resume).mkdir(parents=True, exist_ok=True)
    if args.shard is not None:
        work(args)
        return 0
    start = time.monotonic()
    shards = [Shard(args, number) for number in range(args.shards)]
    while shards:
        time.sleep(0.5)
        shards = [shard for shard in shards if not shard.check()]
    counts = merged(Path(args.resume))
    print(told(counts))
    print(f"{time.monotonic() - start:.0f} s")
    if few := rare(counts):
        print("too rare: " + ", ".join(few))
    return 1 if few or any(name.startswith("fault") for name in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
