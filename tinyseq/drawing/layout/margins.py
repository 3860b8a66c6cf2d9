"""What stands beside the grid: the shared weights on the left, the time steps below, the notes under everything."""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict

from tinyseq.drawing.layout.grid import Grid
from tinyseq.drawing.shared.scene import Legend, Panel, Text
from tinyseq.drawing.shared.text import clean, plural, width
from tinyseq.drawing.shared.view import Weight, Weights, in_words

_SIZE = 10.0
_LEADING = 14.0


def panels(grid: Grid) -> list[Panel]:
    """Return a panel of weights for each row and scope that has some, from the bottom up, none over another."""
    view = grid.view
    inner = min((box.left for box in grid.boxes.values()), default=0.0)
    inner = min([inner, *(left - wide for left, wide in _blocks(grid))])
    result: list[Panel] = []
    places = sorted(((_middle(grid, group), group) for group in view.weights), key=lambda pair: -pair[0])
    floor = float("inf")
    for middle, group in places:
        title, lines = describe(group)
        wide = max(width(text, _SIZE) for text in (title, *lines)) + 20
        tall = _LEADING * (len(lines) + 1) + 10
        top = min(middle - tall / 2, floor - tall - 8)
        floor = top
        facts = tuple((weight.name, _about(weight)) for weight in group.weights)
        panel = Panel(title, lines, inner - 34 - wide, top, wide, tall, (("scope", group.scope or "(top)"), *facts))
        panel.wires = _bus(grid, group, panel)
        result.append(panel)
    widest = max((panel.width for panel in result), default=0.0)
    for panel in result:  # one column, one width
        panel.left, panel.width = inner - 34 - widest, widest
    return result


def _blocks(grid: Grid) -> list[tuple[float, float]]:
    return [(sum(grid.columns[0]) / 2, wide / 2) for wide in grid.block.values()] if grid.columns else []


def describe(group: Weights) -> tuple[str, list[str]]:
    """Return the heading of a panel, and its lines: weights of one shape and one count of uses stand together."""
    name = clean(group.scope.rsplit("/", 1)[-1], 24)
    alike: dict[tuple[str, int], list[str]] = defaultdict(list)
    for weight in group.weights:
        alike[weight.shape, weight.uses].append(clean(weight.name, 24))
    counts = {uses for _, uses in alike}
    shared = f" · each used {counts.copy().pop()}×" if len(counts) == 1 else ""
    title = f"weights {name}".rstrip() + shared
    lines = []
    for (shape, uses), names in alike.items():
        more = [*names[:6], f"… {len(names) - 6} more"] if len(names) > 7 else names
        lines.append(f"{'  '.join(more)}  {shape}" + ("" if shared else f"  {uses}×"))
    if len(lines) > 6:
        lines = [*lines[:5], f"… {len(lines) - 5} more kinds"]
    return title, [*lines, plural(group.size, "parameter")]


def _about(weight: Weight) -> str:
    words = f"{weight.dtype} {weight.shape}, {weight.size:,} numbers, used {weight.uses} times"
    return f"{words}, {in_words(weight.gradient, weight.name)}" if weight.measured else words


def _middle(grid: Grid, group: Weights) -> float:
    if group.row is not None:
        lines = [grid.lines[number] for number in grid.row_lines[group.row]]
        return (lines[0].top + lines[0].height + lines[-1].top) / 2
    return grid.boxes[group.users[0]].y


def _bus(grid: Grid, group: Weights, panel: Panel) -> list[list[tuple[float, float]]]:
    """The dashed line from a panel: under a row, with a tap to each step; or straight to a group outside steps."""
    start = panel.left + panel.width
    if group.row is None:
        box = grid.boxes[group.users[0]]
        y = min(max(box.y, panel.top + 6), panel.top + panel.height - 6)
        line = grid.lines[grid.line_of[box.item.id]]
        hidden = any(grid.boxes[id].left < box.left for id in line.ids)  # something stands between
        if box.item.kind not in ("group", "cell") or hidden or abs(y - box.y) > box.height / 2 - 4:
            return []
        return [[(start, y), (box.left, y)]]
    first = grid.row_lines[group.row][0]
    bus = next(line for line in reversed(grid.lines[:first]) if line.role == "bus" and line.row == group.row)
    y = bus.top + bus.height / 2
    foot = next((line for line in grid.lines[:first] if line.role == "foot" and line.row == group.row), None)
    ends = []
    for id in group.users:
        box = grid.boxes[id]
        column = box.item.column
        if foot is None:
            ends.append((box.left + 16, box.bottom))
        elif column is not None and box.item.kind != "fold":
            ends.append((sum(grid.columns[column]) / 2 - grid.block[group.row] / 2 + 16, foot.top + foot.height))
    ends = sorted(dict.fromkeys(ends))
    if not ends:
        return []
    trunk = start + 12
    top = min(max(y, panel.top + 8), panel.top + panel.height - 8)
    return [[(start, top), (trunk, top), (trunk, y), (ends[-1][0], y)], *([(x, y), (x, end)] for x, end in ends)]


def headers(grid: Grid, margin: list[Panel]) -> list[Text]:
    """Return the names of the time steps, under the grid, and the notes below them."""
    bottom = max([box.bottom for box in grid.boxes.values()], default=0.0)
    bottom = max([bottom, *(panel.top + panel.height for panel in margin)])
    texts = []
    for (left, right), column in zip(grid.columns, grid.view.columns, strict=True):
        label = column.label if column.step is not None else "⋯"
        texts.append(Text(label, (left + right) / 2, bottom + 22, 12.0, "step"))
    left, right = edges(grid, margin)
    letters = max(int((right - left) / 5.6), 60)
    lines = [line for note in grid.view.notes for line in textwrap.wrap(clean(note), letters)]
    for number, line in enumerate(lines):
        texts.append(Text(line, left, bottom + 44 + 15 * number, 11.0, "note", "start"))
    return texts


def edges(grid: Grid, margin: list[Panel]) -> tuple[float, float]:
    """Return where the picture begins and ends, from the left to the right."""
    boxes = grid.boxes.values()
    left = min([*(panel.left for panel in margin), *(box.left for box in boxes)], default=0.0)
    return left, max((box.right for box in boxes), default=0.0)


def legend(grid: Grid, left: float, bottom: float) -> Legend | None:
    """Return the scale of gradients, below everything else."""
    scale = grid.view.scale
    if scale is None:
        return None
    decades = range(math.ceil(math.log10(scale.low)), math.floor(math.log10(scale.high)) + 1)
    step = max(1, len(decades) // 4)
    stops = [(scale.place(10.0**power), f"{10.0**power:g}") for power in decades[::step]]
    ends = [(0.0, f"{scale.low:.2g}"), (1.0, f"{scale.high:.2g}")]
    stops = [stop for stop in stops if 0.2 < stop[0] < 0.8]
    return Legend("‖∂L/∂y‖, the norm of the loss's gradient", [*ends, *stops], left + 20, bottom + 26, 260.0, 12.0)
