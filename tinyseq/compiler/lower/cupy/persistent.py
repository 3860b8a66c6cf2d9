"""A whole loop as one kernel that stays on the device: weights in registers, rows of the batch over clusters of blocks.

Two launches a step are bound by latency where the products are small. Here a cluster of blocks does all steps for some
rows of the batch. Each block owns some columns: the columns of the weights that make them stay in its threads'
registers for the whole loop, so does what a row and column carries from step to step, and blocks meet only where a
product needs the columns of the others (Diamos et al. 2016, "Persistent RNNs", for one device-wide recurrence).

Nothing is asked about the cell, only about the loop: products of what the rows make with weights that stay, and
element-wise groups in between, in which a row and column looks at no other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.cupy.kernels import Kernel
from tinyseq.compiler.lower.cupy.kernels import _Writer as Writer
from tinyseq.compiler.lower.cupy.operations import TYPES, expression, literal
from tinyseq.compiler.lower.grouping import Lane, lanes
from tinyseq.compiler.lower.kinds import FLOATS, SIZES
from tinyseq.compiler.lower.stages import Group, Product, Repeat, Work

#: Blocks that run at once (an H100 has 132 multiprocessors), the blocks of a cluster, of which every device with
#: clusters takes eight, and the most rows that a cluster has.
_BLOCKS, _CLUSTERS, _MOST_ROWS = 128, (1, 2, 4, 8), 16
#: The most columns of one application or product that a thread computes.
_MOST_LANES = 8
#: Bytes of weights that a thread holds: few, with 256 threads, as long as a cluster may grow; then more, with 512.
_FEW, _MANY = 128, 256
#: What a block may have of shared memory without asking for more.
_SHARED: Final = 48 << 10

#: Beyond the prelude of all kernels: barriers of a cluster order what its threads read and write anywhere.
CLUSTERS: Final = r"""
template <typename T> struct alignas(4 * sizeof(T)) ts_four { T at[4]; };
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
__device__ inline void ts_cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ inline void ts_cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ inline int ts_cluster_rank() { int r; asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r; }
#else
#define UNROLL
#endif
"""
#: A lane of a buffer: buffers may share a slot, one after the other.
_Key = tuple[int, Lane]


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
class _Part:
    """A product's share: ``columns`` of a block, each added up in ``slices``, ``quads`` of four terms a thread."""

    number: int
    product: Product
    columns: int
    slices: int
    quads: int

    @property
    def depth(self) -> int:
        """Terms of the sum, rounded up so that all slices are equal."""
        return 4 * self.quads * self.slices


def persistent(loop: Repeat, elsewhere: set[int]) -> tuple[Kernel, Shares]:
    """Return a loop's kernel; ``elsewhere`` are the buffers that more than this loop uses.

    Raises:
        NotPersistent: something in the loop's steps, or its size, asks for launches.
    """
    shares = _shares(loop)
    return _Loop(loop, shares, elsewhere).kernel(), shares


