"""The graph: nodes, where they come from, and walks over them.

A node is one application of an op. A graph is the set of nodes that its outputs reach; it is immutable, and every walk
is a loop, never a recursion, so a chain of 100,000 nodes is an ordinary graph.

One fact carries most of this file: a node takes its inputs when it is made, so serial numbers, given in order of
creation, are always a topological order.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from types import CodeType
from typing import Any, Final, Protocol

import numpy as np

from tinyseq import errors
from tinyseq.errors import GraphError

Shape = tuple[int, ...]
Dtype = np.dtype[Any]
Attrs = Mapping[str, Any]
#: A code object and an instruction offset: the cheapest thing that later tells a file and a line.
Source = tuple[CodeType, int]

_serials = itertools.count()


class Signature(Protocol):
    """A shape and a dtype: all that shape rules look at. ``weak`` marks a Python scalar, which never promotes."""

    @property
    def shape(self) -> Shape: ...
    @property
    def dtype(self) -> Dtype: ...
    @property
    def weak(self) -> bool: ...


class Operation(Protocol):
    """What the graph needs to know of an op; the ops themselves live higher up."""

    @property
    def name(self) -> str: ...
    @property
    def formula(self) -> str: ...
    @property
    def differentiable(self) -> bool: ...

    def infer(self, *inputs: Any, **attrs: Any) -> Any: ...


class Place:
    """Where nodes are being made: a scope (``encoder/lstm0``) and a time step. Nodes share one object a place.

    ``draws`` counts the random draws made in the step, so that two of them differ; scopes within a step share it.
    ``clock`` is the step's number as a value, which differs from ``step`` only in the body of a traced loop::

        step 2 of a cell, run eagerly      scope "encoder/lstm0"   step 2      clock 2
        any step of it, traced as a scan   scope "encoder/lstm0"   step None   clock the body's input for t
    """

    __slots__ = ("clock", "draws", "scope", "step")

    def __init__(
        self, scope: str = "", step: int | None = None, clock: Any = None, draws: list[int] | None = None
    ) -> None:
        self.scope, self.step, self.clock = scope, step, step if clock is None else clock
        self.draws = [0] if draws is None else draws

    def __str__(self) -> str:
        parts = [f"scope {self.scope}"] if self.scope else []
        return ", ".join([*parts, f"step {self.step}"] if self.step is not None else parts)


class _Here(threading.local):
    """The place and, while a backward pass emits nodes, the source that they inherit; one for each thread."""

    place = Place()
    source: Source | None = None


here: Final = _Here()


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Put the nodes made inside under ``name``; scopes nest as ``outer/inner``.

    tinyseq's own; as ``jax.named_scope``. Pictures and errors show it.

    >>> x = ts.ones(2, requires_grad=True)
    >>> with ts.scope("encoder"):
    ...     y = x * 2.0
    ...
    >>> y.node.place.scope, y.sum().item()
    ('encoder', 4.0)
    """
    outer = here.place
    here.place = Place(
        f"{outer.scope}/{name}" if outer.scope and name else outer.scope or name, outer.step, outer.clock, outer.draws
    )
    try:
        yield
    finally:
        here.place = outer


@contextmanager
def at_step(step: int | None, clock: Any = None) -> Iterator[None]:
    """Mark the nodes made inside with a time step; in the body of a traced loop only ``clock`` tells which."""
    outer = here.place
    here.place = Place(outer.scope, step, clock)
    try:
        yield
    finally:
        here.place = outer


#: Files whose frames are the engine's own: a node's source is the first frame outside them.
engine_files: Final[set[str]] = {__file__}


def caller(depth: int = 1) -> Source:
    """Return the nearest frame outside the engine, as a code object and an offset into it."""
    frame = sys._getframe(depth)
    while frame.f_code.co_filename in engine_files and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def line_of(source: Source | None) -> str:
    """Return ``file:line`` for a source, with the file relative to the working directory where that is shorter."""
    if source is None:
        return ""
    code, offset = source
    line = next((row for start, end, row in code.co_lines() if start <= offset < end and row), code.co_firstlineno)
    relative = os.path.relpath(code.co_filename) if os.path.isabs(code.co_filename) else code.co_filename
    return f"{min(code.co_filename, relative, key=len)}:{line}"


_package = os.path.dirname(__file__) + os.sep


def locate() -> str:
    """Return the place, the line that applied the op, and the user's line that led there where that is another."""
    source = caller(3)
    frame = sys._getframe(3)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_package):
        frame = frame.f_back
    user = line_of((frame.f_code, frame.f_lasti))
    inner = line_of(source)
    # Under the command line there is no user's line, only click's.
    called = user != inner and frame.f_globals.get("__name__", "").split(".")[0] not in ("click", "runpy")
    return ", ".join(part for part in (str(here.place), f"at {inner}", f"called from {user}" if called else "") if part)


errors.locate.append(locate)


