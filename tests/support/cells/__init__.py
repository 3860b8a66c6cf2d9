"""Cells that no pass was written for, as functions to compile: what they compute is odd on purpose."""

from support.cells import functions, gates, ops, outputs, products, states, sums
from support.cells.cases import UNROLLINGS, case_of, cell_case, recurrent, registered
from support.cells.table import BATCHLESS, CELLS, F64, FUNCTIONS, Case, Draw, Sizes

NAMES = [*CELLS, *FUNCTIONS]

__all__ = [
    "BATCHLESS",
    "CELLS",
    "F64",
    "FUNCTIONS",
    "NAMES",
    "UNROLLINGS",
    "Case",
    "Draw",
    "Sizes",
    "case_of",
    "cell_case",
    "functions",
    "gates",
    "ops",
    "outputs",
    "products",
    "recurrent",
    "registered",
    "states",
    "sums",
]
