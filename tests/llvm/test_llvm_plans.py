"""What of a plan runs natively, and how: products with what follows them, lanes, values that stay in registers."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from support.cells import Case, Draw, Sizes, recurrent, registered
from support.checking import assert_equal, check_plan, run
from support.native import shared_by
from tinyseq import nn
from tinyseq.compiler.lower.llvm.kernels.gemm import DEPTH, kernel_module
from tinyseq.compiler.lower.llvm.lowering import lower
from tinyseq.compiler.lower.llvm.runtime.host import Host, object_code
from tinyseq.compiler.lower.llvm.segments import write_segments
from tinyseq.compiler.lower.partition import Partition
from tinyseq.compiler.lower.stages import Bundle, Group, ReductionStage, Repeat
from tinyseq.errors import ShapeError


def lowered(case: Case) -> Partition:
    with ts.backend("llvm"):
        fast = ts.compile(case.fn)
        run(fast, case)
    return lower(fast.plan)


def loops(found: Partition) -> list[Repeat]:
    return [stage for piece in found.segments for stage in piece if isinstance(stage, Repeat)]


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_a_recurrent_layer_is_native_as_a_whole(kind: str) -> None:
    """One function forward and one backward, whose loops are split along the batch."""
    found = lowered(recurrent(Sizes(3, 4, 2, 8), kind=kind))
    assert found.left == []
    assert len(found.segments) == 2
    assert [loop.rows for loop in loops(found)] == [3, 3]


def test_a_step_of_the_lstm_is_one_group_of_four_lanes() -> None:
    """The product and all that is done to it, with nothing but states and residuals written to memory."""
    forward, _ = loops(lowered(registered("lstm", Sizes(3, 4, 2, 8))))
    (step,) = forward.stages
    assert isinstance(step, Group)
    assert step.product is not None
    assert step.product.output.shape == (3, 4 * step.width)
    assert not step.product.stored
    assert sum(work.stored for work in step.works) == 4, "tanh of the lanes, c, tanh c and h"
    assert len(step.works) > 7


@pytest.mark.parametrize("rows", [15, 16])
def test_the_inputs_product_goes_into_a_loop_of_many_rows(rows: int) -> None:
    """What it makes is then in registers only; no product is left before the loop."""
    found = lowered(registered("lstm", Sizes(rows, 4, 2, 8)))
    forward, _ = loops(found)
    (step,) = forward.stages
    before = [stage for stage in found.segments[0] if isinstance(stage, Group) and stage.product]
    assert (len(step.others), len(before)) == ((1, 0) if rows == 16 else (0, 1))


def test_a_product_that_goes_in_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is added to it before the loop: what is moved is the product itself, which is stored no more."""
    draw = Draw(Sizes(16, 4, 5, 24))
    w, v = draw.weight(5, 24), draw.weight(24, 24)

    def step(x: ts.Tensor, s: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        s = ts.tanh(x @ w + s @ v)
        return s, s

    case = Case(lambda xs, s: ts.unroll(step, xs, s)[0], (draw.xs(), draw.state(24)), [w, v])
    forward, _ = loops(lowered(case))
    assert [[product.stored for product in stage.others] for stage in forward.stages] == [[False]]
    for count in (1, 3):
        with shared_by(monkeypatch, count):
            check_plan(case, orders=False)


def test_a_product_that_others_read_as_well_stays_before_the_loop() -> None:
    draw = Draw(Sizes(16, 4, 2, 8))
    w, v = draw.weight(2, 8), draw.weight(8, 8)

    def step(x: ts.Tensor, s: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        given = x @ w
        s = ts.tanh(given + s @ v)
        return (s, given), s

    found = lowered(Case(lambda xs, s: ts.unroll(step, xs, s)[0], (draw.xs(), draw.state(8)), [w, v]))
    assert [stage.others for loop in loops(found) for stage in loop.stages if isinstance(stage, Group)] == [[]] * 3


def test_the_gradients_of_weights_and_bias_are_taken_together() -> None:
    """h^T g and the sum of g: g is gone through once."""
    _, backward = lowered(registered("lstm", Sizes(3, 4, 2, 16))).segments
    (found,) = [stage for stage in backward if isinstance(stage, Bundle)]
    assert found.groups
    assert found.sum is not None
    assert not any(isinstance(stage, ReductionStage) for stage in backward)


@pytest.mark.parametrize("shown", [False, True])
def test_what_is_cheap_is_not_kept_for_the_backward_loop_but_made_again(shown: bool) -> None:
    """1 - gate, of a gate that is kept anyway; unless someone else wants it."""
    draw = Draw(Sizes(3, 4, 8, 8))
    w = draw.weight(8, 8)

    def step(x: ts.Tensor, s: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        gate = ts.sigmoid(s @ w + x)
        rest = 1.0 - gate
        s = gate * s + rest * ts.tanh(x)
        return (rest if shown else s), s

    forward, backward = loops(lowered(Case(lambda xs, s: ts.unroll(step, xs, s), (draw.xs(), draw.state(8)), [w])))
    kept = [work.stored for stage in forward.stages for work in stage.works if work.name == "sub"]
    again = [work for stage in backward.stages for work in stage.works if work.name == "sub"]
    assert kept == [shown]
    assert bool(again) is not shown


def test_what_has_no_native_form_is_named_with_the_reason() -> None:
    draw = Draw(Sizes())
    case = Case(lambda x: ts.einsum("bti->bit", x) * 2.0, (draw.xs(),))
    with ts.backend("llvm"):
        fast = ts.compile(case.fn)
        run(fast, case)
        notes = "\n".join(fast.entry_of_last_call().take().notes())
    assert "left to NumPy" in notes
    assert "einsum has no native form" in notes


def test_a_loop_that_mixes_rows_is_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step subtracts the mean over the batch: a thread would need the other threads' rows."""
    draw = Draw(Sizes(6, 5, 4, 4))
    w = draw.weight(4, 4)

    def step(x: ts.Tensor, s: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        s = ts.tanh(s @ w + x)
        s = s - s.mean(0, keepdims=True)
        return s, s

    case = Case(lambda xs, s: ts.unroll(step, xs, s), (draw.xs(), draw.state(4)), [w])
    assert [loop.rows for loop in loops(lowered(case))] == [0, 0]
    with shared_by(monkeypatch, 1):
        alone = run(ts.compile(case.fn), case)
    with shared_by(monkeypatch, 3):
        assert_equal(run(ts.compile(case.fn), case)[1], alone[1], "on three threads")


def test_a_shifted_read_does_not_join_what_it_reads() -> None:
    """y[:, 1:] needs all of y's row: computed element by element along with y, it would read what is not there yet."""
    x = np.random.default_rng(0).normal(size=(3, 40))

    def fn(x: ts.Tensor) -> ts.Tensor:
        y = ts.tanh(x)
        return ts.concat([y[:, 1:] * y[:, :-1], y], -1)

    with ts.backend("llvm"):
        got = ts.compile(fn)(ts.tensor(x)).numpy()
    y = np.tanh(x)
    np.testing.assert_allclose(got, np.concatenate([y[:, 1:] * y[:, :-1], y], -1), rtol=1e-14)


def test_an_index_out_of_bounds_is_an_error_and_the_next_call_is_none() -> None:
    table = ts.tensor(np.arange(12.0).reshape(4, 3))

    def fn(ids: ts.Tensor) -> ts.Tensor:
        return ts.take(table, ids, 0)

    with ts.backend("llvm"):
        fast = ts.compile(fn)
        np.testing.assert_array_equal(fast(ts.tensor([0, -1])).numpy(), table.numpy()[[0, -1]])
        for wrong in ([0, 4], [-5, 0]):
            with pytest.raises(ShapeError, match="out of bounds"):
                fast(ts.tensor(wrong))
        np.testing.assert_array_equal(fast(ts.tensor([2, 1])).numpy(), table.numpy()[[2, 1]])


@pytest.mark.parametrize("dtype", [ts.float32, ts.float64])
def test_draws_are_those_of_every_backend(dtype: object) -> None:
    """Outside of loops and in one, where the step counts; call after call."""

    some, others = nn.Dropout(0.4), nn.Dropout(0.5)

    def outside(x: ts.Tensor) -> ts.Tensor:
        return some(x)

    def inside(xs: ts.Tensor) -> ts.Tensor:
        def step(x: ts.Tensor, s: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
            s = ts.tanh(s + others(x * s))
            return s, s

        return ts.unroll(step, xs, ts.ones((3, 7), dtype=dtype))[0]

    for fn, shape in ((outside, (3, 5, 7)), (inside, (3, 5, 7)), (outside, (37,)), (outside, ())):
        drawn = []
        for backend in ("numpy", "llvm"):
            with ts.backend(backend):
                ts.seed(3)
                fast = ts.compile(fn)
                x = ts.ones(shape, dtype=dtype)
                drawn.append([fast(x).numpy().copy() for _ in range(2)])
                assert all("uniform" not in note for note in fast.entry_of_last_call().take().notes())
        for a, b in zip(*drawn, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-6)
        assert not shape or not np.array_equal(*drawn[1])


@pytest.mark.parametrize(
    "other",
    [
        Host("aarch64-unknown-linux-gnu", "neoverse-n1", "", 16, 32),
        Host("arm64-apple-darwin", "apple-m1", "", 16, 32),
        Host("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", 32, 16),
        Host("x86_64-pc-windows-msvc", "x86-64", "", 16, 16),
    ],
    ids=lambda other: f"{other.cpu}-{other.triple}",
)
def test_machine_code_for_other_processors(other: Host) -> None:
    """It cannot run here, but it compiles."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    source, _, tiles = write_segments(lowered(recurrent(Sizes(3, 4, 2, 21), dropout=0.5, num_layers=2)).segments, other)
    for text in (source, *(kernel_module(tile, other) for tile in tiles)):
        assert len(object_code(text, other)) > 1000


# -- products ----------------------------------------------------------------------------------------------------------

SHAPES = [(1, 1, 1), (1, 7, 65), (3, 5, 17), (13, 64, 16), (16, 33, 100), (37, 3, 1), (5, 2 * DEPTH + 3, 21)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("turned", ["", "left", "right"])
def test_products(shape: tuple[int, int, int], turned: str, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, inner, columns = shape
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(rows, inner)).astype(dtype), rng.normal(size=(inner, columns)).astype(dtype)
    given = np.ascontiguousarray(a.T) if turned == "left" else a, np.ascontiguousarray(b.T) if turned == "right" else b

    def fn(a: ts.Tensor, b: ts.Tensor) -> ts.Tensor:
        return (a.T if turned == "left" else a) @ (b.T if turned == "right" else b) + 1.0

    results = []
    for count in (1, 3):
        with shared_by(monkeypatch, count):
            results.append(ts.compile(fn)(*map(ts.tensor, given)).numpy())
    np.testing.assert_array_equal(results[0], results[1])
    exact = a.astype(np.float64) @ b.astype(np.float64) + 1.0
    bound = np.finfo(dtype).eps * (np.abs(a).astype(np.float64) @ np.abs(b) + 1.0) * (inner + 2)
    assert np.all(np.abs(results[0] - exact) <= bound)


@pytest.mark.parametrize("columns", [16, 520], ids=["threads share rows", "threads share columns"])
def test_a_large_left_operand_that_lies_across(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large enough to be laid out piece by piece: x^T g over many rows, as a weight's gradient is."""
    rng = np.random.default_rng(2)
    x, g = rng.normal(size=(DEPTH * 2 + 5, 259)), rng.normal(size=(DEPTH * 2 + 5, columns))
    with shared_by(monkeypatch, 2):
        got = ts.compile(lambda x, g: x.T @ g)(ts.tensor(x), ts.tensor(g)).numpy()
    np.testing.assert_allclose(got, x.T @ g, rtol=1e-10, atol=1e-9)


def test_columns_that_fill_vectors_badly_change_places_with_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of a head's weights, h^T g with few classes, is computed as g^T h."""
    rng = np.random.default_rng(5)
    h, g = rng.normal(size=(50, 64)), rng.normal(size=(50, 17))
    with shared_by(monkeypatch, 3):
        fast = ts.compile(lambda h, g: h.T @ g)
        got = fast(ts.tensor(h), ts.tensor(g)).numpy()
    (stage,) = [stage for piece in lower(fast.plan).segments for stage in piece]
    assert stage.product.output.shape == (17, 64)
    np.testing.assert_allclose(got, h.T @ g, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_with_one_right_operand(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large enough for several pieces, whose panels are asked for ahead; the sum of the rows is taken on the way."""
    rng = np.random.default_rng(4)
    x, h, g = (rng.normal(size=(DEPTH * 2 + 5, n)).astype(dtype) for n in (19, 7, 170))

    def fn(x: ts.Tensor, h: ts.Tensor, g: ts.Tensor) -> tuple[ts.Tensor, ...]:
        return x.T @ g + 1.0, h.T @ g, g.sum(0)

    results = []
    for count in (1, 3):
        with shared_by(monkeypatch, count):
            fast = ts.compile(fn)
            fast(*map(ts.tensor, (h[:, :1] + x, h, g + 1)))  # what it leaves behind must not matter
            results.append([y.numpy() for y in fast(*map(ts.tensor, (x, h, g)))])
            (stage,) = [stage for piece in lower(fast.plan).segments for stage in piece]
            assert isinstance(stage, Bundle)
            assert len(stage.groups) == 2
    for alone, together in zip(*results, strict=True):
        np.testing.assert_array_equal(together, alone)
    wide = [a.astype(np.float64) for a in (x, h, g)]
    exact = [wide[0].T @ wide[2] + 1.0, wide[1].T @ wide[2], wide[2].sum(0)]
    sizes = [np.abs(wide[0]).T @ np.abs(wide[2]) + 1.0, np.abs(wide[1]).T @ np.abs(wide[2]), np.abs(wide[2]).sum(0)]
    for got, expected, size in zip(results[0], exact, sizes, strict=True):
        assert np.all(np.abs(got - expected) <= np.finfo(dtype).eps * size * (len(g) + 2))


def test_stacks_of_products() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(4, 1, 5, 19)), rng.normal(size=(3, 19, 33))
    with ts.backend("llvm"):
        got = ts.compile(lambda a, b: a @ b)(ts.tensor(a), ts.tensor(b)).numpy()
    np.testing.assert_allclose(got, a @ b, rtol=1e-12)


def test_a_training_step_in_float32_follows_numpy() -> None:
    """Twenty steps of Adam on a small LSTM, from the same start on both backends."""

    def losses(backend: str) -> list[float]:
        with ts.backend(backend):
            ts.seed(0)
            model, head = nn.LSTM(5, 37), nn.Linear(37, 7)
            rng = np.random.default_rng(0)
            x = ts.tensor(rng.normal(size=(6, 9, 5)).astype(np.float32))
            t = ts.tensor(rng.integers(0, 7, (6, 9)))
            optimizer = ts.optim.Adam(model.parameters() + head.parameters(), lr=1e-2)

            def step(x: ts.Tensor, t: ts.Tensor) -> ts.Tensor:
                optimizer.zero_grad()
                loss = nn.cross_entropy(head(model(x)[0]), t)
                loss.backward()
                optimizer.step()
                return loss

            fast = ts.compile(step)
            return [float(fast(x, t)) for _ in range(20)]

    np.testing.assert_allclose(losses("llvm"), losses("numpy"), rtol=2e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x**2,
        lambda x: x**3.5,
        lambda x: x**-1,
        lambda x: 2.0**x,
        ts.sin,
        ts.cos,
        ts.erf,
        lambda x: x.min(1),
        lambda x: x.max(0),
        lambda x: ts.stack([x, x + 1.0], 1),
    ],
    ids=["square", "power", "reciprocal", "exponential", "sin", "cos", "erf", "min", "max", "stack"],
)
def test_rarer_ops_are_native_and_as_in_numpy(fn: object, dtype: type) -> None:
    x = ts.tensor(np.random.default_rng(0).uniform(0.1, 3.0, (5, 19)).astype(dtype))
    fast = ts.compile(lambda x: fn(x * 1.5))  # type: ignore[operator]
    with ts.backend("llvm"):
        got = fast(x).numpy()
        assert not any("left to NumPy" in note for note in fast.entry_of_last_call().take().notes())
    np.testing.assert_allclose(got, fn(x * 1.5).numpy(), rtol=8 * np.finfo(dtype).eps)  # type: ignore[operator]
