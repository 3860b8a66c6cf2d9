"""Small runs for the tests of training and of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

TEXT = "the quick brown fox jumps over the lazy dog; the dog sleeps, and the fox runs away.\n" * 30

CONFIG = """\
task: language_model
seed: 3
data: {path: text.txt, split: [0.8, 0.1, 0.1]}
model: {cell: lstm, hidden_size: 12, embedding_size: 6, dropout: 0.1}
train:
  steps: 12
  batch_size: 4
  bptt: {every: 8}
  optimizer: {name: adam, lr: 1e-2}
  schedule: {name: cosine, warmup: 2}
  evaluate_every: 5
  log_every: 3
sample: {length: 20, prime: "the ", count: 2}
"""

#: After a step or two its weights are beyond all bounds.
DIVERGING = CONFIG.replace("{name: adam, lr: 1e-2}", "{name: sgd, lr: 1e+38}").replace(
    "log_every: 3", "clip_norm: null"
)


def write_config(folder: Path, text: str = CONFIG, name: str = "tiny.yaml", corpus: str = TEXT) -> Path:
    """Write a config and its corpus; return the config's path."""
    (folder / "text.txt").write_text(corpus, encoding="utf-8")
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(directory: Path) -> list[dict[str, Any]]:
    """Return metrics.jsonl without what depends on the clock."""
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if key not in ("seconds", "tokens_per_second")}
        for line in lines
    ]


def weights(directory: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return the weights of a run in a form that is equal only where every bit is."""
    arrays = load_file(directory / "weights.safetensors")
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}
