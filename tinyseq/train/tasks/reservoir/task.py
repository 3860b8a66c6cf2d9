"""Echo state networks on chaotic and nonlinear series: a fixed reservoir, a readout learned in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinyseq import nn
from tinyseq.creation import tensor
from tinyseq.data.forecasts import nrmse
from tinyseq.data.systems import SYSTEMS, System
from tinyseq.errors import DataError
from tinyseq.modes import no_grad
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.learning import Feed
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.overview import Overview, amounts, counted, some
from tinyseq.train.tasks.reservoir.codec import ReservoirRecord
from tinyseq.train.tasks.reservoir.config import ReservoirTaskConfig
from tinyseq.train.tasks.reservoir.presentation import RunsPresentation
from tinyseq.train.tasks.reservoir.runs import features_of, states_of
from tinyseq.train.tasks.role import Array, Prepared


class Reservoir(RunsPresentation, Task[ReservoirTaskConfig]):
    """Judged by the root mean squared error over the standard deviation (NRMSE), 1 for a forecast of the mean.

    A system that drives itself is forecast ``evaluate.ahead`` steps on by the network's own outputs, from places
    through the whole part that lie so far apart (Jaeger and Haas 2004: NRMSE_84); a driven one at each step.
    """

    Config = ReservoirTaskConfig
    measure = Measure(
        "nrmse",
        "NRMSE: root mean squared error over the standard deviation",
        meaning="1 for a forecast of the mean",
    )
    compilable = True

    system = Prepared[System]()

    def __init__(self, config: ReservoirTaskConfig) -> None:
        super().__init__(config)
        #: A model, and what its reservoir makes of the training inputs: computed once, since it does not learn.
        self._driven: tuple[Any, Array] | None = None

    # Training: in one pass, or the readout alone along gradients.

    def prepare(self) -> None:
        config = self.config.data
        length = config.train + config.valid + config.test
        self.system = SYSTEMS[config.system](length, self.config.seed, **config.options)
        self.take_names(self.system.input_names, self.system.target_names, self.system.free)
        self.variance = self.system.targets.var(0)

    def build(self) -> nn.EchoStateNetwork:
        return self.config.model.build(len(self.inputs), len(self.targets))

    def least(self) -> nn.EchoStateNetwork:
        return self.config.model.build(1, 1)

    @property
    def one_pass(self) -> bool:
        return self.config.readout.method == "ridge"

    def fit(self, model: nn.EchoStateNetwork) -> int:
        config, count = self.config.readout, self.config.data.train
        inputs, targets = self._tensor(self.system.inputs[:count]), self._tensor(self.system.targets[:count])
        model.fit(inputs, targets, ridge=config.ridge, bias=config.bias, washout=config.washout)
        return count - config.washout

    def batches(self) -> Iterator[Array]:
        rng = np.random.default_rng(self.config.seed)
        while True:
            yield rng.integers(self.config.readout.washout, self.config.data.train, self.config.train.batch_size)

    def count(self, batch: Array) -> int:
        return len(batch)

    def rows(self, batch: Array, rows: slice) -> Array:
        return batch[rows]

    def feed(self, model: nn.EchoStateNetwork, batch: Array, state: Any) -> Feed:
        if self._driven is None or self._driven[0] is not model:
            # The reservoir does not learn, so what it makes of the inputs is computed once.
            with no_grad():
                features, _ = model.features(self._tensor(self.system.inputs[: self.config.data.train]))
            self._driven = model, features.numpy()[0]
        targets = self.system.targets[batch].astype(self.config.dtype)
        return Feed((tensor(self._driven[1][batch]), tensor(targets)), len(batch))

    def loss(self, model: nn.EchoStateNetwork, *arguments: Any) -> tuple[Tensor, Any]:
        features, targets = arguments
        return nn.squared_error(model.readout(features), targets, reduction="mean"), None

    def example(self, model: nn.EchoStateNetwork, steps: int) -> Tensor:
        """Return the loss at the last of some steps, from an initial state that gradients flow to."""
        rng = np.random.default_rng(self.config.seed)
        inputs = rng.uniform(0.0, 0.5, (steps, len(self.inputs)))
        if (system := Reservoir.system.of(self)) is not None:
            inputs = system.inputs[:steps]
        # Nothing in a reservoir learns; so that its states are followed all the same, the first asks for a gradient.
        state = tensor(np.zeros((1, model.hidden_size), self.config.dtype), requires_grad=True, name="h0")
        ys, _ = model(self._tensor(inputs), state)
        return nn.squared_error(ys[:, -1], tensor(np.zeros((1, len(self.targets)), self.config.dtype)))

    # Judgement.

    def part(self, split: str) -> list[ReservoirRecord]:
        config, washout = self.config.data, self.config.readout.washout
        first = {"train": 0, "valid": config.train, "test": config.train + config.valid}[split]
        end = first + getattr(config, split)
        since = max(0, first - washout)
        start = max(first - since, washout if split == "train" else 0)
        return [ReservoirRecord(config.system, self.system.inputs[since:end], self.system.targets[since:end], start)]

    def evaluate_on(
        self, model: nn.EchoStateNetwork, records: Sequence[ReservoirRecord], *, batch_size: int | None = None
    ) -> dict[str, float]:
        """Return the NRMSE a step ahead, and for a system that drives itself that of the free runs."""
        steps, runs = [], []
        for record in records:
            if record.targets is None or len(record.inputs) <= record.start:
                raise DataError(f"{record.name}: nothing to judge", required="targets after the warm-up", got="none")
            with no_grad():
                states, _ = states_of(model, self._tensor(record.inputs))
                outputs = model.readout(features_of(model, self._tensor(record.inputs), states)).numpy()[0]
            truth = record.targets[record.start :]
            steps.append((outputs[record.start :], truth))
            if self.free:
                runs.append(self._free_runs(model, record, states))
        one = self._nrmse(steps)
        if not self.free:
            return {"nrmse": one}
        return {"nrmse": self._nrmse(runs), "nrmse_1": one}

    def _nrmse(self, pairs: Sequence[tuple[Array, Array]]) -> float:
        """Return the error over pairs of outputs and truths, all together."""
        predicted, true = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        return nrmse(predicted, true, self.variance)

    def baselines(self) -> dict[str, dict[str, float]]:
        (record,) = self.part("test")
        assert record.targets is not None
        mean = self.system.targets[: self.config.data.train].mean(0)
        truth = record.targets[record.start :]
        if not self.free:
            window = 20
            lagged = np.concatenate([np.roll(self.system.inputs, k, axis=0) for k in range(window)], axis=1)
            regression, known = nn.RidgeRegression(), slice(window, self.config.data.train)
            regression.add(lagged[known], self.system.targets[known])
            W, b = regression.solve(1e-9)
            linear = lagged[-len(truth) :] @ W + b
            return {
                "training mean": {"nrmse": nrmse(np.broadcast_to(mean, truth.shape), truth, self.variance)},
                f"linear, last {window} inputs": {"nrmse": nrmse(linear, truth, self.variance)},
            }
        places, ahead = self._places(record), self.config.evaluate.ahead
        later = record.targets[places + ahead - 1]
        return {
            "persistence": {
                "nrmse": nrmse(record.inputs[places], later, self.variance),
                "nrmse_1": nrmse(record.inputs[record.start :], truth, self.variance),
            },
            "training mean": {
                "nrmse": nrmse(np.broadcast_to(mean, later.shape), later, self.variance),
                "nrmse_1": nrmse(np.broadcast_to(mean, truth.shape), truth, self.variance),
            },
        }

    def overview(self) -> Overview:
        config, targets = self.config, some(self.targets)
        onward = f"{targets}, {counted(config.evaluate.ahead, 'step')} on, by the network's own outputs"
        options = ", ".join(f"{key} {value}" for key, value in config.data.options.items())
        return Overview(
            f"{config.data.system}, made" + (f" with {options}" if options else ""),
            amounts(self.describe_data(), "step"),
            onward if self.free else f"{targets} at each step, from {some(self.inputs)} until then",
        )

    def describe_data(self) -> dict[str, Any]:
        config = self.config.data
        return {
            "system": config.system,
            **config.options,
            "train": config.train,
            "valid": config.valid,
            "test": config.test,
        }
