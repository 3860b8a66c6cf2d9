"""The NumPy lowering: a prepared list of calls on preallocated arrays; in a loop nothing is allocated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyseq.compiler.arena import Slab
from tinyseq.compiler.lower.giving import fitting, require_count, told
from tinyseq.compiler.plan import Call, Copy, Instruction, Loop, Operand, Plan, Ref
from tinyseq.graph import Leaf, Node
from tinyseq.ops.shape import ARRAY

Array = np.ndarray[Any, Any]
#: A function and its arguments, the output array last.
Prepared = tuple[Callable[..., Any], tuple[Any, ...]]

#: Functions that fill an array, where an op's kernel is no ``ufunc`` (``ops.base``) or where that takes it otherwise.
_FILLING: dict[str, Callable[..., Any]] = {
    "maximum": lambda a, b, out, **how: np.maximum(a, b, out=out, **how),  # by position it is deprecated for these two
    "minimum": lambda a, b, out, **how: np.minimum(a, b, out=out, **how),
    "matmul": np.matmul,
}


def _filling(op: Any) -> Callable[..., Any] | None:
    """Return NumPy's function that is an op exactly and takes an array to fill, if there is one."""
    name = getattr(type(op).kernel, "ufunc", None)
    return _FILLING.get(op.name) or (getattr(np, name) if name is not None else None)


def aligned_zeros(size: int) -> Array:
    """Return so many bytes, at least one, on the boundary of a cache line.

    Zeros, not empty: the first run then already finds its pages mapped.
    """
    room = np.zeros(max(size, 1) + 63, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + max(size, 1)]


class Executable:
    """A plan bound to NumPy arrays: ``forward`` takes the inputs' arrays, ``backward`` the gradients from above."""

    def __init__(self, plan: Plan, slab: Slab | None = None) -> None:
        self.plan, self.slab = plan, slab
        whole = aligned_zeros(plan.footprint) if slab is None else slab.memory
        self.memory, start = {}, 0
        for slot, size in plan.slots().items():
            self.memory[slot] = whole[start : start + max(size, 1)]
            start += -(-max(size, 1) // 64) * 64
        self.arrays = {id(b): b.lay(self.memory[b.slot][: b.nbytes].view(b.dtype)) for b in plan.buffers}
        self.calls: list[Prepared] = []
        #: What fills the output of an instruction, which is the same at each step.
        self.functions: dict[int, Callable[..., Any]] = {}
        self.boundary = 0
        self.prepare_all()
        #: What comes before gradients arrive, and what after.
        self.parts = self.calls[: self.boundary], self.calls[self.boundary :]
        self.leaves = list(plan.inputs)
        self.numbers = {leaf: number for number, leaf in enumerate(self.leaves)}
        self.inputs = [self.at(ref, 0, 0) for ref in plan.inputs.values()]
        self.forms = [(leaf.shape, leaf.dtype) for leaf in self.leaves]
        self.outputs = [self.at(x, 0, 0) for x in plan.outputs]

    def at(self, x: Operand, count: int, t: int) -> Any:
        return x.resolve(self.arrays[id(x.buffer)], count, t) if isinstance(x, Ref) else x

    def prepare_all(self) -> None:
        """Bind every instruction, and note where those begin that only gradients need."""
        for position, instruction in enumerate(self.plan.instructions):
            if position == self.plan.forward:
                self.boundary = len(self.calls)
            self.prepare_whole(instruction)
        if self.plan.forward == len(self.plan.instructions):
            self.boundary = len(self.calls)

    def prepare_whole(self, instruction: Instruction) -> None:
        """Bind an instruction; one in a loop, for each of its steps."""
        if isinstance(instruction, Loop):
            for count, t in enumerate(instruction.steps()):
                for inner in instruction.body:
                    self.prepare(inner, count, t)
        else:
            self.prepare(instruction, 0, 0)

    def prepare(self, instruction: Call | Copy, count: int, t: int) -> None:
        out = self.at(instruction.output, count, t)
        if isinstance(instruction, Copy):
            self.calls.append((np.copyto, (out, self.at(instruction.source, count, t))))
            return
        node = instruction.node
        args = [self.at(x, count, t) for x in instruction.inputs]
        name = node.op.name
        function = self.functions.get(id(instruction))
        if function is None and (filling := _filling(node.op)) is not None:
            function = self.functions[id(instruction)] = _in_full(filling, args, out)
        if function is not None:
            self.calls.append((function, (*args, out)))
        elif name == "where":
            # `np.where` wraps an integer that does not fit, `np.copyto` refuses it.
            chosen, other = (x if isinstance(x, np.ndarray) else np.asarray(x).astype(out.dtype) for x in args[1:])
            self.calls.append((np.copyto, (out, other)))
            self.calls.append((_copy_where, (out, chosen, args[0])))
        elif name == "relu":
            self.calls.append((_FILLING["maximum"], (args[0], args[0].dtype.type(0), out)))
        elif name == "zeros_like":
            self.calls.append((out.fill, (0,)))
        elif name in _REDUCING:
            self.calls.append((_REDUCING[name], (args[0], node.attrs["axis"], node.attrs["keepdims"], out)))
        elif name in _ALONG:
            self.calls.append((_ALONG[name], (args[0], node.attrs["axis"], out)))
        elif name == "cast":
            self.calls.append((_cast, (out, args[0])))
        elif name == "stack":
            for i, part in enumerate(args):
                place = out[(slice(None),) * node.attrs["axis"] + (i, ...)]
                self.calls.append((np.copyto, (place, part)))
        elif name == "sum_to":
            self.calls.append(self.sum_to(args[0], out))
        elif name == "within":
            self.calls.append((_checked, (node, args, out)))
        elif name == "index" and node.attrs["key"] == (ARRAY,) and node.inputs[0].shape[0]:
            self.calls.append((_taken, (node, args, out)))
        else:
            self.calls.append((_general, (node, args, out)))

    def sum_to(self, x: Array, out: Array) -> Prepared:
        added = x.ndim - out.ndim
        if added == 1 and x.shape[1:] == out.shape:
            return np.add.reduce, (x, 0, None, out)
        if added > 1 and x.shape[added:] == out.shape and x.flags.c_contiguous and out.ndim == 1:
            # One row of ones times a matrix: BLAS adds the rows.
            flat = x.reshape(math.prod(x.shape[:added]), *out.shape)
            return np.matmul, (np.ones(flat.shape[0], x.dtype), flat, out)
        axes = (*range(added), *(i + added for i, n in enumerate(out.shape) if n == 1 and x.shape[i + added] != 1))
        full = out.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))
        return _reduce, (x, axes, True, full)

    def forget(self) -> None:
        """Let go of the arrays of the last run: they were copied."""

    def notes(self) -> list[str]:
        """Say what a reader of the plan should know of how it runs, a line each."""
        return []

    def forward(self, values: Mapping[Leaf, Array], count: int) -> list[Array]:
        """Run what the first outputs need; return fresh arrays of the first ``count`` of them."""
        return self.run(0, [self.numbers[leaf] for leaf in values], list(values.values()), slice(0, count))

    def backward(self, seeds: Mapping[Leaf, Array], count: int) -> list[Array]:
        """Run the rest, after ``forward``, with the gradients that arrive from above; return the other outputs."""
        return self.run(1, [self.numbers[leaf] for leaf in seeds], list(seeds.values()), slice(count, None))

    def forward_list(self, arrays: Sequence[Array], count: int) -> list[Array]:
        """As ``forward``, with arrays for the first of the plan's inputs, in their order."""
        require_count(self.leaves, arrays)
        return self.run(0, range(len(arrays)), arrays, slice(0, count))

    def backward_list(self, seeds: Sequence[Array], count: int) -> list[Array]:
        """As ``backward``, with arrays for the last of the plan's inputs, in their order."""
        require_count(self.leaves, seeds)
        return self.run(1, range(len(self.leaves) - len(seeds), len(self.leaves)), seeds, slice(count, None))

    def run(self, part: int, numbers: Sequence[int], arrays: Sequence[Array], outputs: slice) -> list[Array]:
        """Copy arrays to where the inputs of some numbers are read, run a part, and return copies of outputs."""
        for number, value in zip(numbers, arrays, strict=True):
            shape, dtype = self.forms[number]
            if type(value) is not np.ndarray or value.dtype is not dtype or value.shape != shape:
                value = fitting(self.leaves[number], value, np.ndarray, part == 1)
            self.inputs[number][...] = value
        self.execute(part)
        return [np.array(x) for x in self.outputs[outputs]]

    def execute(self, part: int) -> None:
        with np.errstate(all="ignore"):
            for function, args in self.parts[part]:
                function(*args)


