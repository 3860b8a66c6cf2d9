"""From a graph to the view model: the first way to draw it that is within the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinyseq.drawing.shared.rolled import STORED, Rolled, is_rolled, roll
from tinyseq.drawing.shared.subject import Subject
from tinyseq.drawing.shared.view import Column, View
from tinyseq.drawing.source.split_backward import mark_backward
from tinyseq.drawing.view.analysis import Analysis, analyze, is_check
from tinyseq.drawing.view.budget import choices
from tinyseq.drawing.view.groups import Groups
from tinyseq.errors import DataError, did_you_mean
from tinyseq.graph import INPUT, LITERAL, Graph, Node

#: How many nodes a picture may have before it folds by itself.
BUDGET = 400
#: Operations one after another that still make a picture; more of them are a sliver.
LONGEST = 40
LEVELS = ("model", "cell", "op")
#: What is said of the gradients in a picture of a compiled graph.
BY_NAME = "∂: the gradients, in which values of the forward pass stand by their names"


def build(
    what: Graph | Subject,
    *,
    level: str = "op",
    steps: tuple[int, int] | None = None,
    budget: int | None = BUDGET,
    title: str | None = None,
    rolled: bool = False,
    collapse: Sequence[str] = (),
) -> View:
    """Return what a picture of the graph shows.

    Args:
        what: the graph, by itself or with what is known about its nodes.
        level: "op", every operation; "cell", one box for each scope and time step; "model", one for each module.
        steps: (first, end): show only these time steps, the end not included.
        budget: the most nodes to show; over it the picture folds, and says so. None: never fold.
        title: a heading.
        rolled: draw each loop once, with delay edges; else its steps are written out side by side.
        collapse: scopes to draw as one box a step.

    Raises:
        DataError: an unknown level or scope, a window without steps, or nothing to draw rolled.
    """
    if level not in LEVELS:
        raise DataError("draw: unknown level", got=repr(level), fix=did_you_mean(str(level), LEVELS))
    subject = Subject(what) if isinstance(what, Graph) else what
    loops = _rolled(subject, rolled, steps) if rolled or level == "model" else None
    if loops is not None:
        if subject.seeds:
            by_name = level == "op" and (budget is None or _ops(loops.graph) <= budget)
            loops = mark_backward(loops, {loops.copy_of.get(seed, seed) for seed in subject.seeds}, by_name)
            subject = replace(subject, notes=(*subject.notes, *([BY_NAME] if by_name else [])))
        subject = _moved(subject, loops)
    elif is_rolled(subject.graph):
        subject = replace(subject, graph=subject.graph.unroll())
    _check(collapse, subject.graph)
    analyses: dict[tuple[str, int | None], Analysis] = {}

    def analysis(level: str, depth: int | None) -> Analysis:
        if (level, depth) not in analyses:
            analyses[level, depth] = analyze(
                subject.graph, depth=depth, collapse=level != "op", folded=collapse, rolled=loops
            )
        return analyses[level, depth]

    sliver = level == "op" and budget is not None and not analysis(level, None).steps and _is_sliver(subject, collapse)
    if sliver:
        level = "cell"
        subject = replace(subject, notes=(*subject.notes, _SLIVER))
    ops = _ops(subject.graph)
    heading = subject.title if title is None else title
    result: View | None = None
    for choice in choices(level, analysis(level, None).steps, steps, budget, ops):
        if loops is not None and choice.columns:
            choice = replace(choice, columns=(Column("every step t", 0),))
        groups = Groups(analysis(choice.level, choice.depth), choice, subject, collapse)
        if budget is None or len(groups) <= budget:
            return groups.view(heading, ops)
        result = None if len(groups) > 4 * max(budget, 100) else groups.view(heading, ops)
    # Nothing is small enough: a graph with very many leaves. The last way is the most folded.
    return result or groups.view(heading, ops)


def _ops(graph: Graph) -> int:
    return sum(node.op not in (INPUT, LITERAL, STORED) and not is_check(node) for node in graph.nodes)


_SLIVER = f"folded to cell level: more than {LONGEST} operations one after another; without a budget they are drawn"


def _is_sliver(subject: Subject, collapse: Sequence[str]) -> bool:
    """Whether a graph without time steps is a long chain, a sliver if drawn, and has modules to fold to."""
    depth: dict[Node, int] = {}
    for node in subject.graph.nodes:
        depth[node] = 1 + max((depth[parent] for parent in node.inputs), default=-1)
    modules = {node.place.scope for node in subject.graph.nodes if node.place.scope}
    return max(depth.values(), default=0) > LONGEST and len(modules) > 3 and not collapse


def _rolled(subject: Subject, asked: bool, steps: tuple[int, int] | None) -> Rolled | None:
    if is_rolled(subject.graph):
        if asked and steps is not None:
            raise DataError("draw: a rolled picture has one step", got=f"steps={steps}", fix="leave out one of the two")
        return roll(subject.graph)
    if asked:
        raise DataError(
            "draw: there is no loop to draw rolled",
            required="a traced graph, in which a layer over time is one loop",
            fix="ts.draw(ts.trace(fn, *args), rolled=True)",
        )
    return None


def _moved(subject: Subject, loops: Rolled) -> Subject:
    """What is known of the nodes of a graph, said of the nodes that stand for them in its rolled form."""
    copies = loops.copy_of
    return replace(
        subject,
        graph=loops.graph,
        changes={copies.get(node, node): change for node, change in subject.changes.items()},
        values={copies.get(node, node): value for node, value in subject.values.items()},
        gradients=None
        if subject.gradients is None
        else {copies.get(node, node): norm for node, norm in subject.gradients.items()},
    )


def _check(collapse: Sequence[str], graph: Graph) -> None:
    if isinstance(collapse, str):
        raise DataError("draw: collapse", required="a list of scopes", got=repr(collapse), fix=f"[{collapse!r}]")
    if not collapse:
        return
    scopes = sorted({node.place.scope for node in graph.nodes if node.place.scope})
    for each in collapse:
        if not any(scope == each or scope.startswith(f"{each}/") for scope in scopes):
            raise DataError("draw: no such scope", got=repr(each), fix=did_you_mean(str(each), scopes))
