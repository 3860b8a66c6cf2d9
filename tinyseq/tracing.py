"""Tracing: recording what a function does on tensors that have a shape and a dtype, and no values yet.

``Tracing`` is the interpreter of ops while a function is traced: ``tensors.record`` hands every op to it. What comes
from outside the function is an input of the graph: the tensors it closes over, their gradients, the Python numbers that
are read anew at each call, and floats among its arguments for as long as they are only computed with.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from tinyseq import graph
from tinyseq.backends import Backend
from tinyseq.dependence import gradient_paths
from tinyseq.errors import GraphError
from tinyseq.graph import Attrs, Dtype, Leaf, Node, Shape, caller, here, literal, reach
from tinyseq.markers import anchor, gradient
from tinyseq.modes import enable_grad, mode
from tinyseq.ops import elementwise as ew
from tinyseq.ops.base import FLOAT32, FLOAT64, Op, promote
from tinyseq.ops.tuples import pick
from tinyseq.scalars import AbstractScalar
from tinyseq.tensors import Tensor, as_operand, is_tracked, record


class AbstractTensor(Tensor):
    """A tensor while tracing: a node with a shape and a dtype, and no value yet."""

    __slots__ = ()

    def __init__(self, node: Node, requires_grad: bool | None = None) -> None:
        super().__init__(None, node, is_tracked(node) if requires_grad is None else requires_grad)

    @property
    def shape(self) -> Shape:
        result: Shape = self.node.shape
        return result

    @property
    def dtype(self) -> Dtype:
        result: Dtype = self.node.dtype
        return result

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def backend(self) -> Backend:
        raise _refusal(
            "the value of a traced tensor was asked for",
            required="ops on tensors only: while tracing there are shapes and dtypes, no values yet",
            got=f"{graph.signature(self.node)} from op {self.node.op.name}",
            where=graph.locate(),
            fix="ts.where(condition, a, b) instead of `if`; print, item() and numpy() after the call",
        )

    def item(self) -> Any:
        return self.backend

    def tolist(self) -> Any:
        return self.backend

    def nonzero(self) -> tuple[Tensor, ...]:
        raise _refusal(
            "the shape of a traced result would depend on values",
            required="shapes known from the inputs' shapes",
            got="a boolean mask as an index",
            where=graph.locate(),
            fix="ts.where(mask, x, 0.0)",
        )

    def detach(self) -> Tensor:
        result: Tensor = record(ew.stop_gradient, (self,))
        return result

    def __repr__(self) -> str:
        return f"tensor(traced {graph.signature(self.node)} from op {self.node.op.name})"

    trace = staticmethod(lambda op, inputs, attrs: trace_op(op, inputs, attrs))


def _refusal(what: str, **facts: str) -> GraphError:
    """Return the error of what cannot be traced, kept so that no ``except`` of the function's own passes over it."""
    error = GraphError(what, **facts)
    if isinstance(mode.tracing, Tracing):
        mode.tracing.refusals.append(error)
    return error


def trace_op(op: Op, inputs: Sequence[Any], attrs: Attrs) -> Any:
    """Record an op without computing it; its shape rule gives the result's shape and dtype."""
    scalars = any(type(x) is AbstractScalar for x in inputs)
    nodes = _with_scalars(op, inputs, attrs) if scalars else tuple([node_of(x) for x in inputs])
    if any(type(x) is AbstractScalar for x in attrs.values()):
        attrs = {key: float(x) if type(x) is AbstractScalar else x for key, x in attrs.items()}
    shape, dtype = op.infer(*nodes, **attrs)
    source = here.source or caller(3)
    node = Node(op, nodes, attrs, shape, dtype, source)
    follows = any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
    if op.checks and mode.tracing is not None:
        mode.tracing.checks.append(node)
    if not op.multiple:
        return _result(node, follows and op.differentiable)
    return tuple(
        _result(Node(pick, (node,), {"index": i}, *pair, source), follows)
        for i, pair in enumerate(zip(shape, dtype, strict=True))
    )


def _result(node: Node, follows: bool) -> AbstractTensor:
    """Return a node as a tensor that requires a gradient where an eager one would."""
    if mode.tracing is None or not follows:
        return AbstractTensor(node, follows or None if mode.tracing is None else False)
    if mode.recording and node.dtype.kind == "f":
        return AbstractTensor(node, True)
    mode.tracing.constant(node)
    return AbstractTensor(node, False)


def node_of(x: Any) -> Node:
    """Return the node that stands for a tensor or scalar in the graph being traced."""
    x = as_operand(x)
    if not isinstance(x, Tensor):
        return literal(x)
    return x.node if mode.tracing is None else mode.tracing.node_of(x)


