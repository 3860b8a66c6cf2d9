"""Equations of cells as LaTeX: those of the textbook, written here by hand, and those of cells of one's own."""

from __future__ import annotations

import cProfile
import pstats
import sys

import pytest
from matplotlib.mathtext import MathTextParser

import tinyseq as ts
from tinyseq import nn
from tinyseq.errors import DataError, GraphError
from tinyseq.nn.latex import display, equations_within
from tinyseq.nn.symbols import number, symbol
from tinyseq.ops.elementwise import clip, cos, exp, log1p, maximum, sigmoid, tanh, where

#: As the lecture, Hochreiter and Schmidhuber with Gers's forget gate, Cho and the others print them.
TEXTBOOK = {
    "rnn": [r"h_t = \tanh(W_{xh} x_t + W_{hh} h_{t-1} + b_h)", "y_t = h_t"],
    "lstm": [
        r"f_t = \sigma(W_f [h_{t-1}, x_t] + b_f)",
        r"i_t = \sigma(W_i [h_{t-1}, x_t] + b_i)",
        r"\tilde{c}_t = \tanh(W_c [h_{t-1}, x_t] + b_c)",
        r"o_t = \sigma(W_o [h_{t-1}, x_t] + b_o)",
        r"c_t = f_t \odot c_{t-1} + i_t \odot \tilde{c}_t",
        r"h_t = o_t \odot \tanh(c_t)",
        "y_t = h_t",
    ],
    "peephole_lstm": [
        r"f_t = \sigma(W_f [h_{t-1}, x_t] + p_f \odot c_{t-1} + b_f)",
        r"i_t = \sigma(W_i [h_{t-1}, x_t] + p_i \odot c_{t-1} + b_i)",
        r"\tilde{c}_t = \tanh(W_c [h_{t-1}, x_t] + b_c)",
        r"c_t = f_t \odot c_{t-1} + i_t \odot \tilde{c}_t",
        r"o_t = \sigma(W_o [h_{t-1}, x_t] + p_o \odot c_t + b_o)",
        r"h_t = o_t \odot \tanh(c_t)",
        "y_t = h_t",
    ],
    "gru": [
        r"r_t = \sigma(W_r [h_{t-1}, x_t] + b_r)",
        r"z_t = \sigma(W_z [h_{t-1}, x_t] + b_z)",
        r"\tilde{h}_t = \tanh(W_h [r_t \odot h_{t-1}, x_t] + b_h)",
        r"h_t = (1 - z_t) \odot h_{t-1} + z_t \odot \tilde{h}_t",
        "y_t = h_t",
    ],
    "indrnn": [r"h_t = \max(W x_t + u \odot h_{t-1} + b, 0)", "y_t = h_t"],
    "esn": [r"h_t = \tanh(W_{in} x_t + b_{in} + W h_{t-1})", "y_t = h_t"],
    "layernorm_rnn": [
        r"h_t = \tanh(\mathrm{norm}(W_{xh} x_t + W_{hh} h_{t-1}))",
        "y_t = h_t",
        r"\mathrm{norm} = \mathrm{LayerNorm}",
    ],
    "layernorm_lstm": [
        r"[f_t, i_t, o_t, g_t] = \mathrm{norm}_h(W_h h_{t-1}) + \mathrm{norm}_x(W_x x_t) + b",
        r"c_t = \sigma(f_t) \odot c_{t-1} + \sigma(i_t) \odot \tanh(g_t)",
        r"h_t = \sigma(o_t) \odot \tanh(\mathrm{norm}_c(c_t))",
        "y_t = h_t",
        *(rf"\mathrm{{norm}}_{i} = \mathrm{{LayerNorm}}" for i in "hxc"),
    ],
    "layernorm_gru": [
        r"[z_t, r_t] = \mathrm{norm}_h(W_h h_{t-1}) + \mathrm{norm}_x(W_x x_t) + b",
        r"\tilde{h}_t = \tanh(\mathrm{norm}_{xh}(W x_t) + \sigma(r_t) \odot \mathrm{norm}_{hh}(U h_{t-1}) + b_h)",
        r"h_t = (1 - \sigma(z_t)) \odot h_{t-1} + \sigma(z_t) \odot \tilde{h}_t",
        "y_t = h_t",
        *(rf"\mathrm{{norm}}_{i} = \mathrm{{LayerNorm}}" for i in ("h", "x", "{xh}", "{hh}")),
    ],
}


