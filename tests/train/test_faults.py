"""What befalls runs: they are killed, stopped, out of space, without a terminal. Each is done for real."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import support
import tinyseq as ts
from support.smallruns import CONFIG, rows, weights, write_config
from support.zygote import CLOSED, Zygote
from tinyseq.train import running
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.storage import checkpoint_file
from tinyseq.train.storage.checkpoint_manager import Checkpoints
from tinyseq.train.storage.metrics_log import MetricsLog

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and forks of POSIX")

#: A cell that stops the clock: in its 30th time step it waits until the test has done what it wants to do meanwhile.
WAITER = """
import time
from pathlib import Path
from tinyseq import nn
class Waiter(nn.LSTMCell):
    calls = 0
    def step(self, x, state):
        Waiter.calls += 1
        if Waiter.calls == 30 and not Path("go").exists():
            Path("reached").touch()
            while not Path("go").exists():
                time.sleep(0.01)
        return super().step(x, state)
"""
WAITING = (
    CONFIG.replace("cell: lstm", "cell: waiter.py:Waiter")
    .replace("seed: 3", "seed: 3\ncompile: false")
    .replace("log_every: 3", "log_every: 3\n  checkpoint: {every: 2}")
)
NOBODY = 65534


@pytest.fixture(scope="module")
def zygote():
    one = Zygote()
    yield one
    one.stop()


@pytest.fixture
def folder(tmp_path):
    write_config(tmp_path)
    write_waiting(tmp_path)
    return tmp_path


def write_waiting(folder):
    (folder / "waiter.py").write_text(WAITER)
    write_config(folder, WAITING, name="waiting.yaml")


def result(directory):
    return json.loads((directory / "result.json").read_text())


# Killed.


def killed(mode, count, tmp_path):
    script = Path(support.__file__).with_name("killing.py")
    done = subprocess.run(
        [sys.executable, str(script), mode, str(count), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parents[1]), str(Path(ts.__file__).parents[1])])},
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one for one in told if one["broken"] or one["status"] or not one["same"]] == [], done.stderr
    return told


def test_killed_at_every_call_of_a_save_it_goes_on_as_if_nothing_had_been(tmp_path):
    told = killed("calls", 0, tmp_path)
    kinds = {tuple(one["kill"].split(",")[0].split()) for one in told}
    assert kinds >= {("before", call) for call in ("open", "write", "fsync", "replace", "unlink")} | {("in", "write")}
    # Where a kill left a checkpoint the run goes on from it, and nowhere else. (Which call is the n-th may shift by
    # one, for the run's own thread calls in between; so what was left is looked at, not the call's number.)
    assert [one for one in told if bool(one["after"]) != one["had"]] == []
    assert {one["had"] for one in told} == {False, True}


def test_the_power_goes_and_the_disk_forgets_what_was_not_flushed(tmp_path):
    """At calls by chance, from the making of the run directory on; lost is all of that, or some of it."""
    told = killed("power", 12, tmp_path)
    assert len(told) == 24
    assert [one for one in told if one["due"] and not one["had"]] == [], "a folder that was not flushed"
    assert [one for one in told if bool(one["after"]) != one["had"]] == []
    assert {one["had"] for one in told} == {False, True}


@pytest.mark.slow
def test_the_power_goes_at_every_call(tmp_path):
    assert len(killed("power", 1000, tmp_path)) > 100


def test_killed_at_random_moments(tmp_path):
    told = killed("moments", 12, tmp_path)
    assert len(told) == 12
    assert any(one["after"] for one in told), "all died before their first checkpoint, which shows nothing"


@pytest.mark.slow
def test_killed_at_many_random_moments(tmp_path):
    assert len(killed("moments", 200, tmp_path)) == 200


# Asked to stop.


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, zygote):
    folder = tmp_path_factory.mktemp("undisturbed")
    write_waiting(folder)
    (folder / "go").touch()
    assert zygote.run(folder, "run", "waiting.yaml").wait() == 0
    return folder / "runs" / "waiting" / "0001"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_asked_once_the_step_is_finished_and_saved(folder, zygote, undisturbed, number, code):
    directory = folder / "runs" / "waiting" / "0001"
    child = zygote.start(folder, "run", "waiting.yaml")
    child.until((folder / "reached").exists, "the middle of a step")
    child.signal(number)
    child.until(lambda: "finishing this step" in child.err, "an answer")
    (folder / "go").touch()
    assert child.wait() == code, child.err
    assert f"{number.name}: finishing this step and saving" in child.err
    assert "Traceback" not in child.err
    stopped = result(directory)
    assert stopped["status"] == "interrupted"
    assert 0 < stopped["steps"] < 12
    assert Checkpoints(directory / "checkpoints").steps()[-1] == stopped["steps"]
    assert (directory / "weights.safetensors").is_file()
    again = zygote.run(folder, "run", "waiting.yaml", "--resume")
    assert again.wait() == 0, again.err
    assert f"after step {stopped['steps']}" in again.err
    assert weights(directory) == weights(undisturbed)
    assert rows(directory) == rows(undisturbed)


SLEEPER = """
import time
from tinyseq import nn
class Sleeper(nn.RNNCell):
    calls = 0
    def step(self, x, h):
        Sleeper.calls += 1
        if Sleeper.calls > 8:  # the first step of 8 is over
            time.sleep(600)
        return super().step(x, h)
