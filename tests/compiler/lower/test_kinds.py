"""Native lowerings write the same element-wise ops."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from tinyseq.compiler.lower.kinds import SIZES, computing_kind
from tinyseq.graph import Leaf
from tinyseq.ops.base import OPS
from tinyseq.ops.elementwise import Elementwise, cast

#: The package's own; what a test has defined is in the table too.
ELEMENTWISE = {
    name: op
    for name, op in OPS.items()
    if type(op).__module__.startswith("tinyseq.") and (isinstance(op, Elementwise) or op is cast)
}


ATTRS = {
    "cast": {"dtype": np.dtype(np.float32)},
    "clip": {"low": 0, "high": 1},
    "within": {"low": 0, "high": 3, "what": "", "required": "", "allowed": None, "rows": False},
}


def test_every_native_lowering_has_every_op() -> None:
    from tinyseq.compiler.lower.cupy.operations import OPERATIONS

    pytest.importorskip("llvmlite")
    from tinyseq.compiler.lower.llvm.ir.operations import WRITERS

    assert set(WRITERS) == set(ELEMENTWISE)
    assert set(OPERATIONS) == set(ELEMENTWISE)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_what_an_op_says_of_kinds_is_what_its_rules_and_kernel_do(name: str) -> None:
    """Facts stand once, on the op; here they are compared with the dtypes that it infers and that NumPy computes."""
    op = ELEMENTWISE[name]
    attrs = ATTRS.get(name, {})
    kernel = inspect.signature(op.kernel).parameters
    named = sum(p not in ("xp", *attrs) for p in kernel)
    ufunc = getattr(op.kernel, "ufunc", None)  # whose kernel takes any number of inputs, and hands them on
    count = named if ufunc is None else getattr(np, ufunc).nin

    def inferred(dtype: type) -> np.dtype:
        return op.infer(*[Leaf((2,), np.dtype(dtype))] * count, **attrs)[1]

    assert op.predicate == (inferred(np.float32) == np.dtype(bool))
    assert op.floating == (inferred(np.int64).kind == "f" and op is not cast)
    ints = [np.array([0, 3])] * count
    if op.logical:
        assert np.array_equal(op.kernel(np, *ints, **attrs), op.kernel(np, *[x != 0 for x in ints], **attrs))
    if op.on_booleans:
        bits = [np.array([False, True])] * count
        assert inferred(bool) == np.dtype(bool) or op.predicate or op is cast
        assert op.kernel(np, *bits, **attrs).dtype == inferred(bool)
    if op.conditional:
        values = np.array([1.5, 2.5], np.float32)
        assert np.array_equal(op.kernel(np, np.array([0, 5]), values, -values), [-1.5, 2.5])


@pytest.mark.parametrize(
    ("name", "inputs", "output", "kind"),
    [
        ("add", ("f4", "f4"), "f4", "f4"),
        ("add", ("i8", "f4"), "f8", "f8"),
        ("add", ("i8", 2**31), "i8", None),  # a number that its lanes may not hold
        ("add", ("b1", "b1"), "b1", None),
        ("mul", ("b1", "b1"), "b1", "b1"),
        ("tanh", ("i8",), "f4", "f4"),
        ("tanh", ("f2",), "f2", None),
        ("where", ("b1", "f8", "f4"), "f8", "f8"),
        ("logical_and", ("f4", "i8"), "b1", "b1"),
        ("less", ("i8", "f4"), "b1", "f8"),
        ("equal", ("b1", "b1"), "b1", "b1"),
        ("less", ("b1", "b1"), "b1", None),
        ("pow", ("i8", 2), "i8", None),
        ("pow", ("f4", "f4"), "f4", "f4"),
        ("clip", ("i8",), "i8", None),
        ("cast", ("f8",), "i8", None),
        ("cast", ("f8",), "b1", "f8"),
        ("cast", ("i4",), "f4", "i4"),
    ],
)
def test_the_kind_in_which_an_op_computes(name: str, inputs: tuple, output: str, kind: str | None) -> None:
    assert computing_kind(OPS[name], inputs, output) == kind


def test_kinds_are_numpys() -> None:
    assert {kind: np.dtype(kind).itemsize for kind in SIZES} == SIZES