def _with_scalars(op: Op, inputs: Sequence[Any], attrs: Attrs) -> tuple[Node, ...]:
    """Return the operands' nodes, floats of the call with the dtype that a Python float takes beside the others."""
    weak = [type(x) is AbstractScalar and x.weak for x in inputs]
    nodes = [x.node if type(x) is AbstractScalar else node_of(x) for x in inputs]
    stand_ins = [literal(1.0) if is_weak else node for node, is_weak in zip(nodes, weak, strict=True)]
    dtype = promote(*stand_ins)
    _, result = op.infer(*stand_ins, **attrs)
    if not op.multiple and result.kind == "b" and not any(n.dtype.kind == "f" and not n.weak for n in stand_ins):
        dtype = FLOAT64  # integers are compared with a Python float as they are
    elif dtype.kind != "f":
        dtype = FLOAT32
    return tuple(
        node_of(record(ew.cast, (AbstractTensor(node),), {"dtype": dtype})) if is_weak and node.dtype != dtype else node
        for node, is_weak in zip(nodes, weak, strict=True)
    )


#: (outputs, wanted nodes) -> for each output the wanted ones that a gradient flows to, as bits: ``gradient_paths``.
Paths = Callable[[Sequence[Node], Sequence[Node]], tuple[int, ...]]


