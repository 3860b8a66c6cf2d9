"""Forecasting and reservoirs: what they learn from, what they forecast, and what a run leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.data import forecasts
from tinyseq.errors import ConfigError, DataError
from tinyseq.files import LARGEST
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.registry import find_task
from tinyseq.train.running import prepared

WAVES = "hour,a,b\n" + "\n".join(f"{t},{np.sin(t / 3):.6f},{5 + np.cos(t / 4):.6f}" for t in range(200)) + "\n"


def forecasting(**sections):
    base = {
        "task": "forecasting",
        "model": {"cell": "gru", "hidden_size": 6},
        "train": {"steps": 20, "batch_size": 8, "evaluate_every": 10},
    }
    return {**base, **sections}


def reservoir(system, *, readout=None, **sections):
    sizes = {"narma10": (900, 300, 400), "mackey_glass": (900, 300, 400), "lorenz": (900, 300, 400)}[system]
    return {
        "task": "reservoir",
        "seed": 1,
        "data": {"system": system, **dict(zip(("train", "valid", "test"), sizes, strict=True))},
        "model": {"hidden_size": 80, "spectral_radius": 0.9, "input_scaling": 0.3, "bias_scaling": 0.2},
        "readout": {"washout": 100, "ridge": 1e-8, **(readout or {})},
        "evaluate": {"ahead": 20, "show": 60},
        **sections,
    }


@pytest.fixture
def waves(tmp_path):
    path = tmp_path / "waves.csv"
    path.write_text(WAVES)
    return path


def run(data, folder):
    return ts.run(data, output=folder, progress=SilentProgress())


def test_a_run_leaves_a_picture_a_table_and_beats_the_mean(tmp_path):
    result = run(forecasting(data={"transform": "sqrt"}, forecast={"season": 11}), tmp_path)
    found = {path.name for path in result.directory.iterdir()}
    assert {"forecast.png", "forecast.csv", "curve.png", "graph.svg", "weights.safetensors"} <= found
    assert set(result.metrics) == {"rmse", "mae", "mase"}
    assert set(result.baselines) == {"persistence", "seasonal (11 ago)", "training mean"}
    assert result.metrics["rmse"] < result.baselines["training mean"]["rmse"]
    model = ts.load(result.directory)
    assert model.details()["mase_season"] == 11
    past = model.task
    past.prepare()
    known = past.series.values[: past.ranges["train"].stop, past.chosen]
    assert result.metrics["mase"] == pytest.approx(result.metrics["mae"] / np.abs(known[11:] - known[:-11]).mean())
    lines = (result.directory / "forecast.csv").read_text().splitlines()
    assert lines[0] == "time,target,ahead,truth,forecast"
    assert lines[-1].startswith("2008,sunspots,1,2.9,")
    assert "2008" in result.preview


@pytest.mark.parametrize("window", [12, None])
def test_many_columns_steps_and_targets(tmp_path, waves, window):
    data = {"path": str(waves), "time": "hour", "columns": ["a", "b"], "targets": ["b"], "window": window}
    config = forecasting(data=data, forecast={"horizon": 3, "steps": 5})
    config["train"] |= {"bptt": {"every": 8}}
    result = run(config, tmp_path)
    assert np.isfinite(list(result.metrics.values())).all()
    with prepared(parse_config(config)) as (task, model):
        (record,) = task.part("test")
        assert (record.start, len(record.series)) == (170, 200)
        origins = np.arange(169, 197)
        assert task.forecast(model.eval(), record, origins).shape == (28, 3, 1)
        one, many = (task.evaluate_on(model, [record], batch_size=size) for size in (1, 64))
        assert one == pytest.approx(many, rel=1e-5)
        details = task.details(model, [record])["rmse_by_step"]["b"]
        assert np.sqrt(np.mean(np.square(details))) == pytest.approx(many["rmse"])
        (prediction,) = task.predict(model, [record])
        assert len(prediction["forecast"]["b"]) == 3, "it reads a, which it does not forecast, and so cannot go on"


def test_scaling_knows_nothing_of_what_is_held_out(tmp_path, waves):
    config = parse_config(forecasting(data={"path": str(waves), "time": "hour"}))
    with prepared(config) as (task, _):
        first = task.scaler
    lines = WAVES.splitlines()
    waves.write_text("\n".join(lines[:150] + [f"{t},1000,1000" for t in range(149, 200)]) + "\n")
    with prepared(config) as (task, _):
        np.testing.assert_array_equal(task.scaler.mean, first.mean)
        np.testing.assert_array_equal(task.scaler.std, first.std)


def test_a_forecast_sees_its_window_and_nothing_later(waves):
    with prepared(parse_config(forecasting(data={"path": str(waves), "time": "hour", "window": 10}))) as (task, model):
        model.eval()
        (record,) = task.part("test")
        origins = np.array([180])
        before = task.forecast(model, record, origins)
        for changed, same in ((slice(181, None), True), (slice(0, 171), True), (slice(171, 172), False)):
            values = record.series.values.copy()
            values[changed] += 1.0
            other = record._replace(series=type(record.series)("x", record.series.columns, values, record.series.times))
            assert np.array_equal(task.forecast(model, other, origins), before) is same


def test_running_on_feeds_forecasts_back(waves):
    config = parse_config(
        forecasting(
            dtype="float64",
            data={"path": str(waves), "time": "hour", "window": None, "columns": ["b", "a"], "targets": ["a", "b"]},
            train={"batch_size": 2, "bptt": {"every": 8}},
        )
    )
    with prepared(config) as (task, model):
        model.eval()
        (record,) = task.part("test")
        series = record.series
        free = task.run_on(model, series, 4)
        for ahead in range(4):
            forecast = task.forecast(model, record._replace(series=series), np.array([len(series) - 1]))[0, 0]
            np.testing.assert_allclose(free[ahead], forecast)
            values = np.concatenate([series.values, forecast[None, [1, 0]]])
            series = type(series)("x", series.columns, values, (*series.times, "next"))


def test_the_warmup_of_a_window_does_not_count(waves):
    with prepared(parse_config(forecasting(data={"path": str(waves), "time": "hour", "window": 10, "warmup": 9}))) as (
        task,
        model,
    ):
        feed = task.feed(model, next(task.batches()), None)
        assert feed.arguments[1].shape == (8, 1, 1, 2)
        assert feed.tokens == 8


def test_stateful_rows_are_read_on_and_begun_anew(waves):
    config = forecasting(data={"path": str(waves), "time": "hour", "columns": ["a"], "window": None})
    config["train"] |= {"batch_size": 2, "bptt": {"every": 20}}
    with prepared(parse_config(config)) as (task, _):
        batches = task.batches()
        found = [next(batches) for _ in range(4)]
    assert [batch.fresh for batch in found] == [True, False, False, True]
    np.testing.assert_array_equal(found[0].targets[:, :-1, 0], found[0].inputs[:, 1:])
    np.testing.assert_array_equal(found[1].inputs[:, 0], found[0].targets[:, -1, 0])
    np.testing.assert_array_equal(found[3].inputs, found[0].inputs)


def test_a_trained_forecaster_is_used(tmp_path, waves):
    result = run(forecasting(data={"path": str(waves), "time": "hour"}, forecast={"steps": 7}), tmp_path)
    model = ts.load(result.directory)
    (prediction,) = model.predict(waves)
    assert prediction["after"] == "199"
    assert {name: len(values) for name, values in prediction["forecast"].items()} == {"a": 7, "b": 7}
    json.dumps(prediction)
    values = np.array([[float(x) for x in line.split(",")[1:]] for line in WAVES.splitlines()[1:]])
    (again,) = model.predict([values])
    assert again["forecast"] == prediction["forecast"]
    plots = model.task.picture([prediction, again]).axes
    assert len(plots) == 4
    np.testing.assert_allclose(plots[1].lines[1].get_ydata()[1:], prediction["forecast"]["b"])
    assert model.evaluate()["rmse"] == pytest.approx(result.metrics["rmse"])
    with pytest.raises(DataError, match=r"input 0[\s\S]*\(time, 2\): a, b"):
        model.predict([values[:, :1]])
    waves.write_text("hour,a\n1,2\n2,3\n")
    with pytest.raises(DataError, match="no column 'b'"):
        model.predict(waves)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"transform": "squrt"}}, "did you mean 'sqrt'"),
        ({"data": {"window": 10, "warmup": 10}}, "less than the window"),
        ({"data": {"columns": ["a"], "targets": ["c"]}}, "'c' is not among the columns"),
        ({"model": {"cell": "gru", "bidirectional": True}}, "must not read from the end"),
        ({"data": {"split": [0.9, 0.2, 0.1]}}, "sum to 1"),
    ],
)
def test_wrong_configs_are_refused(sections, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(forecasting(**sections))


def test_series_too_short_for_the_config(waves):
    for sections, words in (
        ({"window": 150}, "a smaller data.window"),
        ({"split": [0.99, 0.005, 0.005]}, "valid part has nothing to forecast"),
        ({"targets": ["c"]}, "'c' is not among the columns"),
    ):
        config = parse_config(
            forecasting(data={"path": str(waves), "time": "hour", **sections}, forecast={"horizon": 2})
        )
        with pytest.raises(DataError, match=words), prepared(config):
            pass


# -- reservoirs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["narma10", "mackey_glass", "lorenz"])
def test_a_reservoir_learns_in_one_pass(tmp_path, system):
    result = run(reservoir(system), tmp_path)
    assert result.metrics["nrmse"] < 0.95 * min(b["nrmse"] for b in result.baselines.values())
    assert (result.directory / "forecast.png").read_bytes().startswith(b"\x89PNG")
    model = ts.load(result.directory)
    assert model.evaluate()["nrmse"] == pytest.approx(result.metrics["nrmse"], rel=1e-6)
    series = model.task
    width = len(series.inputs)
    (prediction,) = model.predict([np.random.default_rng(0).uniform(0.0, 0.5, (30, width))])
    assert {len(values) for values in prediction["outputs"].values()} == {60 if system != "narma10" else 30}
    json.dumps(prediction)


def test_the_free_run_is_the_forecast_from_its_place():
    with prepared(parse_config(reservoir("mackey_glass"))) as (task, model):
        task.fit(model)
        (record,) = task.part("test")
        states = model.features(task._tensor(record.inputs))[0][:, :, 1:]
        found, truth = task._free_runs(model, record, states)
        place = task._places(record)[2]
        known = record._replace(inputs=record.inputs[: place + 1], start=place + 1)
        np.testing.assert_allclose(task._outputs(model, known, 20)[-1], found[2], rtol=1e-5)
        np.testing.assert_array_equal(truth[2], record.inputs[place + 20])


TIMED = {
    "as in training": "hour,a,b\n10,1,2\n11,3,4\n",
    "semicolons": "a;b;hour\n1;2;10\n3;4;11\n",
    "tabs": "hour\ta\tb\n10\t1\t2\n11\t3\t4\n",
    "quoted": '"hour","a","b"\n"10",1,2\n"11",3,4\n',
}


@pytest.mark.parametrize("text", [*TIMED.values(), "b,a\n2,1\n4,3\n"], ids=[*TIMED, "without it"])
def test_the_times_of_a_file_are_its_own_where_it_has_them(tmp_path, waves, text):
    config = forecasting(data={"path": str(waves), "time": "hour", "window": 12})
    with prepared(parse_config(config)) as (task, _):
        (tmp_path / "other.csv").write_text(text)
        ((series, _),) = task.read(tmp_path / "other.csv")
    assert series.times == (("10", "11") if "hour" in text else ("0", "1"))
    np.testing.assert_array_equal(series.values, [[1, 2], [3, 4]])


@pytest.mark.skipif(sys.platform != "linux", reason="its memory is read from /proc")
def test_a_first_line_without_end_is_refused_unread(tmp_path, waves):
    """In a process that could not hold it: a sparse file of more than files may have, in one line."""
    with open(tmp_path / "endless.csv", "wb") as file:
        file.truncate(LARGEST + 1)
    program = f"""
