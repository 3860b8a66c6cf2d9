"""The llvm backend: NumPy's arrays and eager kernels, and plans compiled to native code by LLVM."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import ClassVar

from tinyseq.backends.numpy import NumpyBackend
from tinyseq.errors import BackendError

_OLDEST = (0, 48)


class LlvmBackend(NumpyBackend):
    """Differs from the NumPy backend in what compiled functions run on only."""

    name: ClassVar[str] = "llvm"
    target: ClassVar[str] = "llvm"

    def describe(self) -> dict[str, str]:
        return {**super().describe(), "backend": "llvm", "llvmlite": version("llvmlite")}


def create() -> LlvmBackend:
    """Return the backend (the entry point that the registry calls).

    Raises:
        BackendError: llvmlite is not installed, or too old: its IR is that of LLVM 22.
    """
    installed = version("llvmlite") if importlib.util.find_spec("llvmlite") else "not installed"
    numbers = tuple(int(part) for part in installed.split(".")[:2] if part.isdecimal())
    if numbers < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise BackendError(
            "the llvm backend needs llvmlite",
            required=f"{oldest} or later",
            got=installed,
            fix='pip install "tinyseq[llvm]"',
        )
    return LlvmBackend()
