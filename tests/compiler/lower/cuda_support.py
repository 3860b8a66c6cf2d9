"""CUDA without a GPU: NVRTC compiles the kernels, and the same text runs on the CPU as C++, a loop over the threads.

``HostExecutable`` runs whole plans like that: launches, places and turns are those of the device's executable, products
come through the same calls of cuBLAS, made by a stand-in that knows matrices by columns.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinyseq import backends
from tinyseq.backends.numpy import NumpyBackend
from tinyseq.compiler.lower import register
from tinyseq.compiler.lower.cupy.cublas import Handle
from tinyseq.compiler.lower.cupy.gemm import Gemm
from tinyseq.compiler.lower.cupy.kernels import BLOCK, Kernel
from tinyseq.compiler.lower.cupy.launching import Launching

COMPILER = shutil.which("g++") or shutil.which("clang++")

#: What CUDA gives beyond C++.
SHIM = (
    "".join(
        f'extern "C" double {name}(double); extern "C" float {name}f(float);\n'
        # Rather than <cmath>, which takes longer than all the rest.
        for name in ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "fabs", "sin", "cos", "erf")
    )
    + f"""
extern "C" double pow(double, double); extern "C" float powf(float, float);
#define __device__ static
#define __global__
static struct {{ int x; }} blockIdx, threadIdx;
static double __longlong_as_double(long long bits) {{ double x; __builtin_memcpy(&x, &bits, 8); return x; }}
template <typename T> static void atomicAdd(T* place, T value) {{ *place += value; }}
#define RUN(...) for (int turn_ = 0; turn_ < 2; ++turn_) \\
  for (int block = turn_; block < blocks; block += 2) for (int k = 0; k < {BLOCK}; ++k) {{ \\
    blockIdx.x = block; threadIdx.x = backwards ? {BLOCK} - 1 - k : k; __VA_ARGS__; }}
"""
)
_libraries: dict[str, ctypes.CDLL] = {}
_folder = tempfile.TemporaryDirectory(prefix="tinyseq-cuda-")


def shim(source: str) -> ctypes.CDLL:
    """Compile a module for the CPU; ``run_NAME`` runs a kernel's threads one after the other, the odd blocks last."""
    key = hashlib.sha256(source.encode()).hexdigest()
    if key not in _libraries:
        runs = []
        for name, parameters in re.findall(r'extern "C" __global__ void (\w+)\(([^)]*)\)', source):
            given = ", ".join(part.split()[-1] for part in parameters.split(", "))
            runs.append(
                f'extern "C" void run_{name}({parameters}, int blocks, int backwards) {{ RUN({name}({given})) }}'
            )
        path = Path(_folder.name) / key
        path.with_suffix(".cpp").write_text("\n".join([SHIM, source, *runs]))
        assert COMPILER is not None
        command = [COMPILER, "-std=c++17", "-O0", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Werror"]
        command += ["-Wno-unused", str(path.with_suffix(".cpp")), "-o", str(path.with_suffix(".so"))]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:4000]
        _libraries[key] = ctypes.CDLL(str(path.with_suffix(".so")))
    return _libraries[key]


