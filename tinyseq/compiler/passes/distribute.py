"""Distribute: what a time step computes without needing the state leaves the loop, and is done for all steps at once.

Loop distribution (Allen and Kennedy 1987): one loop for each strongly connected component of the body's dependences
between states; what only feeds a component is done before it, what is only fed by one after it. Contractions always
move, for one large product beats many small ones; element-wise ops move where that makes a product movable, or by the
cost rule (``worth``).

The rounding contract: sums of one dtype are put in order, so that what can leave the loop is added up before what
cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tinyseq.compiler.batching import batched, can_batch
from tinyseq.compiler.loops import LoopPass, OpenLoop, map_loops
from tinyseq.compiler.rewriting import emit, fresh_leaf
from tinyseq.graph import Graph, Leaf, Literal, Node, reach, rebuild
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh

#: An element-wise op leaves the loop if a step of it has at most this many elements: then a call costs more than the
#: memory traffic of doing all steps at once.
FEW_ELEMENTS = 2048


def distribute(graph: Graph) -> Graph:
    """Split the scans of a graph, and move what needs no state out of them."""
    for move in (_order_sums, _fission, _before, _after):
        graph = map_loops(graph, _unless_recomputed(move))
    return graph


def _unless_recomputed(move: LoopPass) -> LoopPass:
    """Leave a loop whole while it is still to be computed twice: what it reads from outside would have to be kept."""
    return lambda loop, used: list(loop.close()) if loop.recompute else move(loop, used)


def _worth(node: Node) -> bool:
    return bool(math.prod(node.shape) <= FEW_ELEMENTS)


def _order_sums(loop: OpenLoop, used: set[int]) -> list[Node | None]:
    """Add up what needs no state first."""
    free = _free_of_state(loop)
    users: dict[Node, int] = {}
    for node in loop.nodes():
        for parent in node.inputs:
            users[parent] = users.get(parent, 0) + 1

    outputs = {*loop.nexts, *loop.ys}

    def is_part(x: Node, total: Node) -> bool:
        """Whether a term is itself a sum, which nothing else reads."""
        alone = users.get(x) == 1 and x not in free and x not in outputs
        return alone and x.op is ew.add and x.shape == total.shape

    ordered: dict[Node, tuple[list[Node], list[Node]]] = {}
    within: set[Node] = set()  # a sum that is put in order: so are its parts
    for node in reversed(loop.nodes()):
        if node.op is ew.add and node not in free and node not in within:
            terms, parts = _flat(node, is_part)
            if (order := _early_first(node, terms, free)) is not None:
                ordered[node] = order
                within |= parts
    if ordered:
        mapping = {node: _sum(node, *ordered[node]) for node in loop.nodes() if node in ordered}
        new = rebuild([*loop.nexts, *loop.ys], lambda node, inputs: None, _closed(loop, mapping))
        loop.nexts, loop.ys = new[: len(loop.nexts)], new[len(loop.nexts) :]
    return list(loop.close())


def _flat(node: Node, is_part: Callable[[Node, Node], bool]) -> tuple[list[Node], set[Node]]:
    """Return the terms of a sum in their order, and the sums among them that were taken apart."""
    terms, parts, todo = [], set(), list(reversed(node.inputs))
    while todo:
        x = todo.pop()
        if is_part(x, node):
            parts.add(x)
            todo.extend(reversed(x.inputs))
        else:
            terms.append(x)
    return terms, parts


def _early_first(node: Node, terms: list[Node], free: set[Node]) -> tuple[list[Node], list[Node]] | None:
    """Return a sum's terms that need no state, and the others; None where the order gains nothing, or loses digits."""
    tensors = [x for x in terms if not isinstance(x, Literal)]
    early = [x for x in tensors if x in free]
    late = [x for x in terms if isinstance(x, Literal) or x not in free]
    if len(early) < 2 or not late or any(x.dtype != node.dtype for x in tensors):
        return None
    return early, late


def _sum(node: Node, early: list[Node], late: list[Node]) -> Node:
    total = early[0]
    for x in early[1:]:
        total = emit(node, ew.add, total, x)
    for x in late:
        total = emit(node, ew.add, x, total)
    total.name = node.name
    return total


def _closed(loop: OpenLoop, mapping: dict[Node, Node]) -> dict[Node, Node]:
    """Make replacements refer to each other's results, inputs first."""
    known: dict[Node, Node] = {}
    for node in loop.nodes():
        if node in mapping:
            known[node] = rebuild([mapping[node]], lambda n, inputs: None, dict(known))[0]
    return known


