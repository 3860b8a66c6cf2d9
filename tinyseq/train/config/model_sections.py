"""Config sections that several tasks share: recurrent layers, and the shares that data is split by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from tinyseq import nn
from tinyseq.data.tokens import LEVELS
from tinyseq.train.config.registry import build_recurrent, cell_problems
from tinyseq.train.config.run_config import CellName
from tinyseq.train.config.section import OneOf, Section
from tinyseq.train.config.source import Problem, within


def _whole(split: list[float]) -> list[float]:
    if min(split) <= 0 or not math.isclose(sum(split), 1.0, abs_tol=1e-6):
        raise ValueError(f"required three shares over 0 that sum to 1, got {split} (sum {sum(split):g})")
    return split


#: The shares of training, validation and test data.
Shares = Annotated[list[float], Field(min_length=3, max_length=3), AfterValidator(_whole)]


def without_path(section: Any) -> Iterator[Problem]:
    """Yield a problem for files of their own for validation and test, where the training data is made."""
    for name in ("valid", "test"):
        if getattr(section, name) is not None and section.path is None:
            yield Problem(
                (name,), "a file of its own, but none to train on; required `path` too", involves=(("path",),)
            )


def _column(value: Any) -> Any:
    named = isinstance(value, str) and value != ""
    if not named and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"required a column's name, or its number from 1, got {value!r}"[:120])
    return value


#: A column of a file, by name or by number from 1.
ColumnName = Annotated[Any, AfterValidator(_column), WithJsonSchema({"type": ["integer", "string"], "minimum": 1})]

#: What a token is.
LevelName = Annotated[str, OneOf(LEVELS)]


class CellConfig(Section):
    """What all recurrent models have in common: a cell and its options, and how many layers of it."""

    cell: CellName = Field("lstm", description="A registered cell, or your own: file.py:ClassName.")
    hidden_size: int = Field(64, ge=1, description="Features of each layer's state.")
    num_layers: int = Field(1, ge=1, description="How many recurrent layers.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability, on inputs, between layers and on outputs.")
    residual: bool = Field(False, description="Add what a layer reads to its output, where the sizes agree.")
    options: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the cell.")

    def contradictions(self) -> Iterator[Problem]:
        yield from within("options", cell_problems(self.cell, self.options), involves=("cell",))


class RecurrentConfig(CellConfig):
    """Recurrent layers of any cell."""

    bidirectional: bool = Field(False, description="A second cell a layer, which reads from the end.")

    def build(self, input_size: int) -> nn.Recurrent:
        """Return the layers; their outputs have ``output_size`` features."""
        return build_recurrent(
            self.cell,
            input_size,
            self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            residual=self.residual,
            options=self.options,
        )
