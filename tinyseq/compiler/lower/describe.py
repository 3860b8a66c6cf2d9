"""A plan's instructions as stages, by a lowering's forms of ops; what has none is refused with the reason."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np

from tinyseq.compiler.lower.access import Access, Ghosts
from tinyseq.compiler.lower.kinds import FLOATS, SIZES, computing_kind
from tinyseq.compiler.lower.stages import (
    Argument,
    Cumulation,
    Draw,
    Gathering,
    Group,
    Normalization,
    Product,
    ReductionStage,
    SparseProduct,
    Step,
    Work,
)
from tinyseq.compiler.plan import Call, Copy, Operand, Ref
from tinyseq.ops.base import OPS
from tinyseq.ops.shape import ARRAY

#: What an op is in stages: (its call, the operands, where the result goes, views) -> stages, in order; or NotNative.
Form: TypeAlias = "Callable[[Call, list[Argument], Access, Ghosts], list[Step]]"
Forms: TypeAlias = Mapping[str, Form]


class NotNative(Exception):
    """An instruction that stays with NumPy; the message is the reason."""


def describe(instruction: Call | Copy, ghosts: Ghosts, forms: Forms, in_loop: bool = False) -> list[Step]:
    """Return an instruction's stages, in order; ``in_loop`` keeps the first axis, along which a loop may be split.

    Raises:
        NotNative: there is no form for it.
    """
    stages = _stages(instruction, ghosts, forms)
    return stages if in_loop else [_flattened(stage) if isinstance(stage, Group) else stage for stage in stages]


def _stages(instruction: Call | Copy, ghosts: Ghosts, forms: Forms) -> list[Step]:
    output = ghosts.access(instruction.output)
    if 0 in output.shape:
        return []
    if isinstance(instruction, Copy):
        return [_elementwise("identity", [_argument(instruction.source, ghosts)], output, ())]
    name = instruction.node.op.name
    operands = [_argument(x, ghosts) for x in instruction.inputs]
    if any(isinstance(x, Access) and 0 in x.shape for x in operands):
        raise NotNative(f"{name} of nothing")
    if name not in forms:
        raise NotNative(f"{name} has no native form")
    return forms[name](instruction, operands, output, ghosts)


def _argument(x: Operand, ghosts: Ghosts) -> Argument:
    return ghosts.access(x) if isinstance(x, Ref) else x


def elementwise(names: Iterable[str]) -> dict[str, Form]:
    """Return the form of ops that a lowering computes element by element."""
    return dict.fromkeys(names, _each)


def of_values(form: Callable[[Call, list[Access], Access, Ghosts], list[Step]]) -> Form:
    """Return a form that refuses a number where it reads memory."""

    @functools.wraps(form)
    def checked(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts) -> list[Step]:
        values = [x for x in operands if isinstance(x, Access)]
        if len(values) < len(operands):
            raise NotNative(f"{call.node.op.name} of a number")
        return form(call, values, output, ghosts)

    return checked


def _each(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts) -> list[Step]:
    return [_elementwise(call.node.op.name, operands, output, tuple(call.node.attrs.items()))]


def _elementwise(name: str, operands: list[Argument], output: Access, attrs: tuple[Any, ...]) -> Group:
    if name == "pow" and not isinstance(exponent := operands[1], Access):
        name, operands = _power(operands[0], exponent)
    kinds = tuple(x.kind if isinstance(x, Access) else x for x in operands)
    kind = computing_kind(OPS[name], kinds, output.kind)
    if kind is None:
        raise NotNative(f"{name} of {', '.join(map(str, kinds))} to {output.kind}")
    for place in {"where": [0]}.get(name, range(len(operands)) if kind == "b1" else []):
        if not isinstance(operands[place], Access):  # a number's truth; cut to an integer, 0.5 would be false
            operands = [*operands[:place], bool(operands[place]), *operands[place + 1 :]]
    output = _at_least_matrix(output)
    operands = [_at_least_matrix(x).aligned(output.shape) if isinstance(x, Access) else x for x in operands]
    return Group(output.shape[:-1], output.shape[-1], [Work(name, kind, operands, output, attrs)])


def _power(x: Argument, exponent: float) -> tuple[str, list[Argument]]:
    """Return the op and operands of a power; the commonest need no general one."""
    simple: dict[float, tuple[str, list[Argument]]] = {2: ("mul", [x, x]), 0.5: ("sqrt", [x]), -1: ("div", [1.0, x])}
    return simple.get(exponent, ("pow", [x, exponent]))


def _flattened(group: Group) -> Group:
    """Take the axes of rows as one where every operand lies so: then products and what follows them meet."""
    (work,) = group.works
    accesses = [x for x in (*work.operands, work.output) if isinstance(x, Access)]
    axes = sorted(range(len(group.lead)), key=lambda axis: -work.output.strides[axis])
    for outer, inner in pairwise(axes):
        if any(x.strides[outer] != x.strides[inner] * group.lead[inner] for x in accesses):
            return group
    rows = math.prod(group.lead)

    def flat(x: Any) -> Any:
        return x.shaped((rows, x.shape[-1]), (x.strides[axes[-1]], x.strides[-1])) if isinstance(x, Access) else x

    made = Work(work.name, work.kind, [flat(x) for x in work.operands], flat(work.output), work.attrs)
    return Group((rows,), group.width, [made])


def _at_least_matrix(x: Access) -> Access:
    missing = max(2 - len(x.shape), 0)
    return x.shaped((1,) * missing + x.shape, (0,) * missing + x.strides) if missing else x


@of_values
def _matmul(call: Call, operands: list[Access], output: Access, ghosts: Ghosts) -> list[Step]:
    left, right = operands
    if not left.kind == right.kind == output.kind or output.kind not in FLOATS:
        raise NotNative(f"matmul of {left.kind} and {right.kind}")
    if len(left.shape) == 1:  # a row
        left = left.shaped((1, *left.shape), (0, *left.strides))
        shape, strides = output.shape, output.strides
        cut = len(shape) - (len(right.shape) > 1)
        output = output.shaped((*shape[:cut], 1, *shape[cut:]), (*strides[:cut], 0, *strides[cut:]))
    if len(right.shape) == 1:  # a column
        right = right.shaped((*right.shape, 1), (*right.strides, 0))
        output = output.shaped((*output.shape, 1), (*output.strides, 0))
    batch = output.shape[:-2]
    return [Product(left.aligned((*batch, *left.shape[-2:])), right.aligned((*batch, *right.shape[-2:])), output)]


def reduced(name: str, operand: Access, output: Access, gone: Sequence[bool], keepdims: bool) -> list[Step]:
    """Return a reduction; ``gone`` says which axes of the operand the output lacks, or with ``keepdims`` has as 1."""
    if output.kind == "b1" or operand.kind not in SIZES or output.kind not in SIZES:
        raise NotNative(f"{name} of {operand.kind}")
    kept = iter(zip(output.shape, output.strides, strict=True))
    strides = []
    for is_gone in gone:
        _, stride = next(kept) if keepdims or not is_gone else (1, 0)
        strides.append(0 if is_gone else stride)
    target = output.shaped(tuple(1 if g else n for g, n in zip(gone, operand.shape, strict=True)), tuple(strides))
    return [ReductionStage(name, operand, target, tuple(gone))]


@of_values
def _sum(call: Call, operands: list[Access], output: Access, ghosts: Ghosts) -> list[Step]:
    axes, x = call.node.attrs["axis"], operands[0]
    return reduced(call.node.op.name, x, output, [i in axes for i in range(len(x.shape))], call.node.attrs["keepdims"])


@of_values
def _place(call: Call, operands: list[Access], output: Access, ghosts: Ghosts) -> list[Step]:
    x = operands[0]
    return reduced(call.node.op.name, x, output, [i == call.node.attrs["axis"] for i in range(len(x.shape))], False)


@of_values
def _cumsum(call: Call, operands: list[Access], output: Access, ghosts: Ghosts) -> list[Step]:
    x = operands[0]
    if x.kind not in SIZES:
        raise NotNative(f"cumsum of {x.kind}")
    return [Cumulation(x, output, call.node.attrs["axis"])]


@of_values
def _sum_to(call: Call, operands: list[Access], output: Access, ghosts: Ghosts) -> list[Step]:
    x = operands[0]
    added = len(x.shape) - len(output.shape)
    padded = output.shaped((1,) * added + output.shape, (0,) * added + output.strides)
    return reduced("sum", x, padded, [n == 1 for n in padded.shape], True)


@of_values
def _normalization(call: Call, operands: list[Access], output: Access, ghosts: Ghosts) -> list[Step]:
    x, axis = operands[0], call.node.attrs["axis"]
    if x.kind not in FLOATS or x.kind != output.kind or axis not in (len(x.shape) - 1, (len(x.shape) - 1,)):
        raise NotNative(f"{call.node.op.name} of {x.kind} along {axis}")
    if call.node.op.name == "logsumexp" and not call.node.attrs["keepdims"]:
        output = output.shaped((*output.shape, 1), (*output.strides, 0))
    return [Normalization(call.node.op.name, x, output)]


def _zeros(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts) -> list[Step]:
    return [_elementwise("identity", [0], output, ())]


def _copied(source: Argument, target: Access) -> Step:
    return _elementwise("identity", [source], target, ())


def _within(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts, key: Any, filling: Any) -> list[Step]:
    """Fill the output, then put the operand where ``key`` points."""
    part = ghosts.access(call.output, ghosts.view(call.output)[(*key, ...) if ... not in key else key])
    copies = [] if 0 in part.shape else [_copied(operands[0], part)]
    return [_elementwise("identity", [filling], output, ()), *copies]


def _unslice(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts) -> list[Step]:
    return _within(call, operands, output, ghosts, call.node.attrs["key"], 0)


def _pad(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts) -> list[Step]:
    key = tuple(slice(low, n - high) for (low, high), n in zip(call.node.attrs["widths"], output.shape, strict=True))
    return _within(call, operands, output, ghosts, key, call.node.attrs["value"])


def _stack(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts) -> list[Step]:
    axis, whole = call.node.attrs["axis"], ghosts.view(call.output)
    return [
        _copied(part, ghosts.access(call.output, whole[(slice(None),) * axis + (i, ...)]))
        for i, part in enumerate(operands)
    ]


def _moved(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts) -> list[Step]:
    """An op that gives a view in NumPy: the view is copied."""
    source = call.inputs[0]
    assert isinstance(source, Ref)
    view = call.node.op.kernel(np, ghosts.view(source), **call.node.attrs)  # type: ignore[attr-defined]
    return [_copied(ghosts.access(source, view), output)]


@of_values
def _index(call: Call, operands: list[Access], output: Access, ghosts: Ghosts) -> list[Step]:
    add = call.node.op.name == "scatter_add"
    first, *arrays = operands
    whole, part = (output, first) if add else (first, output)
    key = call.node.attrs["key"]
    places = [i for i, p in enumerate(key) if p == ARRAY]
    adjacent = places == list(range(places[0], places[-1] + 1)) if places else False
    if not adjacent or any(p != slice(None) for i, p in enumerate(key) if i not in places):
        raise NotNative(f"{call.node.op.name} with the key {key}")
    fitting = whole.kind == part.kind and whole.kind in (FLOATS if add else SIZES)
    if not fitting or any(a.kind not in ("i4", "i8") for a in arrays):
        raise NotNative(f"{call.node.op.name} of {whole.kind} by {', '.join(a.kind for a in arrays)}")
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return [Gathering(whole, part, [a.aligned(shape) for a in arrays], places[0], add)]


@of_values
def _sparse_matmul(call: Call, operands: list[Access], output: Access, ghosts: Ghosts) -> list[Step]:
    left, values, indices, starts = operands
    if not left.kind == values.kind == output.kind or output.kind not in FLOATS:
        raise NotNative(f"sparse_matmul of {left.kind} and {values.kind}")
    left, output = _at_least_matrix(left), _at_least_matrix(output)
    return [SparseProduct(left, values, indices, starts, output, call.node.attrs["turned"])]


def _uniform(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts) -> list[Step]:
    kinds = [x.kind if isinstance(x, Access) else "i8" for x in operands]
    if output.kind not in FLOATS or any(kind not in ("i4", "i8") for kind in kinds):
        raise NotNative(f"uniform in {output.kind} with {', '.join(kinds)}")
    return [Draw(output, operands[0], operands[1], call.node.attrs["seed"], call.node.attrs["site"])]


#: The forms of ops in the stages that every native lowering has.
FORMS: Final[Forms] = {
    "matmul": _matmul,
    "sum": _sum,
    "max": _sum,
    "min": _sum,
    "argmax": _place,
    "argmin": _place,
    "sum_to": _sum_to,
    "cumsum": _cumsum,
    "softmax": _normalization,
    "log_softmax": _normalization,
    "logsumexp": _normalization,
    "zeros_like": _zeros,
    "unslice": _unslice,
    "pad": _pad,
    "stack": _stack,
    "flip": _moved,
    "index": _index,
    "scatter_add": _index,
    "sparse_matmul": _sparse_matmul,
    "uniform": _uniform,
}
