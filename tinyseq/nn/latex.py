"""A cell's equations as LaTeX, read off the traced graph of its ``step``, for any cell.

Each variable of ``step`` gets its equation, and what has no variable stands where it is used. The words are the ops'
own ``formula`` fields; here is only how they are put together: names, indices of time, brackets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

from tinyseq.errors import DataError
from tinyseq.graph import Literal, Node
from tinyseq.nn.module import Module
from tinyseq.nn.steps import Step, example_step
from tinyseq.nn.symbols import number, symbol

#: How tightly a text holds together; what is looser than its place asks for is put into brackets.
LOOSE, SUM, HADAMARD, PRODUCT, POWER, ATOM = range(6)
#: Ops whose operands need brackets unless they hold together as tightly: how tight the result is, and each operand.
_TIGHTNESS: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "add": (SUM, (SUM, SUM)),
    "sub": (SUM, (SUM, HADAMARD)),
    "mul": (HADAMARD, (HADAMARD, HADAMARD)),
    "div": (HADAMARD, (HADAMARD, POWER)),
    "neg": (SUM, (HADAMARD,)),
    "matmul": (PRODUCT, (PRODUCT, PRODUCT)),
    "pow": (POWER, (ATOM, SUM)),
    "where": (LOOSE, (SUM, SUM, SUM)),
    "exp": (POWER, (SUM,)),
}
#: Ops that only arrange values: a variable of theirs, such as ``hx = concat([h, x])``, stands for what it holds.
_ARRANGING: Final = frozenset(
    ("concat", "identity", "stop_gradient", "cast", "reshape", "broadcast_to", "pick", "split", "unstack")
)
#: Of these, those that leave no trace in an equation over vectors.
_UNSEEN: Final = frozenset(("identity", "stop_gradient", "cast", "reshape", "broadcast_to"))
#: A submodule's call of up to so many ops is written out; a longer one is written as a function.
_WRITTEN_OUT: Final = 3
_LETTER: Final = re.compile(r"\\[A-Za-z]+(?:\{[^{}]*\})?|[A-Za-z]")


class Text(NamedTuple):
    """LaTeX, and how tightly it holds together."""

    latex: str
    tightness: int = ATOM

    def within(self, tightness: int) -> str:
        """Return it for a place that asks for so much."""
        return self.latex if self.tightness >= tightness else f"({self.latex})"


def equations(cell: Module, *, columns: bool = True) -> list[str]:
    r"""Return the equations of a cell's step as LaTeX, in the order of computation; the last say state and output.

    ``f_t = \sigma(W_f [h_{t-1}, x_t] + b_f)``: vectors are columns, as in textbooks, so that what the code writes
    ``concat([h, x]) @ W_f`` reads ``W_f [h_{t-1}, x_t]``.

    Args:
        cell: any ``nn.Cell`` with an ``input_size``, a user's own included.
        columns: False keeps the code's order of products, ``[h_{t-1}, x_t] W_f``: vectors are rows.

    Raises:
        DataError: the cell has no ``input_size``.
        GraphError: the step looks at values, so that it has no one graph.

    tinyseq's own.

    >>> print(*nn.equations(nn.RNNCell(2, 3)), sep="\n")
    h_t = \tanh(W_{xh} x_t + W_{hh} h_{t-1} + b_h)
    y_t = h_t
    """
    return _Writer(cell, example_step(cell), columns).lines


def equations_within(module: Module, *, columns: bool = True) -> list[tuple[str, list[str]]]:
    """Return (class, equations) of each kind of cell in a module, itself included; a stack is told by its cells.

    Raises:
        DataError: there is none.
        GraphError: as ``equations``.
    """
    name_of: dict[tuple[str, ...], str] = {}

    def walk(part: Module) -> bool:
        inner = [walk(child) for _, child in part.children()]
        own = hasattr(part, "step") and hasattr(part, "input_size") and not any(inner)
        if own:
            name_of.setdefault(tuple(equations(part, columns=columns)), type(part).__name__)
        return own or any(inner)

    walk(module)
    if not name_of:
        raise DataError(f"{type(module).__name__}: no cell in it", required="a recurrent network")
    return [(name, list(lines)) for lines, name in name_of.items()]


def labels(step: Step) -> tuple[dict[Node, str], dict[str, str]]:
    """Return the LaTeX of every value of a step, its symbol or how it is computed, and of each part of the state."""
    writer = _Writer(None, step, True)
    before = {node for _, node in (*step.state, *step.inputs)}
    states = {
        path: symbol(writer.slot(i), "t") if node in before or node not in writer.bound else writer.bound[node]
        for i, (path, node) in enumerate(step.new_state)
    }
    return {node: text.latex for node, text in writer.texts.items()}, states


def display(lines: Sequence[str]) -> str:
    """Return equations as one LaTeX display, aligned at their equals signs, as notebooks take it."""
    body = " \\\\\n".join(line.replace(" = ", " &= ", 1) for line in lines)
    return f"$$\\begin{{aligned}}\n{body}\n\\end{{aligned}}$$"


class _Writer:
    """Goes through a step's nodes, inputs first, and gives each its text."""

    def __init__(self, cell: Any, step: Step, columns: bool) -> None:
        self.cell, self.step, self.columns = cell, step, columns
        self.lines: list[str] = []
        self.texts: dict[Node, Text] = {}
        self.parts: dict[Node, dict[int, Node]] = {}
        for node in step.graph.nodes:
            if node.op.name == "pick":
                self.parts.setdefault(node.inputs[0], {})[node.attrs["index"]] = node
        self.moving = {node for _, node in (*step.inputs, *step.state)}
        for node in step.graph.nodes:
            if any(parent in self.moving for parent in node.inputs):
                self.moving.add(node)
        #: Nodes within the call of a submodule that is written as a function.
        self.hidden: set[Node] = set()
        #: The last node of each such call: the submodule's name and the call's inputs.
        self.calls: dict[Node, tuple[str, list[Node]]] = {}
        self._find_calls()
        self.bound = self._bound()
        for node in step.graph.nodes:
            self._meet(node)
        self._finish()

    # What things are called.

    def _bound(self) -> dict[Node, str]:
        """Return the symbol of every node that has one: inputs, weights, states and variables."""
        step, taken = self.step, set[str]()
        bound: dict[Node, str] = {}

        def give(node: Node, name: str, time: str) -> None:
            sign = symbol(name, time)
            for primes in count(1):
                if sign not in taken:
                    break
                sign = symbol(name, time, "'" * primes)
            taken.add(sign)
            bound[node] = sign

        for path, node in step.inputs:
            give(node, _part("x", path) if path else step.names.get(node, "x"), "t")
        slots = [self.slot(i) for i in range(len(step.state))]
        for (_, node), name in zip(step.state, slots, strict=True):
            give(node, name, "t-1")
        for (_, node), name in zip(step.new_state, slots, strict=True):
            if node not in bound:
                give(node, name, "t")
        for path, node in step.outputs:
            if node not in bound and node in self.moving:
                give(node, step.names.get(node) or _part("y", path), "t")
        for node, path in step.weights.items():
            if node in step.graph.nodes:
                give(node, path or "const", "")
        for node, name in step.names.items():
            if node not in bound and not self._arranges(node) and node not in self.hidden:
                give(node, name, "t" if node in self.moving else "")
        return bound

    def slot(self, index: int) -> str:
        """Return what a part of the state is called: by its field, else by the variable that it is or becomes."""
        step = self.step
        path, before = step.state[index]
        after = step.new_state[index][1] if index < len(step.new_state) else None
        own = step.names.get(before, "")
        later = step.names.get(after, "") if after is not None else ""
        if path and not path.rpartition(".")[2].isdecimal():
            return path
        if own and own != "state":
            return own
        return later or own or (f"s_{path.replace('.', '_')}" if path else "h")

    def _arranges(self, node: Node) -> bool:
        return node.op.name in _ARRANGING and not (node.op.name == "pick" and node in self.step.names)

    # Calls of submodules.

    def _find_calls(self) -> None:
        """Find the longer calls of submodules: nodes of one scope that hang together, with one result."""
        scoped = {node: node.scope.partition("/")[0] for node in self.step.graph.nodes if node.inputs and node.scope}
        together: dict[Node, list[Node]] = {}
        for node, scope in scoped.items():
            members = [node]
            for near in {id(g): g for p in node.inputs if scoped.get(p) == scope and (g := together[p])}.values():
                members += near
            for member in members:
                together[member] = members
        users = self.step.graph.consumers()
        ends = {node for _, node in (*self.step.outputs, *self.step.new_state)}
        for members in {id(group): group for group in together.values()}.values():
            inside = set(members)
            results = [n for n in members if n in ends or any(user not in inside for user in users[n])]
            outside = [p for n in sorted(members, key=lambda n: n.serial) for p in n.inputs if p not in inside]
            fed = [p for p in dict.fromkeys(outside) if not isinstance(p, Literal) and p not in self.step.weights]
            if len(members) > _WRITTEN_OUT and len(results) == 1 and fed:
                self.calls[results[0]] = scoped[results[0]], fed
                self.hidden |= inside - set(results)

    # Texts.

    def _meet(self, node: Node) -> None:
        if node in self.hidden:
            return
        if isinstance(node, Literal):
            value = node.attrs["value"]
            self.texts[node] = Text(number(value), ATOM if value >= 0 else SUM)
        elif not node.inputs:
            self.texts[node] = Text(self.bound.get(node, r"\cdot"))
        elif node in self.parts:
            self._several(node)
        elif node not in self.texts:  # a pick has its text from the op that it is of
            text = self._call(node) if node in self.calls else self._text(node)
            if node in self.bound and text.latex != self.bound[node]:
                self._define(node, text)
            else:
                self.texts[node] = text

    def _define(self, node: Node, text: Text) -> None:
        self.lines.append(f"{self.bound[node]} = {text.latex}")
        self.texts[node] = Text(self.bound[node])

    def _several(self, node: Node) -> None:
        """An op with several outputs: one equation for all of them where they have names, else each by its number."""
        picks = self.parts[node]
        whole = self._text(node)
        if all(pick in self.bound for pick in picks.values()):
            names = [self.bound[picks[i]] if i in picks else r"\cdot" for i in range(len(node.shape))]
            self.lines.append(f"[{', '.join(names)}] = {whole.latex}")
            self.texts.update((pick, Text(self.bound[pick])) for pick in picks.values())
            return
        for index, pick in picks.items():
            text = Text(f"{{{whole.within(ATOM)}}}_{{{index + 1}}}")
            if pick in self.bound:
                self._define(pick, text)
            else:
                self.texts[pick] = text

    def _call(self, node: Node) -> Text:
        name, fed = self.calls[node]
        arguments = ", ".join(self.texts[parent].latex for parent in fed)
        return Text(f"{symbol(name)}({arguments})")

    def _text(self, node: Node) -> Text:
        name, operands = node.op.name, [self.texts[parent] for parent in node.inputs]
        special = _SPECIAL.get(name)
        if special is not None and (text := special(self, node, operands)) is not None:
            return text
        tightness, asked = _TIGHTNESS.get(name, (ATOM, ()))
        return _substituted(node, operands, tightness, asked)

    def _finish(self) -> None:
        """Say of each part of the state, and of the output, what it is, where no equation has said so."""
        step = self.step
        for index, (_, node) in enumerate(step.new_state):
            here = self.texts[node].latex
            wanted = symbol(self.slot(index), "t") if index < len(step.state) else here
            if here != wanted:
                self.lines.append(f"{wanted} = {here}")
        for path, node in step.outputs:
            if self.texts[node].latex != (wanted := symbol(_part("y", path), "t")):
                self.lines.append(f"{wanted} = {self.texts[node].latex}")
        if self.cell is not None:
            kinds = {child.name: type(child).__name__ for _, child in self.cell.children()}
            for name in dict.fromkeys(name for name, _ in self.calls.values()):
                if name in kinds:
                    self.lines.append(rf"{symbol(name)} = \mathrm{{{kinds[name]}}}")