def readable(lines):
    """Each line is math that a program not ours can set, and prints without the name of an op or a Python object."""
    for line in lines:
        MathTextParser("agg").parse(f"${line}$")
        assert "matmul" not in line
        assert "object" not in line


@pytest.mark.parametrize("name", nn.CELLS)
def test_registered_cells_read_as_in_the_textbook(name):
    lines = nn.equations(nn.CELLS[name](3, 4))
    assert lines == TEXTBOOK[name]
    readable(lines)


def test_options_of_a_cell_are_seen():
    after = nn.equations(nn.GRUCell(3, 4, reset="after", update="old"))
    assert after[2:4] == [
        r"\tilde{h}_t = \tanh(W_{xh} x_t + b_h + r_t \odot (W_{hh} h_{t-1} + b_{hh}))",
        r"h_t = z_t \odot h_{t-1} + (1 - z_t) \odot \tilde{h}_t",
    ]
    assert nn.equations(nn.RNNCell(3, 4, nonlinearity="relu"))[0].startswith(r"h_t = \max(W_{xh}")
    leaky = nn.equations(nn.ESNCell(3, 4, leak=0.25))[0]
    assert leaky == r"h_t = 0.75\, h_{t-1} + 0.25\, \tanh(W_{in} x_t + b_{in} + W h_{t-1})"


def test_rows_keep_the_order_of_the_code():
    assert nn.equations(nn.LSTMCell(3, 4), columns=False)[0] == r"f_t = \sigma([h_{t-1}, x_t] W_f + b_f)"


class Mine(nn.Cell):
    """Helpers, layers, a plain tuple for a state, a name used twice, numbers, a closure."""

    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.V = nn.parameter(nn.init.zeros(input_size, hidden_size))
        self.alpha = nn.parameter(nn.init.zeros(hidden_size))

    def opened(self, hx):
        return sigmoid(self.gate(hx))

    def step(self, x, state):
        h, count = state
        u = self.opened(ts.concat([h, x], -1))
        a = x @ self.V
        a = tanh(a) / (self.alpha**2 + 1e-3)
        new = u * h + (1 - u) * a
        return exp(-new) * 0.5, (new, count + 1)

    def initial_state(self, batch):
        return ts.zeros(batch, self.hidden_size), ts.zeros(batch, 1)


def test_a_cell_of_ones_own():
    lines = nn.equations(Mine(3, 4))
    assert lines == [
        r"u_t = \sigma(W^{\mathrm{gate}} [h_{t-1}, x_t] + b^{\mathrm{gate}})",
        r"a_t = \tanh(V x_t) / (\alpha^{2} + 0.001)",
        r"h_t = u_t \odot h_{t-1} + (1 - u_t) \odot a_t",
        r"y_t = 0.5\, e^{-h_t}",
        r"\mathrm{count}_t = \mathrm{count}_{t-1} + 1",
    ]
    readable(lines)


class Odd(nn.Cell):
    def __init__(self):
        self.input_size = self.hidden_size = 3
        self.W = nn.parameter(nn.init.zeros(3, 3))
        self.v = nn.parameter(nn.init.zeros(3))

    def step(self, x, state):
        a, b = state["a<b>$"], state["k"]
        score = ts.softmax(a @ self.W, -1) @ self.v
        c = where(b > 0, clip(x, -1.0, 2.0), cos(b)) - (a - b)
        d = (a + b) @ self.W - -c + maximum(a, b) ** (c + 1) + ts.sign(a + b) ** 2
        return {"out": log1p(d), "other": x}, {"a<b>$": b, "k": ts.expand_dims(score, -1) * (a * 0.0 + 1.0 * b)}

    def initial_state(self, batch):
        return {"a<b>$": ts.zeros(batch, 3), "k": ts.zeros(batch, 3)}


def test_brackets_states_that_are_handed_on_and_hostile_names():
    lines = nn.equations(Odd())
    choice = r"(\min(\max(x_t, -1), 2) \text{ if } [k_{t-1} > 0] \text{ else } \cos(k_{t-1}))"
    assert lines == [
        r"\mathrm{score}_t = v^\top \mathrm{softmax}(W a_{b,t-1})",
        rf"c_t = {choice} - (a_{{b,t-1}} - k_{{t-1}})",
        r"d_t = W (a_{b,t-1} + k_{t-1}) - (-c_t) + \max(a_{b,t-1}, k_{t-1})^{c_t + 1} + "
        r"\operatorname{sign}(a_{b,t-1} + k_{t-1})^{2}",
        r"\mathrm{out}_t = \ln(1 + d_t)",
        r"k_t = \mathrm{score}_t \odot k_{t-1}",
        "a_{b,t} = k_{t-1}",
        r"\mathrm{other}_t = x_t",
    ]
    readable(lines)


