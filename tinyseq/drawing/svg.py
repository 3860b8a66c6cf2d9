"""The scene as SVG: one file, no scripts, light and dark, with a title on each thing for the pointer and the screen
reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tinyseq.drawing.grid import DETAIL, LABEL, caption
from tinyseq.drawing.palette import DARK, LIGHT, Ink
from tinyseq.drawing.scene import Box, Frame, Panel, Point, Scene, Text, Wire
from tinyseq.drawing.text import clean
from tinyseq.drawing.view import Facts

#: What marks a delay of one step.
DELAY = "z⁻¹"
FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def to_svg(scene: Scene) -> str:
    """Return the scene as an SVG document."""
    view = scene.view
    title = clean(view.title or "Computational graph")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="ts-title ts-desc" class="tinyseq" '
        f'viewBox="0 0 {scene.width:.0f} {scene.height:.0f}" width="{scene.width:.0f}" height="{scene.height:.0f}">',
        f'<title id="ts-title">{_text(title)}</title>',
        f'<desc id="ts-desc">{_text(clean(view.summary()))}</desc>',
        f"<style>{_style()}</style>",
        _markers(),
        f'<rect class="page" width="{scene.width:.0f}" height="{scene.height:.0f}"/>',
    ]
    if view.title:
        parts.append(f'<text class="heading" x="16" y="28" font-size="16">{_text(clean(view.title, 120))}</text>')
    parts += [_frame(frame) for frame in scene.frames]
    parts += [_panel(panel) for panel in scene.panels]
    parts += [_wire(wire) for wire in scene.wires]
    parts += [_box(box) for box in scene.boxes]
    parts += [_badge(*wire.badge_at) for wire in scene.wires if wire.badge_at]
    parts += [_label(wire) for wire in scene.wires if wire.label_at and wire.edge.label]
    parts += [_line(text) for text in scene.texts]
    return "\n".join([*parts, "</svg>", ""])


def _text(text: str) -> str:
    return escape(text, quote=True)


def _style() -> str:
    def inks(table: dict[str, Ink]) -> str:
        return ";".join(
            f"--{kind}-{part}:{colour}" for kind, ink in table.items() for part, colour in ink._asdict().items()
        )

    kinds = "".join(
        f".{kind}>rect,.{kind}>path{{fill:var(--{kind}-fill);stroke:var(--{kind}-line)}}.{kind}>text{{fill:var(--{kind}-text)}}"
        for kind in LIGHT
        if kind not in ("page", "state", "cut")
    )
    return (
        f"svg.tinyseq{{{inks(LIGHT)};font-family:{FONT}}}"
        f"@media screen and (prefers-color-scheme:dark){{svg.tinyseq{{{inks(DARK)}}}}}"
        ".tinyseq text{unicode-bidi:isolate}"
        ".page{fill:var(--page-fill)}"
        f"{kinds}"
        ".wire{fill:none;stroke:var(--page-line);stroke-width:1.2}.wire.state{stroke:var(--state-line);stroke-width:1.8}"
        ".wire.cut,.scissors{stroke:var(--cut-line);stroke-width:2}.wire.cut{stroke-dasharray:5 3}"
        ".scissors{fill:none;stroke-width:2.6}"
        ".bus{fill:none;stroke:var(--weight-line);stroke-width:1.1;stroke-dasharray:2 3}"
        ".frame>rect{stroke-width:1;stroke-opacity:.55}.fold>rect,.initial>rect{stroke-dasharray:4 3}"
        ".output>rect{stroke-width:2.6}.heading{fill:var(--page-text);font-weight:600}"
        ".name,.frame>text{font-weight:600}.detail{opacity:.75}"
        ".label{fill:var(--page-text);font-style:italic;paint-order:stroke;stroke:var(--page-fill);stroke-width:3px}"
        ".label.state{fill:var(--state-text)}.label.cut{fill:var(--cut-text)}"
        ".step{fill:var(--page-line);font-style:italic}.note{fill:var(--page-line)}"
    )


def _markers() -> str:
    shape = '<path d="M0,0.6 L7,3.5 L0,6.4 L1.6,3.5 z" fill="var(--{0}-line)"/>'
    return (
        "<defs>"
        + "".join(
            f'<marker id="ts-{kind}" viewBox="0 0 7 7" refX="6.6" refY="3.5" markerWidth="9" markerHeight="9" '
            f'markerUnits="userSpaceOnUse" orient="auto">{shape.format(kind)}</marker>'
            for kind in ("page", "state", "cut")
        )
        + "</defs>"
    )


def _title(facts: Facts, head: str = "") -> str:
    rows = [clean(head)] if head else []
    rows += [f"{clean(key)}: {clean(value)}" for key, value in facts]
    return f"<title>{_text(chr(10).join(rows))}</title>" if rows else ""


def _box(box: Box) -> str:
    item = box.item
    name, detail = caption(item), clean(item.detail, 32)
    round_ = {"cell": 10, "initial": 12, "input": 12, "constant": 12}.get(item.kind, 5)
    classes = f"item {item.kind}{' output' if item.output else ''}"
    size = LABEL + (2 if item.kind == "cell" else 0)
    single = not detail or item.kind == "initial"
    base = box.y + (4.5 if single else 0.0)
    lines = _words("name", name, box.x, base, 11.5 if single else size)
    if not single:
        lines += _words("detail", detail, box.x, box.y + 12, DETAIL)
    return (
        f'<g class="{classes}" id="n{item.id}">{_title(item.facts, " ".join([item.label, *item.tags]))}'
        f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{round_}"/>'
        f"{lines}</g>"
    )


def _words(role: str, text: str, x: float, y: float, size: float, anchor: str = "middle") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
    return f'<text class="{role}" {place}>{_text(text)}</text>'


def _frame(frame: Frame) -> str:
    return (
        f'<g class="frame"><rect x="{frame.left:.1f}" y="{frame.top:.1f}" width="{frame.width:.1f}" '
        f'height="{frame.height:.1f}" rx="10"/>'
        f'<text x="{frame.left + 10:.1f}" y="{frame.top + 14:.1f}" font-size="11">{_text(frame.label)}</text></g>'
    )


def _panel(panel: Panel) -> str:
    rows = "".join(
        f'<text x="{panel.left + 10:.1f}" y="{panel.top + 17 + 14 * number:.1f}" font-size="10"'
        f"{' font-weight=' + chr(34) + '600' + chr(34) if number == 0 else ''}>{_text(line)}</text>"
        for number, line in enumerate([panel.title, *panel.lines])
    )
    wires = "".join(f'<path class="bus" d="{_straight(line)}"/>' for line in panel.wires)
    return (
        f'{wires}<g class="item weight">{_title(panel.facts, panel.title)}'
        f'<rect x="{panel.left:.1f}" y="{panel.top:.1f}" '
        f'width="{panel.width:.1f}" height="{panel.height:.1f}" rx="6"/>{rows}</g>'
    )


def _straight(points: Iterable[Point]) -> str:
    return "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def rounded(points: list[Point], radius: float = 6.0) -> list[tuple[str, list[Point]]]:
    """Return a line with rounded corners as moves: ('M', [p]), ('L', [p]) and ('Q', [corner, p])."""
    moves = [("M", [points[0]])]
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        r = min(radius, _far(before, at) / 2, _far(at, after) / 2)
        moves.append(("L", [_toward(at, before, r)]))
        moves.append(("Q", [at, _toward(at, after, r)]))
    moves.append(("L", [points[-1]]))
    return moves


def _far(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _toward(a: Point, b: Point, distance: float) -> Point:
    whole = _far(a, b)
    share = distance / whole if whole else 0.0
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def scissors(points: list[Point]) -> list[list[Point]]:
    """Return the two strokes that mark a cut: across a line between cells, or past the middle of its upright part."""
    number = 2 if len(points) == 6 else 0
    (x0, y0), (x1, y1) = points[number : number + 2]
    x, y = x0 + (x1 - x0) * 0.6, y0 + (y1 - y0) * 0.6
    if abs(x1 - x0) > abs(y1 - y0):
        return [[(x + d - 3, y + 8), (x + d + 3, y - 8)] for d in (-3, 3)]
    return [[(x - 8, y + d + 3), (x + 8, y + d - 3)] for d in (-3, 3)]


def kind_of(wire: Wire) -> str:
    """Return how a wire is inked: ``cut``, ``state`` or ``page``."""
    return "cut" if wire.edge.cut else "state" if wire.edge.state else "page"


def _wire(wire: Wire) -> str:
    edge = wire.edge
    kind = kind_of(wire)
    path = " ".join(move + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) for move, points in rounded(wire.points))
    title = _title((), f"{edge.label or 'value'}{': the gradient is cut here (stop_gradient)' if edge.cut else ''}")
    line = f'<path class="wire {kind}" marker-end="url(#ts-{kind})" d="{path}"/>'
    marks = (
        "".join(f'<path class="scissors" d="{_straight(stroke)}"/>' for stroke in scissors(wire.points))
        if edge.cut
        else ""
    )
    return f'<g class="edge" data-from="n{edge.source}" data-to="n{edge.target}">{title}{line}{marks}</g>'


def _badge(x: float, y: float) -> str:
    """The mark of a delay of one step, in the middle of its wire."""
    return (
        f'<g class="delay"><rect x="{x - 15:.1f}" y="{y - 11:.1f}" width="30" height="22" rx="3"/>'
        f"{_words('name', DELAY, x, y + 4, 12)}</g>"
    )


def _label(wire: Wire) -> str:
    assert wire.label_at is not None
    x, y = wire.label_at
    return _words(f"label {kind_of(wire)}", clean(wire.edge.label, 24), x, y, 12, wire.anchor)


def _line(text: Text) -> str:
    return _words(text.role, clean(text.text), text.x, text.y, text.size, text.anchor)
