"""Pooling: known values, and padding that changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn


@pytest.mark.parametrize("name", nn.POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_nothing(name, bidirectional):
    rng = np.random.default_rng(0)
    pooling = nn.POOLINGS[name](4, bidirectional)
    lengths = [3, 1, 5]
    ys = rng.normal(size=(3, 5, 4)).astype(np.float32)
    pooled = pooling(ts.tensor(ys), ts.tensor(lengths)).numpy()
    for row, length in enumerate(lengths):
        alone = pooling(ts.tensor(ys[row : row + 1, :length])).numpy()
        np.testing.assert_allclose(pooled[row : row + 1], alone, rtol=1e-6)


def test_known_values():
    ys = ts.tensor([[[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]]])
    assert nn.FinalPooling(2)(ys).numpy().tolist() == [[6.0, 60.0]]
    assert nn.FinalPooling(2, True)(ys, ts.tensor([2])).numpy().tolist() == [[2.0, 10.0]], "backward ends at step 0"
    assert nn.MeanPooling(2)(ys, ts.tensor([2])).numpy().tolist() == [[1.5, 15.0]]
    pooling = nn.AttentionPooling(2)
    pooling.v.assign(ts.tensor([0.0, 0.0]))
    np.testing.assert_allclose(pooling(ys).numpy(), [[3.0, 30.0]], rtol=1e-6)  # without a preference, the mean


def test_a_row_of_nothing_gives_no_nan():
    ys = ts.randn(2, 3, 4)
    for make in nn.POOLINGS.values():
        assert np.isfinite(make(4, False)(ys, ts.tensor([0, 2])).numpy()).all()


@pytest.mark.parametrize("name", nn.POOLINGS)
def test_gradients(name):
    pooling = nn.POOLINGS[name](4, True).cast(np.float64)
    ys = ts.tensor(np.random.default_rng(0).normal(size=(2, 3, 4)), requires_grad=True)
    ts.testing.check_grads(lambda ys: pooling(ys, ts.tensor([2, 3])), ys)