def test_where_a_cell_is_read_makes_no_difference():
    with ts.scope("encoder"):
        assert nn.equations(nn.LayerNormRNNCell(3, 4)) == TEXTBOOK["layernorm_rnn"]


def test_layers_of_cells_are_numbered():
    lines = nn.equations(nn.Stack([nn.GRUCell(3, 4), nn.RNNCell(4, 4)]))
    assert lines[0] == r"r^{(0)}_t = \sigma(W^{(0)}_r [h^{(0)}_{t-1}, x_t] + b^{(0)}_r)"
    assert lines[-2:] == [
        r"h^{(1)}_t = \tanh(W^{(1)}_{xh} h^{(0)}_t + W^{(1)}_{hh} h^{(1)}_{t-1} + b^{(1)}_h)",
        "y_t = h^{(1)}_t",
    ]
    readable(lines)


def test_a_model_gives_the_equations_of_each_kind_of_cell_once():
    model = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    ((name, lines),) = equations_within(model)
    assert (name, lines) == ("LSTMCell", TEXTBOOK["lstm"])
    with pytest.raises(DataError, match="no cell"):
        equations_within(nn.Linear(2, 2))


def test_notebooks_show_a_cell_as_its_equations():
    shown = nn.RNNCell(3, 4)._repr_latex_()
    assert shown == display(TEXTBOOK["rnn"])
    assert shown.startswith("$$\\begin{aligned}\nh_t &= \\tanh(")
    assert shown.endswith(" \\\\\ny_t &= h_t\n\\end{aligned}$$")


class Looks(nn.RNNCell):
    def step(self, x, h):
        y, h = super().step(x, h)
        return (y if y.sum().item() > -1e9 else -y), h


def test_a_step_that_looks_at_values_has_no_equations():
    with pytest.raises(GraphError):
        nn.equations(Looks(2, 3))
    assert Looks(2, 3)._repr_latex_() is None
    assert "6 parameters" not in repr(Looks(2, 3))
    nameless = Looks(2, 3)
    del nameless.input_size
    with pytest.raises(DataError, match="input_size"):
        nn.equations(nameless)


def test_a_profiler_keeps_its_place():
    seen = []

    def profiler(frame, event, argument):
        seen.append(event)

    sys.setprofile(profiler)
    try:
        nn.equations(nn.RNNCell(2, 3))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    with cProfile.Profile() as profile:
        assert nn.equations(nn.RNNCell(2, 3)) == TEXTBOOK["rnn"]
        sorted([1])
    assert any("sorted" in entry[2] for entry in pstats.Stats(profile).stats)


@pytest.mark.parametrize(
    ("name", "time", "latex"),
    [
        ("h", "t", "h_t"), ("W_f", "", "W_f"), ("b_hh", "", "b_{hh}"), ("h_tilde", "t", r"\tilde{h}_t"),
        ("alpha_gate", "t", r"\alpha_{\mathrm{gate},t}"), ("context", "", r"\mathrm{context}"), ("h2", "t", "h_{2,t}"),
        ("out.W", "", r"W^{\mathrm{out}}"), ("cells.1.W_f", "", "W^{(1)}_f"), ("_x_", "", "x"), ("", "", "x"),
        ("a}{\\evil$<b>", "", r"a_{\mathrm{evil},b}"), ("gewicht_ü", "", r"\mathrm{gewicht}_ü"),
    ],
)  # fmt: skip
def test_names_become_symbols(name, time, latex):
    assert symbol(name, time) == latex
    MathTextParser("agg").parse(f"${latex}$")


def test_numbers_are_written_as_in_books():
    assert [number(v) for v in (1.0, -2, 0.5, 1e-5, -1e20, 2.5e-7)] == [
        "1", "-2", "0.5", "10^{-5}", "-10^{20}", r"2.5 \cdot 10^{-7}",
    ]  # fmt: skip
