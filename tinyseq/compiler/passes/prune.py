"""Prune: what a scan computes and nobody reads, what it carries without change, what it is given twice. Exact."""

from __future__ import annotations

from tinyseq.compiler.loops import OpenLoop, map_loops
from tinyseq.compiler.rewriting import standing_at, symbol
from tinyseq.graph import Graph, Node, reach
from tinyseq.ops.shape import broadcast_to


def prune(graph: Graph) -> Graph:
    """Drop dead and duplicate inputs, states and outputs of every scan."""
    return map_loops(graph, _prune)


#: What stands for each output of a loop; None for those that are unused, or not known yet.
Results = list[Node | None]


def _prune(loop: OpenLoop, used: set[int]) -> Results:
    # In this order: a state that is a constant may be the same as another constant, and what is passed through then
    # is no reason any more to keep anything.
    results: Results = [None] * (len(loop.states) + len(loop.ys))
    _fix_unchanged(loop, results)
    _give_once(loop)
    _pass_through(loop, used, results)
    _drop_dead(loop, used, results)
    return results


def _fix_unchanged(loop: OpenLoop, results: Results) -> None:
    """A state that never changes is a constant."""
    if loop.cut is not None:  # through a state no gradient passes the cuts, to a constant it comes from every step
        return
    for k, (leaf, after) in enumerate(zip(loop.states, loop.nexts, strict=True)):
        if after is leaf:
            loop.constants.append(leaf)
            loop.values.append(loop.inits[k])
            results[k] = loop.inits[k]


def _give_once(loop: OpenLoop) -> None:
    """Equal sequences, and equal constants, are one."""
    same: dict[Node, Node] = {}
    for leaves, given in ((loop.xs, loop.sequences), (loop.constants, loop.values)):
        first: dict[Node, Node] = {}
        for leaf, value in zip(leaves, given, strict=True):
            kept = first.setdefault(value, leaf)
            if kept is not leaf:
                same[leaf] = kept
    if same:
        loop.replace(same)


def _pass_through(loop: OpenLoop, used: set[int], results: Results) -> None:
    """An output that is only passed through needs no loop."""
    for j, y in enumerate(loop.ys, len(loop.states)):
        if j not in used:
            continue
        if y in loop.xs:
            results[j] = loop.sequences[loop.xs.index(y)]
        elif y in loop.constants:
            value = loop.values[loop.constants.index(y)]
            with standing_at(loop.like):
                results[j] = broadcast_to(symbol(value), (loop.length, *value.shape)).node


def _drop_dead(loop: OpenLoop, used: set[int], results: Results) -> None:
    """Close the loop with what is needed for the results that are not there yet; without any, there is no loop."""
    carries, old_ys = len(loop.states), list(loop.ys)
    wanted = {j: y for j, y in enumerate(old_ys, carries) if j in used and results[j] is None}
    loop.ys = list(dict.fromkeys(wanted.values()))
    kept, needed = _needed(loop, {k for k in range(carries) if k in used and results[k] is None}, results)
    if not loop.ys and not kept:
        return
    loop.states = [loop.states[k] for k in kept]
    loop.inits = [loop.inits[k] for k in kept]
    loop.nexts = [loop.nexts[k] for k in kept]
    for leaves, given in ((loop.xs, loop.sequences), (loop.constants, loop.values)):
        pairs = [(leaf, value) for leaf, value in zip(leaves, given, strict=True) if leaf in needed]
        leaves[:] = [leaf for leaf, _ in pairs]
        given[:] = [value for _, value in pairs]
    ys = list(loop.ys)
    outs = loop.close()
    for position, k in enumerate(kept):
        results[k] = outs[position]
    for j, y in wanted.items():
        results[j] = outs[len(kept) + ys.index(y)]


def _needed(loop: OpenLoop, alive: set[int], results: Results) -> tuple[list[int], set[Node]]:
    """Return the states that the outputs and the states ``alive`` need, and all nodes that are needed for these."""
    while True:  # a state that is needed needs, a step earlier, whatever its next value is computed from
        needed = set(reach([*loop.ys, *(loop.nexts[k] for k in alive)]))
        grown = alive | {k for k, leaf in enumerate(loop.states) if leaf in needed and results[k] is None}
        if grown == alive:
            return sorted(alive), needed
        alive = grown
