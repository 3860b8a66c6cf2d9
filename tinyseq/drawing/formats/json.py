"""The picture as data: what the page draws and what ``file.json`` holds, for other tools. ``docs/pictures-page.md`` has
the schema. Everything is a plain value; what is empty is left out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tinyseq.drawing.shared.formulas import plain
from tinyseq.drawing.shared.palette import heat
from tinyseq.drawing.shared.scene import Box, Scene, Wire
from tinyseq.drawing.shared.style import style_of
from tinyseq.drawing.shared.text import clean
from tinyseq.drawing.shared.view import Details, View
from tinyseq.drawing.source.playback import Amount, Playback

FORMAT: Final = "tinyseq-picture"
#: Raised when a reader of an older version would misread a newer file.
VERSION: Final = 1
#: Into how many colours the scale of gradient norms is cut.
SHADES: Final = 33

Json = dict[str, Any]


class Picture(NamedTuple):
    """One scene of a document: the only one, or the graph after one pass."""

    name: str
    scene: Scene
    playback: Playback | None = None


def document(pictures: Sequence[Picture], title: str, *, folded: bool = False, start: int = 0) -> Json:
    """Return the document of some scenes.

    Args:
        pictures: the scenes, in order.
        title: a heading.
        folded: a viewer should start with every cell folded.
        start: the scene to begin with.
    """
    value = {
        "format": FORMAT,
        "version": VERSION,
        "title": title,
        "folded": folded,
        "start": start,
        "heat": [list(heat(number / (SHADES - 1))) for number in range(SHADES)],
        "scenes": [_scene(picture) for picture in pictures],
    }
    return {key: _cleaned(part) for key, part in value.items()}


def to_json(value: Json) -> str:
    """Return a document as JSON text, in UTF-8 and without NaN or infinities."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _scene(picture: Picture) -> Json:
    scene, view = picture.scene, picture.scene.view
    spans = _columns(scene)
    weights = [_fields(group) for group in view.weights]
    return {
        "name": picture.name,
        "title": view.title,
        "level": view.level,
        "summary": view.summary(),
        "notes": list(view.notes),
        "ops": view.ops,
        "rolled": view.rolled,
        "scale": None if view.scale is None else _fields(view.scale),
        "size": [_point(scene.width), _point(scene.height)],
        "rows": [_fields(row) for row in view.rows],
        "columns": [
            {**_fields(column), "left": left, "right": right}
            for column, (left, right) in zip(view.columns, spans, strict=True)
        ],
        "items": [_item(view, box) for box in scene.boxes],
        # A plan has no wires: its marks tell where a buffer is used.
        "edges": [_edge(wire) for wire in scene.wires] or [_fields(edge) for edge in view.edges],
        "weights": weights,
        "frames": [_rounded(_fields(frame)) for frame in scene.frames],
        "panels": [_rounded(_fields(panel)) for panel in scene.panels],
        "texts": [_rounded(_fields(text)) for text in scene.texts],
        "marks": [_rounded(_fields(mark)) for mark in scene.marks],
        "playback": None if picture.playback is None else _playback(picture.playback),
    }


def _item(view: View, box: Box) -> Json:
    style = style_of(view, box.item)
    item = {key: value for key, value in _fields(box.item).items() if key not in ("key", "nodes", "details")}
    place = [_point(value) for value in (box.left, box.top, box.width, box.height)]
    known = {
        "details": _details(box.item.details),
        "place": place,
        "bar": box.bar,
        "look": style.kind,
        "dashed": style.dashed,
        "behind": style.behind,
    }
    return item | {key: value for key, value in known.items() if value}


def _details(details: Details) -> Json:
    known = {
        key: value for key, value in _fields(details).items() if not (key in ("parameters", "flops") and not value)
    }
    if details.formula:
        known["formula"] = plain(details.formula)
    return known


def _edge(wire: Wire) -> Json:
    geometry = {
        "points": [[_point(x), _point(y)] for x, y in wire.points],
        "label_at": wire.label_at and [_point(value) for value in wire.label_at],
        "badge_at": wire.badge_at and [_point(value) for value in wire.badge_at],
        "anchor": wire.anchor if wire.label_at else "",
    }
    return {**_fields(wire.edge), **{key: value for key, value in geometry.items() if value}}


def _columns(scene: Scene) -> list[tuple[float, float]]:
    """The extent of each column: of the frames and boxes that stand in it."""
    spans: list[list[float]] = [[] for _ in scene.view.columns]
    for frame in scene.frames:
        if frame.column is not None and 0 <= frame.column < len(spans):
            spans[frame.column] += (frame.left, frame.left + frame.width)
    for box in scene.boxes:
        if box.item.column is not None:
            spans[box.item.column] += (box.left, box.right)
    return [(_point(min(xs)), _point(max(xs))) if xs else (0.0, 0.0) for xs in spans]


def _playback(playback: Playback) -> Json:
    return {
        "note": playback.note,
        "weights": [{"name": name, "amount": _amount(amount)} for name, amount in playback.weights],
        "steps": [
            {
                "item": step.item,
                "op": step.op,
                "arriving": _amount(step.arriving),
                "flows": [{**_fields(flow, "amount"), "amount": _amount(flow.amount)} for flow in step.flows],
            }
            for step in playback.steps
        ],
    }


def _amount(amount: Amount | None) -> Json | None:
    if amount is None:
        return None
    known: Json = {"norm": _number(amount.norm), "shape": amount.shape}
    return known if amount.values is None else known | {"values": _numbers(amount.values)}


def _number(value: float) -> float | str:
    """Six significant digits; what JSON has no number for, in words."""
    text = f"{value:.6g}"
    return float(text) if text not in ("nan", "inf", "-inf") else text


def _numbers(values: Any) -> Any:
    return [_numbers(part) for part in values] if isinstance(values, list) else _number(values)


def _point(value: float) -> float:
    return round(value, 1)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return _point(value) if isinstance(value, float) else value


def _fields(value: Any, *without: str) -> Json:
    """A dataclass's public fields, without those that are empty; 0 and False where they are not the default stay."""
    result: Json = {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if field.name.startswith("_") or field.name in without or part is None or part is False or part in ("", ()):
            continue
        result[field.name] = _plain(part)
    return result


def _plain(part: Any) -> Any:
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return _fields(part)
    if isinstance(part, list | tuple):
        return [_plain(element) for element in part]
    return _number(part) if isinstance(part, float) else part


def _cleaned(value: Any) -> Any:
    """Make every text harmless, as in every other format: see ``text.clean``."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {key: _cleaned(part) for key, part in value.items()}
    return [_cleaned(part) for part in value] if isinstance(value, list | tuple) else value
