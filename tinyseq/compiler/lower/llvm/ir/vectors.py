"""Vectors of a fixed number of elements: constants, arithmetic, loads and stores with a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir.builder import IN_MEMORY, IN_REGISTER, Function, constant


class Value(NamedTuple):
    """A vector in a register: its name and the short name of its dtype."""

    name: str
    kind: str


class Vectors:
    """Writes operations on vectors of ``width`` elements into a function."""

    def __init__(self, function: Function, width: int) -> None:
        self.f, self.width = function, width

    def type(self, kind: str) -> str:
        return f"<{self.width} x {IN_REGISTER[kind]}>"

    def const(self, kind: str, value: Any) -> Value:
        element = IN_REGISTER[kind]
        return Value(f"splat ({element} {constant(kind, value)})", kind)

    def bits(self, kind: str, value: int) -> Value:
        """An integer constant as wide as a float of this kind."""
        return self.const("i4" if kind == "f4" else "i8", value)

    def op(self, name: str, a: Value, b: Value) -> Value:
        """A binary instruction of two vectors of one kind."""
        return Value(self.f.let(f"{name} {self.type(a.kind)} {a.name}, {b.name}"), a.kind)

    def fadd(self, a: Value, b: Value) -> Value:
        return self.op("fadd", a, b)

    def fsub(self, a: Value, b: Value) -> Value:
        return self.op("fsub", a, b)

    def fmul(self, a: Value, b: Value) -> Value:
        return self.op("fmul", a, b)

    def fdiv(self, a: Value, b: Value) -> Value:
        return self.op("fdiv", a, b)

    def intrinsic(self, name: str, *args: Value) -> Value:
        """A call of ``llvm.name`` on vectors of one kind."""
        kind = args[0].kind
        suffix = f"v{self.width}{'f' if kind in ('f4', 'f8') else 'i'}{8 * SIZES[kind]}"
        of = self.type(kind)
        signature = f"{of} ({', '.join([of] * len(args))})"
        return Value(self.f.call(f"llvm.{name}.{suffix}", signature, *(a.name for a in args)), kind)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        return self.intrinsic("fma", a, b, c)

    def compare(self, how: str, a: Value, b: Value) -> Value:
        """``how`` as in NumPy's names: eq ne lt le gt ge, or "unordered"; NaN is equal to nothing."""
        if a.kind in ("f4", "f8"):
            code = {"eq": "oeq", "ne": "une", "unordered": "uno"}.get(how, f"o{how}")
            return Value(self.f.let(f"fcmp {code} {self.type(a.kind)} {a.name}, {b.name}"), "b1")
        sign = "u" if a.kind == "b1" else "s"
        code = how if how in ("eq", "ne") else f"{sign}{how}"
        return Value(self.f.let(f"icmp {code} {self.type(a.kind)} {a.name}, {b.name}"), "b1")

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        of = self.type(a.kind)
        return Value(self.f.let(f"select {self.type('b1')} {condition.name}, {of} {a.name}, {of} {b.name}"), a.kind)

    def bitcast(self, a: Value, kind: str) -> Value:
        return Value(self.f.let(f"bitcast {self.type(a.kind)} {a.name} to {self.type(kind)}"), kind)

    def cast(self, a: Value, kind: str) -> Value:
        """Convert as NumPy's ``astype`` does."""
        old = a.kind
        if old == kind:
            return a
        if kind == "b1":
            return self.compare("ne", a, self.const(old, 0))
        floats = ("f4", "f8")
        if old in floats:
            name = ("fpext" if old == "f4" else "fptrunc") if kind in floats else "fptosi"
        elif kind in floats:
            name = "uitofp" if old == "b1" else "sitofp"
        elif old == "b1":
            name = "zext"
        else:
            name = "sext" if SIZES[old] < SIZES[kind] else "trunc"
        return Value(self.f.let(f"{name} {self.type(old)} {a.name} to {self.type(kind)}"), kind)

    def splat(self, scalar: str, kind: str) -> Value:
        of = self.type(kind)
        first = self.f.let(f"insertelement {of} poison, {IN_REGISTER[kind]} {scalar}, i64 0")
        zero = f"<{self.width} x i32> zeroinitializer"
        return Value(self.f.let(f"shufflevector {of} {first}, {of} poison, {zero}"), kind)

    def transposed(self, rows: Sequence[Value]) -> list[Value]:
        """Transpose a square of as many vectors as they have elements: one bit of both indices after the other."""
        result = list(rows)
        distance = self.width // 2
        while distance:
            for i in range(self.width):
                if not i & distance:
                    a, b = result[i], result[i + distance]
                    for row, shift in ((i, 0), (i + distance, distance)):
                        picked = [
                            j + shift if not j & distance else self.width + j - distance + shift
                            for j in range(self.width)
                        ]
                        result[row] = self.shuffle(a, b, picked)
            distance //= 2
        return result

    def shuffle(self, a: Value, b: Value, picked: Sequence[int]) -> Value:
        """Pick elements of two vectors, those of the second counted from the width on."""
        of = self.type(a.kind)
        order = ", ".join(f"i32 {i}" for i in picked)
        return Value(self.f.let(f"shufflevector {of} {a.name}, {of} {b.name}, <{self.width} x i32> <{order}>"), a.kind)

    # -- memory --------------------------------------------------------------------------------------------------------

    def iota(self, stride: int = 1) -> str:
        """The constant 0, stride, 2 stride, ..."""
        return "<" + ", ".join(f"i64 {i * stride}" for i in range(self.width)) + ">"

    def mask(self, count: str | int | None) -> str:
        """A mask of the first ``count`` elements (None: all)."""
        ones = f"<{self.width} x i1>"
        if count is None:
            return f"{ones} splat (i1 true)"
        if isinstance(count, int):
            return f"{ones} <" + ", ".join(f"i1 {'true' if i < count else 'false'}" for i in range(self.width)) + ">"
        whole = f"<{self.width} x i64>"
        limit = self.splat(count, "i8").name
        return f"{ones} " + self.f.let(f"icmp slt {whole} {self.iota()}, {limit}")

    def _suffix(self, kind: str) -> str:
        return f"v{self.width}{'f' if kind in ('f4', 'f8') else 'i'}{8 * SIZES[kind]}"

    def load(self, pointer: str, kind: str, stride: int, count: str | int | None = None) -> Value:
        """Read elements ``stride`` bytes apart (0: one for all), the first ``count`` of them, zeros for the others."""
        element, size = IN_MEMORY[kind], SIZES[kind]
        of = f"<{self.width} x {element}>"
        if stride == 0 or self.width == 1:
            scalar = self.f.let(f"load {element}, ptr {pointer}, align {size}")
            if kind == "b1":
                scalar = self.f.let(f"trunc i8 {scalar} to i1")
            return self.splat(scalar, kind)
        if stride == size and count is None:
            name = self.f.let(f"load {of}, ptr {pointer}, align {size}")
        elif stride == size:
            name = self.f.let(
                f"call {of} @{self._declare_load(of, kind)}(ptr align {size} {pointer}, {self.mask(count)},"
                f" {of} zeroinitializer)"
            )
        else:
            pointers = f"<{self.width} x ptr>"
            each = self.f.let(f"getelementptr i8, ptr {pointer}, <{self.width} x i64> {self.iota(stride)}")
            signature = f"{of} ({pointers}, <{self.width} x i1>, {of})"
            gather = self.f.module.declare(f"llvm.masked.gather.{self._suffix(kind)}.v{self.width}p0", signature)
            name = self.f.let(
                f"call {of} @{gather}({pointers} align {size} {each}, {self.mask(count)}, {of} zeroinitializer)"
            )
        if kind == "b1":
            name = self.f.let(f"icmp ne {of} {name}, zeroinitializer")
        return Value(name, kind)

    def _declare_load(self, of: str, kind: str) -> str:
        return self.f.module.declare(
            f"llvm.masked.load.{self._suffix(kind)}.p0", f"{of} (ptr, <{self.width} x i1>, {of})"
        )

    def store(self, value: Value, pointer: str, stride: int, count: str | int | None = None) -> None:
        """Write elements ``stride`` bytes apart, the first ``count`` of them."""
        kind = value.kind
        element, size = IN_MEMORY[kind], SIZES[kind]
        of = f"<{self.width} x {element}>"
        name = value.name
        if kind == "b1":
            name = self.f.let(f"zext {self.type('b1')} {name} to {of}")
        if self.width == 1 or (stride == size and count is None):
            self.f.do(f"store {of} {name}, ptr {pointer}, align {size}")
        elif stride == size:
            store = self.f.module.declare(
                f"llvm.masked.store.{self._suffix(kind)}.p0", f"void ({of}, ptr, <{self.width} x i1>)"
            )
            self.f.do(f"call void @{store}({of} {name}, ptr align {size} {pointer}, {self.mask(count)})")
        else:
            pointers = f"<{self.width} x ptr>"
            each = self.f.let(f"getelementptr i8, ptr {pointer}, <{self.width} x i64> {self.iota(stride)}")
            scatter = self.f.module.declare(
                f"llvm.masked.scatter.{self._suffix(kind)}.v{self.width}p0",
                f"void ({of}, {pointers}, <{self.width} x i1>)",
            )
            self.f.do(f"call void @{scatter}({of} {name}, {pointers} align {size} {each}, {self.mask(count)})")
