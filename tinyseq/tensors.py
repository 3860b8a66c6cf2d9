"""Tensor: a value, and the node that made it; `record`, which makes both; tracing, and the sweep back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypeAlias

import numpy as np

from tinyseq import backends, graph
from tinyseq.autodiff import backpropagate, has_slope
from tinyseq.backends import Backend
from tinyseq.errors import BackendError, DtypeError, GraphError, MutationError, ShapeError, TinyseqError
from tinyseq.graph import NO_ATTRS, Attrs, Dtype, Leaf, Node, Shape, caller, engine_files, here, literal
from tinyseq.hints import TENSOR, Answering
from tinyseq.modes import enable_grad, mode
from tinyseq.operators import Operators
from tinyseq.ops import elementwise as ew
from tinyseq.ops import shape
from tinyseq.ops.base import FLOAT32, FLOAT64, Op, module_of, native
from tinyseq.ops.tuples import pick

_folder = Path(__file__).parent
_modules = (
    "autodiff.py", "functional.py", "hooks.py", "interop.py", "nn/functional.py", "operators.py", "random.py",
    "scalars.py", "tensors.py", "tracing.py", "words.py",
)  # fmt: skip
engine_files.update(
    str(path)
    for path in (
        *(path for part in ("ops", "backends", "functions") for path in _folder.glob(f"{part}/*.py")),
        *(_folder / name for name in _modules),
    )
)

_SCALARS: Final = (bool, int, float)
#: Dtypes whose values NumPy gives only where the ops' rules do too.
_USUAL: Final = "".join(np.dtype(kind).char for kind in (np.float32, np.bool_, np.int64))


def record(op: Op, inputs: Sequence[Any], attrs: Attrs = NO_ATTRS) -> Any:
    """Compute an op on tensors and scalars and, where a gradient may be asked for, make its node.

    Every eager op passes through here, so this function is written for speed: a test a line, no helper in the common
    case, and shape rules only when the kernel has failed and the error needs words.
    """
    if mode.tracing is not None:
        return mode.tracing.record(op, inputs, attrs)
    args = []
    tracked = visible = False
    for x in inputs:
        if isinstance(x, Tensor):
            if (value := x.value) is None:  # abstract: a pass is at work
                return x.trace(op, inputs, attrs)
            args.append(value)
            tracked = tracked or x.requires_grad
            visible = visible or x._node.__class__ is Node  # behind a cut: no gradient, yet pictures show it
        elif x.__class__ in _SCALARS:
            args.append(x)
        else:
            return record(op, tuple(as_operand(x) for x in inputs), attrs)
    try:
        value = op.kernel(np if args[0].__class__ is np.ndarray else module_of(args), *args, **attrs)
    except Exception as error:
        raise _explain(op, inputs, attrs, error) from error
    if value.__class__ is not np.ndarray or value.dtype.char not in _USUAL:
        if op.multiple:
            return _record_parts(op, inputs, attrs, args, value, tracked, (tracked or visible) and mode.recording)
        value = _conforming(op, inputs, args, attrs, value)
    if not (tracked or visible) or not mode.recording or not op.recorded:
        return Tensor(value)
    node = Node(
        op,
        tuple([(x._node or x.node) if isinstance(x, Tensor) else literal(x) for x in inputs]),
        attrs,
        value.shape,
        value.dtype,
        here.source or caller(2),
        args if tracked and op.reads_inputs else None,
        value if tracked and op.reads_output else None,
        tracked,
    )
    return Tensor(value, node, tracked and op.differentiable)


def _conforming(op: Op, inputs: Sequence[Any], args: list[Any], attrs: Attrs, value: Any) -> Any:
    """Return a kernel's result as an array in the dtype that the op's own rule says.

    NumPy widens integers to float64, where here float64 comes only from float64, and computes functions of small
    integers and booleans in float16.
    """
    if isinstance(value, np.generic):
        value = np.asarray(value)
    char = value.dtype.char
    if char in _USUAL or (char == "d" and any(a.dtype == FLOAT64 for a in args if hasattr(a, "dtype"))):
        return value
    dtype = op.infer(*(x if isinstance(x, Tensor) else literal(x) for x in inputs), **attrs)[1]
    if value.dtype == dtype:
        return value
    if value.dtype.char == "e" and dtype.kind == "f":
        wide = [a.astype(dtype) if hasattr(a, "dtype") else a for a in args]
        value = op.kernel(module_of(args), *wide, **attrs)
    return value.astype(dtype, copy=False)


def _record_parts(
    op: Op, inputs: Sequence[Any], attrs: Attrs, args: list[Any], values: Any, tracked: bool, visible: bool
) -> Any:
    """Record an op with several outputs: one node for it, and a ``pick`` node for each output."""
    if not visible:
        return tuple(Tensor(value) for value in values)
    source = here.source or caller(3)
    nodes = tuple((x._node or x.node) if isinstance(x, Tensor) else literal(x) for x in inputs)
    shapes, dtypes = tuple(value.shape for value in values), tuple(value.dtype for value in values)
    saved = args if tracked and op.reads_inputs else None, values if tracked and op.reads_output else None
    parent = Node(op, nodes, attrs, shapes, dtypes, source, *saved, tracked)
    own = [Node(pick, (parent,), {"index": i}, x.shape, x.dtype, source, tracked=tracked) for i, x in enumerate(values)]
    return tuple(Tensor(value, node, tracked) for value, node in zip(values, own, strict=True))


def as_operand(x: Any) -> Any:
    """Return a tensor or Python scalar for whatever stands in an expression."""
    if isinstance(x, Tensor) or x.__class__ in _SCALARS:
        return x
    if isinstance(x, np.ndarray | np.generic | list | tuple):
        array = np.asarray(x)
        if array.dtype.kind in "biuf":
            return Tensor(backends.current().from_host(array.astype(native(array.dtype), copy=False)))
    elif hasattr(x, "shape") and hasattr(x, "dtype"):
        backends.of(x)
        return Tensor(x)
    raise DtypeError(
        "not a value to compute with",
        required="a tensor, an array of numbers or a Python number",
        got=f"{type(x).__qualname__} {str(x)[:60]!r}",
        fix="ts.tensor(...)",
    )


def _explain(op: Op, inputs: Sequence[Any], attrs: Attrs, error: Exception) -> Exception:
    """Turn a kernel's failure into words: the op's own shape rule says what did not fit."""
    if isinstance(error, TinyseqError | MemoryError):
        return error
    kinds = {x.backend.name for x in inputs if isinstance(x, Tensor)}
    if len(kinds) > 1:
        return BackendError(
            f"{op.name}: operands on different backends",
            required="one backend",
            got=" and ".join(sorted(kinds)),
            where=graph.locate(),
            fix='make both tensors within one `with ts.backend("...")`, or go through .numpy()',
        )
    try:
        op.infer(*(x if isinstance(x, Tensor) else literal(x) for x in inputs), **attrs)
    except TinyseqError as reason:
        return reason
    family = ShapeError if isinstance(error, IndexError | ValueError) else DtypeError
    got = ", ".join(graph.signature(x) if isinstance(x, Tensor) else repr(x) for x in inputs)
    return family(f"{op.name}: {error}", got=got)


#: Lists of lists of numbers, as deep as a tensor has axes.
Nested: TypeAlias = "float | list[Nested]"


class Tensor(Operators, metaclass=Answering, where="a tensor", table=TENSOR):
    """An immutable array and, where a gradient may be asked for, the node that made it.

    Make one with ``ts.tensor(data)``. Operators, methods and ``ts.*`` functions follow NumPy's broadcasting; nothing
    works in place: ``x += y`` gives the name another value, and is refused on a leaf that requires a gradient.
    ``value`` is the backend's own array; do not write to it.

    As ``torch.Tensor``; that it is immutable, as ``jax.Array``.

    >>> x = ts.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("__weakref__", "_node", "requires_grad", "value")
    value: Any
    weak = False  # only Python scalars are
    #: Records an op on abstract tensors, which have no value; theirs alone (tracing.py).
    trace: ClassVar[Callable[..., Any]]

    def __init__(self, value: object, node: Node | None = None, requires_grad: bool = False) -> None:
        self.value, self._node, self.requires_grad = value, node, requires_grad

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """The extent of each axis."""
        return self.value.shape

    @property
    def dtype(self) -> Dtype:
        """The type of the elements."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.value.size

    @property
    def node(self) -> Node:
        """The node that made this value; a leaf where no recorded op did."""
        if self._node is None:
            self._node = Leaf(self.shape, self.dtype, self.requires_grad)
        return self._node

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made this value: it is an input, a parameter or a constant."""
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def graph_node(self) -> Node:
        """The node that stands for this value in the graph at hand: while a function is traced, that function's."""
        return self.node if mode.tracing is None else mode.tracing.node_of(self)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that ``backward()`` has added up here; only leaves that require one have it."""
        leaf = self._node if mode.tracing is None else mode.tracing.holder_of(self)
        return leaf.grad if isinstance(leaf, Leaf) else None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        leaf = self.node if mode.tracing is None else mode.tracing.holder_of(self)
        if not isinstance(leaf, Leaf):
            raise GraphError("only a leaf holds a gradient", where=self.node.where, fix="ts.gradients(loss, [tensor])")
        if value is not None and value.shape != self.shape:
            raise ShapeError("a gradient of another shape", required=str(self.shape), got=str(value.shape))
        leaf.grad = value

    @property
    def name(self) -> str | None:
        """What pictures and messages call it."""
        return self._node.name if self._node is not None else None

    @name.setter
    def name(self, name: str) -> None:
        self.node.name = name

    @property
    def backend(self) -> Backend:
        """Where the value lives."""
        return backends.of(self.value)

    # -- taking the value out ------------------------------------------------------------------------------------------

    def _looked_at(self) -> Any:
        """Return the value for Python to look at; a trace in which it does is right for this value only."""
        return self.value if mode.tracing is None else mode.tracing.look(self)

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return the value as a read-only NumPy array; copy it to write to it.

        As ``torch.Tensor.numpy``.

        >>> ts.tensor([1.0, 2.0]).numpy() * 2
        array([2., 4.], dtype=float32)
        """
        view = self.backend.to_host(self._looked_at()).view()
        view.flags.writeable = False
        return view

    def item(self) -> float:
        """Return the only element as a Python scalar.

        As ``torch.Tensor.item``.

        >>> ts.tensor([2.5]).item()
        2.5
        """
        if self.size != 1:
            raise ShapeError("item() of several elements", required="one element", got=f"shape {self.shape}")
        return self._looked_at().item()

    def tolist(self) -> Nested:
        """Return the elements as nested lists of Python scalars.

        As ``torch.Tensor.tolist``.

        >>> ts.tensor([[1, 2], [3, 4]]).tolist()
        [[1, 2], [3, 4]]
        """
        return self._looked_at().tolist()

    def detach(self) -> Tensor:
        """Return the same value with no history.

        As ``torch.Tensor.detach``.

        >>> x = ts.tensor([3.0], requires_grad=True)
        >>> (x * x.detach()).sum().backward()
        >>> x.grad
        tensor([3.])
        """
        return Tensor(self.value) if mode.tracing is None else record(ew.stop_gradient, (self,))

    def assign(self, value: Tensor) -> None:
        """Give a leaf (a parameter, a state) a new value of the same shape and dtype; recorded graphs keep the old.

        Raises:
            GraphError: the tensor is the result of a recorded op, or this is a time step of a loop that is traced.
            ShapeError: the shape or dtype differs.

        As ``torch.Tensor.copy_`` of a parameter.

        >>> p = ts.zeros(2, requires_grad=True)
        >>> p.assign(p - 0.5)
        >>> p
        tensor([-0.5, -0.5], requires_grad=True)
        """
        if not self.is_leaf:
            raise GraphError("assign to the result of an op", required="a leaf", where=graph.locate(), fix="a new name")
        if value.shape != self.shape or value.dtype != self.dtype:
            raise ShapeError(
                f"assign to {self.name or 'a tensor'}",
                required=f"{self.dtype}{self.shape}",
                got=f"{value.dtype}{value.shape}",
            )
        if isinstance(here.place.clock, Tensor):  # the loop's body is traced once, and knows no step but its own
            raise GraphError(
                f"assign to {self.name or 'a tensor'} within a time step of a traced loop",
                fix="carry it as a part of the cell's state, or run eagerly",
            )
        if mode.tracing is None:
            self.value = value.value
        else:
            mode.tracing.assign(self, value)

    def __dir__(self) -> list[str]:
        return dir(type(self))

    def __copy__(self) -> Self:
        fresh = object.__new__(type(self))
        fresh.value, fresh._node, fresh.requires_grad = self._looked_at(), self._node, self.requires_grad
        return fresh

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        self._require_no_history("copy.deepcopy")
        leaf = self._node if isinstance(self._node, Leaf) else Leaf(self.shape, self.dtype, self.requires_grad)
        fresh = Leaf(leaf.shape, leaf.dtype, leaf.requires_grad, leaf.name, passing=leaf.passing)
        fresh.grad = copy.deepcopy(leaf.grad, memo)
        return Tensor(self._looked_at().copy(), fresh, self.requires_grad)

    def __reduce__(self) -> Any:
        self._require_no_history("pickle")
        return _unpickled, (self.numpy(), self.requires_grad, self.name, self.grad)

    def _require_no_history(self, what: str) -> None:
        if self.value is None or (self.requires_grad and not self.is_leaf):
            raise GraphError(
                f"{what} of the result of an op would cut it from what it was computed from",
                required="a leaf, or a tensor without a history",
                got=f"{self.name or 'a tensor'}, {graph.signature(self.node)}",
                where=self.node.where,
                fix="ts.detach(x), which says so",
            )

    def __dlpack__(self, **options: Any) -> Any:
        """Hand the value's memory to another library, without a copy; it must not be written to."""
        return self._looked_at().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.value.__dlpack_device__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self.value is not None and self.size != 1:
            raise ShapeError(
                "the truth of several elements",
                required="one element",
                got=f"shape {self.shape}",
                fix="(a == b).min() for all of them, .max() for any; any(x is y for y in values) for `x in values`",
            )
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len() of a scalar", required="at least one axis", got="shape ()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:  # a TypeError, by which others tell what can be iterated
            raise DtypeError("a scalar cannot be iterated", required="at least one axis", got="shape ()")
        return iter(shape.unstack(self, 0))

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), separator=", ", threshold=100, prefix="tensor(", precision=4)
        extra = "" if self.dtype in (FLOAT32, np.int64, np.bool_) else f", dtype={self.dtype}"
        if self.requires_grad:
            extra += ", requires_grad=True" if isinstance(self._node, Leaf) else f", made by {self.node.op.name}"
        return f"tensor({text}{extra})"

    # -- gradients -----------------------------------------------------------------------------------------------------

    def backward(
        self, gradient: Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradient of this scalar to ``grad`` of every leaf that requires one.

        Args:
            gradient: what arrives from above, of this tensor's shape; needed where it is not a scalar.
            retain_graph: keep the saved values, so that backward can run again.
            create_graph: record the backward pass too, so that ``grad`` can be differentiated.

        Raises:
            GraphError: not a scalar, nothing to differentiate, or a graph that was freed.

        As ``torch.Tensor.backward``.

        >>> x = ts.tensor([1.0, 2.0], requires_grad=True)
        >>> (x**2).sum().backward()
        >>> x.grad
        tensor([2., 4.])
        """
        seed = seed_of(self, gradient)
        for leaf, value in sweep({self.graph_node: seed}, None, retain=retain_graph, create_graph=create_graph).items():
            assert isinstance(leaf, Leaf)
            if mode.tracing is not None:
                mode.tracing.touch(leaf)
            leaf.grad = value if leaf.grad is None else leaf.grad + value

    def nonzero(self) -> tuple[Tensor, ...]:
        """Return the indices of the elements that are not zero, a tensor an axis.

        As ``numpy.ndarray.nonzero``.

        >>> ts.tensor([0, 5, 7]).nonzero()
        (tensor([1, 2]),)
        """
        return tuple(Tensor(indices) for indices in self._looked_at().nonzero())

    _record = staticmethod(record)

    def _require_rebinding(self, symbol: str) -> None:
        if self.requires_grad and isinstance(leaf := self.node, Leaf) and not leaf.passing:
            raise MutationError(
                f"p {symbol}= ... gives the name p another value and leaves the parameter as it is",
                required="a tensor that does not itself require a gradient: values are immutable",
                got=f"{leaf.name or 'a leaf'}, {graph.signature(leaf)}, which requires one",
                fix=f"p.assign(p {symbol} ...), an optimiser (optim.SGD(parameters, lr).step()), "
                f"or p = p {symbol} ... for a new value",
            )


def _unpickled(array: np.ndarray[Any, Any], requires_grad: bool, name: str | None, grad: Tensor | None) -> Tensor:
    """The leaf that was pickled, on the backend that is current here."""
    x = Tensor(backends.current().from_host(array), None, requires_grad)
    if name is not None:
        x.name = name
    if grad is not None:
        x.grad = grad
    return x


def live(read: Callable[[], Any], dtype: Any) -> Any:
    """Return a Python number that a traced function is to read anew at each call; elsewhere just the number."""
    return read() if mode.tracing is None else mode.tracing.read_live(read, dtype)


# -- the sweep, on tensors ---------------------------------------------------------------------------------------------


def seed_of(output: Tensor, gradient: Tensor | None) -> Tensor:
    """Return the gradient that arrives at an output: 1 for a scalar, or the one given.

    Raises:
        GraphError: nothing to differentiate, or not a scalar and no gradient given.
        ShapeError: the gradient has another shape.
    """
    if not output.requires_grad:
        raise GraphError(
            "backward from a tensor that depends on nothing that requires a gradient",
            required="a leaf with requires_grad=True among what it is computed from, outside no_grad()",
            got=repr(output),
        )
    if gradient is None:
        if output.size != 1:
            raise GraphError(
                "backward from a tensor that is not a scalar",
                required="one element",
                got=f"shape {output.shape}",
                where=output.node.where,
                fix="y.sum().backward(), or y.backward(gradient) with what arrives from above",
            )
        if output.value is None:
            return record(ew.add, (shape.zeros_like(output), 1.0))
        return Tensor(module_of((output.value,)).ones_like(output.value))
    if gradient.shape != output.shape:
        raise ShapeError("the gradient from above", required=f"shape {output.shape}", got=f"shape {gradient.shape}")
    return gradient


def sweep(
    seeds: dict[Node, Tensor], wanted: Sequence[Node] | None, *, retain: bool = False, create_graph: bool = False
) -> dict[Node, Tensor]:
    """Run ``backpropagate`` on arrays or, with ``create_graph``, on tensors, whose ops are recorded.

    While tracing, the sweep is one ``gradient`` node, which the compiler works out later.
    """
    if mode.tracing is not None:
        if wanted is None and isinstance(here.place.clock, Tensor):
            raise GraphError("backward() in a time step of a traced loop", where=graph.locate(), fix="after the loop")
        return mode.tracing.sweep(seeds, wanted, create_graph)
    if not create_graph:
        with np.errstate(all="ignore"):
            arrays = {node: seed.value for node, seed in seeds.items()}
            results = backpropagate(arrays, wanted, retain=retain)
        return {
            node: Tensor(np.asarray(value) if isinstance(value, np.generic) else value)
            for node, value in results.items()
        }
    outer = here.place, here.source
    try:
        with enable_grad():
            return backpropagate(seeds, wanted, _as_tensors, retain=True)
    finally:
        here.place, here.source = outer


def _as_tensors(node: Node) -> tuple[Sequence[Any], Any]:
    """The values that a forward pass saved, as tensors with their nodes; what the rule emits takes the node's place."""
    here.place, here.source = node.place, node.source
    args: Sequence[Any] = node.inputs
    if node.args is not None:
        args = [
            Tensor(value, parent, is_tracked(parent)) if hasattr(value, "shape") else value
            for value, parent in zip(node.args, node.inputs, strict=True)
        ]
    return args, node if node.out is None else Tensor(node.out, node, True)


def is_tracked(node: Node) -> bool:
    """Return whether a gradient may flow to this node; through integers, and behind a cut, none does."""
    if isinstance(node, Leaf):
        return node.requires_grad
    return node.tracked and node.op.differentiable and has_slope(node)
