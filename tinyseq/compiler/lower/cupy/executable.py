"""A plan on a CUDA device: kernels by NVRTC, products by cuBLAS, each piece captured into a CUDA graph and replayed."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

import numpy as np

from tinyseq.compiler.lower.cupy import copying
from tinyseq.compiler.lower.cupy.cublas import Handle, library
from tinyseq.compiler.lower.cupy.gemm import Gemm
from tinyseq.compiler.lower.cupy.kernels import Kernel
from tinyseq.compiler.lower.cupy.launching import Launching
from tinyseq.compiler.lower.cupy.lowering import Launches
from tinyseq.compiler.lower.cupy.persistent import SHARED

#: Bytes of shared memory that a kernel may have without having asked before.
_UNASKED = 48 << 10
#: One handle a precision: it is used by one launch after the other, and sends to one stream at a time.
_handles: dict[str, Handle] = {}
_sending = threading.Lock()


class Executable(Launching):
    """Runs a piece launch by launch the first time, which loads and warms up; then it is captured, and replayed."""

    on: ClassVar[str] = "cupy"

    def load(self) -> None:
        cupy = self.backend.xp
        # CuPy keeps what NVRTC made on disk, by the digest of source, options and versions.
        module = cupy.RawModule(code=self.lowered.source, options=("-std=c++17",), backend="nvrtc")
        kernels = {x.name: x.what for x, _ in self.lowered.launches() if isinstance(x.what, Kernel)}
        self.functions = {name: module.get_function(name) for name in (*kernels, copying.NAME)}
        for name, kernel in kernels.items():
            if kernel.shared > _UNASKED:
                self.functions[name].max_dynamic_shared_size_bytes = kernel.shared
        with _sending:
            if self.precision not in _handles:
                from cupy.cuda import cublas  # noqa: F401 - loads the library that CuPy uses

                loaded = library(cupy.cuda.runtime.runtimeGetVersion())
                _handles[self.precision] = Handle(loaded, self.backend, self.precision)
            self.blas = _handles[self.precision]
        self.graphs: dict[int, Any] = {}
        self.seen: set[int] = set()
        #: Seconds that capturing took, all pieces together.
        self.capture_seconds = 0.0

    def multiprocessors(self) -> int:
        device = self.backend.xp.cuda.Device()
        # Some devices of later generations have clusters, but less memory beside a multiprocessor.
        fitting = device.attributes["MaxSharedMemoryPerBlockOptin"] >= SHARED
        return device.attributes["MultiProcessorCount"] if int(device.compute_capability) >= 90 and fitting else 0

    def address(self, memory: Any) -> int:
        return int(memory.data.ptr)

    def start(self, name: str, kernel: Kernel, addresses: list[int], t: int, turn: int) -> None:
        arguments = (*map(np.uint64, addresses), np.int32(t), np.int32(turn))
        self.functions[name]((kernel.blocks,), (kernel.block,), arguments, shared_mem=kernel.shared)

    def multiply(self, gemm: Gemm, a: int, b: int, c: int) -> None:
        self.blas.multiply(gemm, a, b, c)

    def enqueue(self, piece: Launches) -> None:
        with _sending:
            self._enqueue(piece)

    def _enqueue(self, piece: Launches) -> None:
        cuda = self.backend.xp.cuda
        key = id(piece)
        if key not in self.seen:
            self.seen.add(key)
            self._send(piece, cuda.get_current_stream())
            return
        if key not in self.graphs:
            began = time.perf_counter()
            stream = cuda.Stream(non_blocking=True)
            with stream:
                stream.begin_capture()
                try:
                    self._send(piece, stream)
                finally:
                    self.graphs[key] = stream.end_capture()
            self.capture_seconds += time.perf_counter() - began
        self.graphs[key].launch()

    def _send(self, piece: Launches, stream: Any) -> None:
        self.blas.use(stream.ptr, self.address(self.blas.workspace))
        super().enqueue(piece)
