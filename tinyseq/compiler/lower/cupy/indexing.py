"""Indexing as CUDA kernels."""

from __future__ import annotations

import math

from tinyseq.compiler.lower.cupy.operations import literal
from tinyseq.compiler.lower.cupy.writing import Kernel, Writer
from tinyseq.compiler.lower.stages import Gathering


def write_gathering(stage: Gathering) -> list[Kernel]:
    whole, part, arrays, before = stage.whole, stage.part, stage.arrays, stage.before
    out = Writer(math.prod(part.shape), [whole, part, *arrays])
    own = out.axes("i", part.shape)
    middle = len(arrays[0].shape)
    places, extents = [], whole.shape[before : before + len(arrays)]
    inside = []
    for array, extent in zip(arrays, extents, strict=True):
        read = out.let(out.index, f"({out.index}){out.address(array, own[before : before + middle], array.strides)}")
        place = out.let(out.index, f"{read} < 0 ? {read} + {extent} : {read}")
        inside.append(f"{place} >= 0 && {place} < {extent}")
        places.append(place)
    element = out.address(whole, [*own[:before], *places, *own[before + middle :]], whole.strides)
    mine = out.address(part, own, part.strides)
    # Nothing can be raised from here: an index out of range adds nothing, and reads as NaN, which no loss overlooks.
    if stage.add:
        out.lines.append(f"if ({' && '.join(inside)}) atomicAdd(&{element}, {mine});")
        zero = Writer(math.prod(whole.shape), [whole])
        zero.lines.append(f"{zero.address(whole, zero.axes('i', whole.shape), whole.strides)} = 0;")
        return [zero.kernel(), out.kernel()]
    otherwise = literal(whole.kind, math.nan if whole.kind in ("f4", "f8") else 0)
    out.lines.append(f"{mine} = {' && '.join(inside)} ? {element} : {otherwise};")
    return [out.kernel()]
