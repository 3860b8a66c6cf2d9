"""The config of a run that forecasts: what is read, what learns, what is forecast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from tinyseq.data.series import TRANSFORMS
from tinyseq.errors import did_you_mean
from tinyseq.train.config.model_sections import RecurrentConfig, Shares
from tinyseq.train.config.run_config import FilePath, RunConfig
from tinyseq.train.config.section import OneOf, Section
from tinyseq.train.config.source import Problem


class SeriesConfig(Section):
    """What is read."""

    path: FilePath | None = Field(None, description="A CSV file; null is the yearly sunspot numbers, 1700 to 2008.")
    columns: list[str] | None = Field(None, min_length=1, description="What the model reads; null: all but `time`.")
    targets: list[str] | None = Field(None, min_length=1, description="What is forecast; null: all of `columns`.")
    time: str | None = Field(None, description="The column that says when; it is only shown.")
    missing: Literal["refuse", "carry"] = Field("refuse", description="A missing value: refuse it, or carry the last.")
    transform: Annotated[str, OneOf(TRANSFORMS)] = Field(
        "none", description="What is done to values before they are standardised."
    )
    split: Shares = Field(default=[0.7, 0.15, 0.15], description="Shares of training, validation and test, in time.")
    window: int | None = Field(
        48, ge=1, description="Steps that the model sees; null: it reads on, and keeps its state (train.bptt)."
    )
    warmup: int = Field(0, ge=0, description="First steps of a window whose forecasts do not count in training.")

    def contradictions(self) -> Iterator[Problem]:
        if self.window is not None and self.warmup >= self.window:
            message = f"required less than the window ({self.window}), got {self.warmup}"
            yield Problem(("warmup",), message, involves=(("window",),))
        if self.window is None and self.warmup:
            message = "the model reads on (window: null), and only the first steps of a window do not count; required 0"
            yield Problem(("warmup",), message, involves=(("window",),))
        for number, name in enumerate(self.targets or ()):
            if self.columns is not None and name not in self.columns:
                message = f"{name!r} is not among the columns; {did_you_mean(name, self.columns)}"
                yield Problem(("targets", number), message, involves=(("columns",),))
        if self.time is not None and self.time in (self.columns or ()):
            message = f"{self.time!r} is among the columns: it says when, and is not read"
            yield Problem(("time",), message, involves=(("columns",),))


class ForecastConfig(Section):
    """What is forecast."""

    horizon: int = Field(1, ge=1, description="How many next steps the model forecasts at once.")
    from_last: bool = Field(True, description="The model adds to the last value, so it need only learn the change.")
    season: int | None = Field(None, ge=1, description="Steps in a season, for the seasonal naive forecast.")
    steps: int = Field(20, ge=1, description="How far it runs on by its own forecasts, in the picture and in predict.")


class ForecastingConfig(RunConfig):
    """A run of the task ``forecasting``."""

    data: SeriesConfig = Field(default_factory=SeriesConfig, description="What is read.")
    model: RecurrentConfig = Field(default_factory=RecurrentConfig, description="What learns.")
    forecast: ForecastConfig = Field(default_factory=ForecastConfig, description="What is forecast.")

    def contradictions(self) -> Iterator[Problem]:
        if self.model.bidirectional:
            yield Problem(("model", "bidirectional"), "a forecast must not read from the end; required false")
        bptt = self.train.bptt
        if self.data.window is None and bptt.depth != bptt.every:
            message = (
                f"forecasting reads on by whole chunks (data.window: null); required null or `every`, got {bptt.back}"
            )
            yield Problem(("train", "bptt", "back"), message, involves=(("data", "window"), ("train", "bptt", "every")))
