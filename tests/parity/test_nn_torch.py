"""Layers against PyTorch: the same weights, values and gradients in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install tinyseq[parity]")

from support.torch_parity import CLOSE, arrays, leaf, load, randomize, same, same_gradients  # noqa: E402

pytestmark = pytest.mark.parity

RNG = np.random.default_rng(20240611)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Each test draws the same numbers, whichever others run."""
    RNG.bit_generator.state = START


#: (our layer, PyTorch's), from (input, hidden, **options).
RECURRENT = {
    "rnn-tanh": (nn.RNN, torch.nn.RNN),
    "rnn-relu": (
        lambda i, h, **o: nn.RNN(i, h, nonlinearity="relu", **o),
        lambda i, h, **o: torch.nn.RNN(i, h, nonlinearity="relu", **o),
    ),
    "lstm": (nn.LSTM, torch.nn.LSTM),
    "gru-old": (lambda i, h, **o: nn.GRU(i, h, update="old", reset="after", **o), torch.nn.GRU),
    "gru-new": (lambda i, h, **o: nn.GRU(i, h, update="new", reset="after", **o), torch.nn.GRU),
}
BATCH, TIME, INPUT, HIDDEN = 4, 6, 3, 5


def make_pair(name: str, layers: int, bidirectional: bool) -> tuple[nn.Recurrent, Any]:
    ours, theirs = RECURRENT[name]
    reference = randomize(theirs(INPUT, HIDDEN, num_layers=layers, bidirectional=bidirectional, batch_first=True))
    return load(ours(INPUT, HIDDEN, num_layers=layers, bidirectional=bidirectional), reference), reference


def make_state(name: str, layers: int, directions: int) -> tuple[Any, Any, list[tuple[ts.Tensor, Any]]]:
    """A non-zero first state in both forms, and the (ours, theirs) slices of each part."""
    parts = 2 if name == "lstm" else 1
    packed = [
        torch.tensor(RNG.normal(0.2, 0.7, (layers * directions, BATCH, HIDDEN)), requires_grad=True)
        for _ in range(parts)
    ]
    pairs = []
    state = []
    for layer in range(layers):
        row = []
        for direction in range(directions):
            place = layer * directions + direction
            tensors = [ts.tensor(part[place].detach().numpy(), requires_grad=True) for part in packed]
            pairs += [(mine, (part, place)) for mine, part in zip(tensors, packed, strict=True)]
            row.append(nn.LSTMState(*tensors) if parts == 2 else tensors[0])
        state.append(tuple(row))
    return tuple(state), tuple(packed) if parts == 2 else packed[0], pairs


def flat(state: Any) -> list[ts.Tensor]:
    return [part for _, part in ts.trees.leaves(state)]


@pytest.mark.parametrize("lengths", [None, [6, 3, 1, 5]], ids=["full", "unequal"])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (1, True), (2, True), (3, False)])
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers(name: str, layers: int, bidirectional: bool, lengths: list[int] | None) -> None:
    model, reference = make_pair(name, layers, bidirectional)
    state, packed_state, pairs = make_state(name, layers, 1 + bidirectional)
    xs, their_xs = leaf(RNG.normal(size=(BATCH, TIME, INPUT)))

    ys, last = model(xs, state, lengths=lengths)
    if lengths is None:
        their_ys, their_last = reference(their_xs, packed_state)
    else:
        packing = torch.nn.utils.rnn
        packed = packing.pack_padded_sequence(their_xs, lengths, batch_first=True, enforce_sorted=False)
        packed_ys, their_last = reference(packed, packed_state)
        their_ys, _ = packing.pad_packed_sequence(packed_ys, batch_first=True, total_length=TIME)
    their_parts = their_last if name == "lstm" else (their_last,)

    same(ys, their_ys, "ys")
    for place, mine in enumerate(flat(last)):
        index, part = divmod(place, len(their_parts))
        same(mine, their_parts[part][index], f"last state {place}")

    # A loss that weighs every output and every part of the last state differently.
    weights = RNG.normal(size=tuple(their_ys.shape))
    loss, their_loss = (ys * ts.tensor(weights)).sum(), (their_ys * torch.from_numpy(weights)).sum()
    for place, mine in enumerate(flat(last)):
        index, part = divmod(place, len(their_parts))
        w = RNG.normal(size=mine.shape)
        loss = loss + (mine * ts.tensor(w)).sum()
        their_loss = their_loss + (their_parts[part][index] * torch.from_numpy(w)).sum()
    loss.backward()
    their_loss.backward()
    same(xs.grad, their_xs.grad, "gradient of xs")
    for mine, (part, place) in pairs:
        same(mine.grad, part.grad[place], "gradient of the first state")
    same_gradients(model, reference)


