"""What tests of other libraries' weights share: cells in plain NumPy, by the libraries' published equations."""

from __future__ import annotations

import numpy as np

Blocks = dict[str, np.ndarray]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-a))


def lstm(p: Blocks, x: np.ndarray, h: np.ndarray, c: np.ndarray, forget: float = 0.0) -> np.ndarray:
    """(time, input), h and c (hidden,): PyTorch's equations, W[g] @ x + b[g] + U[g] @ h + c[g] a gate."""
    ys = []
    for x_t in x.astype(np.float64):
        i, f, g, o = (p["W" + k] @ x_t + p["b" + k] + p["U" + k] @ h + p["c" + k] for k in "ifgo")
        if "pi" in p:
            i, f = i + p["pi"] * c, f + p["pf"] * c
        c = sigmoid(f + forget) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o + (p["po"] * c if "po" in p else 0.0)) * np.tanh(c)
        ys.append(h)
    return np.stack(ys)


def gru(p: Blocks, x: np.ndarray, h: np.ndarray, reset: str, z_weighs: str) -> np.ndarray:
    """ONNX's equations, linear_before_reset 0 ("before") and 1 ("after"); z weighs the old state or the new."""
    ys = []
    for x_t in x.astype(np.float64):
        r, z = (sigmoid(p["W" + k] @ x_t + p["b" + k] + p["U" + k] @ h + p["c" + k]) for k in "rz")
        if reset == "before":
            n = np.tanh(p["Wn"] @ x_t + p["bn"] + p["Un"] @ (r * h) + p["cn"])
        else:
            n = np.tanh(p["Wn"] @ x_t + p["bn"] + r * (p["Un"] @ h + p["cn"]))
        h = z * h + (1 - z) * n if z_weighs == "old" else (1 - z) * h + z * n
        ys.append(h)
    return np.stack(ys)


def plain(p: Blocks, x: np.ndarray, h: np.ndarray, nonlinearity: str = "tanh") -> np.ndarray:
    """Elman's equation."""
    ys = []
    for x_t in x.astype(np.float64):
        a = p["Wh"] @ x_t + p["bh"] + p["Uh"] @ h + p["ch"]
        h = np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0.0)
        ys.append(h)
    return np.stack(ys)
