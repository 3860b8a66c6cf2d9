"""Batching a long stream: contiguous splits, and windows over rows that carry on where the last window ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinyseq.errors import DataError

#: Numbers of tokens, of any type of whole numbers.
Ids = np.ndarray[Any, Any]
#: The target of a position that counts in no loss.
IGNORED = -1


@dataclass(frozen=True)
class Splits:
    """The three parts of a stream, in the stream's own order."""

    train: Any
    valid: Any
    test: Any


def split(stream: Any, fractions: Sequence[float]) -> Splits:
    """Cut a sequence into contiguous train, validation and test parts.

    Contiguous and not shuffled: neighbours in a text share words and topics, and a held-out part that is strewn among
    the training text would not be held out.
    """
    first = round(len(stream) * fractions[0])
    second = round(len(stream) * (fractions[0] + fractions[1]))
    return Splits(stream[:first], stream[first:second], stream[second:])


class Window(NamedTuple):
    """Some steps of every row.

    ``targets[:, t]`` is what follows ``inputs[:, t]``. Steps before ``counted`` only warm the state up: their gradient
    flows, their loss does not count. The state after ``carry`` steps is where the next window begins; ``fresh`` says
    that this window begins a stream, with the initial state.
    """

    inputs: Ids
    targets: Ids
    counted: int
    carry: int
    fresh: bool

    @property
    def tokens(self) -> int:
        """How many targets count in the loss."""
        return int((self.targets[:, self.counted :] != IGNORED).sum())


def training_windows(ids: Ids, batch_size: int, every: int, back: int | None = None) -> Iterator[Window]:
    """Yield windows for ever, over ``batch_size`` rows, each a contiguous part of the stream.

    Each window counts the loss of the next ``every`` steps. With ``back > every`` it starts ``back - every`` steps
    earlier, so that gradients flow back ``back`` steps (Williams and Peng 1990, BPTT(h; h')). When the rows end, the
    next window starts them anew. Tokens that do not fill the rows or the last window are left out.

    Raises:
        DataError: the stream is too short for one window.
    """
    overlap = (every if back is None else back) - every
    length = (len(ids) - 1) // batch_size
    if length < every:
        raise DataError(
            "the training text is too short for its batches",
            required=f"at least {batch_size * every + 1:,} tokens: {batch_size} rows of {every} steps, and one more",
            got=f"{len(ids):,} tokens",
            fix="a longer text, a smaller train.batch_size, or a smaller train.bptt.every",
        )
    inputs = ids[: length * batch_size].reshape(batch_size, length)
    targets = ids[1 : length * batch_size + 1].reshape(batch_size, length)
    # The check stands outside the generator, so that it speaks when the windows are asked for, not when first drawn.
    return _cycle(inputs, targets, every, overlap)


def _cycle(inputs: Ids, targets: Ids, every: int, overlap: int) -> Iterator[Window]:
    ends = range(every, inputs.shape[1] + 1, every)
    while True:
        for end in ends:
            start = max(0, end - every - overlap)
            following = max(0, end - overlap)
            read, follows = (part[:, start:end].astype(np.int64) for part in (inputs, targets))
            yield Window(read, follows, end - every - start, following - start, end == every)


def held_out_windows(ids: Ids, batch_size: int, steps: int) -> Iterator[Window]:
    """Yield windows that visit every token but the first as a target, exactly once.

    The stream is laid out in rows, so that many are read at once; each row starts with the initial state. The end of
    the last rows is filled with positions that count in no loss, and where there are several windows, the last of them
    is filled up as well: all are of one shape.

    Raises:
        DataError: there is nothing to predict.
    """
    count = len(ids) - 1
    if count < 1:
        raise DataError("a held-out text with nothing to predict", required="at least 2 tokens", got=str(len(ids)))
    rows = min(batch_size, max(1, count // steps))
    length = -(-count // rows)
    width = min(length, steps)
    begins = length * np.arange(rows)[:, np.newaxis]
    return (_held_out(ids, begins + start, length - start, width, start == 0) for start in range(0, length, steps))


def _held_out(ids: Ids, begins: Ids, left: int, width: int, fresh: bool) -> Window:
    """Return the window of rows that begin at ``begins`` and have so much left; what is beyond counts in no loss."""
    places = begins + np.arange(width)
    counted = (places < len(ids) - 1) & (np.arange(width) < left)
    inputs = np.where(counted, ids[np.where(counted, places, 0)], 0)
    targets = np.where(counted, ids[np.where(counted, places + 1, 0)].astype(np.int64), IGNORED)
    return Window(inputs.astype(np.int64), targets, 0, width, fresh)
