"""Which nodes outside of time steps belong together: by scope, and so that no two boxes need each other."""

from __future__ import annotations

from collections.abc import Hashable

from tinyseq.drawing.view.analysis import Reading, Trim
from tinyseq.graph import INPUT, LITERAL, Node


def phases(reading: Reading, trim: Trim) -> dict[Node, int]:
    """Count, for each node, how many times its inputs' paths changed scope: it keeps groups outside steps acyclic."""
    phase: dict[Node, int] = {}
    for node in reading.nodes:
        mine = _home(node, reading, trim)
        best = 0
        for _, link in reading.links[node]:
            origin = link.origin
            if origin.op is INPUT or origin.op is LITERAL or link.delay:
                continue
            best = max(best, phase[origin] + (_home(origin, reading, trim) != mine))
        phase[node] = best
    return phase


def _home(node: Node, reading: Reading, trim: Trim) -> Hashable:
    place = reading.place.get(node)
    return trim(node.place.scope) if place is None else place[0]


def module_depth(reading: Reading) -> int:
    """How many parts of a scope name a module: as few as tell more than one apart."""
    scopes = {node.place.scope for node in reading.nodes if node.place.scope}
    longest = max((scope.count("/") + 1 for scope in scopes), default=1)
    return next((depth for depth in range(1, longest) if len({Trim(depth)(scope) for scope in scopes}) > 1), longest)


def stages(reading: Reading, trim: Trim) -> dict[Node, frozenset[str]]:
    """For each node, the modules it depends on: what is in none itself is told apart by them."""
    stage: dict[Node, frozenset[str]] = {}
    known: dict[frozenset[str], frozenset[str]] = {}
    for node in reading.nodes:
        found: frozenset[str] = frozenset()
        for _, link in reading.links[node]:
            above = stage.get(link.origin, frozenset[str]())
            scope = trim(link.origin.place.scope) if link.origin.op is not INPUT else ""
            above = above if not scope or scope in above else above | {scope}
            found = above if above >= found else found | above
        stage[node] = known.setdefault(found, found)
    return stage
