"""Training on any backend: examples, optimisers, a model, a step, a run that another backend goes on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinyseq as ts
from support.optimizers import OPTIMIZERS
from support.smallruns import TEXT
from tinyseq import backends, nn, optim
from tinyseq.train import load_config
from tinyseq.train.config.run_config import check
from tinyseq.train.config.source import Document
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_loop import train
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared
from tinyseq.train.storage.checkpoint_file import Checkpoint, read, write

FOLDER = Path(__file__).resolve().parents[2] / "examples"

EXAMPLES = sorted(FOLDER.glob("*.yaml"))

STEPS = 1  # the others are like it, and eager steps of large models are slow


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


SHAPES = [(3, 5), (), (70, 1000), (1, 1, 4)]


class Steps:
    """Parameters of several shapes, moved by a compiled step of Adam; float64, and one of float32."""

    def __init__(self, **options: Any) -> None:
        rng = np.random.default_rng(0)
        self.parameters = [nn.parameter(rng.normal(size=shape)) for shape in SHAPES]
        self.parameters[0] = nn.parameter(rng.normal(size=SHAPES[0]).astype(np.float32))
        self.optimizer = optim.Adam(self.parameters, lr=0.1)
        self.fast = ts.compile(self.step)

    def step(self, x: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        whole = sum(((p.cast(np.float64) - x) ** 2).sum() for p in self.parameters)
        whole.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return whole, x + 1.0

    def tensors(self) -> list[ts.Tensor]:
        return [*self.parameters, *(part for state in self.optimizer.state for part in state.values())]

    def values(self) -> list[np.ndarray]:
        return [x.numpy().copy() for x in self.tensors()]
