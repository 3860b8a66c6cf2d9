"""The last part of the grid: ports, wires and heights, and from them the finished scene."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from tinyseq.drawing.layout.grid import BETWEEN_DELAYS, Grid
from tinyseq.drawing.layout.margins import headers, legend, panels
from tinyseq.drawing.layout.routing import TRACK, Route, Router
from tinyseq.drawing.shared.scene import Box, Frame, Point, Scene, Wire
from tinyseq.drawing.shared.text import clean, width
from tinyseq.drawing.shared.view import Edge, View

#: Room between two lines where a wire ends in an arrow, and where none does.
_ROOM, _NONE = 26.0, 8.0
_BETWEEN_STATES = 32.0
#: How far from a box's corner the first delay wire leaves it.
_INSET = 14.0


def layout(view: View) -> Scene:
    """Place a view on the grid: columns are time steps, lines are layers."""
    grid = Grid(view)
    return _EdgeLayout(grid).scene()


class _EdgeLayout:
    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        extents = [[grid.extent(id) for id in line.ids] for line in grid.lines]
        self.router = Router(extents, grid.gutters, self._outlines())
        self.straight = {number for number, edge in enumerate(grid.edges) if self._straight(edge)}
        self.offset = self._offsets()
        self.whole = self._whole()
        self.ports = self._ports()
        self.routes: dict[int, Route] = {}
        self._delays()
        for number, edge in enumerate(grid.edges):
            if number not in self.straight and not edge.delay:
                self._route(number, edge)
        self.track = self.router.tracks()
        self._heights()

    def _outlines(self) -> list[list[tuple[float, float]]]:
        """For each line, the outlines of cells that stand there; only wires of their own ops may run inside."""
        grid = self.grid
        outlines: list[list[tuple[float, float]]] = [[] for _ in grid.lines]
        for row, wide in grid.block.items():
            used = {grid.view.item(id).column for line in grid.row_lines[row] for id in grid.lines[line].ids}
            centres = [sum(grid.columns[column]) / 2 for column in used if column is not None]
            for line in grid.row_lines[row]:
                outlines[line] = [(x - wide / 2, x + wide / 2) for x in centres]
        return outlines

    def _straight(self, edge: Edge) -> bool:
        """A state that runs along its own line, from the side of one box into the side of the next."""
        a, b = self.grid.boxes[edge.source], self.grid.boxes[edge.target]
        line = self.grid.line_of[edge.source]
        if not edge.state or line != self.grid.line_of[edge.target]:
            return False
        left, right = (a.right, b.left) if a.x < b.x else (b.right, a.left)
        return right > left and self.router.clear(line, left, right)

    def _whole(self) -> set[int]:
        """The edges by which a bar goes as a whole to several steps of a row, as a memory does: one wire with taps."""
        fans: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, edge in enumerate(self.grid.edges):
            row = self.grid.view.item(edge.target).row
            if self.grid.boxes[edge.source].bar and row is not None and not edge.label:
                fans[edge.source, row].append(number)
        return {number for numbers in fans.values() if len(numbers) > 1 for number in numbers}

    def _offsets(self) -> dict[tuple[int, str], float]:
        """How far above the middle of a line each state runs: c over h, as the lecture has it."""
        names: dict[int, set[str]] = defaultdict(set)
        for number in self.straight:
            edge = self.grid.edges[number]
            names[self.grid.line_of[edge.source]].add(edge.name)
        result: dict[tuple[int, str], float] = {}
        for line, states in names.items():
            step = min(_BETWEEN_STATES, 56.0 / len(states))
            for place, name in enumerate(sorted(states, reverse=True)):
                result[line, name] = (place - (len(states) - 1) / 2) * step
        return result

    def _ports(self) -> dict[int, float]:
        """Where each edge enters its target: several arrive side by side, in the order of where they come from."""
        grid = self.grid
        arriving: dict[int, list[int]] = defaultdict(list)
        for number, edge in enumerate(grid.edges):
            if number not in self.straight:
                arriving[edge.target].append(number)
        ports: dict[int, float] = {}
        for target, numbers in arriving.items():
            box = grid.boxes[target]
            numbers.sort(key=self._origin)
            if target in grid.delays:
                looping = grid.delays[target]
                for number in numbers:
                    edge = grid.edges[number]
                    if edge.delay:
                        ports[number] = box.right - _INSET - looping[edge.source, edge.name] * 16
                numbers = [number for number in numbers if number not in ports]
            spacing = min(14.0, (box.width - 12) / max(len(numbers), 1))
            for place, number in enumerate(numbers):
                ports[number] = box.x + (place - (len(numbers) - 1) / 2) * spacing
                if box.bar:
                    ports[number] = min(max(grid.boxes[grid.edges[number].source].x, box.left + 8), box.right - 8)
        return ports

    def _origin(self, number: int) -> float:
        """The x that an edge comes from; a bar is below its target wherever the target stands."""
        edge = self.grid.edges[number]
        source = self.grid.boxes[edge.source]
        return float("inf") if edge.delay else self.grid.boxes[edge.target].x if source.bar else source.x

    def _route(self, number: int, edge: Edge) -> None:
        grid = self.grid
        source = grid.boxes[edge.source]
        arrive = self.ports[number]
        leave = min(max(arrive, source.left + 8), source.right - 8) if source.bar else source.x
        if number in self.whole:
            leave = source.right - 12
        # Where two boxes all but face each other a bend of a few points only looks crooked.
        if abs(leave - arrive) < 12 and not source.bar and len(grid.boxes) < 2000:
            leave = arrive if abs(arrive - source.x) < source.width / 2 - 6 else leave
        # A bar lets go of each step's part at another place, so these wires are no common net.
        net = -number - 1 if source.bar and number not in self.whole else edge.source
        source_line, target_line = grid.line_of[edge.source], grid.line_of[edge.target]
        rows = {grid.lines[source_line].row, grid.lines[target_line].row}
        inside = {line for row in rows if row is not None for line in grid.row_lines.get(row, ())}
        self.routes[number] = self.router.connect(net, source_line, target_line, leave, arrive, inside)

    def _delays(self) -> None:
        """Lead each delay edge around its loop: out at the top, down on the right, and in from below.

        Several that take one state share its wire. What leads the least far is innermost.
        """
        grid = self.grid
        around = [(number, edge) for number, edge in enumerate(grid.edges) if edge.delay]
        around.sort(key=lambda pair: grid.line_of[pair[1].source] - grid.line_of[pair[1].target])
        right: dict[int, float] = {}
        wires: dict[Hashable, tuple[int, float]] = {}
        for number, edge in around:
            source = grid.boxes[edge.source]
            leave = source.x
            row = grid.view.item(edge.target).row
            if edge.target in grid.delays:
                place = grid.delays[edge.target][edge.source, edge.name]
                net, corridor = -number - 1, grid.boxes[edge.target].right + (place + 1) * BETWEEN_DELAYS - 8
                leave = source.right - _INSET - place * 16
            elif row is not None:
                if (row, edge.source, edge.name) not in wires:
                    inside = sum(grid.columns[0]) / 2 + grid.block[row] / 2 - 8
                    right[row] = right.get(row, inside) + BETWEEN_DELAYS
                    wires[row, edge.source, edge.name] = -number - 1, right[row]
                net, corridor = wires[row, edge.source, edge.name]
            lines = grid.line_of[edge.source], grid.line_of[edge.target]
            self.routes[number] = self.router.around(net, *lines, leave, self.ports[number], corridor)

    # -- heights -------------------------------------------------------------------------------------------------------

    def _heights(self) -> None:
        """Stack lines and channels, bottom to top; every y counts downwards from the bottom line, so it is negative."""
        grid = self.grid
        used = {route.source_line for route in self.routes.values()}
        used |= {route.target_line - 1 for route in self.routes.values()}
        wide = grid.view.level == "cell"
        y = 0.0
        self.channel_low: dict[int, float] = {}
        for number in range(-1, len(grid.lines)):
            if number >= 0:
                line = grid.lines[number]
                y -= line.height
                line.top = y
            count = max(self.track.get(number, {}).values(), default=-1) + 1
            room = _ROOM + (8 if wide else 0) if number in used else _NONE
            if not self._labelled(number):
                room = min(room, _ROOM)
            self.channel_low[number] = y
            y -= max(room, 26 + (count - 1) * TRACK) if count else room
        for id, box in grid.boxes.items():
            line = grid.lines[grid.line_of[id]]
            box.y = line.top + line.height / 2
        for number in self.straight:
            edge = grid.edges[number]
            if edge.source in grid.initial:
                grid.boxes[edge.source].y -= self.offset[grid.line_of[edge.source], edge.name]

    def _labelled(self, channel: int) -> bool:
        return any(
            self.grid.edges[number].label and channel in (route.source_line, route.target_line - 1)
            for number, route in self.routes.items()
        )

    def _level(self, channel: int, net: int) -> float:
        """The y of a net's track in a channel."""
        return self.channel_low[channel] - 10 - TRACK * self.track.get(channel, {}).get(net, 0)

    # -- the scene -----------------------------------------------------------------------------------------------------

    def scene(self) -> Scene:
        """Make the scene, with everything moved so that it starts at the corner."""
        grid = self.grid
        view = grid.view
        wires = [self._wire(number, edge) for number, edge in enumerate(grid.edges)]
        _declutter(wires)
        boxes = list(grid.boxes.values())
        frames = self._frames()
        margin = panels(grid)
        texts = headers(grid, margin)
        left, top, right, bottom = _bounds(boxes, wires, frames)
        for panel in margin:
            left, top = min(left, panel.left), min(top, panel.top)
            bottom = max(bottom, panel.top + panel.height)
        for text in texts:
            bottom, top = max(bottom, text.y + 4), min(top, text.y - text.size)
            right = max(right, text.x + width(text.text, text.size * 0.8)) if text.role == "note" else right
        scale = legend(grid, left, bottom)
        if scale is not None:
            bottom, right = scale.top + 30, max(right, scale.left + scale.width + 160)
        heading = 30 if view.title else 0
        dx, dy = 16 - left, 16 - top + heading
        scene = Scene(view, boxes, wires, frames, margin, texts, right - left + 32, bottom - top + 32 + heading, scale)
        _move(scene, dx, dy)
        return scene

    def _wire(self, number: int, edge: Edge) -> Wire:
        boxes = self.grid.boxes
        a, b = boxes[edge.source], boxes[edge.target]
        if number in self.straight:
            line = self.grid.line_of[edge.source]
            y = self.grid.lines[line].top + self.grid.lines[line].height / 2 - self.offset[line, edge.name]
            ends = (a.right, b.left) if a.x < b.x else (a.left, b.right)
            wire = Wire(edge, [(ends[0], y), (ends[1], y)])
            aside = 0 if not edge.cut else 16 if ends[0] < ends[1] else -16  # clear of the strokes of a cut
            wire.label_at, wire.anchor = ((ends[0] + ends[1]) / 2 - aside, y - 5), "middle"
            return wire
        route = self.routes[number]
        net = route.net
        points: list[Point] = [(route.leave, a.top)]
        for channel, x, to in route.channels():
            if abs(x - to) >= 0.5:
                level = self._level(channel, net)
                points += [(x, level), (to, level)]
        points.append((route.arrive, b.bottom))
        wire = Wire(edge, points)
        if edge.delay:
            x, middle = points[2][0], (points[2][1] + points[3][1]) / 2
            wire.badge_at, wire.label_at = (x, middle), (x + 5, middle + 26)
            return wire
        if edge.label:
            wire.label_at, wire.anchor = self._label(edge, points)
        return wire

    def _label(self, edge: Edge, points: list[Point]) -> tuple[Point, str]:
        """Where a wire's label has room: beside its end at a cell, or along its longest part."""
        (x, y), (to_x, to_y) = points[0], points[-1]
        if not edge.state:
            row = self.grid.view.item(edge.source).row
            if row in self.grid.block:  # between this cell's outline and what stands above
                head = self.grid.lines[self.grid.row_lines[row][-1] + 1]
                return (to_x + 5, head.top - 6), "start"
            cells = self.grid.view.level == "cell"
            below = self.grid.view.item(edge.target).row is not None
            return ((to_x + 5, to_y + 17) if below == cells else (x + 5, y - 7)), "start"
        if len(points) == 6:  # beside the long part, where it turns to its target
            (x, y), (_, end) = points[2], points[3]
            return (x + 5, end - 10 if end > y else end + 18), "start"
        return ((x + to_x) / 2, points[len(points) // 2][1] - 4), "middle"

    def _frames(self) -> list[Frame]:
        """Outline each cell at each step, where its ops are drawn one by one."""
        grid = self.grid
        if grid.view.level == "cell":
            return []
        frames = []
        for row, lines in grid.row_lines.items():
            if row not in grid.block:
                continue
            present = {
                (grid.view.item(id).column, grid.view.item(id).kind) for line in lines for id in grid.lines[line].ids
            }
            for column, kind in sorted(present, key=str):
                if column is None or kind in ("fold", "cell"):
                    continue
                middle = sum(grid.columns[column]) / 2
                wide = grid.block[row]
                top, foot = grid.lines[lines[-1] + 1].top, grid.lines[lines[0] - 1]
                label = clean(grid.view.rows[row].label, 30)
                frame = Frame(label, middle - wide / 2, top, wide, foot.top + foot.height - top, row, column)
                if frame not in frames:
                    frames.append(frame)
        return [*frames, *self._packed()]

    def _packed(self) -> list[Frame]:
        """Outline neighbouring ops on the same lanes, where nothing else stands between them."""
        grid = self.grid
        wide = {item.id for item in grid.view.items if item.lanes > 1}
        group = {id: id for id in wide}

        def top(id: int) -> int:
            while group[id] != id:
                id = group[id]
            return id

        for edge in grid.edges:
            one, other = grid.view.item(edge.source), grid.view.item(edge.target)
            if one.id in wide and other.id in wide and one.row == other.row and one.lanes == other.lanes:
                group[top(one.id)] = top(other.id)
        members: dict[int, list[Box]] = defaultdict(list)
        for id in sorted(wide):
            members[top(id)].append(grid.boxes[id])
        frames = []
        for root, boxes in members.items():
            label = f"{boxes[0].item.lanes} lanes packed"
            left, right = min(box.left for box in boxes) - 8, max(box.right for box in boxes) + width(label, 11) + 12
            head, foot = min(box.top for box in boxes) - 8, max(box.bottom for box in boxes) + 6
            inside = [
                box for box in grid.boxes.values()
                if box.left < right and box.right > left and box.top < foot and box.bottom > head
            ]  # fmt: skip
            if len(inside) == len(boxes):
                item = grid.view.item(root)
                size = right - left, foot - head
                frames.append(Frame(label, left, head, *size, item.row or 0, item.column or 0, "packed"))
        return frames


def _declutter(wires: list[Wire]) -> None:
    """Let no label stand on another: it moves up or down a line, or goes (pointing at its wire still tells)."""
    taken: dict[tuple[int, int], list[tuple[float, float, float]]] = defaultdict(list)
    for wire in wires:
        if wire.label_at is None or not wire.edge.label:
            continue
        x, y = wire.label_at
        wide = width(clean(wire.edge.label, 24), 12) * 0.85
        left = x - wide / 2 if wire.anchor == "middle" else x
        place = next((y + shift for shift in (0.0, -14.0, 14.0) if _room(taken, left, y + shift, wide)), None)
        if place is None:
            wire.label_at = None
            continue
        wire.label_at = x, place
        for column in range(int(left // 100), int((left + wide) // 100) + 1):
            taken[column, int(place // 100)].append((left, left + wide, place))


def _room(taken: dict[tuple[int, int], list[tuple[float, float, float]]], left: float, y: float, wide: float) -> bool:
    near = [
        other
        for column in range(int(left // 100), int((left + wide) // 100) + 1)
        for row in (int(y // 100) - 1, int(y // 100), int(y // 100) + 1)
        for other in taken.get((column, row), ())
    ]
    return not any(a < left + wide and left < b and abs(at - y) < 11 for a, b, at in near)


def _bounds(boxes: list[Box], wires: list[Wire], frames: list[Frame]) -> tuple[float, float, float, float]:
    xs = [x for wire in wires for x, _ in wire.points]
    ys = [y for wire in wires for _, y in wire.points]
    for wire in wires:
        if wire.badge_at and wire.label_at:
            xs += (wire.badge_at[0] + 15, wire.label_at[0] + width(clean(wire.edge.label, 24), 12))
    for box in boxes:
        xs += (box.left, box.right)
        ys += (box.top, box.bottom)
    for frame in frames:
        xs += (frame.left, frame.left + frame.width)
        ys += (frame.top, frame.top + frame.height)
    return (min(xs), min(ys), max(xs), max(ys)) if xs else (0.0, 0.0, 200.0, 40.0)


def _move(scene: Scene, dx: float, dy: float) -> None:
    for box in scene.boxes:
        box.x, box.y = box.x + dx, box.y + dy
    for wire in scene.wires:
        wire.points = [(x + dx, y + dy) for x, y in wire.points]
        if wire.label_at:
            wire.label_at = (wire.label_at[0] + dx, wire.label_at[1] + dy)
        if wire.badge_at:
            wire.badge_at = (wire.badge_at[0] + dx, wire.badge_at[1] + dy)
    for frame in scene.frames:
        frame.left, frame.top = frame.left + dx, frame.top + dy
    for panel in scene.panels:
        panel.left, panel.top = panel.left + dx, panel.top + dy
        panel.wires = [[(x + dx, y + dy) for x, y in line] for line in panel.wires]
    if scene.legend is not None:
        scene.legend.left, scene.legend.top = scene.legend.left + dx, scene.legend.top + dy
    for text in scene.texts:
        text.x, text.y = text.x + dx, text.y + dy
