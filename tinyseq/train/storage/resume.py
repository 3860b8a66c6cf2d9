"""Going on with a run: which directory, which checkpoint, and whether they are of this config."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tinyseq import files
from tinyseq.errors import ConfigError, DataError
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.storage import checkpoint_file
from tinyseq.train.storage.checkpoint_file import Checkpoint
from tinyseq.train.storage.run_directory import METRICS, RESOLVED, RunDirectory

#: Keys that may differ: they change where a run is written, what computes it (the same but for rounding), and when it
#: stops or saves.
_FREE = ("name", "output", "backend", "train.steps", "train.patience", "train.checkpoint", "train.on_nonfinite")
#: Settings that older runs do not have, and the values that these were made with.
_NEWER = {"train.shards": 1}


class RunIdentity(BaseModel):
    """The identity of a run in a checkpoint: which run it is of, and how far the run's metrics were."""

    model_config = ConfigDict(strict=True)

    config: dict[str, Any]
    #: Of the data, and what the task made of it, such as its vocabulary.
    data_sha256: str
    metadata: dict[str, Any]
    #: Of the Python files that the config names.
    code: dict[str, str]
    metrics_bytes: int = Field(ge=0)
    #: Of these bytes; older checkpoints have none.
    metrics_sha256: str = ""
    tinyseq: str


@dataclass(frozen=True)
class ResumePoint:
    """The point where a run goes on: its directory, and the checkpoint with its identity, or None for its beginning."""

    directory: RunDirectory
    start: Checkpoint | None = None
    identity: RunIdentity | None = None


def find_directory(config: RunConfig, name: str, named: Path | None) -> RunDirectory | None:
    """Return the directory to go on in: that of a named checkpoint, a named one, or the newest of the config's name.

    Raises:
        DataError: what is named is neither.
    """
    if named is not None:
        inside = named.parent.parent if named.is_file() else named
        return RunDirectory.find(inside)
    parent = Path(config.output, name)
    try:
        return RunDirectory.find(parent)
    except DataError:
        return None


def find_point(directory: RunDirectory, config: RunConfig, named: Path | None) -> ResumePoint:
    """Return where a run goes on; to be called when its directory is locked.

    Raises:
        DataError: the checkpoint is damaged, of a newer format, or of another config.
    """
    _refuse_links(directory.path)
    files.tidy(directory.path)
    files.tidy(directory.checkpoints.folder)
    steps = directory.checkpoints.steps()
    if named is not None and named.is_file():
        checkpoint = checkpoint_file.read(named)
    elif steps:
        checkpoint = directory.checkpoints.read(steps[-1])
    else:
        refuse_other(directory.config().model_dump(mode="json"), config, directory.path)
        return ResumePoint(directory)
    try:
        identity = RunIdentity.model_validate(checkpoint.facts)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise DataError(
            "the checkpoint is not one of a run", required=f"a right {place!r}", got=error.errors()[0]["msg"]
        ) from None
    refuse_other(identity.config, config, directory.path)
    if config.train.steps < checkpoint.step:
        raise ConfigError(
            "the run is further than it shall come",
            required=f"train.steps of at least {checkpoint.step}, where its checkpoint is",
            got=str(config.train.steps),
            where=str(directory.path),
        )
    return ResumePoint(directory, checkpoint, identity)


def _refuse_links(path: Path) -> None:
    """Refuse a run directory that would let a run write, and remove files, elsewhere.

    Raises:
        DataError: a folder or a file of it that a run goes on writing in is a link.
    """
    for name in ("checkpoints", METRICS):
        if (path / name).is_symlink():
            raise DataError(
                f"{name} of the run directory is a link",
                required="a run directory whose files are its own",
                got=f"{path / name}: a link to {os.readlink(path / name)}",
                fix="put in its place what it leads to",
            )


def refuse_other(saved: Mapping[str, Any], config: RunConfig, place: Path) -> None:
    """Refuse to go on with another config.

    Raises:
        ConfigError: keys differ that the numbers depend on; each is named.
    """
    before, now = {**_NEWER, **dict(flat(saved))}, dict(flat(config.model_dump(mode="json")))
    rows = [
        f"{key}: {_shown(before, key)} in the run, {_shown(now, key)} in the config"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, _MISSING) != now.get(key, _MISSING)
        and not any(key == free or key.startswith(f"{free}.") for free in _FREE)
        and not _moved(before.get(key), now.get(key))
    ]
    if rows:
        raise ConfigError(
            "the run to go on with is of another config",
            required="the same config, or none of its keys that change the numbers",
            got="\n           ".join(rows),
            where=str(place),
            fix=f"tinyseq run {place / RESOLVED} --resume-from {place}; or a new run, without --resume",
        )


def refuse_other_data(identity: RunIdentity, digest: str, metadata: Mapping[str, Any], place: Path) -> None:
    """Refuse to go on with other data.

    Raises:
        DataError: the data's digest, or what the task made of it (its vocabulary), is not that of the checkpoint.
    """
    if identity.data_sha256 != digest or identity.metadata != metadata:
        raise DataError(
            "the data has changed since the run was stopped",
            required=f"data with the digest {identity.data_sha256[:16]}...",
            got=f"{digest[:16]}...",
            where=str(place),
            fix="bring the data back as it was, or start a new run, without --resume",
        )


_MISSING = object()


def flat(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and plain values."""
    if isinstance(tree, Mapping) and tree:
        for key, part in tree.items():
            yield from flat(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def _moved(before: Any, now: Any) -> bool:
    """Whether these are places of one file: what is in it is told by the digest of the data, not by its folder."""
    paths = [Path(one) for one in (before, now) if isinstance(one, str) and Path(one).is_absolute()]
    return len(paths) == 2 and paths[0].name == paths[1].name


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "absent"
