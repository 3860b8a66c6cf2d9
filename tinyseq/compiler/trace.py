"""Recording a function as a graph, without computing it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq import trees
from tinyseq.errors import GraphError
from tinyseq.graph import Graph, Leaf
from tinyseq.random import generator
from tinyseq.tensors import AbstractTensor, Tensor, capturing, traced_node


@dataclass(frozen=True)
class Traced:
    """A traced function: its graph, the inputs made from its arguments, and the tensors it closes over.

    ``counter`` is the input that stands for the generator's count of calls, ``draws`` how far one call moves it.
    """

    graph: Graph
    arguments: tuple[Leaf, ...]
    captured: dict[Tensor, Leaf]
    counter: Leaf
    draws: int
    result: Any


def trace(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Graph:
    """Call ``fn`` once on abstract tensors of the arguments' shapes and return the graph of what it does.

    Args:
        fn: a function (a module too) of tensors, or nested tuples and dicts of them; other arguments pass as they are.

    Returns:
        the graph; its inputs bear the names of ``fn``'s parameters, and tensors that ``fn`` closes over (weights) are
        inputs under their own names.

    Raises:
        GraphError: ``fn`` asks for a value while tracing (``if x > 0``, ``x.item()``), or returns no tensor.
    """
    return trace_function(fn, args, kwargs).graph


def trace_function(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Traced:
    """Do the work of ``trace``, and keep what a compiled call needs to know."""
    inputs: list[Leaf] = []

    def abstract(x: Any, name: str) -> Any:
        if not isinstance(x, Tensor):
            return x
        leaf = Leaf(x.shape, x.dtype, x.requires_grad, x.name or name)
        inputs.append(leaf)
        return AbstractTensor(leaf)

    def convert(tree: Any, name: str) -> Any:
        paths = iter([path for path, _ in trees.leaves(tree)])
        return trees.map_leaves(lambda x: abstract(x, ".".join(part for part in (name, next(paths)) if part)), tree)

    target = getattr(fn, "forward", fn)
    bound = inspect.signature(target).bind(*args, **kwargs)
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            bound.arguments[name] = {key: convert(part, key) for key, part in value.items()}
        else:
            bound.arguments[name] = convert(value, name)
    counter = Leaf((), np.dtype(np.int64), name="calls")
    with capturing() as captured, generator.counting(AbstractTensor(counter)) as draws:
        result = fn(*bound.args, **bound.kwargs)
        outputs = [x for _, x in trees.leaves(result)]
        if not outputs or not all(isinstance(x, Tensor) for x in outputs):
            raise GraphError("trace: the function returns something else than tensors", got=repr(result)[:80])
        nodes = [traced_node(x) for x in outputs]
    graph = Graph(nodes)
    drawing = [counter] if counter in graph.nodes else []
    graph = Graph(nodes, [*inputs, *captured.values(), *drawing])
    return Traced(graph, tuple(inputs), captured, counter, draws(), result)
