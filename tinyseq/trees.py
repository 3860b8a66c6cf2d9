"""Nested tuples, lists and dicts of tensors: how states, and sequences of several parts, are represented."""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tinyseq.errors import GraphError, ShapeError


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, leaf) pairs in a fixed order; a path is ``h``, ``0.c``, ... and ``None`` holds no leaf."""
    if tree is None:
        return
    if isinstance(tree, dict):
        for key in ordered(tree):
            yield from leaves(tree[key], f"{path}.{key}" if path else str(key))
    elif isinstance(tree, (tuple, list)):
        fields = getattr(tree, "_fields", range(len(tree)))
        for field, part in zip(fields, tree, strict=True):
            yield from leaves(part, f"{path}.{field}" if path else str(field))
    else:
        yield path, tree


def ordered(keys: Iterable[Any]) -> list[Any]:
    """Return keys in a fixed order, also where they cannot be compared."""
    try:
        return sorted(keys)
    except TypeError:
        return sorted(keys, key=lambda key: (type(key).__name__, repr(key)))


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function to each leaf (and to the leaves at the same places of other trees), keeping the structure.

    Raises:
        ShapeError: the trees differ in structure.
    """
    if tree is None:
        return None
    if isinstance(tree, (dict, tuple, list)):
        for other in others:
            if type(other) is not type(tree) and not (isinstance(other, tuple) and isinstance(tree, tuple)):
                raise _mismatch(tree, other)
            if len(other) != len(tree) or (isinstance(tree, dict) and set(tree) != set(other)):
                raise _mismatch(tree, other)
        if isinstance(tree, dict):
            # Leaves are met in the order of ``leaves``; the keys keep the order they were given in.
            mapped = {key: map_leaves(function, tree[key], *(other[key] for other in others)) for key in ordered(tree)}
            return {key: mapped[key] for key in tree}
        parts = [map_leaves(function, *group) for group in zip(tree, *others, strict=True)]
        if isinstance(tree, list):
            return parts
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if any(isinstance(other, (dict, tuple, list)) or other is None for other in others):
        raise _mismatch(
            tree, next(other for other in others if isinstance(other, (dict, tuple, list)) or other is None)
        )
    return function(tree, *others)


def output_and_state(returned: Any, step: Callable[..., Any]) -> tuple[Any, Any]:
    """Return what a cell's step has returned, (y, state).

    Raises:
        GraphError: it is no pair; the message has the line where the step is defined.
    """
    if isinstance(returned, tuple | list) and len(returned) == 2:
        return returned[0], returned[1]
    code = getattr(step, "__code__", None)
    raise GraphError(
        "a step returns its output and the new state",
        required="two things: return y, state",
        got=f"{type(returned).__name__} {structure(returned)}".removesuffix(" _"),
        where=f"{getattr(step, '__qualname__', type(step).__name__)}"
        + (f", at {code.co_filename}:{code.co_firstlineno}" if code is not None else ""),
        fix="return h, h, where the state is the output",
    )


def filling(tree: Any) -> Callable[[Sequence[Any]], Any]:
    """Return a function that puts values, in the order of ``leaves``, in the places of a tree's leaves."""
    number = itertools.count()
    known: dict[str, Any] = {"make": tuple.__new__}  # as ``_make`` of named tuples does
    written = _filling(map_leaves(lambda _: next(number), tree), known)
    result: Callable[[Sequence[Any]], Any] = eval(f"lambda values: {written}", known)
    return result


def _filling(tree: Any, known: dict[str, Any]) -> str:
    """Return the expression that makes a tree of ``values``; ``known`` takes the keys and classes that it names."""
    if isinstance(tree, int):
        return f"values[{tree}]"
    if tree is None:
        return "None"
    if isinstance(tree, dict):
        names = [_name(key, known) for key in tree]
        parts = [_filling(part, known) for part in tree.values()]
        return "{" + ", ".join(f"{name}: {part}" for name, part in zip(names, parts, strict=True)) + "}"
    parts = [_filling(part, known) for part in tree]
    if isinstance(tree, list):
        return f"[{', '.join(parts)}]"
    row = f"({', '.join(parts)}{',' * (len(parts) == 1)})"
    return row if type(tree) is tuple else f"make({_name(type(tree), known)}, {row})"


def _name(value: Any, known: dict[str, Any]) -> str:
    name = f"k{len(known)}"
    known[name] = value
    return name


def taking(places: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function from values to those at some places (numbers or keys), in C but for one or none."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])


def flatten(tree: Any) -> list[Any]:
    """Return all leaves, ``None`` included, in the order in which they stand; the keys of dicts need no order."""
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in flatten(part)]
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in flatten(part)]
    return [tree]


def paths(tree: Any) -> list[tuple[str, ...]]:
    """Return the path of each leaf of ``flatten``."""
    if isinstance(tree, dict):
        return [(str(key), *path) for key, part in tree.items() for path in paths(part)]
    if isinstance(tree, (tuple, list)):
        fields = getattr(tree, "_fields", range(len(tree)))
        return [(str(field), *path) for field, part in zip(fields, tree, strict=True) for path in paths(part)]
    return [()]


def rebuilt(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return a tree of the same form with the function's values, called in the order of ``flatten``."""
    if isinstance(tree, dict):
        return _like(tree, {key: rebuilt(function, part) for key, part in tree.items()})
    if isinstance(tree, (tuple, list)):
        return _like(tree, [rebuilt(function, part) for part in tree])
    return function(tree)


def _like(tree: Any, parts: Any) -> Any:
    """Return the parts in a tree of the same class, with what that knows besides: the default of a defaultdict."""
    if type(tree) in (dict, list, tuple):
        return type(tree)(parts)
    if isinstance(tree, tuple):
        fresh: Any = tuple.__new__(type(tree), parts)  # as ``_make`` of named tuples does
        fresh.__dict__.update(tree.__dict__) if hasattr(tree, "__dict__") else None
        return fresh
    fresh = copy.copy(tree)
    if isinstance(tree, dict):
        for key, part in parts.items():
            dict.__setitem__(fresh, key, part)
    else:
        list.__setitem__(fresh, slice(None), parts)
    return fresh


def structure(tree: Any) -> str:
    """Return a tree's form in words: ``LSTMState(h, c)``, ``(_, _)``, ``{a: _}``."""
    if tree is None:
        return "None"
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key}: {structure(tree[key])}" for key in ordered(tree)) + "}"
    if isinstance(tree, (tuple, list)):
        if hasattr(tree, "_fields"):
            return f"{type(tree).__name__}({', '.join(tree._fields)})"
        left, right = "()" if isinstance(tree, tuple) else "[]"
        return left + ", ".join(structure(part) for part in tree) + right
    return "_"


def _mismatch(tree: Any, other: Any) -> ShapeError:
    return ShapeError("two states of different structure", required=structure(tree), got=structure(other))
