"""Runs that are killed, in forked children: ``python killing.py MODE COUNT FOLDER``; prints a JSON line a kill.

A process of its own, with one thread, because only such a one may fork. ``calls``: SIGKILL before every call that a
save makes to the system, and in the middle of every write. ``moments``: SIGKILL after random times, also of the run
that goes on.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

from safetensors.numpy import load_file

from support.smallruns import CONFIG, rows, weights, write_config
from tinyseq.train import running
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.running import run
from tinyseq.train.storage import checkpoint_file

CALLS = ("open", "write", "fsync", "replace", "unlink", "ftruncate")
TEXT = CONFIG.replace("log_every: 3", "log_every: 2\n  checkpoint: {every: 3, keep: 1}").replace(
    "bptt: {every: 8}", "bptt: {every: 4, back: 6}"
)


class Quiet(SilentProgress):
    """Not even notes."""

    def note(self, message: str) -> None: ...


def train(folder: Path, *, eager: bool, pictures: bool = False) -> None:
    """Go on with the run in a folder, or begin it."""
    if not pictures:  # they take most of the time of so small a run
        running.draw_run = lambda *args, **kwargs: None
    run(folder / "tiny.yaml", output=folder / "runs", resume=True, eager=eager, progress=Quiet())


def in_child(work: Callable[[], None], kill_after: float | None = None) -> int:
    """Do something in a forked child; return its exit status, negative for the signal that killed it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def kill_at(number: int, moment: str) -> list[str]:
    """Let this process die at its n-th call, counted from the first write of a checkpoint; return the calls' names."""
    seen: list[str] = []
    begun = [False]

    def shim(name: str) -> None:
        real = getattr(os, name)

        def call(*args, **kwargs):
            begun[0] = begun[0] or (name == "open" and "step-" in str(args[0]))
            if not begun[0]:
                return real(*args, **kwargs)
            seen.append(name)
            if len(seen) != number:
                return real(*args, **kwargs)
            if moment == "in" and name == "write":
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the signal is on its way

        setattr(os, name, call)

    for name in CALLS:
        shim(name)
    return seen


def whole(folder: Path) -> list[str]:
    """Return the files of a run that are not whole; drafts, whose names begin with a dot, are no files of a run."""
    broken = []
    for path in folder.glob("runs/tiny/*/**/*"):
        if path.name.startswith(".") or not path.is_file() or ".drafts" in path.parts:
            continue
        try:
            if path.parent.name == "checkpoints":
                checkpoint_file.read(path)
            elif path.suffix == ".safetensors":
                load_file(path)
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".jsonl":
                # Rows are appended: one without its end is not written yet, and is cut off on resuming.
                [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        except Exception as error:
            broken.append(f"{path}: {error}")
    return broken


def left(folder: Path) -> tuple[object, ...]:
    """Return what a run came to: how many directories, its weights, its rows; and drafts that were left."""
    directories = sorted((folder / "runs" / "tiny").iterdir())
    drafts = [str(p) for p in directories[-1].glob("**/.*") if p.name != ".lock"]
    return weights(directories[-1]), rows(directories[-1]), drafts


def main(mode: str, count: int, folder: Path) -> None:
    # Killed at a random moment, a longer run is more often hit in its steps and saves than in its beginning.
    text = (
        TEXT
        if mode == "calls"
        else TEXT.replace("steps: 12", "steps: 40").replace("evaluate_every: 5", "evaluate_every: 10")
    )
    kinds = {}
    for eager in (True, False):
        undisturbed = folder / f"undisturbed-{eager}"
        for one in (undisturbed, undisturbed.with_name(f"timed-{eager}")):
            one.mkdir()
            write_config(one, text)
        train(undisturbed, eager=eager)  # in this process, so that children need not import what it imported
        began = time.monotonic()
        train(undisturbed.with_name(f"timed-{eager}"), eager=eager)
        kinds[eager] = left(undisturbed), time.monotonic() - began

    def report(where: Path, what: str, eager: bool, broken: list[str]) -> None:
        had = any(where.glob("runs/tiny/*/checkpoints/step-*.safetensors"))
        status = in_child(lambda: train(where, eager=eager))
        same = status == 0 and left(where) == kinds[eager][0]
        # A run that was killed before its config was there is no run: its number stays empty.
        directory = max((where / "runs" / "tiny").iterdir())
        after = [one["after"] for one in json.loads((directory / "env.json").read_text())["resumed"]]
        told = {"kill": what, "broken": broken, "status": status, "same": same, "had": had, "after": after}
        print(json.dumps(told), flush=True)
        shutil.rmtree(where)

    if mode == "calls":
        names = folder / "names"
        known = folder / "known"
        known.mkdir()
        write_config(known, text)

        def note() -> None:
            seen = kill_at(-1, "before")
            train(known, eager=True)
            names.write_text(json.dumps(seen))

        assert in_child(note) == 0
        calls = json.loads(names.read_text())
        # The first saves until one has removed its forerunner hold every kind of call.
        last = calls.index("unlink") + 1
        for number in range(1, last + 2):
            # After a call is before the next one.
            for moment in ("before", "in") if calls[number - 1] == "write" else ("before",):
                where = folder / f"call-{number}-{moment}"
                where.mkdir()
                write_config(where, text)

                def work(number=number, moment=moment, where=where) -> None:
                    kill_at(number, moment)
                    train(where, eager=True)

                assert in_child(work) == -signal.SIGKILL
                report(where, f"{moment} {calls[number - 1]}, number {number}", True, whole(where))
    else:
        chance = random.Random(count)
        for number in range(count):
            eager = number % 2 == 0
            where = folder / f"moment-{number}"
            where.mkdir()
            write_config(where, text)
            kills, broken = [], []
            for _ in range(chance.randint(1, 2)):
                moment = chance.uniform(0.0, kinds[eager][1])
                status = in_child(lambda where=where, eager=eager: train(where, eager=eager), moment)
                kills.append(f"{moment:.3f} s ({status})")
                broken += whole(where)
            report(where, ", ".join(kills), eager, broken)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
