"""Real processes that run a command line, cheaply: forked from one process that has imported all of it.

``python -m support.zygote`` reads a JSON object a line and answers with one: it is a process of its own with one
thread, because only such a one may fork. The tests use it through ``Zygote`` and ``Child``.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

#: As an output: a pipe that nobody reads any more.
CLOSED = "closed pipe"


class Child:
    """A process that runs ``tinyseq ...``; its outputs go to files."""

    def __init__(self, zygote: Zygote, pid: int, out: Path, err: Path) -> None:
        self.zygote, self.pid, self._out, self._err = zygote, pid, out, err
        self.status: int | None = None

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return the exit code, negative for the signal that ended it."""
        if self.status is None:
            self.status = self.zygote.ask({"wait": self.pid})["status"]
        return self.status

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.status is None:
            self.status = self.zygote.ask({"poll": self.pid})["status"]
        return self.status

    def until(self, condition: Any, what: str) -> None:
        """Wait for something to become true while the process runs."""
        deadline = time.monotonic() + 120
        while not condition():
            if self.poll() is not None:
                assert condition(), f"it ended with {self.status} before {what}: {self.err}"
                return
            assert time.monotonic() < deadline, f"waited too long for {what}: {self.err}"
            time.sleep(0.01)


class Zygote:
    """The process that others are forked from."""

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "support.zygote"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.started = 0
        self.outputs = Path(tempfile.mkdtemp())

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def start(self, folder: Path, *words: str, **how: Any) -> Child:
        """Start ``tinyseq words`` in a folder.

        Args:
            folder: where.
            words: the arguments.
            how: ``out`` and ``err`` (a path or ``CLOSED``), ``env``, ``file_size`` (the largest file), ``user``.
        """
        self.started += 1
        paths = {}
        for name in ("out", "err"):
            paths[name] = self.outputs / f"{name}-{self.started}"
            paths[name].touch()
        request = {"argv": words, "folder": str(folder), **{name: str(path) for name, path in paths.items()}, **how}
        return Child(self, self.ask(request)["pid"], paths["out"], paths["err"])

    def run(self, folder: Path, *words: str, **how: Any) -> Child:
        child = self.start(folder, *words, **how)
        child.wait()
        return child

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        shutil.rmtree(self.outputs)


def _become(request: dict[str, Any]) -> None:
    """Turn this forked child into the process that was asked for."""
    import resource

    os.chdir(request["folder"])
    os.environ.update(request.get("env", {}))
    for name, number in (("out", 1), ("err", 2)):
        if request[name] == CLOSED:
            reader, writer = os.pipe()
            os.close(reader)
        else:
            writer = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(writer, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if "file_size" in request:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
    if "user" in request:
        os.setgid(request["user"])
        os.setuid(request["user"])


def _serve() -> None:
    from support.smallruns import write_config
    from tinyseq.cli import main

    # A run imports all that a run needs, once and not in each child; another user may not even be allowed to.
    with tempfile.TemporaryDirectory() as folder:
        words = ["run", str(write_config(Path(folder))), "--output", folder]
        for more in (["--quiet"], ["--resume-from", folder]):
            with suppress(SystemExit), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                main([*words, *more])

    for line in sys.stdin:
        request = json.loads(line)
        if "argv" in request:
            pid = os.fork()
            if pid == 0:
                code = 70
                try:
                    _become(request)
                    main(request["argv"], prog_name="tinyseq")
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else 1
                    for stream in (sys.stdout, sys.stderr):
                        with suppress(OSError):
                            stream.flush()
                finally:
                    os._exit(code)
            print(json.dumps({"pid": pid}), flush=True)
        else:
            pid, status = os.waitpid(request.get("wait") or request["poll"], 0 if "wait" in request else os.WNOHANG)
            print(json.dumps({"status": os.waitstatus_to_exitcode(status) if pid else None}), flush=True)


if __name__ == "__main__":
    _serve()
