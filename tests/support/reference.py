"""Slow, plain implementations that tests compare with: written from the papers, sharing no code with tinyseq."""

from __future__ import annotations

import math

import numpy as np

_MASK = 0xFFFFFFFF


def philox4x32_10(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 on Python integers (Salmon et al., SC 2011; Random123's word order)."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * a, 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * c, 1 << 32)
        a, b, c, d = high1 ^ b ^ k0, low1, high0 ^ d ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return a, b, c, d


def uniform(shape: tuple[int, ...], seed: int, site: int, call: int, step: int) -> np.ndarray:
    """The draw that tinyseq documents: 24 bits of word i % 4 of block i // 4, for element i in C order."""
    key = (seed & _MASK, (seed >> 32) & _MASK)
    words = [philox4x32_10((i // 4, step, call, site), key)[i % 4] for i in range(math.prod(shape))]
    return np.array([(word >> 8) / 2.0**24 for word in words], dtype=np.float64).reshape(shape)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def cross_entropy(logits, targets, *, weight=None, ignore_index=None, reduction="sum"):
    """Element by element, as the definition reads."""
    table = log_softmax(logits)
    losses, counted = np.zeros(targets.shape), 0.0
    for place in np.ndindex(targets.shape):
        k = int(targets[place])
        if k == ignore_index:
            continue
        w = 1.0 if weight is None else float(weight[k])
        losses[place] = -w * table[(*place, k)]
        counted += w
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.sum() / counted if counted else np.float64(0.0)