class Blas:
    """The functions of cuBLAS that are called, on the host's memory; it knows matrices by columns only."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.computing: set[int] = set()

    def cublasCreate_v2(self, handle: Any) -> int:
        handle._obj.value = 1
        return 0

    def cublasSetStream_v2(self, *_: Any) -> int:
        self.calls.append("stream")
        return 0

    def cublasSetWorkspace_v2(self, *_: Any) -> int:
        self.calls.append("workspace")
        return 0

    def cublasGemmEx(self, handle: Any, ta: int, tb: int, m: int, n: int, k: int, alpha: Any, *rest: Any) -> int:
        a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, compute, algorithm = rest
        assert a_type == b_type == c_type
        assert (alpha._obj.value, beta._obj.value, algorithm) == (1.0, 0.0, -1)
        self.computing.add(compute)
        # cuBLAS refuses leading extents that are too small.
        assert lda >= (k if ta else m) and ldb >= (n if tb else k) and ldc >= m, (lda, ldb, ldc)  # noqa: PT018
        left = self.matrix(a, a_type, lda, k if ta else m, m if ta else k)
        right = self.matrix(b, b_type, ldb, n if tb else k, k if tb else n)
        np.matmul(left.T if ta else left, right.T if tb else right, out=self.matrix(c, c_type, ldc, m, n))
        return 0

    def cublasGemmStridedBatchedEx(self, handle: Any, ta: int, tb: int, m: int, n: int, k: int, *rest: Any) -> int:
        alpha, a, at, lda, sa, b, bt, ldb, sb, beta, c, ct, ldc, sc, batch, compute, algorithm = rest
        size = 4 if at == 0 else 8
        for i in range(batch):
            places = [ctypes.c_void_p(x.value + i * s.value * size) for x, s in ((a, sa), (b, sb), (c, sc))]
            left, right, out = ((p, t, ld) for p, t, ld in zip(places, (at, bt, ct), (lda, ldb, ldc), strict=True))
            self.cublasGemmEx(handle, ta, tb, m, n, k, alpha, *left, *right, beta, *out, compute, algorithm)
        return 0

    @staticmethod
    def matrix(place: Any, kind: int, leading: int, rows: int, columns: int) -> np.ndarray:
        element = ctypes.c_float if kind == 0 else ctypes.c_double
        size = ctypes.sizeof(element)
        flat = np.ctypeslib.as_array((element * (leading * (columns - 1) + rows)).from_address(place.value))
        return np.lib.stride_tricks.as_strided(flat, (rows, columns), (size, leading * size))


class HostBackend(NumpyBackend):
    name: ClassVar[str] = "cuda-on-host"
    lowering: ClassVar[str] = "cuda-on-host"


class Executable(Launching):
    """The device's executable, but for how a launch is made."""

    on: ClassVar[str] = "cuda-on-host"
    #: In which order the threads of a block come: no order may matter.
    backwards: ClassVar[bool] = False

    def load(self) -> None:
        self.library = shim(self.lowered.source)
        self.stand_in = Blas()
        self.blas = Handle(self.stand_in, self.backend, self.precision)

    def address(self, memory: Any) -> int:
        return memory.ctypes.data

    def start(self, name: str, kernel: Kernel, addresses: list[int], t: int, turn: int) -> None:
        run = getattr(self.library, f"run_{name}")
        run(*map(ctypes.c_void_p, addresses), t, turn, kernel.blocks, int(self.backwards))

    def multiply(self, gemm: Gemm, a: int, b: int, c: int) -> None:
        self.blas.multiply(gemm, a, b, c)

    @property
    def arrays(self) -> dict[int, Any]:
        return self.memory


def create() -> HostBackend:
    return HostBackend()


register("cuda-on-host", __name__)
backends.register("cuda-on-host", __name__)


# -- NVRTC -------------------------------------------------------------------------------------------------------------


def nvrtc() -> ctypes.CDLL | None:
    """Load the NVRTC of the wheel ``nvidia-cuda-nvrtc-cu12``, or None where it is not installed."""
    spec = importlib.util.find_spec("nvidia.cuda_nvrtc") if importlib.util.find_spec("nvidia") else None
    if spec is None or not spec.submodule_search_locations:
        return None
    (place,) = list(spec.submodule_search_locations)[:1]
    found = [p for pattern in ("lib/libnvrtc.so*", "bin/nvrtc64*.dll") for p in sorted(Path(place).glob(pattern))]
    return ctypes.CDLL(str(found[0])) if found else None


def compile_for(library: ctypes.CDLL, source: str, architecture: str) -> bytes:
    """Compile to machine code; a message of the compiler, warnings included, fails."""
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"plan.cu", 0, None, None) == 0
    options = [f"--gpu-architecture={architecture}".encode(), b"--std=c++17", b"-diag-suppress=177,550"]  # unused values
    status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert status == 0 and not log.value.strip(), log.value.decode()[:4000]  # noqa: PT018
    assert library.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
    code = ctypes.create_string_buffer(size.value)
    assert library.nvrtcGetCUBIN(program, code) == 0
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw
