"""Module: named parameters, sub-modules, and the scope that a model's nodes are put under."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from tinyseq import backends
from tinyseq.creation import tensor
from tinyseq.errors import DataError, DtypeError, GraphError, ShapeError, did_you_mean
from tinyseq.graph import Dtype, Leaf, scope
from tinyseq.nn import init
from tinyseq.ops.base import FLOAT32, DtypeLike, native
from tinyseq.tensors import Tensor


class Module:
    """The base of layers and models.

    An attribute that is a leaf tensor is a parameter where it has ``requires_grad`` and a buffer otherwise; one that is
    a Module is a sub-module. Both are found in nested lists, tuples and dicts too. Names are attribute paths:
    ``encoder.layers.0.W_f``.

    As ``torch.nn.Module``, without ``super().__init__()``.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         self.hidden, self.out = nn.Linear(2, 3), nn.Linear(3, 1)
    ...     def forward(self, x):
    ...         return self.out(ts.tanh(self.hidden(x)))
    ...
    >>> Net().num_parameters(), Net()(ts.zeros(5, 2)).shape
    (13, (5, 1))
    """

    _training = True
    #: What a parent calls it; the last part of its scope.
    name = ""

    @property
    def training(self) -> bool:
        """Whether the module is being trained (dropout draws) or used."""
        return self._training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with scope(self.name):
            return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        for path, part in _parts(name, value):
            if isinstance(part, Module):
                part.name = path.replace(".", "")
            elif part.requires_grad:
                part.name = path
        super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        for path, value in _results("", self.__dict__, set()):
            raise GraphError(
                f"copy.deepcopy of {type(self).__name__}: its attribute {path} is the result of an op",
                required="leaves, and tensors without a history, from which a copy would be cut",
                got=f"{value.dtype}{value.shape} from op {value.node.op.name}",
                where=value.node.where,
                fix=f"ts.detach(...) for {path} where it is kept, or before the copy",
            )
        fresh = object.__new__(type(self))
        memo[id(self)] = fresh
        fresh.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        return fresh

    # -- what it is made of --------------------------------------------------------------------------------------------

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for each direct sub-module."""
        for name, value in self.__dict__.items():
            for path, part in _parts(name, value):
                if isinstance(part, Module):
                    yield path, part

    def _own_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in self.__dict__.items():
            for path, part in _parts(name, value):
                if isinstance(part, Tensor):
                    yield path, part

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._own_tensors()
        for name, child in self.children():
            for path, part in child._tensors():
                yield f"{name}.{path}", part

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (path, parameter), each parameter once, even where two modules share it."""
        seen: set[Tensor] = set()
        for path, value in self._tensors():
            if value.requires_grad and value not in seen:
                seen.add(value)
                yield path, value

    def parameters(self) -> list[Tensor]:
        """Return the parameters, each once."""
        return [value for _, value in self.named_parameters()]

    def buffers(self) -> list[Tensor]:
        """Return the tensors that are no parameters, each once."""
        return list(dict.fromkeys(value for _, value in self._tensors() if not value.requires_grad))

    def num_parameters(self) -> int:
        """Return how many numbers are learned."""
        return sum(value.size for value in self.parameters())

    @property
    def dtype(self) -> Dtype:
        """The dtype of the parameters, or of the buffers where there are none; float32 where there are neither."""
        floats = [value for _, value in self._tensors() if value.dtype.kind == "f"]
        first = floats[0].dtype if floats else FLOAT32
        return next((value.dtype for value in floats if value.requires_grad), first)

    # -- values in and out ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Return parameters and buffers by path, without history."""
        return {path: value.detach() for path, value in self._tensors()}

    def load_state_dict(self, state: Mapping[str, Tensor | np.ndarray[Any, Any]]) -> None:
        """Take over parameters and buffers; all or nothing: where one does not fit, none is changed.

        Raises:
            DataError: a path is missing, or one too many.
            ShapeError: a value has another shape.
        """
        own = dict(self._tensors())
        if missing := [path for path in own if path not in state]:
            raise DataError(
                f"load_state_dict: {type(self).__name__} misses {len(missing)} of its {len(own)} values",
                required=", ".join(missing),
                got=", ".join(sorted(state)) or "nothing",
            )
        if extra := [path for path in state if path not in own]:
            raise DataError(
                f"load_state_dict: {type(self).__name__} has no {', '.join(map(repr, extra))}",
                fix=did_you_mean(extra[0], own),
            )
        values = {}
        for path, target in own.items():
            value = state[path]
            array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
            if array.shape != target.shape:
                raise ShapeError(f"load_state_dict: {path}", required=str(target.shape), got=str(array.shape))
            if array.dtype.kind not in "biuf" or (array.dtype.kind == "f") != (target.dtype.kind == "f"):
                raise DtypeError(f"load_state_dict: {path}", required=str(target.dtype), got=str(array.dtype))
            values[path] = Tensor(backends.of(target.value).from_host(array.astype(target.dtype)))
        for path, target in own.items():
            target.assign(values[path])

    def cast(self, dtype: Any) -> Self:
        """Give every floating-point parameter and buffer another dtype (float64 for checks); return the module.

        Gradients are forgotten; graphs recorded before keep the old values.
        """
        dtype = native(dtype)
        if dtype.kind != "f":
            raise DtypeError("cast: parameters are floating-point", required="float32 or float64", got=str(dtype))
        for _, value in self._tensors():
            if value.dtype.kind == "f" and value.dtype != dtype:
                name, value.value, value._node = value.name, value.value.astype(dtype), None
                if name is not None:
                    value.name = name
        return self

    # -- training ------------------------------------------------------------------------------------------------------

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for value in self.parameters():
            value.grad = None

    def constrain(self) -> None:
        """Bring parameters back within the bounds that their modules set, if any; to be called after ``opt.step()``."""
        for _, child in self.children():
            child.constrain()

    def train(self, mode: bool = True) -> Self:
        """Switch to training (dropout draws), here and in every sub-module; return the module."""
        self._training = mode
        for _, child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch to evaluation (no dropout); return the module."""
        return self.train(False)

    # -- in words ------------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """Return what ``repr`` says between the brackets before the parameter count, such as ``100 -> 50``."""
        return ""

    def __repr__(self) -> str:
        rows = [f"  {name}: {repr(child).replace(chr(10), chr(10) + '  ')}" for name, child in self.children()]
        facts = [self.summary(), f"{self.num_parameters():,} parameters"]
        return "\n".join([f"{type(self).__name__}({', '.join(fact for fact in facts if fact)})", *rows])


def _parts(name: str, value: Any) -> Iterator[tuple[str, Module | Tensor]]:
    """Yield the modules and leaf tensors of an attribute. The result of an op, kept as an attribute, is neither."""
    if isinstance(value, Module) or (isinstance(value, Tensor) and value.is_leaf):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from _parts(f"{name}.{i}", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _parts(f"{name}.{key}", part)


def _results(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of an attribute, and of modules in it, that are results with a history."""
    if isinstance(value, Tensor):
        if value.requires_grad and not value.is_leaf:
            yield path, value
    elif isinstance(value, Module | dict | list | tuple) and id(value) not in seen:
        seen.add(id(value))
        parts = value.__dict__ if isinstance(value, Module) else value
        for key, part in parts.items() if isinstance(parts, dict) else enumerate(parts):
            yield from _results(f"{path}.{key}" if path else str(key), part, seen)


def parameter(array: np.ndarray[Any, Any] | Tensor, dtype: DtypeLike = np.float32) -> Tensor:
    """Return a learned tensor with initial values from a host array.

    As ``torch.nn.Parameter``.

    >>> nn.parameter(np.array([1.0, 2.0]))
    tensor([1., 2.], requires_grad=True)
    """
    if init.is_shapes_only():
        value = np.broadcast_to(np.zeros((), dtype), array.shape)
        return Tensor(value, Leaf(value.shape, value.dtype, True, None), True)
    return tensor(array, dtype=dtype, requires_grad=True)


def buffer(array: np.ndarray[Any, Any] | Tensor, dtype: DtypeLike = np.float32) -> Tensor:
    """Return a tensor that is saved with the parameters, but not learned.

    As ``torch.nn.Module.register_buffer``.

    >>> nn.buffer(np.array([1.0, 2.0])), nn.buffer(np.zeros(1)).requires_grad
    (tensor([1., 2.]), False)
    """
    if init.is_shapes_only():
        return Tensor(np.broadcast_to(np.zeros((), dtype), array.shape))
    return tensor(array, dtype=dtype)