@pytest.mark.parametrize("name", RECURRENT)
def test_conversion_both_ways_is_exact(name: str) -> None:
    model, reference = make_pair(name, 2, True)
    ours, theirs = nn.to_torch(model), arrays(reference)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        if "bias" not in key:
            np.testing.assert_array_equal(value, theirs[key])
        elif "bias_ih" in key:
            other = key.replace("bias_ih", "bias_hh")
            np.testing.assert_array_equal(value + ours[other], theirs[key] + theirs[other])
    # And PyTorch takes what we give: the function is the same.
    fresh = type(reference)(
        INPUT,
        HIDDEN,
        num_layers=2,
        bidirectional=True,
        batch_first=True,
        **({"nonlinearity": "relu"} if "relu" in name else {}),
    ).double()
    fresh.load_state_dict({key: torch.from_numpy(value) for key, value in ours.items()})
    xs = RNG.normal(size=(BATCH, TIME, INPUT))
    same(model(ts.tensor(xs))[0], fresh(torch.from_numpy(xs))[0])
    # Ours to PyTorch's and back is the identity, bit for bit.
    before = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    nn.from_torch(model, ours)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_cells(name: str) -> None:
    theirs = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[name]
    reference = randomize(theirs(INPUT, HIDDEN))
    options = {"update": "old", "reset": "after"} if name == "gru" else {}
    cell = load(nn.cell_factory(name, **options)(INPUT, HIDDEN), reference)
    x, h, c = (RNG.normal(size=(BATCH, size)) for size in (INPUT, HIDDEN, HIDDEN))
    if name == "lstm":
        _, state = cell.step(ts.tensor(x), nn.LSTMState(ts.tensor(h), ts.tensor(c)))
        expected = reference(torch.from_numpy(x), (torch.from_numpy(h), torch.from_numpy(c)))
        same(state.h, expected[0])
        same(state.c, expected[1])
    else:
        same(cell.step(ts.tensor(x), ts.tensor(h))[0], reference(torch.from_numpy(x), torch.from_numpy(h)))


def test_a_whole_model_by_its_attribute_names() -> None:
    class Ours(nn.Module):
        def __init__(self) -> None:
            self.table = nn.Embedding(11, INPUT)
            self.body = nn.LSTM(INPUT, HIDDEN, num_layers=2)
            self.head = nn.Linear(HIDDEN, 11)

    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(11, INPUT)
            self.body = torch.nn.LSTM(INPUT, HIDDEN, num_layers=2, batch_first=True)
            self.head = torch.nn.Linear(HIDDEN, 11)

    reference = randomize(Theirs())
    model = load(Ours(), reference)
    ids, targets = RNG.integers(0, 11, (BATCH, TIME)), RNG.integers(0, 11, (BATCH, TIME))
    logits = model.head(model.body(model.table(ts.tensor(ids)))[0])
    their_logits = reference.head(reference.body(reference.table(torch.from_numpy(ids)))[0])
    same(logits, their_logits)
    loss = nn.cross_entropy(logits, ts.tensor(targets))
    their_loss = torch.nn.functional.cross_entropy(
        their_logits.reshape(-1, 11), torch.from_numpy(targets).reshape(-1), reduction="sum"
    )
    same(loss, their_loss)
    loss.backward()
    their_loss.backward()
    same_gradients(model, reference)


