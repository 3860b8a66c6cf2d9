"""Cells against ONNX's operators RNN, LSTM (peepholes too) and GRU, as onnxruntime computes them.

An implementation independent of PyTorch's, and the only one with peepholes and with both places of the reset gate.
Weights are random without symmetry, first states not zero, lengths unequal: the cases published with ONNX have constant
weights, which hide a wrong order of gates. onnxruntime computes in float32 only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install tinyseq[parity]")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install tinyseq[parity]")

pytestmark = pytest.mark.parity

BATCH, TIME, INPUT, HIDDEN = 4, 7, 3, 5
LENGTHS = [7, 2, 5, 1]
CLOSE = {"rtol": 2e-5, "atol": 2e-6}
Weights = dict[str, np.ndarray]


def run(operator: str, inputs: dict[str, np.ndarray | None], outputs: list[str], **attributes: Any) -> list[np.ndarray]:
    """Run one ONNX operator; ``inputs`` in the operator's order, None where left out."""
    given = {name: array for name, array in inputs.items() if array is not None}
    names = [name if array is not None else "" for name, array in inputs.items()]
    while not names[-1]:
        names.pop()
    node = onnx.helper.make_node(operator, names, outputs, hidden_size=HIDDEN, **attributes)
    kinds = {np.dtype(np.float32): onnx.TensorProto.FLOAT, np.dtype(np.int32): onnx.TensorProto.INT32}
    graph = onnx.helper.make_graph(
        [node],
        operator,
        [onnx.helper.make_tensor_value_info(name, kinds[array.dtype], array.shape) for name, array in given.items()],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: list[np.ndarray] = session.run(outputs, given)
    return result


def randomized(cell: nn.Cell, rng: np.random.Generator) -> nn.Cell:
    state = {path: rng.normal(0.1, 0.6, value.shape) for path, value in cell.state_dict().items()}
    cell.load_state_dict(state)
    return cell


def gates(cell: Any, order: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W (gates, input), R (gates, hidden) and the biases Wb, Rb of a cell whose gates act on [h, x]."""
    W = np.concatenate([getattr(cell, f"W_{gate}").numpy() for gate in order], axis=1).T
    b = np.concatenate([getattr(cell, f"b_{gate}").numpy() for gate in order])
    return W[:, HIDDEN:], W[:, :HIDDEN], np.concatenate([b, np.zeros_like(b)])


def rnn_weights(cell: Any) -> Weights:
    b = cell.b_h.numpy()
    return {"W": cell.W_xh.numpy().T, "R": cell.W_hh.numpy().T, "B": np.concatenate([b, np.zeros_like(b)])}


def lstm_weights(cell: Any) -> Weights:
    W, R, B = gates(cell, "iofc")
    weights = {"W": W, "R": R, "B": B}
    if hasattr(cell, "p_i"):
        weights["P"] = np.concatenate([cell.p_i.numpy(), cell.p_o.numpy(), cell.p_f.numpy()])
    return weights


def gru_weights(cell: Any) -> Weights:
    if cell.reset == "before":
        W, R, B = gates(cell, "zrh")
    else:
        W, R, B = gates(cell, "zr")
        W = np.concatenate([W, cell.W_xh.numpy().T])
        R = np.concatenate([R, cell.W_hh.numpy().T])
        zeros = np.zeros(2 * HIDDEN)
        input_bias = np.concatenate([cell.b_z.numpy(), cell.b_r.numpy(), cell.b_h.numpy()])
        B = np.concatenate([input_bias, zeros, cell.b_hh.numpy()])
    if cell.update == "new":  # ONNX's z weighs the old state: 1 - z is σ of minus the argument
        z = slice(0, HIDDEN)
        W, R, B = W.copy(), R.copy(), B.copy()
        W[z], R[z], B[z] = -W[z], -R[z], -B[z]
    return {"W": W, "R": R, "B": B}


CASES: dict[str, tuple[str, str, dict[str, Any], Any, dict[str, Any]]] = {
    "rnn-tanh": ("rnn", "RNN", {}, rnn_weights, {"activations": ["Tanh"]}),
    "rnn-relu": ("rnn", "RNN", {"nonlinearity": "relu"}, rnn_weights, {"activations": ["Relu"]}),
    "lstm": ("lstm", "LSTM", {}, lstm_weights, {}),
    "peephole": ("peephole_lstm", "LSTM", {}, lstm_weights, {}),
    "gru-before-old": ("gru", "GRU", {"update": "old"}, gru_weights, {"linear_before_reset": 0}),
    "gru-before-new": ("gru", "GRU", {"update": "new"}, gru_weights, {"linear_before_reset": 0}),
    "gru-after-old": ("gru", "GRU", {"update": "old", "reset": "after"}, gru_weights, {"linear_before_reset": 1}),
    "gru-after-new": ("gru", "GRU", {"update": "new", "reset": "after"}, gru_weights, {"linear_before_reset": 1}),
}


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "unequal"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("case", CASES)
def test_against_the_operator(case: str, direction: str, lengths: list[int] | None) -> None:
    kind, operator, options, convert, attributes = CASES[case]
    rng = np.random.default_rng(7)
    two = direction == "bidirectional"
    count = 1 + two
    model = nn.Recurrent(kind, INPUT, HIDDEN, bidirectional=two, **options)
    cells = [randomized(cell, rng) for cell in model.layers[0]]
    parts = 2 if operator == "LSTM" else 1
    first = rng.normal(0.2, 0.7, (parts, count, BATCH, HIDDEN)).astype(np.float32)
    xs = rng.normal(size=(BATCH, TIME, INPUT)).astype(np.float32)
    make = (lambda *s: nn.LSTMState(*s)) if parts == 2 else (lambda s: s)
    states = tuple(make(*(ts.tensor(first[part, i]) for part in range(parts))) for i in range(count))

    if direction == "reverse":
        ys, last = ts.unroll(cells[0], ts.tensor(xs), states[0], lengths=lengths, reverse=True)
        lasts = [last]
    else:
        ys, deep = model(ts.tensor(xs), (states,), lengths=lengths)
        lasts = list(deep[0])

    weights = [convert(cell) for cell in cells]
    stacked = {key: np.stack([w[key] for w in weights]).astype(np.float32) for key in weights[0]}
    inputs: dict[str, np.ndarray | None] = {
        "X": np.ascontiguousarray(xs.swapaxes(0, 1)),
        "W": stacked["W"],
        "R": stacked["R"],
        "B": stacked["B"],
        "sequence_lens": None if lengths is None else np.array(lengths, dtype=np.int32),
        "initial_h": first[0],
    }
    if operator == "LSTM":
        inputs |= {"initial_c": first[1], "P": stacked.get("P")}
    if "activations" in attributes:
        attributes = {"activations": attributes["activations"] * count}
    outputs = ["Y", "Y_h", "Y_c"][: 1 + parts]
    Y, *finals = run(operator, inputs, outputs, direction=direction, **attributes)

    # Y is (time, directions, batch, hidden).
    expected = Y.transpose(2, 0, 1, 3).reshape(BATCH, TIME, count * HIDDEN)
    np.testing.assert_allclose(ys.numpy(), expected, **CLOSE)
    for i, last in enumerate(lasts):
        for part, mine in enumerate(last if parts == 2 else (last,)):
            np.testing.assert_allclose(mine.numpy(), finals[part][i], **CLOSE, err_msg=f"direction {i}, part {part}")


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-a))


@pytest.mark.parametrize("reset_after", [False, True])
def test_keras_gru_by_its_documented_equations(reset_after: bool) -> None:
    """Keras: z, r as everywhere; reset_after=True applies r to (h U + b_rec); h' = z h + (1 - z) h~.

    The kernels are laid out (input, 3 units) in the order z, r, h; with reset_after the bias is (2, 3 units).
    """
    rng = np.random.default_rng(3)
    kernel = rng.normal(size=(INPUT, 3 * HIDDEN))
    recurrent = rng.normal(size=(HIDDEN, 3 * HIDDEN))
    bias = rng.normal(size=(2, 3 * HIDDEN) if reset_after else (3 * HIDDEN,))
    x, h = rng.normal(size=(BATCH, INPUT)), rng.normal(size=(BATCH, HIDDEN))

    x_z, x_r, x_h = np.split(x @ kernel + (bias[0] if reset_after else bias), 3, axis=-1)
    if reset_after:
        h_z, h_r, h_h = np.split(h @ recurrent + bias[1], 3, axis=-1)
        z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
        candidate = np.tanh(x_h + r * h_h)
    else:
        U_z, U_r, U_h = np.split(recurrent, 3, axis=-1)
        z, r = sigmoid(x_z + h @ U_z), sigmoid(x_r + h @ U_r)
        candidate = np.tanh(x_h + (r * h) @ U_h)
    expected = z * h + (1 - z) * candidate

    cell = nn.GRUCell(INPUT, HIDDEN, update="old", reset="after" if reset_after else "before").cast(np.float64)
    (K_z, K_r, K_h), (U_z, U_r, U_h) = np.split(kernel, 3, axis=1), np.split(recurrent, 3, axis=1)
    b = np.split(bias.sum(0) if reset_after else bias, 3)
    state = {"W_z": np.concatenate([U_z, K_z]), "W_r": np.concatenate([U_r, K_r]), "b_z": b[0], "b_r": b[1]}
    if reset_after:
        state |= {"W_hh": U_h, "W_xh": K_h, "b_h": np.split(bias[0], 3)[2], "b_hh": np.split(bias[1], 3)[2]}
    else:
        state |= {"W_h": np.concatenate([U_h, K_h]), "b_h": b[2]}
    cell.load_state_dict(state)
    np.testing.assert_allclose(cell.step(ts.tensor(x), ts.tensor(h))[0].numpy(), expected, rtol=1e-12, atol=1e-13)
