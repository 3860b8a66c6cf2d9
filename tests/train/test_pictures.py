"""The figures and the report of runs, on tiny runs of every task: which there are, and what stands in them."""

from __future__ import annotations

import base64
import functools
import gc
import json
import re
import shutil
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

import tinyseq as ts
from support.smallruns import CONFIG, write_config
from tinyseq import figures
from tinyseq.cli import main
from tinyseq.data.measures import confusion_matrix
from tinyseq.errors import DataError
from tinyseq.train.analysis import pictures
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.trained import report

TRAIN = {"steps": 4, "batch_size": 8, "evaluate_every": 2, "log_every": 1}
SMALL = {"hidden_size": 5, "embedding_size": 4}
CELLS = ["curves", "gradients", "activations", "equations"]
HOSTILE = "</script><script>alert(1)</script>"


def _texts(folder):
    rng = np.random.default_rng(0)
    words = ["sun", "<b>", "$star", "&amp;", HOSTILE]
    lines = (f"{'ab'[n % 2]}\t" + " ".join(rng.choice(words, rng.integers(2, 5))) for n in range(40))
    (folder / "t.tsv").write_text("\n".join(["label\ttext", *lines]), encoding="utf-8")
    return {
        "task": "classification",
        "data": {"path": str(folder / "t.tsv"), "level": "word"},
        "model": {**SMALL, "cell": "gru", "bidirectional": True, "pooling": "attention"},
    }


def _vectors(folder):
    rng = np.random.default_rng(0)
    rows = (f"{a},{b},{a + b}" for a, b in rng.normal(size=(60, 2)))
    (folder / "v.csv").write_text("\n".join(["u,v,target", *rows]), encoding="utf-8")
    return {"task": "regression", "data": {"path": str(folder / "v.csv"), "inputs": "vector"}, "model": {"layers": [4]}}


