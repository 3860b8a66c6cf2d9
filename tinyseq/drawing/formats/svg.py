"""The scene as SVG: one file, no scripts, light and dark, with a title on each thing for the pointer and the screen
reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tinyseq.drawing.shared.palette import DARK, LIGHT, Ink, heat
from tinyseq.drawing.shared.scene import Box, Frame, Legend, Mark, Panel, Point, Scene, Text, Wire
from tinyseq.drawing.shared.style import DELAY, stroke_of, style_of, words_of
from tinyseq.drawing.shared.text import clean
from tinyseq.drawing.shared.view import NO_GRADIENT, Edge, Facts, View, in_words

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
    parts += [_wire(view, wire) for wire in scene.wires]
    parts += [_box(view, box) for box in scene.boxes]
    parts += [_mark(mark) for mark in scene.marks]
    parts += [_badge(*wire.badge_at) for wire in scene.wires if wire.badge_at]
    parts += [_label(wire) for wire in scene.wires if wire.label_at and wire.edge.label]
    parts += [_line(text) for text in scene.texts]
    if scene.legend is not None:
        parts.append(_legend(scene.legend))
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
    kinds += ".dashed>rect{stroke-dasharray:4 3}.mark{fill:var(--page-text)}"
    kinds += ".mark.read{fill:var(--page-fill);stroke:var(--page-text);stroke-width:1.2}"
    kinds += ".packed>rect{stroke-width:1.4;stroke-dasharray:7 3}"
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
        ".frame>rect{stroke-width:1;stroke-opacity:.55}"
        ".output>rect,.new>rect{stroke-width:2.6}.heading{fill:var(--page-text);font-weight:600}"
        ".name,.head{font-weight:600}.detail{opacity:.75}"
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


def _box(view: View, box: Box) -> str:
    item, style = box.item, style_of(view, box.item)
    classes = f"item {style.kind}{' output' if item.output else ''}{' dashed' if style.dashed else ''}"
    paint = "" if style.ink is None else f' style="fill:{style.ink.fill};stroke:{style.ink.line}"'
    paint += "" if style.line in (1.0, 2.6) and style.kind != "new" else f' stroke-width="{style.line:g}"'
    ink = "" if style.ink is None else f' style="fill:{style.ink.text}"'
    lines = "".join(_words(*words, more=ink) for words in words_of(box))
    size = f'width="{box.width:.1f}" height="{box.height:.1f}" rx="{style.corner:g}"{paint}'
    behind = f'<rect class="behind" x="{box.left + 3:.1f}" y="{box.top - 3:.1f}" {size}/>' if style.behind else ""
    title = _title(item.facts, " ".join([item.label, *item.tags]))
    return (
        f'<g class="{classes}" id="n{item.id}">{title}{behind}'
        f'<rect x="{box.left:.1f}" y="{box.top:.1f}" {size}/>{lines}</g>'
    )


def _words(role: str, text: str, x: float, y: float, size: float, anchor: str = "middle", more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"{more}'
    return f'<text class="{role}" {place}>{_text(text)}</text>'


def _frame(frame: Frame) -> str:
    kind = "packed" if frame.role == "packed" else "frame"
    size = f'width="{frame.width:.1f}" height="{frame.height:.1f}" rx="10"'
    x, anchor = (frame.left + frame.width - 6, "end") if kind == "packed" else (frame.left + 10, "start")
    return (
        f'<g class="{kind}"><rect x="{frame.left:.1f}" y="{frame.top:.1f}" {size}/>'
        f"{_words('head', frame.label, x, frame.top + 14, 11, anchor)}</g>"
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


def _wire(view: View, wire: Wire) -> str:
    edge = wire.edge
    stroke = stroke_of(view, edge)
    path = " ".join(move + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) for move, points in rounded(wire.points))
    title = _title((), _about(view, edge))
    if view.scale is None or edge.cut:
        line = f'<path class="wire {stroke.kind}" marker-end="url(#ts-{stroke.kind})" d="{path}"/>'
    else:  # a marker would keep its own colour and size
        colour = stroke.colour or f"var(--{stroke.kind}-line)"
        line = f'<path class="wire" style="stroke:{colour};stroke-width:{stroke.width:.2f}" d="{path}"/>'
        line += f'<path style="fill:{colour}" d="{_straight(arrow(wire.points, stroke.width))} z"/>'
    marks = (
        "".join(f'<path class="scissors" d="{_straight(each)}"/>' for each in scissors(wire.points)) if edge.cut else ""
    )
    return f'<g class="edge" data-from="n{edge.source}" data-to="n{edge.target}">{title}{line}{marks}</g>'


def _about(view: View, edge: Edge) -> str:
    words = edge.label or "value"
    words += ", one step later (z⁻¹)" if edge.delay else ""
    words += ": the gradient is cut here (stop_gradient)" if edge.cut else ""
    if view.scale is not None and not edge.cut:
        words += f": {in_words(edge.gradient, edge.name or 'y', edge.discrete)}"
    return words


def arrow(points: list[Point], width: float) -> list[Point]:
    """Return the corners of an arrow head at the end of a line of a given width."""
    (x0, y0), (x1, y1) = points[-2:]
    far = _far((x0, y0), (x1, y1)) or 1.0
    dx, dy = (x1 - x0) / far, (y1 - y0) / far
    long, half = 7.0 + width, 2.6 + width * 0.75
    return [
        (x1, y1),
        (x1 - dx * long - dy * half, y1 - dy * long + dx * half),
        (x1 - dx * long + dy * half, y1 - dy * long - dx * half),
    ]


def _badge(x: float, y: float) -> str:
    """The mark of a delay of one step, in the middle of its wire."""
    return (
        f'<g class="delay"><rect x="{x - 15:.1f}" y="{y - 11:.1f}" width="30" height="22" rx="3"/>'
        f"{_words('name', DELAY, x, y + 4, 12)}</g>"
    )


def _label(wire: Wire) -> str:
    assert wire.label_at is not None
    x, y = wire.label_at
    kind = "cut" if wire.edge.cut else "state" if wire.edge.state else "page"
    return _words(f"label {kind}", clean(wire.edge.label, 24), x, y, 12, wire.anchor)


def _mark(mark: Mark) -> str:
    x, y = mark.x, mark.y
    if mark.role == "write":
        return f'<rect class="mark" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'
    return f'<circle class="mark read" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _legend(legend: Legend) -> str:
    """A strip of colours with its norms under it, and the look of what has no gradient."""
    x, y, wide = legend.left, legend.top, legend.width
    strip = "".join(
        f'<rect x="{x + wide * n / 40:.1f}" y="{y:.1f}" width="{wide / 40 + 0.5:.2f}" height="12" '
        f'style="fill:{heat((n + 0.5) / 40).fill}"/>'
        for n in range(40)
    )
    ticks = "".join(_words("note", label, x + place * wide, y + 26, 10) for place, label in legend.stops)
    none = f'<g class="none dashed"><rect x="{x + wide + 34:.1f}" y="{y:.1f}" width="26" height="12" rx="3"/></g>'
    return (
        f'<g class="legend">{_words("note", legend.title, x, y - 6, 11, "start")}{strip}{ticks}{none}'
        f"{_words('note', NO_GRADIENT, x + wide + 66, y + 10, 10, 'start')}</g>"
    )


def _line(text: Text) -> str:
    return _words(text.role, clean(text.text), text.x, text.y, text.size, text.anchor)
