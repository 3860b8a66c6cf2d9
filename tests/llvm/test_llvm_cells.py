"""Odd and random cells on the llvm backend: the plan gives the eager values and gradients, on any number of threads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

import tinyseq as ts
from support.cells import CELLS, FUNCTIONS, Case, Sizes, cell_case, recurrent, registered
from support.checking import assert_equal, check_plan, run
from support.native import shared_by
from support.random_cells import QUICK, random_cells, random_functions
from tinyseq import nn
from tinyseq.compiler.lower.llvm.schedule import fuse_into_loop

#: Features that fill some vectors and a part of one more.
SIZES = Sizes(5, 3, 2, 21)


def check(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread gives the eager results, and three give one thread's, bit for bit.

    On three, what a loop reads of products before it is made in the loop, however few rows a step has.
    """
    with shared_by(monkeypatch, 1):
        check_plan(case, orders=False)
        alone = run(ts.compile(case.fn), case)
    with shared_by(monkeypatch, 3), monkeypatch.context() as patch:
        patch.setattr(fuse_into_loop, "_ROWS", 2)
        together = run(ts.compile(case.fn), case)
    assert_equal(together[0], alone[0], "values on three threads")
    assert_equal(together[1], alone[1], "gradients on three threads")


@pytest.mark.parametrize("name", CELLS)
def test_odd_cells(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(cell_case(name, SIZES), monkeypatch)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(FUNCTIONS[name](Sizes()), monkeypatch)


@pytest.mark.parametrize(
    "options", [{"reverse": True}, {"lengths": [5, 2, 0], "truncate": 2}], ids=["reverse", "lengths"]
)
@pytest.mark.parametrize("name", nn.CELLS)
def test_cells_of_nn(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    check(registered(name, **options), monkeypatch)


def test_a_stack_with_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    check(recurrent(kind="gru", num_layers=2, bidirectional=True, dropout=0.5), monkeypatch)


@settings(QUICK, max_examples=25)
@given(random_cells())
def test_random_cells(case: Case) -> None:
    with ts.backend("llvm"):
        check_plan(case, orders=False)


@settings(QUICK, max_examples=25)
@given(random_functions())
def test_random_functions(case: Case) -> None:
    with ts.backend("llvm"):
        check_plan(case, orders=False)
