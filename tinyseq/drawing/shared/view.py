"""The view model: what a picture shows, with no coordinates in it. A pure value; ``print(view)`` lists it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "op", "cell", "group", "input", "constant", "initial", "fold",
    "instruction", "buffer", "input buffer", "state buffer", "stack buffer",
]  # fmt: skip
#: How a node stands to the pass before: made by this pass, kept with other inputs, or "" for neither.
Change = Literal["", "new", "rewired"]
Facts = tuple[tuple[str, str], ...]

#: What is said where a gradient was asked for and there is none: that is not the same as 0.
NO_GRADIENT = "no gradient yet"
#: And what of tokens, targets, masks, lengths, which never get one.
NO_DERIVATIVE = "none: integers and truth values have no derivative"


def in_words(norm: float | None, of: str = "y", discrete: bool = False) -> str:
    """Return what is said of the gradient with respect to a value, where gradients were asked for."""
    if discrete:
        return NO_DERIVATIVE
    return NO_GRADIENT if norm is None else f"‖∂L/∂{of}‖ = {norm:.3g}"


@dataclass(frozen=True, slots=True)
class Details:
    """What a reader learns by pointing at an item. ``gradient`` is a norm; None where there is none, which is not 0.

    ``measured`` says that gradients were asked for, ``discrete`` that there never is one, because what leaves the item
    are integers or truth values. ``value`` are the numbers of a small tensor where these were asked for, ``more`` what
    only some kinds have: what is hidden in a fold, the ops of a cell.
    """

    op: str = ""
    formula: str = ""
    attributes: str = ""
    shape: str = ""
    dtype: str = ""
    parameters: int = 0
    flops: int = 0
    source: str = ""
    scope: str = ""
    step: int | None = None
    name: str = ""
    gradient: float | None = None
    measured: bool = False
    discrete: bool = False
    value: str = ""
    more: Facts = ()

    @property
    def facts(self) -> Facts:
        """Everything that is known, as (what, value) in words."""
        gradient = in_words(self.gradient, discrete=self.discrete) if self.measured else ""
        rows = (
            *self.more,
            ("op", self.op),
            ("formula", self.formula),
            ("attributes", self.attributes),
            ("shape", self.shape),
            ("dtype", self.dtype),
            ("value", self.value),
            ("gradient", gradient),
            ("parameters", f"{self.parameters:,}" if self.parameters else ""),
            ("FLOPs", f"{self.flops:,}" if self.flops else ""),
            ("source", self.source),
            ("scope", self.scope),
            ("step", "" if self.step is None else str(self.step)),
            ("name", self.name),
        )
        return tuple(row for row in rows if row[1])


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of gradient norms that colours and widths stand for; logarithmic, for norms vanish geometrically."""

    low: float
    high: float

    def place(self, norm: float) -> float:
        """Return where a norm lies, 0 at the low end and 1 at the high one; what is beyond stays at the end."""
        if not norm > self.low:
            return 0.0
        if norm >= self.high or not math.isfinite(norm):
            return 1.0
        return math.log(norm / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is drawn: an op, a collapsed cell or group of ops, a leaf, or a fold that stands for hidden steps.

    ``column`` and ``row`` index ``View.columns`` and ``View.rows``; both are None outside time steps. Items of one
    ``key`` in different columns of a row are the same op at different steps, and are set at the same place. ``lanes``
    is how many ops the compiler has packed into this one.
    """

    id: int
    kind: Kind
    label: str
    detail: str = ""
    tags: tuple[str, ...] = ()
    details: Details = Details()
    scope: str = ""
    step: int | None = None
    row: int | None = None
    column: int | None = None
    key: Hashable = None
    ops: int = 1
    output: bool = False
    change: Change = ""
    lanes: int = 1
    nodes: tuple[int, ...] = ()  # the serial numbers of the nodes that it stands for

    @property
    def facts(self) -> Facts:
        """Everything that is known of it, as (what, value) in words."""
        return self.details.facts


@dataclass(frozen=True, slots=True)
class Edge:
    """A value on its way from one item to another. ``state`` crosses time steps; ``cut`` lets no gradient back.

    A ``delay`` edge closes the loop of a rolled graph: what one step makes, the next one takes (z⁻¹). ``gradient`` is
    the norm of the gradient with respect to the value, None where there is none; ``discrete`` is as in ``Details``.
    """

    source: int
    target: int
    label: str = ""
    state: bool = False
    cut: bool = False
    name: str = ""
    delay: bool = False
    gradient: float | None = None
    discrete: bool = False


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter: drawn once, whatever the number of steps that share it. ``gradient`` is as in ``Details``."""

    name: str
    shape: str
    dtype: str
    size: int
    uses: int
    gradient: float | None = None
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Weights:
    """The parameters that one row, or one scope outside the steps, is the first to use; ``users`` are item ids."""

    scope: str
    weights: tuple[Weight, ...]
    users: tuple[int, ...]
    row: int | None = None

    @property
    def size(self) -> int:
        """How many numbers these parameters hold."""
        return sum(weight.size for weight in self.weights)


@dataclass(frozen=True, slots=True)
class Row:
    """A cell over time (one scope). ``direction`` is -1 where it runs from the last step to the first.

    ``inputs_of`` marks the row of leaves x_t that feed another row.
    """

    scope: str
    label: str
    direction: int = 1
    inputs_of: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A time step, or (``hidden`` > 0) the steps that are folded away here."""

    label: str
    step: int | None = None
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """What a picture shows. ``notes`` say in words what was folded, and why.

    ``scale`` is there where gradients were asked for and found. ``rolled``: a loop is drawn once, its delay edges close
    the circle.
    """

    title: str
    level: str
    items: tuple[Item, ...]
    edges: tuple[Edge, ...]
    weights: tuple[Weights, ...]
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    ops: int = 0
    scale: Scale | None = None
    rolled: bool = False
    _index: dict[int, Item] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._index.update((item.id, item) for item in self.items)

    def item(self, id: int) -> Item:
        """Return the item of an id."""
        return self._index[id]

    @property
    def cuts(self) -> tuple[Edge, ...]:
        """The edges through which no gradient flows back."""
        return tuple(edge for edge in self.edges if edge.cut)

    def summary(self) -> str:
        """Return the picture in a sentence, as a screen reader should say it."""
        parts = [f"Computational graph of {self.ops:,} operations at {self.level} level"]
        steps = [column.label for column in self.columns]
        if self.rolled:
            parts.append("each loop is drawn once")
            names = list(dict.fromkeys(edge.name for edge in self.edges if edge.delay))
            parts += [f"delayed by one step: {', '.join(names)}"] if names else []
        elif steps:
            parts.append(f"time runs left to right: {', '.join(steps)}")
        cells = [row.label for row in self.rows if row.inputs_of is None]
        if cells:
            parts.append(f"layers from bottom to top: {', '.join(cells)}")
        if self.scale is not None:
            parts.append(f"colours show norms of gradients from {self.scale.low:.2g} to {self.scale.high:.2g}")
        if self.cuts:
            parts.append(f"the gradient is cut on {len(self.cuts)} edges")
        return ". ".join([*parts, *self.notes]) + "."

    def __str__(self) -> str:
        lines = [f"{self.title or 'graph'} ({self.level} level, {self.ops} ops)"]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [
            f"  weights {group.scope or '(top)'}: "
            + ", ".join(f"{weight.name}{weight.shape} x{weight.uses}" for weight in group.weights)
            for group in self.weights
        ]
        for item in self.items:
            place = "" if item.column is None else f" [{self.columns[item.column].label}]"
            tags = f" ({', '.join(item.tags)})" if item.tags else ""
            lines.append(f"  {item.id}: {item.kind} {item.label}{tags} {item.detail}{place}".rstrip())
        for edge in self.edges:
            marks = f"{' z⁻¹' if edge.delay else ' state' if edge.state else ''}{' CUT' if edge.cut else ''}"
            lines.append(f"  {edge.source} -> {edge.target} {edge.label}{marks}".rstrip())
        return "\n".join(lines)
