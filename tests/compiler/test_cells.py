"""Cells that the compiler was not written for: every pass and the plan give the eager values and gradients."""

from __future__ import annotations

from typing import Any

import pytest
from cells import CELLS, FUNCTIONS, Sizes, cell_case, recurrent, registered
from checking import check_plan, check_stages

from tinyseq import nn

#: All extents alike: an axis taken for another is then no error but a wrong value.
ALIKE = Sizes(3, 3, 3, 3)
ONE = Sizes(1, 1, 2, 4)


@pytest.mark.parametrize("name", CELLS)
def test_every_pass_on_odd_cells(name: str) -> None:
    check_stages(cell_case(name))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("sizes", [Sizes(), ALIKE, ONE], ids=["ordinary", "alike", "one"])
def test_plan_of_odd_cells(name: str, sizes: Sizes) -> None:
    check_plan(cell_case(name, sizes))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_pass_on_functions(name: str) -> None:
    check_stages(FUNCTIONS[name](Sizes()))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("sizes", [Sizes(), ALIKE, ONE], ids=["ordinary", "alike", "one"])
def test_plan_of_functions(name: str, sizes: Sizes) -> None:
    check_plan(FUNCTIONS[name](sizes))


@pytest.mark.parametrize("name", nn.CELLS)
def test_every_pass_on_the_cells_of_nn(name: str) -> None:
    check_stages(registered(name))


@pytest.mark.parametrize("name", nn.CELLS)
def test_plan_of_the_cells_of_nn(name: str) -> None:
    check_plan(registered(name))
