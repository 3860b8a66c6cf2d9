"""What Python does for a call of a compiled function, in microseconds: minimum and median.

    python benchmarks/call_overhead.py [--calls 2000] [--layers 3] [--backend numpy]

The model is that of examples/lstm.yaml with so many layers. `guards` is what a call compares with what tracing saw;
`loss` the call of a compiled loss, `training step` that of the whole step as a run compiles it (gradients, clipping,
Adam). Of these two, what runs from the plan is left out: executables answer at once with what their first run gave. So
is the batch, which is drawn before.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import tinyseq as ts
from tinyseq.compiler import CompiledFunction
from tinyseq.compiler.target import TARGETS
from tinyseq.registry import at_address
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared

EXAMPLE = Path(__file__).parents[1] / "examples" / "lstm.yaml"


def answered_at_once(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of executables that runs the first time, and then only returns what it gave."""
    known: dict[int, tuple[Any, Any]] = {}  # with the executable, so that its id stays its own

    def stub(self: Any, *args: Any) -> Any:
        if id(self) not in known:
            known[id(self)] = self, method(self, *args)
        return known[id(self)][1]

    return stub


def guards_of(fast: CompiledFunction) -> Callable[[], Any]:
    """Return what a call asks of the entry that it last ran from."""
    return fast.entry_of_last_call().guards.hold


def microseconds(call: Callable[[], Any], calls: int) -> list[float]:
    for _ in range(calls // 10 + 1):
        call()
    gc.collect()
    found = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        found.append((time.perf_counter() - start) * 1e6)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--backend", default="numpy")
    options = parser.parse_args()
    config = ts.load_config(EXAMPLE, {"model.num_layers": options.layers, "backend": options.backend})
    print(f"{'microseconds':<28}{'minimum':>10}{'median':>10}")
    with prepared(config) as (task, model):
        model.train()
        arguments = task.feed(model, next(task.batches()), None).arguments
        stepper = TrainStep(task, model, config.train, SilentProgress(), compiled=True)
        assert stepper.function is not None
        functions = {"loss": ts.compile(lambda *given: task.loss(model, *given)), "training step": stepper.function}
        kind: Any = at_address(str(TARGETS[ts.backends.current().target].bind))
        stubs = {name: answered_at_once(getattr(kind, name)) for name in ("forward_list", "forward", "backward")}
        with mock.patch.multiple(kind, **stubs):
            for name, fast in functions.items():
                fast(*arguments)
                for what, call in {"guards": guards_of(fast), "the call": partial(fast, *arguments)}.items():
                    found = microseconds(call, options.calls)
                    print(f"{f'{name}: {what}':<28}{min(found):>10.1f}{median(found):>10.1f}", flush=True)


if __name__ == "__main__":
    main()
