"""From a model of the next token to whole sequences: draws, greedy and beam search.

The searches know a model only as a function ``step(tokens, state) -> (log p, state)``: tokens (rows,) are what was
written last, log p (rows, vocabulary) judges what may come next. A state is a tree of arrays or tensors, a row each.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final, NamedTuple

import numpy as np

from tinyseq import trees
from tinyseq.errors import DataError
from tinyseq.ops.elementwise import exp, where
from tinyseq.ops.predicates import logical_and
from tinyseq.ops.reduce import argmax, cumsum, max_, sum_
from tinyseq.ops.shape import concat, expand_dims
from tinyseq.tensors import Tensor

Array = np.ndarray[Any, Any]
Step = Callable[[Array, Any], tuple[Array, Any]]


class Hypothesis(NamedTuple):
    """A sequence without its end token; log p summed, the end's included; whether it came to its end."""

    tokens: list[int]
    log_p: float
    ended: bool

    def score(self, length_power: float) -> float:
        """Return log p / length ** power, the end counted in the length (after Wu et al. 2016, sec. 7)."""
        return self.log_p / max(len(self.tokens) + self.ended, 1) ** length_power


#: Classes up to which each is compared with each to find the largest: in number as their square, but in one go.
_COMPARED: Final = 512


def largest(logits: Tensor, count: int) -> Tensor:
    """Return logits (rows, classes) of which all but the ``count`` largest are -inf; what ties with the last stays."""
    classes = logits.shape[-1]
    if count >= classes:
        return logits
    if classes <= _COMPARED:
        above = sum_(expand_dims(logits, 1) > expand_dims(logits, 2), -1)
        return where(above < count, logits, -inf)
    rest, peaks = logits, []
    for _ in range(count):  # the largest one, the next, ...: ties count as one, so these may be more than are wanted
        peaks.append(max_(rest, -1, keepdims=True))
        rest = where(rest >= peaks[-1], -inf, rest)
    reached = concat([sum_(logits >= peak, -1, keepdims=True) for peak in peaks], -1)
    bound = max_(where(reached >= count, concat(peaks, -1), -inf), -1, keepdims=True)
    return where(logits >= bound, logits, -inf)


def choose(logits: Tensor, draws: Tensor, temperature: float | None, top: int | None = None) -> Tensor:
    """Return the class that each row's draw in [0, 1) falls on under softmax(logits / temperature), in float64.

    Args:
        logits: (rows, classes).
        draws: (rows,), in float64.
        temperature: above 0; None takes the likeliest class, whatever the draw.
        top: only so many classes, the likeliest, have a share; None for all.
    """
    if temperature is None:
        return argmax(logits)
    logits = (logits if top is None else largest(logits, top)).cast(np.float64)
    reached = cumsum(exp((logits - max_(logits, -1, keepdims=True)) / temperature))
    total = reached[:, -1:]
    # A draw next to 1 may round up to the total: the last class that has a share is chosen then, not one behind it.
    passed = logical_and(reached <= expand_dims(draws, 1) * total, reached < total)
    chosen: Tensor = sum_(passed, -1)
    return chosen


def greedy(step: Step, state: Any, rows: int, *, start: int, end: int, limit: int) -> list[Hypothesis]:
    """Take the likeliest token each time, until the end token or ``limit`` tokens.

    Args:
        step: the model; see the module.
        state: the first state.
        rows: how many sequences are written side by side.
        start: the token that stands before the first.
        end: the token that ends a sequence.
        limit: the most tokens of a sequence, its end included.
    """
    _check(limit)
    written: list[list[int]] = [[] for _ in range(rows)]
    total, running = np.zeros(rows), np.ones(rows, bool)
    tokens = np.full(rows, start, np.int64)
    for _ in range(limit):
        log_p, state = step(tokens, state)
        tokens = log_p.argmax(-1).astype(np.int64)
        total += np.where(running, log_p[np.arange(rows), tokens], 0.0)
        running &= tokens != end
        for row in running.nonzero()[0]:
            written[row].append(int(tokens[row]))
        if not running.any():
            break
    return [Hypothesis(w, float(s), not r) for w, s, r in zip(written, total, running, strict=True)]


def beam(
    step: Step,
    state: Any,
    items: int,
    *,
    width: int,
    start: int,
    end: int,
    limit: int,
    length_power: float = 1.0,
) -> list[list[Hypothesis]]:
    """Follow the ``width`` likeliest beginnings of each item; return its hypotheses, the best first.

    One that ends leaves its place empty, so a beam of width 1 is greedy search. Those that ended come first, by log p /
    length ** ``length_power``: sums of log p favour short sequences, and the division makes up for it.

    Args:
        step: the model, for ``items * width`` rows, an item's rows one after another; rows change places only within
            their item, so what belongs to an item (an encoder's states) may stay outside the state.
        state: the first state, of as many rows.
        items: how many sequences are looked for.
        width: how many beginnings of each are kept.
        start, end, limit: as in ``greedy``.
        length_power: 0 for none, 1 for the mean log p of a token.
    """
    _check(limit)
    if width < 1:
        raise DataError("beam search: width", required="at least 1", got=str(width))
    scores = np.full((items, width), -np.inf)
    scores[:, 0] = 0.0  # at first the rows of an item are all the same: one stands for all
    tokens = np.full(items * width, start, np.int64)
    begun: list[list[list[int]]] = [[[] for _ in range(width)] for _ in range(items)]
    done: list[list[Hypothesis]] = [[] for _ in range(items)]
    for _ in range(limit):
        log_p, state = step(tokens, state)
        vocabulary = log_p.shape[-1]
        with np.errstate(invalid="ignore"):
            total = (scores[:, :, None] + log_p.reshape(items, width, vocabulary)).reshape(items, -1)
        total[np.isnan(total)] = -np.inf
        likeliest = np.argsort(-total, axis=-1, kind="stable")[:, :width]
        rows, tokens, scores = np.arange(items * width), np.full(items * width, end), np.full((items, width), -np.inf)
        for item in range(items):
            kept: list[list[int]] = []
            for place in likeliest[item, : width - len(done[item])]:
                row, token = divmod(int(place), vocabulary)
                score = float(total[item, place])
                if score == -np.inf:
                    break
                if token == end:
                    done[item].append(Hypothesis(begun[item][row], score, True))
                    continue
                here = item * width + len(kept)
                rows[here], tokens[here], scores[item, len(kept)] = item * width + row, token, score
                kept.append([*begun[item][row], token])
            begun[item] = kept
        if not any(begun):
            break
        state = select(state, rows)
    for item, kept in enumerate(begun):
        done[item] += [Hypothesis(w, float(s), False) for w, s in zip(kept, scores[item], strict=False)]
        done[item].sort(key=lambda h: (h.ended, h.score(length_power)), reverse=True)
    return done


def select(state: Any, rows: Array) -> Any:
    """Return the state with these rows, in this order."""
    return trees.map_leaves(lambda x: x[rows], state)


def log_softmax(logits: Array, forbidden: int | None = None) -> Array:
    """Return log softmax over the last axis, in float64, with one entry taken out if so asked."""
    logits = logits.astype(np.float64)
    if forbidden is not None:
        logits[..., forbidden] = -np.inf
    logits = logits - logits.max(-1, keepdims=True)
    result: Array = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return result


def _check(limit: int) -> None:
    if limit < 1:
        raise DataError("decoding: limit", required="at least 1 token", got=str(limit))
