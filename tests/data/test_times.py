"""Times in the forms that files have: judged by `datetime`."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tinyseq.data import times


def seconds(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("field", "date"),
    [
        ("2020-03-02", (2020, 3, 2)),
        ("2020-3-2", (2020, 3, 2)),
        ("2020/03", (2020, 3, 1)),
        ("20200302", (2020, 3, 2)),
        ("202003", (2020, 3, 1)),
        ("2020-03-02T05:06:07", (2020, 3, 2, 5, 6, 7)),
        ("2020-03-02 05:06Z", (2020, 3, 2, 5, 6)),
        ("2020-03-02T05:06+02:00", (2020, 3, 2, 3, 6)),
        ("2020-03-02 05:06:07 UTC", (2020, 3, 2, 5, 6, 7)),
        ("2020-03-02 05:06:07+02", (2020, 3, 2, 3, 6, 7)),
        ("2020-03-02 05:06:07-0330", (2020, 3, 2, 8, 36, 7)),
        ("2.3.2020", (2020, 3, 2)),
        ("13/3/2020", (2020, 3, 13)),
        ("3/13/2020 1:05 PM", (2020, 3, 13, 13, 5)),
        ("3/13/20", (2020, 3, 13)),
        ("13-Mar-20", (2020, 3, 13)),
        ("Mar 13, 2020", (2020, 3, 13)),
        ("Mar-13-2020", (2020, 3, 13)),
        ("March 2020", (2020, 3, 1)),
        ("Mar-20", (2020, 3, 1)),
        ("2020Q2", (2020, 4, 1)),
        ("Q2 2020", (2020, 4, 1)),
        ("2020M03", (2020, 3, 1)),
        ("2020-W10", (2020, 3, 2)),
    ],
)
def test_forms(field, date):
    (found,) = times.readings([field, field])
    assert found.dates
    assert found.values.tolist() == [seconds(*date)] * 2


def test_what_may_be_two_dates_is_both():
    found = times.readings(["3/4/2020"])
    assert [moments.values[0] for moments in found] == [seconds(2020, 4, 3), seconds(2020, 3, 4)]
    assert len(times.readings(["3/4/2020", "13/4/2020"])) == 1
    (told,) = times.readings(["3/4/2020"], "%m/%d/%Y")
    assert told.values[0] == seconds(2020, 3, 4)


def test_a_year_of_two_digits_may_be_of_either_century():
    late, early = times.readings(["31-Dec-68", "31-Dec-69"])
    assert late.values.tolist() == [seconds(2068, 12, 31), seconds(1969, 12, 31)]
    assert early.values.tolist() == [seconds(1968, 12, 31), seconds(1969, 12, 31)]


@pytest.mark.parametrize("fields", [["monday"], ["2020-13-01"], ["31/31/2020"], ["2020-01-01", "soon"], [""]])
def test_what_is_no_time(fields):
    assert times.readings(fields) == []


def test_numbers_stay_numbers():
    (found,) = times.readings(["1871", "1872"])
    assert (found.values.tolist(), found.dates) == ([1871.0, 1872.0], False)
    (found,) = times.readings(["20240131", "20249999"])
    assert not found.dates, "there is no such month"


@pytest.mark.parametrize(
    ("fields", "gaps"),
    [
        (["2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30", "2020-05-31"], 0),
        (["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-06-01"], 1),
        ([f"2024-01-{day:02d}" for day in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)], 0),
        ([f"2024-01-{day:02d}" for day in (1, 2, 3, 4, 6, 7, 8, 9)], 1),
        (["1", "2", "3", "4", "9"], 1),
        (["1", "3", "4", "9", "11"], 0),
        (["1958Q1", "1958Q2", "1958Q3", "1958Q4", "1959Q2"], 1),
    ],
)
def test_gaps(fields, gaps):
    (found,) = times.readings(fields)
    many, missing = times.steps_of(found)
    assert int(missing.sum()) == gaps
    assert np.isfinite(many).all()
