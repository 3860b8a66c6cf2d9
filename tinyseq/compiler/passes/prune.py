"""Prune: what a scan computes and nobody reads, what it carries without change, what it is given twice. Exact."""

from __future__ import annotations

from tinyseq.compiler.loops import Loop, map_loops
from tinyseq.compiler.rewriting import standing_at, symbol
from tinyseq.graph import Graph, Node, reach
from tinyseq.ops.shape import broadcast_to


def prune(graph: Graph) -> Graph:
    """Drop dead and duplicate inputs, states and outputs of every scan."""
    return map_loops(graph, _prune)


def _prune(loop: Loop, used: set[int]) -> list[Node | None]:
    carries = len(loop.states)
    results: list[Node | None] = [None] * (carries + len(loop.ys))
    old_states, old_nexts, old_ys = list(loop.states), list(loop.nexts), list(loop.ys)

    # A state that never changes is a constant; equal sequences and constants are one.
    same: dict[Node, Node] = {}
    for k, (leaf, after) in enumerate(zip(old_states, old_nexts, strict=True)):
        if after is leaf and loop.cut is None:
            loop.constants.append(leaf)
            loop.values.append(loop.inits[k])
            results[k] = loop.inits[k]
    for leaves, given in ((loop.xs, loop.sequences), (loop.constants, loop.values)):
        first: dict[Node, Node] = {}
        for leaf, value in zip(leaves, given, strict=True):
            kept = first.setdefault(value, leaf)
            if kept is not leaf:
                same[leaf] = kept
    if same:
        loop.replace(same)
        old_nexts, old_ys = list(loop.nexts), list(loop.ys)

    # An output that is only passed through needs no loop.
    for j, y in enumerate(old_ys):
        if carries + j not in used:
            continue
        if y in loop.xs:
            results[carries + j] = loop.sequences[loop.xs.index(y)]
        elif y in loop.constants:
            value = loop.values[loop.constants.index(y)]
            with standing_at(loop.like):
                results[carries + j] = broadcast_to(symbol(value), (loop.length, *value.shape)).node

    wanted_ys = list(
        dict.fromkeys(y for j, y in enumerate(old_ys) if carries + j in used and results[carries + j] is None)
    )
    alive: set[int] = {k for k in range(carries) if k in used and results[k] is None}
    while True:
        needed = set(reach([*wanted_ys, *(old_nexts[k] for k in alive)]))
        grown = alive | {k for k, leaf in enumerate(old_states) if leaf in needed and results[k] is None}
        if grown == alive:
            break
        alive = grown
    if not wanted_ys and not alive:
        return results
    keep = sorted(alive)
    loop.states = [old_states[k] for k in keep]
    loop.inits = [loop.inits[k] for k in keep]
    loop.nexts = [old_nexts[k] for k in keep]
    loop.ys = wanted_ys
    for leaves, given in ((loop.xs, loop.sequences), (loop.constants, loop.values)):
        kept_pairs = [(leaf, value) for leaf, value in zip(leaves, given, strict=True) if leaf in needed]
        leaves[:] = [leaf for leaf, _ in kept_pairs]
        given[:] = [value for _, value in kept_pairs]
    outs = loop.close()
    for position, k in enumerate(keep):
        results[k] = outs[position]
    for j, y in enumerate(old_ys):
        if results[carries + j] is None and carries + j in used:
            results[carries + j] = outs[len(keep) + wanted_ys.index(y)]
    return results
