"""What a page shows: every operation of every step where that can be drawn, to be folded by the reader; and its backward
pass, to be played.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tinyseq.drawing.build import build
from tinyseq.drawing.document import Sheet
from tinyseq.drawing.playback import play
from tinyseq.drawing.view import View
from tinyseq.drawing.wiring import layout
from tinyseq.graph import Graph, Node

#: The most nodes that a page draws; a larger graph is folded before, as in any other format.
MOST_ON_A_PAGE: Final = 6000


def sheet(name: str, graph: Graph, *, steps: tuple[int, int] | None, playable: bool) -> Sheet:
    """Lay out a graph for a page: unfolded, unless it is larger than a page can hold."""
    if any("body" in node.attrs for node in graph.nodes):
        graph = graph.unroll()
    whole = len(graph.nodes) <= MOST_ON_A_PAGE
    view = build(graph, steps=steps, budget=None if whole else MOST_ON_A_PAGE)
    return Sheet(name, layout(view), play(graph, drawn(view, graph.nodes)) if playable else None)


def drawn(view: View, nodes: Sequence[Node]) -> dict[Node, int]:
    """Return the item that stands for each node, for those that one stands for."""
    by_serial = {node.serial: node for node in nodes}
    return {by_serial[serial]: item.id for item in view.items for serial in item.nodes}
