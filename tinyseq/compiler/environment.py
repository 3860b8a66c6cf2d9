"""The environment of a traced function: the Python values outside its arguments that a trace may have read.

A trace is right for as long as these are what they were, so they are its guards; and what a call changes among them, a
plan cannot repeat, so that is refused. They are found without running anything: from the function's own code (the names
of globals and attributes that it and what it calls mention) and from the objects that these lead to. Tensors are found
too, but they are inputs: one that takes another's place is read from then on.

Tinyseq's own functions are not looked into. What they read of objects is known: of a module its parameters and
sub-modules, of a layer or an optimiser every attribute but those that ``__live__`` names, which are read anew at each
call (``tensors.live``) or changed after it (``modes.each_call``).
"""

from __future__ import annotations

import array
import contextvars
import dis
import functools
import operator
import os
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

import numpy as np

from tinyseq import trees
from tinyseq.tensors import Tensor

#: Types whose values are compared, and hold nothing.
ATOMS: Final = (
    bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range, slice, np.generic,
    np.dtype,
)  # fmt: skip
#: Whoever calls one of these may read any attribute of the objects at hand.
_DYNAMIC: Final = frozenset(
    {"getattr", "hasattr", "vars", "setattr", "delattr", "eval", "exec", "__dict__", "__getattribute__"}
)
_MISSING: Final = object()
#: What a change is to, where a place is no longer there.
GONE: Final = "gone"
#: Where Python's own functions are.
_PYTHONS: Final = len.__self__  # type: ignore[attr-defined]
_MAKING: Final = frozenset({"__init__", "__new__", "__post_init__", "__set_name__", "__init_subclass__"})
#: Classes that Python code has made have this flag (Include/object.h: Py_TPFLAGS_HEAPTYPE).
_HEAP_TYPE: Final = 1 << 9

Fetch = Callable[[], tuple[Any, ...]]


@dataclass(frozen=True)
class _Code:
    """What a code object mentions, the functions defined within it included."""

    globals: frozenset[str]
    attributes: frozenset[str]


@functools.lru_cache(maxsize=4096)
def _mentions(code: types.CodeType) -> _Code:
    names: set[str] = set()
    attributes: set[str] = set()
    for instruction in dis.get_instructions(code):
        name, operation = instruction.argval, instruction.opname
        if not isinstance(name, str):
            continue
        if "GLOBAL" in operation or operation in ("LOAD_NAME", "STORE_NAME", "DELETE_NAME", "IMPORT_NAME"):
            names.add(name)
            attributes.update(name.split(".")[1:] if operation == "IMPORT_NAME" else ())
        elif "ATTR" in operation or "METHOD" in operation or operation == "IMPORT_FROM":
            attributes.add(name)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = _mentions(constant)
            names |= inner.globals
            attributes |= inner.attributes
        elif isinstance(constant, str) and constant.replace(".", "").isidentifier():
            attributes.update(constant.split("."))  # getattr(self, "factor"), attrgetter("part.factor")
    return _Code(frozenset(names), frozenset(attributes))