class Node:
    """One application of an op.

    ``shape`` and ``dtype`` describe the output; a node of an op with several outputs has a tuple of each, and only
    ``pick`` nodes consume it. ``args`` and ``out`` hold the values that the op's gradient rule reads, from an eager
    forward pass until the backward pass frees them; in a traced graph they stay empty. ``tracked`` is False of what is
    computed behind a cut, and is there for pictures alone.
    """

    __slots__ = (
        "__weakref__", "args", "attrs", "dtype", "inputs", "name", "op", "out", "place", "serial", "shape", "source",
        "tracked",
    )  # fmt: skip

    weak = False

    def __init__(
        self,
        op: Operation,
        inputs: tuple[Node, ...],
        attrs: Attrs,
        shape: Any,
        dtype: Any,
        source: Source | None = None,
        args: Any = None,
        out: Any = None,
        tracked: bool = True,
    ) -> None:
        self.op, self.inputs, self.attrs, self.shape, self.dtype = op, inputs, attrs, shape, dtype
        self.source, self.args, self.out, self.tracked = source, args, out, tracked
        self.place = here.place
        self.name: str | None = None
        self.serial = next(_serials)

    @property
    def scope(self) -> str:
        return self.place.scope

    @property
    def step(self) -> int | None:
        return self.place.step

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def line(self) -> str:
        """``file:line`` of the user's code that made this node."""
        return line_of(self.source)

    @property
    def where(self) -> str:
        """Op, scope, time step, and the user's file and line, in words."""
        parts = [f"op {self.op.name}", str(self.place), f"at {self.line}" if self.source else ""]
        return ", ".join(part for part in parts if part)

    def __repr__(self) -> str:
        inputs = ", ".join(f"%{node.serial}" for node in self.inputs)
        return f"<{self.op.name}({inputs}) {signature(self)}{' ' + self.name if self.name else ''}>"


class _LeafOp:
    """The op of a node that nothing computes."""

    differentiable = True

    def __init__(self, name: str, formula: str) -> None:
        self.name, self.formula = name, formula

    def infer(self, *inputs: Any, **attrs: Any) -> Any:
        raise GraphError(f"a {self.name} has no rule: it is given, not computed")


class Leaf(Node):
    """A node that nothing computes: an input, a parameter or a constant. ``grad`` is where ``backward()`` adds up.

    ``passing`` marks what stands for a value on its way through a function (an argument that is differentiated, a
    loop's state), and not for a tensor that somebody keeps.
    """

    __slots__ = ("grad", "passing", "requires_grad")

    def __init__(
        self,
        shape: Shape,
        dtype: Dtype,
        requires_grad: bool = False,
        name: str | None = None,
        *,
        passing: bool = False,
    ) -> None:
        super().__init__(INPUT, (), NO_ATTRS, shape, dtype)
        self.passing = passing
        self.requires_grad = requires_grad
        self.grad: Any = None
        self.name = name


class Literal(Node):
    """A Python scalar written in an expression. It takes the dtype of what it meets, and never promotes a float32."""

    __slots__ = ()
    weak = True

    def __init__(self, value: bool | int | float) -> None:
        super().__init__(LITERAL, (), {"value": value}, (), np.dtype(type(value)))


INPUT: Final = _LeafOp("input", "x")
LITERAL: Final = _LeafOp("literal", "c")
NO_ATTRS: Final[Attrs] = {}

_literals: dict[tuple[type, object], Literal] = {}


def literal(value: bool | int | float) -> Literal:
    """Return the node of a Python scalar; equal scalars of one type share a node."""
    key = (value.__class__, value)
    node = _literals.get(key)
    if node is None or value != value or value == 0:  # NaN is equal to nothing; 0.0 and -0.0 are equal but differ
        node = Literal(value)
        if len(_literals) < 10_000:
            _literals[key] = node
    return node


def signature(node: Any) -> str:
    """Return of a node, or of a view, ``float32(2, 3)``; several of them in brackets for an op with several outputs."""
    if isinstance(node.dtype, tuple):
        pairs = zip(node.dtype, node.shape, strict=True)
        return "[" + ", ".join(f"{dtype}{_shape(shape)}" for dtype, shape in pairs) + "]"
    return f"{node.dtype}{_shape(node.shape)}"


def _shape(shape: Shape) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def reach(outputs: Iterable[Node], stop: Callable[[Node], bool] | None = None) -> list[Node]:
    """Return every node that the outputs depend on, themselves included, in topological order (inputs first).

    ``stop(node)`` says that a node's own inputs are not to be followed.
    """
    stack = list(outputs)
    seen = set(stack)
    for node in stack:  # the list grows while it is walked
        if stop is None or not stop(node):
            for parent in node.inputs:
                if parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
    stack.sort(key=attrgetter("serial"))
    return list(dict.fromkeys(stack))


#: Given an old node and its new inputs: the node that replaces it, or None for the same op on the new inputs.
Rule = Callable[[Node, tuple[Node, ...]], Node | None]


