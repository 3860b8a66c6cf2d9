"""A text written token by token by a language model with an LSTM, in microseconds a token, beside others.

    python benchmarks/writing.py [--units 128 512] [--tokens 512] [--repeats 20]

One row, 65 classes, an embedding of 64, temperature 0.8, float32. Ours is what `tinyseq sample` calls.
ONNX Runtime runs a model of one step, its own LSTM operator, and NumPy chooses, as who exports a model does; JAX the
whole loop as one scan; NumPy the step by hand, its four gates in one product. All in one process and in turn, two
threads each, from the same draws; all write the same text but where a draw meets a boundary to rounding.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from side_by_side import interleaved

import tinyseq as ts
from tinyseq.threads import blas_threads
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.tasks.language_model import LanguageModel

CLASSES, EMBEDDING, TEMPERATURE, FIRST = 65, 64, 0.8, 3
Writes = Callable[[np.ndarray], np.ndarray]
Weights = dict[str, np.ndarray]


def model_of(units: int) -> tuple[Any, Any, Weights]:
    """Return a task, its untrained model, and the model's weights with the gates i, f, g, o side by side."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text.txt")
        path.write_text("".join(map(chr, range(48, 48 + CLASSES))) * 40, encoding="utf-8")
        config = {"task": "language_model", "data": {"path": str(path)}, "model": {"hidden_size": units}}
        task = LanguageModel(parse_config(config, {"train.batch_size": 2, "train.bptt.every": 8}))
        task.prepare()
    ts.seed(0)
    model = task.build().cast("float32").eval()
    model.head.W.assign(model.head.W * 8.0)
    cell = {name.rsplit(".", 1)[1]: p.numpy() for name, p in model.recurrent.named_parameters()}
    weights = {
        "E": model.embedding.W.numpy(),
        "W": np.concatenate([cell[f"W_{gate}"] for gate in "ifco"], 1),
        "b": np.concatenate([cell[f"b_{gate}"] for gate in "ifco"]),
        "V": model.head.W.numpy(),
        "a": model.head.b.numpy(),
    }
    return task, model, weights


def ours(backend: str, task: Any, model: Any) -> Writes:
    writer = type(task)(task.config)  # each has its own compiled loop
    writer.vocabulary = task.vocabulary

    def writes(draws: np.ndarray) -> np.ndarray:
        with ts.backend(backend):
            return writer.chosen(model, np.array([FIRST]), draws, TEMPERATURE)

    return writes


def choose(logits: np.ndarray, draw: float) -> int:
    scaled = (logits.astype(np.float64) - logits.max()) / TEMPERATURE
    reached = np.exp(scaled).cumsum()
    return int(reached.searchsorted(draw * reached[-1], side="right"))


def by_hand(weights: Weights) -> Writes:
    E, W, b, V, a = weights.values()
    n = V.shape[0]

    def writes(draws: np.ndarray) -> np.ndarray:
        hx, c, token = np.zeros(n + EMBEDDING, np.float32), np.zeros(n, np.float32), FIRST
        text = np.empty(len(draws), np.int64)
        for t, draw in enumerate(draws):
            hx[n:] = E[token]
            z = hx @ W
            z += b
            g = np.tanh(z[2 * n : 3 * n])
            z = 1.0 / (1.0 + np.exp(-z))
            c = z[n : 2 * n] * c + z[:n] * g
            h = hx[:n] = z[3 * n :] * np.tanh(c)
            text[t] = token = choose(h @ V + a, draw)
        return text

    return writes


def with_onnx(weights: Weights) -> Writes:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    E, W, b, V, a = weights.values()
    n = V.shape[0]

    def gates(x: np.ndarray) -> np.ndarray:
        """ONNX's order: i, o, f, g; rows are units."""
        i, f, g, o = np.split(x, 4, -1)
        return np.concatenate([i, o, f, g], -1).T[None].copy()

    constants = {
        "E": E, "W": gates(W[n:]), "R": gates(W[:n]), "V": V, "a": a, "one": np.array([1]),
        "B": np.concatenate([gates(b), np.zeros((1, 4 * n), np.float32)], 1),
    }  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["E", "token"], ["x"]),  # (1, 1, features)
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["", "h1", "c1"], hidden_size=n),
        helper.make_node("Squeeze", ["h1", "one"], ["y"]),
        helper.make_node("Gemm", ["y", "V", "a"], ["logits"]),
    ]
    state = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, n]) for name in ("h", "c")]
    after = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, n]) for name in ("h1", "c1")]
    graph = helper.make_graph(
        nodes,
        "step",
        [helper.make_tensor_value_info("token", TensorProto.INT64, [1, 1]), *state],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES]), *after],
        [numpy_helper.from_array(x, name) for name, x in constants.items()],
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def writes(draws: np.ndarray) -> np.ndarray:
        h = c = np.zeros((1, 1, n), np.float32)
        token = np.full((1, 1), FIRST)
        text = np.empty(len(draws), np.int64)
        for t, draw in enumerate(draws):
            logits, h, c = session.run(None, {"token": token, "h": h, "c": c})
            text[t] = token[0, 0] = choose(logits[0], draw)
        return text

    return writes


def with_jax(weights: Weights) -> Writes:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    E, W, b, V, a = map(jnp.asarray, weights.values())
    n = V.shape[0]

    def step(state: Any, draw: Any) -> Any:
        h, c, token = state
        i, f, g, o = jnp.split(jnp.concatenate([h, E[token]]) @ W + b, 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        logits = (h @ V + a).astype(jnp.float64)
        reached = jnp.cumsum(jnp.exp((logits - logits.max()) / TEMPERATURE))
        token = jnp.sum(reached <= draw * reached[-1])
        return (h, c, token), token

    zeros = jnp.zeros(n, jnp.float32)
    loop = jax.jit(lambda draws: jax.lax.scan(step, (zeros, zeros, jnp.int64(FIRST)), draws)[1])
    return lambda draws: np.asarray(loop(draws))


def measure(units: int, draws: np.ndarray, repeats: int) -> None:
    task, model, weights = model_of(units)
    writers: dict[str, Writes] = {name: ours(name, task, model) for name in ("llvm", "numpy")}
    writers["NumPy by hand"] = by_hand(weights)
    peers = (("onnxruntime", "ONNX Runtime, a step", with_onnx), ("jax", "JAX, one scan", with_jax))
    for module, name, make in peers:
        if importlib.util.find_spec(module):
            writers[name] = make(weights)
    texts = {name: writes(draws) for name, writes in writers.items()}
    for name, text in texts.items():
        alike = text == texts["NumPy by hand"]
        assert alike.all() or alike[:100].all(), f"{name} writes another text from token {alike.argmin()} on"
    times = interleaved({name: lambda w=w: w(draws) for name, w in writers.items()}, repeats)  # type: ignore[misc]
    print(f"\n{units} units, {len(draws)} tokens; us a token, and theirs / ours of minima")
    print(f"  {'':<22}{'min':>8}{'median':>9}{'to llvm':>9}{'to numpy':>10}")
    for name, t in times.items():
        low, middle = (1e6 * x / len(draws) for x in (min(t), median(t)))
        ratios = [min(t) / min(times[our]) for our in ("llvm", "numpy")]
        print(f"  {name:<22}{low:>8.1f}{middle:>9.1f}{ratios[0]:>9.2f}{ratios[1]:>10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    draws = np.random.default_rng(0).random(args.tokens)
    with blas_threads(2):
        for units in args.units:
            measure(units, draws, args.repeats)


if __name__ == "__main__":
    main()