@dataclass(eq=False)
class WatchedValues:
    """Values that lie in one place (an object's attributes, a list, a closure), and how to read them at once."""

    path: str
    owner: Any
    keys: tuple[Any, ...]
    fetch: Fetch
    #: Puts values back, where what a call has changed is to be undone.
    restore: Callable[[tuple[Any, ...]], None]
    #: Whether a key that was not there before belongs to the group; None where none can.
    admits: Callable[[Any], bool] | None = None
    #: How Python says a value of it, given the owner, the key and the number; empty where only ``fetch`` tells.
    spelled: str = ""
    #: Whether it is only no call may change it, and not a guard.
    kept: bool = False

    @property
    def grows(self) -> bool:
        """Whether there may be more values in it later: it is a list or the like, or new keys count."""
        return self.admits is not None or not self.keys

    def owners(self, index: int) -> tuple[int, ...]:
        """Return what tells the place of a value: the ids of what it lies in."""
        if isinstance(self.owner, tuple) and self.owner and isinstance(self.owner[0], types.CellType):
            return tuple(id(cell) for cell in (self.owner if index < 0 else self.owner[index : index + 1]))
        return (id(self.owner),)

    def name(self, index: int) -> str:
        """Return what a message calls a value of the group."""
        key = self.keys[index] if index < len(self.keys) else index
        if isinstance(self.owner, dict) and not self.keys and index < 2 * len(self.owner):
            key = repr([*self.owner][index % len(self.owner)])
        return self.path.replace("*", str(key))

    def added(self, known: frozenset[Any]) -> list[Any]:
        """Return the keys that belong here and were not there when the group was made."""
        if self.admits is None:
            return []
        return [key for key in self.owner if key not in known and self.admits(key)]


