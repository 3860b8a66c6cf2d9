"""The training step of a batch in shards: each computed by itself, by whichever rank has it, and added up in a tree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyseq import nn, trees
from tinyseq.compiler import CompiledFunction, compile
from tinyseq.creation import tensor
from tinyseq.errors import BackendError, DataError, GraphError
from tinyseq.functional import detach
from tinyseq.random import generator
from tinyseq.tensors import Tensor
from tinyseq.train.config.run_config import TrainConfig
from tinyseq.train.loop.progress import Progress
from tinyseq.train.loop.ranks import Ranks, split_rows
from tinyseq.train.loop.train_step import StepOutput, TrainStep
from tinyseq.train.tasks.learning import Learning

Array = np.ndarray[Any, Any]
#: What goes with the gradients: loss, weight, tokens, calls of the generator, whether to stop.
_EXTRA = 5
#: Bits of a draw's call number; the topmost ones tell the shards apart.
_CALL_BITS = 32


class ShardedStep(TrainStep):
    """The step of a run with ``train.shards``; a state is a list with one of each shard, None for those elsewhere.

    Every rank has the same sum of gradients, and moves its weights by it: they stay the same without being sent.
    """

    def __init__(
        self,
        task: Learning[Any],
        model: nn.Module,
        config: TrainConfig,
        progress: Progress,
        *,
        compiled: bool,
        ranks: Ranks,
    ) -> None:
        super().__init__(task, model, config, progress, compiled=False)
        self.ranks, self.shards = ranks, config.shards
        self.own = ranks.own(self.shards)
        parameters = self.optimizer.parameters
        self.dtype = np.result_type(*(p.dtype for p in parameters))
        sizes = [int(np.prod(p.shape)) for p in parameters]
        self.places = [slice(b - n, b) for n, b in zip(sizes, itertools.accumulate(sizes), strict=True)]
        self.length = sum(sizes)
        #: Whether this rank was asked to stop, and whether any was, as of the last step.
        self.asked: Callable[[], bool] = lambda: False
        self.any_asked = False
        self.functions: tuple[CompiledFunction[..., Any], CompiledFunction[..., Any]] | None = None
        if compiled and task.compilable:
            self.functions = compile(self._gradients), compile(self._update)

    @property
    def compiled(self) -> bool:
        return self.functions is not None

    @property
    def asynchronous(self) -> bool:
        return False

    def __call__(self, batch: Any, state: Any) -> StepOutput:
        before = self._before()
        try:
            return self._step(batch, state, before)
        except BaseException:
            self._restore(before)
            self.optimizer.zero_grad()
            raise

    def _step(self, batch: Any, state: Any, before: Any) -> StepOutput:
        states: list[Any] = [None] * self.shards if state is None else list(state)
        rows = split_rows(self.task.count(batch), self.shards)
        parts = np.zeros((len(self.own), self.length + len(self.places) + _EXTRA), self.dtype)
        calls = before.random["calls"]
        for part, shard in zip(parts, self.own, strict=True):
            if rows[shard].start < rows[shard].stop:
                # The shard's draws: those of no other shard, whichever rank makes them.
                generator.calls = calls + (shard << (_CALL_BITS - self.shards.bit_length()))
                began = generator.calls
                states[shard] = self._shard(self.task.rows(batch, rows[shard]), states[shard], part)
                part[-2] = generator.calls - began
            part[-1] = self.asked()
        total = self.ranks.sum(parts)
        loss, weight, tokens, made, asked = (float(value) for value in total[-_EXTRA:])
        generator.calls = calls + int(made)
        self.any_asked = asked > 0
        with np.errstate(all="ignore"):
            total[: self.length] /= self.dtype.type(max(weight, 1.0))
        flags = total[self.length : -_EXTRA]
        gradients = [
            tensor(total[place].reshape(p.shape), dtype=p.dtype) if flag else None
            for p, place, flag in zip(self.optimizer.parameters, self.places, flags, strict=True)
        ]
        norm = self._run(1, self._update, gradients)
        self.model.constrain()
        shown = states if any(one is not None for one in states) else None
        mean = tensor(np.array(loss / max(weight, 1.0), self.dtype))
        return StepOutput(mean, norm, int(tokens), shown, before)

    def _shard(self, batch: Any, state: Any, part: Array) -> Any:
        """Write what a shard adds to the sum, and return the state that it leaves."""
        held = [x.value for x in self.buffers]
        loss, state, gradients, weight, tokens = self._of(batch, state)
        if any(x.value is not value for x, value in zip(self.buffers, held, strict=True)):
            raise DataError(
                "train.shards: this model's buffers change in training, and each shard would change its own",
                required="a model that a step changes by its gradients alone",
                got=type(self.model).__name__,
                fix="train.shards: 1",
            )
        with np.errstate(all="ignore"):
            for i, (gradient, place) in enumerate(zip(gradients, self.places, strict=True)):
                if gradient is not None and weight:
                    value = gradient.numpy()
                    np.multiply(value, self.dtype.type(weight), out=part[place].reshape(value.shape))
                part[self.length + i] = gradient is not None
            if weight:
                part[-5] = loss.item() * weight
            part[-4], part[-3] = weight, tokens
        return detach(state)

    def _of(self, batch: Any, state: Any) -> tuple[Tensor, Any, Sequence[Tensor | None], int, int]:
        try:
            feed = self.task.feed(self.model, batch, state)
        except NotImplementedError:
            raise DataError(
                "train.shards: a task with a step of its own", required="one with feed and loss", fix="train.shards: 1"
            ) from None
        loss, state, gradients = self._run(0, self._gradients, *feed.arguments)
        return loss, state, gradients, feed.tokens if feed.weight is None else feed.weight, feed.tokens

    def _run(self, which: int, eagerly: Callable[..., Any], *arguments: Any) -> Any:
        """Run the part of a step from its plan, or eagerly."""
        if self.functions is None:
            return eagerly(*arguments)
        try:
            with self.patiently():
                result = self.functions[which](*arguments)
        except (GraphError, BackendError) as error:
            self.progress.note(f"not compiled, runs eagerly: {error.what}")
            self.functions = None
            self.optimizer.zero_grad()
            return eagerly(*arguments)
        self.ran = True
        return result

    def _gradients(self, *arguments: Any) -> tuple[Tensor, Any, list[Tensor | None]]:
        loss, state = self.task.loss(self.model, *arguments)
        loss.backward()
        gradients = [p.grad for p in self.optimizer.parameters]
        self.optimizer.zero_grad()
        return loss, state, gradients

    def _update(self, gradients: Sequence[Tensor | None]) -> Tensor:
        for p, gradient in zip(self.optimizer.parameters, gradients, strict=True):
            p.grad = gradient
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def shards_of(self, batch: Any, state: Any) -> list[tuple[Any, Any]]:
        rows = split_rows(self.task.count(batch), self.shards)
        states = [None] * self.shards if state is None else state
        return [(self.task.rows(batch, part), states[i]) for i, part in enumerate(rows) if part.start < part.stop]

    def whole(self, state: Any) -> Any:
        """Return the states of all shards, those of other ranks too; every rank asks at the same step."""
        if state is None or self.ranks.size == 1:
            return state
        own = [state[shard] for shard in self.own]
        arrays = [x.numpy() for one in own for _, x in trees.leaves(one)]
        told = self.ranks.gather(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
        states: list[Any] = []
        for one in told:
            views, at = [], 0
            for array in arrays:  # the rows of all ranks are as many: train.shards divides the batch
                views.append(np.frombuffer(one, array.dtype, array.size, at).reshape(array.shape).copy())
                at += array.nbytes
            left = iter(views)
            states += [trees.map_leaves(lambda x, left=left: tensor(next(left), dtype=x.dtype), part) for part in own]
        return states
