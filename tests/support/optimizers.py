"""The optimisers to try."""

from __future__ import annotations

from collections.abc import Callable

import tinyseq as ts
from tinyseq import optim

OPTIMIZERS: dict[str, Callable[[list[ts.Tensor]], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.05, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: optim.RMSprop(p, 0.02),
    "rmsprop-all": lambda p: optim.RMSprop(p, 0.02, momentum=0.5, centered=True),
    "adam": lambda p: optim.Adam(p, 0.1),
    "adamw": lambda p: optim.AdamW(p, 0.1),
}
