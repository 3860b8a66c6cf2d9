"""Native lowerings write the same element-wise ops."""

from __future__ import annotations

import pytest

from tinyseq.compiler.lower.kinds import ELEMENTWISE


def test_every_native_lowering_has_every_op() -> None:
    from tinyseq.compiler.lower.cupy.operations import OPERATIONS

    pytest.importorskip("llvmlite")
    from tinyseq.compiler.lower.llvm.operations import WRITERS

    assert set(WRITERS) == ELEMENTWISE
    assert set(OPERATIONS) == ELEMENTWISE
