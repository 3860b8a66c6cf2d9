"""Compiled textbook cells beside hand-tuned libraries: forward, backward, softmax head of 65 classes.

    python benchmarks/compiled.py [--repeats 8] [--only lstm] [--no-jax] [--no-training]

One process, all peers in turn, again and again, five calls a turn (the first calls of a turn find the caches full of
another's data and another's threads still spinning); minima (and medians) of each, and the ratio time of the other /
ours (above 1: we are ahead). PyTorch runs its hand-written `nn.LSTM`, `nn.GRU`, `nn.RNN` with two threads, and the
textbook cell eagerly; JAX runs `jit` of a hand-written `lax.scan`. Every peer computes the same loss on the same
numbers; a disagreement stops the run. Then the whole training step: the same with gradient clipping and Adam, ours as
one compiled function. Last, how long the passes and the plan take for short and long sequences, and what an instruction
of a loop costs where it computes next to nothing (B = I = H = 1). At H=512 run it with
MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_TOP_PAD_=500000000, or page faults are what
is measured.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq import nn, optim

CLASSES = 65
RATE = 1e-4
CASES = [
    ("lstm", (32, 64, 64, 128)),
    ("lstm", (64, 100, 128, 512)),
    ("lstm", (1, 50, 16, 32)),
    ("gru", (32, 64, 64, 128)),
    ("gru", (1, 50, 16, 32)),
    ("rnn", (32, 64, 64, 128)),
    ("rnn", (1, 50, 16, 32)),
]
OURS: dict[str, Callable[[int, int], nn.Recurrent]] = {
    "lstm": nn.LSTM,
    "gru": lambda i, h: nn.GRU(i, h, update="old", reset="after"),  # PyTorch's form, so that values can be compared
    "rnn": nn.RNN,
}
Step = Callable[[], float]


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


def jax_scan_lstm(kind: str, model: nn.Recurrent, head: nn.Linear, xs: np.ndarray, targets: np.ndarray) -> Step:
    import jax
    import jax.numpy as jnp

    state = {k: jnp.asarray(v) for k, v in nn.to_torch(model).items()}
    p = {
        "Wx": state["weight_ih_l0"].T,
        "Wh": state["weight_hh_l0"].T,
        "b": state["bias_ih_l0"] + state["bias_hh_l0"],
        "V": jnp.asarray(head.W.numpy()),
        "d": jnp.asarray(head.b.numpy()),
    }
    x, t = jnp.asarray(xs.swapaxes(0, 1)), jnp.asarray(targets.swapaxes(0, 1))

    def loss(p: dict[str, Any]) -> Any:
        projected = x @ p["Wx"] + p["b"]

        def step(carry: Any, a: Any) -> Any:
            h, c = carry
            i, f, g, o = jnp.split(a + h @ p["Wh"], 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((x.shape[1], model.hidden_size), jnp.float32)
        _, hs = jax.lax.scan(step, (zero, zero), projected)
        logp = jax.nn.log_softmax(hs @ p["V"] + p["d"])
        return -jnp.take_along_axis(logp, t[..., None], -1).sum()

    both = jax.jit(jax.value_and_grad(loss))

    def step() -> float:
        value, grads = both(p)
        jax.block_until_ready(grads)
        return float(value)

    return step


PEERS: dict[str, tuple[Callable[..., Step], tuple[str, ...]]] = {
    "tinyseq compiled": (ours, ("lstm", "gru", "rnn")),
    "PyTorch layer": (torch_layer, ("lstm", "gru", "rnn")),
    "PyTorch eager": (torch_eager_lstm, ("lstm",)),
    "JAX lax.scan": (jax_scan_lstm, ("lstm",)),
}
TRAINERS: dict[str, tuple[Callable[..., Step], tuple[str, ...]]] = {
    "tinyseq compiled": (our_training, ("lstm", "gru", "rnn")),
    "PyTorch layer": (torch_training, ("lstm", "gru", "rnn")),
}


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


def problem(kind: str, size: tuple[int, int, int, int]) -> tuple[str, nn.Recurrent, nn.Linear, np.ndarray, np.ndarray]:
    """A model, a head and data: what a peer is made of."""
    batch, steps, inputs, hidden = size
    ts.seed(0)
    model, head = OURS[kind](inputs, hidden), nn.Linear(hidden, CLASSES)
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((batch, steps, inputs)).astype(np.float32)
    return kind, model, head, xs, rng.integers(0, CLASSES, (batch, steps))


def compare(
    kind: str,
    size: tuple[int, int, int, int],
    repeats: int,
    leave_out: set[str],
    makers: Mapping[str, tuple[Callable[..., Step], tuple[str, ...]]],
    title: str,
) -> None:
    batch, steps, inputs, hidden = size
    _, model, head, xs, targets = problem(kind, size)
    peers: dict[str, Step] = {}
    for name, (make, kinds) in makers.items():
        if kind in kinds and name not in leave_out and not (name == "JAX lax.scan" and hidden > 256):
            try:
                peers[name] = make(kind, model, head, xs, targets)
            except ImportError as error:
                print(f"  {name}: left out ({error})")
    losses = {name: step() for name, step in peers.items()}
    for name, loss in losses.items():
        assert abs(loss - losses["tinyseq compiled"]) < 2e-3 * abs(loss), f"{name}: {loss} is not {losses}"
    times: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(repeats):
        for name, step in peers.items():
            for _ in range(5):
                start = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - start)
    mine = times["tinyseq compiled"]
    fast = peers["tinyseq compiled"].fast  # type: ignore[attr-defined]
    flops = 3 * 2 * batch * steps * (inputs + hidden) * hidden * {"lstm": 4, "gru": 3, "rnn": 1}[kind]
    flops += 3 * 2 * batch * steps * hidden * CLASSES
    passes = sum(stage.seconds for stage in fast.passes)
    print(f"\n{kind.upper()}{title}  B,T,I,H = {size}  ({repeats} interleaved repeats)")
    rate = flops / min(mine)
    calls = sum(len(i.body) * i.length if hasattr(i, "body") else 1 for i in fast.plan.instructions)
    print(
        f"  passes {passes * 1e3:.0f} ms, planned memory {fast.plan.memory / 1e6:.1f} MB, {calls} kernel calls,"
        f" {rate / 1e9:.0f} GFLOP/s = {rate / sgemm_rate():.0%} of this machine's sgemm rate"
    )
    print(f"  {'':<18}{'min ms':>9}{'median ms':>11}{'theirs/ours':>13}{'by median':>11}")
    for name, t in times.items():
        ratio = f"{min(t) / min(mine):>13.2f}{median(t) / median(mine):>11.2f}"
        print(f"  {name:<18}{min(t) * 1e3:>9.2f}{median(t) * 1e3:>11.2f}{ratio}")


def compile_times() -> None:
    """Print how long the passes and the plan take, for a short sequence and a long one."""
    print("\nSeconds to compile the textbook LSTM (trace, passes, plan), B,I,H = 32, 64, 128")
    for steps in (64, 1024):
        step = ours(*problem("lstm", (32, steps, 64, 128)))
        step()
        entry = step.fast.last  # type: ignore[attr-defined]
        print(
            f"  T = {steps:<6}{entry.seconds:.3f}, of which passes {sum(s.seconds for s in entry.compiled.stages):.3f}"
        )


def instruction_cost() -> None:
    """Print what a loop's instruction costs where it computes next to nothing: Python's call and NumPy's."""
    step = ours(*problem("lstm", (1, 1000, 1, 1)))
    step()
    executable = step.fast.last.idle[0]  # type: ignore[attr-defined]
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for function, arguments in executable.calls:
            function(*arguments)
        best = min(best, time.perf_counter() - start)
    print(f"\nAn instruction of a loop at B = I = H = 1: {best / len(executable.calls) * 1e6:.2f} microseconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--only", choices=sorted(OURS))
    parser.add_argument("--no-jax", action="store_true")
    parser.add_argument("--no-training", action="store_true")
    options = parser.parse_args()
    for kind, size in CASES:
        if options.only in (None, kind):
            compare(kind, size, options.repeats, {"JAX lax.scan"} if options.no_jax else set(), PEERS, "")
    for kind, size in () if options.no_training else CASES[:4]:
        if options.only in (None, kind):
            compare(kind, size, options.repeats, set(), TRAINERS, ", training step with clipping and Adam")
    compile_times()
    instruction_cost()


if __name__ == "__main__":
    main()
