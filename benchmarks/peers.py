"""A recurrent layer with a softmax head, as tinyseq compiles it and as PyTorch and JAX have it: what is timed.

Every peer is made from one ``problem``, so all have the same weights and data; a step computes the loss, summed over
batch and time, and its gradients, and returns the loss.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from side_by_side import Step, Times, interleaved, require_same

import tinyseq as ts
from tinyseq import nn, optim

Size = tuple[int, int, int, int]  # batch, time, inputs, hidden
CLASSES = 65
RATE = 1e-4
OURS: dict[str, Callable[[int, int], nn.Recurrent]] = {
    "lstm": nn.LSTM,
    "gru": lambda i, h: nn.GRU(i, h, update="old", reset="after"),  # PyTorch's form, so that values can be compared
    "rnn": nn.RNN,
}


def problem(kind: str, size: Size) -> tuple[str, nn.Recurrent, nn.Linear, np.ndarray, np.ndarray]:
    """A model, a head and data: what a peer is made of."""
    batch, steps, inputs, hidden = size
    ts.seed(0)
    model, head = OURS[kind](inputs, hidden), nn.Linear(hidden, CLASSES)
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((batch, steps, inputs)).astype(np.float32)
    return kind, model, head, xs, rng.integers(0, CLASSES, (batch, steps))


def ours(kind: str, model: nn.Recurrent, head: nn.Linear, xs: np.ndarray, targets: np.ndarray) -> Step:
    x, t = ts.tensor(xs), ts.tensor(targets)
    parameters = model.parameters() + head.parameters()

    def loss(x: ts.Tensor, t: ts.Tensor) -> ts.Tensor:
        return nn.cross_entropy(head(model(x)[0]), t)

    fast = ts.compile(loss)

    def step() -> float:
        for p in parameters:
            p.grad = None
        value = fast(x, t)
        value.backward()
        return float(value)

    step.fast = fast  # type: ignore[attr-defined]
    return step


def our_training(kind: str, model: nn.Recurrent, head: nn.Linear, xs: np.ndarray, targets: np.ndarray) -> Step:
    x, t = ts.tensor(xs), ts.tensor(targets)
    parameters = model.parameters() + head.parameters()
    adam = optim.Adam(parameters, lr=RATE)

    def train(x: ts.Tensor, t: ts.Tensor) -> ts.Tensor:
        loss = nn.cross_entropy(head(model(x)[0]), t)
        loss.backward()
        optim.clip_grad_norm(parameters, 1.0)
        adam.step()
        return loss

    fast = ts.compile(train)

    def step() -> float:
        return float(fast(x, t))

    step.fast = fast  # type: ignore[attr-defined]
    return step


def torch_modules(kind: str, model: nn.Recurrent, head: nn.Linear) -> tuple[Any, Any]:
    """PyTorch's layer and head, with our weights."""
    import torch

    torch.set_num_threads(2)
    layer = getattr(torch.nn, kind.upper())(model.input_size, model.hidden_size, batch_first=True)
    layer.load_state_dict({k: torch.tensor(v) for k, v in nn.to_torch(model).items()})
    linear = torch.nn.Linear(model.hidden_size, CLASSES)
    linear.load_state_dict({"weight": torch.tensor(head.W.numpy().T), "bias": torch.tensor(head.b.numpy().copy())})
    return layer, linear


def torch_training(kind: str, model: nn.Recurrent, head: nn.Linear, xs: np.ndarray, targets: np.ndarray) -> Step:
    import torch

    layer, linear = torch_modules(kind, model, head)
    x, t = torch.tensor(xs), torch.tensor(targets).reshape(-1)
    parameters = [*layer.parameters(), *linear.parameters()]
    adam = torch.optim.Adam(parameters, lr=RATE)

    def step() -> float:
        adam.zero_grad()
        logits = linear(layer(x)[0]).reshape(-1, CLASSES)
        value = torch.nn.functional.cross_entropy(logits, t, reduction="sum")
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        return value.item()

    return step


def torch_layer(kind: str, model: nn.Recurrent, head: nn.Linear, xs: np.ndarray, targets: np.ndarray) -> Step:
    import torch

    layer, linear = torch_modules(kind, model, head)
    x, t = torch.tensor(xs), torch.tensor(targets).reshape(-1)

    def step() -> float:
        layer.zero_grad()
        linear.zero_grad()
        logits = linear(layer(x)[0]).reshape(-1, CLASSES)
        value = torch.nn.functional.cross_entropy(logits, t, reduction="sum")
        value.backward()
        return value.item()

    return step


