"""NumPy's own functions on tensors: answered where nothing is lost, refused in words where a gradient would be cut.

``np.asarray(x)``, and what is built on it (pictures, tables), always gives the values. A function that NumPy dispatches
on its arguments can be told apart: what ``np.concatenate([h, x])`` gives looks like a tensor and has no history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tinyseq import graph, trees
from tinyseq.errors import GraphError
from tinyseq.ops import OPS, predicates
from tinyseq.ops import elementwise as ew
from tinyseq.ops.base import Op, Recorder
from tinyseq.ops.linalg import matmul

#: What NumPy's operators come to where an array stands on the left, as in ``array * tensor``.
OPERATORS: Final[Mapping[Any, Op]] = {
    np.add: ew.add,
    np.subtract: ew.sub,
    np.multiply: ew.mul,
    np.true_divide: ew.div,
    np.power: ew.power,
    np.matmul: matmul,
    np.equal: predicates.equal,
    np.not_equal: predicates.not_equal,
    np.less: predicates.less,
    np.less_equal: predicates.less_equal,
    np.greater: predicates.greater,
    np.greater_equal: predicates.greater_equal,
}

#: Functions that look at shape and dtype alone.
_OF_SHAPES: Final = (np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like)

#: What to write instead, by NumPy's name.
INSTEAD: Final[Mapping[str, str]] = {
    **dict.fromkeys(("concatenate", "hstack", "vstack", "append", "block"), "ts.concat"),
    **dict.fromkeys(("array_split", "hsplit", "vsplit"), "ts.split"),
    **dict.fromkeys(("dstack", "column_stack"), "ts.stack"),
    **dict.fromkeys(("absolute", "fabs"), "ts.abs"),
    **dict.fromkeys(("dot", "inner", "vdot"), "x @ y"),
    **dict.fromkeys(("ravel", "atleast_1d", "atleast_2d"), "ts.reshape"),
    **dict.fromkeys(("moveaxis", "rollaxis", "permute_dims"), "ts.transpose"),
    **dict.fromkeys(("outer", "tensordot"), "ts.einsum"),
    **dict.fromkeys(("take_along_axis", "choose"), "ts.gather"),
    **dict.fromkeys(("amax", "maximum.reduce"), "ts.max"),
    **dict.fromkeys(("amin", "minimum.reduce"), "ts.min"),
    **dict.fromkeys(("cumulative_sum", "add.accumulate"), "ts.cumsum"),
    **dict.fromkeys(("average", "nanmean"), "ts.mean"),
    "fmax": "ts.maximum",
    "fmin": "ts.minimum",
    "add.reduce": "ts.sum",
    "multiply.reduce": "ts.prod",
    "expit": "ts.sigmoid",
    "std": "ts.sqrt(ts.var(x))",
    "norm": "ts.sqrt((x * x).sum())",
    "add": "x + y",
    "subtract": "x - y",
    "multiply": "x * y",
    "divide": "x / y",
    "power": "x ** y",
    "square": "x * x",
    "reciprocal": "1 / x",
    "negative": "-x",
    "logical_and": "x & y",
    "logical_or": "x | y",
    "logical_not": "~x",
    "equal": "x == y",
    "not_equal": "x != y",
    "less": "x < y",
    "less_equal": "x <= y",
    "greater": "x > y",
    "greater_equal": "x >= y",
}
#: What is made of ops under the same name.
_MADE_OF_OPS: Final = ("mean", "var", "prod", "squeeze", "expand_dims", "swapaxes", "take")


def ufunc(function: Any, method: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Answer NumPy's ufunc protocol: an operator records its op, any other function computes on arrays.

    Raises:
        GraphError: the result would have lost its history, or there are no values yet.
    """
    if method == "__call__" and not options and function in OPERATORS:
        tensor = next(x for x in inputs if isinstance(x, Recorder))
        return tensor._record(OPERATORS[function], inputs)
    name = function.__name__ if method == "__call__" else f"{function.__name__}.{method}"
    return _on_arrays(name, getattr(function, method), inputs, options)


def function(function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Answer NumPy's function protocol: compute on arrays.

    Raises:
        GraphError: the result would have lost its history, or there are no values yet.
    """
    if function in _OF_SHAPES:
        return function(*trees.map_leaves(_ghost, tuple(args)), **options)
    return _on_arrays(function.__name__, function, args, options)


def _on_arrays(name: str, function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    given = (tuple(args), dict(options))
    tensors: list[Any] = [x for _, x in trees.leaves(given) if isinstance(x, Recorder)]
    cure = instead(name)
    for x in tensors:
        if x.value is None:
            raise GraphError(
                f"NumPy's {name} of a traced tensor",
                required="ops of tinyseq: while tracing there are shapes and dtypes, no values yet",
                got=f"{graph.signature(x.node)} from op {x.node.op.name}",
                where=graph.locate(),
                fix=cure,
            )
    arrays, options = trees.map_leaves(_values, given)
    result = function(*arrays, **options)
    tracked = next((x for x in tensors if x.requires_grad), None)
    if tracked is not None and any(_has_slope(y) for _, y in trees.leaves(result)):
        raise GraphError(
            f"NumPy's {name} would cut the gradient: what it gives has no history",
            required="ops of tinyseq where a tensor requires a gradient",
            got=f"{tracked.name or f'the value of op {tracked.node.op.name}'}, {graph.signature(tracked.node)}",
            where=graph.locate(),
            fix=f"{cure}; x.numpy() where no gradient is to flow",
        )
    return result


def instead(name: str) -> str:
    """Return what to write for a function of NumPy's."""
    same = f"ts.{name}" if name in OPS or name in _MADE_OF_OPS else "the functions and methods of tensors"
    return INSTEAD.get(name, same)


def _has_slope(y: Any) -> bool:
    """Whether a result is of floating-point numbers; through integers, booleans and words no gradient flows."""
    return isinstance(y, float) or (isinstance(y, np.ndarray | np.generic) and y.dtype.kind in "fc")


def _values(x: Any) -> Any:
    return x.numpy() if _is_tensor(x) else x


def _ghost(x: Any) -> Any:
    """An array of a tensor's shape and dtype that takes no memory."""
    return np.broadcast_to(np.empty((), x.dtype), x.shape) if _is_tensor(x) else x


def _is_tensor(x: Any) -> bool:
    return isinstance(x, Recorder)
