"""From what a user hands over to the subject of a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyseq import trees
from tinyseq.compiler.capture import trace_function
from tinyseq.compiler.function import CompiledFunction
from tinyseq.compiler.pipeline import Stage
from tinyseq.drawing.shared.rolled import is_rolled
from tinyseq.drawing.shared.subject import Subject
from tinyseq.drawing.source.diff import compare
from tinyseq.drawing.source.gradients import backward_of, of_recorded, of_values
from tinyseq.errors import DataError, did_you_mean
from tinyseq.graph import Graph, Literal, Node
from tinyseq.ops.scan import evaluate
from tinyseq.tensors import Tensor

#: The most numbers of a tensor whose value is shown.
SMALL = 8


@dataclass(frozen=True, slots=True)
class Valued:
    """A traced graph, and the values of its inputs: it has loops, and gradients all the same."""

    graph: Graph
    values: Mapping[Node, Any]


def valued(fn: Callable[..., Any], *args: Any) -> Valued:
    """Trace a function as ``ts.trace`` does, and keep the values of its arguments and of what it closes over."""
    traced = trace_function(fn, args, {})
    tensors = [x for _, x in trees.leaves(args) if isinstance(x, Tensor)]
    values: dict[Node, Any] = {leaf: x.value for x, leaf in traced.captured.items()}
    values |= {leaf: x.value for leaf, x in zip(traced.arguments, tensors, strict=True)}
    values |= {leaf: np.asarray(read()) for leaf, read in traced.tracing.live.items() if leaf in traced.graph.inputs}
    return Valued(traced.graph, values)


def subject_of(
    what: Any, *, gradients: bool = False, backward: bool = False, values: bool = False, after: str | None = None
) -> Subject:
    """Return what a picture of ``what`` is of; the arguments are those of ``draw``.

    Raises:
        DataError: there is nothing to draw, or not this.
    """
    compiled = isinstance(what, CompiledFunction)
    known: Mapping[Node, Any] = what.values if isinstance(what, Valued) else {}
    if after is not None or (compiled and not (gradients or backward or values)):
        if not compiled:
            raise DataError("draw: only a compiled function has passes", got=f"after={after!r}", fix="ts.compile(fn)")
        if gradients or backward or values:
            raise DataError("draw: a compiler pass has no values or gradients", fix="leave out after=")
        return after_pass(what.passes, len(what.passes) - 1 if after is None else number_of_pass(what.passes, after))
    if isinstance(what, Stage):
        return Subject(what.graph, packed=True, rolled=is_rolled(what.graph), title=f"after {what.name}")
    graph = what.entry_of_last_call().traced.graph if compiled else graph_of(what)
    if compiled:
        known = what.entry_of_last_call().last_values
    if (gradients or backward) and any(node.op.name == "compiled" for node in graph.nodes):
        raise DataError(
            "draw: the result of a compiled function is one op, with a backward pass of its own",
            required="the compiled function itself",
            fix="fast = ts.compile(fn); fast(...); ts.draw(fast, gradients=True)",
        )
    if gradients or backward or (known and values):
        graph = graph.unroll() if is_rolled(graph) else graph
    if backward:
        if gradients or values:
            raise DataError("draw: the backward pass is a graph by itself", fix="leave out gradients= and values=")
        passing = backward_of(graph)
        note = "the backward pass; values of the forward pass stand by their names"
        return Subject(passing.graph, labels=passing.labels, sums=passing.sums, notes=(note,))
    subject = Subject(graph, input_values=known)
    if gradients:
        subject = _measured(subject, known)
    if values:
        subject = replace(subject, values=_written(graph, what, known))
    return subject


def after_pass(stages: Sequence[Stage], number: int) -> Subject:
    """Return the graph after a pass, and what the pass has changed."""
    stage = stages[number]
    changes, notes = compare(stages[number - 1].graph, stage.graph) if number else ({}, "")
    return Subject(
        stage.graph,
        changes=changes,
        packed=True,
        seeds=set(stage.graph.inputs) - set(stages[0].graph.inputs),
        notes=(f"{stage.name}: {notes}",) if notes else (),
        rolled=is_rolled(stage.graph),
        title=f"after {stage.name}",
    )


def number_of_pass(stages: Sequence[Stage], asked: str) -> int:
    """Return the index of a pass by name, the last of its kind unless ``name:2`` says which."""
    name, _, count = asked.partition(":")
    numbers = [number for number, stage in enumerate(stages) if stage.name == name]
    if not numbers:
        names = list(dict.fromkeys(stage.name for stage in stages))
        raise DataError("draw: no such pass", got=repr(name), fix=did_you_mean(name, names))
    if not count:
        return numbers[-1]
    if not count.isdecimal() or not 1 <= int(count) <= len(numbers):
        raise DataError(f"draw: {name} runs {len(numbers)} time(s)", got=repr(asked))
    return numbers[int(count) - 1]


def _measured(subject: Subject, values: Mapping[Node, Any]) -> Subject:
    graph = subject.graph
    if values:
        return replace(subject, gradients=of_values(graph, values))
    if any(node.out is not None or node.args is not None for node in graph.nodes):
        norms, note = of_recorded(graph)
        return replace(subject, gradients=norms, notes=(note,) if note else ())
    note = "no gradient yet: a traced graph has no values; draw the loss itself, or a compiled function after a call"
    return replace(subject, gradients={}, notes=(note,))


def _written(graph: Graph, what: Any, inputs: Mapping[Node, Any]) -> dict[Node, str]:
    """The values of small tensors in words, as far as they are at hand."""
    known: dict[Node, Any] = dict(inputs)
    if inputs:
        evaluate(graph.nodes, known, np)
    else:
        if isinstance(what, Tensor):
            known[what.node] = what.value
        for node in graph.nodes:
            if node.out is not None:
                known.setdefault(node, node.out)
            for parent, value in zip(node.inputs, node.args if isinstance(node.args, list) else (), strict=False):
                known.setdefault(parent, value)
        for node in graph.nodes:  # what can be had from these
            given_all = all(parent in known or isinstance(parent, Literal) for parent in node.inputs)
            if node.inputs and node not in known and given_all and hasattr(node.op, "kernel"):
                values_of = {parent: known[parent] for parent in node.inputs if parent in known}
                evaluate((*(p for p in node.inputs if isinstance(p, Literal)), node), values_of, np)
                known[node] = values_of[node]
    return {
        node: _numbers(value)
        for node, value in known.items()
        if not isinstance(node, Literal) and hasattr(value, "shape") and value.size <= SMALL
    }


def _numbers(value: Any) -> str:
    array = np.asarray(value.get() if hasattr(value, "get") else value)
    return np.array2string(array, precision=3, separator=" ", suppress_small=True).replace("\n", "")


def graph_of(what: Any) -> Graph:
    """Return the graph of a graph, of a tensor, or of what has a ``graph``.

    Raises:
        DataError: there is none.
    """
    if isinstance(what, Graph):
        return what
    if isinstance(what, Node):
        return Graph([what])
    inner = getattr(what, "graph", None)
    if isinstance(inner, Graph):
        return inner
    node = getattr(what, "node", None)
    if not isinstance(node, Node):
        raise DataError(
            "draw: nothing here to draw",
            required="a ts.Graph, a tensor with a history, a compiled function, or its plan",
            got=f"{type(what).__qualname__}",
            fix="ts.draw(ts.trace(fn, *args))",
        )
    if not node.inputs:
        raise DataError(
            "draw: this tensor has no history",
            required="a tensor that a recorded op made: from a leaf with requires_grad=True, outside no_grad()",
            got=repr(node),
            fix="ts.draw(ts.trace(fn, *args)) draws a function without computing it",
        )
    return Graph([node])
