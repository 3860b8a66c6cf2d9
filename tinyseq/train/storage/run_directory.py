"""The run directory: numbered, made anew each time, never written over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tinyseq import files
from tinyseq.errors import ConfigError, DataError
from tinyseq.train.config import yaml
from tinyseq.train.config.run_config import RunConfig, check
from tinyseq.train.storage import plain, tensorfile
from tinyseq.train.storage.checkpoint_manager import Checkpoints
from tinyseq.train.storage.metrics_log import log, read_rows

CONFIG, RESOLVED = "config.yaml", "config.resolved.yaml"
ENVIRONMENT, RESULT = "env.json", "result.json"
WEIGHTS, METADATA, METRICS = "weights.safetensors", "metadata.json", "metrics.jsonl"
Metrics = dict[str, int | float | None]


class Result(BaseModel):
    """What result.json holds of a run's end, as far as it is read again; null is a number that JSON does not have."""

    model_config = ConfigDict(strict=True, extra="ignore")

    status: str | None = None
    error: str | None = None
    measure: str = ""
    test: Metrics = Field(default_factory=dict)
    valid: Metrics = Field(default_factory=dict)
    baselines: dict[str, Metrics] = Field(default_factory=dict)
    best_step: int = Field(0, ge=0)
    steps: int | None = Field(None, ge=0)
    seconds: float | None = Field(None, ge=0)
    parameters: int | None = Field(None, ge=0)


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
            files.make_folder(parent)
            number = max((int(p.name) for p in parent.iterdir() if p.name.isdecimal()), default=0)
            while True:
                number += 1
                try:
                    path = parent / f"{number:04}"
                    # Fails where another run was quicker; then the next number is tried.
                    files.make_folder(path, new=True)
                    return cls(path)
                except FileExistsError:
                    continue
        except OSError as error:
            raise ConfigError(
                "the run directory cannot be made",
                required="a folder that can be written to",
                got=f"{error.filename or parent}: {error.strerror}",
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
        self.write_text(name, _as_json(data))

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
        text, tensors = _as_json(metadata), tensorfile.plain(weights)
        header = {"format": "tinyseq", "sha256": tensorfile.digest(text, tensors)}
        files.write(self.path / WEIGHTS, tensorfile.parts(tensors, header))
        self.write_text(METADATA, text)

    def weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """Read the weights.

        Raises:
            DataError: there are none, or the file is damaged.
        """
        path = self.path / WEIGHTS
        try:
            header, tensors = tensorfile.read(path)
            written = header.get("sha256")
            if written is not None and written != tensorfile.digest(self._metadata_text(), tensors):
                raise tensorfile.TensorFileError(f"it, or {METADATA} beside it, is not as it was written")
            return tensors
        except FileNotFoundError:
            raise DataError(
                "the run has no weights", required=str(path), got="no such file", fix="a run that came to its end"
            ) from None
        except (OSError, tensorfile.TensorFileError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise DataError(
                "the weights cannot be read", required="a safetensors file", got=f"{path}: {reason}"
            ) from None

    def _metadata_text(self) -> str:
        return files.read_bytes(self.path / METADATA, plain.LARGEST).decode("utf-8", "replace")

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
        content = plain.read(path, what, "a JSON file")
        if not isinstance(content, dict):
            raise DataError(what, required="a JSON object", got=str(path))
        return content

    def result(self) -> dict[str, Any]:
        """Read how the run ended; what is not there is left out.

        Raises:
            DataError: the file is not there, or damaged.
        """
        try:
            found = Result.model_validate(self.json(RESULT))
        except ValidationError as error:
            place, reason = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]
            path = self.path / RESULT
            raise DataError(
                "the run's result cannot be read", required=f"a right {place!r}", got=f"{path}: {reason}"
            ) from None
        return found.model_dump(exclude_none=True)

    def rows(self, tell: Callable[[str], None] = log.warning) -> Iterator[dict[str, Any]]:
        """Yield the metrics, as the training loop recorded them; lines that are damaged are left out, and told.

        Raises:
            DataError: there are none.
        """
        path = self.path / METRICS
        try:
            yield from read_rows(path, tell)
        except OSError as error:
            raise DataError("the run's metrics cannot be read", required=str(path), got=str(error.strerror)) from None


def _as_json(data: Mapping[str, Any]) -> str:
    return plain.dumps(data, indent=2) + "\n"