def test_layer_norm() -> None:
    reference = randomize(torch.nn.LayerNorm(7, eps=1e-3))
    layer = load(nn.LayerNorm(7, eps=1e-3), reference)
    x, their_x = leaf(RNG.normal(2.0, 3.0, (2, 3, 7)))
    y, their_y = layer(x), reference(their_x)
    same(y, their_y)
    weights = RNG.normal(size=y.shape)
    (y * ts.tensor(weights)).sum().backward()
    (their_y * torch.from_numpy(weights)).sum().backward()
    same(x.grad, their_x.grad)
    same_gradients(layer, reference)


FEATURES, HEADS = 6, 3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("masking", ["none", "causal", "padding", "own", "own and padding"])
@pytest.mark.parametrize("cross", [False, True])
def test_multihead_attention(cross: bool, masking: str, bias: bool) -> None:
    key_size = 4 if cross else FEATURES
    reference = randomize(
        torch.nn.MultiheadAttention(FEATURES, HEADS, bias=bias, kdim=key_size, vdim=key_size, batch_first=True)
    )
    layer = load(nn.MultiheadAttention(FEATURES, HEADS, key_size=key_size, bias=bias), reference)
    queries = 5
    keys = 5 if masking == "causal" or not cross else 7
    q, their_q = leaf(RNG.normal(size=(BATCH, queries, FEATURES)))
    k, their_k = leaf(RNG.normal(size=(BATCH, keys, key_size))) if cross else (q, their_q)
    v, their_v = leaf(RNG.normal(size=(BATCH, keys, key_size))) if cross else (q, their_q)
    lengths = [keys, 2, 1, 4] if "padding" in masking else None
    own = RNG.random((queries, keys)) < 0.6
    own[:, 0] = True  # PyTorch gives NaN for a row without any; ours is tested apart
    mask = own if "own" in masking else None

    y, weights = layer(
        q, k, v, mask=None if mask is None else ts.tensor(mask), lengths=lengths, causal=masking == "causal"
    )
    # PyTorch's masks say where NOT to look.
    forbidden = None
    if mask is not None:
        forbidden = torch.from_numpy(~mask)
    elif masking == "causal":
        forbidden = torch.triu(torch.ones(queries, keys, dtype=torch.bool), 1)
    padding = None
    if lengths is not None:
        padding = torch.arange(keys)[None, :] >= torch.tensor(lengths)[:, None]
    their_y, their_weights = reference(
        their_q, their_k, their_v, attn_mask=forbidden, key_padding_mask=padding, average_attn_weights=False
    )
    same(y, their_y)
    same(weights, their_weights)
    w = RNG.normal(size=y.shape)
    (y * ts.tensor(w)).sum().backward()
    (their_y * torch.from_numpy(w)).sum().backward()
    same(q.grad, their_q.grad)
    same(k.grad, their_k.grad)
    same(v.grad, their_v.grad)
    same_gradients(layer, reference)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_encoder(norm_first: bool, activation: str) -> None:
    kind = torch.nn.TransformerEncoderLayer(
        FEATURES, HEADS, 8, dropout=0.0, activation=activation, norm_first=norm_first, batch_first=True
    )
    norm = torch.nn.LayerNorm(FEATURES) if norm_first else None
    reference = randomize(torch.nn.TransformerEncoder(kind, 2, norm=norm, enable_nested_tensor=False))
    model = load(nn.TransformerEncoder(FEATURES, HEADS, 2, 8, activation=activation, norm_first=norm_first), reference)
    x, their_x = leaf(RNG.normal(size=(BATCH, TIME, FEATURES)))
    lengths = [6, 3, 1, 5]
    padding = torch.arange(TIME)[None, :] >= torch.tensor(lengths)[:, None]
    causal = torch.triu(torch.ones(TIME, TIME, dtype=torch.bool), 1)
    y = model(x, lengths=lengths, causal=True)
    their_y = reference(their_x, mask=causal, src_key_padding_mask=padding)
    same(y, their_y)
    w = RNG.normal(size=y.shape)
    (y * ts.tensor(w)).sum().backward()
    (their_y * torch.from_numpy(w)).sum().backward()
    same(x.grad, their_x.grad)
    same_gradients(model, reference)


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_decoder(norm_first: bool) -> None:
    kind = torch.nn.TransformerDecoderLayer(FEATURES, HEADS, 8, dropout=0.0, norm_first=norm_first, batch_first=True)
    norm = torch.nn.LayerNorm(FEATURES) if norm_first else None
    reference = randomize(torch.nn.TransformerDecoder(kind, 2, norm=norm))
    model = load(nn.TransformerDecoder(FEATURES, HEADS, 2, 8, norm_first=norm_first), reference)
    x, their_x = leaf(RNG.normal(size=(BATCH, TIME, FEATURES)))
    memory, their_memory = leaf(RNG.normal(size=(BATCH, 7, FEATURES)))
    lengths, source = [6, 3, 1, 5], [2, 7, 4, 1]
    y = model(x, memory, lengths=lengths, memory_lengths=source)
    their_y = reference(
        their_x,
        their_memory,
        tgt_mask=torch.triu(torch.ones(TIME, TIME, dtype=torch.bool), 1),
        tgt_key_padding_mask=torch.arange(TIME)[None, :] >= torch.tensor(lengths)[:, None],
        memory_key_padding_mask=torch.arange(7)[None, :] >= torch.tensor(source)[:, None],
    )
    same(y, their_y)
    w = RNG.normal(size=y.shape)
    (y * ts.tensor(w)).sum().backward()
    (their_y * torch.from_numpy(w)).sum().backward()
    same(x.grad, their_x.grad)
    same(memory.grad, their_memory.grad)
    same_gradients(model, reference)


