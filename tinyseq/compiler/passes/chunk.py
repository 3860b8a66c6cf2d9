"""Chunk: a loop whose state is a matrix, s' = a_t s + k_t v_tᵀ, read by products alone, becomes a loop over chunks.

Within a chunk of C steps all is products of matrices, between chunks the recurrence is C times shorter (the duality of
linear attention: Katharopoulos et al. 2020; in chunks: Hua et al. 2022, Yang et al. 2024). With d_ij the product of the
decays after step j up to step i of a chunk, and d_i0 that of all up to i,

    y_i = q_i s d_i0 + sum_j (q_i k_j) d_ij v_j,        s' = s d_C0 + sum_j d_Cj k_j v_jᵀ.

The d are products of decays, made by a short loop of C steps for all chunks together: no logarithm is taken and nothing
is divided, so that decays of 0, above 1 and negative ones are like any other, and a product underflows only where the
recurrence's does. The decay is one number for each matrix (scalar); a body that the proof does not fit is left alone:
another kind of decay, a read of the state other than a product, truncation, a loop to be computed again, short loops
and small matrices, where nothing is gained.

The rounding contract: terms of a state are multiplied out before they are added up; a value that is finite in the
recurrence is so here unless a single term, q_i k_j d_ij v_j, overflows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tinyseq.compiler.batching import batched, can_batch
from tinyseq.compiler.loops import OpenLoop, symbol_of
from tinyseq.compiler.rewriting import emit, fixed, standing_at, symbol
from tinyseq.graph import Graph, Leaf, Literal, Node, reach, rebuild
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh
from tinyseq.ops.scan import scan
from tinyseq.ops.tuples import pick

#: A smaller matrix is worked through as fast step by step.
FEW_ELEMENTS = 256
LONGEST = 64


@dataclass
class _Affine:
    """s' = a s + sum of k vᵀ: nodes of the body that do not depend on s; an ``a`` of None is 1."""

    decay: Node | None
    terms: list[tuple[Node, Node]]


def chunk(graph: Graph, steps: int | None = None) -> Graph:
    """Rewrite the loops of a graph that can be, in chunks of ``steps`` steps, by default as many as a state is wide."""
    readers = _readers(graph)
    outputs_of: dict[Node, list[Any]] = {}
    reads: dict[Node, tuple[Node, int, int]] = {}
    whole: dict[Node, _Chunks] = {}
    for node in graph.nodes:
        if node.op is scan and (readable := _readable(node, readers, set(graph.outputs), steps)) is not None:
            outputs_of[node] = []
            reads |= {read: (node, index, place) for read, index, place in readable}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node in outputs_of:
            whole[node] = chunks = _Chunks(_opened(node, inputs), steps)
            outputs_of[node] = [chunks.last, *chunks.stacked()]
        elif node.op is pick and node.inputs[0] in outputs_of:
            return outputs_of[node.inputs[0]][node.attrs["index"]] or None
        elif node in reads:
            of, index, place = reads[node]
            return whole[of].read(node, index, inputs[1 - place], place)
        return None

    return Graph(rebuild(graph.outputs, rule), graph.inputs) if outputs_of else graph


# -- the proof ---------------------------------------------------------------------------------------------------------


def _readers(graph: Graph) -> dict[Node, list[Node]]:
    readers: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        for parent in node.inputs:
            readers.setdefault(parent, []).append(node)
    return readers


def _readable(
    node: Node, readers: dict[Node, list[Node]], outputs: set[Node], steps: int | None
) -> list[tuple[Node, int, int]] | None:
    """Return the products that read what a loop stacks of its state, each with the loop's output, and that one's place
    in the product; None where it stays a loop."""
    loop = _opened(node, node.inputs)
    if (
        len(loop.states) != 1
        or loop.cut
        or loop.recompute
        or not _worth(loop, steps)
        or (known := _affine(loop)) is None
    ):
        return None
    reads: list[tuple[Node, int, int]] = []
    for one in readers.get(node, []):
        index = one.attrs["index"]
        if index == 0 or loop.ys[index - 1] not in known:
            continue
        if one in outputs:
            return None
        for read in readers.get(one, []):
            if read.op is not linalg.matmul:
                return None
            place = 0 if read.inputs[0] is one else 1
            other = read.inputs[1 - place]
            if other is one or len(other.shape) != len(one.shape):
                return None
            reads.append((read, index, place))
    return reads or None


