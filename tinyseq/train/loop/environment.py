"""Where a run was made: what its numbers may depend on besides the config."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq import backends
from tinyseq.threads import in_use
from tinyseq.train.loop.commit import commit_of
from tinyseq.train.loop.ranks import Ranks

_PACKAGES = ("tinyseq", "numpy", "llvmlite", "cupy", "pydantic", "ruamel.yaml", "matplotlib")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def describe() -> dict[str, Any]:
    """Return Python, packages, platform, cores, BLAS and its threads, the backend, and the git commit if any."""
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": _platform(),
        "machine": platform.machine(),
        "cores": _cores(),
        "blas": blas(),
        "backend": {**backends.current().describe(), "precision": backends.precision()},
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "git": _git(),
    }


def processor() -> str:
    """Return the kind of processor, as far as the system tells."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def of_ranks(ranks: Ranks, every: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a record says of the ranks of a run, by ``ranks``; nothing of one process alone."""
    if not every:
        return {}
    hosts = [str(one["host"]) for one in every]
    each = [{key: one[key] for key in ("host", "threads", "processor", "machine")} for one in every]
    return {"ranks": {**ranks.describe(), "hosts": len(set(hosts)), "each": each}}


def changes(before: Any, now: dict[str, Any]) -> list[str]:
    """Return what of two records the numbers depend on, and differs: packages, machine, processors, threads."""
    was, is_ = (_numbers_depend_on(one) for one in (before, now))
    return [f"{key} is {is_[key]}, was {was[key]}" for key in was.keys() & is_.keys() if was[key] != is_[key]]


def _numbers_depend_on(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with suppress(LookupError, TypeError, AttributeError):  # a record that somebody has changed tells less
        found["python"], found["machine"] = record["python"], record["machine"]
        found |= {str(name): version for name, version in record["packages"].items()}
        found["threads of BLAS"] = record["blas"]["threads"]
        kinds = {str(one["processor"]) for one in record["ranks"]["each"]}
        found["the processor of ranks"] = ", ".join(sorted(kinds))
    return found


def _platform() -> str:
    """Return system, release, machine and C library; ``platform.platform`` would run a program for it."""
    system = platform.uname()
    return "-".join(part for part in (system.system, system.release, system.machine, *platform.libc_ver()) if part)


def _cores() -> dict[str, int | None]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"machine": os.cpu_count(), "usable": usable}


def blas() -> dict[str, Any]:
    """Return NumPy's BLAS, its threads, and the variables that set them."""
    config: Any = np.show_config(mode="dicts")
    library = config.get("Build Dependencies", {}).get("blas", {})
    return {
        "name": library.get("name"),
        "version": library.get("version"),
        "threads": in_use(),
        "environment": {name: os.environ[name] for name in _THREADS if name in os.environ},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Return the commit of the folder that the run was started in; whether files there differ from it is not known."""
    with suppress(OSError):  # the folder is gone
        commit = commit_of(Path.cwd())
        return None if commit is None else {"commit": commit, "changed": None}
    return None
