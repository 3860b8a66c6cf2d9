"""Measures of predictions: confusion matrices, errors of numbers, and entities found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyseq.data.schemes import Span, spans

Array = np.ndarray[Any, Any]

__all__ = ["Score", "Span", "confusion_matrix", "errors", "macro_f1", "scores", "span_scores", "spans"]


def confusion_matrix(expected: Sequence[int] | Array, predicted: Sequence[int] | Array, classes: int) -> Array:
    """Return how often class i (row) was taken for class j (column)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (np.asarray(expected), np.asarray(predicted)), 1)
    return matrix


class Score(NamedTuple):
    """Precision, recall and their harmonic mean; ``support`` is how many there are to be found."""

    precision: float
    recall: float
    f1: float
    support: int

    @classmethod
    def of(cls, right: int, predicted: int, expected: int) -> Score:
        """Return the score of counts; 0 where nothing was found or nothing was there."""
        precision = right / predicted if predicted else 0.0
        recall = right / expected if expected else 0.0
        f1 = 2.0 * right / (predicted + expected) if predicted + expected else 0.0
        return cls(precision, recall, f1, expected)


def scores(matrix: Array) -> list[Score]:
    """Return the score of each class of a confusion matrix."""
    return [Score.of(int(matrix[i, i]), int(matrix[:, i].sum()), int(matrix[i].sum())) for i in range(len(matrix))]


def macro_f1(matrix: Array) -> float:
    """Return the mean F1 of the classes that occur, expected or found."""
    there = (matrix.sum(0) + matrix.sum(1)) > 0
    values = [score.f1 for score, counts in zip(scores(matrix), there, strict=True) if counts]
    return float(np.mean(values)) if values else 0.0


def errors(expected: Array, predicted: Array) -> dict[str, float]:
    """Return rmse, mae and r2, the share of the variance that is explained (0 where there is none)."""
    difference = np.asarray(predicted, np.float64) - expected
    square, variance = float((difference**2).mean()), float(np.var(expected))
    return {
        "rmse": square**0.5,
        "mae": float(np.abs(difference).mean()),
        "r2": 1.0 - square / variance if variance > 0.0 else 0.0,
    }


def span_scores(expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, Score]:
    """Return the score of each kind of entity and, under "all", of all together (micro average).

    An entity counts as found when kind, beginning and end agree (Tjong Kim Sang and De Meulder 2003, section 2.4).
    """
    counts: dict[str, list[int]] = {"all": [0, 0, 0]}
    for gold_tags, tags in zip(expected, predicted, strict=True):
        gold, guess = spans(gold_tags), spans(tags)
        for column, part in enumerate((gold & guess, guess, gold)):
            for span in part:
                for name in ("all", span.kind):
                    counts.setdefault(name, [0, 0, 0])[column] += 1
    return {name: Score.of(*counts[name]) for name in ["all", *sorted(counts.keys() - {"all"})]}
