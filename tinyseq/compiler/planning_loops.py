"""The memory of a loop: which of its values share a buffer of all steps, and what is copied before and after.

States are written by each step to where the next one reads them. A concatenation of states, inputs and computed values
gets one buffer, in which every part has its seat; what comes from outside is written there before the loop:

    place    0     1     2   ...   T        step t reads place t, [h_t, x_t, 1], as the left operand of its product,
    h       h_0 > h_1 > h_2  ...  h_T       and its last kernel writes h_{t+1} to place t + 1;
    x       x_0   x_1   x_2  ...            x and 1 are written before the loop, h_0 is copied in;
    1        1     1     1   ...            the outputs of all steps are places 1 to T of h: nothing is copied out

(docs/compiler.md). In a loop that runs the other way step t reads place t + 1 and writes place t.
"""

from __future__ import annotations

from collections.abc import Mapping

from tinyseq.compiler.layout import COLUMNS, CONTRACTED, STACKED, Order, aligned, padded
from tinyseq.compiler.plan import Copy, Loop, Operand, Ref
from tinyseq.compiler.scheduling import VIEWS
from tinyseq.compiler.storage import Emitted, Storage, Track
from tinyseq.errors import GraphError
from tinyseq.graph import Graph, Node
from tinyseq.ops import shape as sh
from tinyseq.ops.scan import ScanParts, scan
from tinyseq.ops.tuples import pick


