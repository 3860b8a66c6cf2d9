"""Tables of names that a user may write: what each stands for, and what is said of a name that is in none."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from tinyseq.errors import DataError, TinyseqError, did_you_mean

T = TypeVar("T")


class Registry(dict[str, T]):
    """Name -> thing. A thing may be given by its address, ``"module:attribute"``, and is imported when it is asked for.

    A table is a dict, so ``TABLE["mine"] = thing`` is ``TABLE.register("mine", thing)``.

    Args:
        what: what the names name, for messages: "cell".
        things: the first entries.
        error: what ``find`` raises.
    """

    def __init__(self, what: str, things: Mapping[str, T | str], error: type[TinyseqError] = DataError) -> None:
        super().__init__(cast("Mapping[str, T]", things))
        self.what, self.error = what, error

    def register(self, name: str, thing: T | str) -> None:
        """Add a name, or give it another meaning."""
        self[name] = cast("T", thing)

    def over(self, other: Registry[T]) -> Registry[T]:
        """Return a table of the names of both, as they are now; where both have one, it is this table's."""
        return Registry(self.what, {**other, **self}, self.error)  # as they are given: nothing is imported

    def names(self) -> tuple[str, ...]:
        """Return the names in the order in which they were added."""
        return tuple(self)

    def find(self, name: str, where: str = "") -> T:
        """Return what a name stands for; ``where`` is who was given it.

        Raises:
            TinyseqError: it is not known; of the kind that the table was made with.
        """
        if name not in self:
            head = f"{where}: " if where else ""
            raise self.error(f"{head}unknown {self.what} {name!r}", fix=did_you_mean(str(name), self))
        return self[name]

    def __getitem__(self, name: str) -> T:
        value: Any = super().__getitem__(name)
        if isinstance(value, str):
            value = self[name] = at_address(value)
        return cast("T", value)

    def values(self) -> Any:
        return [self[name] for name in self]

    def items(self) -> Any:
        return [(name, self[name]) for name in self]

    def get(self, name: Any, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 - it is what would be called


def at_address(address: str) -> Any:
    """Return what stands at ``"module:attribute"``, importing the module."""
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return, in a line, that a name is unknown, the closest of those that are, and all of them."""
    names = sorted(known)
    near = did_you_mean(name, names)
    return f"unknown {what} {name!r}; {near}" + ("" if near.startswith("one of") else f" (known: {', '.join(names)})")
