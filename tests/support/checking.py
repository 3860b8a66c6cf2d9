"""What the tests of the compiler share: a case's eager values and gradients, and every way to compute them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinyseq as ts
from support.cells import Case
from tinyseq.compiler.function import CompiledFunction, Entry
from tinyseq.graph import Graph, Leaf
from tinyseq.ops.scan import evaluate
from tinyseq.random import generator

Array = np.ndarray[Any, Any]
SEED = 11
#: Relative to each tensor's norm.
TOLERANCE = 1e-10


def arrays(tree: Any) -> list[Array]:
    """The values of a tree's tensors."""
    return [x.numpy() for _, x in ts.trees.leaves(tree)]


def cotangents(outputs: Sequence[Any]) -> list[Array | None]:
    """What arrives at each output from above: so that every element of each counts, and counts differently."""
    rng = np.random.default_rng(5)
    return [rng.normal(size=y.shape) if y.dtype.kind == "f" else None for y in outputs]


def total(outputs: Any) -> Any:
    """One number that depends on every element of every float output that has a gradient; None without any."""
    parts = [x for _, x in ts.trees.leaves(outputs)]
    terms = [
        (y * ts.tensor(c)).sum()
        for y, c in zip(parts, cotangents(parts), strict=True)
        if c is not None and y.requires_grad
    ]
    loss = None
    for term in terms:
        loss = term if loss is None else loss + term
    return loss


def take_gradients(tensors: Sequence[ts.Tensor]) -> list[Array]:
    """The gradients that have been added up, zeros where there is none; they start anew afterwards."""
    found = [np.zeros(x.shape) if x.grad is None else x.grad.numpy().copy() for x in tensors]
    for x in tensors:
        x.grad = None
    return found


def run(fn: Callable[..., Any], case: Case, seed: int = SEED) -> tuple[list[Array], list[Array]]:
    """Values and gradients of ``fn`` (the case's own, or what it compiled to)."""
    ts.seed(seed)
    outputs = fn(*case.args)
    values = [x.copy() for x in arrays(outputs)]
    loss = total(outputs)
    if loss is not None:
        loss.backward()
    return values, take_gradients(case.tensors())


def compiled(case: Case, pipeline: Any = None) -> CompiledFunction:
    """The case compiled, with a check of every shape and dtype after each pass; ``pipeline`` as of ``ts.compile``."""
    fast = ts.compile(case.fn, verify=True, pipeline=pipeline)
    ts.seed(SEED)
    fast(*case.args)
    return fast


def entry_of(fast: CompiledFunction) -> Entry:
    assert fast.last is not None
    return fast.last


def leaf_values(entry: Entry, case: Case) -> dict[Any, Array]:
    """The arrays of a graph's inputs: arguments, weights, the generator's count, and what arrives from above."""
    given = [x for _, x in ts.trees.leaves(case.args) if isinstance(x, ts.Tensor)]
    values: dict[Any, Array] = {leaf: x.value for x, leaf in entry.traced.captured.items()}
    values |= {leaf: x.value for leaf, x in zip(entry.traced.arguments, given, strict=True)}
    ts.seed(SEED)
    values |= {leaf: np.asarray(read()) for leaf, read in entry.traced.tracing.live.items()}
    above = cotangents(entry.traced.graph.outputs)
    values |= {leaf: g for leaf, g in zip(entry.compiled.seeds, above, strict=True) if leaf is not None}
    return values


def gradients_by_tensor(entry: Entry, case: Case, found: Sequence[Array]) -> list[Array]:
    """Gradients in the order of the case's tensors, zeros for those that the graph has none for."""
    given = [x for _, x in ts.trees.leaves(case.args) if isinstance(x, ts.Tensor)]
    of: dict[int, Leaf] = {id(x): leaf for x, leaf in entry.traced.captured.items()}
    of |= {id(x): leaf for leaf, x in zip(entry.traced.arguments, given, strict=True)}
    reached = dict(zip(entry.compiled.reached, found, strict=True))
    return [reached.get(of.get(id(x)), np.zeros(x.shape)) for x in case.tensors()]  # type: ignore[arg-type]


