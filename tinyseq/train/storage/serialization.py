"""Nested states as JSON and named arrays, and back: what a checkpoint keeps of a carried state or of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyseq import nn
from tinyseq.creation import tensor
from tinyseq.errors import DataError
from tinyseq.tensors import Tensor

Array = np.ndarray[Any, Any]


def pack(tree: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Return the form of a tree as plain JSON, and put copies of its tensors among ``arrays`` under ``name``.

    Raises:
        DataError: a leaf that is neither a tensor nor a plain value.
    """
    if isinstance(tree, Tensor):
        arrays[name] = np.array(tree.numpy())
        return {"tensor": name}
    if isinstance(tree, bool | int | float | str | None):
        return {"value": tree}
    if isinstance(tree, dict):
        return {"dict": {str(key): pack(part, f"{name}.{key}", arrays) for key, part in tree.items()}}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        parts = {field: pack(part, f"{name}.{field}", arrays) for field, part in zip(tree._fields, tree, strict=True)}
        return {"named": type(tree).__name__, "fields": parts}
    if isinstance(tree, tuple | list):
        kind = "tuple" if isinstance(tree, tuple) else "list"
        return {kind: [pack(part, f"{name}.{i}", arrays) for i, part in enumerate(tree)]}
    raise DataError("a state that cannot be saved", required="tensors and plain values", got=type(tree).__qualname__)


def unpack(form: Any, arrays: Mapping[str, Array], types: Mapping[str, type]) -> Any:
    """Return the tree that ``pack`` took apart; ``types`` are the NamedTuple classes that may occur, by name.

    Raises:
        DataError: the form is not one, or names what is not there.
    """
    try:
        ((kind, content),) = ((key, part) for key, part in form.items() if key != "fields")
        if kind == "tensor":
            return tensor(arrays[content], dtype=arrays[content].dtype)
        if kind == "value":
            return content
        if kind == "dict":
            return {key: unpack(part, arrays, types) for key, part in content.items()}
        if kind == "named":
            return types[content](**{key: unpack(part, arrays, types) for key, part in form["fields"].items()})
        parts = [unpack(part, arrays, types) for part in content]
        return {"tuple": tuple, "list": list}[kind](parts)
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "the saved state is not one of this model",
            required=f"tuples, lists, dicts and {', '.join(types) or 'no named states'}",
            got=f"{type(error).__name__}: {error}",
        ) from None


def state_types(module: nn.Module) -> dict[str, type]:
    """Return the NamedTuple classes of the initial states of a module and of all its parts, by name.

    So a file names a class, and never brings one.
    """
    types: dict[str, type] = {}
    stack: list[Any] = []
    modules = [module]
    for one in modules:  # the list grows while it is walked
        modules += [child for _, child in one.children()]
        make = getattr(one, "initial_state", None)
        if make is not None:
            stack.append(make(1))
    while stack:
        tree = stack.pop()
        if isinstance(tree, dict | tuple | list):
            stack += tree.values() if isinstance(tree, dict) else tree
            if hasattr(tree, "_fields"):
                types[type(tree).__name__] = type(tree)
    return types
