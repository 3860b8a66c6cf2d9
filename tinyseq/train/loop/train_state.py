"""The training state: everything that a run's next step depends on, taken into a checkpoint and put back from one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tinyseq import nn, optim
from tinyseq.creation import tensor
from tinyseq.errors import DataError, TinyseqError
from tinyseq.random import generator
from tinyseq.train.storage.checkpoint_file import Array, Checkpoint
from tinyseq.train.storage.serialization import pack, state_types, unpack


class Counters(BaseModel):
    """The plain numbers of a training state, as a checkpoint has them."""

    model_config = ConfigDict(strict=True, extra="forbid")

    step: int = Field(0, ge=0)
    tokens: int = Field(0, ge=0)
    seconds: float = Field(0.0, ge=0)
    total: float = 0.0
    count: int = Field(0, ge=0)
    skipped: int = Field(0, ge=0)
    skipped_in_a_row: int = Field(0, ge=0)
    without_best: int = Field(0, ge=0)
    best: dict[str, int | float] = Field(default_factory=dict)
    best_step: int = Field(0, ge=0)


class RandomState(BaseModel):
    """The state of the random numbers."""

    model_config = ConfigDict(strict=True, extra="forbid")

    seed: int = Field(ge=0, lt=2**63)
    calls: int = Field(ge=0, lt=2**63)
    sites: int = Field(ge=0, lt=2**15)


@dataclass
class TrainState:
    """What changes from step to step. The order of the data is a pure function of the config and of ``step``."""

    model: nn.Module
    optimizer: optim.Optimizer
    scheduler: optim.Scheduler
    #: How many updates were made, skipped ones included; as many batches were drawn.
    step: int = 0
    tokens: int = 0
    #: Spent in steps; evaluations left out.
    seconds: float = 0.0
    #: Of the losses since the last row of metrics: their sum, each by its tokens, and the tokens.
    total: float = 0.0
    count: int = 0
    #: What the next batch starts from.
    state: Any = None
    #: Steps whose loss or gradient was not finite, and that were left out; and how many of them were the last ones.
    skipped: int = 0
    skipped_in_a_row: int = 0
    #: Validations since the best one; its metrics, their step, and the weights then.
    without_best: int = 0
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    weights: dict[str, Array] = field(default_factory=dict)

    def capture(self) -> Checkpoint:
        """Return copies of all of it."""
        tensors = {f"model.{name}": value for name, value in snapshot(self.model).items()}
        optimizer_state = self.optimizer.state_dict()
        for name, parts in zip(self._names(), optimizer_state["state"], strict=True):
            tensors |= {f"optimizer.{name}.{key}": np.array(value.numpy()) for key, value in parts.items()}
        # Where the weights are the best ones they are there already.
        if self.best_step != self.step:
            tensors |= {f"best.{name}": value for name, value in self.weights.items()}
        facts = {key: getattr(self, key) for key in Counters.model_fields}
        facts |= {
            "state": pack(self.state, "state", tensors),
            "random": generator.state(),
            "optimizer": {
                "steps": optimizer_state["steps"],
                "param_groups": [_plain(group) for group in optimizer_state["param_groups"]],
            },
            "schedule": self.scheduler.state_dict(),
        }
        return Checkpoint(facts, tensors)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            DataError: it is not of this model or optimiser, or something is missing in it.
        """
        facts = checkpoint.facts
        try:
            counters = Counters.model_validate({key: facts[key] for key in Counters.model_fields})
            random = RandomState.model_validate(facts["random"]).model_dump()
            state = unpack(facts["state"], checkpoint.tensors, state_types(self.model))
            parts = self._optimizer_parts(checkpoint.part("optimizer"))
            self.optimizer.load_state_dict({**facts["optimizer"], "state": parts})
            self.scheduler.load_state_dict(facts["schedule"])
            weights, best = checkpoint.part("model"), checkpoint.part("best")
            if counters.best and counters.best_step != counters.step:
                self.model.load_state_dict(best)  # to see that it fits
            self.model.load_state_dict(weights)
        except TinyseqError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise DataError(
                "the checkpoint is not one of a run", required="all that a run is made of", got=_brief(error)
            ) from None
        generator.restore(random)
        for key in Counters.model_fields:
            setattr(self, key, getattr(counters, key))
        self.state = state
        self.weights = weights if self.best_step == self.step else best

    def _names(self) -> list[str]:
        return [name for name, _ in self.model.named_parameters()]

    def _optimizer_parts(self, arrays: dict[str, Array]) -> list[dict[str, Any]]:
        """Return the optimiser's state a parameter, in its order."""
        states: dict[str, dict[str, Any]] = {name: {} for name in self._names()}
        for path, value in arrays.items():
            name, _, key = path.rpartition(".")
            states[name][key] = tensor(value, dtype=value.dtype)
        return list(states.values())


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    """The options that JSON has a form for; any others come from the config again."""
    return {key: value for key, value in group.items() if isinstance(value, bool | int | float | str | list | tuple)}


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def snapshot(model: nn.Module) -> dict[str, Array]:
    """Return copies of parameters and buffers by name, on the host."""
    return {name: np.array(value.numpy(), order="C") for name, value in model.state_dict().items()}
