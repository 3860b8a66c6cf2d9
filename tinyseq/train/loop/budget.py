"""What a model takes, counted from its shapes before a weight is made, and refused where the machine cannot hold it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from tinyseq import nn
from tinyseq.backends import use
from tinyseq.errors import DataError, TinyseqError
from tinyseq.machine import free_memory, in_bytes, limited
from tinyseq.random import seeded
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.tasks.base import Task

#: What makes the model of a task.
Build = Callable[[Task[Any]], nn.Module]
#: Of more layers than this, a few are counted: the others are like them.
FEW: Final = 8


#: Of the memory that is free, what is left to others while a cell of one's own is tried out: one part of so many.
_SPARED: Final = 16


class Footprint(NamedTuple):
    """The parameters of a model, and the bytes of its weights, their gradients and the optimiser's averages."""

    parameters: int
    bytes: int


def _whole(task: Task[Any]) -> nn.Module:
    return task.build()


def _least(task: Task[Any]) -> nn.Module:
    return task.least()


def with_model(config: RunConfig, **changes: Any) -> RunConfig:
    """Return a config with some settings of its model changed."""
    model: Any = config.model  # type: ignore[attr-defined]
    return config.model_copy(update={"model": model.model_copy(update=changes)})


def layers_of(config: RunConfig) -> int:
    """Return how many layers a config asks for; 1 where it does not say."""
    found = getattr(getattr(config, "model", None), "num_layers", 1)
    return found if isinstance(found, int) else 1


def prepare(task: Task[Any]) -> None:
    """Read the data of a task, and refuse a model that this machine cannot hold, where that is certain before the data.

    Raises:
        DataError: see ``refuse_too_large``; or what the data is not.
    """
    _refuse(task, training=True, build=_least, certainly="at least ")
    task.prepare()
    refuse_too_large(task)


def footprint(task: Task[Any], *, training: bool = True, build: Build = _whole) -> Footprint:
    """Return what the model of a task takes, its data read; no weight is made.

    Raises:
        MemoryError: more numbers than could be counted; or a cell of one's own asks for more memory than is free.
    """
    config = task.config
    layers = layers_of(config)
    if layers <= FEW:
        return _counted(task, config, training, build)
    three, four = (_counted(task, with_model(config, num_layers=count), training, build) for count in (3, 4))
    return Footprint(*(a + (layers - 3) * (b - a) for a, b in zip(three, four, strict=True)))


def _counted(task: Task[Any], config: RunConfig, training: bool, build: Build) -> Footprint:
    other = copy.copy(task)
    other.config = config
    with use("numpy"), seeded(config.seed):
        model = _built_here(other, build) if is_own(config) else _shapes(other, build)
    itemsize = np.dtype(config.dtype).itemsize
    learned, fixed = model.num_parameters(), sum(value.size for value in model.buffers())
    copies = 1 if task.one_pass or not training else 2 + _slots(config)
    return Footprint(learned, itemsize * (copies * learned + fixed))


def _shapes(task: Task[Any], build: Build) -> nn.Module:
    with nn.init.shapes_only():
        return build(task)


