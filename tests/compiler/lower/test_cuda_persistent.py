"""Loops as one kernel: equal to eager whatever the clusters, rows and order of threads; what is refused, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support import cuda_on_host
from support.cells import NAMES, UNROLLINGS, Case, Sizes, case_of, registered
from support.checking import check_plan
from support.cuda_on_host import lowered_plan, needs_compiler
from tinyseq import nn
from tinyseq.compiler.lower.cupy import persistent
from tinyseq.compiler.lower.cupy.kernels import Kernel
from tinyseq.compiler.lower.cupy.lowering import Lowered


@pytest.fixture(autouse=True)
def _small_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_on_host.Executable, "count", 132)
    share_out(monkeypatch, 2, 2)


def share_out(monkeypatch: pytest.MonkeyPatch, cluster: int, at_once: int, threads: int = 64) -> None:
    """A device that runs ``at_once`` clusters of ``cluster`` blocks, with few threads, for they are slow here."""
    monkeypatch.setattr(persistent, "_AT_ONCE", {cluster: at_once})
    monkeypatch.setattr(persistent, "_HELD", {threads: 4096})


def lowered_of(case: Case) -> Lowered:
    with ts.backend("cuda-on-host"):
        return lowered_plan(ts.compile(case.fn).entry(case.args, {}), 132)


def whole(found: Lowered) -> list[Kernel]:
    return [x.what for x, _ in found.launches() if isinstance(x.what, Kernel) and x.what.prelude]


def barriers(kernel: Kernel) -> int:
    """In one step."""
    return kernel.text.split("for (int turn = 0;")[1].count("ts_cluster_arrive();")


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_gives_the_eager_results(name: str) -> None:
    with ts.backend("cuda-on-host"):
        check_plan(case_of(name), orders=False)


@needs_compiler
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("cluster", "at_once"), [(1, 3), (2, 1), (4, 2), (8, 1)])
@pytest.mark.parametrize("name", ["lstm", "gru", "peephole_lstm", "rnn"])
def test_any_clusters(name: str, cluster: int, at_once: int, backwards: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns and rows that do not go into blocks and clusters; more columns than a thread has at once."""
    share_out(monkeypatch, cluster, at_once)
    monkeypatch.setattr(cuda_on_host.Executable, "backwards", backwards)
    case = registered(name, Sizes(5, 4, 3, 10))
    assert len(whole(lowered_of(case))) == 2
    with ts.backend("cuda-on-host"):
        check_plan(case, orders=False)


@needs_compiler
@pytest.mark.parametrize("options", UNROLLINGS, ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_lengths_windows_and_the_other_way(name: str, options: dict[str, Any]) -> None:
    with ts.backend("cuda-on-host"):
        check_plan(registered(name, **options), orders=True)


@needs_compiler
def test_states_that_need_each_other_wait_twice_a_step() -> None:
    """Three products of the step before and one of this: as few barriers as the data asks for."""

    def step(x: Any, state: Any) -> Any:
        a, b = state
        a = ts.tanh(x + a @ first + b @ back)
        b = ts.tanh(a @ across + b @ second)
        return b, (a, b)

    rng = np.random.default_rng(0)
    weights = [ts.tensor(rng.normal(size=(6, 6)) / 3, requires_grad=True) for _ in range(4)]
    first, back, across, second = weights
    xs, start = ts.tensor(rng.normal(size=(3, 5, 6))), ts.tensor(np.zeros((3, 6)))
    case = Case(lambda xs, s: ts.unroll(step, xs, (s, s))[0].sum(), (xs, start), weights)
    kernels = whole(lowered_of(case))
    assert len(kernels) == 2
    assert barriers(kernels[0]) == 2
    with ts.backend("cuda-on-host"):
        check_plan(case, orders=False)


def test_a_step_of_the_textbook_cell_has_one_barrier() -> None:
    assert [barriers(kernel) for kernel in whole(lowered_of(registered("lstm", Sizes(4, 5, 3, 8))))] == [1, 1]
    assert [barriers(kernel) for kernel in whole(lowered_of(registered("gru", Sizes(4, 5, 3, 8))))] == [2, 2]


@pytest.mark.parametrize("name", NAMES)
def test_nvrtc_compiles_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = cuda_on_host.nvrtc()
    assert library is not None, "pip install nvidia-cuda-nvrtc-cu12"
    found = lowered_of(case_of(name))
    if whole(found):
        cuda_on_host.compile_for(library, found.source, "sm_90")


@pytest.mark.parametrize(("hidden", "batch"), [(512, 4), (128, 4096)])
def test_too_large_a_loop_goes_by_launches(hidden: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with ts.backend("cuda-on-host"):
        cell = nn.LSTMCell(hidden, hidden)
        xs = ts.tensor(np.zeros((batch, 3, hidden), np.float32))
        found = lowered_plan(ts.compile(lambda xs: ts.unroll(cell, xs)[0].sum()).entry((xs,), {}), 132)
    assert not whole(found)
    assert all("do not stay on the chip" in text for text in found.loops)
