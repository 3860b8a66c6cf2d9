"""Optimisers, gradient clipping and learning-rate schedules."""

from typing import TYPE_CHECKING, NoReturn

from tinyseq.hints import OPTIM, missing
from tinyseq.optim.clipping import clip_grad_norm, clip_grad_value, grad_norm
from tinyseq.optim.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from tinyseq.optim.schedules import Constant, Cosine, Linear, Plateau, Schedule, Scheduler, StepDecay, WarmUp

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Linear",
    "Optimizer",
    "Plateau",
    "RMSprop",
    "Schedule",
    "Scheduler",
    "StepDecay",
    "WarmUp",
    "clip_grad_norm",
    "clip_grad_value",
    "grad_norm",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        raise missing("module 'tinyseq.optim'", name, OPTIM, __all__)