def clone(node: Node, inputs: tuple[Node, ...]) -> Node:
    """Return the same application of the same op on other inputs."""
    return node if inputs == node.inputs else remake(node, inputs, node.attrs)


def remake(node: Node, inputs: tuple[Node, ...], attrs: Attrs, signature: tuple[Any, Any] | None = None) -> Node:
    """Return a new node of the same op, in the same place, with other inputs and attributes.

    ``signature`` is its shape and dtype, where these change.
    """
    shape, dtype = (node.shape, node.dtype) if signature is None else signature
    fresh = Node(node.op, inputs, attrs, shape, dtype, node.source)
    fresh.place, fresh.name = node.place, node.name
    return fresh


def rebuild(outputs: Sequence[Node], rule: Rule, known: dict[Node, Node] | None = None) -> list[Node]:
    """Rebuild what the outputs depend on, inputs first, each node by the rule; return the new outputs.

    ``known`` gives replacements from the start, and on return tells the replacement of every node.
    """
    new: dict[Node, Node] = {} if known is None else known
    for node in reach(outputs, stop=new.__contains__):
        if node not in new:
            inputs = tuple([new[parent] for parent in node.inputs])
            replacement = rule(node, inputs)
            new[node] = clone(node, inputs) if replacement is None else replacement
    return [new[node] for node in outputs]


def substitute(outputs: Sequence[Node], mapping: Mapping[Node, Node]) -> list[Node]:
    """Return the outputs with some nodes replaced by others, wherever they are used."""
    return rebuild(outputs, lambda node, inputs: None, dict(mapping))


class Graph:
    """An immutable directed acyclic graph: its outputs, and all that they depend on.

    ``print(graph)`` lists the nodes a line each; ``graph.verify()`` recomputes every shape and dtype from the ops' own
    rules.

    tinyseq's own; ``ts.trace`` makes one.

    >>> graph = ts.trace(lambda x: ts.tanh(2.0 * x), ts.ones(3))
    >>> len(graph), graph.outputs[0].op.name
    (4, 'tanh')
    """

    def __init__(self, outputs: Sequence[Node], inputs: Sequence[Node] | None = None) -> None:
        self.outputs = tuple(outputs)
        self.nodes = tuple(reach(outputs))
        leaves = [node for node in self.nodes if node.op is INPUT]
        self.inputs = tuple(leaves if inputs is None else inputs)

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def consumers(self) -> dict[Node, list[Node]]:
        """Return, for every node, the nodes that take it as an input (once for each time; an output is none)."""
        users: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for parent in node.inputs:
                users[parent].append(node)
        return users

    def verify(self) -> Graph:
        """Check the order of nodes and, by the ops' own rules, every shape and dtype; return the graph itself.

        Raises:
            GraphError: a node's recorded signature is not what its op says it is.
        """
        for node in self.nodes:
            if any(parent.serial >= node.serial for parent in node.inputs):
                raise GraphError("a node comes before one of its inputs", got=repr(node), where=node.where)
            if not node.inputs and node.op in (INPUT, LITERAL):
                continue
            shape, dtype = node.op.infer(*node.inputs, **node.attrs)
            if (shape, dtype) != (node.shape, node.dtype):
                raise GraphError(
                    f"the signature of a {node.op.name} is not what its op computes",
                    required=f"{dtype}{shape}",
                    got=f"{node.dtype}{node.shape}",
                    where=node.where,
                )
        return self

    def unroll(self) -> Graph:
        """Return the same graph with each scan replaced by a copy of its body for every step."""
        unfolded: dict[Node, list[Node]] = {}

        def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
            unfold = getattr(node.op, "unfold", None)
            if unfold is not None:
                unfolded[node] = list(Graph(unfold(node, inputs)).unroll().outputs)  # a body may hold scans too
                return node
            if node.inputs and node.inputs[0] in unfolded:
                return unfolded[node.inputs[0]][node.attrs["index"]]
            return None

        return Graph(rebuild(self.outputs, rule), self.inputs)

    def __str__(self) -> str:
        names = {node: f"%{index}" for index, node in enumerate(self.nodes)}
        rows = []
        for node in self.nodes:
            attrs = ", ".join(f"{key}={value!r}" for key, value in node.attrs.items())
            call = f"{node.op.name}({', '.join(names[parent] for parent in node.inputs)})"
            label = f" {node.name!r}" if node.name else ""
            place = f"  # {', '.join(part for part in (str(node.place), node.line) if part)}"
            rows.append(
                f"{names[node]} = {call}{f' {{{attrs}}}' if attrs else ''}{label} : {signature(node)}"
                f"{place if len(place) > 4 else ''}"
            )
        return "\n".join([*rows, f"return {', '.join(names[node] for node in self.outputs)}"])

    def __repr__(self) -> str:
        return f"<Graph of {len(self.nodes)} nodes, {len(self.inputs)} inputs, {len(self.outputs)} outputs>"