@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_losses(reduction: str) -> None:
    functional = torch.nn.functional
    x, their_x = leaf(RNG.normal(0, 4, (3, 4)))
    t = RNG.normal(size=(3, 4))
    bits = RNG.integers(0, 2, (3, 4)).astype(np.float64)
    labels = RNG.integers(0, 4, 3)
    class_weights = RNG.random(4) + 0.1
    pairs = [
        (
            nn.squared_error(x, ts.tensor(t), reduction=reduction),
            0.5 * functional.mse_loss(their_x, torch.from_numpy(t), reduction=reduction),
        ),
        (
            nn.binary_cross_entropy(x, ts.tensor(bits), reduction=reduction),
            functional.binary_cross_entropy_with_logits(their_x, torch.from_numpy(bits), reduction=reduction),
        ),
        (
            nn.cross_entropy(x, ts.tensor(labels), weight=ts.tensor(class_weights), reduction=reduction),
            functional.cross_entropy(
                their_x, torch.from_numpy(labels), weight=torch.from_numpy(class_weights), reduction=reduction
            ),
        ),
    ]
    for loss, their_loss in pairs:
        same(loss, their_loss)
        loss.sum().backward()
        their_loss.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), their_x.grad.numpy(), **CLOSE)


def test_masked_cross_entropy_is_an_ignored_target() -> None:
    x, their_x = leaf(RNG.normal(size=(3, 5, 4)))
    labels, mask = RNG.integers(0, 4, (3, 5)), RNG.random((3, 5)) < 0.6
    loss = nn.cross_entropy(x, ts.tensor(labels), mask=ts.tensor(mask), reduction="mean")
    their_labels = torch.from_numpy(np.where(mask, labels, -100)).reshape(-1)
    their_loss = torch.nn.functional.cross_entropy(their_x.reshape(-1, 4), their_labels)
    same(loss, their_loss)
    loss.backward()
    their_loss.backward()
    same(x.grad, their_x.grad)