class LoopPlanner:
    """Places for the values of one loop. ``local`` says where its body finds a value, ``homes`` where to write one,
    ``tails`` what is copied at the end of a step; ``seated`` gives sequences that now lie within a buffer of the loop.

    Raises:
        GraphError: a scan within the body of a scan, which is written out when it is traced.
    """

    def __init__(self, storage: Storage, node: Node, given: Mapping[Node, Operand], out: Emitted) -> None:
        self.storage, self.node, self.out = storage, node, out
        self.body: Graph = node.attrs["body"]
        if any(inner.op is scan for inner in self.body.nodes):
            raise GraphError("a scan within a scan cannot be planned", where=node.where)
        parts = ScanParts.of(node.attrs, node.inputs)
        self.states, self.xs, self.constants = parts.states, parts.xs, parts.constants
        self.nexts, self.ys = parts.nexts, parts.ys
        self.outside = dict(zip(self.body.inputs, node.inputs, strict=True))
        self.given = {leaf: given[x] for leaf, x in self.outside.items()}
        self.loop = Loop(node, node.attrs["length"], node.attrs["reverse"])
        #: How many steps on, in memory, a state lies before a step and after it.
        self.before, self.after = (1, 0) if self.loop.reverse else (0, 1)
        self.factors = storage.layout.factors(node)
        self.local: dict[Node, Operand] = {}
        self.homes: dict[Node, Ref] = {}
        self.tracks: dict[Node, Track] = {}
        self.tails: list[tuple[Node, Ref]] = []
        self.seated: dict[Node, Ref] = {}
        for joined in self.body.nodes:
            if self.can_seat(joined):
                self.seat(joined)
        for leaf, value in zip(self.states, self.nexts, strict=True):
            self.carry(leaf, value)
        for leaf in self.xs:
            if leaf not in self.local:
                self.local[leaf] = self.stepped(leaf)
        for leaf in self.constants:
            self.local[leaf] = self.steady(leaf)
        self.stacks = [self.stack(y) for y in self.ys]

    def can_seat(self, joined: Node) -> bool:
        """Whether a concatenation can have a buffer of all steps, and every part be written there in place: states by
        the step before, what is computed by its kernel, and what comes from outside before the loop.
        """
        if joined.op is not sh.concat or joined in self.body.outputs:
            return False
        for part in joined.inputs:
            given = part in self.given
            taken = part in self.tracks and (part in self.states or not given)
            if taken or part.dtype != joined.dtype or part in self.nexts or not (given or is_computed(part)):
                return False
        different = len(set(joined.inputs)) == len(joined.inputs)
        return different and any(part in self.given for part in joined.inputs)

    def seat(self, joined: Node) -> None:
        """Make the buffer of a concatenation, and give each part its seat."""
        columns, length = self.storage.columns, self.loop.length
        # With a state among its parts the buffer has one place more than there are steps: the first state's, or, where
        # time runs the other way, the last place; what comes from outside then lies one place further on as well.
        stateful = any(part in self.states for part in joined.inputs)
        lead = self.before if stateful else 0
        order: Order = CONTRACTED if columns else ()
        steps, width = length + stateful, joined.shape[-1]
        by_features = joined.attrs["axis"] == len(joined.shape) - 1
        extent = aligned(joined) if by_features and not columns else width
        shape = (padded(steps, joined, order), *joined.shape[:-1], extent)
        buffer = self.storage.buffer(shape, joined.dtype, "state", order)
        whole = (slice(None),) * (len(joined.shape) - 1) + (slice(0, width),)
        self.local[joined] = Track(buffer, joined.shape, whole if extent > width else ()).at(lead)
        for part, key in zip(joined.inputs, keys_of(joined), strict=True):
            track = Track(buffer, part.shape, key, lead=lead)
            if part in self.states:
                self.tracks[part] = track
            elif part in self.given:
                # All steps in one copy before the loop (a constant is broadcast over them), none within.
                every = track.span(lead, length)
                self.out.append(Copy(self.given[part], every))
                if part in self.xs:
                    self.local[part] = track.at(lead)
                    self.seated[self.outside[part]] = every  # it lies well for what contracts it later
            else:
                self.tracks[part] = track
                self.homes[part] = track.at(lead)

    def carry(self, leaf: Node, value: Node) -> None:
        """Give a state its places before and after a step, and copy the first one there."""
        # Whoever reads all of its steps later (an output, the backward loop) needs a place for each. Otherwise two do,
        # in turn: not one, for the kernel that writes s_t may still be reading s_{t-1}.
        stepped = leaf in self.ys or value in self.ys or leaf in self.tracks
        if leaf not in self.tracks:
            order = self.stack_order(leaf, value) if stepped else self.order_in_turn(leaf)
            shape = (padded(self.loop.length + 1, leaf, order) if stepped else 2, *leaf.shape)
            buffer = self.storage.buffer(shape, leaf.dtype, "state", order)
            self.tracks[leaf] = Track(buffer, leaf.shape, step="t" if stepped else "flip")
        track = self.tracks[leaf]
        # Which of the two a step writes depends on how many were done, not on which is done: time may run backwards.
        self.local[leaf] = track.at(self.before if stepped else 0)
        self.write(value, track.at(self.after if stepped else 1))
        self.out.append(Copy(self.given[leaf], track.one(self.loop.length if stepped and self.loop.reverse else 0)))

    def write(self, value: Node, place: Ref) -> None:
        """Have a value written to a place, by its kernel where that is possible, else by a copy."""
        if is_computed(value) and value not in self.homes:
            self.homes[value] = place
        else:
            self.tails.append((value, place))

    def stepped(self, leaf: Node) -> Ref:
        """Return a step of a sequence, of a copy of it where a step would be read in pieces."""
        source = self.given[leaf]
        # A step of a view is a view, if the view is taken of the whole first: sliced and transposed, then the step.
        if isinstance(source, Ref) and not source.step:
            moved = Ref(source.buffer, leaf.shape, leaf.dtype, "t", before=source.views)
            if self.reads_well(moved):
                return moved
        whole = self.outside[leaf]
        copy = self.storage.whole(whole.shape, whole.dtype, "temp", self.order_in_turn(leaf))
        self.out.append(Copy(source, copy))
        return Ref(copy.buffer, leaf.shape, leaf.dtype, "t")

    def steady(self, leaf: Node) -> Operand:
        """Return a constant, a matrix that the loop multiplies by as BLAS likes it."""
        value = self.given[leaf]
        if leaf in self.factors and isinstance(value, Ref) and not self.lies_well(value):
            return self.storage.contiguous(value, self.out, COLUMNS if self.storage.columns else ())
        return value

    def stack(self, y: Node) -> Ref:
        """Return the values of all steps of an output, where they are already or in a buffer of their own."""
        length = self.loop.length
        if y in self.states:
            return self.tracks[y].span(self.before, length)
        for leaf, value in zip(self.states, self.nexts, strict=True):
            if value is y:
                return self.tracks[leaf].span(self.after, length)
        if y in self.tracks:
            return self.tracks[y].span(self.tracks[y].lead, length)
        order = self.stack_order(y)
        buffer = self.storage.buffer((padded(length, y, order), *y.shape), y.dtype, "stack", order)
        track = Track(buffer, y.shape)
        self.write(y, track.at(0))
        return track.span(0, length)

    def finals(self) -> list[Ref]:
        """Return the states after the last step."""
        finals = []
        for leaf in self.states:
            track = self.tracks[leaf]
            if track.step == "t":
                # A copy, for a view would keep the states of all steps alive as long as the last one is needed.
                final = track.one(0 if self.loop.reverse else self.loop.length)
                finals.append(self.storage.contiguous(final, self.out))
            else:
                finals.append(track.one(self.loop.length % 2))
        return finals

    def stack_order(self, *values: Node) -> Order:
        """Return the order for a buffer of all steps of values of the body that share it."""
        if any(len(value.shape) != 2 for value in values):
            return ()
        indices = [len(self.states) + i for i, y in enumerate(self.ys) if y in values]
        return self.storage.layout.stack(self.node, indices)

    def order_in_turn(self, value: Node) -> Order:
        """Return the order for a buffer of a value's steps that nothing contracts."""
        return STACKED if self.storage.columns and len(value.shape) == 2 else ()

    def lies_well(self, matrix: Ref) -> bool:
        """Whether BLAS takes a matrix as it lies: along the axis that comes first in the loop's values."""
        strides = matrix.ghost().strides
        unit, other = strides if self.storage.columns else strides[::-1]
        return bool(unit == matrix.dtype.itemsize and other >= unit)

    def reads_well(self, step: Ref) -> bool:
        """Whether a step of a view has its features (or rows, in a loop that keeps them last) next to each other."""
        strides = [stride for stride, extent in zip(step.ghost().strides, step.shape, strict=True) if extent > 1]
        if self.storage.columns and len(strides) == 2:
            strides.reverse()
        return not strides or strides[-1] == step.dtype.itemsize


def is_computed(node: Node) -> bool:
    """Whether a kernel computes a value, so that it can be told where to write it."""
    return bool(node.inputs) and node.op not in VIEWS and node.op not in (scan, pick)


def keys_of(node: Node) -> list[tuple[slice, ...]]:
    """Return the place of each part of a concatenation."""
    axis, start, keys = node.attrs["axis"], 0, []
    for part in node.inputs:
        stop = start + part.shape[axis]
        keys.append((slice(None),) * axis + (slice(start, stop),))
        start = stop
    return keys
