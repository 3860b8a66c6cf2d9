"""The tables of cells and functions, and what they are made with.

A cell's docstring begins with the passes, or other files of the compiler, that could get it wrong, and says how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import tinyseq as ts

F64 = np.float64


class Sizes(NamedTuple):
    batch: int = 3
    time: int = 5
    inputs: int = 2
    hidden: int = 4


@dataclass
class Case:
    """A function to compile, its arguments, and the tensors that it closes over."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    weights: list[ts.Tensor] = field(default_factory=list)

    def tensors(self) -> list[ts.Tensor]:
        """Return all that may get a gradient."""
        given = [x for _, x in ts.trees.leaves(self.args) if isinstance(x, ts.Tensor)]
        return [x for x in [*given, *self.weights] if x.requires_grad]


class Draw:
    """Makes float64 tensors; it remembers those that are weights."""

    def __init__(self, sizes: Sizes, seed: int = 0) -> None:
        self.rng, self.sizes = np.random.default_rng(seed), sizes
        self.weights: list[ts.Tensor] = []

    def __call__(self, *shape: int, grad: bool = True) -> ts.Tensor:
        return ts.tensor(self.rng.normal(0.0, 0.6, shape), requires_grad=grad)

    def weight(self, *shape: int) -> ts.Tensor:
        self.weights.append(self(*shape))
        return self.weights[-1]

    def state(self, *widths: int) -> Any:
        """One state of the batch for each width."""
        states = tuple(self(self.sizes.batch, width) for width in widths)
        return states if len(states) > 1 else states[0]

    def xs(self) -> ts.Tensor:
        return self(self.sizes.batch, self.sizes.time, self.sizes.inputs)


Make = Callable[[Draw], tuple[Any, Any]]


#: name -> (draw) -> (step, initial state).
CELLS: dict[str, Make] = {}


#: Cells whose states or outputs have no batch axis in front, which lengths need.
BATCHLESS: set[str] = set()


#: name -> (sizes) -> Case: what is not one cell over one sequence.
FUNCTIONS: dict[str, Callable[[Sizes], Case]] = {}


def cell(make: Make) -> Make:
    CELLS[make.__name__] = make
    return make


def batchless(make: Make) -> Make:
    BATCHLESS.add(make.__name__)
    return cell(make)


def function(make: Callable[[Sizes], Case]) -> Callable[[Sizes], Case]:
    FUNCTIONS[make.__name__] = make
    return make