def _part(whole: str, path: str) -> str:
    """Return what a part of x or y is called: by its field, else by the whole and its number."""
    return path if path and not path.rpartition(".")[2].isdecimal() else f"{whole}_{path.replace('.', '_')}".rstrip("_")


def _is_scalar(node: Node) -> bool:
    return isinstance(node, Literal) or node.shape == ()


def _add(writer: _Writer, node: Node, operands: Sequence[Text]) -> Text | None:
    zeros = [operand.latex == "0" for operand in operands]
    return operands[zeros.index(True) ^ 1] if any(zeros) else None


def _mul(writer: _Writer, node: Node, operands: Sequence[Text]) -> Text | None:
    """Vectors are multiplied by ⊙, scalars by standing beside; 1 and 0 are what they are."""
    texts = [operand.latex for operand in operands]
    if "0" in texts:
        return Text("0")
    if "1" in texts:
        return operands[texts.index("1") ^ 1]
    a, b = operands
    if any(map(_is_scalar, node.inputs)):
        if isinstance(node.inputs[1], Literal):
            a, b = b, a
        dot = r" \cdot " if b.latex[:1].isdigit() else r"\, "
        return Text(f"{a.within(HADAMARD)}{dot}{b.within(PRODUCT)}", HADAMARD)
    return Text(rf"{a.within(HADAMARD)} \odot {b.within(HADAMARD)}", HADAMARD)


