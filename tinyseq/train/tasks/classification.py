"""Classification: a text, a sequence of numbers or a vector, and which of several classes it is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq import nn
from tinyseq.data.batching import IGNORED
from tinyseq.data.examples import Example
from tinyseq.data.measures import confusion_matrix, macro_f1, scores
from tinyseq.data.splitting import unseen_note
from tinyseq.errors import DataError
from tinyseq.figures import confusion_matrix as draw_confusion
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.many_to_one import ManyToOne, ManyToOneConfig
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.overview import never_predicted, odd_labels, some
from tinyseq.train.tasks.role import Array, Prepared

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Classification(ManyToOne[ManyToOneConfig]):
    """Cross-entropy over the classes of the training part; judged by accuracy.

    A class that training has not seen is never found: it counts as an error, and in no loss.
    """

    Config = ManyToOneConfig
    measure = Measure("accuracy", "accuracy", lower_is_better=False, meaning="the share whose class is right")
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
        """Return the classes' numbers; ``IGNORED`` for one that training has not seen."""
        numbers = {label: number for number, label in enumerate(self.classes)}
        for row, example in enumerate(examples):
            if example.target is None:
                raise DataError(
                    "an example without its class",
                    required=f"one of: {', '.join(self.classes)}",
                    got=repr(example.target),
                    where=f"example {row}",
                )
        return np.array([numbers.get(example.target, IGNORED) for example in examples], np.int64)

    def unseen(self, examples: Sequence[Example]) -> Counter[str]:
        """Return the classes that training has not seen, and how often each is there."""
        return Counter(example.target for example in examples if example.target not in (None, *self.classes))

    def matrix(self, examples: Sequence[Example], predicted: Array) -> tuple[tuple[str, ...], Array]:
        """Return the classes, those that training has not seen last, and the confusion matrix."""
        self.encode_targets(examples)  # refuses missing ones
        names = (*self.classes, *sorted(self.unseen(examples)))
        numbers = {label: number for number, label in enumerate(names)}
        return names, confusion_matrix([numbers[e.target] for e in examples], predicted, len(names))

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
        predicted, known = outputs.argmax(1), targets != IGNORED
        unseen = len(records) - int(known.sum())
        never = len(np.setdiff1d(targets[known], predicted))
        return {
            **({"loss": self.mean_loss(outputs[known], targets[known])} if known.any() else {}),
            "accuracy": float((predicted == targets).mean()),
            "macro_f1": macro_f1(self.matrix(records, predicted)[1]),
            "examples": len(records),
            **({"unseen_classes": unseen} if unseen else {}),
            **({"never_predicted": never} if never else {}),
        }

    def remarks(self, model: nn.Module, test: Mapping[str, float]) -> list[str]:
        if not test.get("never_predicted"):
            return []
        confusion = self.details(model, self.part("test"))["confusion"]
        known, held = (Counter(example.target for example in self.part(name)) for name in ("train", "test"))
        told = {
            label: (held[label], known[label])
            for label in self.classes
            if held[label] and not any(row[label] for row in confusion.values())
        }
        return never_predicted("classes", told, "more examples of them, or other inputs")

    def details(self, model: nn.Module, records: Sequence[Example], *, batch_size: int | None = None) -> dict[str, Any]:
        """Return the confusion matrix, and precision, recall and F1 of each class; and what training has not seen."""
        names, matrix = self.matrix(records, self.compute(model, records, batch_size).argmax(1))
        unseen = dict(sorted(self.unseen(records).items()))
        return {
            "classes": {label: score._asdict() for label, score in zip(names, scores(matrix), strict=True)},
            "confusion": {
                label: dict(zip(names, row, strict=True)) for label, row in zip(names, matrix.tolist(), strict=True)
            },
            **({"unseen_classes": unseen} if unseen else {}),
        }

    def short(self, prediction: Mapping[str, Any]) -> str:
        return str(prediction["label"])

    def figures(self, model: Any, records: Sequence[Example]) -> Mapping[str, Callable[[], Figure]]:
        return {"confusion": lambda: self._confusion(model, records), **super().figures(model, records)}

    def _confusion(self, model: nn.Module, records: Sequence[Example]) -> Figure:
        predicted = self.compute(model, records, None).argmax(1)
        names, matrix = self.matrix(records, predicted)
        return draw_confusion(matrix, names, f"accuracy {np.trace(matrix) / max(matrix.sum(), 1):.3f}")

    def baselines(self) -> dict[str, dict[str, float]]:
        test = self.encode_targets(self.part("test"))
        guess = np.full_like(test, self.classes.index(self.majority))
        matrix = self.matrix(self.part("test"), guess)[1]
        return {"majority class": {"accuracy": float((test == guess).mean()), "macro_f1": macro_f1(matrix)}}

    @property
    def target_phrase(self) -> str:
        return f"one of {len(self.classes)} classes ({some(self.classes)})"

    def _unseen(self) -> dict[str, dict[str, int]]:
        return {name: dict(sorted(self.unseen(self.part(name)).items())) for name in ("valid", "test")}

    def notes(self) -> list[str]:
        counts = Counter(example.target for example in self.part("train"))
        return [
            *super().notes(),
            *odd_labels(counts),
            *unseen_note("classes", self._unseen(), split=self.data.split_alone),
        ]

    def describe_data(self) -> dict[str, Any]:
        told = {name: classes for name, classes in self._unseen().items() if classes}
        return {**super().describe_data(), **({"unseen_classes": told} if told else {})}

    def leave(self, model: nn.Module, records: Sequence[Example], directory: Path) -> str:
        """Leave ``predictions.jsonl`` and ``confusion.tsv``; a row of it is what is, a column what it was taken for."""
        shown = super().leave(model, records, directory)
        confusion = self.details(model, records)["confusion"]
        rows = [("", *confusion), *((label, *map(str, row.values())) for label, row in confusion.items())]
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
