"""On a CUDA device (`pytest -m gpu`): ops, models eager and compiled, graphs, precision. Skipped where there is none."""

from __future__ import annotations

from typing import Any

import cells as compiler_cells
import checking
import numpy as np
import pytest
from cells import CELLS, FUNCTIONS, Sizes, cell_case, registered
from optable import ROWS, Case, Row
from test_dispatch import OnDevice, values
from test_dispatch_training import EXAMPLES, Model, trained
from test_ops import Check

import tinyseq as ts
from tinyseq import backends, optim

pytestmark = pytest.mark.gpu
CASES = [pytest.param(row, this, id=f"{row.name}-{this}") for row in ROWS for this in row.cases]


def case_of(name: str) -> compiler_cells.Case:
    ts.seed(0)
    return FUNCTIONS[name](Sizes()) if name in FUNCTIONS else cell_case(name)


def test_one_product_is_captured_and_replayed() -> None:
    """The smallest experiment: cuBLAS by our own handle and workspace, captured into a CUDA graph."""
    import cupy

    from tinyseq.compiler.lower.cupy.cublas import Handle, library
    from tinyseq.compiler.lower.cupy.gemm import gemms
    from tinyseq.compiler.lower.access import Access
    from tinyseq.compiler.lower.stages import Product

    backend = backends.load("cupy")
    a, b = (cupy.asarray(np.random.default_rng(i).normal(size=(64, 64)).astype(np.float32)) for i in (0, 1))
    c = cupy.zeros((64, 64), cupy.float32)
    whole = [Access(i, i, 0, 0, 0, 0, (64, 64), (256, 4), "f4", 256) for i in range(3)]
    (gemm,) = gemms(Product(*whole))
    handle = Handle(library(cupy.cuda.runtime.runtimeGetVersion()), backend, "fp32")
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        handle.use(stream.ptr, handle.workspace.data.ptr)
        handle.multiply(gemm, b.data.ptr, a.data.ptr, c.data.ptr)  # by columns: C^T = B^T A^T
        graph = stream.end_capture()
    assert not c.any()
    for scale in (1.0, 2.0):
        a *= scale
        graph.launch()
        np.testing.assert_allclose(c.get(), a.get() @ b.get(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("row", "this"), CASES)
def test_every_op_and_its_gradient(row: Row, this: Case) -> None:
    expected = values(row, this, Check)
    with ts.backend("cupy"):
        for tensors, reference in zip(values(row, this, OnDevice), expected, strict=True):
            for x, y in zip(tensors, reference, strict=True):
                if x is not None:
                    assert x.backend.name == "cupy"
                    assert (x.shape, x.dtype) == (y.shape, y.dtype)
                    np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("way", ["eager", "compiled"])
@pytest.mark.parametrize("name", [*CELLS, *FUNCTIONS])
def test_the_compilers_odd_cells(name: str, way: str) -> None:
    reference = case_of(name)
    expected = checking.run(reference.fn, reference)
    with ts.backend("cupy"):
        case = case_of(name)
        fn = ts.compile(case.fn) if way == "compiled" else case.fn
        for _ in range(3):  # launch by launch, captured, replayed
            for got, wanted in zip(checking.run(fn, case), expected, strict=True):
                checking.assert_close(got, wanted, way)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_trains(path: Any) -> None:
    losses, weights = trained(path, "cupy", True)
    expected_losses, expected = trained(path, "numpy", True)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-8)
    for got, wanted in zip(weights, expected, strict=True):
        assert np.linalg.norm(got - wanted) <= 1e-7 * np.linalg.norm(wanted) + 1e-10


def test_tf32_is_off_until_asked_for_and_then_coarser() -> None:
    case = registered("lstm", Sizes(32, 8, 64, 64))

    def outputs(precision: str) -> np.ndarray:
        with ts.backend("cupy", precision=precision):
            xs = ts.tensor(case.args[0].numpy(), dtype=np.float32)
            w = ts.tensor(np.random.default_rng(0).normal(size=(64, 64)), dtype=np.float32)
            return ts.compile(lambda x, w: x @ w)(xs, w).numpy()

    exact = outputs("fp32")
    assert np.abs(outputs("tf32") - exact).max() > 1e-5 * np.abs(exact).max()


def test_a_step_replays_graphs_and_reports_launches() -> None:
    with ts.backend("cupy"):
        model = Model()
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        fast = ts.compile(model)
        ids = ts.tensor(np.arange(18).reshape(3, 6) % 7)
        for _ in range(3):
            loss = fast(ids, ids)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        (executable,) = fast.entry_of_last_call().idle
        assert executable.graphs
        assert executable.capture_seconds > 0.0
        assert any("launches" in line for line in executable.notes())
