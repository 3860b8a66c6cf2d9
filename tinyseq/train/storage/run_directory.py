"""The run directory: numbered, made anew each time, never written over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tinyseq import files
from tinyseq.errors import ConfigError, DataError
from tinyseq.train.config import yaml
from tinyseq.train.config.run_config import RunConfig, check
from tinyseq.train.storage import tensorfile
from tinyseq.train.storage.checkpoint_manager import Checkpoints

CONFIG, RESOLVED = "config.yaml", "config.resolved.yaml"
ENVIRONMENT, RESULT = "env.json", "result.json"
WEIGHTS, METADATA, METRICS = "weights.safetensors", "metadata.json", "metrics.jsonl"


class RunDirectory:
    """A directory such as ``runs/lstm/0001``, and the files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, output: str | Path, name: str) -> RunDirectory:
        """Make the next numbered directory under ``output/name``.

        Raises:
            ConfigError: it cannot be made.
        """
        parent = Path(output, name)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            number = max((int(p.name) for p in parent.iterdir() if p.name.isdecimal()), default=0)
            while True:
                number += 1
                try:
                    path = parent / f"{number:04}"
                    path.mkdir()  # fails where another run was quicker; then the next number is tried
                    return cls(path)
                except FileExistsError:
                    continue
        except OSError as error:
            raise ConfigError(
                "the run directory cannot be made",
                required="a folder that can be written to",
                got=f"{parent}: {error.strerror}",
                fix="another output: in the config, or --output FOLDER",
            ) from None

    @classmethod
    def find(cls, path: str | Path) -> RunDirectory:
        """Return an existing run: the directory itself, or the newest of the numbered ones in it.

        Raises:
            DataError: there is none.
        """
        path = Path(path)
        if (path / RESOLVED).is_file():
            return cls(path)
        inside = [p for p in path.iterdir() if p.name.isdecimal() and (p / RESOLVED).is_file()] if path.is_dir() else []
        if inside:
            return cls(max(inside, key=lambda p: int(p.name)))
        raise DataError(
            "not a run directory",
            required=f"a directory that `tinyseq run` made, with {RESOLVED} in it",
            got=f"{path}: {'no such file in it' if path.is_dir() else 'no such directory'}",
            fix="such as runs/lstm/0001, or runs/lstm for its newest run",
        )

    @property
    def checkpoints(self) -> Checkpoints:
        """The run's checkpoints."""
        return Checkpoints(self.path / "checkpoints")

    def drafts(self) -> AbstractContextManager[Path]:
        """Give a folder whose files move into the run directory when they are finished; see ``files.drafts``."""
        return files.drafts(self.path)

    def write_text(self, name: str, text: str) -> None:
        """Write a file; it is there whole or not at all.

        Raises:
            OSError: see ``files.write``.
        """
        files.write(self.path / name, text.encode("utf-8"))

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write a JSON file."""
        self.write_text(name, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def write_config(self, config: RunConfig, written: str | None) -> None:
        """Write the config as it came, and as it was understood, every default included."""
        resolved = config.model_dump(mode="json")
        self.write_text(CONFIG, yaml.write(resolved) if written is None else written)
        heading = "Every setting of this run, defaults included. Running this file again gives the same numbers."
        self.write_text(RESOLVED, yaml.write(resolved, heading=heading))

    def config(self) -> RunConfig:
        """Read the resolved config back."""
        return check(yaml.read(self.path / RESOLVED), folder=self.path)

    def write_weights(self, weights: dict[str, np.ndarray[Any, Any]], metadata: Mapping[str, Any]) -> None:
        """Write weights, and the metadata that a task needs to use them."""
        files.write(self.path / WEIGHTS, tensorfile.dumps(weights, {"format": "tinyseq"}))
        self.write_json(METADATA, metadata)

    def weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """Read the weights.

        Raises:
            DataError: there are none, or the file is damaged.
        """
        path = self.path / WEIGHTS
        try:
            weights: dict[str, np.ndarray[Any, Any]] = load_file(path)
            return weights
        except FileNotFoundError:
            raise DataError(
                "the run has no weights", required=str(path), got="no such file", fix="a run that came to its end"
            ) from None
        except (SafetensorError, OSError) as error:
            raise DataError(
                "the weights cannot be read", required="a safetensors file", got=f"{path}: {error}"
            ) from None

    def metadata(self) -> dict[str, Any]:
        """Read what the task left beside the weights.

        Raises:
            DataError: it is not there, or not JSON.
        """
        return self.json(METADATA)

    def json(self, name: str) -> dict[str, Any]:
        """Read a file of JSON, an object.

        Raises:
            DataError: it is not there, or not JSON.
        """
        what = f"the run's {Path(name).stem} cannot be read"
        path = self.path / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(what, required="a JSON file", got=f"{path}: {error}") from None
        if not isinstance(content, dict):
            raise DataError(what, required="a JSON object", got=str(path))
        return content

    def rows(self) -> list[dict[str, Any]]:
        """Read the metrics, as the training loop recorded them; of a line that was not written whole there is nothing.

        Raises:
            DataError: there are none.
        """
        path = self.path / METRICS
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DataError("the run's metrics cannot be read", required=str(path), got=str(error.strerror)) from None
        rows = []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and {"step", "split"} <= row.keys():
                rows.append(row)
        return rows