def _free_of_state(loop: OpenLoop) -> set[Node]:
    tied = loop.depends(list(loop.states))
    return {node for node in loop.nodes() if node not in tied}


def _components(loop: OpenLoop) -> list[list[int]]:
    """Return the states in strongly connected components, each after those that it depends on."""
    # State j depends on k where its next value is computed from k. Two states are in one component where each depends
    # on the other, in however many steps; states are few, so the closure may be taken the plain way.
    count = len(loop.states)
    needs = [set(reach([after])) for after in loop.nexts]
    direct = [{k for k in range(count) if loop.states[k] in needs[j]} for j in range(count)]
    closure = [set(d) | {j} for j, d in enumerate(direct)]
    for _ in range(count):
        for j in range(count):
            for k in list(closure[j]):
                closure[j] |= closure[k]
    groups: list[list[int]] = []
    # Who depends on more comes later: what a state depends on depends on fewer (or is in its component).
    for j in sorted(range(count), key=lambda j: len(closure[j])):
        group = sorted(k for k in closure[j] if j in closure[k])
        if group not in groups:
            groups.append(group)
    return groups


def _fission(loop: OpenLoop, used: set[int]) -> list[Node | None]:
    """One loop for each component: a later one reads an earlier one's values as sequences.

    An output that needs no state belongs to no component: the last loop, which has all sequences, makes it.
    """
    groups = _components(loop)
    if len(groups) < 2:
        return list(loop.close())
    carries = len(loop.states)
    results: list[Node | None] = [None] * (carries + len(loop.ys))
    done: dict[Node, tuple[Leaf, Node]] = {}  # body node of an earlier loop -> its leaf in later ones, its sequence
    ys, nexts = list(loop.ys), list(loop.nexts)
    tied = loop.depends(list(loop.states))
    for index, group in enumerate(groups):
        last = index == len(groups) - 1
        roots = [nexts[k] for k in group]
        later = [nexts[k] for g in groups[index + 1 :] for k in g]
        # What needs no state is not exposed: later loops compute it again from the sequences, until ``_before`` moves
        # it out of all of them and equal nodes become one.
        own = reach([*roots, *(loop.states[k] for k in group)], stop=done.__contains__)
        mine = [n for n in own if n in tied and n not in done]
        exposed = [] if last else _read_elsewhere(mine, [*later, *ys], done)
        wanted = [y for y in ys if last or y in mine]
        part = OpenLoop(
            loop.like,
            [loop.states[k] for k in group],
            [loop.inits[k] for k in group],
            roots,
            [*loop.xs, *(leaf for leaf, _ in done.values())],
            [*loop.sequences, *(sequence for _, sequence in done.values())],
            list(loop.constants),
            list(loop.values),
            list(dict.fromkeys([*exposed, *wanted])),
            loop.length,
            loop.reverse,
            loop.cut,
        )
        part_ys = list(part.ys)
        part.replace({node: leaf for node, (leaf, _) in done.items()})
        outs = part.close()
        for position, k in enumerate(group):
            results[k] = outs[position]
        stacked = {y: outs[len(group) + j] for j, y in enumerate(part_ys)}
        for j, y in enumerate(ys):
            if results[carries + j] is None and y in stacked:
                results[carries + j] = stacked[y]
        for node in exposed:
            leaf = fresh_leaf(node)
            done[node] = (leaf, stacked[node])
    return results


def _read_elsewhere(mine: list[Node], roots: list[Node], done: Mapping[Node, Any]) -> list[Node]:
    """Return those of a loop's own nodes that something outside of it reads; what is done reads nothing any more."""
    inside = set(mine)
    read = set(roots)
    for user in reach(roots, stop=done.__contains__):
        if user not in inside and user not in done:
            read.update(user.inputs)
    return [node for node in mine if node in read]


def _at_once(roots: list[Node], outside: dict[Node, Node], per_step: set[Node], length: int) -> list[Node]:
    """Return body nodes computed outside of the loop; of those that differ from step to step, all steps at once."""

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if isinstance(node, Literal):
            return node
        stacked = [parent in per_step for parent in node.inputs]
        return batched(node, inputs, stacked, length) if any(stacked) else None

    return rebuild(roots, rule, outside)


