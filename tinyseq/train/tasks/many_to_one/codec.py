"""How inputs and targets are read and encoded, and what was learned of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tinyseq.data.examples import Example
from tinyseq.errors import DataError
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.inputs import INPUTS, ExamplesConfig, Inputs
from tinyseq.train.tasks.role import Array, C


class ExamplesCodec(Codec[C]):
    """What is known of inputs, whatever they are; a subclass says what targets are."""

    #: How the column of targets is read: a key of ``READ_TARGETS``.
    targets: ClassVar[str]
    inputs: Inputs

    def __init__(self, config: C) -> None:
        super().__init__(config)
        self.data: ExamplesConfig = config.data  # type: ignore[attr-defined]
        self.inputs = INPUTS[self.data.kind](self.data, config.dtype)

    @abstractmethod
    def encode_targets(self, examples: Sequence[Example]) -> Array:
        """Return the targets as the loss takes them.

        Raises:
            DataError: there is none.
        """

    @abstractmethod
    def target_state(self) -> dict[str, Any]:
        """Return what ``restore_targets`` needs; plain JSON."""

    @abstractmethod
    def restore_targets(self, state: Mapping[str, Any]) -> None:
        """The counterpart of ``target_state``."""

    def metadata(self) -> Mapping[str, Any]:
        return {"inputs": self.inputs.state(), "targets": self.target_state()}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        try:
            self.inputs.restore(metadata["inputs"])
            self.restore_targets(metadata["targets"])
        except (KeyError, TypeError) as error:
            raise DataError(
                "the run's metadata is not of this task", required="inputs, targets", got=str(error)
            ) from None

    def read(self, path: Path, *, targets: bool = True) -> list[Example]:
        return self.inputs.read(path, self.targets, targets=targets)

    def records(self, inputs: Iterable[Any]) -> list[Example]:
        records = []
        for number, value in enumerate(inputs):
            try:
                records.append(Example(self.inputs.accept(value)))
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"input {number} is not of the task's form",
                    required=self.inputs.form,
                    got=str(error) or repr(value)[:80],
                ) from None
        return records
