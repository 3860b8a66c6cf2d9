"""The text of a loop's one kernel: a thread holds some weights of a column, and a row and column of the batch.

A step of a block: wait until all have sent; multiply what they sent with the weights (each column in slices, added up
through shared memory); do the element-wise work in registers; send what others need; arrive. Stores, and the loads of
the next step, come after that: nobody waits for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tinyseq.compiler.lower.cupy.operations import TYPES, expression
from tinyseq.compiler.lower.cupy.persistent import Key, Part, Recurrence, operands
from tinyseq.compiler.lower.cupy.writing import Kernel, KernelWriter, operand
from tinyseq.compiler.lower.grouping import Lane
from tinyseq.compiler.lower.stages import Group, Work

#: Beyond the prelude of all kernels.
CLUSTERS: Final = r"""
template <typename T> struct alignas(4 * sizeof(T)) ts_four { T at[4]; };
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#define SHARED(bytes) extern __shared__ __align__(32) char shared[]
// The same place in the shared memory of another block.
template <typename T> __device__ inline T* ts_remote(T* place, int rank) {
  T* there;
  asm volatile("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(place), "r"(rank));
  return there;
}
#else
#define UNROLL
#define SHARED(bytes) alignas(32) __shared__ char shared[bytes]
#endif
template <int BLOCKS, typename T> __device__ inline void ts_send(T* place, T value) {
  UNROLL for (int rank = 0; rank < BLOCKS; ++rank) *ts_remote(place, rank) = value;
}
"""


def kernel(loop: Recurrence) -> Kernel:
    """Write a loop's kernel."""
    return _Text(loop).kernel()


class _Text:
    def __init__(self, loop: Recurrence) -> None:
        self.loop, self.shares = loop, loop.shares
        touched = [x for _, made in loop.made for x in (*operands(made), made.output)]
        self.out = KernelWriter(loop.shares.batch * loop.shares.width, touched)
        self.declared: list[str] = []
        #: Lane -> the variable that holds its value in this step.
        self.known: dict[Key, str] = {}
        #: Stores that wait until the others need not.
        self.stores: list[str] = []

    def kernel(self) -> Kernel:
        shares, length = self.shares, self.loop.loop.length
        t = f"{length - 1} - turn" if self.loop.loop.reverse else "turn"
        fetched, carried = self.loop.fetched, self.loop.carried
        fetch = [f"{name}_ = {self._at(key)};" for key, name in fetched.items()]
        take = [f"{name} = {self._at(key)};" for key, name in carried.items()]
        step = self._step(
            [
                f"if (mine && turn + 1 < {length}) {{",
                f"  const int next = turn + 1;\n  {{ const int turn = next, t = {t};",
                *(f"    {line}" for line in fetch),
                "} }",
            ]
        )
        wrapped = any(part.before for part in self.loop.parts)
        lines = [
            *self._arrays(),
            f"const int rank = {'ts_cluster_rank()' if shares.cluster > 1 else '0'};",
            f"const int first = blockIdx.x / {shares.cluster} * {shares.rows};",
            f"const int e = threadIdx.x / {shares.own}, u = threadIdx.x % {shares.own};",
            f"const {self.out.index} row = first + e, column = rank * {shares.own} + u;",
            f"const bool mine = e < {shares.rows} && row < {shares.batch} && column < {shares.width};",
            *self._weights(),
            *(f"{TYPES[key[1].kind]} {name}_ = 0;" for key, name in fetched.items()),
            *(f"{TYPES[key[1].kind]} {name} = 0;" for key, name in carried.items()),
            "{",
            f"  const int turn = 0, t = {t};",
            *_guarded([*fetch, *take]),
            *(line for part in self.loop.parts if part.sent for line in self._begin(part)),
            "}",
            # Nothing is sent to a block that has not begun.
            *self._arrive(),
            *self._wait(),
            *(self._arrive() if wrapped else []),
            f"for (int turn = 0; turn < {length}; ++turn) {{",
            f"  const int t = {t};",
            *(f"  const {TYPES[key[1].kind]} {name} = {name}_;" for key, name in fetched.items()),
            *(f"  {line}" for line in (*self.declared, *step)),
            "}",
            *(self._wait() if wrapped else []),
        ]
        slots = tuple(sorted(self.out.slots))
        parameters = ", ".join([*(f"char* s{n}" for n in slots), "int t", "int turn"])
        bounds = f"__launch_bounds__({shares.threads}, 1) __cluster_dims__({shares.cluster}, 1, 1)"
        body = "\n  ".join(lines)
        text = f'extern "C" __global__ void {bounds} NAME({parameters}) {{\n  {body}\n}}\n'
        count = shares.clusters * shares.cluster * shares.threads
        return Kernel(
            text,
            slots,
            count,
            block=shares.threads,
            cluster=shares.cluster,
            shared=self.loop.shared_bytes,
            prelude=CLUSTERS,
        )

    def _at(self, key: Key) -> str:
        lane = key[1]
        return self.out.address(lane, ["row", "column"], (*lane.rows, lane.column))

    def _let(self, of: str, text: str) -> tuple[str, str]:
        """Return a new variable of the step, and the statement that gives it a value."""
        name = f"v{len(self.declared)}"
        self.declared.append(f"{of} {name};")
        return name, f"{name} = {text};"

    # A single block has no others to wait for.
    def _arrive(self) -> list[str]:
        return ["ts_cluster_arrive();"] if self.shares.cluster > 1 else []

    def _wait(self) -> list[str]:
        return ["ts_cluster_wait();" if self.shares.cluster > 1 else "__syncthreads();"]

    def _arrays(self) -> list[str]:
        rows, at = self.shares.rows, 0
        lines = [f"SHARED({self.loop.shared_bytes});"]
        for part in self.loop.parts:
            of, p = TYPES[part.product.output.kind], part.number
            lines.append(
                f"{of} (*const operand{p})[{rows}][{part.depth}] = ({of} (*)[{rows}][{part.depth}])(shared + {at});"
            )
            at += self.loop.operand_bytes(part)
            lines.append(
                f"{of} (*const sums{p})[{rows}][{part.columns}] = ({of} (*)[{rows}][{part.columns}])(shared + {at});"
            )
            at += self.loop.sums_bytes(part)
        return lines if at else []

    def _weights(self) -> list[str]:
        """Write how a thread takes its terms of its columns; beyond the last column or term they are zeros."""
        lines = []
        for part in self.loop.parts:
            right, shares, p = part.product.right, self.shares, part.number
            of, index = TYPES[right.kind], self.out.index
            element = self.out.address(right, ["k", "n"], right.strides)
            inside = (
                f"slice{p} < {part.slices} && place < {part.columns} && own < {shares.width} && k < {right.shape[0]}"
            )
            lines += [
                f"{of} weight{p}[{part.tile}][{4 * part.quads}];",
                f"const int slice{p} = threadIdx.x / {part.stride}, place{p} = threadIdx.x % {part.stride};",
                f"UNROLL for (int c = 0; c < {part.tile}; ++c) {{",
                f"  const {index} place = place{p} + c * {part.stride};",
                f"  const {index} own = rank * {shares.own} + place % {shares.own};",
                f"  const {index} n = place / {shares.own} * {shares.width} + own;",
                f"  UNROLL for (int q = 0; q < {4 * part.quads}; ++q) {{",
                f"    const {index} k = (q / 4 * {part.slices} + slice{p}) * 4 + q % 4;",
                f"    weight{p}[c][q] = {inside} ? {element} : 0;",
                "  }",
                "}",
            ]
        return lines

    def _begin(self, part: Part) -> list[str]:
        """Write what the first step multiplies; rows and terms beyond the last are zeros for good."""
        lines = [
            f"for (int i = threadIdx.x; i < {2 * self.shares.rows * part.depth}; i += {self.shares.threads})",
            f"  (&operand{part.number}[0][0][0])[i] = 0;",
        ]
        return [*lines, "__syncthreads();", *self._load(part)] if part.before else lines

    def _load(self, part: Part) -> list[str]:
        left = part.product.left
        element = self.out.address(left, ["(first + r)", "k"], left.strides)
        inside = f"first + r < {self.shares.batch} && k < {left.shape[-1]}"
        return [
            f"for (int i = threadIdx.x; i < {self.shares.rows * part.depth}; i += {self.shares.threads}) {{",
            f"  const {self.out.index} r = i / {part.depth}, k = i % {part.depth};",
            f"  operand{part.number}[0][r][k] = {inside} ? {element} : 0;",
            "}",
        ]

    def _step(self, fetch: list[str]) -> list[str]:
        """Write a step: stages with barriers in between, loads and stores where nobody waits for them."""
        lines: list[str] = []
        self.known = {**self.loop.fetched, **self.loop.carried}
        events = [*self.loop.waits(), *((place, None) for place in range(len(self.loop.loop.stages)))]
        for place, waits in sorted(events, key=lambda event: event[0]):
            if waits is None:
                stage = self.loop.loop.stages[int(place)]
                if isinstance(stage, Group):
                    lines += _guarded(line for work in stage.works for line in self._work(work))
                else:
                    lines += self._product(next(part for part in self.loop.parts if part.product is stage))
            elif waits:
                lines += self._wait()
            else:
                lines += [*self._arrive(), *self._flush(), *fetch]
                fetch = []
        ahead = [f"{name} = {self.known[self.loop.made_before(key)]};" for key, name in self.loop.carried.items()]
        return [*lines, *self._flush(), *fetch, *_guarded(ahead)]

    def _flush(self) -> list[str]:
        stores, self.stores = self.stores, []
        return _guarded(stores)

    def _product(self, part: Part) -> list[str]:
        product, rows, p = part.product, self.shares.rows, part.number
        of = TYPES[product.output.kind]
        copy = "turn & 1" if part.sent else "0"
        lines = [
            *([] if part.sent else [*self._load(part), "__syncthreads();"]),
            f"if (slice{p} < {part.slices}) {{",
            f"  {of} total[{part.tile}][{rows}] = {{}};",
            f"  UNROLL for (int q = 0; q < {part.quads}; ++q) {{",
            f"    UNROLL for (int r = 0; r < {rows}; ++r) {{",
            f"      const int k = (q * {part.slices} + slice{p}) * 4;",
            f"      const ts_four<{of}> x = *(const ts_four<{of}>*)&operand{p}[{copy}][r][k];",
            f"      UNROLL for (int c = 0; c < {part.tile}; ++c)",
            f"        UNROLL for (int j = 0; j < 4; ++j) total[c][r] += x.at[j] * weight{p}[c][4 * q + j];",
            "    }",
            "  }",
            f"  UNROLL for (int c = 0; c < {part.tile}; ++c) {{",
            f"    const int place = place{p} + c * {part.stride};",
            f"    if (place < {part.columns})",
            f"      UNROLL for (int r = 0; r < {rows}; ++r) sums{p}[slice{p}][r][place] = total[c][r];",
            "  }",
            "}",
            "__syncthreads();",
        ]
        made: list[str] = []
        for number, key in enumerate(self.loop.keys(product.output)):
            place = f"[e][{number * self.shares.own} + u]"
            name, statement = self._let(of, " + ".join(f"sums{p}[{s}]{place}" for s in range(part.slices)))
            made += [statement, *self._made(key, name)]
        return [*lines, *_guarded(made)]

    def _made(self, key: Key, value: str) -> list[str]:
        """Note a value, to be stored later; return how it is sent to where others multiply it."""
        self.known[key] = value
        if key[0] in self.loop.stored:
            self.stores.append(f"{self._at(key)} = {value};")
        lines = []
        for part in self.loop.parts:
            if key in part.sent:
                copy = "(turn + 1) & 1" if part.before else "turn & 1"
                place = f"operand{part.number}[{copy}][e][{part.sent[key]} + column]"
                cluster = self.shares.cluster
                sent = f"ts_send<{cluster}>(&{place}, {value});" if cluster > 1 else f"{place} = {value};"
                lines.append(f"if (turn + 1 < {self.loop.loop.length}) {sent}" if part.before else sent)
        return lines

    def _work(self, work: Work) -> list[str]:
        def read(buffer: int, lane: Lane) -> str:
            return self.known[buffer, lane]

        lines: list[str] = []
        made: list[tuple[Key, str]] = []
        for number, target in enumerate(self.loop.keys(work.output)):
            given = [operand(x, number, self.shares.width, work, read) for x in work.operands]
            text = expression(work.name, work.kind, given, dict(work.attrs), target[1].kind)
            name, statement = self._let(TYPES[target[1].kind], text)
            lines.append(statement)
            made.append((target, name))
        for target, name in made:  # after all lanes are read
            lines += self._made(target, name)
        return lines


def _guarded(lines: Iterable[str]) -> list[str]:
    """Let only threads with a row and column do something."""
    inner = [f"  {line}" for line in lines]
    return ["if (mine) {", *inner, "}"] if inner else []
