"""Random cells and random functions: every pass and the plan give the eager values and gradients."""

from __future__ import annotations

from hypothesis import given

from support.cells import Case
from support.checking import check_plan, check_stages, compiled
from support.random_cells import QUICK, random_cells, random_functions
from tinyseq.compiler.checking import verify_plan


@QUICK
@given(random_cells())
def test_every_pass_on_random_cells(case: Case) -> None:
    check_stages(case)


@QUICK
@given(random_cells())
def test_plans_of_random_cells(case: Case) -> None:
    check_plan(case)
    verify_plan(compiled(case).plan)


@QUICK
@given(random_functions())
def test_random_functions(case: Case) -> None:
    check_stages(case)
    check_plan(case)
    verify_plan(compiled(case).plan)