def _in_full(function: Callable[..., Any], args: Sequence[Any], out: Array) -> Callable[..., Any]:
    """Let a function of bytes and booleans compute in its result's precision, where NumPy would in half of it."""
    if out.dtype.kind == "f" and all(x.dtype.itemsize == 1 for x in args if isinstance(x, np.ndarray)):
        return partial(function, dtype=out.dtype)
    return function


def _copy_where(out: Array, value: Any, mask: Array) -> None:
    np.copyto(out, value, where=mask)


def _reduce(x: Array, axis: Any, keepdims: bool, out: Array) -> None:
    np.add.reduce(x, axis=axis, out=out, keepdims=keepdims)


def _largest(x: Array, axis: Any, keepdims: bool, out: Array) -> None:
    np.maximum.reduce(x, axis=axis, out=out, keepdims=keepdims)


def _least(x: Array, axis: Any, keepdims: bool, out: Array) -> None:
    np.minimum.reduce(x, axis=axis, out=out, keepdims=keepdims)


def _accumulate(x: Array, axis: int, out: Array) -> None:
    np.add.accumulate(x, axis, out.dtype, out)


def _cast(out: Array, x: Array) -> None:
    np.copyto(out, x, casting="unsafe")


#: What fills an array by reducing over axes, and what goes along one.
_REDUCING: dict[str, Callable[..., Any]] = {"sum": _reduce, "max": _largest, "min": _least}
_ALONG: dict[str, Callable[..., Any]] = {
    "cumsum": _accumulate,
    "argmax": np.ndarray.argmax,
    "argmin": np.ndarray.argmin,
}


def _checked(node: Node, args: Sequence[Any], out: Array) -> None:
    """As the op's kernel; what is looked at in loops is mostly one label, and right."""
    (x,) = args
    if x.size == 1 and node.attrs["low"] <= x.item() <= node.attrs["high"]:
        np.copyto(out, x)
    else:
        _general(node, args, out)


def _taken(node: Node, args: Sequence[Any], out: Array) -> None:
    """Rows of an array, as indexing takes them but in half the time."""
    x, rows = args
    try:
        x.take(rows, 0, out)
    except IndexError:
        _general(node, args, out)


def _general(node: Node, args: Sequence[Any], out: Array) -> None:
    op: Any = node.op
    with told(node, args):
        result = op.kernel(np, *args, **node.attrs)
    # NumPy's power of booleans is of bytes.
    np.copyto(out, result, casting="unsafe" if out.dtype.kind == "b" else "same_kind")