def torch_eager_lstm(kind: str, model: nn.Recurrent, head: nn.Linear, xs: np.ndarray, targets: np.ndarray) -> Step:
    import torch

    cell = model.layers[0][0]
    p = {name: torch.tensor(v.numpy().copy(), requires_grad=True) for name, v in cell.named_parameters()}
    p |= {name: torch.tensor(v.numpy().copy(), requires_grad=True) for name, v in head.named_parameters()}
    x, t = torch.tensor(xs), torch.tensor(targets).reshape(-1)

    def step() -> float:
        for v in p.values():
            v.grad = None
        h = c = torch.zeros(x.shape[0], model.hidden_size)
        ys = []
        for i in range(x.shape[1]):
            hx = torch.cat([h, x[:, i]], 1)
            f, g, o = (torch.sigmoid(hx @ p[f"W_{k}"] + p[f"b_{k}"]) for k in "fio")
            c = f * c + g * torch.tanh(hx @ p["W_c"] + p["b_c"])
            h = o * torch.tanh(c)
            ys.append(h)
        logits = (torch.stack(ys, 1) @ p["W"] + p["b"]).reshape(-1, CLASSES)
        value = torch.nn.functional.cross_entropy(logits, t, reduction="sum")
        value.backward()
        return value.item()

    return step


def jax_scan(kind: str, model: nn.Recurrent, head: nn.Linear, xs: np.ndarray, targets: np.ndarray) -> Step:
    """`jit` of a `lax.scan` written by hand: input projections before the loop, one product a step."""
    import jax
    import jax.numpy as jnp

    def lstm(p: dict[str, Any], carry: Any, a: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(a + h @ p["Wh"], 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(p: dict[str, Any], h: Any, a: Any) -> Any:
        xr, xz, xn = jnp.split(a, 3, axis=1)
        hr, hz, hn = jnp.split(h @ p["Wh"] + p["bh"], 3, axis=1)
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        h = (1.0 - z) * jnp.tanh(xn + r * hn) + z * h
        return h, h

    state = {k: jnp.asarray(v) for k, v in nn.to_torch(model).items()}
    p = {"Wx": state["weight_ih_l0"].T, "Wh": state["weight_hh_l0"].T, "b": state["bias_ih_l0"]}
    p |= {"V": jnp.asarray(head.W.numpy()), "d": jnp.asarray(head.b.numpy())}
    x, t = jnp.asarray(xs.swapaxes(0, 1)), jnp.asarray(targets.swapaxes(0, 1))
    zero = jnp.zeros((x.shape[1], model.hidden_size), jnp.float32)
    one, start = {"lstm": (lstm, (zero, zero)), "gru": (gru, zero)}[kind]
    if kind == "lstm":
        p["b"] += state["bias_hh_l0"]
    else:  # the reset gate acts on the recurrent bias, so that one stays in the loop
        p["bh"] = state["bias_hh_l0"]

    def loss(p: dict[str, Any]) -> Any:
        _, hs = jax.lax.scan(functools.partial(one, p), start, x @ p["Wx"] + p["b"])
        logp = jax.nn.log_softmax(hs @ p["V"] + p["d"])
        return -jnp.take_along_axis(logp, t[..., None], -1).sum()

    both = jax.jit(jax.value_and_grad(loss))

    def step() -> float:
        value, grads = both(p)
        jax.block_until_ready(grads)
        return float(value)

    return step


# -- measuring ---------------------------------------------------------------------------------------------------------


def timed(steps: dict[str, Step], repeats: int) -> Times:
    """Check that all compute what the first does, then run them in turn, five calls a turn.

    The first calls of a turn find the caches full of another's data and another's threads still spinning.
    """
    require_same({name: step() for name, step in steps.items()}, next(iter(steps)), tolerance=2e-3)
    return interleaved(steps, repeats, calls=5)


def flops(kind: str, size: Size) -> float:
    """The operations of the products of forward and backward."""
    batch, steps, inputs, hidden = size
    lanes = {"lstm": 4, "gru": 3, "rnn": 1}[kind]
    return 3.0 * 2 * batch * steps * hidden * ((inputs + hidden) * lanes + CLASSES)


@functools.cache
def sgemm_rate() -> float:
    """The best FLOP/s of a large float32 product here, two threads."""
    a = np.ones((2048, 2048), np.float32)
    out = np.empty_like(a)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        np.matmul(a, a, out)
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best
