"""The arena: the memory that the executables of one function work in.

An executable needs its memory from the forward pass of a call to the end of that call, and no longer: results are
copies. So executables for other lengths may lie in the same memory, as long as one call at a time uses it, and a
function of many lengths takes the memory of the longest.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol

#: How much larger a slab is made than what asks for it: lengths that grow step by step do not each need another.
_GROWTH: Final = 1.25
#: How many slabs that no call uses are kept, and how many executables of one plan: two calls may alternate.
_FREE: Final = 2


class Slab:
    """A piece of memory; an arena knows whether a call uses it."""

    def __init__(self, memory: Any, nbytes: int) -> None:
        self.memory, self.nbytes = memory, nbytes
        self._scratch: Any = None

    def scratch(self, nbytes: int, allocate: Callable[[int], Any]) -> Any:
        """Return so many bytes, or more, that whoever has leased the slab may write to while it runs."""
        if self._scratch is None or len(self._scratch) < nbytes:
            self._scratch = allocate(nbytes)
        return self._scratch


class Tenant(Protocol):
    """An executable, as the arena knows it: its slab, or None where its memory is its own."""

    slab: Slab | None


class Arena:
    """Slabs, and who may use them. Threads may come at once."""

    def __init__(self) -> None:
        #: Who has it may take it again: a call gives its slab back when it is dropped, wherever garbage is collected.
        self._lock = threading.RLock()
        #: That a slab is in here is all that says that no call uses it: one step gives it or takes it, or an
        #: interrupt between two would leave it half given.
        self._free: list[Slab] = []
        self._idle: weakref.WeakSet[Idle] = weakref.WeakSet()

    def idle(self) -> Idle:
        """Return a list for the idle executables of one more plan."""
        made = Idle(self)
        self._idle.add(made)
        return made

    def obtain(self, nbytes: int, allocate: Callable[[int], Any]) -> Slab:
        """Return a slab of so many bytes at least, leased to the caller; ``allocate(nbytes)`` makes memory."""
        with self._lock:
            for slab in list(self._free):
                if slab.nbytes >= nbytes:
                    self._free.remove(slab)
                    return slab
            while self._free:  # none is large enough: what is needed now will be needed again
                self._retire(self._free.pop())
        size = int(nbytes * _GROWTH)
        return Slab(allocate(size), size)

    def lease(self, slab: Slab) -> bool:
        """Take a slab if no call uses it; return whether it was free."""
        with self._lock:
            if slab not in self._free:
                return False
            self._free.remove(slab)
            return True

    def release(self, slab: Slab) -> bool:
        """Give a slab back; return whether it is kept."""
        with self._lock:
            if len(self._free) < _FREE:
                self._free.append(slab)
                return True
            self._retire(slab)
            return False

    def _retire(self, slab: Slab) -> None:
        for idle in self._idle:
            idle.evict(slab)


class Idle(list[Any]):
    """The executables of one plan that no call uses."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # a WeakSet holds it

    def __init__(self, arena: Arena) -> None:
        super().__init__()
        self.arena = arena

    def take(self) -> Any:
        """Return an executable whose memory is free, leased to the caller; None where there is none."""
        for executable in reversed(self):
            if executable.slab is None or self.arena.lease(executable.slab):
                try:
                    self.remove(executable)
                except ValueError:  # another thread was first
                    continue
                return executable
        return None

    def give(self, executable: Any) -> None:
        """Take an executable back: its call is over."""
        kept = executable.slab is None or self.arena.release(executable.slab)
        if kept:
            self.append(executable)
            del self[:-_FREE]  # the oldest: an interrupted call may have left one that is never free again

    def forget(self) -> None:
        """Let the executables that no call uses let go of arrays that callers have given them."""
        for executable in list(self):
            slab: Slab | None = executable.slab
            if slab is not None and self.arena.lease(slab):
                executable.forget()
                self.arena.release(slab)

    def evict(self, slab: Slab) -> None:
        """Forget the executables that lie in a slab."""
        self[:] = [executable for executable in self if executable.slab is not slab]
