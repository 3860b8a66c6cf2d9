"""CUDA without a GPU: NVRTC compiles the kernels, and the same text runs on the CPU as C++, a thread at a time.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tinyseq import backends
from tinyseq.backends.numpy import NumpyBackend
from tinyseq.compiler.lower.cupy.cublas import Handle
from tinyseq.compiler.lower.cupy.gemm import Gemm
from tinyseq.compiler.lower.cupy.kernels import BLOCK, Kernel
from tinyseq.compiler.lower.cupy.launching import Launching, lowered
from tinyseq.compiler.lower.cupy.lowering import Lowered
from tinyseq.compiler.target import TARGETS


def lowered_plan(entry: Any, multiprocessors: int) -> Lowered:
    """Return what the plan of a compilation becomes on a device of so many multiprocessors."""
    result: Lowered = lowered(entry.plan, multiprocessors, entry.target.native_forms())
    return result


COMPILER = shutil.which("g++") or shutil.which("clang++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler on this machine")

#: What CUDA gives beyond C++; threads that wait for each other are ``cuda_threads.cpp``'s.
SHIM = (
    "".join(
        f'extern "C" double {name}(double); extern "C" float {name}f(float);\n'
        # Rather than <cmath>, which takes longer than all the rest.
        for name in ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "fabs", "sin", "cos", "erf")
    )
    + r"""
extern "C" double pow(double, double); extern "C" float powf(float, float);
#define __device__ static
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __shared__ static __thread
struct Index { int x; };
extern __thread Index threadIdx, blockIdx;
extern Index blockDim, gridDim;
static double __longlong_as_double(long long bits) { double x; __builtin_memcpy(&x, &bits, 8); return x; }
extern "C" void ts_syncthreads();
extern "C" void ts_syncwarp(unsigned mask);
extern "C" void ts_exchange(unsigned mask, void* value, int size, int from);
extern "C" void ts_cluster_arrive();
extern "C" void ts_cluster_wait();
extern "C" int ts_cluster_rank();
extern "C" void ts_anchor(char* mine);
extern "C" char* ts_other(char* mine, int rank);
// Where the shared memory of this thread's block lies.
static __thread char anchor;
template <typename T> static T* ts_remote(T* place, int rank) {
  return (T*)(ts_other(&anchor, rank) + ((char*)place - &anchor));
}
extern "C" int ts_run(void (*body)(void*), void* arguments, int blocks, int threads, int cluster, int backwards);
#define __syncthreads ts_syncthreads
static void __syncwarp(unsigned mask = 0xffffffffu) { ts_syncwarp(mask); }
// Lanes from `low` on, `width` of them, are one group; who would read beyond it reads what it has given itself.
#define SHUFFLE(NAME, WHICH, FROM, WITHIN) \
  template <typename T> static T NAME(unsigned mask, T value, int WHICH, int width = 32) { \
    const int lane = threadIdx.x % 32, low = lane / width * width, from = FROM; \
    ts_exchange(mask, &value, sizeof(T), WITHIN ? from : lane); \
    return value; \
  }
