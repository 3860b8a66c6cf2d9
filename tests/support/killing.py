"""Runs that are killed, in forked children: ``python killing.py MODE COUNT FOLDER``; prints a JSON line a kill.

A process of its own, with one thread, because only such a one may fork. ``calls``: SIGKILL before every call that a
save makes to the system, and in the middle of every write. ``moments``: SIGKILL after random times, also of the run
that goes on. ``power``: the power goes before a call, from the making of the run directory on, and the disk forgets
what was not flushed: all of it, or a part by chance.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


class Forgetful:
    """A disk that keeps only what was flushed: contents by fsync of the file, names by fsync of the folder.

    It watches the calls of ``os`` of this process, one at a time: while one thread loses power, no other goes on.
    ``lose`` undoes, last first, what no flush came after; with ``chance``, only some of it, as a disk may have written
    the rest in any order.
    """

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.names: dict[int, str] = {}
        #: File -> its content when it was last flushed.
        self.flushed: dict[int, bytes] = {}
        #: Folder, and how to undo what was done to a name in it.
        self.entries: list[tuple[str, Callable[[], None]]] = []
        self.real = {name: getattr(os, name) for name in (*CALLS, "mkdir", "rename")}
        self.seen: list[str] = []
        self.die_at = -1
        self.chance: random.Random | None = None
        self.lock, self.lost = threading.RLock(), False
        for name, real in self.real.items():
            setattr(os, name, self.watched(getattr(self, name), real))

    def watched(self, method: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            with self.lock:
                return (real if self.lost else method)(*args, **more)

        return call

    def mine(self, path: object) -> bool:
        return isinstance(path, str | Path) and os.path.abspath(path).startswith(self.root)

    def call(self, name: str, path: object) -> None:
        if self.mine(path):
            self.seen.append(f"{name} {Path(str(path)).name}")
            if len(self.seen) == self.die_at:
                self.lose()
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)

    def entry(self, path: object, undo: Callable[[], None]) -> None:
        self.entries.append((os.path.dirname(os.path.abspath(str(path))), undo))

    def open(self, path, flags, mode=0o777, **more):
        self.call("open", path)
        there = os.path.lexists(path)
        handle = self.real["open"](path, flags, mode, **more)
        if self.mine(path):
            self.names[handle] = os.path.abspath(path)
            if flags & os.O_CREAT and not there:
                self.entry(path, lambda: os.path.lexists(path) and self.real["unlink"](path))
                self.flushed[os.fstat(handle).st_ino] = b""
            elif flags & (os.O_WRONLY | os.O_RDWR):
                self.flushed.setdefault(os.fstat(handle).st_ino, Path(path).read_bytes())
        return handle

    def write(self, handle, content):
        self.call("write", self.names.get(handle))
        return self.real["write"](handle, content)

    def ftruncate(self, handle, size):
        self.call("ftruncate", self.names.get(handle))
        return self.real["ftruncate"](handle, size)

    def fsync(self, handle):
        name = self.names.get(handle)
        self.call("fsync", name)
        self.real["fsync"](handle)
        if name is not None and os.path.isdir(name):
            self.entries = [one for one in self.entries if one[0] != name]
        elif name is not None and os.fstat(handle).st_ino in self.flushed:
            self.flushed[os.fstat(handle).st_ino] = Path(f"/proc/self/fd/{handle}").read_bytes()

    def mkdir(self, path, *args, **more):
        self.call("mkdir", path)
        self.real["mkdir"](path, *args, **more)
        if self.mine(path):
            self.entry(path, lambda: shutil.rmtree(path, ignore_errors=True))

    def unlink(self, path, **more):
        self.call("unlink", path)
        content = self.removed(path) if self.mine(path) and os.path.isfile(path) else None
        self.real["unlink"](path, **more)
        if content is not None:
            self.entry(path, lambda: Path(path).write_bytes(content))

    def removed(self, path: str | Path) -> bytes:
        """Return the content of a file that goes, whose number another may get."""
        self.flushed.pop(os.stat(path).st_ino, None)
        return Path(path).read_bytes()

    def replace(self, source, target, **more):
        self.call("replace", target)
        old = self.removed(target) if self.mine(target) and os.path.isfile(target) else None
        self.real["replace"](source, target, **more)
        if self.mine(target):

            def undo() -> None:
                if os.path.lexists(target):
                    self.real["replace"](target, source)
                if old is not None:
                    Path(target).write_bytes(old)

            self.entry(target, undo)

    rename = replace

    def lose(self) -> None:
        """Forget what was not flushed."""
        self.lost = True
        kept = self.chance.random() if self.chance else 0.0
        # Contents first: files that come back get numbers of their own.
        for path in Path(self.root).rglob("*"):
            if path.is_file() and not path.is_symlink() and (old := self.flushed.get(path.stat().st_ino)) is not None:
                now = path.read_bytes()
                if now != old and (not self.chance or self.chance.random() > kept):
                    path.write_bytes(now[: len(old)] if now.startswith(old) else old)
        for _, undo in reversed(self.entries):
            if not self.chance or self.chance.random() > kept:
                undo()


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
        if mode != "moments"
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

    def report(where: Path, what: str, eager: bool, broken: list[str], due: bool = False) -> None:
        had = any(where.glob("runs/tiny/*/checkpoints/step-*.safetensors"))
        status = in_child(lambda: train(where, eager=eager))
        same = status == 0 and left(where) == kinds[eager][0]
        # A run that was killed before its config was there is no run: its number stays empty.
        directory = max((where / "runs" / "tiny").iterdir())
        after = [one["after"] for one in json.loads((directory / "env.json").read_text())["resumed"]]
        told = {"kill": what, "broken": broken, "status": status, "same": same, "had": had, "after": after}
        told["due"] = due  # whether there must be a checkpoint
        print(json.dumps(told), flush=True)
        shutil.rmtree(where)

    if mode == "power":
        names = folder / "names"
        known = folder / "known"
        known.mkdir()
        write_config(known, text)

        def count_calls() -> None:
            disk = Forgetful(known)
            train(known, eager=True)
            names.write_text(json.dumps(disk.seen))

        assert in_child(count_calls) == 0
        calls = json.loads(names.read_text())
        # From here on the first checkpoint, and all folders that it is in, have been flushed.
        durable = calls.index("fsync checkpoints", [call[:12] for call in calls].index("replace step"))
        chance = random.Random(count)
        for number in sorted(chance.sample(range(1, len(calls) + 1), min(count, len(calls)))):
            for lost in ("all", "some"):
                where = folder / f"power-{number}-{lost}"
                where.mkdir()
                write_config(where, text)

                def lose_power(number=number, lost=lost, where=where) -> None:
                    disk = Forgetful(where)
                    disk.die_at, disk.chance = number, random.Random(number) if lost == "some" else None
                    train(where, eager=True)

                assert in_child(lose_power) == -signal.SIGKILL
                what = f"power before {calls[number - 1]}, number {number}, {lost} lost"
                report(where, what, True, whole(where), number > durable + 3)
    elif mode == "calls":
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
