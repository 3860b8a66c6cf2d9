"""What a config makes, before it is trained: sizes, arithmetic, memory, and whether its gradients are right."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Final

import numpy as np

from tinyseq import nn
from tinyseq.compiler import compile
from tinyseq.compiler.report import cost
from tinyseq.creation import tensor
from tinyseq.errors import BackendError, GraphError
from tinyseq.modes import no_grad
from tinyseq.random import generator
from tinyseq.tensors import Tensor
from tinyseq.train.config.registry import find_task
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.loop.budget import FEW, layers_of, refuse_too_large, with_model
from tinyseq.train.loop.progress import NoProgress
from tinyseq.train.loop.ranks import Ranks
from tinyseq.train.loop.sharded_step import ShardedStep
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared
from tinyseq.train.tasks.learning import Learning

#: Rows and time steps of the batch that gradients are checked on.
ROWS, STEPS = 2, 16
#: The step of the differences, and what the two sides may differ by, relative to the larger one.
_EPS, TOLERANCE = 1e-5, 1e-5
#: Steps that are measured, the first of which compiles, and the seconds after which fewer suffice.
_MEASURED: Final = 12
_PATIENCE: Final = 1.0


@dataclass(frozen=True)
class GradientCheck:
    """The largest relative difference between gradients and central differences, and the parameter that has it.

    ``wrong`` are all parameters whose two differ.
    """

    error: float = 0.0
    parameter: str = ""
    numeric: float = 0.0
    analytic: float = 0.0
    wrong: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether the two agree."""
        return not self.wrong


@dataclass(frozen=True)
class Inspection:
    """What ``inspect`` found; counts are of one training step, memory is in bytes."""

    task: str
    #: What a run says before its first step, by what it is about; and what a person should know of the data.
    overview: dict[str, str]
    notes: list[str]
    data: dict[str, Any]
    #: Parameters of each part of the model.
    parameters: dict[str, int]
    tokens: int | None
    flops: int | None
    memory: dict[str, int]
    #: Seconds of a training step here, update included; and how many steps the config asks for.
    seconds: float | None
    steps: int | None
    #: Why there is no plan, or "".
    not_compiled: str
    gradient: GradientCheck | None

    def plain(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)


def inspect(config: RunConfig) -> Inspection:
    """Build the model of a config, count what a step costs, and check the gradients of its loss.

    Arithmetic and memory are of the compiled step, forward and backward, on the first batch. Gradients are checked in
    float64 on a small one, dropout included: along a random direction in each parameter, <g, v> must equal
    (L(p + eps v) - L(p - eps v)) / 2 eps. A model that is trained in one pass follows no gradient: nothing is checked.

    The time of a step is measured: the median of some, after the first.

    Of a model of many layers, some of the same layers are built, and the rest is counted.

    Raises:
        DataError, BackendError: the data or the backend is not to be had, or the model does not fit into memory.
    """
    layers = layers_of(config)
    if layers <= FEW:
        return _inspected(config)
    task = find_task(config.task)(config)
    task.prepare()
    refuse_too_large(task)
    three, four = (_inspected(with_model(config, num_layers=count), whole=count == 3) for count in (3, 4))
    return _extrapolated(three, four, layers - 3)


