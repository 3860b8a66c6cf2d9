"""Series from CSV files, their scaling, naive forecasts and what they are judged by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinyseq.data import forecasts
from tinyseq.data.at_hand import load_sunspots, sunspots_path
from tinyseq.data.series import Scaler, read_series
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


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_are_aligned(name):
    system = SYSTEMS[name](60, 3)
    assert len(system.inputs) == len(system.targets) == 60
    assert system.inputs.shape[1] == len(system.input_names)
    assert system.targets.shape[1] == len(system.target_names)
    if system.free:
        np.testing.assert_array_equal(system.inputs[1:], system.targets[:-1])