def _built_here(task: Task[Any], build: Build) -> nn.Module:
    """Return a model with a cell of one's own, which may make weights as it likes: within the memory that is free."""
    free = free_memory()
    with limited(None if free is None else free - free // _SPARED), np.errstate(all="ignore"):
        try:
            return _shapes(task, build)
        except MemoryError:
            raise
        except Exception:  # it reads the weights that were left out
            return build(task)


def is_own(config: RunConfig) -> bool:
    """Return whether a config names a cell of one's own."""
    return ":" in str(getattr(getattr(config, "model", None), "cell", ""))


def _slots(config: RunConfig) -> int:
    """Return how many numbers an optimiser keeps for each parameter."""
    one = nn.parameter(np.zeros(1))
    return sum(value.size for value in config.train.optimizer.make([one]).state[0].values())


def refuse_too_large(task: Task[Any], *, training: bool = True) -> None:
    """Refuse a model that this machine cannot hold, before it is built; its task's data is read, or restored.

    A cell of one's own is judged by how its small sizes grow, and then tried out under a limit of memory.

    Raises:
        DataError: weights, gradients and the optimiser's averages do not fit into the memory that is free.
    """
    _refuse(task, training=training, build=_whole)


def _refuse(task: Task[Any], *, training: bool, build: Build, certainly: str = "") -> None:
    config, free = task.config, free_memory()
    if free is None:
        return
    own = is_own(config)
    grown, fix = None, "" if training else "a machine with more memory"
    try:
        grown = _growth(task, "hidden_size", training, build) if own else None
        if grown is None or (needed := grown(config.model.hidden_size)).bytes <= free:
            needed = footprint(task, training=training, build=build)
        if needed.bytes <= free:
            return
        got = f"{certainly}{needed.parameters:,} parameters, {in_bytes(needed.bytes)}"
        got += " with gradients and optimizer" if training else ""
    except MemoryError as error:
        got = (str(error) if own else "") or "more than can be counted"
        if own and grown is None:
            fix = "weights of vectors and matrices of hidden_size in the cell's __init__, and a smaller one"
    except Exception:  # the real model will say what is wrong
        return
    raise DataError(
        "the model does not fit into memory",
        required=f"at most {in_bytes(free)}, which are free",
        got=got,
        where=f"model.cell: {config.model.cell}" if own else "",
        fix=fix or _largest(task, free, build),
    )


def _largest(task: Task[Any], free: int, build: Build) -> str:
    """Return, in words, the largest size that fits: of the state, else of layers, else of what else has a size."""
    sizes = {name: value for name, value in vars(task.config.model).items() if type(value) is int}
    for key in dict.fromkeys(("hidden_size", "num_layers", *sizes)):
        if key not in sizes:
            continue
        grown = _growth(task, key, True, build) if is_own(task.config) else partial(_of_size, task, key, build)
        step = _step(task, key)
        low, high = 0, sizes[key] // step if grown else 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _fits(grown, middle * step, free) else (low, middle)
        if low:
            return f"model.{key}: {low * step} fits"
    return "smaller sizes of the model, or a machine with more memory"


def _step(task: Task[Any], key: str) -> int:
    return getattr(task.config.model, "heads", 1) if key == "hidden_size" else 1


def _of_size(task: Task[Any], key: str, build: Build, size: int) -> Footprint:
    other = copy.copy(task)
    other.config = with_model(task.config, **{key: size})
    return footprint(other, build=build)


def _growth(task: Task[Any], key: str, training: bool, build: Build) -> Callable[[int], Footprint] | None:
    """Return what a model takes by one of its sizes, as four small ones tell it; None where they do not.

    Weights are vectors and matrices: their number is a polynomial of second degree, whose third differences are 0.
    """
    unit = 8 * _step(task, key)
    few = []
    for size in (unit, 2 * unit, 3 * unit, 4 * unit):
        other = copy.copy(task)
        other.config = with_model(task.config, **{key: size})
        try:
            few.append(footprint(other, training=training, build=build))
        except MemoryError:  # so small, and more than there is
            raise
        except Exception:
            return None
    if any(d - 3 * c + 3 * b - a for a, b, c, d in zip(*few, strict=True)):
        return None

    def grown(size: int) -> Footprint:
        at = Fraction(size, unit) - 1
        return Footprint(
            *(int(a + at * (b - a) + at * (at - 1) / 2 * (c - 2 * b + a)) for a, b, c, _ in zip(*few, strict=True))
        )

    return grown


def _fits(takes: Callable[[int], Footprint] | None, size: int, free: int) -> bool:
    try:
        return takes is not None and takes(size).bytes <= free
    except (MemoryError, TinyseqError, TypeError, ValueError, AttributeError):
        return False
