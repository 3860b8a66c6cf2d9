"""Our own layout of unrolled networks: columns are time steps left to right, lines are layers bottom to top.

x_t comes from below, states flow along, y_t leaves above; what acts on several steps at once is a bar across them, and
the weights, shared by all steps, stand once in the margin. It needs nothing installed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field

from tinyseq.drawing.layout.ordering import arrange, longest_path
from tinyseq.drawing.shared.scene import Box
from tinyseq.drawing.shared.style import DETAIL, LABEL, caption, detail_of
from tinyseq.drawing.shared.text import width
from tinyseq.drawing.shared.view import Item, View

#: From one delay wire to the next, around their loop.
BETWEEN_DELAYS = 46.0
_LEAST = {"cell": (108, 72), "fold": (60, 72), "initial": (40, 24), "group": (84, 38)}


def _size(item: Item) -> tuple[float, float]:
    wide = max(width(caption(item), LABEL), width(detail_of(item), DETAIL))
    least, tall = _LEAST.get(item.kind, (38, 34))
    return max(least, wide + 16), tall


@dataclass(slots=True)
class GridLine:
    """One horizontal line of boxes; a line without boxes (``height`` only) leaves room for an outline or a label."""

    ids: list[int] = field(default_factory=list)
    height: float = 0.0
    top: float = 0.0
    row: int | None = None
    role: str = ""


class Grid:
    """A view whose boxes have their lines and their x; the heights come when the wires are known."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.boxes = {item.id: Box(item, 0.0, 0.0, *_size(item)) for item in view.items}
        self.block: dict[int, float] = {}  # how wide a step of a row is, at op level
        self.edges = [edge for edge in view.edges if edge.source != edge.target or edge.delay]
        self.lines: list[GridLine] = []
        self.line_of: dict[int, int] = {}
        self.row_lines: dict[int, list[int]] = {}
        self.initial = {item.id: self._consumer(item) for item in view.items if item.kind == "initial"}
        self.delays = self._count_delays()
        self.touched: dict[int, set[int]] = defaultdict(set)  # the columns that something outside steps is joined to
        for edge in self.edges:
            for one, other in ((edge.source, edge.target), (edge.target, edge.source)):
                column = view.item(other).column
                if view.item(one).row is None and one not in self.initial and column is not None:
                    self.touched[one].add(column)
        self._stack_lines()
        self._place_columns()
        self._place_outside()

    def _count_delays(self) -> dict[int, dict[tuple[int, str], int]]:
        """For each box that is a loop by itself, its delay wires; at op level a row of ops is the loop."""
        result: dict[int, dict[tuple[int, str], int]] = defaultdict(dict)
        for edge in self.edges:
            if edge.delay and self.view.item(edge.target).kind != "op":
                result[edge.target].setdefault((edge.source, edge.name), len(result[edge.target]))
        return result

    def reach(self, id: int) -> float:
        """How far the delay wires of a box run to its right, their labels included."""
        count = len(self.delays.get(id, ()))
        return count * BETWEEN_DELAYS + 30 if count else 0.0

    def _loop_end(self, row: int) -> float:
        """How far the delay wires around a row of ops run to the right."""
        around = [edge for edge in self.edges if edge.delay and self.view.item(edge.target).row == row]
        count = len({(edge.source, edge.name) for edge in around})
        return sum(self.columns[0]) / 2 + self.block[row] / 2 + count * BETWEEN_DELAYS + 30 if count else 0.0

    def extent(self, id: int) -> tuple[float, float]:
        """What a box takes up on its line."""
        box = self.boxes[id]
        return box.left, box.right + self.reach(id)

    def _consumer(self, item: Item) -> Item | None:
        takers = (self.view.item(edge.target) for edge in self.edges if edge.source == item.id)
        return next((taker for taker in takers if taker.row is not None), None)

    # -- lines ---------------------------------------------------------------------------------------------------------

    def _stack_lines(self) -> None:
        """Sort everything into lines, bottom to top: rows of cells as wholes, and what is outside steps by itself."""
        view = self.view
        unit: dict[int, Hashable] = {}
        for item in view.items:
            if self.initial.get(item.id) is None:
                unit[item.id] = ("row", item.row) if item.row is not None else ("item", item.id)
        rows = {("row", index) for index in range(len(view.rows))}
        pairs = [
            (unit[edge.source], unit[edge.target])
            for edge in sorted(self.edges, key=lambda edge: edge.state)
            if edge.source in unit and edge.target in unit and not edge.delay
        ]
        rank = longest_path(list(dict.fromkeys(unit.values())), pairs, rows)
        by_rank: dict[int, list[Hashable]] = defaultdict(list)
        for key, number in rank.items():
            by_rank[number].append(key)
        self.lane: dict[int, tuple[int, int]] = {}
        members: dict[Hashable, list[int]] = defaultdict(list)
        for id, key in unit.items():
            members[key].append(id)
        for number in sorted(by_rank):
            side = [key for key in by_rank[number] if key in rows]
            loose = [id for key in by_rank[number] if key not in rows for id in members[key]]
            bars = [id for id in loose if len(self.touched[id]) > 1]
            loose = [id for id in loose if id not in bars]
            above = bars if side else []  # what feeds other rows stands over this one, nearer to them
            for bar in [] if side else bars:
                self._line([bar])
            if loose and bars and not side:  # beside the bar
                self.lines[-1].ids.extend(loose)
                self.line_of.update(dict.fromkeys(loose, len(self.lines) - 1))
            elif loose and not side:
                self._line(loose)
            cells = [key for key in side if view.rows[key[1]].inputs_of is None]
            for key in sorted(side, key=lambda key: key[1]):
                row: int = key[1]
                self._row(row, members[key])
                if key in cells and view.level == "cell":
                    self.lane[row] = cells.index(key), len(cells)
            if loose and side:  # beside a row of cells, on its topmost line
                line = self.row_lines[row][-1]
                self.lines[line].ids.extend(loose)
                self.line_of.update(dict.fromkeys(loose, line))
            for bar in above:
                self._line([bar])
        for id, taker in self.initial.items():
            if taker is not None:
                line = self.line_of[taker.id]
                self.lines[line].ids.append(id)
                self.line_of[id] = line

    def _line(self, ids: list[int], row: int | None = None, role: str = "", height: float = 0.0) -> int:
        tall = max((self.boxes[id].height for id in ids), default=height)
        self.lines.append(GridLine(list(ids), tall, 0.0, row, role))
        self.line_of.update(dict.fromkeys(ids, len(self.lines) - 1))
        return len(self.lines) - 1

    def _row(self, row: int, ids: list[int]) -> None:
        """Give a row its lines: one at cell level; at op level one for each rank of ops within a step."""
        view = self.view
        if any(group.row == row for group in view.weights):
            self._line([], row, "bus", 4)
        if view.level == "cell" or view.rows[row].inputs_of is not None:
            self.row_lines[row] = [self._line(ids, row)]
            return
        ops = [id for id in ids if view.item(id).kind != "fold"]
        where = {id: (view.item(id).column, view.item(id).key) for id in ops}
        keys = list(dict.fromkeys(key for _, key in where.values()))
        pairs = [
            (where[edge.source][1], where[edge.target][1])
            for edge in self.edges
            if edge.source in where
            and edge.target in where
            and where[edge.source][0] == where[edge.target][0]
            and not edge.delay
        ]
        rank = longest_path(keys, pairs)
        self._line([], row, "foot", 4)
        numbers = {number: place for place, number in enumerate(sorted(set(rank.values())))}
        levels: list[list[int]] = [[] for _ in numbers] or [[]]
        for id in ops:
            levels[numbers[rank[where[id][1]]]].append(id)
        levels[len(levels) // 2].extend(id for id in ids if id not in where)
        self.row_lines[row] = [self._line(level, row) for level in levels]
        self._line([], row, "head", 12)
        self._inner(row, [list(dict.fromkeys(where[id][1] for id in level if id in where)) for level in levels], pairs)

    def _inner(self, row: int, levels: list[list[Hashable]], pairs: list[tuple[Hashable, Hashable]]) -> None:
        """Set the ops of a step side by side, once for all steps; wires over several lines get a gap of their own."""
        view = self.view
        widths: dict[Hashable, float] = {}
        for id in (id for line in self.row_lines[row] for id in self.lines[line].ids):
            key = view.item(id).key
            widths[key] = max(widths.get(key, 0.0), self.boxes[id].width)
        level_of = {key: number for number, level in enumerate(levels) for key in level}
        chain: list[tuple[Hashable, Hashable]] = []
        for source, target in dict.fromkeys(pairs):
            last = source
            for number in range(level_of[source] + 1, level_of[target]):
                gap = ("gap", source, number)
                if gap not in level_of:
                    levels[number].append(gap)
                    level_of[gap] = number
                    widths[gap] = 2.0
                chain.append((last, gap))
                last = gap
            chain.append((last, target))
        centre = arrange(levels, widths, chain, gap=14)
        left = min((centre[key] - widths[key] / 2 for key in centre), default=0.0)
        right = max((centre[key] + widths[key] / 2 for key in centre), default=60.0)
        for line in self.row_lines[row]:
            for id in self.lines[line].ids:
                if view.item(id).kind != "fold":
                    self.boxes[id].x = centre[view.item(id).key] - (left + right) / 2
        self.block[row] = right - left + 44

    # -- columns -------------------------------------------------------------------------------------------------------

    def _place_columns(self) -> None:
        """Set the columns beside one another, and every box of a time step into its own."""
        view = self.view
        gutter = 62.0 if view.level == "cell" else 60.0
        count = len(view.columns)
        wide = [30.0] * count
        lanes: dict[tuple[int, int], float] = defaultdict(float)
        for item in view.items:
            if item.column is None or item.row is None:
                continue
            own = self.block.get(item.row, 0.0) if item.kind != "fold" else 0.0
            lane, total = self.lane.get(item.row, (0, 1))
            size = self.boxes[item.id].width + 2 * self.reach(item.id)
            lanes[item.column, lane] = max(lanes[item.column, lane], size)
            wide[item.column] = max(wide[item.column], own, total * size + (total - 1) * 14)
        x = 0.0
        before = [id for id, taker in self.initial.items() if taker is not None and self._leads(taker) > 0]
        behind = [id for id, taker in self.initial.items() if taker is not None and self._leads(taker) < 0]
        if before:
            x += max(self.boxes[id].width for id in before) + gutter
        self.columns: list[tuple[float, float]] = []
        for size in wide:
            self.columns.append((x, x + size))
            x += size + gutter
        for id in before:
            self.boxes[id].x = self.boxes[id].width / 2
        for id in behind:
            self.boxes[id].x = x + self.boxes[id].width / 2
        for item in view.items:
            if item.column is not None and item.row is not None:
                left, right = self.columns[item.column]
                lane, total = self.lane.get(item.row, (0, 1))
                middle = left + (right - left) * (lane + 0.5) / total
                self.boxes[item.id].x += middle
        self.gutters = [(a[1] + b[0]) / 2 for a, b in zip(self.columns, self.columns[1:], strict=False)]
        if count:
            self.gutters = [self.columns[0][0] - gutter / 2, *self.gutters, self.columns[-1][1] + gutter / 2]

    def _leads(self, taker: Item) -> int:
        assert taker.row is not None
        if self.view.rolled:
            return 1  # a loop is drawn one way, whichever way it runs
        return self.view.rows[taker.row].direction

    def _place_outside(self) -> None:
        """Set what is outside steps: a bar across the steps it acts on, or near what it is connected with."""
        view = self.view
        fixed: dict[Hashable, float] = {}
        for item in view.items:
            box = self.boxes[item.id]
            columns = self.touched[item.id]
            if len(columns) > 1:
                left, right = self.columns[min(columns)][0], self.columns[max(columns)][1]
                box.x, box.width, box.bar = (left + right) / 2, max(box.width, right - left), True
            if box.bar or item.row is not None or self.initial.get(item.id) is not None:
                fixed[item.id] = box.x
        end = max((self.extent(id)[1] for id in fixed), default=0.0)  # type: ignore[arg-type]
        end = max([end, *(self._loop_end(row) for row in self.block)])
        loose: list[list[Hashable]] = []
        for line in self.lines:
            free: list[Hashable] = [id for id in line.ids if id not in fixed]
            if len(free) < len(line.ids):  # to the side of the cells and bars on its line
                x = end
                for id in free:
                    box = self.boxes[id]  # type: ignore[index]
                    x += 26 + box.width
                    fixed[id] = box.x = x - box.width / 2
                free = []
            loose.append(free)
        pairs: list[tuple[Hashable, Hashable]] = [(edge.source, edge.target) for edge in self.edges if not edge.delay]
        widths: dict[Hashable, float] = {id: box.width + 2 * self.reach(id) for id, box in self.boxes.items()}
        for id, x in arrange(loose, widths, pairs, fixed, gap=22).items():
            self.boxes[id].x = x  # type: ignore[index]
