"""The scene as PNG or PDF, through matplotlib: what needs no Graphviz and no browser."""

from __future__ import annotations

import io
import warnings
from typing import Any

from tinyseq.drawing.grid import DETAIL, LABEL, caption
from tinyseq.drawing.palette import LIGHT
from tinyseq.drawing.scene import Point, Scene
from tinyseq.drawing.svg import DELAY, kind_of, rounded, scissors
from tinyseq.drawing.text import clean

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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name may hold any letter
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
            self.rect(frame.left, frame.top, frame.width, frame.height, "frame", 10, 0.8)
            self.text(frame.label, frame.left + 10, frame.top + 14, 11, LIGHT["frame"].text, "start", bold=True)
        for panel in scene.panels:
            for line in panel.wires:
                self.line(line, LIGHT["weight"].line, 1.1, (0, (2, 3)))
            self.rect(panel.left, panel.top, panel.width, panel.height, "weight", 6)
            for number, row in enumerate([panel.title, *panel.lines]):
                at = panel.left + 10, panel.top + 17 + 14 * number
                self.text(row, *at, 10, LIGHT["weight"].text, "start", bold=number == 0)
        for wire in scene.wires:
            self.wire(wire)
        for box in scene.boxes:
            item = box.item
            corner = {"cell": 10, "initial": 12, "input": 12, "constant": 12}.get(item.kind, 5)
            dashed = item.kind in ("fold", "initial")
            self.rect(box.left, box.top, box.width, box.height, item.kind, corner, 2.6 if item.output else 1.0, dashed)
            detail = "" if item.kind == "initial" else clean(item.detail, 32)
            size = 11.5 if not detail else LABEL + (2 if item.kind == "cell" else 0)
            ink = LIGHT[item.kind].text
            self.text(caption(item), box.x, box.y + (0 if detail else 4.5), size, ink, bold=True)
            if detail:
                self.text(detail, box.x, box.y + 12, DETAIL, ink)
        for wire in scene.wires:
            if wire.badge_at:
                x, y = wire.badge_at
                self.rect(x - 15, y - 11, 30, 22, "delay", 3, 1.4)
                self.text(DELAY, x, y + 4, 12, LIGHT["delay"].text, bold=True)
        for wire in scene.wires:
            if wire.label_at and wire.edge.label:
                x, y = wire.label_at
                ink = LIGHT[kind_of(wire)].text
                self.text(clean(wire.edge.label, 24), x, y, 12, ink, wire.anchor, italic=True, halo=True)
        for text in scene.texts:
            self.text(
                clean(text.text), text.x, text.y, text.size, LIGHT["page"].line, text.anchor, italic=text.role == "step"
            )

    def text(
        self, text: str, x: float, y: float, size: float, ink: str, anchor: str = "middle",
        *, bold: bool = False, italic: bool = False, halo: bool = False,
    ) -> None:  # fmt: skip
        artist = self.axes.text(
            x, y, text, fontsize=size * (0.84 if bold else 0.9), color=ink,
            ha="center" if anchor == "middle" else "left",
            va="baseline", weight="bold" if bold else "normal", style="italic" if italic else "normal",
            parse_math=False,
        )  # fmt: skip
        if halo:
            from matplotlib.patheffects import withStroke

            artist.set_path_effects([withStroke(linewidth=2.5, foreground=LIGHT["page"].fill)])

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, corner: float, line: float = 1.0,
        dashed: bool = False,
    ) -> None:  # fmt: skip
        from matplotlib.patches import FancyBboxPatch

        ink = LIGHT[kind]
        r = min(corner, width / 2, height / 2)
        self.axes.add_patch(
            FancyBboxPatch(
                (x, y), width, height, boxstyle=f"round,pad=0,rounding_size={r}", fc=ink.fill, ec=ink.line,
                lw=line, ls=(0, (4, 3)) if dashed else "-", alpha=1.0,
            )
        )  # fmt: skip

    def line(self, points: list[Point], ink: str, width: float, dashes: Any = "-") -> None:
        xs, ys = zip(*points, strict=True)
        self.axes.plot(xs, ys, color=ink, lw=width, ls=dashes, solid_capstyle="butt")

    def wire(self, wire: Any) -> None:
        from matplotlib.patches import FancyArrowPatch, PathPatch
        from matplotlib.path import Path

        codes, points = [], []
        names = {"M": Path.MOVETO, "L": Path.LINETO, "Q": Path.CURVE3}
        for move, corners in rounded(wire.points):
            codes += [names[move]] * len(corners)
            points += corners
        kind = kind_of(wire)
        ink = LIGHT[kind].line
        path = Path(points, codes)
        style = {"color": ink, "lw": {"page": 1.2, "state": 1.8, "cut": 2.0}[kind]}
        if wire.edge.cut:
            self.axes.add_patch(PathPatch(path, fc="none", ls=(0, (4, 2)), **style))
            for stroke in scissors(wire.points):
                self.line(stroke, ink, 2.4)
        else:
            self.axes.add_patch(PathPatch(path, fc="none", **style))
        (x0, y0), (x1, y1) = wire.points[-2:]
        far = abs(x1 - x0) + abs(y1 - y0) or 1.0
        tail = x1 - (x1 - x0) / far * 2, y1 - (y1 - y0) / far * 2
        self.axes.add_patch(
            FancyArrowPatch(
                tail,
                (x1, y1),
                arrowstyle="-|>,head_length=5,head_width=2.4",
                shrinkA=0,
                shrinkB=0,
                fc=ink,
                ec=ink,
                lw=0.5,
            )
        )
