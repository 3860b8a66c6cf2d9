"""The table: one row for every op and every public function made of ops. ``tests/ops/test_ops.py`` drives it.

It is cut as ``tinyseq/ops`` is, a file a family.

A row gives the function on tensors, the same function on NumPy arrays (written without tinyseq), the shapes to try,
where its arguments may lie, and what comes out at special points. Everything else (values, dtypes, shape rules,
first and second gradients, strides, mutation) is checked the same way for all rows.
"""

from support.optable import elementwise, linalg, nn, predicates, reduce, scan, shape
from support.optable.table import BINARY, Case, Row, draw

ROWS = [*elementwise.ROWS, *predicates.ROWS, *reduce.ROWS, *linalg.ROWS, *shape.ROWS, *nn.ROWS, *scan.ROWS]

__all__ = ["BINARY", "ROWS", "Case", "Row", "draw"]