import resource
from pathlib import Path
from tinyseq.errors import DataError
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.registry import find_task
from tinyseq.train.running import prepared
config = parse_config({forecasting(data={"path": str(waves), "time": "hour", "window": 12})!r})
with prepared(config) as (task, _):
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**29, held + 2**29))
    try:
        task.read(Path({str(tmp_path / "endless.csv")!r}))
    except DataError as error:
        print(error.what)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("the text file cannot be read\n", "")


def test_outputs_come_online_a_step_at_a_time():
    with prepared(parse_config(reservoir("narma10"))) as (task, model):
        task.fit(model)
        us = task._tensor(task.system.inputs[:20])
        whole, _ = model(us)
        state, steps = None, []
        for t in range(20):
            y, state = model(us[:, t : t + 1], state)
            steps.append(y.numpy()[:, 0])
        np.testing.assert_allclose(np.stack(steps, 1), whole.numpy(), rtol=1e-9)


def test_the_readout_learns_along_gradients_too(tmp_path):
    config = reservoir("narma10", readout={"method": "gradient"})
    config["train"] = {"steps": 300, "optimizer": {"name": "adam", "lr": 0.02}, "evaluate_every": 100}
    result = run(config, tmp_path)
    assert result.result["steps"] == 300
    assert result.metrics["nrmse"] < 0.95 * result.baselines["training mean"]["nrmse"]


