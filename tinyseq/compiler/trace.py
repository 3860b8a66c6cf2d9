"""Recording a function as a graph, without computing it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinyseq import trees
from tinyseq.errors import GraphError
from tinyseq.graph import Graph, Leaf, reach
from tinyseq.modes import Tracing, tracing_into
from tinyseq.random import generator
from tinyseq.tensors import AbstractTensor, Tensor, traced_node


@dataclass(frozen=True)
class Traced:
    """A traced function: its graph, the inputs made from its arguments, and what else a call needs to know.

    The graph's outputs are the leaves of ``result``, then the new values of the tensors that the function assigned,
    then the gradients that it left (``assigned`` and ``graded`` say whose).
    """

    graph: Graph
    arguments: tuple[Leaf, ...]
    tracing: Tracing
    result: Any
    returned: int
    assigned: tuple[Tensor, ...]
    graded: tuple[Tensor, ...]

    def still_holds(self) -> bool:
        """Return whether all that was looked at while tracing is as it was: modes, the seed, the weights' dtypes."""
        return all(read() == value for read, value in self.tracing.guards) and all(
            x.dtype == leaf.dtype and x.requires_grad == leaf.requires_grad and x.shape == leaf.shape
            for x, leaf in self.tracing.captured.items()
            if isinstance(leaf, Leaf)
        )

    @property
    def captured(self) -> dict[Tensor, Leaf]:
        """The tensors that the function closes over, and the inputs that stand for them."""
        return self.tracing.captured


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
    tracing = Tracing()
    counter = Leaf((), np.dtype(np.int64), name="calls")
    with tracing_into(tracing), generator.counting(AbstractTensor(counter)) as draws:
        result = fn(*bound.args, **bound.kwargs)
        outputs = [x for _, x in trees.leaves(result)]
        if not all(isinstance(x, Tensor) for x in outputs):
            raise GraphError("trace: the function returns something else than tensors", got=repr(result)[:80])
        graded = [x for x, leaf in tracing.captured.items() if leaf.grad is not None]
        nodes = [traced_node(x) for x in outputs]
        nodes += [value.node for value in tracing.assigned.values()]
        nodes += [x.grad.node for x in graded if x.grad is not None]
        if not nodes:
            raise GraphError("trace: the function returns nothing and changes nothing", got=repr(result)[:80])
    if draws():
        tracing.live[counter] = lambda: generator.calls
        tracing.effects.append(partial(_advance, draws()))
    reached = set(reach(nodes))
    read = [leaf for leaf in tracing.live if leaf in reached]
    graph = Graph(nodes, [*inputs, *tracing.captured.values(), *read])
    return Traced(graph, tuple(inputs), tracing, result, len(outputs), tuple(tracing.assigned), tuple(graded))


def _advance(draws: int) -> None:
    generator.calls += draws