def _matmul(writer: _Writer, node: Node, operands: Sequence[Text]) -> Text | None:
    """What is computed times what is fixed: W x for x @ W, where vectors are columns."""
    left, right = node.inputs
    if not writer.columns or left not in writer.moving or right in writer.moving:
        return None
    a, b = operands
    turned = r"^\top" if right.ndim == 1 else ""
    return Text(f"{b.within(ATOM if turned else PRODUCT)}{turned} {a.within(PRODUCT)}", PRODUCT)


def _sparse_matmul(writer: _Writer, node: Node, operands: Sequence[Text]) -> Text | None:
    """The same, whose matrix is three operands; the transposed one where it is turned."""
    if not writer.columns or any(x in writer.moving for x in node.inputs[1:]):
        return None
    turned = r"^\top" if node.attrs["turned"] else ""
    return Text(f"{operands[1].within(ATOM)}{turned} {operands[0].within(PRODUCT)}", PRODUCT)


def _concat(writer: _Writer, node: Node, operands: Sequence[Text]) -> Text:
    return Text(f"[{', '.join(operand.latex for operand in operands)}]")


def _unseen(writer: _Writer, node: Node, operands: Sequence[Text]) -> Text:
    return operands[0]


#: Op -> its text where that is more than its formula with the operands put in.
_SPECIAL: Final[Mapping[str, Callable[[_Writer, Node, Sequence[Text]], Text | None]]] = {
    "add": _add,
    "mul": _mul,
    "matmul": _matmul,
    "sparse_matmul": _sparse_matmul,
    "concat": _concat,
    "split": _unseen,
    "unstack": _unseen,
    **dict.fromkeys(_UNSEEN, _unseen),
}


