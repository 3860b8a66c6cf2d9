"""Configs to start from: one a task and one an architecture, every setting with what it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from tinyseq.errors import ConfigError, did_you_mean
from tinyseq.train.config import yaml
from tinyseq.train.config.registry import cell_names
from tinyseq.train.config.run_config import RunConfig, parse_config

#: A comment stands beside its setting from this column on, if the line does not get longer than this.
_COLUMN, _LONGEST = 34, 120


@dataclass(frozen=True)
class Starter:
    """A kind of run: its task, what it is in a sentence, and the settings that differ from the task's defaults."""

    task: str
    about: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def _adam(lr: float, steps: int, **further: Any) -> dict[str, Any]:
    schedule = {"name": "cosine", "warmup": 20}
    return {"steps": steps, "optimizer": {"name": "adam", "lr": lr}, "schedule": schedule, **further}


_STARTERS: dict[str, Starter] = {
    "language_model": Starter(
        "language_model",
        "A character language model: it reads a text and learns what comes next.",
        {"model": {"dropout": 0.1}, "train": _adam(0.005, 1200)},
    ),
    "words": Starter(
        "language_model",
        "A language model of words: a token is a word, a number or a sign.",
        {
            "data": {"level": "word", "min_count": 2, "max_size": 4000},
            "model": {"dropout": 0.5},
            "train": _adam(0.005, 600, bptt={"every": 32}),
            "sample": {"length": 60},
        },
    ),
    "classification": Starter(
        "classification",
        "Classification: a text, or a sequence of numbers, and which of several classes it is of.",
        {"model": {"dropout": 0.2}, "train": _adam(0.005, 800)},
    ),
    "mlp": Starter(
        "classification",
        "A multilayer perceptron: a vector of numbers, and which of several classes it is of.",
        {"data": {"source": "xor", "inputs": "vector"}, "model": {"layers": [32, 32]}, "train": _adam(0.005, 800)},
    ),
    "regression": Starter(
        "regression",
        "Regression: a sequence of numbers, a vector or a text, and the number that belongs to it.",
        {"train": _adam(0.005, 1500)},
    ),
    "tagging": Starter(
        "tagging",
        "Tagging: a tag for each word of a sentence, such as the names in it; read from both ends.",
        {"model": {"hidden_size": 48, "dropout": 0.3}, "train": _adam(0.005, 500)},
    ),
    "forecasting": Starter(
        "forecasting",
        "Forecasting: a series of numbers, and what follows at every step.",
        {
            "data": {"transform": "sqrt", "warmup": 12},
            "model": {"cell": "gru", "hidden_size": 16},
            "forecast": {"season": 11},
            "train": _adam(0.01, 300, evaluate_every=20),
        },
    ),
    "seq2seq": Starter(
        "seq2seq",
        "Sequence to sequence: an encoder reads a sentence, a decoder with attention writes another.",
        {"model": {"cell": "gru", "bidirectional": True}, "train": _adam(0.005, 500, batch_size=64)},
    ),
    "transformer": Starter(
        "seq2seq",
        "A Transformer: sequence to sequence by attention alone, without recurrence.",
        {
            "data": {"generator": "sorting", "level": "word"},
            "model": {"architecture": "transformer", "feedforward_size": 128},
            "decode": {"measure": "exact_match"},
            "train": _adam(0.002, 1200, batch_size=64),
        },
    ),
    "captioning": Starter(
        "captioning",
        "Captioning: one vector in, such as a picture; a sentence out.",
        {"train": _adam(0.005, 1000, batch_size=64)},
    ),
    "reservoir": Starter(
        "reservoir",
        "An echo state network on a chaotic series: a fixed reservoir, a readout that is learned in one pass.",
        {"model": {"spectral_radius": 1.1, "leak": 0.7, "input_scaling": 0.5, "bias_scaling": 0.2}},
    ),
    "stacked": Starter(
        "language_model",
        "Stacked layers: a character language model of three, with residual connections and dropout between them.",
        {"model": {"num_layers": 3, "residual": True, "dropout": 0.2}, "train": _adam(0.003, 1200)},
    ),
    "bidirectional": Starter(
        "classification",
        "Bidirectional layers and attention over what they read: texts and their classes.",
        {"model": {"bidirectional": True, "pooling": "attention", "dropout": 0.2}, "train": _adam(0.005, 800)},
    ),
}


def starters() -> dict[str, Starter]:
    """Return every starter by its kind: the tasks, then the architectures, then a language model of each other cell."""
    of_cells = {
        cell: Starter(
            "language_model",
            f"A character language model with the cell {cell}.",
            {"model": {"cell": cell}, "train": _adam(0.005, 1200)},
        )
        for cell in cell_names()
    }
    return {**_STARTERS, **of_cells}


def starter(kind: str) -> str:
    """Return a config to start from, as YAML with comments.

    Args:
        kind: a key of ``starters()``.

    Raises:
        ConfigError: there is none of that kind.
    """
    known = starters()
    if kind not in known:
        raise ConfigError(f"no starter of the kind {kind!r}; {did_you_mean(kind, known)}")
    chosen = known[kind]
    config = parse_config({"task": chosen.task, **chosen.settings})
    heading = (
        f"{chosen.about}\n\n"
        "  tinyseq check THIS.yaml       is it right, and what does it cost?\n"
        "  tinyseq run THIS.yaml\n"
        "  tinyseq schema --help         completion and checks of these settings in an editor\n\n"
        "Every setting is here. What you leave out is as the task has it by default: as here, but where a comment\n"
        "begins with another default.\n"
    )
    return commented(config, heading)


def commented(config: RunConfig, heading: str = "") -> str:
    """Return a config as YAML with every setting, and beside each what it means, and the default where it differs."""
    default = parse_config({"task": config.task})
    top = "".join(f"# {line}".rstrip() + "\n" for line in heading.splitlines())
    return top + ("\n" if top else "") + "\n".join(_lines(config, default, 0)).lstrip("\n") + "\n"


def _lines(section: BaseModel, default: Any, depth: int) -> Iterator[str]:
    """Yield the lines of a section; a comment begins with what ``default``, the same section, has otherwise."""
    indent = "  " * depth
    fields = type(section).model_fields
    # At the top single settings come first, then what the task is about; the loop is the same for all, and comes last.
    order = sorted(fields, key=lambda n: (isinstance(getattr(section, n), BaseModel), n in RunConfig.model_fields))
    for name in fields if depth else order:
        info, value, usual = fields[name], getattr(section, name), getattr(default, name, None)
        comment = f"# {info.description}"
        if isinstance(value, BaseModel):
            if depth == 0:
                yield ""
            yield f"{indent}{name}:".ljust(_COLUMN) + comment
            yield from _lines(value, usual, depth + 1)
            continue
        if value != usual:
            comment = f"# Default {yaml.inline(usual)}. {info.description}"
        line = f"{indent}{name}: {yaml.inline(value)}"
        beside = f"{line.ljust(_COLUMN - 2)}  {comment}"
        if len(beside) > _LONGEST:
            yield f"{indent}{comment}"
            yield line
        else:
            yield beside