def _opened(node: Node, inputs: tuple[Node, ...]) -> OpenLoop:
    """Return a loop's parts, with the sums and products that were made for all steps before it drawn in again."""
    loop = OpenLoop.open(node, inputs)
    shapes = {state.shape for state in loop.states}
    place = 0
    while place < len(loop.xs):  # what is drawn in may be made of more
        made, leaf = loop.sequences[place], loop.xs[place]
        if made.op in (ew.add, ew.mul, linalg.matmul) and leaf.shape in shapes and _has_steps(made):
            parts = [_step_of(loop, x, made) for x in made.inputs]
            loop.replace({leaf: emit(made, made.op, *parts)})
        place += 1
    return loop


def _has_steps(made: Node) -> bool:
    """Whether each operand of an op on sequences is a sequence, a number, or lacks the axis of time."""
    rank = len(made.shape)
    return all(len(x.shape) < rank or x.shape[0] == made.shape[0] for x in made.inputs if not isinstance(x, Literal))


def _step_of(loop: OpenLoop, x: Node, made: Node) -> Node:
    """Return what stands in the body for an operand of an op on sequences."""
    if isinstance(x, Literal):
        return x
    steps = len(x.shape) == len(made.shape)
    leaf = Leaf(x.shape[1:] if steps else x.shape, x.dtype, True)
    leaves, values = (loop.xs, loop.sequences) if steps else (loop.constants, loop.values)
    leaves.append(leaf)
    values.append(x)
    return leaf


def _worth(loop: OpenLoop, steps: int | None) -> bool:
    state = loop.states[0]
    if len(state.shape) < 2 or state.dtype.kind != "f" or not math.prod(state.shape):
        return False
    return steps is not None or (
        math.prod(state.shape[-2:]) >= FEW_ELEMENTS and loop.length >= 2 * _length(loop, steps)
    )


def _length(loop: OpenLoop, steps: int | None) -> int:
    """Return the steps of a chunk: a step has C (dk + dv) values within one, and dk dv / C of the loop between."""
    k, v = loop.states[0].shape[-2:]
    wanted = steps or min(LONGEST, max(16, 2 ** round(math.log2(2 * k * v / (k + v)))))
    return min(wanted, loop.length)


def _affine(loop: OpenLoop) -> dict[Node, _Affine] | None:
    """Prove a loop's only carry affine with a scalar decay, and what is made of it up to the reads."""
    state, roots = loop.states[0], [loop.nexts[0], *loop.ys]
    tied = loop.depends([state])
    per_step = loop.depends([*loop.xs, state])
    free = [n for n in loop.nodes() if n not in tied and n in per_step and n.inputs]
    if not all(can_batch(n, [x in per_step for x in n.inputs]) for n in free):
        return None
    known: dict[Node, _Affine] = {state: _Affine(None, [])}
    for node in reach(roots):
        if node in tied and node not in known:
            if (made := _step(node, known, tied)) is None or node.shape != state.shape or node.dtype != state.dtype:
                return None
            known[node] = made
    return known if loop.nexts[0] in known else None


def _step(node: Node, known: dict[Node, _Affine], tied: set[Node]) -> _Affine | None:
    if node.op is ew.mul and (node.inputs[0] in tied) != (node.inputs[1] in tied):
        x, factor = sorted(node.inputs, key=lambda n: n not in tied)
        return _scaled(node, known[x], factor) if _is_number(factor) else None
    if node.op is ew.where and node.inputs[0] not in tied and _is_number(node.inputs[0]):
        return _chosen(node, known, tied)
    if node.op is ew.add and (node.inputs[0] in tied) != (node.inputs[1] in tied):
        x, added = sorted(node.inputs, key=lambda n: n not in tied)
        terms = _outers(added, node)
        return None if terms is None else _Affine(known[x].decay, [*known[x].terms, *terms])
    return None


