"""Philox4x32-10: random numbers as a pure function of (seed, site, call, step) and the element's index.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3. No state means that a
draw made in a time loop and the same draw made for all steps at once agree, and so do NumPy and a GPU.

The 64-bit seed is the key. The 128-bit counter is (element // 4, step, call, site), lowest word first; element i takes
word i % 4 of its block.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyseq.backends.base import Array, Xp

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF
_CHUNK = 1 << 14


def philox4x32(xp: Xp, counter: tuple[Any, Any, Any, Any], key: tuple[int, int], rounds: int = 10) -> list[Array]:
    """Encrypt counters of four 32-bit words (arrays of uint64 that broadcast) under a key of two; return four words."""
    c0, c1, c2, c3 = (xp.asarray(word, dtype=xp.uint64) for word in counter)
    k0, k1 = key
    word, half = xp.uint64(WORD), xp.uint64(32)
    m0, m1 = (xp.uint64(multiplier) for multiplier in MULTIPLIERS)
    for _ in range(rounds):
        product0, product1 = c0 * m0, c2 * m1
        c0, c2 = (product1 >> half) ^ c1 ^ xp.uint64(k0), (product0 >> half) ^ c3 ^ xp.uint64(k1)
        c1, c3 = product1 & word, product0 & word
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return [c0, c1, c2, c3]


def random_bits(xp: Xp, shape: tuple[int, ...], seed: int, site: int, call: Any, step: Any) -> Array:
    """Return uint32 random words of ``shape``, a pure function of the arguments.

    ``call`` and ``step`` may be arrays without axes, of which nothing is read on the host.
    """
    size = math.prod(shape)
    blocks = (size + 3) // 4
    words = xp.empty((blocks, 4), dtype=xp.uint32)
    # On a CPU a few blocks at a time, so that ten rounds of temporaries stay in the cache; a GPU takes all at once.
    chunk = _CHUNK if xp is np else max(blocks, 1)
    for start in range(0, blocks, chunk):
        stop = min(start + chunk, blocks)
        counter = (xp.arange(start, stop, dtype=xp.uint64), step & WORD, call & WORD, site & WORD)
        for place, word in enumerate(philox4x32(xp, counter, (seed & WORD, (seed >> 32) & WORD))):
            words[start:stop, place] = word
    return words.reshape(-1)[:size].reshape(shape)


def random_uniform(xp: Xp, shape: tuple[int, ...], dtype: Any, seed: int, site: int, call: Any, step: Any) -> Array:
    """Return numbers uniform on [0, 1), multiples of 2**-24, so that float32 and float64 draws are equal.

    Half precision has room for multiples of 2**-11: the first bits of the same draws.
    """
    bits = random_bits(xp, shape, seed, site, call, step)
    kept = 24 if np.dtype(dtype).itemsize > 2 else 11
    return (bits >> xp.uint32(32 - kept)).astype(dtype) * xp.asarray(2.0**-kept, dtype=dtype)
