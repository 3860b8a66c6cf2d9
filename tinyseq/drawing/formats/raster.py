"""The scene as PNG or PDF, through matplotlib: what needs no Graphviz and no browser."""

from __future__ import annotations

import io
from typing import Any

from tinyseq.drawing.formats.svg import arrow, rounded, scissors
from tinyseq.drawing.shared.palette import LIGHT, heat
from tinyseq.drawing.shared.plotting import plotting
from tinyseq.drawing.shared.scene import Box, Legend, Mark, Point, Scene, Wire
from tinyseq.drawing.shared.style import DELAY, Style, stroke_of, style_of, words_of
from tinyseq.drawing.shared.text import clean
from tinyseq.drawing.shared.view import NO_GRADIENT, View

#: The most pixels of a PNG; a larger picture gets fewer dots per inch.
_MOST_PIXELS = 60e6


def to_raster(scene: Scene, format: str, dpi: float = 160.0) -> bytes:
    """Return the scene as PNG or PDF."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = scene.width / 72, scene.height / 72
    dpi = min(dpi, (_MOST_PIXELS / (size[0] * size[1])) ** 0.5)
    figure = Figure(figsize=size, dpi=dpi, facecolor=LIGHT["page"].fill)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, scene.width)
    axes.set_ylim(scene.height, 0)
    axes.axis("off")
    _Painter(axes).paint(scene)
    buffer = io.BytesIO()
    with plotting():
        # No date in the file: the same graph gives the same bytes.
        figure.savefig(buffer, format=format, metadata={"CreationDate": None} if format == "pdf" else None)
    return buffer.getvalue()


class _Painter:
    def __init__(self, axes: Any) -> None:
        self.axes = axes

    def paint(self, scene: Scene) -> None:
        if scene.view.title:
            self.text(clean(scene.view.title, 120), 16, 28, 16, LIGHT["page"].text, "start", bold=True)
        for frame in scene.frames:
            kind = "packed" if frame.role == "packed" else "frame"
            style = Style(kind, 1.4 if kind == "packed" else 0.8, kind == "packed", 10)
            self.rect(frame.left, frame.top, frame.width, frame.height, style)
            x, anchor = (frame.left + frame.width - 6, "end") if kind == "packed" else (frame.left + 10, "start")
            self.text(frame.label, x, frame.top + 14, 11, LIGHT[kind].text, anchor, bold=True)
        for panel in scene.panels:
            for line in panel.wires:
                self.line(line, LIGHT["weight"].line, 1.1, (0, (2, 3)))
            self.rect(panel.left, panel.top, panel.width, panel.height, Style("weight", 1.0, corner=6))
            for number, row in enumerate([panel.title, *panel.lines]):
                at = panel.left + 10, panel.top + 17 + 14 * number
                self.text(row, *at, 10, LIGHT["weight"].text, "start", bold=number == 0)
        for wire in scene.wires:
            self.wire(scene.view, wire)
        for box in scene.boxes:
            self.box(scene.view, box)
        for mark in scene.marks:
            self.mark(mark)
        for wire in scene.wires:
            if wire.badge_at:
                x, y = wire.badge_at
                self.rect(x - 15, y - 11, 30, 22, Style("delay", 1.4, corner=3))
                self.text(DELAY, x, y + 4, 12, LIGHT["delay"].text, bold=True)
        for wire in scene.wires:
            if wire.label_at and wire.edge.label:
                x, y = wire.label_at
                ink = LIGHT[stroke_of(scene.view, wire.edge).kind].text
                self.text(clean(wire.edge.label, 24), x, y, 12, ink, wire.anchor, italic=True, halo=True)
        for text in scene.texts:
            self.text(
                clean(text.text), text.x, text.y, text.size, LIGHT["page"].line, text.anchor, italic=text.role == "step"
            )
        if scene.legend is not None:
            self.legend(scene.legend)

    def box(self, view: View, box: Box) -> None:
        style = style_of(view, box.item)
        if style.behind:
            self.rect(box.left + 3, box.top - 3, box.width, box.height, style)
        self.rect(box.left, box.top, box.width, box.height, style)
        ink = (style.ink or LIGHT[style.kind]).text
        for role, text, x, y, size, anchor in words_of(box):
            self.text(text, x, y, size, ink, anchor, bold=role == "name")

    def mark(self, mark: Mark) -> None:
        filled = mark.role == "write"
        self.axes.plot(
            [mark.x], [mark.y], marker="s" if filled else "o", markersize=7 if filled else 6, mew=1.1,
            mfc=LIGHT["page"].text if filled else LIGHT["page"].fill, mec=LIGHT["page"].text,
        )  # fmt: skip

    def legend(self, legend: Legend) -> None:
        ink, x, y, wide = LIGHT["page"].line, legend.left, legend.top, legend.width
        self.text(legend.title, x, y - 6, 11, ink, "start")
        for n in range(40):
            place = (n + 0.5) / 40
            self.axes.fill_between(
                [x + wide * n / 40, x + wide * (n + 1) / 40], y, y + 12, color=heat(place).fill, lw=0
            )
        for place, label in legend.stops:
            self.text(label, x + place * wide, y + 26, 10, ink)
        self.rect(x + wide + 34, y, 26, 12, Style("none", 1.0, True, 3))
        self.text(NO_GRADIENT, x + wide + 66, y + 10, 10, ink, "start")

    def text(
        self, text: str, x: float, y: float, size: float, ink: str, anchor: str = "middle",
        *, bold: bool = False, italic: bool = False, halo: bool = False,
    ) -> None:  # fmt: skip
        artist = self.axes.text(
            x, y, text, fontsize=size * (0.84 if bold else 0.9), color=ink,
            ha={"middle": "center", "start": "left", "end": "right"}[anchor],
            va="baseline", weight="bold" if bold else "normal", style="italic" if italic else "normal",
            parse_math=False,
        )  # fmt: skip
        if halo:
            from matplotlib.patheffects import withStroke

            artist.set_path_effects([withStroke(linewidth=2.5, foreground=LIGHT["page"].fill)])

    def rect(self, x: float, y: float, width: float, height: float, style: Style) -> None:
        from matplotlib.patches import FancyBboxPatch

        ink = style.ink or LIGHT[style.kind]
        r = min(style.corner, width / 2, height / 2)
        self.axes.add_patch(
            FancyBboxPatch(
                (x, y), width, height, boxstyle=f"round,pad=0,rounding_size={r}", fc=ink.fill, ec=ink.line,
                lw=style.line, ls=(0, (4, 3)) if style.dashed else "-", alpha=1.0,
            )
        )  # fmt: skip

    def line(self, points: list[Point], ink: str, width: float, dashes: Any = "-") -> None:
        xs, ys = zip(*points, strict=True)
        self.axes.plot(xs, ys, color=ink, lw=width, ls=dashes, solid_capstyle="butt")

    def wire(self, view: View, wire: Wire) -> None:
        from matplotlib.patches import PathPatch, Polygon
        from matplotlib.path import Path

        codes, points = [], []
        names = {"M": Path.MOVETO, "L": Path.LINETO, "Q": Path.CURVE3}
        for move, corners in rounded(wire.points):
            codes += [names[move]] * len(corners)
            points += corners
        stroke = stroke_of(view, wire.edge)
        ink = stroke.colour or LIGHT[stroke.kind].line
        dashes = (0, (4, 2)) if wire.edge.cut else "-"
        self.axes.add_patch(PathPatch(Path(points, codes), fc="none", ls=dashes, color=ink, lw=stroke.width))
        if wire.edge.cut:
            for each in scissors(wire.points):
                self.line(each, ink, 2.4)
        self.axes.add_patch(Polygon(arrow(wire.points, stroke.width), closed=True, fc=ink, lw=0))
