"""What the tests of layers share: random weights, and a module as a function of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq import nn


def randomized(module: nn.Module, seed: int = 0, scale: float = 0.6) -> nn.Module:
    """Give a module float64 values without symmetry, buffers included."""
    rng = np.random.default_rng(seed)
    module.cast(np.float64)
    module.load_state_dict({path: rng.normal(0.1, scale, v.shape) for path, v in module.state_dict().items()})
    return module


def replace(module: nn.Module, values: dict[str, ts.Tensor]) -> None:
    """Put other tensors where a module's parameters stand."""
    for path, value in values.items():
        holder: Any = module
        *way, name = path.split(".")
        for part in way:
            holder = (
                holder[int(part)]
                if isinstance(holder, list)
                else holder[part]
                if isinstance(holder, dict)
                else getattr(holder, part)
            )
        object.__setattr__(holder, name, value)


def check_module_grads(module: nn.Module, fn: Callable[..., Any], *inputs: ts.Tensor, **options: Any) -> None:
    """Check the gradients of ``fn(*inputs)``, which calls ``module``, by inputs and parameters together."""
    paths = dict(module.named_parameters())

    def call(*args: ts.Tensor) -> Any:
        try:
            replace(module, dict(zip(paths, args[len(inputs) :], strict=True)))
            return fn(*args[: len(inputs)])
        finally:
            replace(module, paths)

    ts.testing.check_grads(call, *inputs, *paths.values(), **options)


def draws(*shape: int, seed: int = 0) -> ts.Tensor:
    """Return float64 normal draws."""
    return ts.tensor(np.random.default_rng(seed).normal(size=shape))


def random_state(cell: nn.Cell, batch: int, seed: int = 5) -> Any:
    """Return a non-zero state of a cell's form."""
    rng = np.random.default_rng(seed)
    return ts.trees.map_leaves(lambda x: ts.tensor(rng.normal(0.1, 0.5, x.shape)), cell.initial_state(batch))


def leaves(tree: Any) -> list[ts.Tensor]:
    return [part for _, part in ts.trees.leaves(tree)]
