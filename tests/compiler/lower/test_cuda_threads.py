"""The stand-in for a grid of threads that wait for each other: what the kernels' tests rest on, tested by itself."""

from __future__ import annotations

import numpy as np
import pytest

from support import cuda_on_host
from support.cuda_on_host import needs_compiler
from tinyseq.compiler.lower.cupy.operations import PRELUDE

pytestmark = needs_compiler
HEAD = 'extern "C" __global__ void k(char* a, char* b, int n, int turn)'


def run(body: str, x: np.ndarray, y: np.ndarray, n: int = 0, backwards: bool = False, **grid: int) -> np.ndarray:
    library = cuda_on_host.shim(f"{HEAD} {{\n{body}\n}}\n")
    cuda_on_host.run(library, "k", (x.ctypes.data, y.ctypes.data), (n, 0), backwards=backwards, **grid)
    return y


@pytest.mark.parametrize("backwards", [False, True])
def test_shared_memory_and_a_barrier(backwards: bool) -> None:
    """Each block turns its part round."""
    body = """
      __shared__ int s[64];
      const int i = threadIdx.x, base = blockIdx.x * 64;
      s[i] = ((int*)a)[base + i];
      SYNC
      ((int*)b)[base + i] = s[63 - i];
    """
    x = np.arange(5 * 64, dtype=np.int32)
    expected = x.reshape(5, 64)[:, ::-1].ravel()
    right = run(body.replace("SYNC", "__syncthreads();"), x, np.zeros_like(x), 0, backwards, blocks=5, threads=64)
    np.testing.assert_array_equal(right, expected)
    # Without the barrier half of the threads read what is not yet there, whatever their order.
    wrong = run(body.replace("SYNC", "__syncwarp();"), x, np.zeros_like(x), 0, backwards, blocks=5, threads=64)
    assert (wrong != expected).any()


SHUFFLES = {
    "__shfl_xor_sync(~0u, v, n)": lambda lane, n: lane ^ n,
    "__shfl_down_sync(~0u, v, n)": lambda lane, n: lane + n if lane + n < 32 else lane,
    "__shfl_up_sync(~0u, v, n)": lambda lane, n: lane - n if lane >= n else lane,
    "__shfl_sync(~0u, v, n)": lambda lane, n: n,
    "__shfl_down_sync(~0u, v, n, 8)": lambda lane, n: lane + n if lane % 8 + n < 8 else lane,
}


@pytest.mark.parametrize("text", SHUFFLES)
@pytest.mark.parametrize("n", [1, 4, 7])
def test_shuffles(text: str, n: int) -> None:
    body = f"const double v = ((double*)a)[threadIdx.x]; ((double*)b)[threadIdx.x] = {text};"
    x = np.random.default_rng(0).normal(size=96)
    expected = [x[warp + SHUFFLES[text](lane, n)] for warp in (0, 32, 64) for lane in range(32)]
    np.testing.assert_array_equal(run(body, x, np.zeros_like(x), n, blocks=1, threads=96), expected)


@pytest.mark.parametrize("backwards", [False, True])
def test_blocks_of_a_cluster_hand_round_what_they_have(backwards: bool) -> None:
    """n times: every block takes what its neighbour had before; arriving and waiting apart."""
    body = """
      int* x = (int*)a;
      __shared__ int mine[1];
      const int rank = ts_cluster_rank(), first = blockIdx.x - rank;
      for (int t = 0; t < n; ++t) {
        if (threadIdx.x == 0) mine[0] = x[first + (rank + 1) % 4];
        ts_cluster_arrive();
        ts_cluster_wait();
        if (threadIdx.x == 31) x[blockIdx.x] = mine[0];
        ts_cluster_arrive();
        ts_cluster_wait();
      }
      if (threadIdx.x == 5) ((int*)b)[blockIdx.x] = mine[0];
    """
    x = np.arange(12, dtype=np.int32)
    found = run(body, x.copy(), np.zeros_like(x), 3, backwards, blocks=12, threads=32, cluster=4)
    np.testing.assert_array_equal(found.reshape(3, 4), np.roll(x.reshape(3, 4), -3, 1))


@pytest.mark.parametrize(
    ("body", "cluster"),
    [
        ("if (threadIdx.x < 3) __syncwarp(15); if (threadIdx.x == 3) __syncthreads();", 1),
        ("if (threadIdx.x == 0) return; __shfl_xor_sync(~0u, n, 1);", 1),
        ("__shfl_down_sync(1u, n, 1);", 1),
        ("if (blockIdx.x == 0) ts_cluster_arrive(); ts_cluster_wait();", 2),
        ("ts_cluster_arrive(); ts_cluster_arrive();", 2),
        ("if (blockIdx.x == 0 && threadIdx.x == 0) __syncwarp(); ts_cluster_arrive(); ts_cluster_wait();", 2),
    ],
)
def test_who_waits_for_nobody_is_found(body: str, cluster: int) -> None:
    x = np.zeros(4)
    with pytest.raises(AssertionError, match="never come"):
        run(body, x, x, blocks=2, threads=32, cluster=cluster)


def test_who_has_returned_is_not_waited_for() -> None:
    body = "if (threadIdx.x >= n) return; __syncthreads(); ts_cluster_arrive(); ts_cluster_wait(); "
    body += "((int*)b)[threadIdx.x] = 1;"
    x = np.zeros(64, np.int32)
    assert run(body, x, x.copy(), 40, blocks=2, threads=64, cluster=2).sum() == 40


def test_nvrtc_knows_the_barrier_of_a_cluster() -> None:
    """On the device these functions are the module's own, from the generation on that has clusters."""
    library = cuda_on_host.nvrtc()
    if library is None:
        pytest.skip("NVRTC is not installed")
    body = "ts_cluster_arrive(); ts_cluster_wait(); ((int*)b)[threadIdx.x] = ts_cluster_rank();"
    source = f"{PRELUDE}\n{HEAD} {{ {body} }}\n"
    assert cuda_on_host.compile_for(library, source, "sm_90")[:4] == b"\x7fELF"
