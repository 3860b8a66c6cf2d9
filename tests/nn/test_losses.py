"""Losses: values, gradients, masks, reductions; against PyTorch in tests/parity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinyseq as ts
from support.modules import draws
from tinyseq import nn
from tinyseq.errors import DataError, ShapeError

BITS = ts.tensor(np.random.default_rng(9).integers(0, 2, (2, 3, 4)).astype(np.float64))
LABELS = ts.tensor(np.random.default_rng(9).integers(0, 4, (2, 3)))
TARGETS = draws(2, 3, 4, seed=1)
MASK = np.array([[True, True, False], [True, False, False]])

#: name -> (loss of predictions (2, 3, 4), how many terms a position has).
LOSSES: dict[str, tuple[Callable[..., ts.Tensor], int]] = {
    "squared": (lambda x, **o: nn.squared_error(x, TARGETS, **o), 4),
    "binary": (lambda x, **o: nn.binary_cross_entropy(x, BITS, **o), 4),
    "cross": (lambda x, **o: nn.cross_entropy(x, LABELS, **o), 1),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name: str) -> None:
    loss = LOSSES[name][0]
    for reduction in ("sum", "mean", "none"):
        ts.testing.check_grads(lambda x, r=reduction: loss(x, mask=ts.tensor(MASK), reduction=r), draws(2, 3, 4))


@pytest.mark.parametrize("name", LOSSES)
def test_sum_mean_and_none_agree(name: str) -> None:
    loss, terms = LOSSES[name]
    x = draws(2, 3, 4)
    each = loss(x, reduction="none").numpy()
    assert loss(x).item() == pytest.approx(each.sum())
    assert loss(x, reduction="mean").item() == pytest.approx(each.mean())
    masked = loss(x, mask=ts.tensor(MASK), reduction="none").numpy()
    np.testing.assert_allclose(masked[MASK], each[MASK])
    assert not masked[~MASK].any()
    assert loss(x, mask=ts.tensor(MASK)).item() == pytest.approx(each[MASK].sum())
    assert loss(x, mask=ts.tensor(MASK), reduction="mean").item() == pytest.approx(each[MASK].sum() / (3 * terms))


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_masked_does_not_matter_not_even_nan(name: str) -> None:
    loss = LOSSES[name][0]
    values = draws(2, 3, 4).numpy().copy()
    values[~MASK] = np.nan
    x = ts.tensor(values, requires_grad=True)
    result = loss(x, mask=ts.tensor(MASK), reduction="mean")
    assert np.isfinite(result.item())
    result.backward()
    assert not x.grad.numpy()[~MASK].any()
    assert loss(x, mask=ts.tensor(np.zeros_like(MASK)), reduction="mean").item() == 0.0


def test_squared_error_has_the_lecture_s_half() -> None:
    y = ts.tensor([3.0, -1.0], requires_grad=True)
    loss = nn.squared_error(y, ts.tensor([1.0, 1.0]))
    assert loss.item() == 4.0
    loss.backward()
    np.testing.assert_array_equal(y.grad.numpy(), [2.0, -2.0])


def test_binary_cross_entropy_at_large_logits() -> None:
    x = ts.tensor([1000.0, -1000.0, 0.0], requires_grad=True)
    loss = nn.binary_cross_entropy(x, ts.tensor([0.0, 1.0, 1.0]), reduction="none")
    np.testing.assert_allclose(loss.numpy(), [1000.0, 1000.0, np.log(2.0)], rtol=1e-6)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1.0, -1.0, -0.5], rtol=1e-6)


def test_masked_labels_may_be_out_of_range() -> None:
    labels = LABELS.numpy().copy()
    labels[~MASK] = -7
    x = draws(2, 3, 4)
    expected = nn.cross_entropy(x, LABELS, mask=ts.tensor(MASK)).item()
    assert nn.cross_entropy(x, ts.tensor(labels), mask=ts.tensor(MASK)).item() == expected
    with pytest.raises(DataError, match="-7"):
        nn.cross_entropy(x, ts.tensor(labels))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.squared_error(draws(4, 1), draws(4)), ["(4, 1)", "(4,)"]),
        (lambda: nn.binary_cross_entropy(draws(3), ts.tensor([0.0, 1.5, 1.0])), ["1.5 at (1,)"]),
        (lambda: nn.binary_cross_entropy(draws(1), ts.tensor([float("nan")])), ["0 to 1"]),
        (lambda: nn.squared_error(draws(3), draws(3), reduction="avg"), ["'avg'", "'mean'"]),
        (lambda: nn.squared_error(draws(2, 3), draws(2, 3), mask=ts.tensor([True] * 3)), ["mask", "(2, 3)", "(3,)"]),
        (lambda: nn.cross_entropy(draws(2, 4), ts.tensor([0, 9])), ["0 <= label < 4", "9"]),
    ],
)
def test_refused_with_words(call, words: list[str]) -> None:
    with pytest.raises((ShapeError, DataError)) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []
