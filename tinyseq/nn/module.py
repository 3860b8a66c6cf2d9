"""Module: named parameters, sub-modules, and the scope that a model's nodes are put under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from tinyseq import backends
from tinyseq.errors import DataError, ShapeError, did_you_mean
from tinyseq.graph import Dtype, scope
from tinyseq.tensors import Tensor


class Module:
    """The base of layers and models.

    An attribute that is a tensor with ``requires_grad`` is a parameter, any other tensor a buffer; an attribute that is
    a Module, or a list or dict of them, is a sub-module. Names are attribute paths: ``encoder.layers.0.W_f``.
    """

    training = True
    #: What a parent calls it; the last part of its scope.
    name = ""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with scope(self.name):
            return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        for path, module in _modules(name, value):
            module.name = path.replace(".", "")
        if isinstance(value, Tensor) and value.requires_grad:
            value.name = name
        super().__setattr__(name, value)

    def children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for each direct sub-module."""
        for name, value in self.__dict__.items():
            yield from _modules(name, value)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in self.__dict__.items():
            if isinstance(value, Tensor):
                yield name, value
        for name, child in self.children():
            for path, value in child._tensors():
                yield f"{name}.{path}", value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (path, parameter), each parameter once, even where two modules share it."""
        seen: set[Tensor] = set()
        for path, value in self._tensors():
            if value.requires_grad and value not in seen:
                seen.add(value)
                yield path, value

    def parameters(self) -> list[Tensor]:
        """Return the parameters."""
        return [value for _, value in self.named_parameters()]

    def num_parameters(self) -> int:
        """Return how many numbers are learned."""
        return sum(value.size for value in self.parameters())

    def state_dict(self) -> dict[str, Tensor]:
        """Return parameters and buffers by path, without history."""
        return {path: value.detach() for path, value in self._tensors()}

    def load_state_dict(self, state: Mapping[str, Tensor | np.ndarray[Any, Any]]) -> None:
        """Take over parameters and buffers; all or nothing.

        Raises:
            DataError: a path is missing, or one too many.
            ShapeError: a value has another shape.
        """
        own = dict(self._tensors())
        if missing := sorted(own.keys() - state.keys()):
            raise DataError("load_state_dict: missing", required=", ".join(missing), got=", ".join(sorted(state)))
        if extra := sorted(state.keys() - own.keys()):
            raise DataError(f"load_state_dict: unknown {extra[0]!r}", fix=did_you_mean(extra[0], own))
        values = {}
        for path, target in own.items():
            value = state[path]
            array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
            if array.shape != target.shape:
                raise ShapeError(f"load_state_dict: {path}", required=str(target.shape), got=str(array.shape))
            values[path] = Tensor(backends.of(target.value).from_host(array.astype(target.dtype)))
        for path, target in own.items():
            target.assign(values[path])

    @property
    def dtype(self) -> Dtype:
        """The dtype of the parameters."""
        return next((value.dtype for value in self.parameters()), np.dtype(np.float32))

    def cast(self, dtype: Any) -> Self:
        """Give every floating-point parameter and buffer another dtype (float64 for checks); return the module."""
        for _, value in self._tensors():
            if value.dtype.kind == "f":
                fresh = Tensor(value.value.astype(dtype))
                node, value._node = value._node, None
                value.value = fresh.value
                if node is not None and node.name:
                    value.name = node.name
        return self

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for value in self.parameters():
            value.grad = None

    def train(self, mode: bool = True) -> Self:
        """Switch to training (dropout draws), here and in every sub-module; return the module."""
        self.training = mode
        for _, child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Switch to evaluation (no dropout); return the module."""
        return self.train(False)

    def __repr__(self) -> str:
        rows = [f"  {name}: {repr(child).replace(chr(10), chr(10) + '  ')}" for name, child in self.children()]
        head = f"{type(self).__name__}({self.num_parameters():,} parameters)"
        return "\n".join([head, *rows])


def _modules(name: str, value: Any) -> Iterator[tuple[str, Module]]:
    if isinstance(value, Module):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from _modules(f"{name}.{i}", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _modules(f"{name}.{key}", part)


def parameter(array: np.ndarray[Any, Any], dtype: Any = np.float32) -> Tensor:
    """Return a learned tensor with initial values from a host array."""
    from tinyseq.creation import tensor

    return tensor(array, dtype=dtype, requires_grad=True)
