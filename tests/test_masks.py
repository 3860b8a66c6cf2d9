"""Lengths and their masks: one check with one message, one mask a call, whoever takes lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import masks, nn
from tinyseq.errors import DataError, ShapeError

TAKERS: dict[str, Callable[[Any, Any], Any]] = {
    "unroll": lambda xs, lengths: ts.unroll(lambda x, h: (x, h), xs, ts.zeros(xs.shape[0], 4), lengths=lengths),
    "recurrent": lambda xs, lengths: nn.GRU(4, 3, num_layers=2)(xs, lengths=lengths),
    "attention": lambda xs, lengths: nn.MultiheadAttention(4, 2)(xs, lengths=lengths),
    "transformer": lambda xs, lengths: nn.TransformerEncoder(4, 2, 2)(xs, lengths=lengths),
    "decoder": lambda xs, lengths: nn.LuongDecoder("lstm", 4, 3, 4)(xs, xs, memory_lengths=lengths),
    "pooling": lambda xs, lengths: nn.MeanPooling(4)(xs, lengths),
    "length_mask": lambda xs, lengths: nn.length_mask(lengths, xs.shape[1]),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize(
    ("lengths", "error", "words"),
    [
        ([2, 6], DataError, ("a length is out of range", "0 to 5 steps", "6 in row 1")),
        ([-1, 2], DataError, ("a length is out of range", "0 to 5 steps", "-1 in row 0")),
        ([1.0, 2.0], ShapeError, ("lengths", "integers, one a row", "float64(2,)")),
        ([[1, 2]], ShapeError, ("lengths", "integers, one a row", "int64(1, 2)")),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, ts.tensor])
def test_one_mistake_has_one_message(
    taker: str, lengths: Any, error: type[Exception], words: tuple[str, ...], kind: Callable[[Any], Any]
) -> None:
    given = kind(np.asarray(lengths))
    with pytest.raises(error) as caught:
        TAKERS[taker](ts.randn(2, 5, 4), given)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("taker", ["unroll", "recurrent", "attention", "transformer", "decoder"])
def test_as_many_lengths_as_rows(taker: str) -> None:
    with pytest.raises(ShapeError, match="2 integers, one a row"):
        TAKERS[taker](ts.randn(2, 5, 4), [1, 2, 3])


MODELS: dict[str, Callable[[], tuple[nn.Module, int]]] = {
    "layers and directions": lambda: (nn.LSTM(4, 4, num_layers=2, bidirectional=True, residual=True), 1),
    "residual layers": lambda: (nn.GRU(4, 4, num_layers=3, residual=True), 1),
    "encoder layers": lambda: (nn.TransformerEncoder(4, 2, 3), 1),
    "decoder layers, and their memory's": lambda: (nn.TransformerDecoder(4, 2, 3), 2),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_call_makes_one_mask(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced, it is one comparison in the graph; eager, one array."""
    model, expected = MODELS[name]()
    xs, lengths = ts.randn(2, 5, 4), ts.tensor([5, 3])

    def call(xs: ts.Tensor, lengths: ts.Tensor) -> Any:
        if expected == 2:
            return model(xs, xs + 0.0, lengths=lengths, memory_lengths=lengths)
        ys = model(xs, lengths=lengths)
        return ys[0] if isinstance(ys, tuple) else ys

    graph = ts.trace(call, xs, lengths)
    assert sum(node.op.name in ("less", "greater") for node in graph.nodes) == expected

    real, made = masks.tensor, []
    monkeypatch.setattr(masks, "tensor", lambda *args, **kwargs: made.append(1) or real(*args, **kwargs))
    eager = call(xs, lengths)
    assert len(made) == expected
    monkeypatch.undo()
    np.testing.assert_allclose(eager.numpy(), ts.compile(call)(xs, lengths).numpy(), rtol=1e-5, atol=1e-6)


def test_lengths_of_other_rows_are_refused() -> None:
    ready = masks.check_lengths([2, 3], 5)
    assert masks.check_lengths(ready, 5, 2) is ready
    for time, batch in ((4, 2), (5, 3), (4, None)):
        with pytest.raises(ShapeError, match="lengths of other rows"):
            masks.check_lengths(ready, time, batch)


def test_a_compiled_function_follows_lengths_that_it_closes_over() -> None:
    """They are values of the graph, not numbers written into it."""
    model, xs, lengths = nn.RNN(4, 3), ts.randn(2, 5, 4), ts.tensor([5, 1])
    for call in (lambda xs: model(xs, lengths=lengths)[0], lambda xs: nn.MeanPooling(4)(xs, lengths)):
        fast = ts.compile(call)
        for counts in ([5, 1], [2, 4]):
            lengths.assign(ts.tensor(counts))
            np.testing.assert_allclose(fast(xs).numpy(), call(xs).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lengths", [[3, 1], np.array([3, 1]), ts.tensor([3, 1])], ids=["list", "array", "tensor"])
def test_the_layer_may_be_compiled_by_itself(lengths: Any) -> None:
    """Lengths with their mask pass through a compiled call as tensors do: another batch is no other plan."""
    layer = nn.TransformerEncoderLayer(4, 2)
    fast, xs = ts.compile(layer), ts.randn(2, 4, 4)
    ready = masks.check_lengths(lengths, 4)
    np.testing.assert_allclose(
        fast(xs, lengths=ready).numpy(), layer(xs, lengths=lengths).numpy(), rtol=1e-5, atol=1e-6
    )


def test_align_says_what_does_not_fit() -> None:
    assert masks.align(ts.ones(2, 3) > 0, ts.ones(2, 3, 4, 5)).shape == (2, 3, 1, 1)
    with pytest.raises(ShapeError, match="a mask does not fit") as caught:
        masks.align(ts.ones(2, 3) > 0, ts.ones(3, 2, 4))
    assert (caught.value.required, caught.value.got) == ("leading axes of (3, 2, 4)", "(2, 3)")
    with pytest.raises(ShapeError, match="a state without the batch first") as caught:
        masks.align(ts.ones(2) > 0, ts.ones(3, 2), "a state without the batch first")
    assert (caught.value.required, caught.value.got) == ("(2, ...)", "(3, 2)")
