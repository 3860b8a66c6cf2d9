"""Bounds of the options that make examples: they stand in annotations, and a config is checked by them."""

from __future__ import annotations

from typing import Annotated, NamedTuple


class Bounds(NamedTuple):
    """The least and the greatest value of an option, both included."""

    least: float
    most: float


#: How many examples are made.
Count = Annotated[int, Bounds(10, 10_000_000)]
#: How many steps an example has.
Length = Annotated[int, Bounds(2, 1_000_000)]
#: How many symbols, where some of them are distractors.
Shortest = Annotated[int, Bounds(10, 1_000_000)]
#: Samples that are left out.
Discarded = Annotated[int, Bounds(0, 10_000_000)]
