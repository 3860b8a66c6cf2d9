"""Two runs, or uses of a run, at a time in one process: each is as it is alone.

Where two threads are free to run, a fault shows once in a while. So here they meet at points that force each order that
was ever wrong.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import tinyseq as ts
from support.side_by_side import Turns, side_by_side, wait
from support.smallruns import CONFIG, rows, weights, write_config
from tinyseq import backends, nn
from tinyseq.backends.numpy import NumpyBackend
from tinyseq.modes import is_tracing
from tinyseq.random import generator
from tinyseq.train import registry, running
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.storage.run_directory import RunDirectory

#: The name of a backend that is not the one of predictions.
OTHER = "other"
#: ``meet``: what a thread does at each step of a cell.
at_step = threading.local()


class Meeting(nn.LSTMCell):
    """A cell at whose steps a thread may wait for another."""

    def step(self, x, state):
        getattr(at_step, "meet", lambda: None)()
        return super().step(x, state)


class Other(NumpyBackend):
    name = OTHER


def blas():
    """Return how many threads BLAS uses, as its own library tells."""
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(scope="module", autouse=True)
def _prepared(tmp_path_factory):
    """The cell is known, object code has a folder of its own, and no pictures are drawn: they take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(nn.CELLS, "meeting", Meeting)
        patch.setenv("TINYSEQ_CACHE", str(tmp_path_factory.mktemp("objects")))
        patch.setitem(backends._loaded, OTHER, Other())
        patch.setitem(backends.BACKENDS, OTHER, "")
        patch.setattr(running, "draw_run", lambda *args: None)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_config(tmp_path_factory.mktemp("config"), CONFIG.replace("cell: lstm", "cell: meeting"))


#: How the two runs differ from the config; the first is compiled.
FIRST, SECOND = {"seed": 1}, {"seed": 2, "eager": True}
BACKENDS = [
    "numpy",
    pytest.param("llvm", marks=pytest.mark.skipif(not importlib.util.find_spec("llvmlite"), reason="no llvmlite")),
]


@pytest.fixture(scope="module", params=BACKENDS)
def first(request):
    return {**FIRST, "backend": request.param}


@pytest.fixture(scope="module")
def alone(config, first, tmp_path_factory):
    """What each of the two runs gives alone."""
    folder = tmp_path_factory.mktemp("alone")
    return [given(run(config, folder / name, **how)) for name, how in (("a", first), ("b", SECOND))]


def run(config, folder, **how):
    return ts.run(config, output=folder, progress=SilentProgress(), **how).directory


def given(directory):
    return weights(directory), rows(directory)


@pytest.mark.parametrize("repeated", range(3))
def test_steps_in_turn(config, tmp_path, first, alone, monkeypatch, repeated):
    turns, step = Turns("a", "b"), TrainStep.__call__

    def in_turn(self, *args):
        name = threading.current_thread().turn
        turns.take(name)
        try:
            return step(self, *args)
        finally:
            turns.pass_on()

    def one(name, how):
        threading.current_thread().turn = name
        try:
            return given(run(config, tmp_path / f"beside-{name}", **how))
        finally:
            turns.leave(name)

    monkeypatch.setattr(TrainStep, "__call__", in_turn)
    assert side_by_side(lambda: one("a", first), lambda: one("b", SECOND)) == alone


@pytest.mark.parametrize("repeated", range(3))
def test_one_steps_while_the_other_is_traced(config, tmp_path, first, alone, repeated):
    traced, stepped = threading.Event(), threading.Event()

    def tracing():
        def meet():
            if is_tracing() and not traced.is_set():
                traced.set()
                wait(stepped)

        at_step.meet = meet
        return given(run(config, tmp_path / "beside-a", **first))

    def stepping():
        try:
            wait(traced)
            return given(run(config, tmp_path / "beside-b", **SECOND))
        finally:
            stepped.set()

    assert side_by_side(tracing, stepping) == alone


@pytest.mark.parametrize("repeated", range(3))
def test_one_begins_when_the_other_has_its_model_and_ends_after_it(config, tmp_path, first, alone, repeated):
    built, ended, seen = threading.Event(), threading.Event(), []

    def whole():
        def meet():
            if not built.is_set():
                built.set()
                seen.append(backends.current().name)

        at_step.meet = meet
        try:
            return given(run(config, tmp_path / "beside-a", **first))
        finally:
            ended.set()

    def around():
        wait(built)

        def meet():
            if len(seen) == 1:
                seen.append(backends.current().name)
                wait(ended)

        at_step.meet = meet
        return given(run(config, tmp_path / "beside-b", **SECOND))

    assert side_by_side(whole, around) == alone
    assert seen == [first["backend"], "numpy"]


def test_a_run_leaves_the_callers_random_numbers_as_they_were(config, tmp_path):
    ts.seed(11)
    ts.rand(3)
    before = generator.state()
    run(config, tmp_path / "runs")
    assert generator.state() == before


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    return ts.load(run(config, tmp_path_factory.mktemp("trained")))


def test_predictions_hold_nothing_while_the_caller_has_them(trained):
    first, second = trained.predictions(["x"] * 3), trained.predictions(["x"] * 3)
    with ts.backend(OTHER), threadpool_limits(2, user_api="blas"):
        outside = OTHER, blas()
        for found in (first, second, second, first):  # begun and ended in no order
            next(found)
            assert (backends.current().name, blas()) == outside
        assert [len(list(found)) for found in (first, second)] == [1, 1]
        assert (backends.current().name, blas()) == outside
    assert list(trained.predictions(["x"])) == trained.predict(["x"])


def test_predictions_are_made_on_numpy_with_the_threads_of_the_run(trained, monkeypatch):
    seen, predict = [], type(trained.task).predict

    def looking(self, *args, **kwargs):
        for prediction in predict(self, *args, **kwargs):
            seen.append((backends.current().name, blas()))
            yield prediction

    monkeypatch.setattr(type(trained.task), "predict", looking)
    with ts.backend(OTHER), threadpool_limits(2, user_api="blas"):
        trained.predict(["x"] * 3)
    assert seen == [("numpy", {1} if blas() else set())] * 3


def test_runs_of_one_name_at_once_have_directories_of_their_own(tmp_path, monkeypatch):
    """All have looked which numbers there are before one makes its own."""
    meeting, look = threading.Barrier(4), Path.iterdir

    def looked(self):
        found = list(look(self))
        meeting.wait(60)
        return iter(found)

    monkeypatch.setattr(Path, "iterdir", looked)
    made = side_by_side(*[lambda: RunDirectory.create(tmp_path, "tiny").path.name] * 4)
    assert sorted(made) == ["0001", "0002", "0003", "0004"]


def test_a_users_file_that_two_threads_ask_for_runs_once_and_whole(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import side_by_side_gate as gate\nfrom tinyseq import nn\n"
        "gate.begun.set()\ngate.go.wait(60)\n\n\nclass Mine(nn.RNNCell):\n    pass\n"
    )
    gate = type(threading)("side_by_side_gate")
    gate.begun, gate.go = threading.Event(), threading.Event()

    def second():
        wait(gate.begun)
        asking = threading.Thread(target=lambda: found.append(registry.find_cell(f"{tmp_path / 'slow.py'}:Mine")))
        found = []
        asking.start()
        asking.join(0.2)  # it may only wait: what is defined after this line of the file is not there yet
        gate.go.set()
        asking.join(60)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "side_by_side_gate", gate)
        cell, found = side_by_side(lambda: registry.find_cell(f"{tmp_path / 'slow.py'}:Mine"), second)
    assert found == [cell]
