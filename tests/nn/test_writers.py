"""Encoders and writers: step by step is the same as at once, padding changes nothing, scheduled sampling."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn
from tinyseq.errors import DataError
from tinyseq.nn.encoders import FeatureEncoder, RecurrentEncoder, TransformerTextEncoder, patches_of
from tinyseq.nn.writers import ATTENTIONS, EncoderDecoder, RecurrentWriter, TransformerWriter, drawn

V, S = 7, 9


def recurrent(attention, cell="lstm", layers=2, bidirectional=True):
    encoder = RecurrentEncoder(nn.Recurrent(cell, 4, 6, num_layers=layers, bidirectional=bidirectional), S)
    make = partial(nn.CELLS[cell])
    writer = RecurrentWriter(make, V, 4, 6, encoder.output_size, attention=attention, num_layers=layers)
    return EncoderDecoder(encoder, writer).cast("float64").eval()


def transformer():
    model = EncoderDecoder(TransformerTextEncoder(S, 8, 2, 2, 16), TransformerWriter(V, 8, 2, 2, 16))
    return model.cast("float64").eval()


MODELS = {name: partial(recurrent, name) for name in ATTENTIONS} | {
    "one way": partial(recurrent, "dot", "gru", 1, False),
    "transformer": transformer,
}
SOURCE, LENGTHS = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]]), np.array([5, 3])
PREVIOUS = np.array([[0, 1, 2, 3], [0, 4, 5, 6]])


def run(model, previous=PREVIOUS, source=SOURCE, lengths=LENGTHS):
    found = model(ts.tensor(previous), ts.tensor(source), ts.tensor(lengths))
    return found.numpy().reshape(*previous.shape, V)


@pytest.mark.parametrize("name", MODELS)
def test_step_by_step_is_as_at_once(name):
    model = MODELS[name]()
    encoded = model.encoder(ts.tensor(SOURCE), ts.tensor(LENGTHS))
    step, state = model.writer.stepper(encoded, copies=2)
    for t in range(PREVIOUS.shape[1]):
        logits, state = step(np.repeat(PREVIOUS[:, t], 2), state)
        np.testing.assert_allclose(logits, np.repeat(run(model)[:, t], 2, axis=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing(name):
    model = MODELS[name]()
    expected = run(model)
    wide = np.concatenate([SOURCE, np.full((2, 3), 7)], axis=1)
    wide[1, 3:] = 2  # padding may hold anything
    np.testing.assert_allclose(run(model, source=wide), expected, rtol=1e-9, atol=1e-12)
    alone = run(model, previous=PREVIOUS[1:, :3], source=SOURCE[1:, :3], lengths=LENGTHS[1:])
    np.testing.assert_allclose(alone, expected[1:, :3], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_scheduled_sampling_that_keeps_all_is_teacher_forcing(name):
    model = MODELS[name]()
    encoded = model.encoder(ts.tensor(SOURCE), ts.tensor(LENGTHS))
    keep, draws = ts.tensor(np.ones(PREVIOUS.shape, bool)), ts.tensor(np.full(PREVIOUS.shape, 0.5))
    found = model.writer.scheduled(ts.tensor(PREVIOUS), encoded, keep, draws).numpy()
    np.testing.assert_allclose(found.reshape(2, 4, V), run(model), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in MODELS if n != "transformer"])
def test_scheduled_sampling_reads_what_it_drew(name):
    """By hand: step by step, each next token by the same draw, is teacher forcing on those tokens."""
    model = MODELS[name]()
    encoded = model.encoder(ts.tensor(SOURCE), ts.tensor(LENGTHS))
    rng = np.random.default_rng(0)
    keep, draws = rng.random(PREVIOUS.shape) < 0.4, rng.random(PREVIOUS.shape)
    keep[:, 0] = True
    read = PREVIOUS.copy()
    for t in range(3):
        own = drawn(ts.tensor(run(model, previous=read)[:, t]), ts.tensor(draws[:, t])).numpy()
        read[:, t + 1] = np.where(keep[:, t + 1], PREVIOUS[:, t + 1], own)
    found = model.writer.scheduled(ts.tensor(PREVIOUS), encoded, ts.tensor(keep), ts.tensor(draws)).numpy()
    np.testing.assert_allclose(found.reshape(2, 4, V), run(model, previous=read), rtol=1e-9, atol=1e-12)
    assert (read != PREVIOUS).any()


def test_drawn_follows_the_distribution():
    p = np.array([0.1, 0.6, 0.3])
    draws = (np.arange(1000) + 0.5) / 1000
    tokens = drawn(ts.tensor(np.tile(np.log(p), (1000, 1))), ts.tensor(draws)).numpy()
    np.testing.assert_allclose(np.bincount(tokens, minlength=3) / 1000, p, atol=0.002)


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_over_what_was_read(name):
    model = MODELS[name]()
    weights = model.writer.weights(ts.tensor(PREVIOUS), model.encoder(ts.tensor(SOURCE), ts.tensor(LENGTHS)))
    if name == "none":
        assert weights is None
        return
    found = weights.numpy()
    assert found.shape == (2, 4, 5)
    np.testing.assert_allclose(found.sum(-1), 1.0)
    assert (found[1, :, 3:] == 0).all()


@pytest.mark.parametrize("cell", nn.CELLS)
def test_any_cell_writes(cell):
    model = recurrent("additive", cell, layers=1)
    assert np.isfinite(run(model)).all()


@pytest.mark.parametrize("patch", [None, 4])
def test_features_set_the_first_state(patch):
    writer = RecurrentWriter(nn.CELLS["lstm"], V, 4, 6, 5, attention="none" if patch is None else "dot")
    patches = None if patch is None else patches_of((8, 8, 3), patch)
    encoder = FeatureEncoder(192, 5, writer.cells, patches=patches)
    x = np.random.default_rng(0).random((2, 192))
    encoder.fit(np.random.default_rng(1).random((10, 192)))
    encoded = encoder(ts.tensor(x, dtype="float32"))
    assert encoded.memory.shape == ((2, 1, 5) if patch is None else (2, 9, 5))
    logits = writer(ts.tensor(PREVIOUS), encoded).numpy().reshape(2, 4, V)
    assert not np.allclose(logits[0, 0], logits[1, 0])
    assert {"shift", "scale"} <= set(encoder.state_dict())
    assert "shift" not in dict(encoder.named_parameters())


def test_patches():
    patches = patches_of((4, 6), 2)
    assert patches.shape == (15, 4)
    assert patches[0].tolist() == [0, 1, 6, 7]
    assert patches_of((5, 5, 3), 3).shape == (9, 27)
    with pytest.raises(DataError, match="at least 6 rows"):
        patches_of((5, 8, 3), 6)
    with pytest.raises(DataError, match="rows and columns"):
        patches_of((10,), 2)
