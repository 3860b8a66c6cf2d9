"""Which nodes outside of time steps belong together: by scope, and so that no two boxes need each other."""

from __future__ import annotations

from collections.abc import Hashable

from tinyseq.drawing.view.analysis import Analysis, Trim
from tinyseq.graph import INPUT, LITERAL, Node


def phases(analysis: Analysis, trim: Trim) -> dict[Node, int]:
    """Count, for each node, how many times its inputs' paths changed scope: it keeps groups outside steps acyclic."""
    phase: dict[Node, int] = {}
    for node in analysis.nodes:
        mine = _home(node, analysis, trim)
        best = 0
        for _, link in analysis.links[node]:
            origin = link.origin
            if origin.op is INPUT or origin.op is LITERAL or link.delay:
                continue
            best = max(best, phase[origin] + (_home(origin, analysis, trim) != mine))
        phase[node] = best
    return phase


def _home(node: Node, analysis: Analysis, trim: Trim) -> Hashable:
    place = analysis.place.get(node)
    return trim(node.place.scope) if place is None else place[0]


def module_depth(analysis: Analysis) -> int:
    """How many parts of a scope name a module: as few as tell more than one apart."""
    scopes = {node.place.scope for node in analysis.nodes if node.place.scope}
    longest = max((scope.count("/") + 1 for scope in scopes), default=1)
    return next((depth for depth in range(1, longest) if len({Trim(depth)(scope) for scope in scopes}) > 1), longest)


def upstream_modules(analysis: Analysis, trim: Trim) -> dict[Node, frozenset[str]]:
    """Return for each node the modules that it depends on: what is in none itself is told apart by them."""
    upstream: dict[Node, frozenset[str]] = {}
    known: dict[frozenset[str], frozenset[str]] = {}
    for node in analysis.nodes:
        above_all: frozenset[str] = frozenset()
        for _, link in analysis.links[node]:
            above = upstream.get(link.origin, frozenset[str]())
            scope = trim(link.origin.place.scope) if link.origin.op is not INPUT else ""
            above = above if not scope or scope in above else above | {scope}
            above_all = above if above >= above_all else above_all | above
        upstream[node] = known.setdefault(above_all, above_all)
    return upstream
