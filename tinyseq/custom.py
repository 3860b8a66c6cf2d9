"""Ops of one's own: a function of arrays, and its gradient as a function of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from tinyseq.errors import DataError, GraphError, ShapeError
from tinyseq.graph import Literal, Signature
from tinyseq.ops.base import Inferred, Op, Value, Xp
from tinyseq.tensors import Tensor

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
Forward = Callable[..., Array]
Gradients = Tensor | Sequence[Tensor | None] | None
Rule = Callable[..., Gradients]


class CustomOp(Op):
    """An op that a user has written; see ``custom_op``. Called on tensors it is recorded, drawn, unrolled and compiled.

    tinyseq's own.

    >>> @ts.custom_op
    ... def cube(x):
    ...     return x**3
    ...
    >>> cube(ts.tensor([2.0])).tolist()
    [8.0]
    """

    primitive = False
    reads = "xy"
    #: A compiled function looks at the two functions, and at what these read.
    __live__: ClassVar[tuple[str, ...]] = ()

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.forward, self.rule = forward, None
        self.name = forward.__name__  # type: ignore[misc]  # one class, an instance an op
        self.formula = rf"y = \operatorname{{{self.name}}}(x)"  # type: ignore[misc]
        self.__doc__ = forward.__doc__

    rule: Rule | None

    def gradient(self, rule: Rule) -> Rule:
        """Take a function of ``(g, y, *inputs)`` for the gradient, and return it.

        g is ∂L/∂y, y the result; it returns ∂L/∂x for each input, None where there is none, and the gradient alone for
        a single input. It is written with tinyseq's ops, so that it can be compiled and differentiated again.
        """
        self.rule = rule
        return rule

    def kernel(self, xp: Xp, *inputs: Any, **attrs: Any) -> Any:
        y = self.forward(*map(_read_only, inputs))
        if not hasattr(y, "shape") or not hasattr(y, "dtype"):
            raise DataError(f"{self.name}: the function returns no array", required="an array", got=type(y).__name__)
        return xp.asarray(y)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        """Ask the function itself, of ones: what shape and dtype come out may depend on shapes and dtypes alone."""
        ones = [x.attrs["value"] if isinstance(x, Literal) else np.ones(x.shape, x.dtype) for x in inputs]
        with np.errstate(all="ignore"):
            y = self.kernel(np, *ones)
        return y.shape, y.dtype

    def vjp(self, index: int, g: Value, y: Value, *inputs: Value, **attrs: Any) -> Value:
        if self.rule is None:
            raise GraphError(
                f"{self.name} has no gradient",
                required="a rule, as a second function",
                got="the forward function alone",
                fix=f"@{self.name}.gradient above a function of (g, y, {', '.join('x' * len(inputs))}); "
                "or ts.stop_gradient around its result",
            )
        plain = not isinstance(g, Tensor)
        given = [Tensor(x) if plain and hasattr(x, "dtype") else x for x in (g, y, *inputs)]
        parts = self.rule(*given)
        several = list(parts) if isinstance(parts, list | tuple) else [parts]
        if len(several) != len(inputs):
            raise GraphError(
                f"the gradient of {self.name}", required=f"{len(inputs)}, one an input", got=f"{len(several)}"
            )
        part = several[index]
        if part is None:
            return None
        if not isinstance(part, Tensor):
            raise GraphError(f"the gradient of {self.name}", required="tensors", got=type(part).__name__)
        if part.shape not in (inputs[index].shape, y.shape):
            raise ShapeError(
                f"the gradient of {self.name} for input {index}",
                required=str(inputs[index].shape),
                got=str(part.shape),
            )
        return part.value if plain else part


def _read_only(x: Any) -> Any:
    """An array that cannot be written to: values never change, and a forward function may be given one again."""
    if type(x) is np.ndarray:
        x = x.view()
        x.flags.writeable = False
    return x


def custom_op(forward: Forward) -> CustomOp:
    r"""An op of one's own: a function from arrays to an array, with a gradient rule as a second function.

        y = f(x_1, ..., x_n), \qquad \bar x_i = \sum_j \bar y_j \, \partial y_j / \partial x_i

    The function must depend on nothing but its inputs, and change nothing: plans may call it less often than it is
    written. The result's shape and dtype may depend on the inputs' shapes and dtypes alone; to know them without
    computing, the function is called on ones. A definition that is run again, as a notebook's cell, makes a new op.
    Compiled it is called by the plan, on every backend; nothing is made native of it.

    Raises:
        GraphError: a gradient is asked for, and there is no rule, or it returns another number of gradients.
        ShapeError: a gradient has another shape than its input.

    As ``torch.library.custom_op`` with ``register_autograd``.

    >>> @ts.custom_op
    ... def softsign(x):
    ...     return x / (1 + np.abs(x))
    ...
    >>> @softsign.gradient
    ... def slope(g, y, x):
    ...     return g / (1 + ts.abs(x)) ** 2
    ...
    >>> x = ts.tensor([1.0, -3.0], requires_grad=True)
    >>> softsign(x).sum().backward()
    >>> x.grad.tolist()
    [0.25, 0.0625]
    """
    return CustomOp(forward)