SHUFFLE(__shfl_sync, source, low + source % width, true)
SHUFFLE(__shfl_xor_sync, bits, lane ^ bits, from < low + width)
SHUFFLE(__shfl_down_sync, delta, lane + delta, from < low + width)
SHUFFLE(__shfl_up_sync, delta, lane - delta, from >= low)
"""
)
#: What a kernel's text has where its threads wait for each other; the others' run one after the other.
_WAITING = re.compile(r"__sync|__shfl|\bts_(cluster|warp|block)_")
_HEAD = re.compile(
    r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(?:__cluster_dims__\([^)]*\) )?(\w+)\(([^)]*)\)'
)
_libraries: dict[str, ctypes.CDLL] = {}
_folder = tempfile.TemporaryDirectory(prefix="tinyseq-cuda-")


@cache
def _threads() -> Path:
    """Compile what runs the threads of a grid, once."""
    path = Path(_folder.name) / "threads.so"
    _compile(Path(__file__).with_name("cuda_threads.cpp"), path, "-O1", "-Wall", "-Werror", "-pthread")
    return path


def _compile(source: Path, library: Path, *options: str) -> None:
    assert COMPILER is not None
    # What a library needs comes after it.
    command = [COMPILER, "-std=c++17", "-shared", "-fPIC", str(source), *options, "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


def shim(source: str) -> ctypes.CDLL:
    """Compile a module for the CPU; ``run`` runs its kernels."""
    key = hashlib.sha256(source.encode()).hexdigest()
    if key not in _libraries:
        path = Path(_folder.name) / key
        path.with_suffix(".cpp").write_text("\n".join([SHIM, source, *_runs(source)]))
        options = [
            "-O0",
            "-ffp-contract=off",
            "-Wall",
            "-Werror",
            "-Wno-unused",
            "-Wno-unknown-pragmas",
            "-Wno-misleading-indentation",
        ]
        _compile(path.with_suffix(".cpp"), path.with_suffix(".so"), *options, str(_threads()))
        _libraries[key] = ctypes.CDLL(str(path.with_suffix(".so")))
    return _libraries[key]


def _runs(source: str) -> Iterator[str]:
    """Write what runs each kernel: ``run_NAME``, with the kernel's parameters and those of the grid."""
    heads = list(_HEAD.finditer(source))
    ends = [head.start() for head in heads[1:]] + [len(source)]
    for head, end in zip(heads, ends, strict=False):  # there may be none
        name, parameters = head.groups()
        names = [part.split()[-1].lstrip("*") for part in parameters.split(", ")]
        grid = "int blocks, int threads, int cluster, int backwards"
        if _WAITING.search(source, head.end(), end):
            fields = " ".join(f"{part};" for part in parameters.split(", "))
            yield (
                f"struct Arguments_{name} {{ {fields} }};\n"
                f"static void body_{name}(void* given) {{ ts_anchor(&anchor); "
                f"Arguments_{name}& x = *(Arguments_{name}*)given; "
                f"{name}({', '.join(f'x.{n}' for n in names)}); }}\n"
                f'extern "C" int run_{name}({parameters}, {grid}) {{\n'
                f"  Arguments_{name} given = {{{', '.join(names)}}};\n"
                f"  return ts_run(body_{name}, &given, blocks, threads, cluster, backwards);\n}}"
            )
        else:
            yield (
                f'extern "C" int run_{name}({parameters}, {grid}) {{\n'
                "  blockDim.x = threads; gridDim.x = blocks;\n"
                "  for (int odd_ = 0; odd_ < 2; ++odd_) for (int block_ = odd_; block_ < blocks; block_ += 2)\n"
                "    for (int thread_ = 0; thread_ < threads; ++thread_) {\n"
                "      blockIdx.x = block_; threadIdx.x = backwards ? threads - 1 - thread_ : thread_;\n"
                f"      {name}({', '.join(names)});\n    }}\n  return 0;\n}}"
            )


def run(
    library: ctypes.CDLL,
    name: str,
    addresses: Sequence[int],
    numbers: Sequence[int],
    blocks: int,
    threads: int = BLOCK,
    cluster: int = 1,
    backwards: bool = False,
) -> None:
    """Run a kernel of a module: the odd clusters last; the ``cluster`` blocks of one run side by side."""
    given = [*map(ctypes.c_void_p, addresses), *map(ctypes.c_int, numbers)]
    grid = (blocks, threads, cluster, int(backwards))
    failed = getattr(library, f"run_{name}")(*given, *grid)
    assert not failed, f"{name}: threads wait for others that never come"


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
    target: ClassVar[str] = "cuda-on-host"


class Executable(Launching):
    """The device's executable, but for how a launch is made."""

    on: ClassVar[str] = "cuda-on-host"
    #: In which order the threads of a block come: no order may matter.
    backwards: ClassVar[bool] = False
    #: Of a device with clusters of blocks.
    count: ClassVar[int] = 0

    def load(self) -> None:
        self.library = shim(self.lowered.source)
        self.stand_in = Blas()
        self.blas = Handle(self.stand_in, self.backend, self.precision)

    def multiprocessors(self) -> int:
        return self.count

    def address(self, memory: Any) -> int:
        return memory.ctypes.data

    def start(self, name: str, kernel: Kernel, addresses: list[int], t: int, turn: int) -> None:
        grid = (kernel.blocks, kernel.block, kernel.cluster)
        run(self.library, name, addresses, (t, turn), *grid, self.backwards)

    def multiply(self, gemm: Gemm, a: int, b: int, c: int) -> None:
        self.blas.multiply(gemm, a, b, c)

    @property
    def arrays(self) -> dict[int, Any]:
        return self.memory


def create() -> HostBackend:
    return HostBackend()


TARGETS.register("cuda-on-host", replace(TARGETS["cupy"], name="cuda-on-host", bind=Executable))
backends.register("cuda-on-host", __name__)


@contextmanager
def lowering_only() -> Iterator[list[Lowered]]:
    """Yield what plans are lowered to inside the ``with`` block; they compute nothing."""
    found: list[Lowered] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Executable, "load", lambda self: found.append(self.lowered))
        patch.setattr(Executable, "run", lambda self, piece: None)
        patch.setattr(Executable, "start", lambda self, *launch: None)
        yield found


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
    options = [
        f"--gpu-architecture={architecture}".encode(),
        b"--std=c++17",
        b"-diag-suppress=177,550",
    ]  # unused values
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
