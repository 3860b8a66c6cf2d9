"""The config of a run that forecasts: what is read, what learns, what is forecast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from tinyseq.data.series import TRANSFORMS, SeriesPlan
from tinyseq.errors import did_you_mean
from tinyseq.train.config.model_sections import RecurrentConfig, Shares
from tinyseq.train.config.run_config import FilePath, RunConfig
from tinyseq.train.config.section import OneOf, Section
from tinyseq.train.config.source import Problem
from tinyseq.train.config.table_section import TableSection


class SeriesConfig(TableSection):
    """What is read."""

    path: FilePath | None = Field(None, description="A CSV file; null is the yearly sunspot numbers, 1700 to 2008.")
    columns: list[str] | None = Field(None, min_length=1, description="What the model reads; null: all but `time`.")
    layout: Literal["long", "wide"] = Field("long", description="A row is a step; wide: a row is a series.")
    group: str | None = Field(None, description="The column that tells series apart, where a file has several.")
    targets: list[str] | None = Field(None, min_length=1, description="What is forecast; null: all of `columns`.")
    time: str | list[str] | None = Field(
        None, description="The column that says when, or several: [date, hour]; rows are put in its order."
    )
    time_format: str | None = Field(
        None, pattern="%", description='How times are written, as strptime has it: "%d/%m/%Y"; null: found out.'
    )
    order: Literal["time", "file"] = Field("time", description="Rows in the order of `time`, or as they stand.")
    repeated: Literal["refuse", "first", "last", "mean"] = Field(
        "refuse", description="Rows of one time: refuse them, or take the first, the last or their mean."
    )
    gaps: Literal["keep", "fill", "refuse"] = Field(
        "keep", description="Steps that are not there: rows are steps all the same, or the gap is filled with missing."
    )
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
        yield from super().contradictions()
        several = "group" if self.group is not None else "layout" if self.layout == "wide" else None
        if several is not None and self.window is None:
            message = "the model reads one series on (window: null), and these are several; required a number of steps"
            yield Problem(("window",), message, involves=((several,),))
        if self.layout == "wide" and self.columns is not None:
            message = "in a wide file, columns are the steps; required null"
            yield Problem(("columns",), message, involves=(("layout",),))
        if self.path is None and several is not None:
            yield Problem((several,), "the sunspot numbers are one series; required `path`", involves=(("path",),))
        for name in ("time_format", "repeated", "gaps"):
            if self.time is None and self.path is not None and getattr(self, name) not in (None, "refuse", "keep"):
                yield Problem((name,), "says how times are read; required `time` too", involves=(("time",), ("path",)))
        if self.gaps == "fill" and self.missing == "refuse":
            message = "gaps are filled with missing values, which are refused; required missing: carry"
            yield Problem(("gaps",), message, involves=(("missing",),))
        if self.group is not None and self.group in (self.columns or ()):
            message = f"{self.group!r} is among the columns: it tells series apart, and is not read"
            yield Problem(("group",), message, involves=(("columns",),))
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
        if self.time == []:
            yield Problem(("time",), "required a column, or null")
        for name in self.times:
            if name in (self.columns or ()):
                message = f"{name!r} is among the columns: it says when, and is not read"
                yield Problem(("time",), message, involves=(("columns",),))

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that say when."""
        return () if self.time is None else (self.time,) if isinstance(self.time, str) else tuple(self.time)

    def plan(self, *, known: bool = False) -> SeriesPlan:
        """Return how rows are series; where columns are ``known``, a file may lack ``time`` and ``group``."""
        times = ("year",) if self.path is None else self.times
        return SeriesPlan(
            time=times[0] if times else None,
            more=times[1:],
            time_may_lack=known,
            time_format=self.time_format,
            group=self.group,
            wide=self.layout == "wide",
            order=self.order,
            repeated=self.repeated,
            gaps=self.gaps,
            missing=self.missing,
        )


class ForecastConfig(Section):
    """What is forecast."""

    horizon: int = Field(1, ge=1, description="How many next steps the model forecasts at once.")
    from_last: bool = Field(True, description="The model adds to the last value, so it need only learn the change.")
    season: int | None = Field(
        None, ge=1, description="Steps in a season, for the seasonal naive forecast and MASE; null: MASE of one step."
    )
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
