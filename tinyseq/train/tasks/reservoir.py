"""Echo state networks on chaotic and nonlinear series: a fixed reservoir, a readout learned in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from tinyseq import nn
from tinyseq.creation import tensor
from tinyseq.data.forecasts import nrmse
from tinyseq.data.series import read_series
from tinyseq.data.systems import SYSTEMS, System
from tinyseq.errors import DataError
from tinyseq.figures import Line, Panel, forecasts, save
from tinyseq.modes import no_grad
from tinyseq.ops.shape import concat
from tinyseq.tensors import Tensor
from tinyseq.train.config.registry import option_problems, value_problems
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.config.section import OneOf, Section
from tinyseq.train.config.source import Problem, within
from tinyseq.train.tasks.base import Feed, Measure, Reading, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
#: How many steps of a driven system a picture shows.
_SHOWN = 200
#: In how many steps the reservoir is watched.
_WATCHED = 100


class SystemConfig(Section):
    """What is forecast."""

    system: Annotated[str, OneOf(SYSTEMS)] = Field("mackey_glass", description="mackey_glass, lorenz or narma10.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the system.")
    train: int = Field(6000, ge=2, description="Steps that are learned from, the washout included.")
    valid: int = Field(1000, ge=2, description="Steps that follow, for choosing.")
    test: int = Field(8400, ge=2, description="Steps that follow, for the result.")

    def contradictions(self) -> Iterator[Problem]:
        make = SYSTEMS[self.system]
        problems = list(value_problems(make, self.options)) or option_problems(make, self.options, (2, 0))
        yield from within("options", problems, involves=("system",))


class ReservoirConfig(Section):
    """The network."""

    hidden_size: int = Field(400, ge=1, description="Units in the reservoir.")
    spectral_radius: float = Field(0.9, ge=0, description="Largest |eigenvalue| of the recurrent weights.")
    leak: float = Field(1.0, gt=0, le=1, description="The share of the state that is new at each step.")
    input_scaling: float = Field(1.0, ge=0, description="Input weights are uniform within ± this.")
    bias_scaling: float = Field(1.0, ge=0, description="Biases are uniform within ± this.")
    density: float | None = Field(
        None, gt=0, le=1, description="Share of the recurrent weights that are not 0; null: 10 to each unit."
    )
    direct: bool = Field(True, description="Whether the readout sees the input beside the state.")

    def build(self, inputs: int, outputs: int) -> nn.EchoStateNetwork:
        """Return a fresh network."""
        options = self.model_dump(exclude={"hidden_size", "direct"})
        return nn.EchoStateNetwork(inputs, self.hidden_size, outputs, direct=self.direct, **options)


class ReadoutConfig(Section):
    """How the readout is learned."""

    method: Literal["ridge", "gradient"] = Field("ridge", description="In one pass, or step by step as `train` says.")
    ridge: float = Field(1e-8, ge=0, description="The price of large weights in ridge regression.")
    washout: int = Field(500, ge=0, description="First steps that still tell of the initial state; not learned from.")


class EvaluateConfig(Section):
    """What counts."""

    ahead: int = Field(
        84, ge=1, description="Steps that the network runs on its own outputs; a driven system is told at each step."
    )
    show: int = Field(500, ge=2, description="Steps of the free run in the picture and in predict.")


class ReservoirTaskConfig(RunConfig):
    """A run of the task ``reservoir``."""

    dtype: Literal["float32", "float64"] = Field("float64", description="The type of the parameters.")
    data: SystemConfig = Field(default_factory=SystemConfig, description="What is forecast.")
    model: ReservoirConfig = Field(default_factory=ReservoirConfig, description="The network.")
    readout: ReadoutConfig = Field(default_factory=ReadoutConfig, description="How the readout is learned.")
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig, description="What counts.")

    def contradictions(self) -> Iterator[Problem]:
        data, washout, ahead = self.data, self.readout.washout, self.evaluate.ahead
        if washout >= data.train:
            message = f"required less than data.train ({data.train}), got {washout}"
            yield Problem(("readout", "washout"), message, involves=(("data", "train"),))
        for part in ("valid", "test"):
            if getattr(data, part) <= ahead:
                message = f"required more than evaluate.ahead ({ahead}), got {getattr(data, part)}"
                yield Problem(("data", part), message, involves=(("evaluate", "ahead"),))


class Record(NamedTuple):
    """A record: inputs (time, inputs), targets (time, outputs) or None, and how many first steps only warm up."""

    name: str
    inputs: Array
    targets: Array | None
    start: int


class Reservoir(Task[ReservoirTaskConfig]):
    """Judged by the normalised root mean squared error, 1 for a forecast of the mean.

    A system that drives itself is forecast ``evaluate.ahead`` steps on by the network's own outputs, from places
    through the whole part that lie so far apart (Jaeger and Haas 2004: NRMSE_84); a driven one at each step.
    """

    Config = ReservoirTaskConfig
    measure = Measure("nrmse", "normalised root mean squared error")
    compilable = True

    def prepare(self) -> None:
        config = self.config.data
        length = config.train + config.valid + config.test
        self.system: System = SYSTEMS[config.system](length, self.config.seed, **config.options)
        self._name(self.system.input_names, self.system.target_names, self.system.free)
        #: The variance that errors are measured by, that of the whole series.
        self.variance = self.system.targets.var(0)
        self._driven: tuple[Any, Array] | None = None

    def _name(self, inputs: Sequence[str], targets: Sequence[str], free: bool) -> None:
        self.inputs, self.targets, self.free = tuple(inputs), tuple(targets), free

    def build(self) -> nn.EchoStateNetwork:
        return self.config.model.build(len(self.inputs), len(self.targets))

    # Training: in one pass, or the readout alone along gradients.

    @property
    def one_pass(self) -> bool:
        return self.config.readout.method == "ridge"

    def fit(self, model: nn.EchoStateNetwork) -> int:
        config, count = self.config.readout, self.config.data.train
        inputs, targets = self._tensor(self.system.inputs[:count]), self._tensor(self.system.targets[:count])
        model.fit(inputs, targets, ridge=config.ridge, washout=config.washout)
        return count - config.washout

    def _tensor(self, values: Array) -> Tensor:
        """Return values (time, features) as a batch of one row."""
        return tensor(values[None].astype(self.config.dtype))

    def batches(self) -> Iterator[Array]:
        rng = np.random.default_rng(self.config.seed)
        while True:
            yield rng.integers(self.config.readout.washout, self.config.data.train, self.config.train.batch_size)

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

    # Judgement.

    def part(self, split: str) -> list[Record]:
        config, washout = self.config.data, self.config.readout.washout
        first = {"train": 0, "valid": config.train, "test": config.train + config.valid}[split]
        end = first + getattr(config, split)
        since = max(0, first - washout)
        start = max(first - since, washout if split == "train" else 0)
        return [Record(config.system, self.system.inputs[since:end], self.system.targets[since:end], start)]

    def evaluate_on(
        self, model: nn.EchoStateNetwork, records: Sequence[Record], *, batch_size: int | None = None
    ) -> dict[str, float]:
        """Return the NRMSE a step ahead, and for a system that drives itself that of the free runs."""
        steps, runs = [], []
        for record in records:
            if record.targets is None or len(record.inputs) <= record.start:
                raise DataError(f"{record.name}: nothing to judge", required="targets after the warm-up", got="none")
            with no_grad():
                states, _ = _states(model, self._tensor(record.inputs))
                outputs = model.readout(_features(model, self._tensor(record.inputs), states)).numpy()[0]
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

    def _places(self, record: Record) -> Array:
        """Return the last steps that are known before each free run."""
        places = np.arange(
            max(record.start, 1) - 1, len(record.inputs) - self.config.evaluate.ahead, self.config.evaluate.ahead
        )
        if not len(places):
            raise DataError(
                f"{record.name}: too short for a free run",
                required=f"more than {record.start + self.config.evaluate.ahead} steps",
                got=str(len(record.inputs)),
            )
        return places

    def _free_runs(self, model: nn.EchoStateNetwork, record: Record, states: Tensor) -> tuple[Array, Array]:
        """Return what the last step of each free run gave, and the truth; all run side by side."""
        assert record.targets is not None
        places, ahead = self._places(record), self.config.evaluate.ahead
        with no_grad():
            # The state at a place has read its input; the first output is the readout's, and the next inputs are ours.
            known = tensor(states.numpy()[0, places])
            first = model.readout(_features(model, tensor(record.inputs[places].astype(self.config.dtype)), known))
            last = first if ahead == 1 else model.generate(first, known, ahead - 1)[0][:, -1]
        return last.numpy(), record.targets[places + ahead - 1]

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

    def describe_data(self) -> dict[str, Any]:
        config = self.config.data
        return {
            "system": config.system,
            **config.options,
            "train": config.train,
            "valid": config.valid,
            "test": config.test,
        }

    # What a run leaves behind.

    def metadata(self) -> Mapping[str, Any]:
        facts = {"inputs": list(self.inputs), "targets": list(self.targets), "free": self.free}
        return {**facts, "variance": self.variance.tolist()}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self._name(metadata["inputs"], metadata["targets"], metadata["free"])
        self.variance = np.array(metadata["variance"], np.float64)
        self._driven = None

    def write(self, model: nn.EchoStateNetwork, directory: Path) -> str:
        (record,) = self.part("test")
        outputs, truth = self._beside_truth(model, record)
        save(self._figure(record, outputs, truth), directory / "forecast.png")
        if not self.free:
            return ""
        count, errors = len(outputs), np.sqrt(np.mean((outputs - truth) ** 2 / self.variance, axis=1))
        lost = int(np.argmax(errors > 0.4)) if (errors > 0.4).any() else count
        return f"the free run stays within 0.4 standard deviations for {lost} of {count} steps"

    def _beside_truth(self, model: nn.EchoStateNetwork, record: Record) -> tuple[Array, Array]:
        """Return outputs from the record's start, and what they should be."""
        since = max(record.start, 1) if self.free else record.start
        count = min(self.config.evaluate.show if self.free else _SHOWN, len(record.inputs) - since)
        # A system that drives itself is known up to its input ``since - 1``; what comes out are the inputs after it.
        truth = record.inputs if self.free else record.targets
        if truth is None or count < 1:
            raise DataError(f"{record.name}: nothing to compare with", required="targets after the start", got="none")
        return self._outputs(model, record, count), truth[since : since + count]

    def _figure(self, record: Record, outputs: Array, truth: Array) -> Figure:
        kind, label = ("free", "by its own outputs") if self.free else ("forecast", "network")
        steps = np.arange(len(outputs))
        panels = [
            Panel(name, [Line("truth", "truth", steps, truth[:, k]), Line(label, kind, steps, outputs[:, k])])
            for k, name in enumerate(self.targets)
        ]
        return forecasts(panels, f"{record.name}: the first steps after what is known", axis="step")

    def figures(self, model: nn.EchoStateNetwork, records: Sequence[Record]) -> Mapping[str, Callable[[], Figure]]:
        return {"forecast": lambda: self._figure(records[0], *self._beside_truth(model, records[0]))}

    def readings(self, model: nn.EchoStateNetwork, record: Record) -> list[Reading]:
        """Return the first steps after the washout, the state being that of all before."""
        start = max(record.start, 1)
        steps = range(start, min(start + _WATCHED, len(record.inputs)))
        with no_grad():
            _, state = model(self._tensor(record.inputs[:start]))
        xs = self._tensor(record.inputs[start : steps.stop])
        return [Reading([str(step) for step in steps], lambda: model(xs, state), times=True)]

    def _outputs(self, model: nn.EchoStateNetwork, record: Record, count: int) -> Array:
        """Return outputs (count, outputs) from the record's start: driven by its inputs, or free after them."""
        with no_grad():
            if self.free:
                known = self._tensor(record.inputs[: max(record.start, 1)])
                ys, state = model(known)
                rest = model.generate(ys[:, -1], state, count - 1)[0].numpy()[0] if count > 1 else ys.numpy()[0, :0]
                return np.concatenate([ys.numpy()[0, -1:], rest])
            ys, _ = model(self._tensor(record.inputs[: record.start + count]))
            return np.asarray(ys.numpy()[0, record.start :])

    def example(self, model: nn.EchoStateNetwork, steps: int) -> Tensor:
        """Return the loss at the last of some steps, from an initial state that gradients flow to."""
        rng = np.random.default_rng(self.config.seed)
        inputs = rng.uniform(0.0, 0.5, (steps, len(self.inputs)))
        if getattr(self, "system", None) is not None:
            inputs = self.system.inputs[:steps]
        # Nothing in a reservoir learns; so that its states are followed all the same, the first asks for a gradient.
        state = tensor(np.zeros((1, model.hidden_size), self.config.dtype), requires_grad=True, name="h0")
        ys, _ = model(self._tensor(inputs), state)
        return nn.squared_error(ys[:, -1], tensor(np.zeros((1, len(self.targets)), self.config.dtype)))

    # Use.

    def read(self, path: Path, *, targets: bool = True) -> list[Record]:
        if self.free:
            values = read_series(path, self.inputs).values
            return [Record(path.name, values[:-1], values[1:], self._warm(len(values) - 1))]
        names = (*self.inputs, *self.targets)
        values = read_series(path, names if targets else self.inputs).values
        truth = values[:, len(self.inputs) :] if targets else None
        return [Record(path.name, values[:, : len(self.inputs)], truth, self._warm(len(values)))]

    def _warm(self, length: int) -> int:
        return min(self.config.readout.washout, length // 2)

    def records(self, inputs: Iterable[Any]) -> list[Record]:
        records = []
        for number, values in enumerate(inputs):
            array = np.asarray(values, np.float64)
            array = array[:, None] if array.ndim == 1 else array
            if array.ndim != 2 or array.shape[1] != len(self.inputs) or not len(array) or not np.isfinite(array).all():
                raise DataError(
                    f"input {number}",
                    required=f"finite numbers (time, {len(self.inputs)}): {', '.join(self.inputs)}",
                    got=f"shape {np.shape(values)}",
                )
            records.append(Record(f"input {number}", array, None, 0))
        return records

    def predict(
        self, model: nn.EchoStateNetwork, records: Sequence[Record], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield what follows each series by the network's own outputs, or, for a driven system, all outputs."""
        for record in records:
            inputs = record.inputs
            if self.free:
                if record.targets is not None:
                    inputs = np.concatenate([inputs, record.targets[-1:]])
                count = self.config.evaluate.show
                values = self._outputs(model, Record(record.name, inputs, None, len(inputs)), count)
            else:
                values = self._outputs(model, Record(record.name, inputs, None, 0), len(inputs))
            outputs = {name: values[:, k].tolist() for k, name in enumerate(self.targets)}
            yield {"series": record.name, "after": len(inputs) if self.free else 0, "outputs": outputs}

    def picture(self, predictions: Sequence[Mapping[str, Any]]) -> Figure:
        panels = [
            Panel(name, [Line(p["series"], "forecast", p["after"] + np.arange(len(values)), np.array(values))])
            for p in predictions
            for name, values in p["outputs"].items()
        ]
        if not panels:
            raise DataError("a picture of no predictions", required="at least one", got="none")
        return forecasts(panels, "outputs", axis="step")


def _states(model: nn.EchoStateNetwork, us: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states after each step, (batch, time, hidden), and the last."""
    features, last = model.features(us)
    return features[:, :, model.input_size :] if model.direct else features, last


def _features(model: nn.EchoStateNetwork, us: Tensor, states: Tensor) -> Tensor:
    """Return what the readout sees of inputs and the states after them."""
    features: Tensor = concat([us, states], axis=-1) if model.direct else states
    return features
