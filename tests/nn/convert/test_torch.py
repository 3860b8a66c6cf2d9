"""Conversion to and from PyTorch's state dicts, without PyTorch: forms, exactness, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from support.modules import randomized
from tinyseq import nn
from tinyseq.errors import DataError, ShapeError

MODULES: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(3, 4),
    "linear-no-bias": lambda: nn.Linear(3, 4, bias=False),
    "embedding": lambda: nn.Embedding(5, 3),
    "layer-norm": lambda: nn.LayerNorm(4),
    "rnn": lambda: nn.RNN(3, 4, num_layers=2, bidirectional=True),
    "lstm": lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True),
    "gru-old": lambda: nn.GRU(3, 4, num_layers=2, update="old", reset="after"),
    "gru-new": lambda: nn.GRU(3, 4, num_layers=2, update="new", reset="after"),
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "attention-cross": lambda: nn.MultiheadAttention(4, 2, key_size=3, bias=False),
    "encoder": lambda: nn.TransformerEncoder(4, 2, 2, 8, norm_first=True),
    "decoder": lambda: nn.TransformerDecoder(4, 2, 2, 8),
}


@pytest.mark.parametrize("name", MODULES)
def test_there_and_back_is_exact(name: str) -> None:
    first, second = randomized(MODULES[name]()), randomized(MODULES[name](), seed=1)
    nn.from_torch(second, nn.to_torch(first))
    for path, value in first.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[path].numpy(), value.numpy(), err_msg=path)


def test_names_and_layout() -> None:
    model = randomized(nn.LSTM(3, 4, num_layers=2, bidirectional=True))
    arrays = nn.to_torch(model)
    assert set(arrays) == {
        f"{kind}_{side}_l{layer}{direction}"
        for kind in ("weight", "bias")
        for side in ("ih", "hh")
        for layer in (0, 1)
        for direction in ("", "_reverse")
    }
    cell = model.layers[1][1]
    assert arrays["weight_ih_l1_reverse"].shape == (16, 8)
    np.testing.assert_array_equal(arrays["weight_ih_l1_reverse"][4:8], cell.W_f.numpy()[4:].T)  # i, f, g, o
    np.testing.assert_array_equal(arrays["weight_hh_l1_reverse"][12:], cell.W_o.numpy()[:4].T)
    np.testing.assert_array_equal(arrays["bias_ih_l1_reverse"][8:12], cell.b_c.numpy())
    assert not arrays["bias_hh_l1_reverse"].any()
    for array in arrays.values():
        array[...] = 0.0  # copies: the model does not mind
    assert cell.W_f.numpy().any()


def test_two_biases_become_one() -> None:
    model = randomized(nn.LSTM(3, 4))
    arrays = nn.to_torch(model)
    arrays["bias_hh_l0"] = arrays["bias_hh_l0"] + 0.25
    expected = model.layers[0][0].b_f.numpy() + 0.25
    nn.from_torch(model, arrays)
    np.testing.assert_array_equal(model.layers[0][0].b_f.numpy(), expected)


@pytest.mark.parametrize(
    ("change", "family", "words"),
    [
        (lambda s: s.pop("bias_hh_l0"), DataError, "bias_hh_l0"),
        (lambda s: s.update(weight_hh_l1=s["weight_hh_l0"]), DataError, "weight_hh_l1"),
        (lambda s: s.update(weight_ih_l0=np.zeros((16, 5))), ShapeError, "(16, 3)"),
    ],
)
def test_what_does_not_fit_changes_nothing(change, family, words: str) -> None:
    model = randomized(nn.LSTM(3, 4))
    before = model.state_dict()
    state = {name: array + 1 for name, array in nn.to_torch(model).items()}
    change(state)
    with pytest.raises(family) as caught:
        nn.from_torch(model, state)
    assert words in str(caught.value)
    for path, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[path].numpy())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.GRU(3, 4), ["reset"]),
        (lambda: nn.Recurrent("peephole_lstm", 3, 4), ["PeepholeLSTMCell", "LSTMCell"]),
        (lambda: nn.IndRNNCell(3, 4), ["IndRNNCell"]),
    ],
)
def test_what_pytorch_does_not_have(make, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        nn.to_torch(make())
    assert [word for word in words if word not in str(caught.value)] == []
