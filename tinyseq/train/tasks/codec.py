"""The role of a task between a user and a model: files and inputs to records, and what it takes to read them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyseq.train.tasks.role import C, Role


class Codec(Role[C]):
    """What was learned of the data besides weights (vocabularies, scales, classes), and how new data is read by it.

    A trained model is used by ``restore``, ``build``, then ``read`` or ``records``. A codec reads no data of its own:
    what ``metadata`` returns, ``Learning.prepare`` has learned.
    """

    def metadata(self) -> Mapping[str, Any]:
        """Return what ``restore`` needs besides the weights: vocabularies, sizes. Plain JSON."""
        return {}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        """Be ready for ``build``, ``read`` and ``predict`` without the data: the counterpart of ``metadata``."""
        raise NotImplementedError(f"{type(self).__name__} does not restore")

    def read(self, path: Path, *, targets: bool = True) -> Sequence[Any]:
        """Return the records of a user's file in the task's format.

        Args:
            path: the file.
            targets: whether each record must have its target; else a file without them is taken too.

        Raises:
            DataError: the file is not there or not of the format; the message names the line.
        """
        raise self._lacks("reads no files")

    def records(self, inputs: Iterable[Any]) -> Sequence[Any]:
        """Return records, without targets, of inputs given in Python: texts, lists of words, arrays.

        Raises:
            DataError: an input is not of the form; the message gives its number.
        """
        raise self._lacks("takes no inputs")