def _before(loop: OpenLoop, used: set[int]) -> list[Node | None]:
    """Move what needs sequences but no state to before the loop."""
    per_step = loop.depends(list(loop.xs))
    movable = _movable(loop, per_step)
    wanted = _worth_moving(loop, movable)
    wanted |= _grown(loop, wanted, movable)
    if not wanted:
        return list(loop.close())
    outside: dict[Node, Node] = dict(zip([*loop.constants, *loop.xs], [*loop.values, *loop.sequences], strict=True))
    nodes = loop.nodes()
    # Of what is moved, only what the rest of the loop reads comes back into it, as a sequence.
    crossing = [
        n
        for n in nodes
        if n in wanted and (n in loop.nexts or n in loop.ys or any(n in u.inputs for u in nodes if u not in wanted))
    ]
    inner: dict[Node, Node] = {}
    for node, sequence in zip(crossing, _at_once(crossing, outside, per_step, loop.length), strict=True):
        leaf = fresh_leaf(node)
        loop.xs.append(leaf)
        loop.sequences.append(sequence)
        inner[node] = leaf
    loop.replace(inner)
    return list(loop.close())


def _movable(loop: OpenLoop, per_step: set[Node]) -> set[Node]:
    """Return what can be computed for all steps at once from sequences, these included."""
    free = _free_of_state(loop)
    movable: set[Node] = set(loop.xs)
    for node in loop.nodes():
        if node in free and node in per_step and node.inputs and not isinstance(node.dtype, tuple):
            stacked = [parent in per_step for parent in node.inputs]
            ready = all(parent in movable for parent in node.inputs if parent in per_step)
            if ready and can_batch(node, stacked):
                movable.add(node)
    return movable


def _worth_moving(loop: OpenLoop, movable: set[Node]) -> set[Node]:
    """Return products and small element-wise ops that can move, with what they are made of."""
    wanted: set[Node] = set()
    for node in reversed(loop.nodes()):
        if node in movable and node.inputs:
            chosen = node.op is linalg.matmul or (_worth(node) and not isinstance(node.op, sh.Structural))
            if chosen:
                wanted |= {n for n in reach([node]) if n in movable}
    return {n for n in wanted if n.inputs}


def _grown(loop: OpenLoop, wanted: set[Node], movable: set[Node]) -> set[Node]:
    """A sum with a product that has left the loop leaves too, where its other terms can: the loop adds once less."""
    grown: set[Node] = set()
    for node in loop.nodes():
        if node.op is ew.add and node in movable and any(p in wanted or p in grown for p in node.inputs):
            grown |= {n for n in reach([node]) if n in movable and n.inputs}
    return grown


def _after(loop: OpenLoop, used: set[int]) -> list[Node | None]:
    """Move products that only feed outputs to after the loop."""
    carries = len(loop.states)
    per_step = loop.depends([*loop.states, *loop.xs])
    deferred = _only_for_outputs(loop, per_step)
    targets = [j for j, y in enumerate(loop.ys) if y in deferred]
    if not targets:
        return list(loop.close())
    old_ys = list(loop.ys)
    inner = set(reach([old_ys[j] for j in targets], stop=lambda n: n not in deferred))
    # What the moved products read of each step takes their place among what is stacked; constants are there anyway.
    edge = [n for n in sorted(inner, key=lambda n: n.serial) if n not in deferred and n in per_step]
    loop.ys = list(dict.fromkeys([*(y for y in old_ys if y not in deferred), *edge]))
    new_ys = list(loop.ys)
    outs = loop.close()
    outside: dict[Node, Node] = dict(zip(loop.constants, loop.values, strict=True))
    outside |= {n: outs[carries + new_ys.index(n)] for n in edge}
    moved = _at_once([old_ys[j] for j in targets], outside, per_step, loop.length)
    results: list[Any] = [*outs[:carries], *(None for _ in old_ys)]
    for j, y in enumerate(old_ys):
        results[carries + j] = moved[targets.index(j)] if j in targets else outs[carries + new_ys.index(y)]
    return results


def _only_for_outputs(loop: OpenLoop, per_step: set[Node]) -> set[Node]:
    """Return products, and what can be done at once with them, that nothing else in the loop reads."""
    needed = set(reach(loop.nexts))  # for the next state: it must be there within the step
    deferred: set[Node] = set()
    for node in loop.nodes():
        if node in needed or node not in per_step or not node.inputs or isinstance(node.dtype, tuple):
            continue
        stacked = [parent in per_step for parent in node.inputs]
        starts = node.op is linalg.matmul and math.prod(node.shape) > 0
        if can_batch(node, stacked) and (starts or any(parent in deferred for parent in node.inputs)):
            deferred.add(node)
    # One that a node of the loop reads has to be computed there all the same, and twice would gain nothing.
    return {n for n in deferred if all(u in deferred for u in loop.nodes() if n in u.inputs)}
