"""What a model takes, counted from its shapes before a weight is made, and refused where the machine cannot hold it."""

from __future__ import annotations

import copy
from typing import Any, Final, NamedTuple

import numpy as np

from tinyseq import nn
from tinyseq.backends import use
from tinyseq.errors import DataError, TinyseqError
from tinyseq.machine import free_memory, in_bytes
from tinyseq.random import seeded
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.tasks.base import Task

#: Of more layers than this, a few are counted: the others are like them.
FEW: Final = 8


class Footprint(NamedTuple):
    """The parameters of a model, and the bytes of its weights, their gradients and the optimiser's averages."""

    parameters: int
    bytes: int


def with_model(config: RunConfig, **changes: Any) -> RunConfig:
    """Return a config with some settings of its model changed."""
    model: Any = config.model  # type: ignore[attr-defined]
    return config.model_copy(update={"model": model.model_copy(update=changes)})


def layers_of(config: RunConfig) -> int:
    """Return how many layers a config asks for; 1 where it does not say."""
    found = getattr(getattr(config, "model", None), "num_layers", 1)
    return found if isinstance(found, int) else 1


def footprint(task: Task[Any], *, training: bool = True) -> Footprint:
    """Return what the model of a task takes, its data read; no weight is made.

    Raises:
        MemoryError: more numbers than could be counted.
    """
    config = task.config
    layers = layers_of(config)
    if layers <= FEW:
        return _counted(task, config, training)
    three, four = (_counted(task, with_model(config, num_layers=count), training) for count in (3, 4))
    return Footprint(*(a + (layers - 3) * (b - a) for a, b in zip(three, four, strict=True)))


def _counted(task: Task[Any], config: RunConfig, training: bool) -> Footprint:
    other = copy.copy(task)
    other.config = config
    with use("numpy"), seeded(config.seed), nn.init.shapes_only():
        model = other.build()
    itemsize = np.dtype(config.dtype).itemsize
    learned, fixed = model.num_parameters(), sum(value.size for value in model.buffers())
    copies = 1 if task.one_pass or not training else 2 + _slots(config)
    return Footprint(learned, itemsize * (copies * learned + fixed))


def _slots(config: RunConfig) -> int:
    """Return how many numbers an optimiser keeps for each parameter."""
    one = nn.parameter(np.zeros(1))
    return sum(value.size for value in config.train.optimizer.make([one]).state[0].values())


def refuse_too_large(task: Task[Any], *, training: bool = True) -> None:
    """Refuse a model that this machine cannot hold, before it is built.

    A cell of one's own may make its weights as it likes: it is not counted.

    Raises:
        DataError: weights, gradients and the optimiser's averages do not fit into the memory that is free.
    """
    config, free = task.config, free_memory()
    if free is None or ":" in str(getattr(getattr(config, "model", None), "cell", "")):
        return
    try:
        needed = footprint(task, training=training)
        more = " with gradients and optimizer" if training else ""
        got = f"{needed.parameters:,} parameters, {in_bytes(needed.bytes)}{more}"
        if needed.bytes <= free:
            return
    except MemoryError:
        got = "more parameters than can be counted"
    except (TinyseqError, TypeError, ValueError, AttributeError):  # the real model will say what is wrong
        return
    raise DataError(
        "the model does not fit into memory", required=f"at most {in_bytes(free)}, which are free", got=got,
        fix=_largest(task, free) if training else "a machine with more memory",
    )  # fmt: skip


def _largest(task: Task[Any], free: int) -> str:
    """Return, in words, the largest size that fits."""
    for key in ("hidden_size", "num_layers"):
        asked = getattr(task.config.model, key, None)
        step = getattr(task.config.model, "heads", 1) if key == "hidden_size" else 1
        if not isinstance(asked, int):
            continue
        low, high = 0, asked // step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _fits(task, free, **{key: middle * step}) else (low, middle)
        if low:
            return f"model.{key}: {low * step} fits"
    return "smaller sizes of the model, or a machine with more memory"


def _fits(task: Task[Any], free: int, **changes: Any) -> bool:
    other = copy.copy(task)
    other.config = with_model(task.config, **changes)
    try:
        return footprint(other).bytes <= free
    except (MemoryError, TinyseqError, TypeError, ValueError, AttributeError):
        return False