def _is_number(node: Node) -> bool:
    """Whether a factor is one number for each matrix."""
    return isinstance(node, Literal) or node.shape[-2:] in ((), (1,), (1, 1))


def _scaled(like: Node, x: _Affine, factor: Node) -> _Affine:
    decay = factor if x.decay is None else emit(like, ew.mul, x.decay, factor)
    return _Affine(decay, [(emit(like, ew.mul, k, factor), v) for k, v in x.terms])


def _chosen(node: Node, known: dict[Node, _Affine], tied: set[Node]) -> _Affine | None:
    """Return what a choice by a mask is: where the state is kept, the decay is 1 and nothing is written."""
    mask, *sides = node.inputs
    if any(side not in tied for side in sides):
        return None
    kept, terms = [], []
    for number, side in enumerate(sides):
        one = known[side]
        kept.append(1.0 if one.decay is None else symbol(one.decay))
        for k, v in one.terms:
            with standing_at(node):
                pair = (symbol(k), 0.0) if number == 0 else (0.0, symbol(k))
                terms.append((ew.where(symbol(mask), *pair).node, v))
    if all(known[side].decay is None for side in sides):
        return _Affine(None, terms)
    with standing_at(node):
        return _Affine(ew.where(symbol(mask), *kept).node, terms)


def _outers(node: Node, like: Node) -> list[tuple[Node, Node]] | None:
    """Return the terms of a sum of k vᵀ; None where one is something else."""
    terms: list[tuple[Node, Node]] = []
    todo = [node]
    while todo:
        x = todo.pop()
        if x.op is ew.add:
            todo += x.inputs
        elif (term := _outer(x, like)) is not None:
            terms.append(term)
        else:
            return None
    return terms


def _outer(node: Node, like: Node) -> tuple[Node, Node] | None:
    """Return k and v of a term k vᵀ, (..., dk, 1) and (..., 1, dv): a product of columns, rows and numbers."""
    if node.op is linalg.matmul and node.inputs[0].shape[-1:] == (1,) and min(len(x.shape) for x in node.inputs) > 1:
        return node.inputs[0], node.inputs[1]
    columns, rows, todo = [], [], [node]
    while todo:
        x = todo.pop()
        if isinstance(x, Literal) or x.shape[-1:] in ((), (1,)):
            columns.append(x)
        elif x.shape[-2:-1] in ((), (1,)):
            rows.append(x)
        elif x.op is ew.mul:
            todo += x.inputs
        else:
            return None
    columns.sort(key=lambda x: isinstance(x, Literal))
    if not columns or not rows or isinstance(columns[0], Literal) or len(columns[0].shape) < 2:
        return None
    k, v = columns[0], rows[0]
    for x in columns[1:]:
        k = emit(like, ew.mul, k, x)
    for x in rows[1:]:
        v = emit(like, ew.mul, v, x)
    return k, v


# -- the rewriting -----------------------------------------------------------------------------------------------------