def test_nrmse_of_the_mean_is_one():
    truth = np.random.default_rng(0).standard_normal((500, 1))
    assert forecasts.nrmse(np.full_like(truth, truth.mean()), truth) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": {"system": "mackey_grass"}}, "did you mean 'mackey_glass'"),
        ({"data": {"system": "lorenz", "options": {"tau": 3}}}, "unknown option"),
        ({"data": {"train": 50}}, "less than data.train"),
        ({"data": {"valid": 20}}, "more than evaluate.ahead"),
        ({"model": {"density": 0.0}}, "over 0"),
    ],
)
def test_wrong_reservoirs_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(reservoir("mackey_glass", **change))


@pytest.mark.parametrize(
    "name", ["sunspots", "mackey_glass", "narma", "gradflow/rnn", "gradflow/lstm", "gradflow/explode"]
)
def test_the_examples_are_valid(name):
    ts.load_config(Path(__file__).parents[2] / "examples" / f"{name}.yaml")


# -- files as people have them -----------------------------------------------------------------------------------------


def prepare(folder, text, name="s.csv", **data):
    (folder / name).write_text(text, encoding="utf-8")
    task = find_task("forecasting")(parse_config(forecasting(data={"path": str(folder / name), **data})))
    task.prepare()
    return task


def test_errors_are_over_observed_values(tmp_path):
    """Three of four values are missing, and carried on: persistence is judged by the fourth alone."""
    values = 50 + 10 * np.random.default_rng(0).standard_normal(400).round(3)
    rows = "".join(f"{i},{values[i]:.3f}\n" if i % 4 == 0 else f"{i},\n" for i in range(400))
    task = prepare(tmp_path, "t,y\n" + rows, time="t", missing="carry", window=12)
    places = np.arange(0, 400, 4)
    errors = np.diff(np.round(values[places], 3))[places[1:] >= task.ranges["test"].start]
    assert task.baselines()["persistence"]["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-3)
    assert task.scaler.mean[0] == pytest.approx(values[:280:4].mean(), rel=1e-4)
    assert "300 values" in task.describe_data()["missing"]


def test_training_learns_from_observed_values(tmp_path):
    """The loss over what was observed, by hand: predictions of the network beside the standardised file."""
    values = np.sin(np.arange(200.0))
    rows = "".join(f"{i},{values[i]:.6f}\n" if i % 3 else f"{i},\n" for i in range(1, 200))
    task = prepare(tmp_path, "t,y\n" + rows, time="t", missing="carry", window=12)
    model = task.build()
    batch = next(task.batches())
    feed = task.feed(model, batch, None)
    predicted, _ = model(feed.arguments[0], feed.arguments[2])
    known = ~np.isnan(batch.targets)
    assert 0 < known.sum() < known.size
    expected = 0.5 * np.mean((predicted.numpy()[known] - batch.targets[known]) ** 2)
    assert float(task.loss(model, *feed.arguments)[0].item()) == pytest.approx(float(expected), rel=1e-5)


SEVERAL = "name,day,v\n" + "".join(
    f"{name},{t},{size * (3 + np.sin(t / 3)):.5f}\n" for name, size in (("a", 1), ("b", 900)) for t in range(120)
)


def test_several_series_are_learned_at_once(tmp_path):
    (tmp_path / "s.csv").write_text(SEVERAL)
    data = {"path": str(tmp_path / "s.csv"), "time": "day", "group": "name", "window": 12}
    result = run(forecasting(data=data, forecast={"steps": 3, "season": 19}), tmp_path / "runs")
    model = ts.load(result.directory)
    assert model.task.measure.key == "mase", "errors of series of other sizes have no common unit"
    assert model.evaluate()["mase"] == pytest.approx(result.metrics["mase"])
    first, second = model.predict(tmp_path / "s.csv")
    assert (first["series"], second["series"]) == ("s.csv: a", "s.csv: b")
    ratio = np.array(second["forecast"]["v"]) / np.array(first["forecast"]["v"])
    np.testing.assert_allclose(ratio, 900.0, rtol=1e-3)
    details = model.details()["series"]
    assert details["a"]["mase"] == pytest.approx(details["b"]["mase"], rel=1e-3)
    assert (result.directory / "forecast.csv").read_text().startswith("series,time,target,ahead,truth,forecast\na,")
    alone = "day,v\n" + "".join(f"{t},{7 * (3 + np.sin(t / 3)):.5f}\n" for t in range(60))
    (tmp_path / "new.csv").write_text(alone)
    (new,) = model.predict(tmp_path / "new.csv")
    assert 7 < new["forecast"]["v"][0] < 35, "a series that training has not seen is scaled by itself"


def test_windows_lie_within_a_series(tmp_path):
    task = prepare(tmp_path, SEVERAL, time="day", group="name", window=12)
    batches = task.batches()
    for _ in range(20):
        batch = next(batches)
        # Each series, standardised, is the same; a window over both would jump.
        assert np.abs(np.diff(batch.inputs[..., 0], axis=1)).max() < 0.6
        np.testing.assert_array_equal(batch.targets[:, :-1, 0], batch.inputs[:, 1:])


def test_a_figure_a_target(tmp_path):
    rows = "".join(f"{t},{np.sin(t / 3):.5f},{1000 * np.cos(t / 4):.3f}\n" for t in range(200))
    task = prepare(tmp_path, "t,small,large\n" + rows, time="t", window=12)
    found = task.baselines()["persistence"]
    test = np.loadtxt(rows.splitlines(), delimiter=",")[task.ranges["test"].start - 1 :]
    for name, column in (("small", 1), ("large", 2)):
        assert found[f"rmse_{name}"] == pytest.approx(np.sqrt(np.mean(np.diff(test[:, column]) ** 2)))
    assert task.measure.key == "mase"


def test_predict_says_after_which_time_whatever_separates(tmp_path):
    rows = "".join(f"2024-{1 + i // 28:02d}-{1 + i % 28:02d};{i % 7},5\n" for i in range(200))
    (tmp_path / "t.csv").write_text('date;"Temp, C"\n' + rows)
    data = {"path": str(tmp_path / "t.csv"), "time": "date", "window": 8}
    model = ts.load(run(forecasting(data=data), tmp_path / "runs").directory)
    (told,) = model.predict(tmp_path / "t.csv")
    assert (told["after"], *told["forecast"]) == ("2024-08-04", "Temp, C")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    (tmp_path / "back.csv").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    (back,) = model.predict(tmp_path / "back.csv")
    assert back["forecast"] == told["forecast"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"group": "g", "window": None}, r"data\.window: the model reads one series on"),
        ({"layout": "wide", "columns": ["a"]}, r"data\.columns: in a wide file"),
        ({"time": None, "repeated": "mean"}, r"data\.repeated: says how times are read"),
        ({"gaps": "fill"}, r"data\.gaps: gaps are filled with missing values"),
        ({"group": "a", "columns": ["a"]}, r"data\.group: 'a' is among the columns"),
        ({"separator": "tabs"}, r"data\.separator: required one character, or one of: tab"),
        ({"separator": ",", "decimal": ","}, r"data\.decimal: the comma separates fields already"),
        ({"encoding": "utf9"}, r"data\.encoding: unknown encoding"),
        ({"names": ["a", "a"]}, r"data\.names\[1\]: 'a' twice"),
        ({"time": []}, r"data\.time: required a column"),
    ],
)
def test_what_is_said_of_a_file_is_checked(data, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(forecasting(data={"path": "x.csv", "time": "t", **data}))
