"""One time step of a cell, any cell, as a graph whose nodes bear the names of the cell's own variables."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tinyseq import trees
from tinyseq.compiler.capture import trace_function
from tinyseq.errors import DataError, GraphError
from tinyseq.graph import Graph, Node, Place, here
from tinyseq.nn.module import Module
from tinyseq.ops.scan import evaluate
from tinyseq.tensors import Tensor

Paths = tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class Step:
    """A traced ``step``: its graph, what goes in and out by path, and what its values are called.

    ``names`` are the variables of ``step`` (and of the cell's own methods that it calls) at their return; ``weights``
    are the tensors that the step closes over, by their path in the cell where they are of it.
    """

    graph: Graph
    inputs: Paths
    state: Paths
    outputs: Paths
    new_state: Paths
    names: Mapping[Node, str]
    weights: Mapping[Node, str]
    values: Mapping[Node, Any]

    def run(self, x: Any, state: Any) -> dict[Node, np.ndarray[Any, Any]]:
        """Compute the step on tensors of the traced shapes, by the ops' own kernels; return the value of every node.

        Random draws, such as dropout's in training, are not those of an earlier run.
        """
        known: dict[Node, Any] = dict(self.values)
        for paths, given in ((self.inputs, x), (self.state, state)):
            parts = (part.numpy() for _, part in trees.leaves(given) if isinstance(part, Tensor))
            known.update(zip((node for _, node in paths), parts, strict=True))
        evaluate(self.graph.nodes, known, np)
        return known


def trace_step(cell: Any, x: Any, state: Any) -> Step:
    """Trace ``cell.step(x, state)``, or a function that is called so, on tensors of these shapes.

    Raises:
        GraphError: the step looks at values while it is traced, so that it has no one graph.
    """
    step: Callable[..., Any] = getattr(cell, "step", cell)
    cells = _cells(cell)
    watch = _Variables(step, cells)
    with _nowhere(), watch.watching():
        traced = trace_function(step, (x, state), {})
    y, new = trees.output_and_state(traced.result, step)
    counts = [sum(isinstance(part, Tensor) for _, part in trees.leaves(tree)) for tree in (x, state)]
    if sum(counts) != len(traced.arguments):
        raise GraphError("a step of tensors", required="tensors in x and in the state", got=trees.structure(state))
    leaves = iter(traced.arguments)
    inputs, before = (
        tuple((path, next(leaves)) for path, part in trees.leaves(tree) if isinstance(part, Tensor))
        for tree in (x, state)
    )
    outputs = iter(traced.graph.outputs)
    ys = tuple((path, next(outputs)) for path, _ in trees.leaves(y))
    after = tuple((path, next(outputs)) for path, _ in trees.leaves(new))
    inside = set(traced.graph.nodes)
    names = {node: name for node, name in watch.names(set(traced.arguments)) if node in inside}
    names |= _parameters(step, inputs, before)
    paths = {value: path for root in _roots(cell) for path, value in root._tensors()}
    weights: dict[Node, str] = {
        leaf: _short(paths.get(value, value.name or ""), cells) for value, leaf in traced.captured.items()
    }
    values: dict[Node, Any] = {leaf: value.numpy() for value, leaf in traced.captured.items()}
    values |= {leaf: read() for leaf, read in traced.tracing.live.items()}
    return Step(traced.graph, inputs, before, ys, after, names, weights, values)


def example_step(cell: Any) -> Step:
    """Trace a cell's step on a batch of two, from its ``input_size`` and ``initial_state``.

    Raises:
        DataError: the cell has no ``input_size``.
        GraphError: as ``trace_step``.
    """
    if not hasattr(cell, "input_size"):
        raise DataError(
            f"{type(cell).__name__} does not say what it reads",
            required="an attribute input_size",
            fix="self.input_size = input_size in __init__",
        )
    x = Tensor(np.zeros((2, cell.input_size), cell.dtype))
    return trace_step(cell, x, cell.initial_state(2))


def _parameters(step: Callable[..., Any], inputs: Paths, state: Paths) -> dict[Node, str]:
    """Return what ``step``'s own signature calls an x, and a state, of one tensor."""
    names = list(inspect.signature(step).parameters)[:2]
    pairs = zip(names, (inputs, state), strict=False)
    return {paths[0][1]: name for name, paths in pairs if len(paths) == 1 and paths[0][0] == ""}


class _Variables:
    """Notes what tensors the variables of ``step``, and of the cell's own methods, stand for when these return.

    A frame tells it truly where bytecode and source could only hint: with helpers, unpacking, and names used again.
    An outer method returns after those that it calls, so its names win; but what a cell within the cell computes bears
    that cell's names, after its path: ``cells.0.f``.
    """

    def __init__(self, step: Callable[..., Any], cells: Mapping[str, Module]) -> None:
        self.code: CodeType | None = getattr(getattr(step, "__func__", step), "__code__", None)
        self.cells = cells
        self.owners = {id(cell): path for path, cell in cells.items()}
        self.given: dict[FrameType, set[int]] = {}
        #: By the tensor's id: the tensor (so that the id stays its own), its name, the owner, and whether in ``step``.
        self.named: dict[int, tuple[Tensor, str, int, bool]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        before: Any = sys.getprofile()
        switched = hasattr(before, "enable")  # cProfile's cannot be put back by setprofile, but switched on again
        if switched:
            before.disable()
        sys.setprofile(self._look)
        try:
            yield
        finally:
            sys.setprofile(None if switched else before)
            if switched:
                before.enable()
            self.given.clear()

    def _look(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "return"):
            return
        variables = frame.f_locals
        owner = id(variables.get("self"))
        if frame.f_code is not self.code and owner not in self.owners:
            return
        if event == "call":
            self.given[frame] = {id(value) for value in variables.values()}
            return
        given = self.given.pop(frame, set())
        for name, value in list(variables.items()):
            if not isinstance(value, Tensor) or id(value) in given:
                continue  # what a parameter is called is the caller's matter
            known = self.named.get(id(value))
            if known is None or known[2] == owner:
                self.named[id(value)] = value, name, owner, frame.f_code is self.code

    def names(self, leaves: Set[Node]) -> Iterator[tuple[Node, str]]:
        """Yield nodes and their names; ``leaves`` are what the step is given, which only ``step`` itself names."""
        for value, name, owner, own in self.named.values():
            if value.value is None and (own or value.node not in leaves):
                path = self.owners.get(owner, "")
                yield value.node, _short(f"{path}.{name}" if path else name, self.cells)


@contextmanager
def _nowhere() -> Iterator[None]:
    """Be in no scope, so that scopes are those of layers called within the step."""
    outer, here.place = here.place, Place()
    try:
        yield
    finally:
        here.place = outer


def _roots(cell: Any) -> list[Module]:
    """Return the module that a cell is, or those that it holds, as a decoder with its memory holds the decoder."""
    held = [cell] if isinstance(cell, Module) else getattr(cell, "__dict__", {}).values()
    return [part for part in held if isinstance(part, Module)]


def _cells(cell: Any) -> dict[str, Module]:
    """Return a cell, and the cells within it, by path; the cell's own is empty."""

    def walk(module: Module, path: str) -> Iterator[tuple[str, Module]]:
        if hasattr(module, "step"):
            yield path, module
        for name, child in module.children():
            yield from walk(child, f"{path}.{name}" if path else name)

    return {path: part for root in _roots(cell) for path, part in walk(root, "")}


def _short(name: str, cells: Mapping[str, Module]) -> str:
    """Return a name without the path of the innermost cell, where there is only one."""
    inner = [path for path in cells if not any(other.startswith(f"{path}.") for other in cells if path) and path]
    return name.removeprefix(f"{inner[0]}.") if len(inner) == 1 else name