class _Chunks:
    """A loop in chunks: sequences are (n, ..., C, features), the states before them (n, ..., dk, dv)."""

    def __init__(self, loop: OpenLoop, steps: int | None) -> None:
        self.loop, self.size = loop, _length(loop, steps)
        self.count = -(-loop.length // self.size)
        self.state = loop.states[0]
        self.per_step = loop.depends([*loop.xs])
        self.outside: dict[Node, Node] = dict(
            zip([*loop.constants, *loop.xs], [*loop.values, *loop.sequences], strict=True)
        )
        known = _affine(loop)
        assert known is not None
        self.known = known
        with standing_at(loop.like):
            self._between(known[loop.nexts[0]])

    def _between(self, affine: _Affine) -> None:
        """Make the decays within chunks, what each chunk writes, and the loop over chunks."""
        self.terms = self._vectors(affine)
        self.decays, self.earlier, last = self._decays(affine.decay)
        final = last[..., :1], sh.swapaxes(last[..., 1:], -1, -2)
        written: Any = sh.zeros_like(symbol_of(self.loop.inits[0])) if not self.terms else None
        for k, v in self.terms:
            term = sh.swapaxes(k * final[1], -1, -2) @ v
            written = term if written is None else written + term
        s = Leaf(self.state.shape, self.state.dtype, True, self.state.name)
        p = Leaf(tuple(final[0].shape[1:]), self.state.dtype, True)
        u = Leaf(tuple(written.shape[1:]), self.state.dtype, True)
        after = symbol(p) * symbol(s) + symbol(u)
        body = Graph([after.node, s], [s, p, u])
        given = symbol_of(self.loop.inits[0]), final[0], written
        out, self.before = scan(*given, body=body, carries=1, sequences=2, length=self.count, reverse=False, cut=None)
        self.last: Node = out.node

    def _vectors(self, affine: _Affine) -> list[tuple[Any, Any]]:
        """Return k and v of each term, as chunks."""
        *lead, dk, dv = self.state.shape
        return [
            (self._cut(self._sequence(k, (*lead, dk, 1))), self._cut(self._sequence(v, (*lead, 1, dv))))
            for k, v in affine.terms
        ]

    def _factors(self, decay: Node | None) -> Any:
        """Return a decay as chunks (n, ..., C, 1), 1 past the end."""
        shape = (*self.state.shape[:-2], 1, 1)
        one = sh.broadcast_to(fixed((1.0,), self.state.dtype), (self.loop.length, *shape))
        return self._cut(one if decay is None else self._sequence(decay, shape), 1.0)

    def _decays(self, decay: Node | None) -> tuple[Any, Any, Any]:
        """Return d (n, ..., C, 1 + C), the state's own first; d before each step; its last row."""
        size, dtype = self.size, self.state.dtype
        a = sh.swapaxes(self._factors(decay), 0, -2)  # (C, ..., n, 1)
        rows = fixed(tuple(float(j == i + 1) for i in range(size) for j in range(size + 1)), dtype)
        shape = (*a.shape[1:-1], size + 1)
        start = sh.broadcast_to(fixed((1.0, *(0.0,) * size), dtype), shape)
        d, x, row = Leaf(shape, dtype, True), Leaf(a.shape[1:], dtype, True), Leaf((size + 1,), dtype, False)
        after = (symbol(x) * symbol(d) + symbol(row)).node
        given = start, a, sh.reshape(rows, (size, size + 1))
        last, later, earlier = scan(
            *given,
            body=Graph([after, after, d], [d, x, row]),
            carries=1,
            sequences=2,
            length=size,
            reverse=False,
            cut=None,
        )
        last = sh.reshape(last, (1, *last.shape))
        return sh.swapaxes(later, 0, -2), sh.swapaxes(earlier, 0, -2), sh.swapaxes(last, 0, -2)

    def _sequence(self, node: Node, shape: tuple[int, ...]) -> Any:
        """Return a node of the body at every step, (T, *shape)."""

        def rule(one: Node, inputs: tuple[Node, ...]) -> Node | None:
            if isinstance(one, Literal):
                return one
            stacked = [x in self.per_step or self._varies(x) for x in one.inputs]
            return batched(one, inputs, stacked, self.loop.length) if any(stacked) else None

        varies = self._varies(node)
        if isinstance(node, Literal):
            return sh.broadcast_to(fixed((node.attrs["value"],), self.state.dtype), (self.loop.length, *shape))
        value = symbol_of(rebuild([node], rule, self.outside)[0])
        own = tuple(node.shape)
        aligned = (self.loop.length if varies else 1, *(1,) * (len(shape) - len(own)), *own)
        return sh.broadcast_to(sh.reshape(value, aligned), (self.loop.length, *shape))

    def _varies(self, node: Node) -> bool:
        return any(x in self.per_step for x in reach([node]))

    def _cut(self, x: Any, filler: float = 0.0) -> Any:
        """Return a sequence (T, ..., dk, 1) or (T, ..., 1, dv) as chunks (n, ..., C, features)."""
        *lead, rows, columns = x.shape[1:]
        return self._rows(sh.reshape(x, (x.shape[0], *lead, 1, rows * columns)), filler)

    def _rows(self, x: Any, filler: float = 0.0) -> Any:
        """Return a sequence (T, ..., m, features) as chunks (n, ..., C m, features)."""
        if self.loop.reverse:
            x = sh.flip(x, 0)
        if missing := self.count * self.size - self.loop.length:
            x = sh.pad(x, ((0, missing), *((0, 0),) * (len(x.shape) - 1)), filler)
        *lead, rows, features = x.shape[1:]
        x = sh.reshape(x, (self.count, self.size, *lead, rows, features))
        axes = range(2, 2 + len(lead))
        x = sh.transpose(x, 0, *axes, 1, len(x.shape) - 2, len(x.shape) - 1)
        return sh.reshape(x, (self.count, *lead, self.size * rows, features))

    def _steps(self, y: Any, rows: int) -> Any:
        """Return chunks (n, ..., C m, features) as a sequence (T, ..., m, features)."""
        *lead, _, features = y.shape[1:]
        y = sh.reshape(y, (self.count, *lead, self.size, rows, features))
        place = 1 + len(lead)
        y = sh.transpose(y, 0, place, *range(1, place), place + 1, place + 2)
        y = sh.reshape(y, (self.count * self.size, *lead, rows, features))
        y = sh.slice_(y, (slice(0, self.loop.length),))
        return sh.flip(y, 0) if self.loop.reverse else y

    def stacked(self) -> list[Node | None]:
        """Return what the loop stacked besides the states; None for these."""
        with standing_at(self.loop.like):
            return [None if y in self.known else self._sequence(y, tuple(y.shape)).node for y in self.loop.ys]

    def read(self, like: Node, index: int, other: Node, place: int) -> Node:
        """Return the product of a value of every step with ``other``; ``place`` is where the value stands in it."""
        node = self.loop.ys[index - 1]
        with standing_at(like):
            q = symbol_of(other) if place == 1 else sh.swapaxes(symbol_of(other), -1, -2)  # s q = (qᵀ sᵀ)ᵀ
            rows = q.shape[-2]
            q = self._rows(sh.broadcast_to(q, (self.loop.length, *self.state.shape[:-2], *q.shape[-2:])))
            d, own = self.decays, []
            if node is not self.loop.nexts[0]:  # from the state before the step, and what this step adds to it
                d = self.earlier * self._factors(self.known[node].decay)
                own = self._vectors(self.known[node])
            d = _repeated(d, rows)
            y: Any = (q * d[..., :1]) @ (self.before if place == 1 else sh.swapaxes(self.before, -1, -2))
            for k, v in (term[:: 2 * place - 1] for term in self.terms):
                y = y + ((q @ sh.swapaxes(k, -1, -2)) * d[..., 1:]) @ v
            for k, v in (term[:: 2 * place - 1] for term in own):
                y = y + (q * _repeated(k, rows)).sum(-1, keepdims=True) * _repeated(v, rows)
            y = self._steps(y, rows)
            return (sh.swapaxes(y, -1, -2) if place == 0 else y).node  # type: ignore[no-any-return]


def _repeated(x: Any, rows: int) -> Any:
    """Return what stands for each step, (n, ..., C, features), for each of its rows, (n, ..., C rows, features)."""
    if rows == 1:
        return x
    *lead, size, features = x.shape
    x = sh.broadcast_to(sh.reshape(x, (*lead, size, 1, features)), (*lead, size, rows, features))
    return sh.reshape(x, (*lead, size * rows, features))
