"""LLVM IR as text: modules, functions, loops. Text is made several times faster than objects of a builder."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

#: dtype -> the type of an element in memory; booleans take a byte there and a bit in registers.
IN_MEMORY: Final = {"f4": "float", "f8": "double", "i8": "i64", "i4": "i32", "b1": "i8"}
IN_REGISTER: Final = {**IN_MEMORY, "b1": "i1"}


def constant(kind: str, value: Any) -> str:
    """Return a scalar constant; floats are written in the bits of a double, as LLVM wants them."""
    if kind == "f4":
        value = float(np.float32(value))
    if kind in ("f4", "f8"):
        return f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X}"
    return str(int(value))


class IRModule:
    """Functions and what they declare of others."""

    def __init__(self, attributes: str = "") -> None:
        self.functions: dict[str, Function] = {}
        self.declared: dict[str, str] = {}
        #: Kernels that it calls, by name, for whoever loads it.
        self.kernels: dict[str, Any] = {}
        self.attributes = attributes

    def function(
        self, name: str, parameters: Sequence[str], linkage: str = "internal", result: str = "void"
    ) -> Function:
        """Start a function; ``parameters`` are like ``"ptr %a"``."""
        made = Function(self, name, parameters, linkage, result)
        self.functions[name] = made
        return made

    def declare(self, name: str, signature: str) -> str:
        """Declare an external function once: ``signature`` is ``"result (parameters)"``; return its name."""
        result, _, parameters = signature.partition(" (")
        self.declared[name] = f"declare {result} @{name}({parameters}"
        return name

    def __str__(self) -> str:
        parts = [*self.declared.values(), *map(str, self.functions.values())]
        return "\n".join([*parts, f"attributes #0 = {{ noinline nounwind {self.attributes} }}", ""])


class Function:
    """The text of one function, written from the start to the end."""

    def __init__(self, module: IRModule, name: str, parameters: Sequence[str], linkage: str, result: str) -> None:
        self.module = module
        self.head = f"define {linkage} {result} @{name}({', '.join(parameters)}) #0 {{\nentry:"
        self.entry: list[str] = []
        self.lines: list[str] = []
        self.block = "entry"
        self.count = 0

    def __str__(self) -> str:
        return "\n".join([self.head, *self.entry, *self.lines, "}"])

    def name(self, stem: str = "v") -> str:
        self.count += 1
        return f"%{stem}{self.count}"

    def do(self, text: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(f"  {text}")

    def let(self, text: str) -> str:
        """Write an instruction and return the name of its result."""
        name = self.name()
        self.lines.append(f"  {name} = {text}")
        return name

    def variable(self, kind: str) -> str:
        """Return memory of the function's own for one value; LLVM keeps it in a register."""
        name = self.name("m")
        self.entry.append(f"  {name} = alloca {kind}")
        return name

    def label(self, name: str) -> None:
        """Start a block; what comes before must have ended its own."""
        self.lines.append(f"{name}:")
        self.block = name

    def labels(self, *stems: str) -> list[str]:
        self.count += 1
        return [f"{stem}{self.count}" for stem in stems]

    def call(self, name: str, signature: str, *arguments: str) -> str:
        """Call a declared function; ``signature`` as for ``declare``, arguments without their types."""
        self.module.declare(name, signature)
        result, _, parameters = signature.partition(" (")
        types = _types(parameters[:-1])
        given = ", ".join(f"{t} {a}" for t, a in zip(types, arguments, strict=True))
        return self.let(f"call {result} @{name}({given})")

    # -- integers and addresses ----------------------------------------------------------------------------------------

    def add(self, a: str | int, b: str | int) -> str | int:
        """Add two integers; constants are added at once."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0:
            return b
        if b == 0:
            return a
        return self.let(f"add i64 {a}, {b}")

    def mul(self, a: str | int, b: str | int) -> str | int:
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if 0 in (a, b):
            return 0
        if a == 1:
            return b
        if b == 1:
            return a
        return self.let(f"mul i64 {a}, {b}")

    def minimum(self, a: str | int, b: str | int) -> str | int:
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        less = self.let(f"icmp slt i64 {a}, {b}")
        return self.let(f"select i1 {less}, i64 {a}, i64 {b}")

    def at(self, pointer: str, offset: str | int) -> str:
        """Return the address so many bytes further."""
        return pointer if offset == 0 else self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")

    # -- control flow --------------------------------------------------------------------------------------------------

    @contextmanager
    def loop(self, start: str | int, stop: str | int, step: int = 1) -> Iterator[str | int]:
        """Write a loop over ``start <= i < stop``; a single turn known beforehand needs none."""
        if isinstance(start, int) and isinstance(stop, int) and stop - start <= step and stop > start:
            yield start
            return
        head, body, latch, done = self.labels("head", "body", "latch", "done")
        index, following = self.name("i"), self.name("i")
        before = self.block
        self.do(f"br label %{head}")
        self.label(head)
        self.do(f"{index} = phi i64 [{start}, %{before}], [{following}, %{latch}]")
        test = self.let(f"icmp slt i64 {index}, {stop}")
        self.do(f"br i1 {test}, label %{body}, label %{done}")
        self.label(body)
        yield index
        self.do(f"br label %{latch}")
        self.label(latch)
        self.do(f"{following} = add i64 {index}, {step}")
        self.do(f"br label %{head}")
        self.label(done)

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Write what is done only where an i1 holds."""
        then, after = self.labels("then", "after")
        self.do(f"br i1 {condition}, label %{then}, label %{after}")
        self.label(then)
        yield
        self.do(f"br label %{after}")
        self.label(after)


def _types(parameters: str) -> list[str]:
    """Split ``"<4 x float>, i64"`` at its commas."""
    return [part.strip() for part in parameters.split(",")] if parameters else []
