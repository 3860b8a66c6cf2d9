"""Targets, and pipelines of one's own: what is left out, added, or bisected, and that values stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.cells import F64, Sizes, registered
from support.checking import assert_close, run
from tinyseq import backends
from tinyseq.compiler.function import CompiledFunction
from tinyseq.compiler.layout import FeaturesFirst, Layout
from tinyseq.compiler.lower import arrays
from tinyseq.compiler.pipeline import BLAS, STANDARD, Pipeline
from tinyseq.compiler.planning import make_plan
from tinyseq.compiler.target import TARGETS, Target
from tinyseq.errors import GraphError
from tinyseq.graph import Graph
from tinyseq.ops.base import OPS


def loss(xs: ts.Tensor, w: ts.Tensor, h: ts.Tensor) -> ts.Tensor:
    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = (x @ w + 0.5 * h).tanh()
        return h, h

    return ts.unroll(step, xs, h)[0].sum()


def arguments() -> tuple[ts.Tensor, ...]:
    rng = np.random.default_rng(0)
    return tuple(
        ts.tensor(rng.standard_normal(shape), dtype=ts.float64, requires_grad=True)
        for shape in ((2, 5, 3), (3, 4), (2, 4))
    )


def gradients(fn: Callable[..., ts.Tensor]) -> list[np.ndarray]:
    given = arguments()
    value = fn(*given)
    value.backward()
    return [value.numpy(), *(x.grad.numpy() for x in given)]


def stages(fast: CompiledFunction) -> list[str]:
    return [stage.name for stage in fast.passes]


@pytest.mark.parametrize("name", BLAS.names())
def test_no_pass_is_needed_for_the_values(name: str) -> None:
    """Each makes a plan better; without it there is still a plan, of the same values."""
    fast = ts.compile(loss, verify=True, pipeline=BLAS.without(name))
    for found, expected in zip(gradients(fast), gradients(loss), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert name not in stages(fast)


@pytest.mark.parametrize("name", BLAS.names())
def test_a_cell_without_a_pass(name: str) -> None:
    case = registered("lstm", Sizes(2, 6, 3, 4))
    fast = ts.compile(case.fn, verify=True, pipeline=BLAS.without(name))
    for got, expected in zip(run(fast, case), run(case.fn, case), strict=True):
        assert_close(got, expected, name)


def test_a_pass_of_ones_own_runs_after_each_of_that_name() -> None:
    seen: list[int] = []

    def watch(graph: Graph) -> Graph:
        seen.append(len(graph))
        return graph

    pipeline = BLAS.with_pass(watch, after="prune")
    fast = ts.compile(loss, pipeline=pipeline)
    gradients(fast)
    names = stages(fast)
    places = [i for i, name in enumerate(names) if name == "prune"]
    assert len(places) == len(seen) > 2
    assert [names[i + 1] for i in places] == ["watch"] * len(places)
    assert [name for name in names if name != "watch"] == stages(_compiled(loss))


def _compiled(fn: Callable[..., ts.Tensor], **options: Any) -> CompiledFunction:
    fast = ts.compile(fn, **options)
    gradients(fast)
    return fast


def test_pipelines_are_values() -> None:
    assert BLAS.without("absorb").without("prune") == BLAS.without("prune", "absorb")
    assert "absorb" in BLAS.names()
    assert "absorb" not in STANDARD.names()
    assert replace(BLAS, final=()) == STANDARD
    with pytest.raises(GraphError, match=r"no pass 'absrob'[\s\S]*did you mean 'absorb'"):
        BLAS.without("absrob")
    with pytest.raises(GraphError, match="no pass 'differentiate'"):
        BLAS.with_pass(lambda graph: graph, after="differentiate")


def test_a_function_from_the_targets_own_pipeline_is_taken() -> None:
    given: list[Pipeline] = []

    def without(own: Pipeline) -> Pipeline:
        given.append(own)
        return own.without("merge")

    fast = _compiled(loss, pipeline=without)
    assert given[0] == TARGETS["numpy"].pipeline
    assert "merge" not in stages(fast)
    assert "absorb" in stages(fast)

    @ts.compile(pipeline=Pipeline((), ()))
    def nothing(x: ts.Tensor) -> ts.Tensor:
        return x * 1.0 + 0.0

    nothing(ts.zeros(3))
    assert stages(nothing) == ["trace"]


def test_the_target_decides_pipeline_layout_and_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(arrays.Executable):
        on = "numpy"
        bound = 0

        def __init__(self, plan: Any) -> None:
            super().__init__(plan)
            type(self).bound += 1

    asked: list[Graph] = []

    class Asked(Layout):
        def __init__(self, graph: Graph) -> None:
            super().__init__(graph)
            asked.append(graph)

    mine = Target("mine", STANDARD.without("pack"), Asked, Counting)
    monkeypatch.setitem(TARGETS, "mine", mine)
    monkeypatch.setattr(type(backends.load("numpy")), "target", "mine")
    fast = _compiled(loss)
    assert "pack" not in stages(fast)
    assert "absorb" not in stages(fast)
    assert asked == [fast.graph]
    assert Counting.bound == 1
    for found, expected in zip(gradients(fast), gradients(loss), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_forms_decide_what_is_native() -> None:
    """An op that a target has no form for is left to NumPy, and said to be; its values are the same."""
    pytest.importorskip("llvmlite")
    llvm = TARGETS["llvm"]

    def f(x: ts.Tensor) -> ts.Tensor:
        return (x.exp() + 1.0).sqrt()

    x = ts.tensor(np.linspace(0.0, 1.0, 7), dtype=ts.float64)
    with ts.backend("llvm"):
        fast = ts.compile(f)
        fast(x)
    (leaf,) = fast.plan.inputs
    poorer = replace(llvm, forms={name: form for name, form in llvm.native_forms().items() if name != "exp"})
    for target, left in ((llvm, 0), (poorer, 1), (llvm, 0)):
        executable = target.executable(fast.plan)
        notes = [note for note in executable.notes() if note.startswith("left to NumPy")]
        assert len(notes) == left
        assert all("exp has no native form" in note for note in notes)
        np.testing.assert_allclose(executable.forward({leaf: x.numpy()}, 1)[0], f(x).numpy(), rtol=1e-14)


def test_layouts_are_what_they_say() -> None:
    """Large weights: as BLAS likes it, features come first; as written, rows do."""
    rng = np.random.default_rng(0)
    xs, w, h = (ts.tensor(rng.standard_normal(s), dtype=F64) for s in ((2, 5, 3), (300, 300), (2, 300)))

    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = (h @ w).tanh()
        return h, h

    fast = ts.compile(lambda xs, h: ts.unroll(step, xs, h)[0])
    fast(xs, h)
    orders = [
        {buffer.order for buffer in make_plan(fast.graph, layout=layout).buffers} for layout in (FeaturesFirst, Layout)
    ]
    assert (0, 2, 1) in orders[0]
    assert orders[1] == {()}


@pytest.mark.parametrize("name", ["numpy", "llvm", "cupy"])
def test_every_target_is_complete(name: str) -> None:
    if name == "llvm":
        pytest.importorskip("llvmlite")
    target = TARGETS[name]
    assert target.name == name
    assert set(target.native_forms()) <= set(OPS)
    assert bool(target.native_forms()) == (name != "numpy")
    if name != "numpy":
        assert "absorb" not in target.pipeline.names()
