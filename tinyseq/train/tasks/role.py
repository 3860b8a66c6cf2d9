"""What the roles of a task have in common: the config, and how a role says what it does not do."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

import numpy as np

from tinyseq.errors import DataError
from tinyseq.nn.chunked import ChunkedLoop
from tinyseq.train.config.run_config import RunConfig

C = TypeVar("C", bound=RunConfig)
T = TypeVar("T")
Array = np.ndarray[Any, Any]


class Role(ABC, Generic[C]):
    """One side of a task. The sides share the object, so a vocabulary that one learned is known to the others."""

    def __init__(self, config: C) -> None:
        self.config = config

    #: The model whose steps were last run in a loop, what step, and the loop.
    _looped: tuple[Any, str, ChunkedLoop] | None = None

    def loop_of(self, model: Any, name: str, step: Callable[..., tuple[Any, Any]]) -> ChunkedLoop:
        """Return a loop of a model's step, compiled if the config compiles; kept while it is asked for by this name."""
        if self._looped is None or self._looped[:2] != (model, name):
            self._looped = model, name, ChunkedLoop(step, compiled=self.config.compile)
        return self._looped[2]

    def _lacks(self, what: str) -> DataError:
        return DataError(f"the task {self.config.task!r} {what}", required="a run of a task that does")


class Prepared(Generic[T]):
    """An attribute that ``prepare`` gives a task: its data, which a task that was restored for use does not have.

    A class lists what it has of its data, ``series = Prepared[Series]()``. To read it where there is none is a
    DataError; ``Forecasting.series.of(task)`` is None then.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, task: None, owner: type) -> Self: ...

    @overload
    def __get__(self, task: Role[Any], owner: type) -> T: ...

    def __get__(self, task: Role[Any] | None, owner: type) -> Self | T:
        if task is None:
            return self
        value = self.of(task)
        if value is None:
            raise DataError(
                f"the task {task.config.task!r} has not read its data",
                required=f"prepare() before {self.name!r} is asked for",
                got="a fresh task, or one restored from a run to be used",
            )
        return value

    def __set__(self, task: Role[Any], value: T) -> None:
        task.__dict__[self.name] = value

    def of(self, task: Role[Any]) -> T | None:
        """Return the value, or None where the task has not read its data."""
        value: T | None = task.__dict__.get(self.name)
        return value