#: Name -> (folder -> config, the names of its figures).
CASES = {
    "language_model": (lambda folder: write_config(folder), CELLS),
    "classification": (_texts, [*CELLS, "confusion", "attention"]),
    "regression": (_vectors, ["curves", "scatter"]),
    "tagging": (
        lambda folder: {"task": "tagging", "data": {"count": 40}, "model": {**SMALL, "characters": 3}},
        [*CELLS, "confusion"],
    ),
    "forecasting": (
        lambda folder: {"task": "forecasting", "data": {"window": 12}, "model": {"cell": "rnn", "hidden_size": 4}},
        [*CELLS, "forecast"],
    ),
    "reservoir": (
        lambda folder: {
            "task": "reservoir",
            "data": {"system": "mackey_glass", "train": 200, "valid": 60, "test": 80},
            "model": {"hidden_size": 10},
            "readout": {"washout": 50},
            "evaluate": {"ahead": 10, "show": 20},
        },
        [*CELLS, "forecast"],
    ),
    "seq2seq": (
        lambda folder: {
            "task": "seq2seq",
            "data": {"generator": "dates", "count": 60},
            "model": {**SMALL, "cell": "gru"},
        },
        [*CELLS, "attention"],
    ),
    "transformer": (
        lambda folder: {
            "task": "seq2seq",
            "data": {"generator": "sorting", "count": 60, "level": "word"},
            "model": {"architecture": "transformer", "hidden_size": 8, "heads": 2},
        },
        ["curves", "attention"],
    ),
    "captioning": (
        lambda folder: {
            "task": "captioning",
            "data": {"count": 40, "size": 8},
            "model": {**SMALL, "cell": "gru", "encoder_size": 6, "patch": 4, "attention": "dot"},
        },
        [*CELLS, "attention"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function from a case's name to its run, trained when it is first asked for, and loaded."""

    @functools.cache
    def get(name):
        folder = tmp_path_factory.mktemp(name)
        config = CASES[name][0](folder)
        if isinstance(config, dict) and config["task"] != "reservoir":
            config = {**config, "train": TRAIN}
        return ts.load(ts.run(config, output=folder / "runs", progress=SilentProgress()).directory)

    return get


@pytest.fixture(scope="module")
def model(trained):
    return trained("language_model")


@pytest.fixture(scope="module")
def classifier(trained):
    return trained("classification")


@pytest.fixture(scope="module")
def page_of(trained, tmp_path_factory):
    """Return a function from a case's name to the text of its run's report."""

    @functools.cache
    def get(name):
        path = tmp_path_factory.mktemp("report") / "report.html"
        trained(name).report(path)
        return path.read_text(encoding="utf-8")

    return get


class Page(HTMLParser):
    """What a browser would see of a page: tags with attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", CASES)
def test_every_figure_of_a_run_is_drawn(trained, name):
    run, names = trained(name), CASES[name][1]
    assert run.figures() == names
    assert set(names) <= set(pictures.FIGURES)
    for figure in names:
        drawn = run.figure(figure, steps=3)
        assert drawn.axes or drawn.texts


REPORTED = ("classification", "forecasting", "seq2seq", "regression")


@pytest.mark.parametrize("name", REPORTED)
def test_the_report_has_every_figure_and_what_the_run_is(trained, page_of, name):
    run, names = trained(name), CASES[name][1]
    page = Page(page_of(name))
    captions = [attrs["alt"] for tag, attrs in page.tags if tag == "img"]
    for figure in names:
        assert any(caption.startswith(f"{figure}: ") for caption in captions), figure
    assert any(caption.startswith("The graph") for caption in captions)
    assert not [attrs for tag, attrs in page.tags if attrs.get("class") == "missing"]
    for tag, attrs in page.tags:
        if tag == "img":
            kind, _, data = attrs["src"].partition("base64,")
            assert kind == "data:image/svg+xml;"
            ElementTree.fromstring(base64.b64decode(data))
    for section in ("Results", "Figures", "Samples and predictions", "Model", "Config", "Environment and data"):
        assert section in page.text
    assert f"task: {run.config.task}" in page.text
    result = json.loads((run.directory.path / "result.json").read_text())
    assert f"{result['test'][result['measure']]:.4g}" in page.text
    assert result["status"] in page.text
    first = next(run.task.predict(run.model, run.judged(None)[:1]))
    assert run.task.line(first).splitlines()[0] in page.text


@pytest.mark.parametrize("name", REPORTED)
def test_a_page_needs_nothing_else_and_runs_nothing(page_of, name):
    page = Page(page_of(name))
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "object", "b")]
    for _, attrs in page.tags:
        assert not [key for key in attrs if key.startswith("on")]
        for key in ("src", "href"):
            assert attrs.get(key, "#").startswith(("#", "data:image/svg+xml;base64,"))
    assert "@import" not in page_of(name)
    assert "url(" not in page_of(name)
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "prefers-color-scheme: dark" in page_of(name)
    assert "@media print" in page_of(name)


def test_a_hostile_text_stays_text(page_of):
    assert "<script" not in page_of("classification")
    assert HOSTILE in Page(page_of("classification")).text


def panels(figure):
    return [plot for plot in figure.axes if plot.images]


def words(plot):
    return [tick.get_text() for tick in plot.get_xticklabels()]


def test_activations_stand_over_the_text(model):
    figure = model.figure("activations", ["the fox"])
    plots = panels(figure)
    assert [plot.get_ylabel() for plot in plots] == [
        "$f_t$", "$i_t$", r"$\tilde{c}_t$", "$o_t$", "$h_t$", "$c_t$",
    ]  # fmt: skip
    assert words(plots[-1]) == [*"the", "␣", *"fox"]
    ids = model.task.vocabulary.encode(list("the fox"))
    ys, _ = model.model(ts.tensor(ids[None]))
    np.testing.assert_array_equal(plots[4].images[0].get_array(), ys.numpy()[0].T)
    with pytest.raises(DataError, match=r"no layer 'lstm7'[\s\S]*one of: recurrent/lstm0"):
        model.figure("activations", ["the"], layer="lstm7")
    with pytest.raises(DataError, match="at least two steps"):
        model.figure("activations", ["t"])


def test_gradients_of_a_run_are_those_of_its_trained_weights(model):
    from tinyseq.train.analysis.gradflow import gradient_norms

    figure = model.figure("gradients", steps=6)
    expected = gradient_norms(model.task.example(model.model, 6))
    for line, norms in zip(figure.axes[0].lines, expected.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), norms, rtol=1e-5)


def test_curves_are_those_that_the_run_wrote_down(model):
    (plot,) = model.figure("curves").axes
    rows = [json.loads(line) for line in (model.directory.path / "metrics.jsonl").read_text().splitlines()]
    valid = [[row["step"], row["bpc"]] for row in rows if row["split"] == "valid"]
    assert {line.get_label(): line for line in plot.lines}["validation"].get_xydata().tolist() == valid
    assert "tiny 0001: language_model" in plot.figure.get_suptitle()


def test_confusion_and_attention_of_a_file(classifier):
    run, path = classifier, classifier.config.data.path
    plot = run.figure("confusion", path).axes[0]
    told = run.predict(path)
    numbers = {label: number for number, label in enumerate(run.task.classes)}
    expected, found = ([numbers[one[key]] for one in told] for key in ("expected", "label"))
    counts = confusion_matrix(expected, found, 2)
    assert [text.get_text() for text in plot.texts] == [str(count) for count in counts.ravel()]
    figure = run.figure("attention", ["sun <b>", "$ sun sun"])
    first, second = panels(figure)[:2]
    assert words(first) == ["sun", "<b>"]
    assert words(second) == [r"\$", "sun", "sun"]
    np.testing.assert_allclose(second.images[0].get_array().sum(), 1.0, rtol=1e-5)
    with pytest.raises(DataError, match="without its class"):
        run.figure("confusion", ["sun"])


def test_forecasts_stand_beside_the_truth(trained):
    run = trained("forecasting")
    truth = run.figure("forecast").axes[0].lines[0]
    assert truth.get_label() == "truth"
    (record,) = run.judged(None)
    shown = truth.get_xdata()
    np.testing.assert_array_equal(truth.get_ydata(), record.series.values[shown, 0])
    with pytest.raises(DataError, match="not inputs of the task 'forecasting'"):
        run.figure("activations", ["not numbers"])


def test_padding_is_not_shown(classifier):
    figure = classifier.figure("activations", ["sun <b> sun"])
    assert {plot.images[0].get_array().shape[1] for plot in panels(figure)} == {3}
    titles = [plot.get_title() for plot in panels(figure) if plot.get_title()]
    assert titles == ["sequence/recurrent/gru0", "sequence/recurrent/gru0_reverse"]


def test_a_figure_that_a_task_lacks_is_refused_with_those_that_it_has(model, classifier):
    with pytest.raises(
        DataError, match=r"language_model' has no figure 'confusion'[\s\S]*curves, gradients, activations"
    ):
        model.figure("confusion")
    with pytest.raises(DataError, match="did you mean 'confusion'"):
        classifier.figure("confuson")
    with pytest.raises(DataError, match="at least one input"):
        model.figure("activations", [])


def test_the_report_of_a_run_without_weights_tells_what_there_is(model, tmp_path):
    copy = tmp_path / "tiny" / "0001"
    shutil.copytree(model.directory.path, copy)
    for name in ("weights.safetensors", "result.json", "env.json"):
        (copy / name).unlink()
    (copy / "metrics.jsonl").write_text((copy / "metrics.jsonl").read_text() + '{"step": 9, "spl')
    report(copy, tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "did not come to its end" in page.text
    assert "the run has no weights" in page.text
    assert [attrs["alt"].partition(":")[0] for tag, attrs in page.tags if tag == "img"] == ["curves"]
    (copy / "metrics.jsonl").unlink()
    report(copy, tmp_path / "r.html")
    assert "metrics cannot be read" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_report_of_a_run_whose_data_changed_tells_so_and_goes_on(tmp_path):
    config = {**_texts(tmp_path), "train": TRAIN}
    run = ts.load(ts.run(config, output=tmp_path / "runs", progress=SilentProgress()).directory)
    (tmp_path / "t.tsv").unlink()
    run.report(tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    notes = [attrs for _, attrs in page.tags if attrs.get("class") == "missing"]
    assert len(notes) >= 3
    captions = [attrs["alt"].partition(":")[0] for tag, attrs in page.tags if tag == "img"]
    assert captions[:2] == ["curves", "gradients"]


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_plot_command(model, tmp_path):
    run = model.directory.path
    assert [line.split()[0] for line in invoke("plot", run).output.splitlines()] == CELLS
    out = tmp_path / "gates.svg"
    done = invoke("plot", run, "activations", "--input", "the fox", "-o", out)
    assert (done.exit_code, done.output) == (0, f"{out}\n"), done.output
    assert out.read_text(encoding="utf-8").startswith("<?xml")
    (tmp_path / "lines.txt").write_text("the dog sleeps\n")
    assert invoke("plot", run.parent, "activations", "-f", tmp_path / "lines.txt", "-o", out).exit_code == 0
    wrong = invoke("plot", run, "confusion", "-o", out)
    assert wrong.exit_code == 1
    assert "one of: curves, gradients, activations, equations" in wrong.output
    assert invoke("plot", run, "curves", "-o", tmp_path / "no" / "x.png").exit_code == 2
    assert ".png, .svg or .pdf" in invoke("plot", run, "curves", "-o", tmp_path / "x.gif").output
    assert invoke("plot", run, "curves", "-i", "a", "-f", "b").exit_code == 2
    assert "not a run directory" in invoke("plot", tmp_path, "curves", "-o", out).output


def test_curves_need_no_weights(model, tmp_path):
    copy = tmp_path / "0001"
    shutil.copytree(model.directory.path, copy)
    (copy / "weights.safetensors").unlink()
    assert invoke("plot", copy, "curves", "-o", tmp_path / "c.png").exit_code == 0
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_command(model, tmp_path):
    done = invoke("report", model.directory.path.parent)
    assert done.output == f"{model.directory.path / 'report.html'}\n"
    assert (model.directory.path / "report.html").stat().st_size > 50_000
    assert invoke("report", model.directory.path, "-o", tmp_path / "no" / "x.html").exit_code == 2
    assert invoke("report", tmp_path).exit_code == 1


def test_the_equations_command(tmp_path):
    done = invoke("equations", "lstm")
    assert done.exit_code == 0
    assert r"f_t &= \sigma(W_f [h_{t-1}, x_t] + b_f) \\" in done.output
    assert r"\sigma([h_{t-1}, x_t] W_f + b_f)" in invoke("equations", "lstm", "--rows").output
    (tmp_path / "mine.py").write_text("from tinyseq import nn\nclass Mine(nn.RNNCell):\n    pass\n")
    mine = invoke("equations", f"{tmp_path}/mine.py:Mine", "-o", tmp_path / "e.pdf")
    assert mine.output.startswith("% Mine\n")
    assert (tmp_path / "e.pdf").read_bytes().startswith(b"%PDF")
    path = write_config(tmp_path, CONFIG)
    assert r"\tilde{c}_t" in invoke("equations", path).output
    assert "did you mean 'lstm'" in invoke("equations", "lstmm").output


def test_a_cell_of_ones_own_is_watched_in_a_run(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import tinyseq as ts\nfrom tinyseq import nn\n"
        "class Mine(nn.Cell):\n"
        "    def __init__(self, i, h):\n"
        "        self.input_size, self.hidden_size = i, h\n"
        "        self.W = nn.parameter(nn.init.recurrent(h, i))\n"
        "    def step(self, x, h):\n"
        "        forget = ts.sigmoid(ts.concat([h, x], -1) @ self.W)\n"
        "        h = forget * h + (1 - forget) * x[:, :1]\n"
        "        return h, h\n"
    )
    text = CONFIG.replace("cell: lstm", f"cell: {tmp_path}/mine.py:Mine")
    run = ts.load(ts.run(write_config(tmp_path, text), output=tmp_path / "r", progress=SilentProgress()).directory)
    plots = panels(run.figure("activations", ["the"]))
    assert [plot.get_ylabel() for plot in plots] == [r"$\mathrm{forget}_t$", "$h_t$"]
    assert plots[0].images[0].get_clim() == (0.0, 1.0)


def test_figures_are_saved_from_python(model, tmp_path):
    figures.save(model.figure("equations"), tmp_path / "e.svg")
    assert re.search(r"<svg[^>]*>", (tmp_path / "e.svg").read_text(encoding="utf-8"))


def test_a_run_leaves_no_figure_behind(tmp_path):
    """They hold one another in circles, with all that is drawn: nobody but the collector lets them go."""
    from matplotlib.figure import Figure

    gc.collect()
    gc.disable()
    try:
        ts.run(write_config(tmp_path), output=tmp_path, progress=SilentProgress())
        # By type: objects of other libraries answer to `isinstance` with warnings of their own.
        assert not [one for one in gc.get_objects() if issubclass(type(one), Figure)]
    finally:
        gc.enable()
