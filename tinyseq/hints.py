"""What others call what is here: a name that is not there is answered with ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NoReturn

from tinyseq.errors import TinyseqError, did_you_mean


class MissingError(TinyseqError, AttributeError):
    """A name that is not there; ``hasattr`` takes it for what it is."""


_NEW_VALUE: Final = "values are immutable: x = x {} y for a new value, p.assign(p {} y) for a parameter"
_ITSELF: Final = "x itself: values are immutable"
_BACKEND: Final = 'with ts.backend("cupy"): makes tensors on a GPU'

_IN_PLACE: Final = {"add": "+", "sub": "-", "mul": "*", "div": "/"}

#: Of a tensor.
TENSOR: Final[Mapping[str, str]] = {
    **dict.fromkeys(("view", "flatten", "ravel", "view_as"), "x.reshape(...), such as x.reshape(-1)"),
    **dict.fromkeys(("astype", "to", "type", "float", "double", "long", "int", "bool", "half"), "x.cast(ts.float32)"),
    **dict.fromkeys(("cpu", "cuda", "device"), f"x.numpy() for an array on the host; {_BACKEND}"),
    **dict.fromkeys(("clone", "copy", "contiguous"), _ITSELF),
    **dict.fromkeys(("mm", "bmm", "matmul", "mv"), "x @ y"),
    **dict.fromkeys(("unsqueeze",), "x.expand_dims(axis)"),
    **dict.fromkeys(("permute", "t"), "x.transpose(...), x.T"),
    **dict.fromkeys(("expand", "repeat", "tile"), "x.broadcast_to(...)"),
    **dict.fromkeys(("clamp",), "x.clip(low, high)"),
    **dict.fromkeys(("masked_fill", "masked_fill_"), "ts.where(mask, value, x)"),
    **{f"{name}_": _NEW_VALUE.format(sign, sign) for name, sign in _IN_PLACE.items()},
    **dict.fromkeys(("copy_", "fill_", "zero_", "normal_", "uniform_"), "p.assign(value)"),
    "data": "p.assign(value) for a new value, x.detach() for the value without its history",
    "dim": "x.ndim",
    "grad_fn": "x.node",
    "pow": "x ** p",
    "requires_grad_": "ts.tensor(data, requires_grad=True)",
    **{name: f"ts.{name}(x, ...)" for name in (
        "all", "any", "argsort", "dot", "erf", "expm1", "flip", "gather", "gelu", "log1p", "maximum", "minimum", "norm",
        "pad", "sign", "softplus", "sort", "split", "std", "take", "topk", "tril", "triu", "unstack", "where",
    )},
}  # fmt: skip

#: Of ``ts.nn``.
NN: Final[Mapping[str, str]] = {
    **{name: f"ts.{name.lower()}" for name in ("ReLU", "Tanh", "Sigmoid", "GELU", "Softmax", "Softplus")},
    **dict.fromkeys(("BatchNorm1d", "RMSNorm", "GroupNorm"), "nn.LayerNorm"),
    "BCEWithLogitsLoss": 'nn.binary_cross_entropy(logits, targets, reduction="mean")',
    "CrossEntropyLoss": 'nn.cross_entropy(logits, targets, reduction="mean")',
    "Identity": "a function: lambda x: x",
    "LogSoftmax": "ts.log_softmax",
    "MSELoss": 'nn.squared_error(y, targets, reduction="mean"), which is half of it',
    "ModuleDict": "a dict of modules as an attribute: its parameters are found",
    "Parameter": "nn.parameter(array)",
    "ParameterList": "a list of parameters as an attribute: they are found",
    "Transformer": "nn.TransformerEncoder and nn.TransformerDecoder",
    "utils": "optim.clip_grad_norm; lengths=... of a recurrent layer for sequences of unequal lengths",
}

#: Of ``ts.optim``.
OPTIM: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("Adagrad", "Adamax", "NAdam", "RAdam", "Adadelta"), "optim.Adam, or a subclass of optim.Optimizer"
    ),
    "lr_scheduler": "optim.Scheduler(opt, optim.Cosine(steps))",
}

#: Of ``ts``.
TS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("array", "asarray", "as_tensor", "from_numpy", "FloatTensor", "LongTensor"), "ts.tensor(data)"),
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "pow", "power"), "Python's operators: x + y, x ** p"),
    **dict.fromkeys(("mm", "bmm", "mv"), "x @ y"),
    **dict.fromkeys(("vstack", "hstack", "column_stack"), "ts.concat, ts.stack"),
    **dict.fromkeys(("cuda", "device"), _BACKEND),
    **dict.fromkeys(("absolute", "fabs"), "ts.abs"),
    "Parameter": "nn.parameter(array)",
    "Variable": "ts.tensor(data, requires_grad=True)",
    "chunk": "ts.split(x, size)",
    "clamp": "ts.clip",
    "double": "ts.float64",
    "float": "ts.float32",
    "jit": "ts.compile",
    "long": "ts.int64",
    "ones_like": "ts.zeros_like(x) + 1",
    "permute": "ts.transpose",
    "save": "module.state_dict(), which numpy.savez or a safetensors writer takes",
    "unbind": "ts.unstack",
    "unsqueeze": "ts.expand_dims",
}


def missing(where: str, name: str, table: Mapping[str, str], known: Iterable[str] = ()) -> AttributeError:
    """Return the error for a name that is not there: with ours where others have another, or with the closest one."""
    if name.startswith("_"):
        return AttributeError(f"{where} has no attribute {name!r}")
    fix = table.get(name, "")
    if not fix and known and (close := did_you_mean(name, known)).startswith("did"):
        fix = close
    error = MissingError(f"{where} has no attribute {name!r}", fix=fix)
    error.name = name
    return error


class _Elsewhere:
    """An attribute that others have: whoever reads it is told of ours, and ``hasattr`` says no."""

    def __init__(self, where: str, name: str, table: Mapping[str, str]) -> None:
        self.where, self.name, self.table = where, name, table

    def __get__(self, instance: object, owner: type | None = None) -> NoReturn:
        raise missing(self.where, self.name, self.table)


class Answering(type):
    """The metaclass of classes that answer to names that others have, without listing them.

    A ``__getattr__`` would do, and slow down every read of what is there.
    """

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        members: dict[str, object],
        where: str = "",
        table: Mapping[str, str] = {},
    ) -> Answering:
        told = {other: _Elsewhere(where, other, table) for other in table}
        return super().__new__(mcs, name, bases, {**told, **members})

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, object], **told: object) -> None:
        super().__init__(name, bases, members)

    def __dir__(cls) -> list[str]:
        return [name for name in super().__dir__() if hasattr(cls, name)]
