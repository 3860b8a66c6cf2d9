"""What the tests of the llvm backend share."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinyseq as ts
from tinyseq import threads
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm import executable
from tinyseq.compiler.lower.llvm.ir.builder import IRModule
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.compiler.lower.llvm.runtime.host import Library, host, object_code


@contextmanager
def shared_by(monkeypatch: pytest.MonkeyPatch, count: int) -> Iterator[None]:
    """Run every segment, however short, on so many threads, whatever the machine has."""
    with monkeypatch.context() as patch, ts.backend("llvm"):
        patch.setattr(threads, "available", lambda: count)
        patch.setattr(executable, "_WORTH_SHARING", 0)
        yield


def function_of(write: Callable[[Vectors, Value], Value], kind: str, width: int) -> Callable[[np.ndarray], np.ndarray]:
    """Compile what ``write`` makes of one vector, and apply it along an array."""
    module = IRModule(host().attributes)
    f = module.function("run", ["ptr %x", "ptr %y", "i64 %n"], linkage="")
    v, size = Vectors(f, width), SIZES[kind]
    with f.loop(0, "%n", width) as i:
        place = f.mul(i, size)
        v.store(write(v, v.load(f.at("%x", place), kind, size)), f.at("%y", place), size)
    f.do("ret void")
    library = Library(object_code(str(module), host()), host())
    call = library.function("run", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

    def run(x: np.ndarray) -> np.ndarray:
        padded = np.zeros(-(-x.size // width) * width, x.dtype)
        padded[: x.size] = x
        y = np.empty_like(padded)
        call(padded.ctypes.data, y.ctypes.data, padded.size)
        return y[: x.size]

    return run
