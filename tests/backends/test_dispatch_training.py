"""Training on a device: every example and optimiser, what crosses to the host in a step, seeds, checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_optimizers import OPTIMIZERS

import tinyseq as ts
from support import strict
from support.smallruns import TEXT
from support.strict import DeviceArray, Transfers, transfers
from tinyseq import backends, nn, optim
from tinyseq.train import load_config
from tinyseq.train.config.run_config import check
from tinyseq.train.config.source import Document
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_loop import train
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared
from tinyseq.train.storage.checkpoint_file import Checkpoint, read, write

backends.register("strict", strict.__name__)
FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))
STEPS = 1  # the others are like it, and eager steps of large models are slow
COMPILED = ("lstm", "tagging")


def config_of(path: Path, backend: str) -> Any:
    return load_config(path, {"dtype": "float64"}).model_copy(update={"backend": backend})


def trained(path: Path, backend: str, compiled: bool) -> tuple[list[float], list[np.ndarray]]:
    """The loss of a step and the weights after it."""
    config = config_of(path, backend)
    with prepared(config) as (task, model):
        if task.one_pass:
            task.fit(model)
            return [], [p.numpy() for p in model.parameters()]
        train_step = TrainStep(task, model, config.train, SilentProgress(), compiled=compiled)
        batches, state, losses = task.batches(), None, []
        model.train()
        for _ in range(STEPS):
            stepped = train_step(next(batches), state)
            losses.append(stepped.loss)
            state = stepped.state
        assert train_step.compiled == compiled
        return losses, [p.numpy() for p in model.parameters()]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_trains_on_the_device_to_the_same_numbers(path: Path) -> None:
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


def moved(name: str, backend: str) -> list[np.ndarray]:
    """Return a parameter after some steps of an optimiser, and the optimiser's states, which never leave the device."""
    with ts.backend(backend):
        p = ts.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
        optimizer = OPTIMIZERS[name]([p])
        for _ in range(3):
            (p * p * p).sum().backward()
            optim.clip_grad_norm([p], 2.0)
            optim.clip_grad_value([p], 0.8)
            optimizer.step()
            optimizer.zero_grad()
        assert type(p.value) is backends.current().array_type
        states = [part for state in optimizer.state for part in state.values()]
        assert all(type(part.value) is backends.current().array_type for part in states)
        return [x.numpy() for x in (p, *states)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_moves_alike(name: str) -> None:
    for got, wanted in zip(moved(name, "strict"), moved(name, "numpy"), strict=True):
        np.testing.assert_array_equal(got, wanted)


# -- what crosses ------------------------------------------------------------------------------------------------------


class Model(nn.Module):
    def __init__(self) -> None:
        self.embed = nn.Embedding(7, 4)
        self.rnn = nn.LSTM(4, 5, num_layers=2, dropout=0.3)
        self.head = nn.Linear(5, 7)

    def forward(self, ids: ts.Tensor, targets: ts.Tensor, lengths: Any = None) -> ts.Tensor:
        ys, _ = self.rnn(self.embed(ids), lengths=lengths)
        return nn.cross_entropy(self.head(ys), targets, reduction="mean")


def training_step(way: str) -> Callable[[], float]:
    """Return a step of Adam on a batch from the host, which gives its loss to the host."""
    model = Model()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    loss_of = ts.compile(model) if way == "compiled loss" else model
    rng = np.random.default_rng(0)

    def move(ids: ts.Tensor, targets: ts.Tensor) -> ts.Tensor:
        loss = loss_of(ids, targets)
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss

    moved = ts.compile(move) if way == "compiled step" else move

    def step() -> float:
        ids, targets = (ts.tensor(rng.integers(0, 7, (3, 6))) for _ in range(2))
        return float(moved(ids, targets).item())

    return step


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


RUN = {
    "task": "language_model",
    "dtype": "float64",
    "data": {"split": [0.8, 0.1, 0.1]},
    "model": {"cell": "lstm", "hidden_size": 6, "embedding_size": 4, "dropout": 0.2, "num_layers": 2},
    "train": {
        "steps": 6, "batch_size": 4, "bptt": {"every": 16, "back": 20}, "optimizer": {"name": "adam", "lr": 0.01},
        "evaluate_every": 3, "log_every": 1, "checkpoint": {"every": 1, "keep": 100},
    },
    "sample": {"count": 0},
}  # fmt: skip


def gone_on(folder: Path, source: str, target: str, compiled: bool) -> tuple[list[float], list[float]]:
    """The losses of a run on one backend, and those of another that goes on from its third checkpoint, on a file."""
    (folder / "text.txt").write_text(TEXT[:900], encoding="utf-8")
    written: Any = check(Document({**RUN, "data": {**RUN["data"], "path": str(folder / "text.txt")}}))

    def losses(backend: str, start: Checkpoint | None) -> tuple[list[float], list[Checkpoint]]:
        config = written.model_copy(update={"backend": backend})
        found: list[dict[str, Any]] = []
        saved: list[Checkpoint] = []
        ts.seed(config.seed)
        with prepared(config) as (task, model):
            how = {"compiled": compiled, "save": saved.append, "start": start}
            train(task, model, config.train, SilentProgress(), found.append, **how)
        return [row["loss"] for row in found if row["step"] > 3], saved

    whole, saved = losses(source, None)
    (third,) = (found for found in saved if found.step == 3)
    write(folder / "third.safetensors", third)
    return whole, losses(target, read(folder / "third.safetensors"))[0]


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
