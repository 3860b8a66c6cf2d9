"""The CUDA lowering without a GPU: whole plans by the generated kernels on the CPU, and all kernels through NVRTC."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support import cuda_on_host
from support.cells import BATCHLESS, CELLS, NAMES, UNROLLINGS, Case, Sizes, case_of, registered
from support.checking import check_plan
from support.cuda_on_host import lowered_plan, needs_compiler
from tinyseq import nn, optim
from tinyseq.compiler.lower.cupy import copying
from tinyseq.compiler.lower.cupy.gemm import Gemm
from tinyseq.compiler.lower.cupy.kernels import Kernel, module
from tinyseq.compiler.lower.cupy.lowering import Lowered, Steps
from tinyseq.train import load_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.yaml"))
ONE = Sizes(1, 1, 2, 4)


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_plans_by_generated_kernels_give_the_eager_results(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ts.backend("cuda-on-host"):
        check_plan(case_of(name), orders=False)
        # Threads may come in any order.
        monkeypatch.setattr(cuda_on_host.Executable, "backwards", True)
        check_plan(case_of(name), orders=False)


@needs_compiler
@pytest.mark.parametrize("name", sorted(CELLS)[::3])
def test_extents_of_one(name: str) -> None:
    with ts.backend("cuda-on-host"):
        check_plan(case_of(name, ONE), orders=False)


@needs_compiler
@pytest.mark.parametrize("options", UNROLLINGS, ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_cells_of_the_library(name: str, options: dict[str, Any]) -> None:
    assert name not in BATCHLESS
    with ts.backend("cuda-on-host"):
        check_plan(registered(name, **options), orders=True)


@needs_compiler
def test_float32_and_a_whole_training_step() -> None:
    """Weights moved by a compiled step of the loss, its gradients, clipping and Adam."""

    def moved(backend: str) -> list[np.ndarray]:
        with ts.backend(backend):
            ts.seed(3)
            embed, rnn, head = nn.Embedding(9, 6), nn.LSTM(6, 8, num_layers=2, dropout=0.2), nn.Linear(8, 9)
            parameters = [*embed.parameters(), *rnn.parameters(), *head.parameters()]
            optimizer = optim.Adam(parameters, lr=0.01)

            def step(ids: ts.Tensor, targets: ts.Tensor) -> ts.Tensor:
                loss = nn.cross_entropy(head(rnn(embed(ids))[0]), targets, reduction="mean")
                loss.backward()
                optim.clip_grad_norm(parameters, 1.0)
                optimizer.step()
                optimizer.zero_grad()
                return loss

            fast = ts.compile(step)
            ids = ts.tensor(np.arange(20).reshape(4, 5) % 9)
            losses = [fast(ids, ids).numpy() for _ in range(3)]
            assert all(p.dtype == np.float32 for p in parameters)
            return [*losses, *(p.numpy() for p in parameters)]

    for got, wanted in zip(moved("cuda-on-host"), moved("numpy"), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-6)


# -- what is launched --------------------------------------------------------------------------------------------------


def lowered_of(case: Case) -> Lowered:
    with ts.backend("cuda-on-host"):
        return lowered_plan(ts.compile(case.fn).entry(case.args, {}), 0)


@cache
def lowered_by_name(name: str) -> Lowered:
    return lowered_of(case_of(name))


def steps_of(found: Lowered) -> list[list[str]]:
    """What one step of each loop launches."""
    return [
        ["product" if isinstance(launch.what, Gemm) else "kernel" for launch in x.body]
        for piece in found.pieces
        for x in piece.launches
        if isinstance(x, Steps)
    ]


@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_a_step_is_one_product_and_one_kernel(name: str) -> None:
    """From the plan's loop alone: the textbook's gates are one product on the state, and one fused kernel."""
    found = lowered_of(registered(name, Sizes(16, 10, 8, 32)))
    assert found.left == []
    assert steps_of(found) == [["product", "kernel"], ["kernel", "product"]]


def test_places_within_a_step_are_counted_in_32_bits() -> None:
    found = lowered_of(registered("lstm", Sizes(64, 100, 128, 512)))
    assert "const int i = " in found.source
    assert "const long long i = " not in found.source
    assert "(long long)t * " in found.source


@pytest.mark.parametrize("name", NAMES)
def test_everything_has_a_kernel(name: str) -> None:
    assert lowered_by_name(name).left == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_example_leaves_anything_to_cupy(path: Path) -> None:
    """In its training step; reservoirs, which are trained in one pass, compile none."""
    if "source: digits" in path.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn", reason='the digits come with scikit-learn: pip install "tinyseq[digits]"')
    config: Any = load_config(path).model_copy(update={"backend": "cuda-on-host"})
    with cuda_on_host.lowering_only() as found, prepared(config) as (task, model):
        if task.one_pass:
            return
        train_step = TrainStep(task, model, config.train, SilentProgress(), compiled=True)
        model.train()
        train_step(next(task.batches()), None)
    assert found
    assert [left for plan in found for left in plan.left] == []
    assert all(plan.counts()["kernels"] for plan in found)


def test_what_has_no_kernel_is_named() -> None:
    x = ts.tensor(np.arange(24.0).reshape(2, 3, 4))
    here = ts.tensor([0, 1])
    functions: dict[str, Any] = {
        "cast of f8 to i8": lambda x: ts.cast(x, np.int64),  # no two processors agree on what is out of range
        "clip of i8": lambda x: ts.clip(ts.argmax(x), 0, 1),
        "index with the key": lambda x: x[here, :, here],
    }
    for reason, fn in functions.items():
        ((_, found),) = lowered_of(Case(fn, (x,))).left
        assert found.startswith(reason)


def test_text_does_not_depend_on_the_run() -> None:
    """So that what is compiled once is found on disk by the next process."""
    first, second = (lowered_of(registered("gru")) for _ in range(2))
    assert first is not second
    assert first.source == second.source


# -- NVRTC -------------------------------------------------------------------------------------------------------------


@cache
def every_kernel() -> str:
    plans = [*map(lowered_by_name, NAMES), lowered_of(registered("lstm", Sizes(64, 10, 32, 64)))]
    kernels = [launch.what for plan in plans for launch, _ in plan.launches() if isinstance(launch.what, Kernel)]
    return module(kernels)[0] + copying.TEXT


def compiler() -> Any:
    """NVRTC; it comes with the extra `test` wherever NVIDIA makes it."""
    library = cuda_on_host.nvrtc()
    if library is None and sys.platform not in ("linux", "win32"):
        pytest.skip("there is no NVRTC for this system")
    assert library is not None, 'NVRTC is not installed: pip install "tinyseq[test]"'
    return library


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_nvrtc_compiles_every_kernel(architecture: str) -> None:
    code = cuda_on_host.compile_for(compiler(), every_kernel(), architecture)
    assert code[:4] == b"\x7fELF"


def test_nvrtc_refuses_what_is_wrong() -> None:
    with pytest.raises(AssertionError, match="undefined"):
        cuda_on_host.compile_for(compiler(), 'extern "C" __global__ void k(float* x) { x[0] = y; }', "sm_80")
