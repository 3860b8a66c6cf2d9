"""What is known of a system: its names, whether it drives itself, and how other series of it are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyseq import given
from tinyseq.data.series import read_series
from tinyseq.errors import DataError
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.reservoir.config import ReservoirTaskConfig
from tinyseq.train.tasks.role import Array


class ReservoirRecord(NamedTuple):
    """A record: inputs (time, inputs), targets (time, outputs) or None, and how many first steps only warm up."""

    name: str
    inputs: Array
    targets: Array | None
    start: int


class SystemCodec(Codec[ReservoirTaskConfig]):
    """The names of inputs and outputs, and the variance that errors are measured by."""

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    #: Whether the system drives itself: its outputs are its next inputs.
    free: bool
    #: Of each output, over the whole series.
    variance: Array

    def take_names(self, inputs: Sequence[str], targets: Sequence[str], free: bool) -> None:
        """Take over the names of inputs and outputs, and whether the outputs are the next inputs."""
        self.inputs, self.targets, self.free = tuple(inputs), tuple(targets), free

    def metadata(self) -> Mapping[str, Any]:
        facts = {"inputs": list(self.inputs), "targets": list(self.targets), "free": self.free}
        return {**facts, "variance": self.variance.tolist()}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.take_names(metadata["inputs"], metadata["targets"], metadata["free"])
        self.variance = np.array(metadata["variance"], np.float64)

    def read(self, path: Path, *, targets: bool = True) -> list[ReservoirRecord]:
        if self.free:
            values = read_series(path, self.inputs).values
            return [ReservoirRecord(path.name, values[:-1], values[1:], self._warm(len(values) - 1))]
        names = (*self.inputs, *self.targets)
        values = read_series(path, names if targets else self.inputs).values
        truth = values[:, len(self.inputs) :] if targets else None
        return [ReservoirRecord(path.name, values[:, : len(self.inputs)], truth, self._warm(len(values)))]

    def _warm(self, length: int) -> int:
        return min(self.config.readout.washout, length // 2)

    def records(self, inputs: Iterable[Any]) -> list[ReservoirRecord]:
        records = []
        for number, values in enumerate(inputs):
            array = given.array(values, np.float64)
            array = array[:, None] if array.ndim == 1 else array
            if array.ndim != 2 or array.shape[1] != len(self.inputs) or not len(array) or not np.isfinite(array).all():
                raise DataError(
                    f"input {number}",
                    required=f"finite numbers (time, {len(self.inputs)}): {', '.join(self.inputs)}",
                    got=f"shape {np.shape(values)}",
                )
            records.append(ReservoirRecord(f"input {number}", array, None, 0))
        return records
