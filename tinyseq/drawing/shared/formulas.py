"""Formulas in plain text: LaTeX made readable anywhere, and an op's local derivative, read off its own gradient rule.

The derivative is never written down a second time. The rule is called on symbols named as in the op's formula (g for
what arrives, y for the output), the ops it emits are recorded, and they are printed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from tinyseq.compiler.rewriting import symbol
from tinyseq.drawing.shared.text import subscript
from tinyseq.errors import TinyseqError
from tinyseq.graph import INPUT, LITERAL, Leaf, Node, reach
from tinyseq.tracing import AbstractTensor

_SIGNS: Final = {
    "sigma": "σ", "pi": "π", "partial": "∂", "sum": "Σ", "prod": "Π", "int": "∫", "infty": "∞", "cdot": "·",
    "ldots": "…", "sim": "~", "ne": "≠", "le": "≤", "ge": "≥", "lnot": "¬", "land": "∧", "lor": "∨", "top": "ᵀ",
    "tanh": "tanh ", "ln": "ln ", "sin": "sin ", "cos": "cos ", "quad": " ", "textstyle": "",
}  # fmt: skip
_LOW: Final = dict(zip("0123456789+-aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_HIGH: Final = dict(zip("0123456789+-kptxᵀ()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵏᵖᵗˣᵀ⁽⁾", strict=True))
_GROUP: Final = r"\{([^{}]*)\}"


@lru_cache(maxsize=1000)
def plain(latex: str) -> str:
    """Return a formula in Unicode: ``y = \\frac{1}{1 + e^{-x}}`` becomes ``y = 1 / (1 + e⁻ˣ)``."""
    text = re.sub(r"\\(?:text|mathit|mathrm|operatorname)" + _GROUP, lambda m: m[1].replace("\\ ", " "), latex)
    text = re.sub(r"\\[,;! ]", "", text)
    before = ""
    while text != before:  # from the inside out
        before = text
        text = re.sub(r"([_^])(?:" + _GROUP + r"|(\\[a-z]+|[^\s{\\(]))", _raised, text)
        text = re.sub(r"\\sqrt" + _GROUP, lambda m: f"√{_atom(m[1])}", text)
        text = re.sub(r"\\frac" + _GROUP + _GROUP, lambda m: f"{_atom(m[1])}/{_atom(m[2])}", text)
    text = re.sub(r"\\([A-Za-z]+)", _sign, text)
    return re.sub(r" +", " ", text.replace("{", "").replace("}", "")).replace("( ", "(").strip()


def _raised(match: re.Match[str]) -> str:
    """A subscript or superscript: by its own characters where Unicode has them all, else in brackets."""
    inner = re.sub(r"\\([a-z]+)", _sign, match[2] if match[2] is not None else match[3])
    table = _LOW if match[1] == "_" else _HIGH
    if all(char in table for char in inner):
        return "".join(table[char] for char in inner)
    if match[1] == "_":
        return f"[{inner.strip('[]')}] "
    return f"^({inner})" if len(inner) > 1 else f"^{inner}"


def _sign(match: re.Match[str]) -> str:
    return _SIGNS.get(match[1], match[1])


def _atom(text: str) -> str:
    return text if len(text) == 1 or text.isalnum() or text.startswith("√") else f"({text})"


# -- local derivatives -------------------------------------------------------------------------------------------------

#: Sign and precedence of the ops that are written between their operands.
_INFIX: Final = {
    "add": (" + ", 1), "sub": (" − ", 1), "mul": (" · ", 2), "div": (" / ", 2), "matmul": (" @ ", 2),
    "equal": (" = ", 0), "not_equal": (" ≠ ", 0), "less": (" < ", 0), "less_equal": (" ≤ ", 0),
    "greater": (" > ", 0), "greater_equal": (" ≥ ", 0), "logical_and": (" ∧ ", 0), "logical_or": (" ∨ ", 0),
}  # fmt: skip
#: What an op is called where its name says more than a reader needs: shapes follow from what stands in the brackets.
_CALLED: Final = {"broadcast_to": "broadcast", "sum_to": "sum to shape", "log": "ln", "logical_not": "not"}
_FOLLOWING: Final = ("dtype", "keepdims", "key", "shape")
_ATOM: Final = 4
_MOST_LETTERS: Final = 160
#: (text, precedence): what has a lower precedence than its place asks for goes into brackets.
_Term = tuple[str, int]


def arguments(node: Node) -> tuple[str, ...]:
    """Return what an op's inputs are called in its formula: ``a`` and ``b``, ``x``, or ``x₀``, ``x₁``, ..."""
    rules = [rule for rule in getattr(node.op, "vjps", ()) if rule is not None]
    names = list(inspect.signature(rules[0]).parameters)[2 : 2 + len(node.inputs)] if rules else []
    letters = set(re.findall(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", node.op.formula))
    if len(names) != len(node.inputs) or any(len(name) > 1 for name in names):
        return ("x",) if len(node.inputs) == 1 else tuple("x" + subscript(index) for index in range(len(node.inputs)))
    return tuple(name.upper() if name not in letters and name.upper() in letters else name for name in names)


def derivative(node: Node, index: int) -> str:
    """Return what the gradient of an op's input is, g being that of its output: ``g · (1 − y · y)``.

    Where the rule cannot be written on symbols the text is ``(∂y/∂x)ᵀ g``, which holds for any op.
    """
    names = arguments(node)
    general = f"(∂y/∂{names[index]})ᵀ g"
    if isinstance(node.dtype, tuple) and not getattr(node.op, "vjps", ()):  # a whole function: its rule runs it
        return general
    leaves = [Leaf(x.shape, x.dtype) for x in node.inputs]
    known: dict[Node, str] = dict(zip(leaves, names, strict=True))
    inputs = [
        symbol(x) if x.op is LITERAL else AbstractTensor(leaf) for x, leaf in zip(node.inputs, leaves, strict=True)
    ]
    try:
        if isinstance(node.dtype, tuple):
            several = [Leaf(*pair) for pair in zip(node.shape, node.dtype, strict=True)]
            known |= {leaf: "g" + subscript(number) for number, leaf in enumerate(several)}
            values: tuple[Any, Any] = [AbstractTensor(leaf) for leaf in several], None
        else:
            g, y = Leaf(node.shape, node.dtype), Leaf(node.shape, node.dtype)
            known |= {g: "g", y: "y"}
            values = AbstractTensor(g), AbstractTensor(y)
        result = node.op.vjp(index, *values, *inputs, **node.attrs)  # type: ignore[attr-defined]
    except (TinyseqError, TypeError, ValueError, AttributeError, LookupError):
        return general
    return written(result.node, known) if isinstance(result, AbstractTensor) else general


def written(output: Node, names: Mapping[Node, str]) -> str:
    """Return an expression over named leaves, at most 160 letters of it."""
    terms: dict[Node, _Term] = {node: (name, _ATOM) for node, name in names.items()}
    for node in reach([output], stop=terms.__contains__):
        if node not in terms:
            text, strength = _term(node, [terms[parent] for parent in node.inputs])
            terms[node] = (text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…", strength)
    return terms[output][0]


def _term(node: Node, inputs: Sequence[_Term]) -> _Term:
    name = node.op.name
    if node.op is LITERAL:
        return f"{node.attrs['value']:g}".replace("-", "−"), _ATOM
    if node.op is INPUT:
        return node.name or "c", _ATOM
    if name in _INFIX:
        sign, strength = _INFIX[name]
        if name == "mul" and inputs[0] == inputs[1]:
            return f"{_within(inputs[0], _ATOM)}²", 3
        left, right = _within(inputs[0], strength), _within(inputs[1], strength + (name in ("sub", "div", "matmul")))
        return f"{left}{sign}{right}", strength
    if name == "neg":
        return f"−{_within(inputs[0], 2)}", 1
    if name == "pow" and inputs[1][0] == "2":
        return f"{_within(inputs[0], _ATOM)}²", 3
    if name == "transpose" and len(node.shape) == 2:
        return f"{_within(inputs[0], _ATOM)}ᵀ", _ATOM
    if name in ("cast", "identity"):
        return inputs[0]
    if name == "slice":
        return f"{_within(inputs[0], _ATOM)}[{', '.join(map(_index, node.attrs['key']))}]", _ATOM
    words = ", ".join([*(text for text, _ in inputs), *_attributes(node.attrs)])
    return f"{_CALLED.get(name, name)}({words})", _ATOM


def _within(term: _Term, strength: int) -> str:
    text, own = term
    return text if own >= strength else f"({text})"


def _attributes(attrs: Mapping[str, Any]) -> list[str]:
    """Attributes as Python writes them, without those that follow from the operands."""
    return [f"{key}={value}" for key, value in attrs.items() if value is not None and key not in _FOLLOWING]


def _index(part: Any) -> str:
    if isinstance(part, slice):
        ends = ["" if end is None else str(end) for end in (part.start, part.stop)]
        return ":".join(ends) + (f":{part.step}" if part.step not in (None, 1) else "")
    return "…" if part is Ellipsis else str(part)
