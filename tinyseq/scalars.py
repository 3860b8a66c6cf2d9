"""Python floats among the arguments of a traced function."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tinyseq.graph import Node
from tinyseq.modes import mode
from tinyseq.ops import elementwise as ew
from tinyseq.ops.base import Op
from tinyseq.tensors import Tensor, record


class AbstractScalar:
    """A float among the arguments of a traced function: an input while it is computed with, as a Python float would be.

    Its arithmetic with Python numbers is recorded in float64, as Python computes it. Where the value itself is asked
    for (a comparison, ``int``, an attribute of an op), the trace is right for that value only: it is ``pinned``.
    """

    __slots__ = ("sources", "symbol", "value", "weak")

    def __init__(self, symbol: Tensor, value: Any, sources: frozenset[int], weak: bool) -> None:
        #: The abstract tensor that ops take for it, its value in this call, the arguments that it comes from by number,
        #: and whether it is a Python float, which takes the dtype of what it meets.
        self.symbol, self.value, self.sources, self.weak = symbol, value, sources, weak

    @property
    def node(self) -> Node:
        """The node of the graph that stands for it."""
        return self.symbol.node

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance(x, float) holds, as it does without compile
        return type(self.value)

    def __neg__(self) -> AbstractScalar:
        return AbstractScalar(record(ew.neg, (self.symbol,)), -self.value, self.sources, self.weak)

    def pin(self) -> Any:
        """Return the value, and note that the trace depends on it."""
        if mode.tracing is not None:
            mode.tracing.pin(self.sources)
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.pin(), dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*(x.pin() if type(x) is AbstractScalar else x for x in inputs), **options)

    def __getattr__(self, name: str) -> Any:  # is_integer, as_integer_ratio, numpy's item and dtype
        return getattr(self.pin(), name)


def _recorded(name: str, op: Op, compute: Callable[[Any, Any], Any], divides: bool) -> None:
    def apply(left: Any, right: Any) -> Any:
        pair = [x.value if type(x) is AbstractScalar else x for x in (left, right)]
        value = compute(*pair)
        own = [x for x in (left, right) if type(x) is AbstractScalar]
        weak = all(x.weak for x in own)
        if divides and weak and type(right) is AbstractScalar and mode.tracing is not None:
            mode.tracing.pin(right.sources, but_for_zero=True)  # by 0 Python raises, and NumPy does not
        operands: list[Any] = [x.symbol if type(x) is AbstractScalar else float(x) for x in (left, right)]
        if not weak:  # beside a float of NumPy's a Python float takes its dtype
            operands = [
                record(ew.cast, (x,), {"dtype": value.dtype}) if isinstance(x, Tensor) and x.dtype != value.dtype else x
                for x in operands
            ]
        return AbstractScalar(record(op, operands), value, frozenset().union(*(x.sources for x in own)), weak)

    def takes(other: Any) -> bool:
        return type(other) is AbstractScalar or type(other) in (bool, int, float)

    def forward(self: AbstractScalar, other: Any) -> Any:
        if takes(other):
            return apply(self, other)
        return NotImplemented if hasattr(other, "__array__") else compute(self.pin(), other)

    def backward(self: AbstractScalar, other: Any) -> Any:
        return apply(other, self) if takes(other) else compute(other, self.pin())

    setattr(AbstractScalar, f"__{name}__", forward)
    setattr(AbstractScalar, f"__r{name}__", backward)


def _pinned(name: str, compute: Callable[..., Any]) -> None:
    def method(self: AbstractScalar, *others: Any) -> Any:
        if any(isinstance(x, Tensor) for x in others):
            return NotImplemented
        return compute(self.pin(), *(x.pin() if type(x) is AbstractScalar else x for x in others))

    setattr(AbstractScalar, name, method)


def _define() -> None:
    compute: Callable[..., Any]
    for name, op, compute, divides in (
        ("add", ew.add, operator.add, False),
        ("sub", ew.sub, operator.sub, False),
        ("mul", ew.mul, operator.mul, False),
        ("truediv", ew.div, operator.truediv, True),
    ):
        _recorded(name, op, compute, divides)
    for name in ("pow", "mod", "floordiv", "divmod"):
        compute = divmod if name == "divmod" else getattr(operator, name)
        _pinned(f"__{name}__", compute)
        _pinned(f"__r{name}__", lambda a, b, compute=compute: compute(b, a))
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        _pinned(f"__{name}__", getattr(operator, name))
    of_one: tuple[tuple[str, Callable[..., Any]], ...] = (
        ("abs", abs), ("pos", operator.pos), ("bool", bool), ("int", int), ("float", float), ("hash", hash),
        ("str", str), ("repr", repr), ("format", format), ("round", round), ("trunc", math.trunc),
        ("floor", math.floor), ("ceil", math.ceil), ("complex", complex),
    )  # fmt: skip
    for name, compute in of_one:
        _pinned(f"__{name}__", compute)


_define()

#: The types of arguments that an AbstractScalar stands for; NumPy's promote as arrays without axes do.
SCALARS: Final = (float, np.float16, np.float32, np.float64)