"""


def test_asked_twice_it_stops_at_once_and_the_last_checkpoint_is_whole(folder, zygote):
    (folder / "sleeper.py").write_text(SLEEPER)
    text = CONFIG.replace("cell: lstm", "cell: sleeper.py:Sleeper").replace("log_every: 3", "checkpoint: {every: 1}")
    write_config(folder, text.replace("seed: 3", "seed: 3\ncompile: false"), name="sleepy.yaml")
    place = Checkpoints(folder / "runs" / "sleepy" / "0001" / "checkpoints")
    child = zygote.start(folder, "run", "sleepy.yaml")
    child.until(lambda: place.steps() == [1], "the first checkpoint")
    child.signal(signal.SIGINT)
    child.until(lambda: "finishing this step" in child.err, "the answer to Ctrl-C")
    child.signal(signal.SIGINT)
    assert child.wait() == 130
    assert "Traceback" not in child.err
    assert place.read(1).step == 1
    assert not (place.folder.parent / "result.json").exists(), "nothing more is written"


def test_signals_are_as_they_were_after_a_run(folder):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    ts.run(folder / "tiny.yaml", output=folder, steps=1, progress=SilentProgress())
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


# Out of space, or not allowed to.


def test_files_may_not_grow_so_large(folder, zygote):
    """RLIMIT_FSIZE, which says EFBIG where a full disk says ENOSPC: the run goes on, its good checkpoint stays."""
    text = CONFIG.replace("hidden_size: 12", "hidden_size: 40").replace("log_every: 3", "checkpoint: {every: 2}")
    write_config(folder, text, name="large.yaml")
    assert zygote.run(folder, "run", "large.yaml", "--steps", "6").wait() == 0
    directory = folder / "runs" / "large" / "0001"
    place = Checkpoints(directory / "checkpoints")
    size = place.path(6).stat().st_size
    assert size > 2 * (directory / "weights.safetensors").stat().st_size
    child = zygote.run(folder, "run", "large.yaml", "--resume", file_size=size // 2)
    assert child.wait() == 0, child.err
    assert child.err.count("checkpoints are not written: File too large") == 1
    assert "the last good one is of step 6; training goes on" in child.err
    assert result(directory)["steps"] == 12
    assert place.steps()[-1] == 6
    assert place.read(6).step == 6
    assert not list(directory.rglob("*.part"))
    assert zygote.run(folder, "run", "large.yaml", "--resume").wait() == 0, "and when there is room again it goes on"
    assert place.steps()[-1] == 12


def test_results_that_cannot_be_written_are_a_clear_error(folder, zygote):
    child = zygote.run(folder, "run", "tiny.yaml", file_size=3000)
    assert child.wait() == 1
    assert re.search(r"^error: File too large: .*weights\.safetensors$", child.err, re.MULTILINE), child.err
    assert "Traceback" not in child.err
    assert not (folder / "runs" / "tiny" / "0001" / "weights.safetensors").exists()


def test_metrics_that_cannot_be_written_wait_until_they_can(tmp_path, monkeypatch):
    told = []
    log = MetricsLog(tmp_path / "metrics.jsonl", told.append)
    log.add({"step": 1})
    real = os.write

    def full(handle, content):
        real(handle, bytes(content[:3]))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    log.add({"step": 2})
    log.add({"step": 3})
    assert log.path.read_text() == '{"step": 1}\n', "half a line is no line"
    monkeypatch.undo()
    log.add({"step": 4})
    assert [json.loads(line)["step"] for line in log.path.read_text().splitlines()] == [1, 2, 3, 4]
    assert len(told) == 1
    assert "No space left on device" in told[0]
    assert log.end == log.path.stat().st_size
    log.close()


def test_full_disk_in_a_small_file_system(folder, zygote, tmp_path):
    """A tmpfs of its own, where mounting is allowed."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        text = CONFIG.replace("hidden_size: 12", "hidden_size: 64").replace("log_every: 3", "checkpoint: {every: 2}")
        write_config(folder, text, name="large.yaml")
        child = zygote.run(folder, "run", "large.yaml", "--output", str(place))
        directory = place / "large" / "0001"
        assert "No space left on device" in child.err
        assert "Traceback" not in child.err
        assert child.wait() in (0, 1)  # a result may still find room, or not
        assert result(directory)["steps"] == 12 if child.wait() == 0 else "error: No space left" in child.err
        for step in Checkpoints(directory / "checkpoints").steps():
            assert checkpoint_file.read(Checkpoints(directory / "checkpoints").path(step)).step == step
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def open_folder():
    """A folder that any user may enter."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    write_config(place)
    write_waiting(place)
    yield place
    subprocess.run(["chmod", "-R", "u+rwx", str(place)], check=True)
    shutil.rmtree(place)


def unprivileged():
    return {"user": NOBODY} if os.getuid() == 0 else {}  # root ignores permissions


def test_a_folder_that_cannot_be_written_to(open_folder, zygote):
    open_folder.chmod(0o555)
    child = zygote.run(open_folder, "run", "tiny.yaml", **unprivileged())
    assert child.wait() == 2
    assert "the run directory cannot be made" in child.err
    assert "Permission denied" in child.err
    assert "Traceback" not in child.err


def test_a_folder_that_becomes_unwritable_costs_checkpoints_and_results_only(open_folder, zygote):
    open_folder.chmod(0o777)
    child = zygote.start(open_folder, "run", "waiting.yaml", **unprivileged())
    directory = open_folder / "runs" / "waiting" / "0001"
    place = Checkpoints(directory / "checkpoints")
    child.until((open_folder / "reached").exists, "the middle of a step")
    child.until(lambda: bool(place.steps()), "a checkpoint")
    for path in (place.folder, directory):
        path.chmod(0o555)
    (open_folder / "go").touch()
    assert child.wait() == 1
    assert "warning: checkpoints are not written: Permission denied" in child.err
    assert re.search(r"^error: Permission denied: .*weights\.safetensors$", child.err, re.MULTILINE), child.err
    assert rows(directory)[-1]["step"] == 12, "training went on"
    step = place.steps()[-1]
    assert place.read(step).step == step < 12


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the resident set is read from /proc")
def test_a_long_run_has_flat_memory(tmp_path):
    """10,000 steps, each with its row of metrics, 100 checkpoints, 20 looks at the validation part."""
    sizes = []

    class Watching(SilentProgress):
        def evaluated(self, step, metrics, best):
            sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    text = CONFIG.replace("steps: 12", "steps: 10000").replace("evaluate_every: 5", "evaluate_every: 500")
    ts.run(write_config(tmp_path, text.replace("log_every: 3", "log_every: 1")), output=tmp_path, progress=Watching())
    assert len(sizes) == 20
    assert max(sizes[4:]) - sizes[4] < 1 << 20, "a mebibyte in 7,500 steps would be 140 bytes a step"


# No clock, no terminal, nobody who listens.


def test_a_clock_that_goes_backwards(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "draw_run", lambda *args, **kwargs: None)
    path = write_config(tmp_path, CONFIG.replace("log_every: 3", "checkpoint: {every: 2, keep: 9}"))
    whole = ts.run(path, output=tmp_path / "a", progress=SilentProgress()).directory
    clock = iter(range(2_000_000_000, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    part = ts.run(path, output=tmp_path / "b", progress=SilentProgress()).directory
    for step in (10, 12):
        Checkpoints(part / "checkpoints").path(step).unlink()
    for age, file in enumerate(sorted((part / "checkpoints").iterdir(), reverse=True)):
        os.utime(file, (age * 1e6, age * 1e6))  # the last one looks oldest
    ts.run(path, output=tmp_path / "b", resume=True, progress=SilentProgress())
    env = json.loads((part / "env.json").read_text())
    assert env["resumed"][0]["after"] == 8
    assert weights(part) == weights(whole)


def test_nobody_reads_the_output(folder, zygote):
    child = zygote.run(folder, "run", "tiny.yaml", out=CLOSED)
    assert child.wait() == 0, "what a run prints is only shown"
    assert child.err.count("standard output cannot be written to") == 1
    assert "Traceback" not in child.err
    assert "Exception" not in child.err
    assert result(folder / "runs" / "tiny" / "0001")["status"] == "done"


def test_nobody_reads_the_messages(folder, zygote):
    child = zygote.run(folder, "run", "tiny.yaml", err=CLOSED)
    assert child.wait() == 0
    assert result(folder / "runs" / "tiny" / "0001")["status"] == "done"
    assert "all of it" in child.out


def test_without_a_terminal_there_are_plain_lines_on_stderr(folder, zygote):
    child = zygote.run(folder, "run", "tiny.yaml")
    assert child.wait() == 0
    assert "\x1b" not in child.err + child.out
    assert "\r" not in child.err
    assert re.search(r"^step 12/12  loss \d", child.err, re.MULTILINE)
    assert "step " not in child.out.split("steps, ")[0].replace("time step", ""), "results only"


def on_a_terminal(folder, zygote, **env):
    """Return what a terminal gets on stderr."""
    master, slave = pty.openpty()
    try:
        os.set_blocking(master, False)
        env = {"TERM": "xterm-256color", **env}
        child = zygote.start(folder, "run", "tiny.yaml", err=os.ttyname(slave), env=env)
        found, ended = b"", False
        while not ended:
            ended = child.poll() is not None  # asked first, so that what came before its end is read
            with suppress(BlockingIOError):
                found += os.read(master, 1 << 16)
            time.sleep(0.01)
        assert child.wait() == 0
    finally:
        os.close(master)
        os.close(slave)
    return found.decode()


COLOUR = re.compile(r"\x1b\[[0-9;]*[34][0-8](;|m)")


def test_terminals_with_and_without_colour(folder, zygote):
    assert COLOUR.search(on_a_terminal(folder, zygote)), "a live display has colours"
    plain = on_a_terminal(folder, zygote, NO_COLOR="1")
    assert "12" in plain
    assert not COLOUR.search(plain)
    assert "\x1b" not in on_a_terminal(folder, zygote, TERM="dumb")


def test_numbers_of_directories_are_never_used_twice(folder, zygote):
    for _ in range(2):
        assert zygote.run(folder, "run", "tiny.yaml", "--steps", "1").wait() == 0
    runs = folder / "runs" / "tiny"
    assert sorted(p.name for p in runs.iterdir()) == ["0001", "0002"]
    before = {p: p.read_bytes() for p in runs.rglob("*") if p.is_file()}
    assert zygote.run(folder, "run", "tiny.yaml", "--steps", "1").wait() == 0
    assert {p: p.read_bytes() for p in before} == before
    assert np.array_equal(*(load_file(runs / n / "weights.safetensors")["head.b"] for n in ("0001", "0003")))
