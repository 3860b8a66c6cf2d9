"""What a node is called in a picture, and what a reader learns by pointing at it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from tinyseq.drawing.shared.view import Details
from tinyseq.graph import Graph, Leaf, Node, Source, line_of

#: The sign of an op where mathematics has a short one; any other op is shown by its name.
_SYMBOLS: Final = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "neg": "−x",
    "pow": "xᵖ",
    "matmul": "@",
    "sparse_matmul": "sparse @",
    "sigmoid": "σ",
    "sum": "Σ",
    "sum_to": "Σ to",
    "prod": "Π",
    "mean": "mean",
    "sqrt": "√",
    "exp": "eˣ",
    "log": "ln",
    "abs": "|x|",
    "equal": "=",
    "not_equal": "≠",
    "less": "<",
    "less_equal": "≤",
    "greater": ">",
    "greater_equal": "≥",
    "logical_not": "¬",
    "logical_and": "∧",
    "logical_or": "∨",
    "stop_gradient": "cut ∂",
    "transpose": "xᵀ",
    "maximum": "max",
    "minimum": "min",
}


_SUPERSCRIPTS: Final = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹˒")


def symbol(name: str) -> str:
    """Return the sign of an op: ``×`` for mul, ``σ`` for sigmoid, its own name where there is none."""
    return _SYMBOLS.get(name, name)


def shape_text(shape: Any) -> str:
    """Return ``(2, 3)``; for an op with several outputs of one shape ``3 of (2, 8)``."""
    if shape and isinstance(shape[0], tuple):
        kinds = list(dict.fromkeys(shape))
        return f"{len(shape)} of {shape_text(kinds[0])}" if len(kinds) == 1 else f"{len(shape)} outputs"
    return "(" + ", ".join(map(str, shape)) + ")"


def dtype_text(dtype: Any) -> str:
    """Return ``float32``, or the distinct dtypes of an op with several outputs."""
    return ", ".join(dict.fromkeys(map(str, dtype))) if isinstance(dtype, tuple) else str(dtype)


def is_discrete(node: Node) -> bool:
    """Return whether a value is integers or truth values, which no gradient can reach."""
    return all(dtype.kind in "iub" for dtype in (node.dtype if isinstance(node.dtype, tuple) else (node.dtype,)))


@lru_cache(maxsize=10_000)
def _line(source: Source) -> str:
    return line_of(source)


def details(node: Node, **known: Any) -> Details:
    """Return what is shown on hover; ``known`` gives more of the fields, or others."""
    attrs = ", ".join(f"{key}={value!r}" for key, value in node.attrs.items() if not isinstance(value, Graph))
    fields: dict[str, Any] = {
        "op": node.op.name,
        "formula": node.op.formula,
        "attributes": attrs[:200],
        "shape": shape_text(node.shape),
        "dtype": dtype_text(node.dtype),
        "parameters": sum(math.prod(parent.shape) for parent in node.inputs if is_weight(parent)),
        "flops": flops(node),
        "source": "" if node.source is None else _line(node.source),
        "scope": node.place.scope,
        "step": node.place.step,
        "name": node.name or "",
    }
    return Details(**(fields | known))


def stored_name(node: Node) -> str:
    """Return what a value of the forward pass is called where it has no name: by the op that made it."""
    return f"⟨{symbol(node.op.name)}⟩" if node.inputs else "x"


def called(name: str | None) -> str:
    """Return what a value is called in a picture: in a stack of layers ``0.c`` is c¹, and a bare ``1`` is h²."""
    parts = (name or "").split(".")
    layers = [part for part in parts if part.isdecimal()]
    words = [part for part in parts if not part.isdecimal()]
    if not layers or len(words) > 1:
        return name or ""
    above = ",".join(str(int(layer) + 1) for layer in layers).translate(_SUPERSCRIPTS)
    return f"{words[0] if words else 'h'}{above}"


def is_weight(node: Node) -> bool:
    """A leaf that is learned; it is shown in the margin, and by name where it is used."""
    return isinstance(node, Leaf) and node.requires_grad


def flops(node: Node) -> int:
    """Return the floating-point operations of a node by its op's own rule; 0 for a leaf."""
    rule = getattr(node.op, "flops", None)
    return int(rule(node.shape, *node.inputs, **node.attrs)) if rule is not None and node.inputs else 0


def lanes_of(nodes: Sequence[Node]) -> dict[Node, int]:
    """Return how many lanes each op works on at once: what lies side by side in it and is later taken apart."""
    lanes: dict[Node, set[tuple[int, int]]] = {}
    for node in reversed(nodes):
        taken = lanes.get(node, set())
        for parent in node.inputs:
            if not parent.inputs or isinstance(parent.dtype, tuple) or not parent.shape:
                continue
            lane = _lane(node)
            if lane is not None:
                start, _ = lane
                lanes.setdefault(parent, set()).update({(start + a, start + b) for a, b in taken} or {lane})
            elif taken and parent.shape[-1:] == node.shape[-1:] and node.op.name not in ("concat", "stack"):
                lanes.setdefault(parent, set()).update(taken)
    return {
        node: len(cuts) for node, cuts in lanes.items() if len(cuts) > 1 and node.op.name not in ("concat", "slice")
    }


def _lane(node: Node) -> tuple[int, int] | None:
    """Return (start, stop) where a node is a slice of the last axis alone."""
    if node.op.name != "slice" or len(key := node.attrs["key"]) != len(node.shape):
        return None
    *others, last = key
    if not isinstance(last, slice) or any(part != slice(None) for part in others):
        return None
    return last.start or 0, last.stop if last.stop is not None else node.inputs[0].shape[-1]


def census(names: Iterable[str]) -> str:
    """Return ``4 matmul, 3 sigmoid, ...``, the most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())
