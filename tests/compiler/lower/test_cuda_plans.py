"""The CUDA lowering without a GPU: whole plans by the generated kernels on the CPU, and all kernels through NVRTC."""

from __future__ import annotations

from typing import Any

import cuda_support
import numpy as np
import pytest
from cells import CELLS, FUNCTIONS, Case, Sizes, cell_case
from checking import check_plan

import tinyseq as ts

needs_compiler = pytest.mark.skipif(cuda_support.COMPILER is None, reason="no C++ compiler on this machine")
NAMES = [*CELLS, *FUNCTIONS]


def case_of(name: str) -> Case:
    ts.seed(0)
    return FUNCTIONS[name](Sizes()) if name in FUNCTIONS else cell_case(name)


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_plans_by_generated_kernels_give_the_eager_results(name: str) -> None:
    with ts.backend("cuda-on-host"):
        check_plan(case_of(name), orders=False)
