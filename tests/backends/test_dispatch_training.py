"""Training on a device: every example and optimiser, what crosses to the host in a step, seeds, checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinyseq as ts
from support import strict
from support.device_training import EXAMPLES, Model, gone_on, moved, trained, training_step
from support.optimizers import OPTIMIZERS
from support.strict import DeviceArray, Transfers, transfers
from tinyseq import backends, nn, optim, sparse
from tinyseq.nn import reservoir

backends.register("strict", strict.__name__)
COMPILED = ("lstm", "tagging")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_trains_on_the_device_to_the_same_numbers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Op by op, so that bits can be compared: a reservoir's products are dense on a device, and `fit` is not compiled.
    monkeypatch.setattr(sparse, "_SMALL", 1 << 62)
    monkeypatch.setattr(reservoir, "_MANY_STEPS", 1 << 62)
    if "source: digits" in path.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn", reason='the digits come with scikit-learn: pip install "tinyseq[digits]"')
    losses, weights = trained(path, "strict", False)
    expected_losses, expected = trained(path, "numpy", False)
    # The same seed: the same initial weights, batches and dropout masks, bit for bit.
    np.testing.assert_array_equal(losses, expected_losses)
    for got, wanted in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    if path.stem in COMPILED:
        losses, _ = trained(path, "strict", True)
        np.testing.assert_allclose(losses, expected_losses, rtol=1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_moves_alike(name: str) -> None:
    for got, wanted in zip(moved(name, "strict"), moved(name, "numpy"), strict=True):
        np.testing.assert_array_equal(got, wanted)


# -- what crosses ------------------------------------------------------------------------------------------------------


def crossed(way: str) -> Transfers:
    """What crosses in one training step, after two that warm up."""
    with ts.backend("strict"):
        step = training_step(way)
        step()
        step()
        with transfers() as found:
            step()
        return found


@pytest.mark.parametrize("way", ["eager", "compiled loss", "compiled step"])
def test_a_training_step_moves_its_batch_in_and_its_loss_out(way: str) -> None:
    found = crossed(way)
    assert found.to_device == [(3, 6), (3, 6)]  # ids and targets
    assert found.to_host == []
    # The loss, and whether the labels of the embedding and of the loss are in range.
    assert found.scalars == 3


def test_what_is_made_on_the_device_does_not_cross() -> None:
    with ts.backend("strict"):
        x = ts.ones(2, 3)
        with transfers() as found:
            made = [ts.zeros(4), ts.full((2,), 3.0), ts.arange(5), ts.eye(3), ts.tensor(x), ts.tensor(x.value), -x]
            made += [x.sum(0), nn.masks.causal_mask(4), ts.einsum("ii->i", ts.eye(3)), ts.zeros_like(x)]
            made.append(ts.gather(x, ts.arange(2).reshape(2, 1) * 0, 1))
        assert all(type(y.value) is DeviceArray for y in made)
        assert not np.shares_memory(made[4].value._array, x.value._array), "ts.tensor copies"
        with transfers() as once:
            xs = ts.zeros(2, 5, 3)
            for truncate in (None, 2):
                ts.unroll(lambda x, h: (h + x, h + x), xs, ts.zeros(2, 3), lengths=[5, 2], truncate=truncate)
    assert (found.to_device, found.to_host, found.scalars) == ([], [], 0)
    # Lengths are the host's: their masks go in once an unroll, and the cuts of rows that differ.
    assert once.to_host == []
    assert once.to_device.count((2, 5)) == 2


def test_the_count_sees_a_hidden_copy() -> None:
    with ts.backend("strict"):
        x = ts.ones(2, 3)
        with transfers() as found:
            _ = x + np.ones((2, 3), np.float32)  # an array of the host in an expression is brought in each time
            _ = x.numpy(), x.sum().item(), x.tolist(), bool((x > 0).value.all())
    assert found.to_device == [(2, 3)]
    assert found.to_host == [(2, 3), (2, 3)]
    assert found.scalars == 2


def test_the_wall_stands() -> None:
    with ts.backend("strict"):
        x = ts.ones(2).value
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    with pytest.raises(TypeError):
        _ = x + np.ones(2)
    with pytest.raises(TypeError):
        _ = np.ones(2) + x
    with pytest.raises(AttributeError, match="protocol"):
        strict.create().xp.linalg  # noqa: B018
    with pytest.raises(ts.TinyseqError, match="different backends"), ts.backend("strict"):
        _ = ts.ones(2) + ts.Tensor(np.ones(2))


def test_a_compiled_function_runs_where_its_tensors_are() -> None:
    with ts.backend("strict"):
        x, w = ts.ones(2, 3), ts.full((3, 2), 2.0)
    fast = ts.compile(lambda x, w: x @ w)
    y = fast(x, w)  # outside of the `with`
    assert type(y.value) is DeviceArray
    np.testing.assert_array_equal(y.numpy(), np.full((2, 2), 6.0))
    with pytest.raises(ts.TinyseqError, match="different backends"):
        fast(x, ts.ones(3, 2))
    with pytest.raises(ts.TinyseqError, match="different backends") as caught:
        ts.compile(lambda x: x @ w)(ts.ones(2, 3))  # the weight is elsewhere
    assert "strict" in caught.value.got


# -- seeds and checkpoints ---------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_and_masks() -> None:
    def drawn(backend: str) -> list[np.ndarray]:
        with ts.backend(backend):
            ts.seed(5)
            model = Model()
            drop = nn.Dropout(0.5)
            return [x.numpy() for x in (*model.parameters(), drop(ts.ones(50, 3)), drop(ts.ones(4)), ts.randn(3, 2))]

    for got, wanted in zip(drawn("strict"), drawn("numpy"), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(("source", "target"), [("strict", "numpy"), ("numpy", "strict")])
def test_weights_and_optimiser_states_move_between_backends(source: str, target: str) -> None:
    def step(model: Model, optimizer: optim.Optimizer) -> float:
        ids = np.arange(12).reshape(3, 4) % 7
        loss = model(ts.tensor(ids), ts.tensor(ids))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.item())

    def made(backend: str) -> tuple[Model, optim.Optimizer]:
        ts.seed(1)
        model = Model()
        model.eval()
        return model, optim.Adam(model.parameters(), lr=0.1)

    with ts.backend(source):
        model, optimizer = made(source)
        step(model, optimizer)
        weights, state = model.state_dict(), optimizer.state_dict()
    with ts.backend(target):
        moved, moved_optimizer = made(target)
        moved.load_state_dict(weights)
        moved_optimizer.load_state_dict(state)
        kind = backends.current().array_type
        assert all(type(p.value) is kind for p in moved.parameters())
        assert all(type(x.value) is kind for part in moved_optimizer.state for x in part.values())
        there = [step(moved, moved_optimizer) for _ in range(2)]
    with ts.backend(source):
        assert there == [step(model, optimizer) for _ in range(2)]


@pytest.mark.parametrize(("source", "target"), [("strict", "numpy"), ("numpy", "strict")])
def test_a_run_goes_on_on_another_backend(tmp_path: Path, source: str, target: str) -> None:
    left, found = gone_on(tmp_path, source, target, compiled=False)
    assert len(found) == 4  # three steps, and a look at the validation part
    assert found == left


def test_a_weights_file_is_read_on_another_backend(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    with ts.backend("strict"):
        model = Model()
        save_file({name: np.array(x.numpy()) for name, x in model.state_dict().items()}, tmp_path / "w.safetensors")
    other = Model()
    other.load_state_dict(load_file(tmp_path / "w.safetensors"))
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert isinstance(a.value, DeviceArray)
