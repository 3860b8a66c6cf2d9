"""How a box or a wire looks, decided once for every writer: its ink, its corners, how thick its line is."""

from __future__ import annotations

from dataclasses import dataclass

from tinyseq.drawing.shared.palette import Ink, heat, heat_line
from tinyseq.drawing.shared.scene import Box
from tinyseq.drawing.shared.text import clean
from tinyseq.drawing.shared.view import Edge, Item, View

#: What marks a delay of one step.
DELAY = "z⁻¹"
LABEL, DETAIL = 13.0, 9.0
_MOST_LETTERS = 32
_CORNERS = {"cell": 10.0, "initial": 12.0, "input": 12.0, "constant": 12.0}


@dataclass(frozen=True, slots=True)
class Style:
    """``kind`` names the ink in the palette; ``ink`` is given where the colour stands for a number."""

    kind: str
    line: float
    dashed: bool = False
    corner: float = 5.0
    ink: Ink | None = None
    behind: bool = False  # a second outline behind: several ops in one


def caption(item: Item) -> str:
    """Return the first line in a box: the label, and the weights and numbers that it takes."""
    return clean(" ".join([item.label, *item.tags]), _MOST_LETTERS)


def detail_of(item: Item) -> str:
    """Return the second line in a box: the shape, a norm, a value."""
    return "" if item.kind == "initial" else clean(item.detail, _MOST_LETTERS)


def style_of(view: View, item: Item) -> Style:
    """Return how an item looks in a picture."""
    kind: str = item.change or item.kind.replace(" ", "-")
    dashed = item.kind in ("fold", "initial") or item.change == "rewired"
    line = 2.6 if item.output or item.change == "new" else 1.8 if item.change else 1.0
    ink = None
    if item.details.measured and not item.details.discrete and item.kind not in ("fold", "initial", "constant"):
        if item.details.gradient is None:
            kind, dashed = "none", True
        elif view.scale is not None:
            ink = heat(view.scale.place(item.details.gradient))
    return Style(kind, line, dashed, _CORNERS.get(item.kind, 5.0), ink, item.lanes > 1)


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a wire is drawn: its kind in the palette, its width, and its colour where that stands for a norm."""

    kind: str
    width: float
    colour: str | None = None


def stroke_of(view: View, edge: Edge) -> Stroke:
    """Return how an edge is inked: ``cut``, ``state`` or ``page``, or by the norm of its gradient."""
    kind = "cut" if edge.cut else "state" if edge.state else "page"
    width = {"page": 1.2, "state": 1.8, "cut": 2.0}[kind]
    if view.scale is None or edge.cut:
        return Stroke(kind, width)
    if edge.gradient is None:
        return Stroke(kind, 0.7, None)
    place = view.scale.place(edge.gradient)
    return Stroke(kind, (0.8 + 4.2 * place) if edge.state else 0.8 + 1.6 * place, heat_line(place))


def words_of(box: Box) -> list[tuple[str, str, float, float, float, str]]:
    """Return what is written in a box: (role, text, x, y, size, anchor) for each line."""
    item = box.item
    if item.kind == "instruction":
        return [("detail", clean(item.label, 60), box.left + 8, box.y + 3.8, 11, "start")]
    name, detail = caption(item), detail_of(item)
    if item.kind == "input buffer":
        return [("detail", name, box.x, box.top - 3, 8, "middle")]
    if item.kind.endswith("buffer"):
        return [("detail", name, box.x + 4, box.top + 11, 8, "middle")]
    size = LABEL + (2 if item.kind == "cell" else 0)
    if not detail:
        return [("name", name, box.x, box.y + 4.5, 11.5, "middle")]
    return [("name", name, box.x, box.y, size, "middle"), ("detail", detail, box.x, box.y + 12, DETAIL, "middle")]
