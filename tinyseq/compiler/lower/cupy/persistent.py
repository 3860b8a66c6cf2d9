"""Which loops can be one kernel that stays on the device, and how their work is shared out.

Two launches a step are bound by latency where the products are small. Instead, a cluster of blocks does all steps for
some rows of the batch. Each block owns some columns: the columns of the weights that make them stay in its threads'
registers for the whole loop, and so does what a row and column carries from step to step; what a product needs of the
other blocks' columns they write into each other's shared memory (Diamos et al. 2016, "Persistent RNNs", for a
recurrence over the whole device).

Nothing is asked about the cell, only about the loop: products of what the rows make with weights that stay, and
element-wise work in between, in which a row and column looks at no other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.grouping import Lane, lanes
from tinyseq.compiler.lower.kinds import FLOATS, SIZES
from tinyseq.compiler.lower.stages import Group, Product, Repeat, Step, Work

#: Blocks of a cluster -> how many such clusters run at once on 132 multiprocessors (each has one block; groups of 16 to
#: 18 share clusters), and the cycles of a step that no work explains. One cluster more, and all takes twice as long.
#: Measured on an H200, which runs 15 of 8 and 30 of 4: two fewer, for devices differ in their groups.
_MULTIPROCESSORS, _AT_ONCE = 132, {1: 128, 2: 64, 4: 28, 8: 14}
_WAITING: Final = {1: 900, 2: 1450, 4: 1400, 8: 1500}
#: Threads of a block -> the bytes of weights that each may hold.
_HELD: Final = {256: 512, 512: 256}
#: The most columns of one application or product that a thread computes, and the columns that it adds up at once: each
#: read of shared memory is used that often.
_MOST_LANES, _TILE = 8, 2
#: What a block may have of shared memory (227 KiB, from sm_90 on).
SHARED: Final = 227 << 10

#: A lane of a buffer: buffers may share a slot, one after the other.
Key = tuple[int, Lane]


class NotPersistent(Exception):
    """Why a loop is not one kernel."""


@dataclass(frozen=True)
class Shares:
    """How a loop is shared out: ``own`` columns a block, ``cluster`` blocks, ``rows`` of the batch a cluster."""

    batch: int
    width: int
    cluster: int
    threads: int
    rows: int

    @property
    def own(self) -> int:
        return -(-self.width // self.cluster)

    @property
    def clusters(self) -> int:
        return -(-self.batch // self.rows)

    def __str__(self) -> str:
        return (
            f"{self.clusters} clusters of {self.cluster} blocks, {self.rows} rows a cluster, {self.own} columns a block"
        )


@dataclass(frozen=True)
class Part:
    """A product's share: ``columns`` of a block, each added up in ``slices``; a thread has ``tile`` columns of a slice.

    Its terms are ``quads`` of four.
    """

    number: int
    #: The place of the product among the loop's stages.
    stage: int
    product: Product
    columns: int
    tile: int
    slices: int
    quads: int
    #: What blocks send each other for it: the lane, and where its first column stands in the left operand.
    sent: dict[Key, int]
    #: Whether that was made in the step before.
    before: bool

    @property
    def depth(self) -> int:
        """Terms of the sum, rounded up so that all slices are equal."""
        return 4 * self.quads * self.slices

    @property
    def stride(self) -> int:
        """How far apart a thread's columns are."""
        return -(-self.columns // self.tile)

    @property
    def copies(self) -> int:
        """Places for the left operand: what is sent goes where nobody reads any more."""
        return 2 if self.sent else 1


class Recurrence:
    """A loop that can be one kernel.

    Raises:
        NotPersistent: something in the loop's steps, or its size, asks for launches.
    """

    def __init__(self, loop: Repeat, elsewhere: set[int], shares: Shares) -> None:
        """``elsewhere`` are the buffers that more than this loop uses."""
        self.loop, self.shares = loop, shares
        #: What is made, in order, with the stage's place.
        self.made = [(place, made) for place, stage in enumerate(loop.stages) for made in _results(stage)]
        self.own = {made.output.buffer for _, made in self.made}
        #: What is read after the loop, or next to it, must reach memory.
        self.stored = self.own & elsewhere
        self.parts: list[Part] = []
        for place, stage in enumerate(loop.stages):
            if isinstance(stage, Product):
                self.parts.append(self._part(len(self.parts), place, stage))
        #: What a step reads that the loop never makes, and what it reads of the step before, each by a variable.
        self.fetched: dict[Key, str] = {}
        self.carried: dict[Key, str] = {}
        self._find_what_is_read()
        self._check_size()
        self._check_places()

    @property
    def shared_bytes(self) -> int:
        return sum(self.operand_bytes(part) + self.sums_bytes(part) for part in self.parts)

    def operand_bytes(self, part: Part) -> int:
        return part.copies * self.shares.rows * part.depth * SIZES[part.product.left.kind]

    def sums_bytes(self, part: Part) -> int:
        # A multiple of what the next operand is aligned to.
        size = part.slices * self.shares.rows * part.columns * SIZES[part.product.output.kind]
        return -(-size // 32) * 32

    def keys(self, x: Access) -> list[Key]:
        return [(x.buffer, lane) for lane in lanes(x, self.shares.width)]

    def made_before(self, key: Key) -> Key:
        """Return what the step before writes to where a lane is read."""
        for _, made in self.made:
            for other in self.keys(made.output):
                if other[0] == key[0] and _alike(other[1], key[1]) and self._distance(other[1], key[1], True) == 0:
                    return other
        raise NotPersistent("a step reads what neither it nor the step before has made")

    def waits(self) -> list[tuple[float, bool]]:
        """Return where blocks arrive at barriers (False) and wait (True), as places among the stages, in order.

        Both alternate. What is sent for the next step lies between an arrival at the end of a step and the wait in the
        next one.
        """
        # Stages have whole numbers; what happens between two of them stands at a fraction, whose order alone counts:
        #
        #     stage k    k + 0.25        k + 0.75 = (k + 1) - 0.25    stage k + 1
        #     sends  ->  arrive  - - - - - - wait  ----------------->  reads what was sent
        #
        # and 0.05 further on what would fall on the same place: a wait ends before the next arrival begins.
        pairs: list[tuple[float, float]] = []
        for part in self.parts:
            if part.sent and not part.before:
                sender, wait = self._last_sender(part), part.stage - 0.25
                if not any(arrive > sender and last <= wait for arrive, last in pairs):
                    arrive = max([sender + 0.25, *(last + 0.05 for _, last in pairs)])
                    pairs.append((arrive, wait))
        barriers = [(place, waits) for pair in pairs for place, waits in zip(pair, (False, True), strict=True)]
        early = [part for part in self.parts if part.before]
        if early:
            wait = min([early[0].stage - 0.25, *(arrive - 0.05 for arrive, _ in pairs)])
            arrive = max([*(self._last_sender(part) + 0.25 for part in early), *(last + 0.05 for _, last in pairs)])
            barriers += [(wait, True), (arrive, False)]
        return sorted(barriers)

    def _last_sender(self, part: Part) -> int:
        return max(place for place, made in self.made if not part.sent.keys().isdisjoint(self.keys(made.output)))

    def _part(self, number: int, place: int, product: Product) -> Part:
        columns = product.output.shape[-1] // self.shares.width * self.shares.own
        depth = product.left.shape[-1]
        tile = min(_TILE, columns)
        slices = min(self.shares.threads // -(-columns // tile), -(-depth // 4))
        if not slices:
            raise NotPersistent("a product has more columns than a block has threads")
        if product.right.buffer in self.own or product.right.step or product.right.flip:
            raise NotPersistent("weights change from step to step")
        sent, before = self._sent(place, product.left) if product.left.buffer in self.own else ({}, False)
        return Part(number, place, product, columns, tile, slices, -(-depth // (4 * slices)), sent, before)

    def _sent(self, place: int, left: Access) -> tuple[dict[Key, int], bool]:
        """Find which lanes make up a left operand, and whether the step before has made them."""
        (whole,) = lanes(left, left.shape[-1])
        column, width = whole.column or SIZES[left.kind], self.shares.width
        sent: dict[Key, int] = {}
        before: set[bool] = set()
        for other, made in self.made:
            for key in self.keys(made.output):
                if key[0] != left.buffer or not _alike(key[1], whole, width == 1 or left.shape[-1] == 1):
                    continue
                earlier = other >= place
                first, rest = divmod(self._distance(key[1], whole, earlier), column)
                if not rest and 0 <= first <= left.shape[-1] - width:
                    sent[key] = first
                    before.add(earlier)
        if sorted(sent.values()) != list(range(0, left.shape[-1], width)) or len(before) != 1:
            raise NotPersistent("a product takes what is not made column by column")
        return sent, before.pop()

    def _distance(self, written: Lane, read: Lane, before: bool) -> int:
        """Return how far, in bytes, a lane is written from where another is read, in this step or the one before."""
        if read.flip:
            odd = (written.phase + read.phase) % 2 == 1
            if odd != before:
                return -1
            return (written.offset - written.phase * written.flip) - (read.offset - read.phase * read.flip)
        ahead = (-1 if self.loop.reverse else 1) * read.step if before else 0
        return written.offset - read.offset - ahead

    def _find_what_is_read(self) -> None:
        known: set[Key] = set()
        for _, made in self.made:
            if isinstance(made, Work):
                for key in (key for x in operands(made) for key in self.keys(x)):
                    if key[0] not in self.own:
                        self.fetched.setdefault(key, f"f{len(self.fetched)}")
                    elif key not in known:
                        self.made_before(key)
                        self.carried.setdefault(key, f"c{len(self.carried)}")
            known.update(self.keys(made.output))

    def _check_size(self) -> None:
        if self.shared_bytes > SHARED:
            raise NotPersistent("the rows of a cluster do not fit into shared memory")

    def _check_places(self) -> None:
        """Blocks go ahead of each other: each may write to its own rows and columns only, and read no other's."""
        owners: dict[int, int] = {}
        rows: dict[int, set[int]] = {}
        columns: dict[int, set[tuple[int, int]]] = {}
        for x in (made.output for _, made in self.made if made.output.buffer in self.stored):
            if owners.setdefault(x.slot, x.buffer) != x.buffer:
                raise NotPersistent("results of the loop share memory")
            lane = self.shares.width * x.strides[-1]
            if not x.row or x.shape[0] != self.shares.batch or x.strides[0] != x.row:
                raise NotPersistent("a row looks at other rows")
            if lane <= 0 or x.shape[-1] % self.shares.width or x.step % lane or x.flip % lane:
                raise NotPersistent("a column looks at other columns")
            rows.setdefault(x.buffer, set()).add(x.row)
            columns.setdefault(x.buffer, set()).add((x.strides[-1], x.offset % lane))
        if any(len(parts) > 1 for parts in rows.values()) or any(len(parts) > 1 for parts in columns.values()):
            raise NotPersistent("a row or column looks at others")
        if any(x.buffer not in self.own and x.slot in owners for _, made in self.made for x in operands(made)):
            raise NotPersistent("results of the loop share memory")


def recurrence(loop: Repeat, elsewhere: set[int], multiprocessors: int) -> Recurrence:
    """Return a loop as one kernel, shared out in the quickest way that fits.

    Raises:
        NotPersistent: something in the loop's steps, or its size, asks for launches.
    """
    first: NotPersistent | None = None
    for shares in _fitting(loop, multiprocessors):
        try:
            return Recurrence(loop, elsewhere, shares)
        except NotPersistent as reason:
            first = first or reason
    assert first is not None
    raise first


def operands(made: Work | Product) -> list[Access]:
    """Return what is read for one result."""
    if isinstance(made, Product):
        return [made.left, made.right]
    return [x for x in made.operands if isinstance(x, Access)]


def _results(stage: Step) -> Sequence[Work | Product]:
    """Return what a stage makes, in order."""
    if isinstance(stage, Group):
        return stage.works
    if isinstance(stage, Product):
        return [stage]
    raise NotPersistent("a step does more than products and element-wise work")


def _fitting(loop: Repeat, multiprocessors: int) -> list[Shares]:
    """Return ways to share a loop out, the quickest first."""
    widths = [made.output.shape[-1] for stage in loop.stages for made in _results(stage)]
    products = [stage for stage in loop.stages if isinstance(stage, Product)]
    groups = [stage for stage in loop.stages if isinstance(stage, Group)]
    if not groups:
        raise NotPersistent("a step does nothing to its products")
    batch = groups[0].lead[0]
    if any(group.lead != (batch,) for group in groups) or any(x.output.shape[:-1] != (batch,) for x in products):
        raise NotPersistent("not all of a step has the batch's rows")
    width = math.gcd(*widths)
    if max(widths) > _MOST_LANES * width:
        raise NotPersistent(f"columns of {min(widths)} and {max(widths)} are not shared out alike")
    if any(x.output.kind not in FLOATS for x in products):
        raise NotPersistent("products of integers")
    weights = sum(math.prod(x.right.shape) * SIZES[x.right.kind] for x in products)
    most = {cluster: max(n * multiprocessors // _MULTIPROCESSORS, 1) for cluster, n in _AT_ONCE.items()}
    every = [
        (Shares(batch, width, cluster, threads, -(-batch // most[cluster])), held)
        for threads, held in _HELD.items()
        for cluster in most
    ]
    fitting = [
        shares
        for shares, held in every
        if weights <= shares.cluster * shares.threads * held and shares.rows * shares.own <= shares.threads
    ]
    if not fitting:
        raise NotPersistent(f"{weights >> 10} KiB of weights, {batch} rows and {width} columns do not stay on the chip")
    return sorted(fitting, key=lambda shares: _cycles(shares, weights))


def _cycles(shares: Shares, weights: int) -> float:
    """Estimate a step: 128 multiplications a cycle, and what feeds them; more threads feed better, but wait longer."""
    waiting, feeding = (0, 1.5) if shares.threads == 256 else (100, 4 / 3)
    return _WAITING[shares.cluster] + waiting + feeding * shares.rows * weights / 4 / shares.cluster / 128


def _alike(a: Lane, b: Lane, any_column: bool = False) -> bool:
    """Whether two lanes go through memory with the same steps."""
    same = (a.slot, a.step, a.flip, a.rows, a.kind) == (b.slot, b.step, b.flip, b.rows, b.kind)
    return same and (any_column or a.column == b.column)