def _substituted(node: Node, operands: Sequence[Text], tightness: int, asked: Sequence[int]) -> Text:
    """Return an op's formula with its operands in the places of x, or a and b; else the op's name as a function."""
    left, _, right = node.op.formula.partition(" = ")
    right = re.split(r" = |,\\quad", right)[0]
    letters = {
        1: ["x"],
        2: ["A", "B"] if "A" in right else ["x", "p"] if "p" in right else ["a", "b"],
        3: ["c", "a", "b"],
    }
    names = letters.get(len(operands), [])
    written = set(_LETTER.findall(right))
    if left.strip() != "y" or not names or not set(names) <= written or "_" in right or r"\int" in right:
        arguments = ", ".join(operand.latex for operand in operands)
        return Text(rf"\mathrm{{{node.op.name.replace('_', ' ')}}}({arguments})")
    function = re.fullmatch(r"(\\[a-z]+|\\operatorname\{[a-z]+\})(?:\\,)? x", right)
    if function:  # sin x, but sin(a + b), and tanh(c) as books have it
        return Text(f"{function[1]}({operands[0].latex})")
    values = dict(zip(names, operands, strict=True))
    wants = dict(zip(names, asked or [SUM] * len(names), strict=True))
    attrs = {key: number(value) for key, value in node.attrs.items() if isinstance(value, int | float)}

    def put(match: re.Match[str]) -> str:
        word = match[0]
        if word in values:
            raised = right[: match.start()].endswith("^")
            return f"{{{values[word].latex}}}" if raised else values[word].within(wants[word])
        if word.startswith(r"\mathit{"):
            return attrs.get(word[8:-1], word)
        return word

    return Text(_LETTER.sub(put, right), tightness)
