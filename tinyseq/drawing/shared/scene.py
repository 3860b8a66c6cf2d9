"""The scene: a laid-out picture as plain shapes, for any writer. Coordinates are points, y grows downwards.

Everything that a picture says hangs on its shapes: a ``Box`` holds its ``Item`` (id, kind, label, step, row, scope, and
``details``: op, formula, shape, dtype, parameters, FLOPs, source, gradient), a ``Wire`` its ``Edge``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tinyseq.drawing.shared.view import Edge, Facts, Item, View

Point = tuple[float, float]


@dataclass(slots=True)
class Box:
    """An item at its place; (x, y) is its centre. A ``bar`` acts on several time steps at once, and spans them."""

    item: Item
    x: float
    y: float
    width: float
    height: float
    bar: bool = False

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height / 2


@dataclass(slots=True)
class Wire:
    """An edge as a line of corners. ``label_at`` is where its label starts; ``anchor`` is as in SVG."""

    edge: Edge
    points: list[Point]
    label_at: Point | None = None
    anchor: str = "start"
    badge_at: Point | None = None  # the middle of the small box with z⁻¹ on a delay edge


@dataclass(slots=True)
class Frame:
    """An outline around boxes: a cell at one step or a loop (``role`` "cell"), or ops that a pass has packed
    into wide ones ("packed").
    """

    label: str
    left: float
    top: float
    width: float
    height: float
    row: int
    column: int
    role: str = "cell"


@dataclass(slots=True)
class Panel:
    """A list of shared weights in the margin, and the dashed lines to where they are used."""

    title: str
    lines: list[str]
    left: float
    top: float
    width: float
    height: float
    facts: Facts = ()
    wires: list[list[Point]] = field(default_factory=list)


@dataclass(slots=True)
class Text:
    """A line of text by itself: a heading, a time step, a note."""

    text: str
    x: float
    y: float
    size: float
    role: str
    anchor: str = "middle"


@dataclass(slots=True)
class Mark:
    """Where an instruction of a plan uses a buffer: it is a "read" or a "write"."""

    role: str
    x: float
    y: float


@dataclass(slots=True)
class Legend:
    """What colours stand for: ``stops`` are (place from 0 to 1, label) along the strip of a scale."""

    title: str
    stops: list[tuple[float, str]]
    left: float
    top: float
    width: float
    height: float


@dataclass(slots=True)
class Scene:
    """Everything in a picture, and its size."""

    view: View
    boxes: list[Box]
    wires: list[Wire]
    frames: list[Frame]
    panels: list[Panel]
    texts: list[Text]
    width: float
    height: float
    legend: Legend | None = None
    marks: list[Mark] = field(default_factory=list)
