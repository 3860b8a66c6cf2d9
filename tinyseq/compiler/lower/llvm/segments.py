"""Stages in a row as one native function, which every thread runs: its share of a stage, then a barrier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tinyseq.compiler.lower.llvm.ir.barrier import write_barrier
from tinyseq.compiler.lower.llvm.ir.builder import Function, IRModule
from tinyseq.compiler.lower.llvm.ir.context import StageWriter, base
from tinyseq.compiler.lower.llvm.kernels.codegen import write_stage
from tinyseq.compiler.lower.llvm.kernels.gemm import Tile, pack
from tinyseq.compiler.lower.llvm.kernels.matmul import lies_still, tile_of
from tinyseq.compiler.lower.llvm.runtime.host import Host
from tinyseq.compiler.lower.stages import Group, Product, Repeat, Stage

_STAGE: Final = "ptr %buffers, ptr %scratch, i64"


def write_segments(segments: Sequence[Sequence[Stage]], host: Host) -> tuple[str, int, list[Tile]]:
    """Return a module with a function ``segment0``, ... for each, the scratch bytes a thread needs, and the kernels.

    Their arguments: the table of buffers, the scratch memory of all threads, this thread's number, how many there are,
    and the barrier's two integers.
    """
    module = IRModule(host.attributes)
    writer = StageWriter(host, module)
    bodies = [
        [_stage(writer, stage, f"segment{number}_{index}") for index, stage in enumerate(stages)]
        for number, stages in enumerate(segments)
    ]
    size = -(-writer.scratch.size // 4096) * 4096 + 4096
    write_barrier(module, host)
    for number, body in enumerate(bodies):
        parameters = ["ptr %buffers", "ptr %memory", "i64 %thread", "i64 %threads", "ptr %barrier"]
        f = module.function(f"segment{number}", parameters, linkage="")
        f.do(f"%offset = mul i64 %thread, {size}")
        f.do("%scratch = getelementptr i8, ptr %memory, i64 %offset")
        for write in body:
            write(f)
            f.do("call void @barrier(ptr %barrier, i64 %threads)")
        f.do("ret void")
    return str(module), size, list(module.kernels.values())


def _share(f: Function, parts: int) -> tuple[str, str]:
    """Return this thread's part of ``0 .. parts``."""
    begin = f.let(f"udiv i64 {f.mul('%thread', parts)}, %threads")
    end = f.let(f"udiv i64 {f.mul(f.add('%thread', 1), parts)}, %threads")
    return begin, end


def _stage(writer: StageWriter, stage: Stage, name: str) -> Any:
    """Write a stage's functions; return what writes the calls of them."""
    if isinstance(stage, Repeat):
        return _repeat(writer, stage, name)
    parts = write_stage(writer, stage, name)

    def call(f: Function) -> None:
        begin, end = _share(f, parts)
        f.do(f"call void @{name}({_STAGE} 0, i64 0, i64 {begin}, i64 {end})")

    return call


def _repeat(writer: StageWriter, repeat: Repeat, name: str) -> Any:
    packs: list[str] = []
    calls: list[tuple[str, int]] = []
    for index, stage in enumerate(repeat.stages):
        packed = []
        if isinstance(stage, Group) and all(lies_still(product.right, repeat) for product in stage.products):
            for number, product in enumerate(stage.products):
                packs.append(f"{name}_pack{index}_{number}")
                packed.append(_kept(writer, stage, product, packs[-1]))
        inner = f"{name}_{index}"
        calls.append((inner, write_stage(writer, stage, inner, repeat.rows > 0, packed)))

    def call(f: Function) -> None:
        begin: Any = 0
        length: Any = repeat.length
        if repeat.rows:
            begin, end = _share(f, repeat.rows)
        else:  # one thread does all
            first = f.let("icmp eq i64 %thread, 0")
            length = f.let(f"select i1 {first}, i64 {repeat.length}, i64 0")
        busy = f.let(f"icmp slt i64 {begin}, {end if repeat.rows else length}")
        with f.when(busy):
            for pack_name in packs:
                f.do(f"call void @{pack_name}(ptr %buffers, ptr %scratch)")
            with f.loop(0, length) as turn:
                t = f.let(f"sub i64 {repeat.length - 1}, {turn}") if repeat.reverse else turn
                for inner, parts in calls:
                    span = f"i64 {begin}, i64 {end}" if repeat.rows else f"i64 0, i64 {parts}"
                    f.do(f"call void @{inner}({_STAGE} {t}, i64 {turn}, {span})")

    return call


def _kept(writer: StageWriter, group: Group, product: Product, name: str) -> int:
    """Write the laying out of a loop's right operand; return where it lies in the scratch memory."""
    tile = tile_of(writer.host, group)
    length = product.left.shape[1]
    place = writer.scratch.take(tile.panels * length * tile.row_bytes)
    f = writer.module.function(name, ["ptr %buffers", "ptr %scratch"])
    right = base(f, product.right)
    with f.loop(0, tile.panels) as index:
        panel = f.at("%scratch", f.add(f.mul(index, length * tile.row_bytes), place))
        pack(f, tile, right, (product.right.strides[0], product.right.strides[1]), panel, index, length)
    f.do("ret void")
    return place
