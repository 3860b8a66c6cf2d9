"""The synthetic tasks by which recurrent networks are judged: adding, copying, temporal order, a^n b^n c^n.

The same sizes and seed give the same data; ``seed`` is a number, or a NumPy Generator to draw from.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from tinyseq.errors import DataError

Array = np.ndarray[Any, Any]
Seed = int | np.random.Generator


def adding_problem(count: int, length: int, seed: Seed) -> tuple[Array, Array]:
    """Return sequences of numbers of which two are marked, and the sum of those two.

    inputs[n, t] = (u_t, m_t) with u_t ~ U[0, 1) and m_t = 1 at one random step in the first half and one in the second,
    else 0; target[n] = Σ_t u_t m_t. Predicting the mean, 1, has the variance 1/6 as its mean squared error.

    Shapes: inputs float32 (count, length, 2), targets float32 (count,).

    Source: Hochreiter and Schmidhuber 1997, section 5.4, in the form of Le, Jaitly and Hinton 2015, section 4.1, with a
    mark in each half (Arjovsky, Shah and Bengio 2016, section 5.2).
    """
    _at_least("adding_problem: length", length, 2)
    rng = np.random.default_rng(seed)
    values = rng.random((count, length))
    marks = np.zeros((count, length))
    rows, half = np.arange(count), length // 2
    marks[rows, rng.integers(0, half, count)] = 1.0
    marks[rows, rng.integers(half, length, count)] = 1.0
    targets = (values * marks).sum(1)
    return np.stack([values, marks], 2).astype(np.float32), targets.astype(np.float32)


def copy_memory(count: int, delay: int, seed: Seed, *, symbols: int = 10, alphabet: int = 8) -> tuple[Array, Array]:
    """Return sequences that begin with symbols to be repeated at the end, ``delay`` steps later.

    inputs = s_1 ... s_K, blank × (delay - 1), go, blank × K; targets = blank × (K + delay), s_1 ... s_K. With A letters
    the blank is number A and the go sign A + 1, so there are A + 2 kinds of token (10 for the usual A = 8).

    Shapes: inputs and targets int64 (count, delay + 2 symbols).

    Source: Hochreiter and Schmidhuber 1997; Arjovsky, Shah and Bengio 2016, section 5.1.
    """
    _at_least("copy_memory: delay", delay, 1)
    _at_least("copy_memory: symbols", symbols, 1)
    _at_least("copy_memory: alphabet", alphabet, 1)
    rng = np.random.default_rng(seed)
    letters = rng.integers(0, alphabet, (count, symbols))
    inputs = np.full((count, delay + 2 * symbols), alphabet)
    inputs[:, :symbols] = letters
    inputs[:, symbols + delay - 1] = alphabet + 1
    targets = np.full_like(inputs, alphabet)
    targets[:, symbols + delay :] = letters
    return inputs, targets


def copy_baseline(delay: int, *, symbols: int = 10, alphabet: int = 8) -> float:
    """Return the cross-entropy, in nats a step, of the best answer without memory: K ln A / (T + 2K).

    It says blank until the go sign and then each letter with probability 1/A; for K = 10 and A = 8 that is
    10 ln 8 / (T + 20) (Arjovsky, Shah and Bengio 2016, section 5.1).
    """
    return symbols * math.log(alphabet) / (delay + 2 * symbols)


#: Start, end, four distractors, and the two letters whose order counts.
ORDER_SYMBOLS: Final = ("E", "B", "a", "b", "c", "d", "X", "Y")
#: Classes in the order of their numbers.
ORDER_CLASSES: Final = ("XX", "XY", "YX", "YY")


class Labelled(NamedTuple):
    """Sequences of symbols of unequal length, and a class for each: (count, time), (count,) and (count,)."""

    inputs: Array
    lengths: Array
    labels: Array


def temporal_order(count: int, seed: Seed, *, lengths: tuple[int, int] = (30, 40)) -> Labelled:
    """Return sequences with an X or a Y at two places among distractors; the class says which stood first and second.

    A sequence is E, random letters of {a, b, c, d}, B. With L the least length, the two places are drawn from
    L/10 ... L/5 and L/2 ... 3L/5, which for lengths 100 to 110 are the paper's 10 ... 20 and 50 ... 60. Past its end a
    row is filled with B.

    Shapes: inputs int64 (count, the greatest length), numbers of ``ORDER_SYMBOLS``; lengths and labels int64 (count,),
    labels 0 to 3 for XX, XY, YX, YY.

    Source: Hochreiter and Schmidhuber 1997, section 5.6, task 6a.
    """
    least, most = lengths
    if not 10 <= least <= most:
        raise DataError("temporal_order: lengths", required="10 <= least <= most", got=str(lengths))
    rng = np.random.default_rng(seed)
    sizes = rng.integers(least, most + 1, count)
    inputs = rng.integers(2, 6, (count, most))
    inputs[:, 0] = 0
    first, second = rng.integers(0, 2, (2, count))
    rows = np.arange(count)
    inputs[rows, rng.integers(least // 10, least // 5 + 1, count)] = 6 + first
    inputs[rows, rng.integers(least // 2, 3 * least // 5 + 1, count)] = 6 + second
    inputs[np.arange(most) >= sizes[:, None] - 1] = 1
    return Labelled(inputs, sizes, 2 * first + second)


#: The start sign S, the letters, and the end sign T.
ABC_SYMBOLS: Final = ("S", "a", "b", "c", "T")


def anbncn(n: int) -> tuple[Array, Array]:
    """Return the string S a^n b^n c^n, and after each of its symbols the set of symbols that may follow.

    After S: a. After an a: a or b. After b number k: b for k < n, c for k = n. After c number k: c for k < n, T for
    k = n. A network accepts the string when it names exactly these sets at every step.

    Shapes: inputs int64 (3n + 1,), numbers of ``ABC_SYMBOLS``; follows float32 (3n + 1, 5), 1 for each member
    of the set.

    Source: Gers and Schmidhuber 2001, "LSTM recurrent networks learn simple context-free and context-sensitive
    languages", section III and table III.
    """
    _at_least("anbncn: n", n, 1)
    s, a, b, c, t = range(5)
    symbols = [s] + [a] * n + [b] * n + [c] * n
    sets = [(a,)] + [(a, b)] * n + [(b,)] * (n - 1) + [(c,)] * n + [(t,)]
    follows = np.zeros((len(symbols), len(ABC_SYMBOLS)), np.float32)
    for step, members in enumerate(sets):
        follows[step, list(members)] = 1.0
    return np.array(symbols), follows


def anbncn_batch(sizes: list[int] | Array) -> tuple[Array, Array, Array]:
    """Return several strings of ``anbncn`` in one batch, filled up at their ends with T and empty sets.

    Shapes: inputs int64 (batch, time), follows float32 (batch, time, 5), lengths int64 (batch,).
    """
    parts = [anbncn(int(n)) for n in sizes]
    lengths = np.array([len(symbols) for symbols, _ in parts])
    inputs = np.full((len(parts), lengths.max()), len(ABC_SYMBOLS) - 1)
    follows = np.zeros((*inputs.shape, len(ABC_SYMBOLS)), np.float32)
    for row, (symbols, sets) in enumerate(parts):
        inputs[row, : len(symbols)], follows[row, : len(symbols)] = symbols, sets
    return inputs, follows, lengths


def _at_least(what: str, value: int, least: int) -> None:
    if value < least:
        raise DataError(what, required=f"at least {least}", got=str(value))
