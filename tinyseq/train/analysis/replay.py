"""Replaying a step that was not finite, from the bundle that its run left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinyseq.backends import use
from tinyseq.errors import DataError, TinyseqError
from tinyseq.random import generator, seeded
from tinyseq.tensors import Tensor
from tinyseq.threads import blas_threads
from tinyseq.train.config.registry import find_task
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.budget import refuse_too_large
from tinyseq.train.loop.nonfinite import DivergedError, diverged, locate
from tinyseq.train.loop.train_state import RandomState
from tinyseq.train.storage import checkpoint_file
from tinyseq.train.storage.checkpoint_file import Checkpoint
from tinyseq.train.storage.serialization import state_types, unpack
from tinyseq.train.tasks.base import Task


def replay(bundle: str | Path) -> DivergedError | None:
    """Run a step again, op by op, and return what went wrong in it; None where all values are finite now.

    The bundle holds the weights, the batch, the random numbers' state and the config: neither the run nor its data is
    needed, only a cell of one's own, whose file is run as that of a config is.

    Raises:
        DataError: the file is damaged, or no bundle.
        ConfigError: its config is none that this version knows.
    """
    path = Path(bundle)
    checkpoint = checkpoint_file.read(path)
    try:
        return _replay(checkpoint)
    except TinyseqError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(
            "not a bundle to replay",
            required="what a run leaves when its numbers are not finite: nonfinite-step-*.safetensors",
            got=f"{path}: {type(error).__name__}: {error}".splitlines()[0],
        ) from None


def _replay(checkpoint: Checkpoint) -> DivergedError | None:
    facts = checkpoint.facts
    form, what, value = facts["arguments"], str(facts["what"]), float(facts["value"])
    config = parse_config(facts["config"])
    with use("numpy"), blas_threads(config.threads), np.errstate(all="ignore"), seeded(config.seed):
        task: Task[Any] = find_task(config.task)(config)
        task.restore(facts["metadata"])
        refuse_too_large(task)
        model = task.build().cast(config.dtype)
        model.load_state_dict(checkpoint.part("model"))
        model.train()
        arguments = unpack(form, checkpoint.tensors, state_types(model))
        generator.restore(RandomState.model_validate(facts["random"]).model_dump())

        def loss() -> Tensor:
            return task.loss(model, *arguments)[0]

        origin = locate(model, loss, arguments)
        return None if origin is None else diverged(what, value, checkpoint.step + 1, config.train, origin)
