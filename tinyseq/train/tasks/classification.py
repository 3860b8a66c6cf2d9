"""Classification: a text, a sequence of numbers or a vector, and which of several classes it is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq import nn
from tinyseq.data.examples import Example
from tinyseq.data.measures import confusion_matrix, macro_f1, scores
from tinyseq.errors import DataError, did_you_mean
from tinyseq.figures import confusion_matrix as draw_confusion
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.learning import Measure
from tinyseq.train.tasks.many_to_one import ManyToOne, ManyToOneConfig
from tinyseq.train.tasks.role import Array, Prepared

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Classification(ManyToOne[ManyToOneConfig]):
    """Cross-entropy over the classes of the training part; judged by accuracy."""

    Config = ManyToOneConfig
    measure = Measure("accuracy", "accuracy", lower_is_better=False)
    targets = "label"

    classes: tuple[str, ...]
    #: The commonest class of the training part.
    majority = Prepared[str]()

    def fit_targets(self, examples: Sequence[Example]) -> None:
        self.classes = tuple(sorted({example.target for example in examples}))
        self.majority = Counter(example.target for example in examples).most_common(1)[0][0]
        if len(self.classes) < 2:
            raise DataError("nothing to tell apart", required="at least 2 classes", got=f"only {self.classes[0]!r}")

    def encode_targets(self, examples: Sequence[Example]) -> Array:
        numbers = {label: number for number, label in enumerate(self.classes)}
        for row, example in enumerate(examples):
            if example.target not in numbers:
                raise DataError(
                    "an example without its class" if example.target is None else "a class that training did not know",
                    required=f"one of: {', '.join(self.classes)}",
                    got=repr(example.target),
                    where=f"example {row}",
                    fix="" if example.target is None else did_you_mean(example.target, self.classes),
                )
        return np.array([numbers[example.target] for example in examples], np.int64)

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def losses(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        return nn.cross_entropy(outputs, targets, reduction=reduction)

    def prediction(self, outputs: Array) -> dict[str, Any]:
        shares = np.exp(outputs - outputs.max())
        shares /= shares.sum()
        best = int(shares.argmax())
        all_shares = {label: round(float(share), 6) for label, share in zip(self.classes, shares, strict=True)}
        return {"label": self.classes[best], "probability": all_shares[self.classes[best]], "probabilities": all_shares}

    def target_state(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}

    def restore_targets(self, state: Mapping[str, Any]) -> None:
        self.classes = tuple(state["classes"])

    def evaluate_on(
        self, model: nn.Module, records: Sequence[Example], *, batch_size: int | None = None
    ) -> dict[str, float]:
        targets = self.encode_targets(records)
        outputs = self.compute(model, records, batch_size)
        predicted = outputs.argmax(1)
        matrix = confusion_matrix(targets, predicted, len(self.classes))
        return {
            "loss": self.mean_loss(outputs, targets),
            "accuracy": float((predicted == targets).mean()),
            "macro_f1": macro_f1(matrix),
            "examples": len(records),
        }

    def details(self, model: nn.Module, records: Sequence[Example], *, batch_size: int | None = None) -> dict[str, Any]:
        """Return the confusion matrix, and precision, recall and F1 of each class."""
        predicted = self.compute(model, records, batch_size).argmax(1)
        matrix = confusion_matrix(self.encode_targets(records), predicted, len(self.classes))
        return {
            "classes": {label: score._asdict() for label, score in zip(self.classes, scores(matrix), strict=True)},
            "confusion": {
                label: dict(zip(self.classes, row, strict=True))
                for label, row in zip(self.classes, matrix.tolist(), strict=True)
            },
        }

    def short(self, prediction: Mapping[str, Any]) -> str:
        return str(prediction["label"])

    def figures(self, model: Any, records: Sequence[Example]) -> Mapping[str, Callable[[], Figure]]:
        return {"confusion": lambda: self._confusion(model, records), **super().figures(model, records)}

    def _confusion(self, model: nn.Module, records: Sequence[Example]) -> Figure:
        predicted = self.compute(model, records, None).argmax(1)
        matrix = confusion_matrix(self.encode_targets(records), predicted, len(self.classes))
        return draw_confusion(matrix, self.classes, f"accuracy {np.trace(matrix) / max(matrix.sum(), 1):.3f}")

    def baselines(self) -> dict[str, dict[str, float]]:
        test = self.encode_targets(self.part("test"))
        guess = np.full_like(test, self.classes.index(self.majority))
        matrix = confusion_matrix(test, guess, len(self.classes))
        return {"majority class": {"accuracy": float((test == guess).mean()), "macro_f1": macro_f1(matrix)}}

    def leave(self, model: nn.Module, records: Sequence[Example], directory: Path) -> str:
        """Leave ``predictions.jsonl`` and ``confusion.tsv``; a row of it is what is, a column what it was taken for."""
        shown = super().leave(model, records, directory)
        confusion = self.details(model, records)["confusion"]
        rows = [("", *self.classes), *((label, *map(str, row.values())) for label, row in confusion.items())]
        (directory / "confusion.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
        width = max(len(field) for row in rows for field in row) + 2
        table = "\n".join("".join(field.rjust(width) for field in row) for row in rows)
        return f"confusion, a row is what it is, a column what it was taken for:\n{table}\n\n{shown}"

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        what = prediction.get("text", f"input {prediction['number']}")
        wrong = prediction.get("expected", prediction["label"]) != prediction["label"]
        note = f" (is {prediction['expected']})" if wrong else ""
        return f"{prediction['label']} {prediction['probability']:.2f}{note}  {what}"

    def some_example(self) -> Example:
        return Example(None, self.classes[0])
