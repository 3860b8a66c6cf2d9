"""On a CUDA device (`pytest -m gpu`): ops, models eager and compiled, graphs, precision. Skipped without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import support
import tinyseq as ts
from support import cells as compiler_cells
from support import checking
from support.cells import CELLS, FUNCTIONS, Sizes, cell_case, registered
from support.device_training import EXAMPLES, Model, Steps, config_of, gone_on, moved, trained
from support.kernel_cases import EINSUMS, NORMALISED, REDUCED, softmax, whole
from support.op_check import Check, OnDevice, values
from support.optable import ROWS, Case, Row
from support.optimizers import OPTIMIZERS
from tinyseq import backends, nn, optim
from tinyseq.backends.cupy import DeviceMemoryError
from tinyseq.train.running import prepared

pytestmark = pytest.mark.gpu
CASES = [pytest.param(row, this, id=f"{row.name}-{this}") for row in ROWS for this in row.cases]


def case_of(name: str) -> compiler_cells.Case:
    ts.seed(0)
    return FUNCTIONS[name](Sizes()) if name in FUNCTIONS else cell_case(name)


def test_one_product_is_captured_and_replayed() -> None:
    """The smallest experiment: cuBLAS by our own handle and workspace, captured into a CUDA graph."""
    import cupy

    from tinyseq.compiler.lower.access import Access
    from tinyseq.compiler.lower.cupy.cublas import Handle, library
    from tinyseq.compiler.lower.cupy.gemm import gemms
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
    with prepared(config_of(path, "numpy")) as (task, _):
        solved = task.one_pass
    if solved:
        check_solved(path, "cupy")
        return
    losses, weights = trained(path, "cupy", True)
    expected_losses, expected = trained(path, "numpy", True)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-8)
    for got, wanted in zip(weights, expected, strict=True):
        assert np.linalg.norm(got - wanted) <= 1e-7 * np.linalg.norm(wanted) + 1e-10


class Solved(NamedTuple):
    """A model whose readout was solved for: what it was solved from, in some places, and what it gives there."""

    features: np.ndarray
    targets: np.ndarray
    outputs: np.ndarray
    loss: float


def solve(path: Any, backend: str, noise: float = 0.0) -> Solved:
    """Train in one pass; ``noise`` is a relative one on what the readout is solved from."""
    rng, add = np.random.default_rng(0), nn.RidgeRegression.add
    with prepared(config_of(path, backend)) as (task, model), pytest.MonkeyPatch.context() as patch:

        def noisy(regression: Any, x: np.ndarray, y: np.ndarray) -> None:
            add(regression, x * (1.0 + noise * rng.uniform(-1.0, 1.0, x.shape)), y)

        patch.setattr(nn.RidgeRegression, "add", noisy)
        task.fit(model)
        features, targets = task.feed(model, next(task.batches()), None).arguments
        loss, _ = task.loss(model, features, targets)
        return Solved(features.numpy(), targets.numpy(), model.readout(features).numpy(), float(loss.item()))


def check_solved(path: Any, backend: str) -> None:
    """Compare what a solve determines.

    The weights of an ill-conditioned system are no such thing: another rounding of its matrix changes them by percents.
    What it is solved from has to agree as tightly as all else, and what comes out must be no further from the host's
    than the host's is from itself, when what it solves from differs by its last bits.
    """
    got, expected, other = solve(path, backend), solve(path, "numpy"), solve(path, "numpy", np.finfo(np.float64).eps)
    np.testing.assert_allclose(got.features, expected.features, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.targets, expected.targets, rtol=1e-12)
    scale, few = np.linalg.norm(expected.outputs), 10.0
    assert np.linalg.norm(got.outputs - expected.outputs) <= few * np.linalg.norm(other.outputs - expected.outputs)
    assert np.linalg.norm(other.outputs - expected.outputs) <= 1e-5 * scale, "else this would say nothing"
    # Near its least value the loss changes with the square of the outputs' change, and with the residual times it.
    change = np.sqrt(np.mean((other.outputs - expected.outputs) ** 2))
    bound = few * change * (np.sqrt(2.0 * expected.loss) + few * change)
    assert abs(got.loss - expected.loss) <= bound


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_moves_alike(name: str) -> None:
    for got, wanted in zip(moved(name, "cupy"), moved(name, "numpy"), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


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


def test_arrays_arrive_and_leave_in_the_order_of_the_stream() -> None:
    """Through two sets of pinned memory, which come around several times, while the device is at something else."""
    import cupy

    backend = backends.load("cupy")
    rng = np.random.default_rng(0)
    a = cupy.asarray(rng.normal(size=(4096, 4096)).astype(np.float32))
    sent = [rng.normal(size=(300, 1 + i % 400)).astype(np.float32) for i in range(60)]
    arrived = []
    for array in sent:
        a = a @ a / 4096.0
        given = array.copy()
        arrived.append(backend.from_host(given) * np.float32(2.0))
        given[...] = 0.0
    for got, wanted in zip(arrived, sent, strict=True):
        np.testing.assert_array_equal(got.get(), 2.0 * wanted)


def test_a_number_is_there_before_what_was_launched_after_it_has_run() -> None:
    import cupy

    backend = backends.load("cupy")
    a, number = cupy.ones((8192, 8192), cupy.float32), cupy.full((), 3.0)
    a @ a
    cupy.cuda.Device().synchronize()
    wait = backend.fetch(number)
    number += 1.0
    for _ in range(100):  # half a second or so
        a @ a
    assert float(wait()) == 3.0
    assert not cupy.cuda.get_current_stream().done


@pytest.mark.parametrize("on_nonfinite", ["stop", "skip"])
def test_launching_ahead_changes_no_number(tmp_path: Any, monkeypatch: Any, on_nonfinite: str) -> None:
    from tinyseq.backends.cupy import CupyBackend
    from tinyseq.train.loop.progress import SilentProgress
    from tinyseq.train.tasks.forecasting import Forecasting

    real = Forecasting.batches

    def batches(task: Any) -> Any:
        for number, batch in enumerate(real(task), start=1):
            bad = on_nonfinite == "skip" and number in (5, 8, 9)
            yield batch._replace(targets=batch.targets * np.inf) if bad else batch

    monkeypatch.setattr(Forecasting, "batches", batches)

    def rows(asynchronous: bool) -> list[Any]:
        monkeypatch.setattr(CupyBackend, "asynchronous", asynchronous)
        config = {
            "task": "forecasting", "backend": "cupy", "dtype": "float64", "data": {"window": None},
            "model": {"cell": "gru", "hidden_size": 8, "num_layers": 2, "dropout": 0.2},
            "train": {
                "steps": 30, "batch_size": 4, "bptt": {"every": 10}, "evaluate_every": 6, "log_every": 1,
                "on_nonfinite": on_nonfinite, "checkpoint": {"every": 7},
            },
        }  # fmt: skip
        directory = ts.run(config, output=tmp_path / str(asynchronous), progress=SilentProgress()).directory
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        return [{k: x for k, x in json.loads(line).items() if "second" not in k} for line in lines]

    ahead, now = rows(True), rows(False)
    assert [row.keys() for row in ahead] == [row.keys() for row in now]
    for got, wanted in zip(ahead, now, strict=True):
        for key, value in wanted.items():
            assert got[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), key


def test_steps_that_move_their_weights_are_those_of_numpy() -> None:
    """Launched, captured, replayed; weights come back from where they left, or from where somebody put them."""

    def moved(backend: str) -> list[np.ndarray]:
        with ts.backend(backend):
            steps, x = Steps(), ts.tensor(np.ones(1))
            kept, found = [], []
            for turn in range(8):
                if turn == 5:
                    steps.parameters[2].assign(steps.parameters[2].detach() * 0.5)
                before = [p.value for p in steps.tensors()]
                loss, x = steps.fast(x)
                if turn == 6:
                    for p, value in zip(steps.tensors(), before, strict=True):
                        p.value = value
                kept.append([p.detach() for p in steps.tensors()])
                found.append(loss.numpy())
            return [*found, *(p.numpy() for tensors in kept for p in tensors)]

    for number, (got, wanted) in enumerate(zip(moved("cupy"), moved("numpy"), strict=True)):
        # One of the weights is float32, and stands in each of the eight losses.
        rounded = wanted.dtype == np.float32 or number < 8
        rtol = 1e-5 if rounded else 1e-10
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol / 10 * np.abs(wanted).max())


# -- kernels whose threads share work ----------------------------------------------------------------------------------


def compiled_on_the_device(fn: Any, *given: np.ndarray) -> np.ndarray:
    """What the third call gives, which replays a graph; the calls before it gave the same bits."""
    with ts.backend("cupy"), ts.no_grad():
        fast = ts.compile(fn)
        found = [fast(*map(ts.tensor, given)).numpy().copy() for _ in range(3)]
        (executable,) = fast.entry_of_last_call().idle
        assert executable.lowered.left == []
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    return found[2]


@pytest.mark.parametrize("name", ["sum", "max", "argmin", "cumsum"])
@pytest.mark.parametrize(("shape", "axes"), [row[:2] for row in REDUCED], ids=str)
def test_reductions(shape: tuple[int, ...], axes: tuple[int, ...], name: str) -> None:
    x = whole(*shape, dtype=np.float32)
    axis: Any = axes if name in ("sum", "max") else axes[0]
    own = {"sum": lambda x: x.sum(axis), "max": lambda x: x.max(axis)}
    got = compiled_on_the_device(own.get(name, lambda x: getattr(ts, name)(x, axis)), x)
    np.testing.assert_array_equal(got, getattr(x, name)(axis))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("shape", [*NORMALISED, (640, 10_000)], ids=str)
def test_normalisations(shape: tuple[int, ...], name: str) -> None:
    x = np.random.default_rng(1).normal(0, 3, shape)
    y = {"softmax": softmax, "log_softmax": lambda x: np.log(softmax(x))}.get(name, lambda x: np.log(np.exp(x).sum(-1)))
    np.testing.assert_allclose(compiled_on_the_device(lambda x: getattr(ts, name)(x, -1), x), y(x), rtol=1e-10)


@pytest.mark.parametrize(("spec", "shapes"), [row[:2] for row in EINSUMS], ids=str)
def test_einsum(spec: str, shapes: list[tuple[int, ...]]) -> None:
    given = [whole(*shape) for shape in shapes]
    got = compiled_on_the_device(lambda *xs: ts.einsum(spec, *xs), *given)
    np.testing.assert_array_equal(got, np.einsum(spec, *given))


# -- what is the same bits every time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["eager", "compiled"])
@pytest.mark.parametrize(("rows", "count"), [(30, 6_400), (50_000, 6_400), (50_000, 100_000), (3, 50)], ids=str)
def test_gradients_of_indexing_are_the_same_bits(rows: int, count: int, way: str) -> None:
    """Most positions on few rows, so that many sums are long: atomics would differ from call to call."""
    rng = np.random.default_rng(0)
    places = np.minimum(rng.zipf(1.3, count), rows) - 1
    updates = rng.normal(size=(count, 32)).astype(np.float32)
    expected = np.zeros((rows, 32))
    np.add.at(expected, places, updates)
    with ts.backend("cupy"), ts.no_grad():

        def fn(updates: Any, places: Any) -> Any:
            return ts.scatter_add(updates, places, key=("array",), shape=(rows, 32))

        call = ts.compile(fn) if way == "compiled" else fn
        given = ts.tensor(updates), ts.tensor(places)
        found = [call(*given).numpy().copy() for _ in range(5)]  # launch by launch, captured, replayed
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-3)
    for other in found[1:]:
        assert other.tobytes() == found[0].tobytes()


def test_dropout_masks_are_those_of_numpy() -> None:
    def masks(backend: str) -> list[np.ndarray]:
        with ts.backend(backend), ts.no_grad():
            ts.seed(5)
            layer = ts.nn.Dropout(0.3)
            x = ts.ones(64, 33)
            fast = ts.compile(lambda x: layer(x) + ts.nn.Dropout(0.5)(x))
            return [y.numpy() != 0 for y in (layer(x), layer(x), *(fast(x) for _ in range(3)))]

    for got, wanted in zip(masks("cupy"), masks("numpy"), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
@pytest.mark.parametrize(("source", "target"), [("cupy", "numpy"), ("numpy", "cupy")])
def test_a_run_goes_on_on_the_other_backend(tmp_path: Path, source: str, target: str, compiled: bool) -> None:
    left, found = gone_on(tmp_path, source, target, compiled)
    assert len(found) == 4
    np.testing.assert_allclose(found, left, rtol=1e-9)


# -- what crosses, and what does not -----------------------------------------------------------------------------------


def test_tensors_of_pytorch_and_arrays_of_cupy_are_the_same_memory() -> None:
    cupy, torch = pytest.importorskip("cupy"), pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    given = torch.arange(12.0, device="cuda").reshape(3, 4)
    t = ts.from_dlpack(given)
    assert t.backend.name == "cupy"
    assert t.value.data.ptr == given.data_ptr()
    with ts.no_grad():
        made = ts.compile(lambda x: ts.tanh(x) @ x.T)(t)
    there, other = torch.from_dlpack(made), cupy.from_dlpack(made)
    assert there.is_cuda
    assert there.data_ptr() == made.value.data.ptr == other.data.ptr
    torch.testing.assert_close(there, torch.tanh(given) @ given.T, rtol=1e-5, atol=1e-5)
    array = cupy.arange(5, dtype=cupy.int64)
    assert ts.from_dlpack(array).value.data.ptr == array.data.ptr
    assert torch.from_dlpack(ts.from_dlpack(array)).data_ptr() == array.data.ptr


def test_a_compiled_training_step_moves_its_batch_in_and_its_loss_out() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    script = Path(support.__file__).with_name("copies_of_a_step.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    copies = json.loads(done.stdout)
    assert len([name for name in copies if "HtoD" in name]) == 2  # ids and targets
    assert len([name for name in copies if "DtoH" in name]) == 1  # the loss


def test_a_full_device_is_said_in_words() -> None:
    cupy = pytest.importorskip("cupy")
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.get_limit()
    pool.set_limit(size=pool.total_bytes() + (8 << 20))
    try:
        with ts.backend("cupy"):
            with pytest.raises(DeviceMemoryError, match="the GPU's memory is full") as caught:
                ts.tensor(np.zeros((64, 1 << 20), np.float32))
            assert "256 MiB more" in str(caught.value)
            x = ts.ones(1, 1 << 18)
            with ts.no_grad(), pytest.raises(DeviceMemoryError):
                ts.compile(lambda x: ts.cumsum(x + ts.arange(64).reshape(64, 1), 0))(x)
    finally:
        pool.set_limit(size=before)
