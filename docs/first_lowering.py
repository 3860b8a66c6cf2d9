"""A first lowering: it prints each instruction of a plan, and runs it by the op's own kernel. Run it; change it.

    python docs/first_lowering.py

A lowering that means it takes over from there, instruction by instruction; see CONTRIBUTING.md.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, ClassVar

import numpy as np

import tinyseq as ts
from tinyseq import backends
from tinyseq.backends.numpy import NumpyBackend
from tinyseq.compiler.layout import Layout
from tinyseq.compiler.lower import arrays
from tinyseq.compiler.pipeline import STANDARD
from tinyseq.compiler.plan import Call, Copy
from tinyseq.compiler.target import TARGETS, Target


class Executable(arrays.Executable):
    """A plan bound to NumPy's arrays, whose every instruction is told as it runs."""

    on: ClassVar[str] = "printing"

    def compute(self, instruction: Call | Copy, count: int = 0, t: int = 0) -> None:
        """Print an instruction, and run it at step ``t`` of the loop around it."""
        print(f"t = {t}: {instruction}")
        super().compute(instruction, count, t)


class Backend(NumpyBackend):
    """NumPy's arrays and kernels, with a lowering of its own for compiled functions."""

    name: ClassVar[str] = "printing"
    target: ClassVar[str] = "printing"


def create() -> Any:
    """Return the backend: what ``backends.register`` asks a module for."""
    return Backend()


def main() -> str:
    """Run a compiled function by it; return what it printed."""
    backends.register("printing", __name__)  # the module that has `create`; it is imported when it is first asked for
    TARGETS.register("printing", Target("printing", pipeline=STANDARD, layout=Layout, bind=Executable))

    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = (x + 0.5 * h).tanh()
        return h, h

    def loss(xs: ts.Tensor, h: ts.Tensor) -> ts.Tensor:
        return ts.unroll(step, xs, h)[0].sum()

    printed = io.StringIO()
    with ts.backend("printing"), contextlib.redirect_stdout(printed):
        xs, h = ts.randn(2, 3, 4), ts.zeros(2, 4, requires_grad=True)
        value = ts.compile(loss)(xs, h)
        value.backward()
    plain = ts.tensor(h.numpy(), requires_grad=True)
    expected = loss(ts.tensor(xs.numpy()), plain)
    expected.backward()
    np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-6)
    np.testing.assert_allclose(h.grad.numpy(), plain.grad.numpy(), rtol=1e-6)
    return printed.getvalue()


if __name__ == "__main__":
    text = main()
    print(text)
    assert text.count("tanh") == 3  # once a step
