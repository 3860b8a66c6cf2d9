"""Ranks: the processes that share a run, what they tell each other, and how parts are added up in one fixed order.

MPI carries buffers and nothing else. Sums are our own: a library's depend on the number of ranks and on the length.
A process that no MPI started never imports mpi4py.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

import numpy as np

from tinyseq.errors import BackendError, ConfigError, DataError, TinyseqError
from tinyseq.terminal import printable, tell

Array = np.ndarray[Any, Any]
T = TypeVar("T")
#: Between the lines of one part of a message.
_BREAK: Final = "\n           "
#: What launchers tell a process of how many ranks there are: MPICH's and Intel's, SLURM's PMI-2, Open MPI's.
_SIZES: Final = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")


def launched() -> int:
    """Return how many ranks the launcher of this process says that there are; 1 without one."""
    return max((int(text) for name in _SIZES if (text := os.environ.get(name, "")).isdecimal()), default=1)


def tree_sum(parts: Array) -> Array:
    """Return the sum over the first axis, by pairs of neighbours, pairs of pairs, and so on: one order for all."""
    while len(parts) > 1:
        parts = _pairs(parts)
    total: Array = parts[0]
    return total


def _pairs(parts: Array) -> Array:
    paired = len(parts) // 2 * 2
    sums = parts[0:paired:2] + parts[1:paired:2]
    return np.concatenate([sums, parts[paired:]]) if paired < len(parts) else sums


class Ranks:
    """The ranks of a run; these are of one process alone, and what all tell each other is what it says itself."""

    rank, size = 0, 1
    #: What ends the run on every rank, all knowing of it.
    known: BaseException | None = None

    @property
    def first(self) -> bool:
        """Whether this rank writes, prints and draws."""
        return self.rank == 0

    def own(self, shards: int) -> range:
        """Return which shards of so many this rank computes: neighbours, as many as every other rank."""
        share = shards // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def sum(self, parts: Array) -> Array:
        """Return the sum over the shards of all ranks, of which this one has ``parts``, in the order of the tree."""
        return tree_sum(parts)

    def gather(self, told: bytes) -> list[bytes]:
        """Return what each rank tells."""
        return [told]

    def broadcast(self, told: bytes) -> bytes:
        """Return what the first rank tells."""
        return told

    def describe(self) -> dict[str, Any]:
        """Return what the run's record says of them; nothing of one process alone."""
        return {}

    def abort(self, code: int) -> None:
        """End all ranks, if there are others."""

    # What is made of these.

    def agree(self, make: Callable[[], T], what: str) -> T:
        """Return what ``make`` gives; where it fails on any rank, no rank goes on, and each failure is named.

        Raises:
            TinyseqError: it failed here, or on another rank.
        """
        if self.size == 1:
            return make()
        failure: Exception | None = None
        made: list[T] = []
        try:
            made.append(make())
        except (TinyseqError, OSError, MemoryError) as error:
            failure = error
        told = [one.decode() for one in self.gather(b"" if failure is None else _told(failure).encode())]
        failed = {rank: text for rank, text in enumerate(told) if text}
        if failure is not None and len(set(told)) == 1:
            self.known = failure
            raise failure
        if failed:
            self.known = DataError(
                f"{what}: failed on {len(failed)} of {self.size} ranks",
                required="the same files and packages on every rank",
                got=_BREAK.join(f"rank {rank}: {text.splitlines()[0]}" for rank, text in failed.items()),
            )
            raise self.known from failure
        return made[0]

    def agree_first(self, make: Callable[[], T], what: str) -> T | None:
        """Return on the first rank what ``make`` gives there, None on the others; where it fails, all end.

        Raises:
            TinyseqError: it failed.
        """
        return self.agree(lambda: make() if self.first else None, what)

    def refuse_shards(self, shards: int) -> None:
        """Refuse shards that cannot be spread over the ranks.

        Raises:
            ConfigError: they cannot.
        """
        if shards % self.size:
            fit = max(n for n in range(1, min(self.size, shards) + 1) if shards % n == 0)
            self.known = ConfigError(
                f"train.shards: {shards} cannot be spread over {self.size} ranks",
                required="as many shards on each rank",
                got=f"{shards} shards, {self.size} ranks",
                fix=f"mpiexec -n {fit} ..., or a multiple of {self.size} as train.shards",
            )
            raise self.known

    def refuse_differences(self, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Refuse ranks whose facts differ from the first one's; return the facts of all.

        Raises:
            ConfigError: they do; each difference is named.
        """
        told = json.dumps({**facts, "host": platform.node()}).encode()
        every: list[dict[str, Any]] = [json.loads(one) for one in self.gather(told)]
        first = every[0]
        rows = [
            f"{key}: {first.get(key)!r} on rank 0, {other.get(key)!r} on rank {rank}"
            for rank, other in enumerate(every)
            for key in sorted(first.keys() | other.keys())
            if key != "host" and first.get(key) != other.get(key)
        ]
        if rows:
            self.known = ConfigError(
                "the ranks of this run are not alike, and would give other numbers",
                required="one config, the same data, versions and kind of processor on every rank",
                got=_BREAK.join(rows[:20]),
            )
            raise self.known
        return every


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


class MpiRanks(Ranks):
    """The ranks of MPI's world."""

    def __init__(self, mpi: Any) -> None:
        self._mpi, self._comm = mpi, mpi.COMM_WORLD
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()

    def sum(self, parts: Array) -> Array:
        """Each rank adds up a slice of what all have, and the sums of slices go back to all."""
        # Pairs that lie on one rank, whatever the number of ranks, are added where they are: the tree stays the same.
        while len(parts) % 2 == 0:
            parts = _pairs(parts)
        held, length = parts.shape
        width = -(-length // self.size)
        padded = np.zeros((held, self.size * width), parts.dtype)
        padded[:, :length] = parts
        outgoing = np.ascontiguousarray(padded.reshape(held, self.size, width).swapaxes(0, 1))
        incoming = np.empty_like(outgoing)
        self._comm.Alltoall(outgoing, incoming)
        own = np.ascontiguousarray(tree_sum(incoming.reshape(self.size * held, width)))
        whole = np.empty(self.size * width, parts.dtype)
        self._comm.Allgather(own, whole)
        return whole[:length]

    def gather(self, told: bytes) -> list[bytes]:
        sizes = np.empty(self.size, np.int64)
        self._comm.Allgather(np.array([len(told)], np.int64), sizes)
        whole = np.empty(int(sizes.sum()), np.uint8)
        self._comm.Allgatherv(np.frombuffer(told, np.uint8), [whole, sizes])
        ends = np.cumsum(sizes)
        return [whole[end - size : end].tobytes() for size, end in zip(sizes, ends, strict=True)]

    def broadcast(self, told: bytes) -> bytes:
        size = np.array([len(told)], np.int64)
        self._comm.Bcast(size)
        whole = np.frombuffer(told, np.uint8).copy() if self.first else np.empty(int(size[0]), np.uint8)
        self._comm.Bcast(whole)
        return whole.tobytes()

    def describe(self) -> dict[str, Any]:
        return {"mpi": self._mpi.Get_library_version().split("\n")[0].strip("\x00 "), "count": self.size}

    def abort(self, code: int) -> None:
        self._comm.Abort(code)


def join() -> Ranks:
    """Return the ranks that share this run: one, unless MPI started more.

    Raises:
        BackendError: mpi4py cannot be loaded, or belongs to another MPI than the launcher.
    """
    count = launched()
    if count == 1:
        return Ranks()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is mpi4py, and no MPI
        raise BackendError(
            f"started as one of {count} ranks, without MPI for Python",
            required="mpi4py and an MPI library",
            got=str(error).splitlines()[0],
            fix='pip install "tinyseq[mpi]", and its mpiexec',
        ) from None
    ranks = MpiRanks(MPI)
    if ranks.size != count:
        raise BackendError(
            "mpiexec is of another MPI than mpi4py's, and the ranks do not see each other",
            required=f"{count} ranks, as the launcher says",
            got=f"{ranks.size}, by {ranks.describe()['mpi']}",
            fix=f"mpiexec from the environment of {sys.executable}",
        )
    return ranks


@contextmanager
def all_or_none(ranks: Ranks, alike: tuple[type[BaseException], ...]) -> Iterator[None]:
    """Inside the ``with`` block an exception of one rank ends all; those ``alike`` come on every rank at once."""
    try:
        yield
    except BaseException as error:
        if ranks.size > 1 and error is not ranks.known and not isinstance(error, alike):
            _end(ranks, error)
        if not ranks.first:
            error.told_elsewhere = True  # type: ignore[attr-defined]
        raise


def _end(ranks: Ranks, error: BaseException) -> NoReturn:
    why = (_told(error) if isinstance(error, Exception) else type(error).__name__).splitlines()[0]
    line = f"error: rank {ranks.rank} on {platform.node()} ended the run: {why}; the same line with --resume goes on"
    tell(printable(line), sys.stderr)
    ranks.abort(1)
    raise SystemExit(1)


def split_rows(rows: int, parts: int) -> Sequence[slice]:
    """Return the rows of each part; where they do not divide, parts differ by one row at most."""
    edges = [i * rows // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]
