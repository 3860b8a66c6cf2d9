"""Products by cuBLAS, through a handle and a workspace of our own.

CuPy refuses its own cuBLAS calls while a stream is captured into a CUDA graph. cuBLAS itself does not, as long as its
workspace is given to it beforehand; so the few functions that products need are called with ctypes, in the same
library that CuPy has loaded.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Final

from tinyseq.backends.base import Backend
from tinyseq.compiler.lower.cupy.gemm import Gemm
from tinyseq.errors import BackendError

#: NVIDIA's recommendation for Hopper; others need less.
WORKSPACE: Final = 32 << 20
#: cublas_api.h: cudaDataType, cublasComputeType_t (FP32, FP32 by TF32, FP64), cublasGemmAlgo_t.
_DATA: Final = {"f4": 0, "f8": 1}
_COMPUTE: Final = {("f4", "fp32"): 68, ("f4", "tf32"): 77, ("f8", "fp32"): 70, ("f8", "tf32"): 70}
_DEFAULT_ALGORITHM: Final = -1
_SCALARS: Final = {"f4": ctypes.c_float, "f8": ctypes.c_double}


def library(cuda_version: int) -> Any:
    """Load the cuBLAS of a CUDA version (1000 major + 10 minor); already loaded, it is the one that CuPy uses."""
    major = cuda_version // 1000
    return ctypes.CDLL(f"cublas64_{major}.dll" if sys.platform == "win32" else f"libcublas.so.{major}")


class Handle:
    """A cuBLAS handle with its own workspace on the device."""

    def __init__(self, library: Any, backend: Backend, precision: str) -> None:
        self.library, self.precision = library, precision
        self.workspace = backend.allocate(WORKSPACE)
        self.handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self.handle))

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status:
            raise BackendError(f"cuBLAS: {name} failed", got=f"status {status}")

    def use(self, stream: int, workspace: int) -> None:
        """Send what follows to a stream; this takes the workspace away, so it is given anew."""
        self._call("cublasSetStream_v2", self.handle, ctypes.c_void_p(stream))
        self._call("cublasSetWorkspace_v2", self.handle, ctypes.c_void_p(workspace), ctypes.c_size_t(WORKSPACE))

    def multiply(self, gemm: Gemm, a: int, b: int, c: int) -> None:
        """Compute a product; ``a``, ``b`` and ``c`` are addresses."""
        scalar, kind = _SCALARS[gemm.kind], _DATA[gemm.kind]
        one, zero = scalar(1.0), scalar(0.0)
        lead = (self.handle, int(gemm.transpose_a), int(gemm.transpose_b), gemm.m, gemm.n, gemm.k, ctypes.byref(one))
        how = (_COMPUTE[gemm.kind, self.precision], _DEFAULT_ALGORITHM)
        operand = (ctypes.c_void_p(a), kind, gemm.lda), (ctypes.c_void_p(b), kind, gemm.ldb)
        result = ctypes.c_void_p(c), kind, gemm.ldc
        if gemm.batch == 1:
            self._call("cublasGemmEx", *lead, *operand[0], *operand[1], ctypes.byref(zero), *result, *how)
            return
        a_step, b_step, c_step = map(ctypes.c_longlong, (gemm.stride_a, gemm.stride_b, gemm.stride_c))
        self._call(
            "cublasGemmStridedBatchedEx",
            *(*lead, *operand[0], a_step, *operand[1], b_step, ctypes.byref(zero), *result, c_step, gemm.batch, *how),
        )