def _shares(loop: Repeat) -> Shares:
    """Decide who does what."""
    products = [stage for stage in loop.stages if isinstance(stage, Product)]
    groups = [stage for stage in loop.stages if isinstance(stage, Group)]
    if len(products) + len(groups) != len(loop.stages):
        raise NotPersistent("a step does more than products and element-wise work")
    if not groups:
        raise NotPersistent("a step does nothing to its products")
    batch = groups[0].lead[0]
    if any(group.lead != (batch,) for group in groups) or any(x.output.shape[:-1] != (batch,) for x in products):
        raise NotPersistent("not all of a step has the batch's rows")
    widths = [work.output.shape[-1] for group in groups for work in group.works]
    widths += [x.output.shape[-1] for x in products]
    width = math.gcd(*widths)
    if max(widths) > _MOST_LANES * width:
        raise NotPersistent(f"columns of {min(widths)} and {max(widths)} are not shared out alike")
    if any(x.output.kind not in FLOATS for x in products):
        raise NotPersistent("products of integers")
    weights = sum(math.prod(x.right.shape) * SIZES[x.right.kind] for x in products)
    fitting = [
        (cluster, threads)
        for most, threads in ((_FEW, 256), (_MANY, 512))
        for cluster in _CLUSTERS
        if weights <= cluster * threads * most and -(-width // cluster) <= threads
    ]
    if not fitting:
        raise NotPersistent(f"{weights >> 10} KiB of weights for {width} columns do not stay in registers")
    cluster, threads = fitting[0]
    rows = -(-batch * cluster // _BLOCKS)
    if rows > _MOST_ROWS:
        raise NotPersistent(f"a batch of {batch} keeps the device busy with launches")
    return Shares(batch, width, cluster, threads, rows)


class _Loop:
    """Writes one loop's kernel."""

    def __init__(self, loop: Repeat, shares: Shares, elsewhere: set[int]) -> None:
        self.loop, self.shares = loop, shares
        products = [stage for stage in loop.stages if isinstance(stage, Product)]
        self.parts = [self._part(number, product) for number, product in enumerate(products)]
        #: What is made, in order.
        self.made = [x for stage in loop.stages for x in (stage.works if isinstance(stage, Group) else [stage])]
        self.own = {x.output.buffer for x in self.made}
        # What other threads read, or what is read after the loop, must reach memory.
        self.stored = self.own & (elsewhere | {x.left.buffer for x in products})
        self.fetched, self.carried = self._read_before_made()
        self._check()
        touched = [x for made in self.made for x in (*_operands(made), made.output)]
        self.out = Writer(shares.batch * shares.width, touched)
        self.declared: list[str] = []
        #: Lane -> the variable that holds its value in this step.
        self.known: dict[_Key, str] = {}

    def _part(self, number: int, product: Product) -> _Part:
        columns = product.output.shape[-1] // self.shares.width * self.shares.own
        depth = product.left.shape[-1]
        slices = min(self.shares.threads // columns, -(-depth // 4))
        if not slices:
            raise NotPersistent("a product has more columns than a block has threads")
        return _Part(number, product, columns, slices, -(-depth // (4 * slices)))

    # -- what is asked of the loop -------------------------------------------------------------------------------------

    def _read_before_made(self) -> tuple[dict[_Key, str], dict[_Key, str]]:
        """Find what a step reads that the loop never makes, and what it reads of the step before."""
        fetched: dict[_Key, str] = {}
        carried: dict[_Key, str] = {}
        known: set[_Key] = set()
        for made in self.made:
            if isinstance(made, Work):
                for key in (key for x in _operands(made) for key in self._keys(x)):
                    if key[0] not in self.own:
                        fetched.setdefault(key, f"f{len(fetched)}")
                    elif key not in known:
                        self._before(key)
                        carried.setdefault(key, f"c{len(carried)}")
            known.update(self._keys(made.output))
        return fetched, carried

    def _keys(self, x: Access) -> list[_Key]:
        return [(x.buffer, lane) for lane in lanes(x, self.shares.width)]

    def _before(self, key: _Key) -> _Key:
        """Return what the step before writes to where a lane is read."""
        for made in self.made:
            for other in self._keys(made.output):
                if other[0] == key[0] and _one_step_on(other[1], key[1], -1 if self.loop.reverse else 1):
                    return other
        raise NotPersistent("a step reads what neither it nor the step before has made")

    def _check(self) -> None:
        shares = self.shares
        if shares.rows * shares.own > shares.threads:
            raise NotPersistent("a block has more rows and columns than threads")
        of = {part.product.output.kind for part in self.parts}
        terms = sum(shares.rows * (part.depth + part.slices * part.columns) for part in self.parts)
        if terms * max((SIZES[kind] for kind in of), default=0) > _SHARED:
            raise NotPersistent("the rows of a cluster do not fit into shared memory")
        owners: dict[int, int] = {}
        for made in self.made:
            if (
                made.output.buffer in self.stored
                and owners.setdefault(made.output.slot, made.output.buffer) != made.output.buffer
            ):
                raise NotPersistent("results of the loop share memory")
            if isinstance(made, Product) and (made.right.buffer in self.own or made.right.step or made.right.flip):
                raise NotPersistent("weights change from step to step")
        rows: dict[int, set[int]] = {}
        columns: dict[int, set[tuple[int, int]]] = {}
        for made in self.made:
            if any(x.buffer not in self.own and x.slot in owners for x in _operands(made)):
                raise NotPersistent("results of the loop share memory")
            for x in (made.output, *([made.left] if isinstance(made, Product) else [])):
                if x.buffer in self.stored:
                    if not x.row or x.shape[0] != shares.batch or x.strides[0] != x.row:
                        raise NotPersistent("a row looks at other rows")
                    rows.setdefault(x.buffer, set()).add(x.row)
            x = made.output
            if x.buffer in self.stored:
                lane = shares.width * x.strides[-1]
                if lane <= 0 or x.shape[-1] % shares.width or x.step % lane or x.flip % lane:
                    raise NotPersistent("a column looks at other columns")
                columns.setdefault(x.buffer, set()).add((x.strides[-1], x.offset % lane))
        if any(len(found) > 1 for found in (*rows.values(), *columns.values())):
            raise NotPersistent("a row or column looks at others")

    # -- text ----------------------------------------------------------------------------------------------------------

    def kernel(self) -> Kernel:
        shares, length = self.shares, self.loop.length
        before, after = self._step()
        t = f"{length - 1} - turn" if self.loop.reverse else "turn"
        fetch = [f"{name}_ = {self._at(key)};" for key, name in self.fetched.items()]
        take = [f"{name} = {self._at(key)};" for key, name in self.carried.items()]
        lines = [
            *self._arrays(),
            f"const int rank = {self._rank()}, first = blockIdx.x / {shares.cluster} * {shares.rows};",
            f"const int e = threadIdx.x / {shares.own}, u = threadIdx.x % {shares.own};",
            f"const {self.out.index} row = first + e, column = rank * {shares.own} + u;",
            f"const bool mine = e < {shares.rows} && row < {shares.batch} && column < {shares.width};",
            *self._weights(),
            *(f"{TYPES[key[1].kind]} {name}_ = 0;" for key, name in self.fetched.items()),
            *(f"{TYPES[key[1].kind]} {name} = 0;" for key, name in self.carried.items()),
            f"if (mine) {{ const int turn = 0, t = {t};",
            *(f"  {line}" for line in (*fetch, *take)),
            "}",
            f"for (int turn = 0; turn < {length}; ++turn) {{",
            f"  const int t = {t};",
            *(f"  const {TYPES[key[1].kind]} {name} = {name}_;" for key, name in self.fetched.items()),
            *(f"  {line}" for line in (*self.declared, *before)),
            # The loads of the next step are under way while this one waits and computes.
            f"  if (mine && turn + 1 < {length}) {{ const int next = turn + 1; {{ const int turn = next, t = {t};",
            *(f"    {line}" for line in fetch),
            "  } }",
            *(f"  {line}" for line in after),
            "}",
        ]
        slots = tuple(sorted(self.out.slots))
        parameters = ", ".join([*(f"char* s{n}" for n in slots), "int t", "int turn"])
        bounds = f"__cluster_dims__({shares.cluster}, 1, 1) __launch_bounds__({shares.threads}, 1)"
        body = "\n  ".join(lines)
        text = f'extern "C" {bounds} __global__ void NAME({parameters}) {{\n  {body}\n}}\n'
        count = shares.clusters * shares.cluster * shares.threads
        return Kernel(text, slots, count, block=shares.threads, cluster=shares.cluster, prelude=CLUSTERS)

    def _at(self, key: _Key) -> str:
        lane = key[1]
        return self.out.address(lane, ["row", "column"], (*lane.rows, lane.column))

    def _let(self, of: str, text: str) -> tuple[str, str]:
        """Return a new variable of the step, and the statement that gives it a value."""
        name = f"v{len(self.declared)}"
        self.declared.append(f"{of} {name};")
        return name, f"{name} = {text};"

    # A single block has no others to wait for.
    def _rank(self) -> str:
        return "ts_cluster_rank()" if self.shares.cluster > 1 else "0"

    def _arrive(self) -> list[str]:
        return ["ts_cluster_arrive();"] if self.shares.cluster > 1 else []

    def _wait(self) -> list[str]:
        return ["ts_cluster_wait();" if self.shares.cluster > 1 else "__syncthreads();"]

    def _arrays(self) -> list[str]:
        rows = self.shares.rows
        return [
            f"__shared__ {declaration};"
            for part in self.parts
            for of in [TYPES[part.product.output.kind]]
            for declaration in (
                f"alignas(32) {of} operand{part.number}[{rows}][{part.depth}]",
                f"{of} sums{part.number}[{part.slices}][{rows}][{part.columns}]",
            )
        ]

    def _weights(self) -> list[str]:
        """Write how a thread takes its terms of its column; beyond the last column or term they are zeros."""
        lines = []
        for part in self.parts:
            right, shares, p = part.product.right, self.shares, part.number
            of, index = TYPES[right.kind], self.out.index
            element = self.out.address(right, ["k", "n"], right.strides)
            inside = f"slice{p} < {part.slices} && own{p} < {shares.width} && k < {right.shape[0]}"
            lines += [
                f"{of} weight{p}[{4 * part.quads}];",
                f"const int slice{p} = threadIdx.x / {part.columns}, place{p} = threadIdx.x % {part.columns};",
                f"const {index} own{p} = rank * {shares.own} + place{p} % {shares.own};",
                f"UNROLL for (int q = 0; q < {4 * part.quads}; ++q) {{",
                f"  const {index} n = place{p} / {shares.own} * {shares.width} + own{p};",
                f"  const {index} k = (q / 4 * {part.slices} + slice{p}) * 4 + q % 4;",
                f"  weight{p}[q] = {inside} ? {element} : 0;",
                "}",
            ]
        return lines

    def _step(self) -> tuple[list[str], list[str]]:
        """Write a step in two: until it has to wait for others the first time, and the rest."""
        before: list[str] = []
        after: list[str] = []
        lines = before
        self.known = {**self.fetched, **self.carried}
        parts = iter(self.parts)
        for stage in self.loop.stages:
            if isinstance(stage, Group):
                lines += ["if (mine) {", *(f"  {line}" for work in stage.works for line in self._work(work)), "}"]
                continue
            if stage.left.buffer in self.own:
                lines += self._arrive()
                lines = after
                lines += self._wait()
            lines += self._product(next(parts))
        if self.parts and lines is before:
            raise NotPersistent("no product takes what the loop makes")
        lines += ["if (mine) {", *(f"  {name} = {self.known[self._before(x)]};" for x, name in self.carried.items())]
        lines.append("}")
        return before, after

    def _product(self, part: _Part) -> list[str]:
        product, shares, p = part.product, self.shares, part.number
        of, left = TYPES[product.output.kind], product.left
        element = self.out.address(left, ["(first + r)", "k"], left.strides)
        inside = f"first + r < {shares.batch} && k < {left.shape[-1]}"
        # Where the next step writes to the same place, nobody may still be reading.
        rewritten = left.buffer in self.own and not (left.step or left.flip)
        lines = [
            f"for (int i = threadIdx.x; i < {shares.rows * part.depth}; i += {shares.threads}) {{",
            f"  const {self.out.index} r = i / {part.depth}, k = i % {part.depth};",
            f"  operand{p}[r][k] = {inside} ? {element} : 0;",
            "}",
            *([*self._arrive(), *self._wait()] if rewritten else ["__syncthreads();"]),
            f"if (slice{p} < {part.slices}) {{",
            f"  {of} total[{shares.rows}] = {{}};",
            f"  UNROLL for (int q = 0; q < {part.quads}; ++q) {{",
            f"    UNROLL for (int r = 0; r < {shares.rows}; ++r) {{",
            f"      const int k = (q * {part.slices} + slice{p}) * 4;",
            f"      const ts_four<{of}> x = *(const ts_four<{of}>*)&operand{p}[r][k];",
            f"      UNROLL for (int j = 0; j < 4; ++j) total[r] += x.at[j] * weight{p}[4 * q + j];",
            "    }",
            "  }",
            f"  UNROLL for (int r = 0; r < {shares.rows}; ++r) sums{p}[slice{p}][r][place{p}] = total[r];",
            "}",
            "__syncthreads();",
            "if (mine) {",
        ]
        for number, key in enumerate(self._keys(product.output)):
            place = f"[e][{number * shares.own} + u]"
            name, statement = self._let(of, " + ".join(f"sums{p}[{s}]{place}" for s in range(part.slices)))
            lines += [f"  {statement}", *(f"  {line}" for line in self._made(key, name))]
        return [*lines, "}"]

    def _made(self, key: _Key, value: str) -> list[str]:
        self.known[key] = value
        return [f"{self._at(key)} = {value};"] if key[0] in self.stored else []

    def _work(self, work: Work) -> list[str]:
        lines: list[str] = []
        made: list[tuple[_Key, str]] = []
        for number, target in enumerate(self._keys(work.output)):
            operands = []
            for x in work.operands:
                if isinstance(x, Access):
                    keys = self._keys(x)
                    operands.append((self.known[keys[number if len(keys) > 1 else 0]], x.kind))
                else:
                    kind = "b1" if isinstance(x, bool) else work.kind
                    operands.append((literal(kind, x), kind))
            text = expression(work.name, work.kind, operands, dict(work.attrs), target[1].kind)
            name, statement = self._let(TYPES[target[1].kind], text)
            lines.append(statement)
            made.append((target, name))
        for target, name in made:  # after all lanes are read
            lines += self._made(target, name)
        return lines


def _operands(made: Work | Product) -> list[Access]:
    if isinstance(made, Product):
        return [made.left, made.right]
    return [x for x in made.operands if isinstance(x, Access)]


def _one_step_on(written: Lane, read: Lane, forward: int) -> bool:
    """Whether a lane read in a step is where the other was written in the step before."""
    same = ("slot", "step", "flip", "rows", "column", "kind")
    if any(getattr(written, name) != getattr(read, name) for name in same):
        return False
    if read.flip:
        bases = [lane.offset - lane.phase * lane.flip for lane in (written, read)]
        return bases[0] == bases[1] and (written.phase + read.phase) % 2 == 1
    return written.offset == read.offset + forward * read.step
