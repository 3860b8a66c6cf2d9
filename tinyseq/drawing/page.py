"""What a page shows: every operation where that can be drawn, to be folded by the reader; the backward pass, to be
played; and of a compiled function the graph after each pass, to be switched between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tinyseq.compiler.pipeline import Stage
from tinyseq.drawing.formats.json import Json, Picture, document
from tinyseq.drawing.layout.edges import layout
from tinyseq.drawing.shared.rolled import is_rolled
from tinyseq.drawing.shared.subject import Subject
from tinyseq.drawing.shared.view import View
from tinyseq.drawing.source.graph_of import after_pass, number_of_pass
from tinyseq.drawing.source.playback import play
from tinyseq.drawing.view.build import build

#: The most nodes that a page draws; a larger graph is folded before, as in any other format.
MOST_ON_A_PAGE: Final = 6000


def page_of(
    view: View,
    subject: Subject,
    stages: Sequence[Stage] = (),
    *,
    after: str | None = None,
    steps: tuple[int, int] | None = None,
    collapse: Sequence[str] = (),
    playable: bool = True,
) -> Json:
    """Return the document of a page.

    Args:
        view: the picture in any other format; it tells the level to start from, and whether loops are rolled up.
        subject: what the picture is of.
        stages: the compiler's passes, to switch between.
        after: the pass to begin with; otherwise the first.
        steps, collapse: as in ``draw``.
        playable: the subject is a forward pass.
    """
    if stages:
        count = len(stages)
        names = [f"{number} {stage.name}" for number, stage in enumerate(stages)]
        subjects = [after_pass(stages, number) for number in range(count)]
        pictures = [
            _picture(name, each, each.rolled and view.rolled, steps, collapse)
            for name, each in zip(names, subjects, strict=True)
        ]
        return document(pictures, "", start=0 if after is None else number_of_pass(stages, after))
    picture = _picture("operations", subject, view.rolled, steps, collapse, playable)
    if view.level != "op" and not view.columns:  # a fold by its own layout is better than folds by the reader's
        whole = _picture(f"by {view.level}", subject, view.rolled, steps, collapse, playable, view)
        return document([whole, picture], view.title)
    folded = view.level != "op" or len(view.items) < len(picture.scene.boxes)
    return document([picture], view.title, folded=folded)


def _picture(
    name: str,
    subject: Subject,
    rolled: bool,
    steps: tuple[int, int] | None,
    collapse: Sequence[str],
    playable: bool = False,
    view: View | None = None,
) -> Picture:
    """Lay out a view or, without one, the graph unfolded, unless it is larger than a page can hold."""
    if not rolled and is_rolled(subject.graph):
        subject = replace(subject, graph=subject.graph.unroll())
    nodes = subject.graph.nodes
    budget = None if len(nodes) <= MOST_ON_A_PAGE else MOST_ON_A_PAGE
    if view is None:
        view = build(subject, steps=steps, budget=budget, rolled=rolled, collapse=collapse)
    if rolled or not playable:
        return Picture(name, layout(view))
    by_serial = {node.serial: node for node in nodes}
    items = {by_serial[serial]: item.id for item in view.items for serial in item.nodes if serial in by_serial}
    return Picture(name, layout(view), play(subject.graph, items, subject.input_values))
