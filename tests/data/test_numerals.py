"""Numbers as people write them, each with the value that its writer means."""

from __future__ import annotations

import numpy as np
import pytest

from tinyseq.data import numerals


@pytest.mark.parametrize(
    ("field", "decimal", "value"),
    [
        ("1,234.5", ".", 1234.5),
        ("1.234,5", ",", 1234.5),
        ("1 234,5", ",", 1234.5),
        ("1\u202f234.5", ".", 1234.5),
        ("1'234.50", ".", 1234.5),
        ("12,34,567", ".", 1234567.0),
        ("28,7", ",", 28.7),
        ("1,5e3", ",", 1500.0),
        (",5", ",", 0.5),
        ("+3", ".", 3.0),
        ("\u22125", ".", -5.0),
        ("12.5%", ".", 12.5),
        ("$1,000.50", ".", 1000.5),
        ("-$5", ".", -5.0),
        ("($5.00)", ".", -5.0),
        ("5 €", ",", 5.0),
        ("USD 5", ".", 5.0),
    ],
)
def test_values(field, decimal, value):
    assert numerals.is_number(field)
    values, wrong = numerals.read([field], decimal)
    assert (values.tolist(), wrong) == ([value], -1)


@pytest.mark.parametrize(
    "field", ["", "abc", "1.5M", "1_000", "2020-01-01", "12:30", "e5", "1,23,45", "0,12,345", "..5"]
)
def test_what_is_no_number(field):
    assert not numerals.is_number(field)


@pytest.mark.parametrize("field", ["", " NA ", "n/a", "-", ".", "?", "null", "#N/A", "NaN", "<NA>", "\\N"])
def test_marks_of_missing_values(field):
    assert numerals.is_missing(field)
    values, wrong = numerals.read(["1", field], ".")
    assert wrong == -1
    assert np.isnan(values[1])


@pytest.mark.parametrize(
    ("fields", "decimal"),
    [
        (["28,7", "5"], ","),
        (["1.234,5"], ","),
        (["1,234.5"], "."),
        (["1,234", "5.5"], "."),
        (["1,234,567"], "."),
        (["1.234"], "."),
        (["1,234", "2,345"], None),
        (["0,123"], ","),
    ],
)
def test_a_file_has_one_decimal_mark(fields, decimal):
    notation = numerals.Notation()
    notation.take(fields)
    assert notation.decimal == decimal
    assert not notation.mixed


def test_two_decimal_marks_are_told():
    notation = numerals.Notation()
    notation.take(["1,5", "2.5"])
    assert notation.mixed
    assert notation.witness == {".": "1,5", ",": "2.5"}


def test_a_sign_is_the_same_in_a_column():
    assert numerals.read(["5%", "6"], ".")[1] == 1
    assert numerals.read(["$5", "€6"], ".")[1] == 1
    assert numerals.read(["$5", "", "$6"], ".")[1] == -1


def test_numbers_far_off_may_mark_what_is_missing():
    assert numerals.sentinel(np.array([5.0, 7.0, -9999.0, 6.0])) == -9999.0
    assert numerals.sentinel(np.array([5.0, 7.0, -99.0, -80.0])) is None
    assert numerals.sentinel(np.array([9000.0, 9999.0, 9500.0])) is None