def _extrapolated(three: Inspection, four: Inspection, more: int) -> Inspection:
    """Return what a model of more layers takes, of what one of three and one of four layers take."""

    def of(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
        return {name: value + more * (b[name] - value) for name, value in a.items()}

    return replace(
        three,
        parameters=of(three.parameters, four.parameters),
        flops=None if three.flops is None or four.flops is None else three.flops + more * (four.flops - three.flops),
        memory=of(three.memory, four.memory),
        seconds=None
        if three.seconds is None or four.seconds is None
        else three.seconds + more * max(0.0, four.seconds - three.seconds),
    )


def _inspected(config: RunConfig, whole: bool = True) -> Inspection:
    """Return what is found; not ``whole``, without what is the same for any number of layers."""
    overview: dict[str, str] = {}
    notes: list[str] = []
    with prepared(config) as (task, model), np.errstate(all="ignore"):
        flops, tokens, reason = None, None, ""
        numbers = sum(_bytes(p) for p in model.parameters())
        memory = {"parameters": numbers}
        if task.one_pass:
            reason = "trained in one pass"
        else:
            state = config.train.optimizer.make(model.parameters()).state
            memory |= {"gradients": numbers, "optimizer": sum(_bytes(t) for slots in state for t in slots.values())}
            try:
                flops, tokens, memory["plan"] = _step(task, model)
            except (GraphError, BackendError) as error:
                reason = error.what
        data = task.describe_data()
        if whole:
            overview = task.overview().told(task.measure, task.baselines(), task.compared)
            notes = [*task.notes(), *task.gaps()]
        parts = {name: part.num_parameters() for name, part in model.children()}
        seconds = None if task.one_pass else _seconds(task, model, config)
    gradient = None
    if whole and not task.one_pass:
        with prepared(_small(config)) as (task, model), np.errstate(all="ignore"):
            gradient = check_gradients(task, model)
    steps = None if seconds is None else config.train.steps
    return Inspection(
        config.task, overview, notes, data, parts, tokens, flops, memory, seconds, steps, reason, gradient
    )


def _bytes(value: Tensor) -> int:
    return int(value.size * value.dtype.itemsize)


def _step(task: Learning[Any], model: nn.Module) -> tuple[int, int, int]:
    """Return the FLOPs, the tokens and the bytes of buffers of a compiled step on the first batch."""
    if not task.compilable:
        raise GraphError(f"the task {task.config.task!r} does not compile its loss")
    feed = task.feed(model, next(task.batches()), None)

    def loss(*arguments: Any) -> tuple[Tensor, Any]:
        return task.loss(model, *arguments)

    fast = compile(loss)
    fast(*feed.arguments)
    costs = cost(fast.passes[-1])
    return costs.flops, feed.tokens, costs.memory or 0


def _seconds(task: Learning[Any], model: nn.Module, config: RunConfig) -> float:
    """Return the seconds of a training step; the model is another one afterwards."""
    step = TrainStep(task, model, config.train, NoProgress(), compiled=config.compile)
    if config.train.shards > 1:
        step = ShardedStep(task, model, config.train, NoProgress(), compiled=config.compile, ranks=Ranks())
    model.train()
    batches, state = task.batches(), None
    ends = [time.perf_counter()]
    while len(ends) < 3 or (len(ends) <= _MEASURED and ends[-1] - ends[1] < _PATIENCE):
        output = step(next(batches), state)
        state = output.state if np.isfinite(output.loss) else None  # which waits for a device, too
        ends.append(time.perf_counter())
    return median(float(later - earlier) for earlier, later in itertools.pairwise(ends[1:]))


def _small(config: RunConfig) -> RunConfig:
    """Return the config for a check of its gradients: float64, few rows, few steps."""
    train = config.train
    bptt = train.bptt.model_copy(update={"every": min(train.bptt.every, STEPS), "back": None})
    changed = train.model_copy(update={"batch_size": min(train.batch_size, ROWS), "bptt": bptt})
    return config.model_copy(update={"dtype": "float64", "train": changed})


def check_gradients(task: Learning[Any], model: nn.Module) -> GradientCheck:
    """Compare the gradient of each parameter with central differences, on the task's first batch; see ``inspect``."""
    model.train()
    arguments = task.feed(model, next(task.batches()), None).arguments
    before = generator.state()

    def loss() -> Tensor:
        generator.restore(before)  # the same draws each time, so that dropout is a fixed mask
        return task.loss(model, *arguments)[0]

    loss().backward()
    named = list(model.named_parameters())
    gradients = [np.zeros(p.shape) if p.grad is None else p.grad.numpy() for _, p in named]
    model.zero_grad()
    # A parameter that hardly matters has a difference of mostly rounding: it is measured against all the others.
    floor = 1e-4 * float(np.sqrt(sum(np.vdot(g, g) for g in gradients))) + 1e-12
    rng = np.random.default_rng(0)
    worst, wrong = GradientCheck(), []
    for (name, parameter), gradient in zip(named, gradients, strict=True):
        direction = rng.standard_normal(parameter.shape)
        direction /= np.linalg.norm(direction)
        numeric = _slope(lambda: float(loss().item()), parameter, direction)
        analytic = float(np.vdot(gradient, direction))
        error = abs(numeric - analytic) / max(abs(numeric), abs(analytic), floor)
        if not error <= TOLERANCE:  # a NaN is wrong too
            wrong.append(name)
        if not error <= worst.error:
            worst = GradientCheck(error, name, numeric, analytic)
    return replace(worst, wrong=tuple(wrong))


def _slope(loss: Callable[[], float], parameter: Tensor, direction: np.ndarray[Any, Any]) -> float:
    """Return the central difference of the loss along a direction in one parameter."""
    here = np.array(parameter.numpy())
    losses = []
    with no_grad():
        for sign in (1.0, -1.0):
            parameter.assign(tensor(here + sign * _EPS * direction))
            losses.append(loss())
        parameter.assign(tensor(here))
    return (losses[0] - losses[1]) / (2.0 * _EPS)
