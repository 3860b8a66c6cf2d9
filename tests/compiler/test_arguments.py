"""The pattern of a call's arguments reads others of its form, and none of another: the plain walk says which."""

from __future__ import annotations

import enum
import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.compiler.arguments import Pattern, form_of


class Gates(NamedTuple):
    h: Any
    c: Any


class Others(NamedTuple):
    h: Any
    c: Any


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


A, B, C, D = (ts.tensor([float(n)]) for n in range(4))
ROWS: list[tuple[Any, ...]] = [
    (), (A,), (A, B), (B, A), (A, A), (A, B, C), ((A, B), (C,)), ((A,), (B, C)), ([A], (B, C)), ((A,), [B, C]),
    (Gates(A, B), C), (Others(A, B), C), ((A, B), C), (A, (B, C)), (((A, Gates(B, [C])), D),), (((A, B), Gates(C, D)),),
    (A, (B, (C,), 2), "x", 1), (A, (B, (C,), 2), "y", 1), (A, (B, (C,), 2), "x", True), (A, (B, (C,), 2), "x"),
    (A, (B, (C,), 2.0), "x", 1), (A, (B, (C,), 3.0), "x", 1), (A, (1.0, (B, 2.0), C), 3.0), (A, np.float32(1.0)),
    (A, 1), (A, 2), (A, None), (A, b"x"), (A, "x"), (A, range(3)), (A, range(4)), ((), A), (A, ()), ([], A), (A, [[]]),
]  # fmt: skip
#: What no row takes: a dict, an array, a slice, objects.
OTHERS: list[tuple[Any, ...]] = [
    (A, Level.LOW),
    (A, {"x": B}),
    (A, np.ones(2)),
    (A, slice(0, 1)),
    (A, object()),
    (A, 1j),
]


@pytest.mark.parametrize("first", ROWS, ids=range(len(ROWS)))
def test_a_pattern_reads_calls_of_its_form_and_no_others(first: tuple[Any, ...]) -> None:
    form = form_of(first, {})[0]
    pattern = Pattern.of(first, {}, form)
    assert pattern is not None
    for row in ROWS + OTHERS:
        form, tensors, scalars, held = form_of(row, {})
        found = pattern.read(row)
        assert (found is not None) == (form == pattern.form), row
        if found is not None:
            assert (*map(id, found[1]),) == (*map(id, tensors),)
            assert (found[0], tuple(found[2]), list(found[3])) == (form, tuple(scalars), held)


@pytest.mark.parametrize("row", OTHERS, ids=range(len(OTHERS)))
def test_what_is_not_in_rows_has_no_pattern(row: tuple[Any, ...]) -> None:
    assert Pattern.of(row, {}, form_of(row, {})[0]) is None
    assert Pattern.of((A,), {"x": B}, form_of((A,), {"x": B})[0]) is None


def test_calls_of_several_forms_in_turn() -> None:
    """A word that differs, a float, an enumeration that is no int: 10 a + b, times what is given."""
    for factors in ((2, 2.0), (Level.HIGH, 2), (True, 1), (3.0, Level.LOW)):
        fast = ts.compile(lambda pair, factor: (10.0 * pair[0] + pair[1]) * float(factor))
        for factor, pair in itertools.product(factors, ((B, C), [B, C], (C, B))):
            assert fast(pair, factor).item() == (10.0 * pair[0].item() + pair[1].item()) * float(factor)