class Tracing:
    """The interpreter of ops while a function is traced, and what it gathers besides the graph."""

    def __init__(self, *, repeatable: bool = False, paths: Paths = gradient_paths) -> None:
        #: Which of some nodes a gradient flows to from others, where gradients among them are still to be worked out.
        self.paths = paths
        #: Whether the graph stands for later calls too, and not only for a picture of this one.
        self.repeatable = repeatable
        #: The concrete tensors that the function uses, and the inputs that stand for them.
        self.captured: dict[Tensor, Leaf] = {}
        #: The other way round, arguments included.
        self.tensors: dict[Leaf, Tensor] = {}
        #: The arguments behind the abstract tensors that the function is given.
        self.arguments: dict[Tensor, Tensor] = {}
        #: Inputs that are read anew at each call from the Python side: a learning rate, a count of draws.
        self.live: dict[Leaf, Callable[[], Any]] = {}
        #: What to do on the Python side after each call: counting steps.
        self.effects: list[Callable[[], None]] = []
        #: What Python-side values the trace depends on: how to read each, and what it was.
        self.guards: list[tuple[Callable[[], Any], Any]] = []
        #: Tensors that the function gives new values.
        self.assigned: dict[Tensor, Tensor] = {}
        #: Inputs whose gradients the function read or changed, and what these were before.
        self.gradients: dict[Leaf, Tensor | None] = {}
        #: The floats among the arguments whose value decided something, by number, and which may not be 0.
        self.pinned: set[int] = set()
        self.nonzero: set[int] = set()
        #: Nodes that eager code would have computed without a history, though the graph shows one: made within
        #: ``no_grad``, or by a sweep that was not recorded. Where a gradient could come to one, it is stopped there.
        self.constants: dict[Node, Node | None] = {}
        #: Nodes that refuse values: they are done though nothing may be asked of them.
        self.checks: list[Node] = []
        #: What stands for the new value of a parameter, and the input that its gradient adds up at.
        self.renewed: dict[Node, Leaf] = {}
        #: What was refused.
        self.refusals: list[GraphError] = []
        self.observe: Callable[[Any], AbstractContextManager[None]] = nullcontext
        #: Nodes from this serial on are of this trace.
        self.began = Leaf((), FLOAT32).serial

    record = staticmethod(trace_op)

    def node_of(self, x: Tensor) -> Node:
        """Return the node that stands for a tensor: a concrete one is an input, whatever computed it."""
        x = self.arguments.get(x, x)
        x = x if x.value is None else self.assigned.get(x, x)
        if x.value is None:
            return self._stopped(x.node) if mode.recording and x.node in self.constants else x.node
        return self.leaf_of(x)

    def constant(self, node: Node) -> None:
        """Let no gradient flow into a node."""
        self.constants.setdefault(node, None)

    def _stopped(self, node: Node) -> Node:
        stopped = self.constants[node]
        if stopped is None or here.place.clock is not None:  # what a step of a loop makes is of that step
            stopped = Node(ew.stop_gradient, (node,), {}, node.shape, node.dtype, node.source)
            if here.place.clock is None:
                self.constants[node] = stopped
        return stopped

    def leaf_of(self, x: Tensor) -> Node:
        """Return the input that stands for a tensor's value before the traced function, where its gradient adds up."""
        x = self.arguments.get(x, x)
        if x.value is None:
            return x.node
        if x not in self.captured:
            leaf = Leaf(x.shape, x.dtype, x.requires_grad, x._node.name if x._node is not None else None)
            self.captured[x], self.tensors[leaf] = leaf, x
        return self.captured[x]

    def holder_of(self, x: Tensor) -> Leaf | None:
        """Return the leaf that holds a tensor's gradient, as it was before the call at first; None where none does."""
        leaf = self.leaf_of(x)
        if not isinstance(leaf, Leaf):
            return None
        self.touch(leaf)
        return leaf

    def touch(self, leaf: Leaf) -> None:
        """Let an input have the gradient that its tensor has before the call, from the first use of it on."""
        if leaf not in self.gradients:
            x = self.tensors.get(leaf)
            self.gradients[leaf] = leaf.grad = None if x is None or self.is_own(x) else gradient_before(x)

    def look(self, x: Tensor) -> Any:
        """Return a concrete tensor's value, on which the trace then depends."""
        if x.value is None or x in self.assigned:
            return self.assigned.get(x, x).backend  # which refuses
        self.guards.append((functools.partial(_has_value, x, x.value), True))
        return x.value

    def is_own(self, x: Tensor | None) -> bool:
        """Return whether a concrete tensor was made within the traced function."""
        return x is not None and isinstance(x._node, Leaf) and x._node.serial > self.began

    def pin(self, sources: frozenset[int], *, but_for_zero: bool = False) -> None:
        """Note that the trace is right for these values of float arguments only; or, that they may not become 0."""
        if but_for_zero:
            self.nonzero |= sources
        else:
            self.pinned |= sources

    def assign(self, x: Tensor, value: Tensor) -> None:
        """Give a tensor a new value when the function has run; its value before is an input.

        It is a leaf as before: gradients of what follows add up there, and go no further.
        """
        x, leaf = self.arguments.get(x, x), self.leaf_of(x)
        node = self.node_of(value.detach() if value.requires_grad else value)
        if x.requires_grad:
            node = self.anchored(AbstractTensor(node, True), followed=False).node
            self.renewed[node] = leaf  # type: ignore[assignment]
        self.assigned[x] = AbstractTensor(node, x.requires_grad)

    def anchored(self, x: Tensor, followed: bool) -> AbstractTensor:
        """Return a value to differentiate with respect to, from which a gradient goes on only where it is followed."""
        with enable_grad():
            before = x if followed else record(ew.stop_gradient, (x,))
            return AbstractTensor(record(anchor, (before,)).node, True)

    def read_live(self, read: Callable[[], Any], dtype: Any) -> Tensor:
        """Return an input that is read anew at each call."""
        leaf = Leaf((), np.dtype(dtype), name="live")
        self.live[leaf] = read
        return AbstractTensor(leaf)

    def sweep(
        self, seeds: dict[Node, Tensor], wanted: Sequence[Node] | None, create_graph: bool = False
    ) -> dict[Node, Tensor]:
        """Record a sweep as one ``gradient`` node, which the compiler works out later."""
        targets = self._leaves_behind(seeds) if wanted is None else list(wanted)
        if not targets:
            return {}
        outputs = [AbstractTensor(node) for node in seeds]
        with enable_grad():
            results = record(
                gradient, (*outputs, *seeds.values(), *map(AbstractTensor, targets)), {"outputs": len(outputs)}
            )
        if not create_graph:
            for x in results:
                self.constant(x.node)
            results = [AbstractTensor(x.node, False) for x in results]
        if wanted is not None:
            return dict(zip(targets, results, strict=True))
        found: dict[Node, Tensor] = {}
        for target, g in zip(targets, results, strict=True):
            leaf = self.renewed.get(target, target)
            found[leaf] = found[leaf] + g if leaf in found else g
        return found

    def _leaves_behind(self, seeds: Iterable[Node]) -> list[Node]:
        """Return the leaves to which a gradient flows from some nodes, and what stands for parameters' new values."""
        outputs = list(seeds)
        behind = reach(outputs, stop=self.renewed.__contains__)
        candidates = [n for n in behind if (isinstance(n, Leaf) and n.requires_grad) or n in self.renewed]
        reached = functools.reduce(operator.or_, self.paths(outputs, candidates), 0)
        return [node for bit, node in enumerate(candidates) if reached >> bit & 1]


def _has_value(x: Tensor, value: Any) -> bool:
    return x.value is value


def gradient_before(x: Tensor) -> Tensor | None:
    """Return the gradient that a tensor has outside of any trace."""
    result: Tensor | None = x._node.grad if isinstance(x._node, Leaf) else None
    return result


def is_traced(x: Any) -> bool:
    """Return whether a value is of a trace, and so means nothing after it."""
    return type(x) in (AbstractTensor, AbstractScalar)