class Environment:
    """The places that a function's code leads to, found once; ``values()`` reads them all."""

    def __init__(self, fn: Any, arguments: Iterable[tuple[str, Any]] = ()) -> None:
        arguments = list(arguments)
        self._roots = fn, arguments
        #: Iterators that are read, and where from: each call would find them further on.
        self.iterators: list[tuple[str, Any]] = []
        #: Functions that keep what they have returned, and how often they had not.
        self.cached: dict[Any, int] = {}
        self.imports: set[str] = set()
        self.names: set[str] = set()
        self.everything = False
        self.codes: set[types.CodeType] = set()
        roots = [("", fn), *arguments]
        while True:
            before = len(self.names), self.everything
            self.groups: list[WatchedValues] = []
            self._seen: dict[Any, Any] = {}
            self.iterators.clear()
            stack: list[tuple[str, Any]] = list(reversed(roots))
            while stack:
                path, value = stack.pop()
                if id(value) in self._seen or (isinstance(value, ATOMS) and not _is_users(type(value))):
                    continue
                self._seen[id(value)] = value  # held, so that its id stays its own
                stack.extend(reversed(list(self._visit(path, value))))
            if (len(self.names), self.everything) == before:
                break
        self._seen = {}
        self.groups.append(_random_state())

    def again(self) -> Environment:
        """Return the environment of the same function and arguments as it is now."""
        return Environment(*self._roots)

    def values(self) -> list[tuple[Any, ...]]:
        """Return what lies in each group now."""
        return [group.fetch() for group in self.groups]

    def owners(self) -> frozenset[int]:
        """Return the ids of what the values lie in."""
        return frozenset(chain.from_iterable(group.owners(-1) for group in self.groups))

    def loads(self) -> bool:
        """Return whether a module that the code imports was not loaded before, and is now."""
        return any(name in sys.modules for name in self.imports)

    def forget_cached(self) -> None:
        """Let functions that keep their results (``functools.cache``) forget those of a trace, which mean nothing."""
        for function, misses in self.cached.items():
            if function.cache_info().misses != misses:
                function.cache_clear()

    # -- what leads where ----------------------------------------------------------------------------------------------

    def _visit(self, path: str, value: Any) -> Iterator[tuple[str, Any]]:
        """Add a value's groups, and yield what it leads to."""
        if isinstance(value, Tensor | types.ModuleType | types.BuiltinFunctionType | np.ufunc):
            if isinstance(value, types.ModuleType) and not _is_foreign(value.__name__):
                yield from self._entries(path, value.__dict__, self._mentioned(value.__dict__), self._reads)
            if isinstance(value, types.BuiltinFunctionType):
                self.everything |= value.__name__ in _DYNAMIC and value.__self__ is _PYTHONS  # under whatever name
                owner = value.__self__
                if owner is not None and not isinstance(owner, types.ModuleType):
                    yield path, owner  # log = seen.append
            return
        if isinstance(value, types.FunctionType):
            yield from self._function(path, value)
        elif isinstance(value, types.MethodType):
            yield from ((path, value.__func__), (_named(value.__self__, path), value.__self__))
        elif isinstance(value, functools.partial | functools.partialmethod):
            yield from ((path, value.func), (path, value.args), (path, value.keywords))
        elif isinstance(value, staticmethod | classmethod):
            yield path, value.__func__
        elif isinstance(value, property | functools.cached_property):
            for name in ("fget", "func"):
                if (function := getattr(value, name, None)) is not None:
                    yield path, function
        elif isinstance(value, type):
            yield from self._class(value, makes=True)
        elif isinstance(value, np.ndarray):
            self.groups.append(_array(path, value))
            if value.dtype.hasobject and value.dtype.names is None:
                yield from ((f"{path}[{index}]", part) for index, part in enumerate(value.flat))
        elif isinstance(value, tuple | list | deque | set | frozenset):
            yield from self._items(path, value)
        elif isinstance(value, dict):
            self.groups.append(_mapping(path, value))
            yield from ((f"{path}[{key!r}]", part) for key, part in value.items())
        elif isinstance(value, _generators()):
            self.groups.append(_state_of(path, value))
        elif hasattr(type(value), "__next__") and not _is_users(type(value)):
            if path.isidentifier():  # what the code names it reads
                self.iterators.append((path, value))
            else:  # of an attribute only that it has moved on tells
                self.groups.append(
                    WatchedValues(path, value, ("place",), lambda: (_progress(value),), _keep, kept=True)
                )
        elif isinstance(value, operator.attrgetter | operator.methodcaller):
            self.names.update(chain.from_iterable(str(name).split(".") for name in value.__reduce__()[1]))
        elif isinstance(value, threading.local):  # each thread's own, whichever calls
            names = tuple(sorted(self.names))
            if names:
                fetch = functools.partial(_of_thread, value, names)
                self.groups.append(WatchedValues(f"{path}.*", value, names, fetch, _keep))
            yield from ((f"{path}.{name}", vars(value)[name]) for name in names if name in vars(value))
        elif (read := _reader_of(value)) is not None:
            keys = () if hasattr(value, "__len__") else ("value",)
            self.groups.append(WatchedValues(f"{path}[*]" if not keys else path, value, keys, read, _keep))
            yield from ((f"{path}[{index}]", part) for index, part in enumerate(read()))
        else:
            yield from self._object(path, value)
            return
        if _is_users(type(value)):  # a list with attributes
            yield from self._object(path, value)

    def _function(self, path: str, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        if _is_ours(function.__module__) or _is_foreign(function.__module__ or ""):
            # What a library's function has been given, by a decorator or a closure, may be the user's.
            if function.__closure__:
                yield from self._closure(path, function)
            return
        code = function.__code__
        self.codes.add(code)
        parts = ("__code__", "__defaults__", "__kwdefaults__")
        read = functools.partial(operator.attrgetter(*parts), function)
        self.groups.append(WatchedValues(f"{function.__name__}.*", function, parts, read, _keep, None, "{owner}.{key}"))
        mentioned = _mentions(code)
        self.names |= mentioned.attributes
        self.everything |= bool(_DYNAMIC & (mentioned.globals | mentioned.attributes))
        by_text = mentioned.attributes if "globals" in mentioned.globals else frozenset[str]()  # globals()["RATE"]
        present = sorted((mentioned.globals | by_text) & function.__globals__.keys())
        yield from self._entries("", function.__globals__, present, mentioned.globals.__contains__)
        for name in mentioned.globals - function.__globals__.keys():  # `from settings import RATE`, within the function
            if (module := sys.modules.get(name)) is not None:
                yield name, module
            elif not hasattr(_PYTHONS, name):
                self.imports.add(name)
        package = function.__globals__.get("__package__") or ""
        for name in mentioned.globals if package else ():  # `from .settings import RATE`
            if (module := sys.modules.get(f"{package}.{name}")) is not None:
                yield name, module
        if function.__closure__:
            yield from self._closure(path, function)
        if function.__defaults__:
            yield path, function.__defaults__
        if function.__kwdefaults__:
            yield path, function.__kwdefaults__
        entries = function.__dict__
        yield from self._entries(f"{function.__name__}.", entries, self._mentioned(entries), self._reads)

    def _closure(self, path: str, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        cells, names = function.__closure__ or (), function.__code__.co_freevars
        filled = [(name, cell) for name, cell in zip(names, cells, strict=True) if _filled(cell)]
        own = tuple(cell for _, cell in filled)
        keys = tuple(name for name, _ in filled)

        def restore(values: tuple[Any, ...]) -> None:
            for cell, value in zip(own, values, strict=True):
                cell.cell_contents = value

        self.groups.append(WatchedValues("*", own, keys, functools.partial(_contents, own), restore))
        yield from ((name, cell.cell_contents) for name, cell in filled)

    def _class(self, cls: type, *, makes: bool) -> Iterator[tuple[str, Any]]:
        """Look into a class; what runs when an object is made is read only where the function may make one."""
        ours = {name for base in cls.__mro__ if _is_ours(base.__module__) for name in vars(base)}
        for base in cls.__mro__:
            if not base.__flags__ & _HEAP_TYPE or _is_foreign(base.__module__):
                continue

            def runs(name: str, entries: Mapping[str, Any] = vars(base)) -> bool:
                special = name.startswith("__")
                return (
                    name in self.names
                    or name in ours
                    or (self.everything and not special)
                    or (special and isinstance(entries[name], types.FunctionType) and (makes or name not in _MAKING))
                )

            read = [name for name in vars(base) if runs(name)]
            yield from self._entries(f"{base.__name__}.", vars(base), read, runs, base)

    def _items(self, path: str, items: Any) -> Iterator[tuple[str, Any]]:
        if not isinstance(items, tuple | frozenset):

            def restore(values: tuple[Any, ...]) -> None:
                items.clear()
                (items.update if isinstance(items, set) else items.extend)(values)

            spelled = "{owner}[{number}]" if type(items) is list else ""
            self.groups.append(
                WatchedValues(f"{path}[*]", items, (), functools.partial(tuple, items), restore, None, spelled)
            )
        yield from ((f"{path}[{index}]", part) for index, part in enumerate(items))

    def _object(self, path: str, value: Any) -> Iterator[tuple[str, Any]]:
        cls = type(value)
        dotted = f"{path}." if path else f"{cls.__name__}."
        entries = getattr(value, "__dict__", None)
        if isinstance(entries, dict) and "__wrapped__" in entries:  # functools.lru_cache, a compiled function
            if hasattr(value, "cache_info") and hasattr(value, "cache_clear"):
                self.cached.setdefault(value, value.cache_info().misses)
            yield path, entries["__wrapped__"]
            if _is_ours(cls.__module__):
                return
        if isinstance(entries, dict):
            live = getattr(cls, "__live__", ())
            for name in getattr(cls, "__kept__", ()):
                for index, part in enumerate(entries.get(name, ())):
                    self.groups.append(replace(_mapping(f"{dotted}{name}[{index}]", part), kept=True))
            holds = hasattr(cls, "_own_tensors")
            ours = _is_ours(cls.__module__)
            whole = self.everything or (ours and (holds or hasattr(cls, "__live__")))
            if ours and not whole:
                return
            read = [
                name
                for name, part in entries.items()
                if (name not in live and (whole or name in self.names or (holds and _holds_tensors(part))))
                or (holds and name == "_training")
            ]
            yield from self._entries(
                dotted,
                entries,
                read,
                lambda name: (
                    (
                        whole
                        or name in self.names
                        or (holds and (name == "_training" or _holds_tensors(entries.get(name))))
                    )
                    and name not in live
                ),
            )
        slots = [name for base in cls.__mro__ for name in _slots(base) if name in self.names or self.everything]
        if slots:

            def restore(values: tuple[Any, ...]) -> None:
                for name, part in zip(slots, values, strict=True):
                    if part is not _MISSING:
                        object.__setattr__(value, name, part)
                    elif hasattr(value, name):
                        object.__delattr__(value, name)

            self.groups.append(WatchedValues(f"{dotted}*", value, tuple(slots), _getter(value, slots), restore))
            yield from ((f"{dotted}{name}", getattr(value, name)) for name in slots if hasattr(value, name))
        if not _is_foreign(cls.__module__) and id(cls) not in self._seen and (id(cls), "of") not in self._seen:
            self._seen[id(cls), "of"] = cls
            yield from self._class(cls, makes=False)

    def _entries(
        self,
        path: str,
        entries: Mapping[str, Any],
        names: Sequence[str],
        admits: Callable[[Any], bool] | None = None,
        owner: type | None = None,
    ) -> Iterator[tuple[str, Any]]:
        if not names and admits is None:
            return
        keys = tuple(names)

        def restore(values: tuple[Any, ...]) -> None:
            if owner is not None:  # a class, whose entries are set through it
                for name in [name for name in entries if name not in keys and admits is not None and admits(name)]:
                    delattr(owner, name)
                for name, part in zip(keys, values, strict=True):
                    if entries.get(name, _MISSING) is not part:
                        setattr(owner, name, part)
            elif isinstance(entries, dict):
                for name in [name for name in entries if name not in keys and admits is not None and admits(name)]:
                    del entries[name]
                entries.update(zip(keys, values, strict=True))

        fetch = functools.partial(trees.taking(keys), entries) if keys else tuple
        # It is evaluated: of a plain str, what ``repr`` says is that text and nothing else.
        spelled = "{owner}[{key!r}]" if all(type(key) is str for key in keys) else ""
        self.groups.append(WatchedValues(f"{path}*", entries, keys, fetch, restore, admits, spelled))
        yield from ((f"{path}{name}", entries[name]) for name in names)

    def _mentioned(self, entries: Mapping[str, Any]) -> list[str]:
        return [name for name in entries if self._reads(name)]

    def _reads(self, name: str) -> bool:
        return self.everything or name in self.names


def _contents(cells: tuple[types.CellType, ...]) -> tuple[Any, ...]:
    return tuple([cell.cell_contents for cell in cells])


def _getter(value: Any, names: Sequence[str]) -> Fetch:
    if not all(hasattr(value, name) for name in names):
        return lambda: tuple([getattr(value, name, _MISSING) for name in names])
    if len(names) == 1:
        return lambda: (getattr(value, names[0]),)
    return functools.partial(operator.attrgetter(*names), value)


def _of_thread(value: threading.local, names: tuple[str, ...]) -> tuple[Any, ...]:
    own = vars(value)
    return tuple([own.get(name, _MISSING) for name in names])


def _keep(values: tuple[Any, ...]) -> None:
    """Put nothing back."""


def _reader_of(value: Any) -> Fetch | None:
    """Return what reads the contents of a container of a library's, or of what else holds a value; None of others.

    Such are the containers of ``collections``, ``array`` and ``weakref``, references, context variables and events.
    """
    kind = type(value)
    if _is_users(kind):
        return None
    if isinstance(value, Mapping):
        return lambda: (*value.keys(), *value.values())
    if isinstance(value, bytearray | array.array | memoryview):
        return lambda: tuple(value)
    if isinstance(value, Sequence | Set) and not isinstance(value, ATOMS):
        return lambda: tuple(value)
    if isinstance(value, weakref.ref):
        return lambda: (value(),)
    if isinstance(value, contextvars.ContextVar):
        return lambda: (value.get(None),)
    if isinstance(value, threading.Event):
        return lambda: (value.is_set(),)
    return None


def _is_users(kind: type) -> bool:
    """Return whether a class is Python code of the user's, whose objects may have attributes."""
    return bool(kind.__flags__ & _HEAP_TYPE) and not _is_foreign(kind.__module__)


def _mapping(path: str, value: dict[Any, Any]) -> WatchedValues:
    def restore(values: tuple[Any, ...]) -> None:
        half = len(values) // 2
        value.clear()
        value.update(zip(values[:half], values[half:], strict=True))

    return WatchedValues(f"{path}[*]", value, (), lambda: (*value.keys(), *value.values()), restore)


def _array(path: str, value: np.ndarray[Any, Any]) -> WatchedValues:
    """An array counts by its contents: traced code may have taken numbers out of it."""

    def restore(values: tuple[Any, ...]) -> None:
        if value.tobytes() != values[0]:
            value[...] = np.frombuffer(values[0], value.dtype).reshape(value.shape)

    if value.dtype.hasobject:
        return WatchedValues(f"{path}[*]", value, (), lambda: tuple(value.flat), _keep)
    fetch = lambda: (value.tobytes(), value.shape, value.dtype)  # noqa: E731  # of which only what differs is named
    return WatchedValues(path, value, ("elements", "shape", "dtype"), fetch, restore)


def _state_of(path: str, value: Any) -> WatchedValues:
    """A source of random numbers: that it was advanced can be told, and not undone."""
    return WatchedValues(path, value, ("state",), lambda: (_token(value),), lambda values: None)


def _token(value: Any) -> Any:
    if isinstance(value, _generators()):
        drawn: Any = value
        for read in ("getstate", "get_state"):
            if hasattr(drawn, read):
                return repr(getattr(drawn, read)())
        return repr(getattr(drawn, "bit_generator", drawn).state)
    raise AssertionError(value)


def _progress(value: Any) -> Any:
    """Return how far an iterator is, as far as that can be told; it is not moved."""
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        return None if frame is None else (frame.f_lasti, [(name, id(part)) for name, part in frame.f_locals.items()])
    if type(value).__module__ == "itertools":
        return repr(value)
    if (left := operator.length_hint(value, -1)) >= 0:
        return left
    if hasattr(value, "tell"):
        return value.tell()
    made = value.__reduce__()[1] if isinstance(value, zip | map | filter | enumerate) else ()
    return [_progress(part) if hasattr(type(part), "__next__") else id(part) for part in made]


def _libraries() -> tuple[Any, Any]:
    """Return ``random`` and ``numpy.random`` where somebody has imported them: tinyseq does not need them."""
    return sys.modules.get("random"), sys.modules.get("numpy.random")


def _generators() -> tuple[type, ...]:
    """Return the classes of objects that draw random numbers, as far as they are loaded."""
    python, numpy = _libraries()
    return (
        *((python.Random,) if python else ()),
        *((numpy.Generator, numpy.RandomState, numpy.BitGenerator) if numpy else ()),
    )


def _random_state() -> WatchedValues:
    """The random numbers of Python and NumPy that belong to the process; only changes made by the call count."""

    def fetch() -> tuple[Any, ...]:
        python, numpy = _libraries()
        return python and python.getstate(), numpy and numpy.get_state()

    def restore(values: tuple[Any, ...]) -> None:
        python, numpy = _libraries()
        if values[0] is not None:
            python.setstate(values[0])
        if values[1] is not None:
            numpy.set_state(values[1])

    return WatchedValues("the state of *", None, ("random", "numpy.random"), fetch, restore)


def _filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _slots(base: type) -> tuple[str, ...]:
    slots = vars(base).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    private = f"_{base.__name__.lstrip('_')}"  # where Python keeps __name
    names = tuple(f"{private}{n}" if n.startswith("__") and not n.endswith("__") else n for n in names)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _holds_tensors(part: Any) -> bool:
    if isinstance(part, Tensor) or hasattr(type(part), "_own_tensors"):
        return True
    if isinstance(part, list | tuple):
        return any(_holds_tensors(one) for one in part)
    return isinstance(part, dict) and any(_holds_tensors(one) for one in part.values())


def _named(value: Any, path: str) -> str:
    return path or type(value).__name__


def _is_ours(module: str | None) -> bool:
    return module is not None and (module == "tinyseq" or module.startswith("tinyseq."))


@functools.cache
def _is_foreign(module: str) -> bool:
    """Return whether a module is a library's: Python's own, tinyseq's, or installed with a package manager.

    Libraries do not change between two calls; the user's modules, scripts and notebooks may.
    """
    top = module.split(".")[0]
    if top in ("__main__", "builtins"):  # a script, a notebook; code without a name, given to exec
        return False
    if top in sys.stdlib_module_names or _is_ours(module):
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    return isinstance(file, str) and not _INSTALLED.isdisjoint(file.split(os.sep))


_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


# -- comparing ---------------------------------------------------------------------------------------------------------


def alike(a: Any, b: Any) -> bool:
    """Return whether code that read one value would have done the same with the other."""
    if a is b:
        return True
    if (kind := type(a)) is not type(b):
        return False
    if kind is int or kind is str:  # the state of ``random`` is 625 of them
        return bool(a == b)
    if isinstance(a, float | complex | np.generic):
        return repr(a) == repr(b)  # NaN is itself, and -0.0 is not 0.0
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, types.MethodType):  # made anew each time it is looked up
        return a.__func__ is b.__func__ and a.__self__ is b.__self__
    return isinstance(a, ATOMS) and bool(a == b)


@dataclass(frozen=True)
class Change:
    """A place whose value is another than it was."""

    group: WatchedValues
    index: int
    name: str
    before: Any
    after: Any


def changes(groups: Sequence[WatchedValues], before: Sequence[tuple[Any, ...]]) -> Iterator[Change]:
    """Yield every place whose value differs from what it was."""
    for group, old in zip(groups, before, strict=True):
        try:
            new = group.fetch()
        except (KeyError, AttributeError, ValueError):
            gone = next((k for k in group.keys if not _has(group.owner, k)), "")
            yield Change(group, -1, group.path.replace("*", str(gone)), "there", GONE)
            continue
        if len(old) != len(new):
            yield Change(group, -1, group.path.removesuffix("[*]"), f"{len(old)} parts", f"{len(new)} parts")
            continue
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            if not alike(a, b):
                yield Change(group, index, group.name(index), a, b)
        for key in group.added(frozenset(group.keys)):
            yield Change(group, -1, group.path.replace("*", str(key)), _MISSING, group.owner[key])


def _has(owner: Any, key: Any) -> bool:
    try:
        return bool(key in owner)
    except TypeError:
        return hasattr(owner, str(key))


def shown(value: Any) -> str:
    """Return a value in a few words."""
    if value is _MISSING:
        return "not there"
    return repr(value)[:60]


def line_of_name(codes: Iterable[types.CodeType], name: str) -> str:
    """Return ``file:line`` of the first place in the code that writes, or else mentions, a name."""
    best: tuple[int, str] | None = None
    pending = list(codes)
    for code in pending:
        pending += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        line = code.co_firstlineno
        for instruction in dis.get_instructions(code):
            line = instruction.positions.lineno if instruction.positions and instruction.positions.lineno else line
            if instruction.argval == name:
                rank = 0 if instruction.opname.startswith("STORE") else 1
                if best is None or rank < best[0]:
                    best = rank, f"{code.co_filename}:{line}"
    return best[1] if best else ""


# -- guards ------------------------------------------------------------------------------------------------------------


#: After how many calls guards are written as an expression: to compile it costs as much as some hundred calls save.
_OFTEN: Final = 32


class Guards:
    """The values that a trace has read, checked before it is used again: by identity, and only then by value."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        #: The last group, of the process's own random numbers, is for changes made by the call alone.
        self.groups = [group for group in environment.groups[:-1] if not group.kept]
        self._know()

    def _know(self) -> None:
        self.known = [group.fetch() for group in self.groups]
        growing = [group for group in self.groups if group.grows]
        self._owners, self._sizes = [group.owner for group in growing], [len(group.owner) for group in growing]
        #: In one row, so that a call compares them without a step of Python's own for each.
        self._fetches, self._values = [group.fetch for group in self.groups], [*chain.from_iterable(self.known)]
        self._held, self._same = 0, self._are_same

    def tensors(self) -> set[Tensor]:
        """Return the tensors that lie outside."""
        return {x for values in self.known for x in values if isinstance(x, Tensor)}

    def hold(self) -> bool:
        """Return whether every value is the very object that it was."""
        try:
            return self._same()
        except (KeyError, IndexError, AttributeError, ValueError):
            return False

    def _are_same(self) -> bool:
        self._held += 1
        if self._held == _OFTEN:
            self._same = self._written()
        now = chain.from_iterable(map(operator.call, self._fetches))
        return [*map(len, self._owners)] == self._sizes and all(map(operator.is_, now, self._values))

    def _written(self) -> Callable[[], bool]:
        """Return ``_are_same`` as an expression of its own: ``len(o0) == 2 and o0['W'] is v0 and ...``."""
        known: dict[str, Any] = {"same": operator.is_}
        terms = []
        for number, (owner, size) in enumerate(zip(self._owners, self._sizes, strict=True)):
            known[f"g{number}"] = owner
            terms.append(f"len(g{number}) == {size}")
        for number, (group, values) in enumerate(zip(self.groups, self.known, strict=True)):
            known |= {f"o{number}": group.owner, f"f{number}": group.fetch, f"k{number}": values}
            if not group.spelled:
                terms.append(f"all(map(same, f{number}(), k{number}))")
                continue
            known |= {f"v{number}_{place}": value for place, value in enumerate(values)}
            keys = group.keys or (None,) * len(values)
            places = [group.spelled.format(owner=f"o{number}", key=key, number=i) for i, key in enumerate(keys)]
            terms += [f"{place} is v{number}_{i}" for i, place in enumerate(places)]
        result: Callable[[], bool] = eval(f"lambda: {' and '.join(terms) or True}", known)
        return result

    def renew(self) -> tuple[str, dict[Tensor, Tensor]]:
        """Compare by value; return what differs (nothing: ""), and which tensors have taken which one's place."""
        moved: dict[Tensor, Tensor] = {}
        for change in changes(self.groups, self.known):
            a, b = change.before, change.after
            if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or moved.setdefault(a, b) is not b:
                return f"{change.name}: {shown(a)}, now {shown(b)}", {}
        # A tensor that has moved in one place and stayed in another is two tensors now, and two that met are one.
        now = [group.fetch() for group in self.groups]
        for old, new in zip(self.known, now, strict=True):
            for a, b in zip(old, new, strict=True):
                if isinstance(a, Tensor) and moved.get(a, a) is not b:
                    return "a tensor that was one in two places is two", {}
        stayed = {x for old in self.known for x in old if isinstance(x, Tensor) and x not in moved}
        if len({id(x) for x in moved.values()}) < len(moved) or any(x in stayed for x in moved.values()):
            return "two tensors have become one", {}
        return "", moved

    def renewed(self) -> Guards:
        """Return guards of what lies there now, which was found to be alike."""
        now = [group.fetch() for group in self.groups]
        pairs = ((a, b) for old, new in zip(self.known, now, strict=True) for a, b in zip(old, new, strict=True))
        if any(a is not b and not isinstance(a, (Tensor, *ATOMS)) for a, b in pairs):
            return Guards(self.environment.again())  # another list or array, whose own contents count from now on
        self._know()
        return self
