"""The rules by which stages join, on stages made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("llvmlite")

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.grouping import group, leave_unstored, split_rows
from tinyseq.compiler.lower.stages import Group, Product, ReductionStage, Stage, Work

ROWS, WIDTH, SIZE = 4, 8, 8


def at(slot: int, offset: int = 0, width: int = WIDTH, rows: int = ROWS, pitch: int = 2 * WIDTH, **more: int) -> Access:
    """Rows of a buffer whose own rows have ``pitch`` elements, from the element ``offset`` on."""
    buffer = more.get("buffer", slot)
    shape, strides = (rows, width), (pitch * SIZE, SIZE)
    return Access(buffer, slot, offset * SIZE, 0, 0, 0, shape, strides, "f8", pitch * SIZE)


def work(output: Access, *operands: Access) -> Group:
    name = "add" if len(operands) == 2 else "tanh"
    return Group(output.shape[:-1], output.shape[-1], [Work(name, "f8", list(operands), output)])


def product(output: Access, left: Access, right: Access) -> Product:
    return Product(left, right, output)


@pytest.mark.parametrize(
    ("first", "second", "joins"),
    [
        pytest.param(work(at(1), at(0)), work(at(2), at(1)), True, id="what the first makes"),
        pytest.param(work(at(1), at(0)), work(at(2), at(1, 1)), False, id="what the first makes, shifted by a column"),
        pytest.param(work(at(1), at(0)), work(at(2), at(1, 16)), False, id="what the first makes, shifted by a row"),
        pytest.param(work(at(1), at(0)), work(at(0), at(2)), True, id="over what the first reads, in place"),
        pytest.param(work(at(1), at(0)), work(at(0, 1), at(2)), False, id="over what the first reads, shifted"),
        pytest.param(work(at(1), at(0)), work(at(1, 1), at(2)), False, id="over what the first makes, shifted"),
        pytest.param(work(at(1), at(0)), work(at(1, 8), at(2)), True, id="beside what the first makes"),
        pytest.param(work(at(1), at(0)), work(at(2, rows=3), at(3, rows=3)), False, id="over other rows"),
        pytest.param(product(at(1), at(0), at(5, rows=8)), work(at(2), at(1)), True, id="a product's result"),
        pytest.param(product(at(1), at(0), at(5, rows=8)), work(at(0), at(1)), False, id="over a product's left side"),
        pytest.param(product(at(1), at(0), at(5, rows=8)), work(at(5), at(1)), False, id="over a product's right side"),
    ],
)
def test_what_joins(first: Stage, second: Stage, joins: bool) -> None:
    assert len(group([first, second])) == (1 if joins else 2)


def test_wide_applications_are_cut_into_lanes() -> None:
    """Three gates at once, then each by itself: one group of lanes as wide as a gate."""
    gates = at(1, 0, 24, pitch=24)
    stages = group([work(gates, at(0, 0, 24, pitch=24)), *(work(at(2 + n), at(1, 8 * n, pitch=24)) for n in range(3))])
    (joined,) = stages
    assert joined.width == WIDTH


def test_a_stage_goes_past_what_it_does_not_depend_on() -> None:
    other = work(at(7, rows=3), at(8, rows=3))
    assert len(group([work(at(1), at(0)), other, work(at(2), at(1))])) == 2
    depends = work(at(2, rows=3), at(1, rows=3))
    last = work(at(1), at(0))  # may not come before what reads the old value
    stages = group([work(at(1), at(9)), depends, last])
    assert [stage.works[0].output.slot for stage in stages] == [1, 2, 1]


def test_values_that_no_one_else_reads_stay_in_registers() -> None:
    stages = group([work(at(1), at(0)), work(at(2), at(1)), work(at(3), at(2))])
    leave_unstored(stages, {1, 2})
    assert [w.stored for w in stages[0].works] == [False, False, True]


def test_values_that_are_read_before_they_are_made_are_stored() -> None:
    """The next step reads what this one leaves."""
    stages = group([work(at(2), at(1)), work(at(1), at(0))])
    leave_unstored(stages, {1, 2})
    assert [w.stored for w in stages[0].works] == [False, True]


def test_values_that_another_stage_reads_are_stored() -> None:
    column = at(4, width=1)
    total = ReductionStage("sum", at(1), column.shaped((ROWS, 1), (SIZE, 0)), (False, True))
    stages = group([work(at(1), at(0)), work(at(2), at(1)), total])
    leave_unstored(stages, {1, 2})
    assert [w.stored for w in stages[0].works] == [True, False]


@pytest.mark.parametrize(
    ("stages", "rows"),
    [
        pytest.param([work(at(1), at(0)), work(at(2), at(1))], ROWS, id="rows by themselves"),
        pytest.param([work(at(1, rows=1), at(0, rows=1))], 0, id="one row"),
        pytest.param([work(at(1), at(0)), work(at(2), at(1, rows=1).aligned((ROWS, WIDTH)))], 0, id="all read row 0"),
        pytest.param([work(replace(at(1), row=0), at(0))], 0, id="rows that lie across each other"),
        pytest.param([work(at(1), at(0)), work(at(2, rows=3), at(0, rows=3))], 0, id="of two extents"),
        pytest.param(
            [work(at(1), at(0)), work(at(1, pitch=8, buffer=9), at(0))], 0, id="a slot with rows of two lengths"
        ),
        pytest.param(
            [work(at(1), at(0)), ReductionStage("sum", at(1), at(2, rows=1).aligned((ROWS, WIDTH)), (True, False))],
            0,
            id="a sum over rows",
        ),
    ],
)
def test_loops_that_may_be_split(stages: list[Stage], rows: int) -> None:
    assert split_rows(stages) == rows