def interpret(graph: Graph, values: dict[Any, Array]) -> list[Array]:
    """The outputs of a graph by the plain interpreter: each op's own kernel."""
    local = dict(values)
    with np.errstate(all="ignore"):
        evaluate(graph.nodes, local, np)
    return [local[node] for node in graph.outputs]


def assert_close(got: Sequence[Array], expected: Sequence[Array], what: str) -> None:
    """Equal to 1e-10 of each tensor's norm; integers and booleans exactly."""
    assert len(got) == len(expected), what
    for index, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert a.shape == b.shape, f"{what}: output {index} has shape {a.shape}, not {b.shape}"
        assert a.dtype == b.dtype, f"{what}: output {index} is {a.dtype}, not {b.dtype}"
        if b.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=f"{what}: output {index}")
            continue
        norm = float(np.linalg.norm(b.ravel()))
        error = float(np.linalg.norm((a - b).ravel()))
        assert error <= TOLERANCE * norm + 1e-13, f"{what}: output {index} differs by {error:.1e} of {norm:.1e}"


def assert_equal(got: Sequence[Array], expected: Sequence[Array], what: str) -> None:
    """Equal bit for bit."""
    assert len(got) == len(expected), what
    for index, (a, b) in enumerate(zip(got, expected, strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"{what}: output {index}", strict=True)


def check_stages(case: Case, pipeline: Any = None) -> None:
    """Every stage, by the plain interpreter, gives the eager values and gradients; some are unrolled as well."""
    values, gradients = run(case.fn, case)
    fast = compiled(case, pipeline)
    entry = entry_of(fast)
    leaves = leaf_values(entry, case)
    count = len(values)
    telling = {0, len(fast.passes) - 1} | {i for i, stage in enumerate(fast.passes) if stage.name == "differentiate"}
    derived = False
    for index, stage in enumerate(fast.passes):
        derived = derived or stage.name == "differentiate"
        what = f"after pass {index} ({stage.name})"
        stage.graph.verify()
        graphs = [(what, stage.graph)]
        if index in telling:
            graphs.append((f"{what}, unrolled", stage.graph.unroll().verify()))
        for label, graph in graphs:
            out = interpret(graph, leaves)
            assert_close(out[:count], values, f"{label}: values")
            if derived:
                assert_close(gradients_by_tensor(entry, case, out[count:]), gradients, f"{label}: gradients")
    assert derived or not case.tensors() or not any(np.any(g) for g in gradients)


def check_plan(case: Case, orders: bool = True) -> None:
    """The plan, run twice and then (``orders``) in every order that users run it in, gives the eager results."""
    given = [x.copy() for x in arrays(case.args)]
    values, gradients = run(case.fn, case)
    state = generator.state()
    fast = ts.compile(case.fn)
    first = run(fast, case)
    assert generator.state() == state, "the generator stands elsewhere than after an eager call"
    assert_close(first[0], values, "first run: values")
    assert_close(first[1], gradients, "first run: gradients")
    second = run(fast, case)
    assert_equal(second[0], first[0], "second run: values")
    assert_equal(second[1], first[1], "second run: gradients")
    assert_equal(arrays(case.args), given, "an input was changed")
    if not orders:
        return
    ts.seed(SEED)
    a = fast(*case.args)
    ts.seed(SEED)
    b = fast(*case.args)
    kept = [x.copy() for x in arrays(a)]
    losses = [total(b), total(a)]  # the later call's backward pass first
    for loss in losses:
        if loss is not None:
            loss.backward()
            for executable in entry_of(fast).idle:
                for memory in executable.arrays.values():
                    memory.fill(0)  # what a later call might do
            assert_equal(take_gradients(case.tensors()), first[1], "two forward passes before a backward pass")
    assert_equal(arrays(a), kept, "a result lies in the plan's memory")
    with ts.no_grad():
        ts.seed(SEED)
        quiet = fast(*case.args)
    assert_close(arrays(quiet), values, "without gradients")
    itself = {id(x) for x in case.tensors()}
    assert not any(x.requires_grad for _, x in ts.trees.leaves(quiet) if id(x) not in itself)
    assert_equal(arrays(case.args), given, "an input was changed")
