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
import time
from collections.abc import Callable, Mapping

from peers import (
    OURS,
    Size,
    flops,
    jax_scan,
    our_training,
    ours,
    problem,
    sgemm_rate,
    timed,
    torch_eager_lstm,
    torch_layer,
    torch_training,
)
from side_by_side import Step, print_table

CASES = [
    ("lstm", (32, 64, 64, 128)),
    ("lstm", (64, 100, 128, 512)),
    ("lstm", (1, 50, 16, 32)),
    ("gru", (32, 64, 64, 128)),
    ("gru", (1, 50, 16, 32)),
    ("rnn", (32, 64, 64, 128)),
    ("rnn", (1, 50, 16, 32)),
]
PEERS: dict[str, tuple[Callable[..., Step], tuple[str, ...]]] = {
    "tinyseq compiled": (ours, ("lstm", "gru", "rnn")),
    "PyTorch layer": (torch_layer, ("lstm", "gru", "rnn")),
    "PyTorch eager": (torch_eager_lstm, ("lstm",)),
    "JAX lax.scan": (jax_scan, ("lstm",)),
}
TRAINERS: dict[str, tuple[Callable[..., Step], tuple[str, ...]]] = {
    "tinyseq compiled": (our_training, ("lstm", "gru", "rnn")),
    "PyTorch layer": (torch_training, ("lstm", "gru", "rnn")),
}


def compare(
    kind: str,
    size: Size,
    repeats: int,
    leave_out: set[str],
    makers: Mapping[str, tuple[Callable[..., Step], tuple[str, ...]]],
    title: str,
) -> None:
    given = problem(kind, size)
    peers: dict[str, Step] = {}
    for name, (make, kinds) in makers.items():
        if kind in kinds and name not in leave_out and not (name == "JAX lax.scan" and size[3] > 256):
            try:
                peers[name] = make(*given)
            except ImportError as error:
                print(f"  {name}: left out ({error})")
    times = timed(peers, repeats)
    fast = peers["tinyseq compiled"].fast  # type: ignore[attr-defined]
    passes = sum(stage.seconds for stage in fast.passes)
    rate = flops(kind, size) / min(times["tinyseq compiled"])
    calls = sum(len(i.body) * i.length if hasattr(i, "body") else 1 for i in fast.plan.instructions)
    facts = (
        f"  passes {passes * 1e3:.0f} ms, planned memory {fast.plan.memory / 1e6:.1f} MB, {calls} kernel calls,"
        f" {rate / 1e9:.0f} GFLOP/s = {rate / sgemm_rate():.0%} of this machine's sgemm rate"
    )
    heading = f"{kind.upper()}{title}  B,T,I,H = {size}  ({repeats} interleaved repeats)"
    print_table(f"{heading}\n{facts}", times, "tinyseq compiled", speedup=True)


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
