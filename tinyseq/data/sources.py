"""Examples at hand, by name: what a task learns from where no file is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq.data.at_hand import code_or_prose, load_digits
from tinyseq.data.batching import Splits
from tinyseq.data.bounds import Count, Length, Shortest
from tinyseq.data.classic import ORDER_CLASSES, ORDER_SYMBOLS, adding_problem, temporal_order
from tinyseq.data.examples import Example, split_examples
from tinyseq.registry import Registry


@dataclass(frozen=True)
class Source:
    """Where examples come from: ``make(seed, **options)``.

    ``inputs`` says what they are (text, sequence, vector), ``targets`` what is learned of them (label, number).
    """

    inputs: str
    make: Callable[..., Splits]
    targets: str = "label"


def _code_or_prose(seed: int, *, count: Count = 5000) -> Splits:
    lines = [Example(text, label) for label, text in code_or_prose(count, seed)]
    return split_examples(lines, (0.8, 0.1, 0.1), np.random.default_rng(seed))


def _temporal_order(seed: int, *, count: Count = 4000, shortest: Shortest = 30, longest: Shortest = 40) -> Splits:
    sequences = temporal_order(count, seed, lengths=(shortest, longest))
    examples = [
        Example("".join(ORDER_SYMBOLS[symbol] for symbol in row[:length]), ORDER_CLASSES[label])
        for row, length, label in zip(sequences.inputs, sequences.lengths, sequences.labels, strict=True)
    ]
    return split_examples(examples, (0.8, 0.1, 0.1), np.random.default_rng(seed))


def _digits(seed: int) -> Splits:
    """The first 1297 digits, every tenth of them for validation, and the last 500 to test."""
    digits = load_digits()
    known = [Example(image, str(label)) for image, label in zip(digits.train_images, digits.train_labels, strict=True)]
    test = [Example(image, str(label)) for image, label in zip(digits.test_images, digits.test_labels, strict=True)]
    return split_examples(known, (0.9, 0.1, 0.0), np.random.default_rng(seed), test=test)


def _adding(seed: int, *, count: Count = 10000, length: Length = 50) -> Splits:
    inputs, targets = adding_problem(count, length, seed)
    examples = [Example(row, target) for row, target in zip(inputs, targets[:, np.newaxis], strict=True)]
    return split_examples(examples, (0.8, 0.1, 0.1), np.random.default_rng(seed))


def _xor(seed: int, *, count: Count = 2000) -> Splits:
    """Points of the square [-1, 1]^2, and whether their coordinates have one sign: no line parts the two classes."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1.0, 1.0, (count, 2))
    examples = [Example(point, "same" if point[0] * point[1] > 0.0 else "different") for point in points]
    return split_examples(examples, (0.8, 0.1, 0.1), rng)


#: Name -> source.
SOURCES: Registry[Source] = Registry(
    "source",
    {
        "code_or_prose": Source("text", _code_or_prose),
        "temporal_order": Source("text", _temporal_order),
        "digits": Source("sequence", _digits),
        "adding": Source("sequence", _adding, "number"),
        "xor": Source("vector", _xor),
    },
)


def register_source(name: str, inputs: str, make: Callable[..., Splits], targets: str = "label") -> None:
    """Make examples known to ``data.source:``."""
    SOURCES.register(name, Source(inputs, make, targets))


def options_of(name: str) -> dict[str, Any]:
    """Return the options of a source with their defaults."""
    return dict(SOURCES[name].make.__kwdefaults__ or {})
