"""The cost of each stage, counted on the graph: nodes, kernels, matrix products, arithmetic, traffic, storage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq import backends
from tinyseq.compiler.function import CompiledFunction
from tinyseq.compiler.layout import FeaturesFirst, Layout
from tinyseq.compiler.pipeline import Stage
from tinyseq.compiler.planning import make_plan
from tinyseq.errors import GraphError
from tinyseq.graph import Graph, Leaf, Literal, Node
from tinyseq.ops.linalg import einsum, matmul
from tinyseq.ops.scan import evaluate, scan
from tinyseq.ops.shape import Structural, concat, stack
from tinyseq.ops.tuples import pick


@dataclass(frozen=True)
class Cost:
    """The cost of running a graph once.

    ``per_step`` are the kernels in one step of all loops together, ``kernels`` all kernel calls of a run; FLOPs count
    additions and multiplications, bytes what kernels read and write if every operand comes from memory.
    """

    name: str
    nodes: int
    per_step: int
    kernels: int
    gemms: int
    flops: int
    bytes: int
    memory: int | None
    seconds: float


def _kernels(graph: Graph, times: int = 1) -> Iterator[tuple[Node, int, bool]]:
    """Yield every node that computes, how often it runs, and whether it stands in a loop."""
    for node in graph.nodes:
        if node.op is scan:
            for inner, count, _ in _kernels(node.attrs["body"], times * node.attrs["length"]):
                yield inner, count, True
        elif not isinstance(node, Leaf | Literal) and node.op is not pick and not _is_free(node):
            yield node, times, False


def _is_free(node: Node) -> bool:
    """Views cost nothing, and a concatenation's parts are written in place."""
    return isinstance(node.op, Structural) and node.op not in (concat, stack)


def _size(node: Node) -> int:
    if isinstance(node.dtype, tuple):
        return sum(int(math.prod(shape) * dtype.itemsize) for shape, dtype in zip(node.shape, node.dtype, strict=True))
    return int(math.prod(node.shape) * node.dtype.itemsize)


def _count(graph: Graph) -> int:
    return sum(1 + (_count(node.attrs["body"]) if node.op is scan else 0) for node in graph.nodes)


def cost(stage: Stage, layout: Callable[[Graph], Layout] = FeaturesFirst) -> Cost:
    """Count what a stage's graph costs; the memory is that of its plan, in which values lie by ``layout``."""
    kernels = list(_kernels(stage.graph))
    try:
        memory: int | None = make_plan(stage.graph, layout=layout).memory
    except GraphError:
        memory = None
    return Cost(
        stage.name,
        _count(stage.graph),
        sum(1 for _, _, inside in kernels if inside),
        sum(times for _, times, _ in kernels),
        sum(times for node, times, _ in kernels if node.op in (matmul, einsum)),
        sum(times * _flops(node) for node, times, _ in kernels),
        sum(times * (_size(node) + sum(_size(x) for x in node.inputs)) for node, times, _ in kernels),
        memory,
        stage.seconds,
    )


def _flops(node: Node) -> int:
    op: Any = node.op
    return int(op.flops(node.shape, *node.inputs, **node.attrs))


def costs(fast: CompiledFunction[..., Any]) -> list[Cost]:
    """Return the cost after each pass of a compiled function's last compilation."""
    layout = fast.entry_of_last_call().target.layout
    return [cost(stage, layout) for stage in fast.passes]


def verify(fast: CompiledFunction[..., Any]) -> list[tuple[str, float]]:
    """Run every stage, and the plan, on the last call's values; return each one's largest difference from the first.

    Each difference is relative to the largest element of its tensor. Stages are run by the plain interpreter, the plan
    as it always runs. The first stage, the trace, has no gradients; these are compared with those of the first stage
    that has them.
    """
    entry = fast.entry_of_last_call()
    values = dict(entry.last_values)
    on_host = {leaf: _on_host(value) for leaf, value in values.items()}
    rng = np.random.default_rng(0)
    seeds = {
        seed: rng.standard_normal(seed.shape).astype(seed.dtype) for seed in entry.compiled.seeds if seed is not None
    }
    reference: list[Any] = []
    rows = []
    for stage in fast.passes:
        known: dict[Node, Any] = {leaf: value for given in (on_host, seeds) for leaf, value in given.items()}
        evaluate(stage.graph.nodes, known, np)
        results = [known[node] for node in stage.graph.outputs]
        rows.append((stage.name, _difference(results, reference)))
        reference += results[len(reference) :]
    executable = entry.take()
    count = entry.outputs
    results = [_on_host(x) for x in (*executable.forward(values, count), *executable.backward(seeds, count))]
    entry.give(executable)
    return [*rows, ("plan", _difference(results, reference))]


def _on_host(value: Any) -> Any:
    return backends.of(value).to_host(value)


def _difference(results: Sequence[Any], reference: Sequence[Any]) -> float:
    largest = 0.0
    for a, b in zip(results, reference, strict=False):
        scale = float(np.max(np.abs(b), initial=0.0)) or 1.0
        largest = max(largest, float(np.max(np.abs(np.subtract(a, b, dtype=np.float64)), initial=0.0)) / scale)
    return largest
