"""The llvm backend: NumPy's arrays and eager kernels, and plans compiled to native code by LLVM."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import ClassVar

from tinyseq.backends.numpy import NumpyBackend
from tinyseq.errors import BackendError


class LlvmBackend(NumpyBackend):
    """Differs from the NumPy backend in what compiled functions run on only."""

    name: ClassVar[str] = "llvm"
    lowering: ClassVar[str] = "llvm"

    def describe(self) -> dict[str, str]:
        return {**super().describe(), "backend": "llvm", "llvmlite": version("llvmlite")}


def create() -> LlvmBackend:
    """Return the backend (the entry point that the registry calls).

    Raises:
        BackendError: llvmlite is not installed.
    """
    if importlib.util.find_spec("llvmlite") is None:
        raise BackendError("the llvm backend needs llvmlite", got="not installed", fix='pip install "tinyseq[llvm]"')
    return LlvmBackend()
