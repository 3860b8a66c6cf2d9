"""Figures: what stands in them is what they were given; no text under 8 points; told apart without colour."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.text import Text

from support.side_by_side import side_by_side, wait
from tinyseq import figures
from tinyseq.errors import DataError
from tinyseq.figures import style

ROWS = [
    {"step": 1, "split": "train", "loss": 2.0, "bpc": 4.0},
    {"step": 2, "split": "train", "loss": 1.0, "bpc": 2.0},
    {"step": 2, "split": "valid", "loss": 1.5, "bpc": 3.0},
]
RNG = np.random.default_rng(0)


def flow(label, states=2, steps=5):
    decay = 0.5 ** np.arange(steps)[::-1]
    return SimpleNamespace(
        label=label,
        gradients={f"l/s{i}": decay * (i + 1) for i in range(states)},
        jacobians={f"l/s{i}": decay for i in range(states)},
        bias=[SimpleNamespace(steps=k, cosine=1 - 0.1 / k, norm_ratio=2 - 1 / k) for k in (1, 2, 4)],
    )


def curves(**given):
    return figures.learning_curves(
        ROWS, "bpc", "bits", baselines={"uni": {"bpc": 4.5}, "bi": {"bpc": 3.5}}, test=(2, 2.5), title="a run", **given
    )


def series():
    xs = np.arange(5)
    lines = [figures.Line(kind, kind, xs, xs * k) for k, kind in enumerate(("truth", "forecast", "free", "baseline"))]
    return figures.forecasts([figures.Panel("a", lines, 2.5)], "sun", times=[str(1900 + x) for x in xs], axis="year")


def gates(tokens=("t", "h", "e"), **options):
    values = {"$f_t$": RNG.random((len(tokens), 4)), "$h_t$": RNG.normal(size=(len(tokens), 4))}
    track = figures.Track("lstm0", values, {"$f_t$": (0.0, 1.0)})
    return figures.activations([track], list(tokens), "gates", **options), values


def maps():
    one = figures.AttentionMap(["$x$", " ", "\n"], ["é", "<end>"], np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]))
    return figures.attention_maps([one, one])


EVERY = {
    "curves": curves,
    "flow": lambda: figures.gradient_flow([flow("rnn"), flow("lstm")]),
    "updates": lambda: figures.gradient_flow(
        [flow("rnn")], {"rnn": {"clipped": SimpleNamespace(losses=np.array([2.0, 1.0]), diverged=True)}}
    ),
    "series": series,
    "gates": lambda: gates()[0],
    "words": lambda: gates(["the", "quick", "fox"])[0],
    "attention": maps,
    "confusion": lambda: figures.confusion_matrix(np.array([[5, 1], [2, 9]]), ["yes", "no"], "accuracy"),
    "scatter": lambda: figures.agreement(np.arange(4.0), np.arange(4.0) + 0.5, "y", "error"),
    "formulas": lambda: figures.formulas([("LSTM", [r"f_t = \sigma(W_f x_t)", "y_t = h_t"])]),
}


def visible(figure):
    figure.canvas.draw()
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_on_a_page_nothing_is_under_8_points(make):
    figure = make()
    assert figure.get_figwidth() <= style.WIDTH + 1e-6
    assert figure.get_figheight() <= style.TALLEST + 1e-6
    texts = visible(figure)
    assert texts
    assert min(text.get_fontsize() for text in texts) >= 8.0


@pytest.mark.parametrize("name", ["curves", "flow", "updates", "series"])
def test_lines_are_told_apart_on_grey_paper(name):
    for plot in EVERY[name]().axes:
        lines = [line for line in plot.lines if not line.get_label().startswith("_")]
        looks = [
            (line.get_linestyle(), line._unscaled_dash_pattern, line.get_marker(), line.get_linewidth())
            for line in lines
        ]
        assert len({str(look) for look in looks}) == len(lines), plot.get_title()


def test_the_house_style_leaves_the_users_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 3.0, "text.usetex": True, "axes.facecolor": "black"}):
        figure = curves()
    assert min(text.get_fontsize() for text in visible(figure)) >= 8.0
    assert figure.axes[0].get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    assert dict(matplotlib.rcParams) == before


def lightness(colour):
    """CIE L* of an sRGB colour (CIE 15:2004)."""
    rgb = np.array(colour[:3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = float(linear @ [0.2126, 0.7152, 0.0722])
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


def test_colour_maps_are_perceptually_uniform():
    steps = np.linspace(0, 1, 33)
    one = [lightness(style.sequential()(at)) for at in steps]
    assert one[0] > 99.5
    np.testing.assert_allclose(np.diff(one), np.diff(one).mean(), atol=0.5)
    two = np.array([lightness(style.diverging()(at)) for at in steps])
    assert two.argmax() == 16
    for half in (two[:17], two[16:]):
        np.testing.assert_allclose(np.diff(half), np.diff(half).mean(), atol=0.5)


def test_learning_curves_show_the_rows():
    (plot,) = curves().axes
    lines = {line.get_label(): line for line in plot.lines}
    np.testing.assert_array_equal(lines["training"].get_xydata(), [[1, 4], [2, 2]])
    np.testing.assert_array_equal(lines["validation"].get_xydata(), [[2, 3]])
    assert set(lines["uni, test: 4.5"].get_ydata()) == {4.5}
    assert lines["test: 2.5"].get_xydata().tolist() == [[2, 2.5]]
    assert plot.get_ylabel() == "bits\n(lower is better)"
    assert plot.get_yscale() == "linear"
    low, high = plot.get_ylim()
    assert low < 2
    assert high > 4.5


def test_a_measure_that_training_does_not_know_has_its_own_panel():
    rows = [{"step": 1, "split": "train", "loss": 100.0}, {"step": 2, "split": "train", "loss": 0.1},
            {"step": 2, "split": "valid", "accuracy": 0.5, "loss": 3.0}]  # fmt: skip
    loss, accuracy = figures.learning_curves(rows, "accuracy", "accuracy", lower_is_better=False).axes
    assert loss.get_ylabel() == "loss"
    assert loss.get_yscale() == "log"
    assert [line.get_ydata().tolist() for line in loss.lines] == [[100.0, 0.1], [3.0]]
    assert [line.get_ydata().tolist() for line in accuracy.lines] == [[0.5]]
    assert "higher is better" in accuracy.get_ylabel()


def test_a_run_without_rows_has_an_empty_figure():
    (plot,) = figures.learning_curves([], "x", "x").axes
    assert not plot.lines


def test_gradient_flow_shows_norms_by_step_and_by_lag():
    one = flow("rnn")
    one.gradients["l/s0"] = np.array([0.0, np.nan, 1.0, 2.0, 4.0])
    by_step, by_lag, bias, free = figures.gradient_flow([one]).axes
    np.testing.assert_array_equal(by_step.lines[0].get_ydata(), [np.nan, np.nan, 1.0, 2.0, 4.0])
    np.testing.assert_array_equal(by_lag.lines[0].get_ydata(), one.jacobians["l/s0"][::-1])
    assert by_step.get_yscale() == by_lag.get_yscale() == "log"
    assert bias.lines[0].get_xdata().tolist() == [1, 2, 4]
    assert [text.get_text() for text in free.get_legend().get_texts()] == ["s0", "s1"]


def test_forecasts_show_lines_and_name_times():
    (plot,) = series().axes
    assert [line.get_ydata().tolist() for line in plot.lines[:4]] == [[k * x for x in range(5)] for k in range(4)]
    assert [tick.get_text() for tick in plot.get_xticklabels()] == ["1900", "1901", "1902", "1903", "1904"]
    assert plot.lines[4].get_xdata() == [2.5, 2.5]
    assert plot.get_xlabel() == "year"


def test_activations_have_a_column_a_token():
    figure, values = gates(["t", " ", "\n"])
    panels = [plot for plot in figure.axes if plot.images]
    for plot, (label, expected) in zip(panels, values.items(), strict=True):
        np.testing.assert_array_equal(plot.images[0].get_array(), expected.T)
        assert plot.get_ylabel() == label
    assert panels[0].images[0].get_clim() == (0.0, 1.0)
    low, high = panels[1].images[0].get_clim()
    assert -low == high == np.abs(values["$h_t$"]).max()
    assert [tick.get_text() for tick in panels[-1].get_xticklabels()] == ["t", "␣", "↵"]
    assert panels[-1].get_xticks().tolist() == [0, 1, 2]


def test_more_steps_than_fit_are_cut_and_the_heading_says_so():
    figure, values = gates(["word"] * 90)
    shown = figure.axes[0].images[0].get_array().shape[1]
    assert 20 < shown < 90
    assert f"the first {shown} of 90 steps" in figure.get_suptitle()
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), values["$f_t$"][:shown].T)
    figure, _ = gates([str(t) for t in range(300)], times=True)
    assert figure.axes[0].images[0].get_array().shape == (4, 300)
    ticks = [plot for plot in figure.axes if plot.images][-1].get_xticklabels()
    assert [ticks[0].get_text(), ticks[-1].get_text()] == ["0", "299"]


def test_the_units_that_vary_most_are_the_same_in_every_panel():
    figure, values = gates(["t", "h", "e"], units=2)
    chosen = sorted(np.argsort(values["$h_t$"].std(0))[-2:])
    panels = [plot for plot in figure.axes if plot.images]
    for plot, all_of_them in zip(panels, values.values(), strict=True):
        np.testing.assert_array_equal(plot.images[0].get_array(), all_of_them[:, chosen].T)
        assert [tick.get_text() for tick in plot.get_yticklabels()] == [str(unit) for unit in chosen]


def test_two_directions_stand_side_by_side_and_long_ones_above_each_other():
    def places(length):
        values = {"$h_t$": RNG.random((length, 3))}
        pair = [figures.Track(name, values) for name in ("ahead", "back")]
        figure = figures.activations(pair, ["a"] * length)
        figure.canvas.draw()
        return [plot.get_position() for plot in figure.axes if plot.images and plot.get_title()]

    left, right = places(5)
    assert left.x1 < right.x0
    above, below = places(40)
    assert above.y0 > below.y1
    assert above.x0 == pytest.approx(below.x0)


def test_attention_shows_weights_and_visible_tokens():
    first, second, *_ = maps().axes
    np.testing.assert_allclose(first.images[0].get_array(), [[0.2, 0.3, 0.5], [0, 1, 0]])
    assert [tick.get_text() for tick in second.get_xticklabels()] == [r"\$x\$", "␣", "↵"]
    assert [tick.get_text() for tick in second.get_yticklabels()] == ["é", "∎"]


def test_confusion_colours_rows_by_their_share_and_counts_every_field():
    matrix = np.array([[3, 1], [0, 0]])
    plot = figures.confusion_matrix(matrix, ["yes", "no"]).axes[0]
    np.testing.assert_allclose(plot.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert [text.get_text() for text in plot.texts] == ["3", "1", "0", "0"]
    assert plot.get_xlabel() == "taken for"
    assert plot.get_ylabel() == "is"
    many = figures.confusion_matrix(np.eye(100, dtype=int), [f"class {i}" for i in range(100)])
    assert min(text.get_fontsize() for text in visible(many)) >= 8.0
    assert len(many.axes[0].get_xticks()) < 50


def test_scatter_has_a_point_an_example():
    plot = EVERY["scatter"]().axes[0]
    np.testing.assert_array_equal(plot.collections[0].get_offsets(), [[0, 0.5], [1, 1.5], [2, 2.5], [3, 3.5]])
    assert (plot.get_xlabel(), plot.get_ylabel()) == ("true y", "predicted y")


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, ending):
    for name in ("one", "two"):
        figures.save(curves(), tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_another_format_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"\.png, \.svg or \.pdf"):
        figures.save(curves(), tmp_path / "curves.gif")


def test_any_text_is_shown_as_it_is(tmp_path):
    hostile = ["$\\undefined$", "<script>alert(1)</script>", "漢字", "🙂", "a\u202eb", "]]>", "\x00"]
    matrix = np.eye(len(hostile), dtype=int)
    figure = figures.confusion_matrix(matrix, hostile, "$ & <b>\nsecond")
    figures.save(figure, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "\u202e" not in text
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()][1] == "<script>alert(1)</s…"
    assert figure.get_suptitle() == "\\$ & <b>\nsecond"


def test_importing_figures_loads_no_matplotlib():
    code = "import sys, tinyseq.figures, tinyseq.train; print('matplotlib' in sys.modules, 'jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_threads_that_draw_at_once_leave_settings_and_filters_as_they_were():
    """The second begins before the first has ended, if it may, and ends after it."""
    begun, other_begun, ended = threading.Event(), threading.Event(), threading.Event()

    @style.styled
    def first():
        begun.set()
        other_begun.wait(0.2)  # it may only wait
        return rcParams["font.size"]

    @style.styled
    def second():
        other_begun.set()
        ended.wait(0.2)
        return rcParams["font.size"]

    def leaving():
        found = first()
        ended.set()
        return found

    def following():
        wait(begun)
        found = second()
        wait(ended)
        return found

    before, filters = dict(rcParams), list(warnings.filters)
    assert style._STYLE["font.size"] != before["font.size"]
    assert side_by_side(leaving, following) == [style._STYLE["font.size"]] * 2
    assert dict(rcParams) == before
    assert warnings.filters == filters
