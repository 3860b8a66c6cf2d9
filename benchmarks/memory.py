"""Memory of a compiled training step: planned, measured by tracemalloc, and the growth of the process beside PyTorch's.

    python benchmarks/memory.py [--lengths]

Each figure of a process is taken in a fresh one: how far forward and backward of the textbook LSTM with a softmax head
raise ``ru_maxrss`` beyond what importing and making weights and data had taken. Then, with recomputation, what the plan
takes for T = 100 to 10,000. Four arrays have to be there at any rate: outputs, their squares' gradient, and a copy of
each in the order of time; what comes on top grows as the square root of T, until it fits into memory already taken.
``--lengths`` instead: how far 1 to 200 steps in turn, each compiled, raise the memory in use (Linux).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tracemalloc

SIZE = (64, 100, 128, 512)
CLASSES = 65


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def grown_ours(traced: bool) -> None:
    import tinyseq as ts
    from tinyseq import nn

    batch, steps, inputs, hidden = SIZE
    model, head = nn.LSTM(inputs, hidden), nn.Linear(hidden, CLASSES)
    x, t = ts.randn(batch, steps, inputs), ts.zeros(batch, steps, dtype=ts.int64)
    fast = ts.compile(lambda x, t: nn.cross_entropy(head(model(x)[0]), t))
    before = peak()
    if traced:
        tracemalloc.start()
    for _ in range(2):
        model.zero_grad()
        fast(x, t).backward()
    if traced:
        given = sum(b.nbytes for b in fast.plan.buffers if b.kind == "input")
        print(f"{fast.plan.memory / 1e6} {tracemalloc.get_traced_memory()[1] / 1e6} {given / 1e6}")
    else:
        print(peak() - before)


def grown_torch() -> None:
    import torch

    batch, steps, inputs, hidden = SIZE
    torch.set_num_threads(2)
    model, head = torch.nn.LSTM(inputs, hidden, batch_first=True), torch.nn.Linear(hidden, CLASSES)
    x, t = torch.randn(batch, steps, inputs), torch.zeros(batch * steps, dtype=torch.int64)
    before = peak()
    for _ in range(2):
        model.zero_grad()
        torch.nn.functional.cross_entropy(head(model(x)[0]).reshape(-1, CLASSES), t).backward()
    print(peak() - before)


def planned(steps: int, recompute: bool) -> float:
    """MB of a plan beyond inputs."""
    import tinyseq as ts
    from tinyseq import nn
    from tinyseq.compiler.capture import trace_function
    from tinyseq.compiler.pipeline import run_passes
    from tinyseq.compiler.planning import make_plan

    batch, inputs, hidden = 8, 32, 64
    model = nn.LSTM(inputs, hidden)
    traced = trace_function(lambda x: (model(x)[0] ** 2).sum(), (ts.zeros(batch, steps, inputs),), {})
    plan = make_plan(run_passes(traced.graph, list(traced.captured.values()), recompute=recompute).graph, 1)
    given = sum(b.nbytes for b in plan.buffers if b.kind == "input")
    return (plan.memory - given) / 1e6


def grown_by_lengths(backend: str) -> None:
    """Forward and backward of an LSTM of 1 to 200 steps in turn: MB beyond those of 200 steps alone, at the most."""
    import warnings

    import tinyseq as ts
    from tinyseq import nn

    def now() -> float:
        with open("/proc/self/statm", encoding="ascii") as told:
            return int(told.read().split()[1]) * resource.getpagesize() / 1e6

    warnings.simplefilter("ignore", ts.compiler.function.CompileWarning)
    batch, inputs, hidden = 32, 64, 128
    with ts.backend(backend):
        model = nn.LSTM(inputs, hidden)
        fast = ts.compile(lambda x: (model(x)[0] ** 2).sum())

        def step(steps: int) -> float:
            fast(ts.zeros(batch, steps, inputs)).backward()
            model.zero_grad()
            return now()

        alone = [step(200) for _ in range(3)][-1]
        print(max(step(steps) for steps in range(1, 201)) - alone)


def in_a_process(what: str) -> list[float]:
    done = subprocess.run([sys.executable, __file__, "--child", what], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", choices=["ours", "traced", "torch", "numpy", "llvm"], help=argparse.SUPPRESS)
    parser.add_argument("--lengths", action="store_true", help="only: 1 to 200 steps in turn, numpy and llvm")
    options = parser.parse_args()
    child = options.child
    if options.lengths:
        print("LSTM of 1 to 200 steps in turn, B,I,H = 32, 64, 128: MB beyond those of 200 steps alone, at the most")
        for backend in ("numpy", "llvm"):
            print(f"  {backend:<8}{in_a_process(backend)[0]:>6.1f}", flush=True)
        return
    if child == "torch":
        grown_torch()
        return
    if child in ("numpy", "llvm"):
        grown_by_lengths(child)
        return
    if child:
        grown_ours(child == "traced")
        return
    plan, traced, given = in_a_process("traced")
    print(f"LSTM, forward and backward, B,T,I,H = {SIZE}")
    print(
        f"  planned {plan:.0f} MB (inputs {given:.0f}); tracemalloc's peak {traced:.0f} MB; ratio {plan / traced:.2f}"
    )
    (ours,), (theirs,) = in_a_process("ours"), in_a_process("torch")
    print(f"  the process grows by {ours:.0f} MB, PyTorch's nn.LSTM by {theirs:.0f} MB; ratio {ours / theirs:.2f}")
    print("Recomputation: MB beyond inputs, and how many arrays of the size of the outputs that is; B,I,H = 8, 32, 64")
    print(f"  {'T':>8}{'kept':>16}{'recomputed':>18}{'beyond four':>13}")
    for steps in (100, 400, 1600, 6400, 10000):
        outputs = 8 * steps * 64 * 4 / 1e6
        kept, again = planned(steps, False), planned(steps, True)
        columns = "".join(f"{m:>9.1f} = {m / outputs:>4.1f}" for m in (kept, again))
        print(f"  {steps:>8}{columns}{again - 4 * outputs:>13.2f}")


if __name__ == "__main__":
    main()
