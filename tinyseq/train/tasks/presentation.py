"""The role of a task towards a reader: predictions, as rows, text and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from tinyseq.train.tasks.role import C, Role

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: How many predictions of a run's own data are shown at its end.
SHOWN = 5


class Reading(NamedTuple):
    """A stretch of time in which a model's cells can be watched on one input: a word a step, and what runs them.

    ``times`` says that the words are times or numbers, which need not all be told.
    """

    tokens: list[str]
    run: Callable[[], Any]
    times: bool = False


@runtime_checkable
class WritesText(Protocol):
    """What a task has besides its roles whose model goes on with a text: ``tinyseq sample`` asks for it."""

    def sample(
        self,
        model: Any,
        *,
        prime: str | None = None,
        length: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        seed: int = 0,
    ) -> tuple[str, str]:
        """Return the prime and the text that the model goes on with; what is None is as in the config."""


class Presentation(Role[C]):
    """What a model says of records, for a program (``predict``) and for a person; it reads none itself."""

    def predict(self, model: Any, records: Sequence[Any], *, batch_size: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield a prediction a record, in their order: plain JSON, the input or what names it included."""
        raise self._lacks("predicts nothing")

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        """Return a prediction as a person wants to read it: one line, or a block."""
        return "  ".join(f"{key}: {value}" for key, value in prediction.items())

    def line(self, prediction: Mapping[str, Any]) -> str:
        """Return a prediction of the run's own data, beside its truth, for reports."""
        return self.as_text(prediction)

    def leave(self, model: Any, records: Sequence[Any], directory: Path) -> str:
        """Leave files that show what was learned (samples, predictions) in a directory; return a bit of it to show."""
        return ""

    def leave_rows(self, predictions: Iterable[Mapping[str, Any]], directory: Path) -> str:
        """Leave predictions as ``predictions.jsonl``; return the first of them to show."""
        rows = list(predictions)
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (directory / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
        return "\n".join(self.line(row) for row in rows[:SHOWN])

    # Figures.

    def picture(self, predictions: Sequence[Mapping[str, Any]]) -> Figure:
        """Return a figure of predictions.

        Raises:
            DataError: the task has no picture of its predictions.
        """
        raise self._lacks("draws no picture of its predictions")

    def figures(self, model: Any, records: Sequence[Any]) -> Mapping[str, Callable[[], Figure]]:
        """Return, by name, what draws the figures that this kind of task has of a model and records.

        Nothing is computed before one is drawn, so the names can be asked for without records.
        """
        return {}

    def readings(self, model: Any, record: Any) -> Sequence[Reading]:
        """Return where in time a model's cells can be watched on a record; none where nothing is recurrent."""
        return []
