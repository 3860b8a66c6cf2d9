"""Stored vectors: what each library computed with random weights, in ``stored/``; made by ``tests/parity``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseq import files
from tinyseq.creation import tensor
from tinyseq.nn.cells import LSTMState
from tinyseq.nn.convert.files import members, npy
from tinyseq.nn.convert.records import FIRST_STEP, LEARNED_STATE
from tinyseq.nn.convert.translation import Imported, reading
from tinyseq.nn.init import Array

FOLDER: Final = Path(__file__).parent / "stored"


@dataclass(frozen=True)
class Vector:
    """A layer of a library, as it was run: tensors, inputs (batch, time, features), states a cell, lengths, outputs."""

    library: str
    name: str
    made_by: str
    options: dict[str, Any]
    tensors: dict[str, Array]
    xs: Array
    h: Array
    c: Array | None
    lengths: Array
    ys: Array

    def reading(self) -> Imported:
        """Return the layer, as it is read."""
        told = {key: self.options[key] for key in ("reset", "nonlinearity") if key in self.options}
        if self.name.startswith("gru"):
            told.setdefault("reset", "after")
        return reading(self.library, self.tensors, accept=(FIRST_STEP, LEARNED_STATE), **told)

    def error(self, module: Any) -> float:
        """Return by how much a layer's outputs differ from the library's, over steps that are real."""
        directions = self.options.get("directions", 1)
        cells = [
            tensor(self.h[:, i]) if self.c is None else LSTMState(tensor(self.h[:, i]), tensor(self.c[:, i]))
            for i in range(self.h.shape[1])
        ]
        state = tuple(tuple(cells[i : i + directions]) for i in range(0, len(cells), directions))
        ys, _ = module(tensor(self.xs.astype(np.float32)), state, lengths=self.lengths)
        real = np.arange(self.xs.shape[1]) < self.lengths[:, None]
        return float(np.abs(ys.numpy() - self.ys)[real].max())


def stored(library: str) -> Iterator[Vector]:
    """Yield the vectors of a library; none where it was never run."""
    path = FOLDER / f"{library}.npz"
    if not path.exists():
        return
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    made_by = f"{library} {told['version']} of {told['date']}"
    held = {
        name.removesuffix(".npy").replace("%2F", "/"): npy(data, name)[0]
        for name, data in members(files.read_bytes(path)).items()
    }
    for name, options in told["cases"].items():
        tensors = {key.split("|", 2)[2]: array for key, array in held.items() if key.startswith(f"{name}|weights|")}
        rest = {key: held.get(f"{name}|{key}") for key in ("xs", "h", "c", "lengths", "ys")}
        yield Vector(library, name, made_by, options, tensors, **rest)  # type: ignore[arg-type]
