"""Wires between boxes: along free channels between the lines, up or down where no box is in the way.

Lines are numbered from the bottom, channel k runs above line k, and channel -1 below them all. Wires from one box
share a track, as in a circuit diagram; wires of different boxes never lie on each other within a channel.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

TRACK = 8.0
_MARGIN = 6.0
#: How far around its ends a wire looks for a way at first.
_NEAR = 700.0


@dataclass(slots=True)
class Route:
    """How a wire runs: x where it leaves, x of its long vertical part (if any), x where it arrives."""

    net: int
    source_line: int
    target_line: int
    leave: float
    arrive: float
    corridor: float | None = None

    def channels(self) -> list[tuple[int, float, float]]:
        """Return (channel, from x, to x) for each horizontal part."""
        if self.corridor is None:
            return [(self.source_line, self.leave, self.arrive)]
        return [(self.source_line, self.leave, self.corridor), (self.target_line - 1, self.corridor, self.arrive)]


@dataclass(slots=True)
class Router:
    """Finds routes among boxes that stand on lines. ``taken[line]`` are the (left, right) extents of its boxes.

    ``outlines[line]`` are those of the outlines around them, which a wire does not enter on its way past.
    """

    taken: list[list[tuple[float, float]]]
    gutters: Sequence[float] = ()
    outlines: Sequence[Sequence[tuple[float, float]]] = ()
    routes: list[Route] = field(default_factory=list)
    _upright: list[tuple[float, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for line in self.taken:
            line.sort()

    def clear(self, line: int, left: float, right: float) -> bool:
        """Return whether nothing stands on a line between two x."""
        return all(b <= left or a >= right for a, b in self.taken[line])

    def connect(
        self,
        net: int,
        source_line: int,
        target_line: int,
        leave: float,
        arrive: float,
        inside: Container[int] = (),
    ) -> Route:
        """Find a route from the top of a box to the bottom of another, entering outlines only on lines ``inside``."""
        route = Route(net, source_line, target_line, leave, arrive)
        low, high = (source_line + 1, target_line - 1) if source_line < target_line else (target_line, source_line)
        if low <= high:
            blocks = [extent for line in self.taken[low : high + 1] for extent in line]
            for line in range(low, min(high + 1, len(self.outlines))):
                if line not in inside:
                    blocks.extend(self.outlines[line])
            blocks = list(dict.fromkeys(blocks))
            route.corridor = self._corridor(net, low, high, leave, arrive, blocks, source_line < target_line)
            self._upright.append((route.corridor, low, high, net))
        self.routes.append(route)
        return route

    def around(
        self, net: int, source_line: int, target_line: int, leave: float, arrive: float, corridor: float
    ) -> Route:
        """Return the route of a feedback: from the top of a box along a given corridor to the bottom of another."""
        route = Route(net, source_line, target_line, leave, arrive, corridor)
        self._upright.append((corridor, min(source_line + 1, target_line), max(source_line, target_line), net))
        self.routes.append(route)
        return route

    def _corridor(
        self,
        net: int,
        low: int,
        high: int,
        leave: float,
        arrive: float,
        blocks: list[tuple[float, float]],
        upward: bool,
    ) -> float:
        for reach in (_NEAR, float("inf")):  # most wires find their way close by
            left, right = min(leave, arrive) - reach, max(leave, arrive) + reach
            local = [(a, b) for a, b in blocks if b > left - 4 * TRACK and a < right + 4 * TRACK]
            gutters = self.gutters[bisect_left(self.gutters, left) : bisect_left(self.gutters, right)]
            shared = [x for x, _, _, other in self._upright if other == net and left < x < right]
            best = self._best(net, low, high, (leave, arrive), local, gutters, shared, upward)
            if best is not None:
                return best
        edge = max((b for line in self.taken for _, b in line), default=0.0) + 2 * TRACK
        while not self._free(edge, net, low, high, []):  # the picture's own edge is always free
            edge += TRACK
        return edge

    def _best(
        self,
        net: int,
        low: int,
        high: int,
        way: tuple[float, float],
        blocks: list[tuple[float, float]],
        gutters: Sequence[float],
        shared: list[float],
        upward: bool,
    ) -> float | None:
        """Return the cheapest free x beside the blocks, in the gutters, or at the ends."""
        leave, arrive = way
        # A price is a length of way, in pixels. To run along with another wire of the same box is worth 30 of them, a
        # bend just beside an end costs 24, a pixel from the nearest gutter 0.05, to choose among ways of one length.
        ends = [arrive, leave] if upward else []
        edges = [side for a, b in blocks for side in (a - _MARGIN - 2, b + _MARGIN + 2)]
        between = [gutter for gutter in gutters if min(leave, arrive) < gutter < max(leave, arrive)]
        best, cost = None, float("inf")
        for base in dict.fromkeys((*ends, *shared, *between, *edges, *gutters)):
            if abs(base - leave) + abs(base - arrive) > cost:
                continue
            for shift in (0, TRACK, -TRACK, 2 * TRACK, -2 * TRACK, 3 * TRACK, -3 * TRACK):
                x = base + shift
                price = abs(x - leave) + abs(x - arrive) + 0.2 * abs(shift) - (30 if x in shared else 0)
                price += 0 if base in ends or not self.gutters else 0.05 * self._from_gutter(x)
                price += 24 if base in ends and shift else 0
                if price < cost and self._free(x, net, low, high, blocks):
                    best, cost = x, price
        return best

    def _from_gutter(self, x: float) -> float:
        """How far the nearest gutter is; they come in order."""
        place = bisect_left(self.gutters, x)
        return min(abs(x - gutter) for gutter in self.gutters[max(place - 1, 0) : place + 1])

    def _free(self, x: float, net: int, low: int, high: int, blocks: list[tuple[float, float]]) -> bool:
        return not any(a - _MARGIN < x < b + _MARGIN for a, b in blocks) and not any(
            other != net and abs(x - at) < TRACK - 1 and a <= high + 1 and low <= b + 1
            for at, a, b, other in self._upright
        )

    def tracks(self) -> dict[int, dict[int, int]]:
        """Give each net a track in each channel it runs along: ``tracks()[channel][net]``, counted from the bottom."""
        spans: dict[int, dict[int, tuple[float, float]]] = defaultdict(dict)
        for route in self.routes:
            for channel, a, b in route.channels():
                if abs(a - b) < 0.5:
                    continue
                left, right = min(a, b), max(a, b)
                old = spans[channel].get(route.net)
                spans[channel][route.net] = (min(left, old[0]), max(right, old[1])) if old else (left, right)
        result: dict[int, dict[int, int]] = {}
        for channel, nets in spans.items():
            ends: list[list[tuple[float, float]]] = []
            chosen = result[channel] = {}
            for net, (left, right) in sorted(nets.items(), key=lambda pair: (pair[1][1] - pair[1][0], pair[0])):
                track = next((i for i, used in enumerate(ends) if _fits(used, left, right)), len(ends))
                if track == len(ends):
                    ends.append([])
                ends[track].insert(bisect_left(ends[track], (left, right)), (left, right))
                chosen[net] = track
        return result


def _fits(used: list[tuple[float, float]], left: float, right: float) -> bool:
    return all(b + 6 < left or a - 6 > right for a, b in used)
