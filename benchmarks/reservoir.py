"""An echo state network of sparse connections, fitted and run over a series, beside reservoirpy.

    python benchmarks/reservoir.py [--units 1000 5000] [--steps 10000 2000] [--repeats 5] [--threads 2]

One input, ten connections a unit, radius 0.9, float64, a readout of the input and the states by ridge regression; both
have the same weights. In one process and in turn; before, predictions are compared. Needs ``pip install reservoirpy``.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from side_by_side import interleaved, print_table

import tinyseq as ts
from tinyseq import nn
from tinyseq.threads import blas_threads

RIDGE, WASHOUT = 1e-6, 100


def ours(units: int, us: np.ndarray, ys: np.ndarray, backend: str) -> tuple[Any, Any, nn.EchoStateNetwork]:
    """Return what fits, what predicts, and the network."""
    ts.seed(0)
    network = nn.EchoStateNetwork(1, units, 1).cast(np.float64)
    run = ts.compile(network)
    inputs, targets = ts.tensor(us[None]), ts.tensor(ys[None])

    def fit() -> None:
        with ts.backend(backend):
            network.fit(inputs, targets, ridge=RIDGE, bias="free", washout=WASHOUT)

    def predict() -> np.ndarray:
        with ts.backend(backend), ts.no_grad():
            outputs: np.ndarray = run(inputs)[0].numpy()[0]
            return outputs

    return fit, predict, network


def reservoirpys(network: nn.EchoStateNetwork, us: np.ndarray, ys: np.ndarray) -> tuple[Any, Any]:
    from reservoirpy.nodes import Input, Reservoir, Ridge
    from scipy.sparse import csr_array

    cell = network.cell
    source = Input()
    reservoir = Reservoir(
        W=csr_array(cell.W.numpy().T), Win=cell.W_in.numpy().T, bias=cell.b_in.numpy(), lr=cell.leak, input_dim=1
    )
    model = [source, source >> reservoir] >> Ridge(ridge=RIDGE)
    # Its state goes on from where it stopped, which the washout forgets.
    return lambda: model.fit(us, ys, warmup=WASHOUT), lambda: model.run(us)


def measure(units: int, steps: int, repeats: int) -> None:
    us = np.random.default_rng(0).uniform(0.0, 0.5, (steps + 1, 1))
    us, ys = us[1:], us[:-1]
    fit, predict, network = ours(units, us, ys, "llvm")
    fits, predicts = {"tinyseq": fit}, {"tinyseq": predict}
    fits["tinyseq, numpy"], predicts["tinyseq, numpy"], _ = ours(units, us, ys, "numpy")
    fits["reservoirpy"], predicts["reservoirpy"] = reservoirpys(network, us, ys)
    for one in fits.values():
        one()
    found = {name: np.asarray(one()) for name, one in predicts.items()}
    for name, outputs in found.items():
        difference = abs(outputs - found["tinyseq"])[WASHOUT:].max()
        assert difference < 1e-4, f"{name} predicts something else: {difference}"
        print(f"  {name}: RMSE {np.sqrt(np.mean((outputs - ys)[WASHOUT:] ** 2)):.3g}")
    print_table(f"fit, {units} units, {steps} steps", interleaved(fits, repeats), speedup=True)
    print_table(f"predict, {units} units, {steps} steps", interleaved(predicts, repeats), speedup=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--steps", type=int, nargs="+", default=[10000, 2000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of BLAS and of ours")
    args = parser.parse_args()
    with blas_threads(args.threads):
        for units, steps in zip(args.units, args.steps, strict=True):
            measure(units, steps, args.repeats)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
