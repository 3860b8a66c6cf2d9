"""Series from CSV files, their scaling, naive forecasts and what they are judged by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinyseq.data import forecasts
from tinyseq.data.at_hand import load_sunspots, sunspots_path
from tinyseq.data.delimited import Form
from tinyseq.data.series import Scaler, SeriesPlan, read_many, read_series
from tinyseq.data.systems import SYSTEMS
from tinyseq.errors import DataError


def write(folder, text, name="series.csv"):
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


def test_columns_by_name_and_in_order(tmp_path):
    path = write(tmp_path, "\ufeffdate,b,a\r\n2001-01,1,2.5\r\n2001-02,-3,4e1\r\n\r\n")
    series = read_series(path, ["a", "b"], time="date")
    assert series.columns == ("a", "b")
    assert series.times == ("2001-01", "2001-02")
    np.testing.assert_array_equal(series.values, [[2.5, 1.0], [40.0, -3.0]])
    assert read_series(path, time="date").columns == ("b", "a")
    assert len(series.sha256) == 64
    semicolons = read_series(write(tmp_path, "a;b\n1;2\n3;4\n"))
    np.testing.assert_array_equal(semicolons.values, [[1, 2], [3, 4]])
    assert semicolons.times == ("0", "1")


def test_the_sunspots_that_ship(tmp_path):
    series = read_series(sunspots_path(), time="year")
    years, numbers = load_sunspots()
    np.testing.assert_array_equal(series.values[:, 0], numbers)
    assert series.times == tuple(map(str, years))


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("a,b\n1,2\n3\n", None, r"ragged row[\s\S]*2 fields: a, b[\s\S]*got +1 fields[\s\S]*line 3"),
        ("a,b\n1,2\n3,4,5\n", None, r"got +3 fields[\s\S]*line 3"),
        ("a,b\n1,2\n3,\n", None, r"missing value[\s\S]*line 3, column 'b'[\s\S]*data\.missing: carry"),
        ("a,b\n1,2\n NA ,4\n", None, r"missing value[\s\S]*line 3, column 'a'"),
        ("a,b\n1,2\n3,many\n", None, r"not a number[\s\S]*'many'[\s\S]*line 3, column 'b'"),
        ("a,b\n1,2\n3,inf\n", None, r"not a number[\s\S]*column 'b'"),
        ("price,b\n1,2\n3,4\n", ["prize"], r"no column 'prize'[\s\S]*price, b[\s\S]*line 1[\s\S]*did you mean 'price'"),
        ("a,a\n1,2\n3,4\n", None, "two columns of one name"),
        ("", None, "empty"),
        ("a\n1\n", None, "without rows"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(tmp_path, text, columns, words):
    with pytest.raises(DataError, match=words):
        read_series(write(tmp_path, text), columns)


def test_missing_values_are_carried_where_asked(tmp_path):
    series = read_series(write(tmp_path, "a,b\n1,2\n,NaN\n5,6\n"), missing="carry")
    np.testing.assert_array_equal(series.values, [[1, 2], [1, 2], [5, 6]])
    with pytest.raises(DataError, match="no value before it"):
        read_series(write(tmp_path, "a\n\nna\n2\n"), missing="carry")


def test_no_file_and_no_utf8(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_series(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes(b"caf\xe9,b\n1,2\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_series(tmp_path / "latin.csv")


@pytest.mark.parametrize("transform", ["none", "sqrt", "log"])
def test_scaling_there_and_back(transform):
    values = np.abs(np.random.default_rng(0).standard_normal((50, 2))) * [1.0, 100.0]
    scaler = Scaler.fit(values, transform)
    z = scaler.apply(values)
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(z.std(0), 1.0)
    np.testing.assert_allclose(scaler.invert(z), values)
    np.testing.assert_allclose(scaler.invert(z[:, 1:], [1]), values[:, 1:])


def test_scaling_of_constants_and_of_negatives():
    assert np.isfinite(Scaler.fit(np.ones((4, 1))).apply(np.ones((2, 1)))).all()
    with pytest.raises(DataError, match=r"sqrt[\s\S]*-1[\s\S]*transform: none"):
        Scaler.fit(np.array([[1.0], [-1.0]]), "sqrt")


def test_naive_forecasts_by_hand():
    values, origins = np.arange(10.0)[:, None], np.array([5, 6])
    true = forecasts.following(values, origins, 3)
    assert true[..., 0].tolist() == [[6, 7, 8], [7, 8, 9]]
    assert forecasts.persistence(values, origins, 3)[..., 0].tolist() == [[5, 5, 5], [6, 6, 6]]
    assert forecasts.seasonal(values, origins, 3, 2)[..., 0].tolist() == [[4, 5, 4], [5, 6, 5]]
    assert forecasts.constant(np.array([2.0]), origins, 3).shape == (2, 3, 1)
    with pytest.raises(DataError, match="season of 9"):
        forecasts.seasonal(values, origins, 1, 9)


def test_errors_by_hand():
    predicted, true = np.array([[1.0], [2.0]]), np.array([[2.0], [5.0]])
    assert forecasts.rmse(predicted, true) == pytest.approx(math.sqrt(5.0))
    assert forecasts.mae(predicted, true) == 2.0
    assert forecasts.mase(predicted, true, np.array([4.0])) == 0.5
    assert forecasts.nrmse(predicted, true) == pytest.approx(math.sqrt(5.0 / 2.25))
    assert forecasts.nrmse(np.full((4, 1), 2.5), np.arange(1.0, 5.0)[:, None]) == pytest.approx(1.0)
    assert forecasts.naive_step(np.array([[1.0, 0.0], [3.0, 0.5], [2.0, 0.0]])).tolist() == [1.5, 0.5]
    with pytest.raises(DataError, match="never changes"):
        forecasts.naive_step(np.ones((3, 1)))


def test_the_season_of_mase():
    # |4 - 1|, |6 - 2|, |4 - 4|, |8 - 6| over 4 is 2.25
    values = np.array([1.0, 2.0, 4.0, 6.0, 4.0, 8.0])[:, None]
    assert forecasts.naive_step(values, 2).tolist() == [2.25]
    with pytest.raises(DataError, match="more than 6 values"):
        forecasts.naive_step(values, 6)
    with pytest.raises(DataError, match="season of 2"):
        forecasts.naive_step(np.array([1.0, 2.0, 1.0, 2.0])[:, None], 2)


def test_which_nrmse_it_is():
    true, predicted = np.array([1.0, 2.0, 3.0, 6.0])[:, None], np.array([1.0, 2.0, 3.0, 4.0])[:, None]
    assert forecasts.nrmse(predicted, true) == pytest.approx(1.0 / np.std([1, 2, 3, 6]))  # 0.5345
    assert forecasts.rmse(predicted, true) / 5.0 == pytest.approx(0.2)  # reservoirpy 0.4.2 divides by the range
    assert forecasts.rmse(predicted, true) / true.mean() == pytest.approx(1 / 3)  # gluonts, torchmetrics by the mean


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_are_aligned(name):
    system = SYSTEMS[name](60, 3)
    assert len(system.inputs) == len(system.targets) == 60
    assert system.inputs.shape[1] == len(system.input_names)
    assert system.targets.shape[1] == len(system.target_names)
    if system.free:
        np.testing.assert_array_equal(system.inputs[1:], system.targets[:-1])


# -- times, groups, gaps -----------------------------------------------------------------------------------------------


def read(folder, text, columns=None, form=None, **plan):
    return read_many(write(folder, text), columns, plan=SeriesPlan(**plan), form=form)


def test_rows_are_put_in_order_of_time(tmp_path):
    newest_first = "".join(f"2024-{m:02d}-{d:02d},{m}.{d:02d}\n" for m in (3, 2, 1) for d in range(28, 0, -1))
    (series,) = read(tmp_path, "date,close\n" + newest_first, time="date")
    assert list(series.times) == sorted(series.times)
    assert series.values[0, 0] == 1.01
    assert "newest first" in series.note
    (jumbled,) = read(tmp_path, "y,v\n1990,1\n1992,3\n1991,2\n", time="y")
    assert jumbled.values[:, 0].tolist() == [1.0, 2.0, 3.0]
    (as_is,) = read(tmp_path, "y,v\n1990,1\n1992,3\n1991,2\n", time="y", order="file")
    assert as_is.values[:, 0].tolist() == [1.0, 3.0, 2.0]


STACKED = "symbol,date,price\n" + "".join(
    f"{name},2020-{m:02d}-01,{price * m}\n" for name, price in (("A", 1), ("B", 9)) for m in range(1, 13)
)


def test_stacked_series(tmp_path):
    for columns in (["price"], None):
        with pytest.raises(DataError, match=r"data\.group: symbol"):
            read(tmp_path, STACKED, columns, time="date")
    first, second = read(tmp_path, STACKED, time="date", group="symbol")
    assert (first.group, second.group) == ("A", "B")
    assert (first.columns, len(first), second.values[-1, 0]) == (("price",), 12, 108.0)
    lines = STACKED.splitlines()
    shuffled = "\n".join([lines[0], *np.random.default_rng(0).permutation(lines[1:])]) + "\n"
    again = {series.group: series for series in read(tmp_path, shuffled, time="date", group="symbol")}
    np.testing.assert_array_equal(again["B"].values, second.values)
    with pytest.raises(DataError, match=r"data\.time: date"):
        read(tmp_path, STACKED, ["price"])


@pytest.mark.parametrize(
    ("column", "field"),
    [("year", "{}"), ("when", "{}"), ("ts", "16000{:05d}"), ("t", "202401{:02d}"), ("day", "{}.5")],
)
def test_a_column_that_may_say_when_is_asked(tmp_path, column, field):
    rows = "".join(f"{field.format(i)},{i * i % 7}\n" for i in range(1, 29))
    with pytest.raises(DataError, match=rf"column '{column}'[\s\S]*data\.time: {column}"):
        read(tmp_path, f"{column},v\n{rows}")
    (told,) = read(tmp_path, f"{column},v\n{rows}", time=column)
    assert told.columns == ("v",)
    (kept,) = read(tmp_path, f"{column},v\n{rows}", [column, "v"])
    assert kept.columns == (column, "v")


def test_a_column_that_numbers_the_rows_is_left_out(tmp_path):
    for name in ("", "Unnamed: 0", "id"):
        (series,) = read(tmp_path, f"{name},v\n" + "".join(f"{i},{i * i % 7}\n" for i in range(9)))
        assert series.columns == ("v",)


def test_dates_with_the_day_or_the_month_first(tmp_path):
    days = "d,v\n" + "".join(f"{day}/1/2020,{day}\n" for day in range(1, 13))
    (series,) = read(tmp_path, days, time="d")
    assert series.values[:3, 0].tolist() == [1.0, 2.0, 3.0]
    unsure = "d,v\n3/1/2020,1\n1/2/2020,2\n2/3/2020,3\n5/1/2020,4\n"
    with pytest.raises(DataError, match=r"read in two ways[\s\S]*data\.time_format"):
        read(tmp_path, unsure, time="d")
    (told,) = read(tmp_path, unsure, time="d", time_format="%m/%d/%Y")
    assert told.values[:, 0].tolist() == [2.0, 3.0, 1.0, 4.0]


def test_a_time_twice(tmp_path):
    text = "d,v\n2020-01-01,1\n2020-01-01,2\n2020-01-02,4\n"
    with pytest.raises(DataError, match=r"a time twice: 2020-01-01[\s\S]*line 3"):
        read(tmp_path, text, time="d")
    for repeated, first in (("first", 1.0), ("last", 2.0), ("mean", 1.5)):
        (series,) = read(tmp_path, text, time="d", repeated=repeated)
        assert series.values[:, 0].tolist() == [first, 4.0]


def test_gaps_are_told_filled_or_refused(tmp_path):
    text = "d,v\n" + "".join(f"2020-0{m}-01,{m}\n" for m in (1, 2, 3, 4, 7, 8))
    (kept,) = read(tmp_path, text, time="d")
    assert (len(kept), kept.observed) == (6, None)
    assert "2 steps missing, the first after 2020-04-01" in kept.note
    (filled,) = read(tmp_path, text, time="d", gaps="fill", missing="carry")
    assert filled.values[:, 0].tolist() == [1, 2, 3, 4, 4, 4, 7, 8]
    assert filled.observed[:, 0].tolist() == [True] * 4 + [False] * 2 + [True] * 2
    with pytest.raises(DataError, match=r"steps are missing: after 2020-04-01 comes 2020-07-01[\s\S]*line 6"):
        read(tmp_path, text, time="d", gaps="refuse")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("d,v\n2020-01-01,1\n,2\n", r"row without its time[\s\S]*line 3"),
        ("d,v\nmon,1\ntue,2\n", r"cannot be read: 'mon'[\s\S]*data\.order: file"),
        ("d,v\n2020-01-01,1\n2020-01-02,2\nsoon,3\n", r"cannot be read[\s\S]*line 4"),
    ],
)
def test_times_that_are_none(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, text, time="d")


def test_times_of_several_columns(tmp_path):
    (series,) = read(tmp_path, "year,quarter,v\n1959,2,4\n1959,1,3\n", time="year", more=("quarter",))
    assert (series.times, series.values[0, 0]) == (("1959Q1", "1959Q2"), 3.0)
    text = "Date;Time;v\n16/12/2006;17:25:00;2\n16/12/2006;17:24:00;1\n"
    (series,) = read(tmp_path, text, time="Date", more=("Time",))
    assert series.times[0] == "16/12/2006 17:24:00"


def test_rows_that_are_series(tmp_path):
    text = "Country,Code,1960,1961,1962\nA,x,1,2,3\nB,y,,5,6\n"
    first, second = read(tmp_path, text, wide=True, group="Country", form=Form(header=True))
    assert (first.group, first.times, first.values[:, 0].tolist()) == ("A", ("1960", "1961", "1962"), [1, 2, 3])
    assert (second.times, second.values[:, 0].tolist()) == (("1961", "1962"), [5, 6])
    (months,) = read(tmp_path, "YEAR,JAN,FEB\n1950,3,4\n1949,1,2\n", wide=True, time="YEAR")
    assert (months.times[0], months.values[:, 0].tolist()) == ("1949 JAN", [1, 2, 3, 4])


def test_decimal_commas_beside_a_quoted_comma(tmp_path):
    (series,) = read(tmp_path, 'Datum;"Temp, C"\n2019-06-12;28,7\n2019-06-13;28,95\n', time="Datum")
    assert (series.columns, series.values[:, 0].tolist()) == (("Temp, C",), [28.7, 28.95])


def test_errors_leave_out_what_was_not_observed():
    true, predicted = np.array([[1.0], [np.nan], [3.0]]), np.array([[2.0], [100.0], [3.0]])
    assert forecasts.mae(predicted, true) == 0.5
    assert forecasts.rmse(predicted, true) == pytest.approx(math.sqrt(0.5))
    carried, observed = np.array([[1.0], [1.0], [4.0], [4.0], [5.0]]), np.array([[1], [0], [1], [0], [1]], bool)
    assert forecasts.naive_step(carried, observed=observed).tolist() == [2.0]
    with pytest.raises(DataError, match="nothing to judge by"):
        forecasts.rmse(predicted[1:2], true[1:2])


def test_the_time_that_cannot_be_read_is_shown(tmp_path):
    path = tmp_path / "s.csv"
    rows = "".join(f"2020-01-{day:02},{day % 5}\n" for day in range(1, 29))
    path.write_text(f"date,v\n{rows}01/02/2020,1\n2020-02-02,3\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"'01/02/2020', after '2020-01-28'[\s\S]*line 30, column 'date'"):
        read_series(path, time="date")
    path.write_text(f'date,v\n{rows}"Source: agency, 2020",\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"'Source: agency, 2020'[\s\S]*line 30[\s\S]*a remark"):
        read_series(path, time="date", missing="carry")
