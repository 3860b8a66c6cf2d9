"""tinyseq: a tiny tensor/autograd engine for sequence models, compiler-style."""

from __future__ import annotations

from tinyseq import starting as _starting  # noqa: F401  # isort: skip
import importlib
from typing import TYPE_CHECKING, Any

import numpy as _np

from tinyseq import nn, optim, testing
from tinyseq.backends import use as backend
from tinyseq.compiler import compile, trace
from tinyseq.compiler.function import CompiledFunction as _CompiledFunction
from tinyseq.compiler.plan import Plan as _Plan
from tinyseq.creation import arange, eye, from_dlpack, full, ones, rand, randn, tensor, zeros
from tinyseq.custom import custom_op
from tinyseq.errors import TinyseqError
from tinyseq.functional import detach, grad, gradients, value_and_grad
from tinyseq.functions.elementwise import (
    abs,
    cast,
    clip,
    cos,
    erf,
    exp,
    expm1,
    gelu,
    isfinite,
    log,
    log1p,
    maximum,
    minimum,
    relu,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    stop_gradient,
    tanh,
    where,
)
from tinyseq.functions.products import einsum, matmul, sparse_matmul
from tinyseq.functions.reductions import (
    argmax,
    argmin,
    cumsum,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    prod,
    softmax,
    sum,
    var,
)
from tinyseq.functions.shapes import (
    broadcast_to,
    concat,
    expand_dims,
    flip,
    gather,
    pad,
    reshape,
    scatter_add,
    split,
    squeeze,
    stack,
    swapaxes,
    take,
    transpose,
    tril,
    triu,
    unstack,
    zeros_like,
)
from tinyseq.graph import Graph, scope
from tinyseq.hints import TS, missing
from tinyseq.modes import enable_grad, no_grad
from tinyseq.nn.functional import dropout, embedding
from tinyseq.random import seed
from tinyseq.sparse import SparseMatrix
from tinyseq.tensors import Tensor
from tinyseq.unrolling import unroll
from tinyseq.words import all, any, argsort, dot, linspace, norm, one_hot, sort, std, topk

__all__ = [
    "Graph",
    "SparseMatrix",
    "Tensor",
    "TinyseqError",
    "abs",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "backend",
    "bool_",
    "broadcast_to",
    "cast",
    "cat",
    "clip",
    "compile",
    "concat",
    "concatenate",
    "cos",
    "cumsum",
    "custom_op",
    "detach",
    "dot",
    "draw",
    "dropout",
    "einsum",
    "embedding",
    "enable_grad",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "flip",
    "float32",
    "float64",
    "from_dlpack",
    "full",
    "gather",
    "gelu",
    "grad",
    "gradients",
    "int64",
    "isfinite",
    "linspace",
    "load",
    "load_config",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "nn",
    "no_grad",
    "norm",
    "one_hot",
    "ones",
    "optim",
    "pad",
    "prod",
    "rand",
    "randn",
    "relu",
    "reshape",
    "run",
    "scatter_add",
    "scope",
    "seed",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "softplus",
    "sort",
    "sparse_matmul",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "sum",
    "swapaxes",
    "take",
    "tanh",
    "tensor",
    "testing",
    "topk",
    "trace",
    "transpose",
    "tril",
    "triu",
    "unroll",
    "unstack",
    "value_and_grad",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

#: What NumPy and PyTorch call these.
concatenate = cat = concat
manual_seed = seed

__version__ = "0.1.0"

float32, float64, int64, bool_ = _np.float32, _np.float64, _np.int64, _np.bool_

#: Public functions of parts that import heavy packages: found when first asked for.
_LAZY = {
    "draw": "tinyseq.drawing",
    "load": "tinyseq.train",
    "load_config": "tinyseq.train",
    "run": "tinyseq.train",
}


if TYPE_CHECKING:
    from tinyseq.drawing import draw
    from tinyseq.train import load, load_config, run
else:

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return getattr(importlib.import_module(_LAZY[name]), name)
        raise missing("module 'tinyseq'", name, TS, __all__)


def __dir__() -> list[str]:
    """What Tab completes: the public names, those that are found when first asked for too."""
    return [*__all__, "__doc__", "__version__"]


def _repr_svg_(self: Any) -> str | None:
    """The picture that a notebook shows of a graph, a compiled function or a plan; None before its first call."""
    from tinyseq.drawing import show

    return show(self)


def _repr_html_(self: Any) -> str:
    """What a notebook shows of a tensor: its numbers and, where it has a history, the picture of it."""
    from tinyseq.drawing import show_tensor

    return show_tensor(self)


# Notebooks look for these on the class; they load the drawing part when first called.
for _kind in (Graph, _CompiledFunction, _Plan):
    setattr(_kind, "_repr_svg_", _repr_svg_)  # noqa: B010
setattr(Tensor, "_repr_html_", _repr_html_)  # noqa: B010
