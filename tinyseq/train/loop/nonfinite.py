"""Numbers that go wrong: which op first gave a value that is not finite, and where, and what usually helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq import backends, nn, trees
from tinyseq.errors import TinyseqError
from tinyseq.functional import gradients
from tinyseq.graph import Place, Source, caller, here, line_of
from tinyseq.hooks import watched
from tinyseq.ops.base import Op
from tinyseq.tensors import Tensor
from tinyseq.train.config.run_config import TrainConfig
from tinyseq.train.storage.checkpoint_file import Checkpoint
from tinyseq.train.storage.serialization import pack

Array = np.ndarray[Any, Any]
#: Between the lines of one part of an error.
_BREAK = "\n" + " " * 11
#: After so many steps in a row that were left out, the data is not what is wrong.
SKIPPED_IN_A_ROW = 10


class DivergedError(TinyseqError, ArithmeticError):
    """A loss or a gradient that is no longer a finite number."""


@dataclass(frozen=True)
class Origin:
    """Where the first value that is not finite came from, in words."""

    what: str
    place: str = ""
    #: It was there before the step: in the batch, or in a weight.
    held_by: str = ""


def not_finite(what: str, value: float, step: int, config: TrainConfig, origin: Origin | None = None) -> DivergedError:
    """Return the error that says what is not finite, where that began, and the usual cures in their order."""
    places = [f"step {step} of {config.steps}"] + ([] if origin is None else [origin.what, origin.place])
    return DivergedError(
        f"training diverged: the {what} is not a finite number",
        required="a finite number",
        got=str(value),
        where=_BREAK.join(place for place in places if place),
        fix=_cures(config, "" if origin is None else origin.held_by),
    )


def _cures(config: TrainConfig, held_by: str) -> str:
    optimizer, clip = config.optimizer, "null" if config.clip_norm is None else f"{config.clip_norm:g}"
    cures = [
        f"a smaller train.optimizer.lr (now {optimizer.lr:g})",
        f"a warm-up (train.schedule.warmup, now {config.schedule.warmup})",
        f"a smaller train.clip_norm (now {clip})",
        "gradients through fewer steps (train.bptt)",
        "dtype: float64, which tells overflow from a wrong equation",
        "--on-nonfinite skip, where single batches are bad",
    ]
    if held_by == "batch":
        cures.insert(0, "clean the data: the batch itself holds it")
    return _BREAK.join(f"{number}. {cure}" for number, cure in enumerate(cures, start=1))


def diverged(what: str, value: float, step: int, config: TrainConfig, origin: Origin | None) -> DivergedError:
    """Return the error of a step that was run again to find out where it goes wrong."""
    overflow = "no op of it gives such a value when they run one by one: a sum of gradients, or their norm, overflows"
    return not_finite(what, value, step, config, Origin(overflow) if origin is None else origin)


def bundle_of(before: Checkpoint, arguments: Any, what: str, value: float) -> Checkpoint:
    """Return a checkpoint of before the step, with what its loss was called with: enough to replay it anywhere."""
    tensors = dict(before.tensors)
    form = pack(arguments, "arguments", tensors)
    return Checkpoint({**before.facts, "arguments": form, "what": what, "value": value}, tensors)


def locate(model: nn.Module, loss: Callable[[], Tensor], arguments: Any) -> Origin | None:
    """Run a step again, eagerly, and return where the first value that is not finite comes from; None where all are.

    What the step itself raises, such as a cell that looks at its values, is told in place of that.
    Only values that lead to the loss, or else to a gradient, count: a mask of minus infinities is no fault.

    Args:
        model: as it was before the step.
        loss: computes the step's loss.
        arguments: what the loss is computed from, beside the weights.
    """
    batch, time = _sizes(arguments)
    for name, parameter in model.named_parameters():
        if (index := _first(parameter.numpy())) is not None:
            return Origin(f"the weight {name} was not finite before the step, at {_at(index)}", held_by="weight")
    for path, part in trees.leaves(arguments):
        if isinstance(part, Tensor) and (index := _first(part.numpy())) is not None:
            return Origin(f"the batch holds it: argument {path}, at {_at(index)}", held_by="batch")
    watch = _Watch()
    try:
        finite, bad = _run_again(model, loss, watch)
    except Exception as error:
        return Origin(f"run again op by op, the step fails: {type(error).__name__}: {error}".splitlines()[0])
    event = watch.origin(bad)
    if event is None:
        return Origin("an op that is not known by name gives it") if bad else None
    kind = "the gradient of the op in this place, by" if finite else "op"
    return Origin(f"first from {kind} {event.op}, which gives {event.value}", event.where(batch, time))


def _run_again(model: nn.Module, loss: Callable[[], Tensor], watch: _Watch) -> tuple[bool, list[Any]]:
    """Run a step under watch; return whether its loss is finite, and what is not: the loss, or else gradients."""
    with np.errstate(all="ignore"), watched(watch):
        value = loss()
        if _first(value.numpy()) is not None:
            return False, [value.value]
        # With a graph of their own, so that the sweep's ops know the places of those that they differentiate.
        parts = gradients(value, model.parameters(), create_graph=True)
        return True, [g.value for g in parts if g is not None and _first(g.numpy()) is not None]


@dataclass(frozen=True)
class _Event:
    """An op that gave a value that is not finite."""

    number: int
    op: str
    array: Array
    parents: list[int]
    #: It took an infinity that was written down, such as a mask's, and nothing else that is not finite.
    meant: bool
    place: Place
    source: Source | None
    #: Shape and index of the input element that is largest, or not finite: a sum over all has no place of its own.
    cause: tuple[tuple[int, ...], tuple[int, ...]] | None

    @property
    def value(self) -> str:
        index = _first(self.array)
        return "" if index is None else str(self.array[index])

    def where(self, batch: int | None, time: int | None) -> str:
        """Return scope, time step, batch row and source line, as far as they are known."""
        row, step = _position(self.array.shape, _first(self.array), batch, time)
        if row is None and self.cause is not None:
            row, step = _position(*self.cause, batch, time)
        step = self.place.step if self.place.step is not None else step
        parts = [f"scope {self.place.scope}"] if self.place.scope else []
        parts += [f"time step {step}"] if step is not None else []
        parts += [f"batch row {row}"] if row is not None else []
        return ", ".join([*parts, f"at {line_of(self.source)}"])


def _position(
    shape: tuple[int, ...], index: tuple[int, ...] | None, batch: int | None, time: int | None
) -> tuple[int | None, int | None]:
    """Return the batch row and the time step of an element, as far as its array's shape tells them."""
    if not index or not batch or shape[0] % batch:
        return None, None
    # The batch comes first everywhere; (batch * time, ...) is a sequence with these two axes made one.
    row, rest = divmod(index[0], shape[0] // batch)
    if shape[0] > batch:
        return (row, rest) if shape[0] // batch == time else (None, None)
    return row, index[1] if len(shape) > 2 and shape[1] == time else None


class _Watch:
    """Notes each op whose result is not finite, and which of its inputs were not."""

    def __init__(self) -> None:
        self.events: dict[int, _Event] = {}
        #: What gave rise to events: held, so that no other array gets its id.
        self.held: list[Any] = []

    def __call__(self, op: Op, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        bad = [(y, array) for y in outputs if _first(array := _on_host(y)) is not None]
        if not bad:
            return
        arrays = [_on_host(x) for x in inputs]
        parents = [id(x) for x in inputs if id(x) in self.events]
        from_outside = not parents and any(_first(array) is not None for array in arrays)
        source, cause, number = here.source or caller(2), _largest(arrays), len(self.events)
        for y, array in bad:
            self.held.append(y)
            self.events.setdefault(
                id(y), _Event(number, op.name, array, parents, from_outside, here.place, source, cause)
            )

    def origin(self, arrays: list[Any]) -> _Event | None:
        """Return the first event that leads to one of these arrays."""
        stack = [id(array) for array in arrays]
        seen: set[int] = set()
        events = []
        while stack:
            key = stack.pop()
            if key in self.events and key not in seen:
                seen.add(key)
                events.append(self.events[key])
                stack += self.events[key].parents
        events.sort(key=lambda event: event.number)
        return next((event for event in events if not event.meant), events[0] if events else None)


def _on_host(x: Any) -> Array:
    """Return an array of any backend, or a number, as an array of NumPy."""
    return backends.of(x).to_host(x) if hasattr(x, "shape") else np.asarray(x)


def _first(array: Array) -> tuple[int, ...] | None:
    """Return the index of the first element that is not finite."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape))


def _largest(arrays: list[Array]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return shape and index of the largest element among arrays, or of the first that is not finite."""
    place_of_largest, largest = None, -1.0
    for x in arrays:
        if x.dtype.kind == "f" and x.ndim and x.size:
            sizes = np.where(np.isfinite(x), np.abs(x), np.inf)
            place = int(np.argmax(sizes))
            if sizes.flat[place] > largest:
                largest = float(sizes.flat[place])
                place_of_largest = x.shape, tuple(int(i) for i in np.unravel_index(place, x.shape))
    return place_of_largest


def _at(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]"


def _sizes(arguments: Any) -> tuple[int | None, int | None]:
    """Return batch and time: the first two axes of the first tensor."""
    for _, part in trees.leaves(arguments):
        if isinstance(part, Tensor) and part.shape:
            return part.shape[0], part.shape[1] if len(part.shape) > 1 else None
    return None, None
