"""How wide ``nn.Embedding`` should start: the examples that have one, each from several widths and seeds.

    python benchmarks/embedding.py [--only lstm words ...] [--seeds 0 1 2] [--stds 0 0.3 1] [--out FILE.jsonl]

A width of 0 stands for 1 / sqrt(features). Each row is a whole run of an example as it is shipped, but for seed and
backend; what it gives is the measure on the test part. A file goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import tinyseq as ts
from tinyseq.nn import init
from tinyseq.nn.layers import Embedding, parameter

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ("lstm", "words", "classify", "tagging", "translate", "caption")


def start_with(std: float) -> None:
    """Let tables start with this standard deviation, whatever is asked of them."""

    def __init__(self: Embedding, num_embeddings: int, features: int, std_: float = 1.0) -> None:
        self.num_embeddings, self.features = num_embeddings, features
        self.W = parameter(init.normal(num_embeddings, features, std=std or features**-0.5))

    Embedding.__init__ = __init__  # type: ignore[method-assign]


def row(name: str, std: float, seed: int) -> dict[str, Any]:
    """Return the test metrics of a run."""
    start_with(std)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = ts.run(EXAMPLES / f"{name}.yaml", seed=seed, backend="llvm", output=Path(folder) / "run")
        seconds = round(time.perf_counter() - began, 1)
    return {"example": name, "std": std, "seed": seed, "seconds": seconds, **result.metrics}


def main() -> None:
    """Measure, and print a table: a line an example and measure, a column a width, mean and range over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--stds", nargs="+", type=float, default=[0.0, 0.3, 1.0])
    parser.add_argument("--out", type=Path, default=Path("embedding.jsonl"))
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    done = {(r["example"], r["std"], r["seed"]) for r in rows}
    for key in ((n, s, d) for n in args.only for d in args.seeds for s in args.stds):
        if key not in done:
            rows.append(row(*key))
            with args.out.open("a") as file:
                print(json.dumps(rows[-1]), file=file)
    for name in args.only:
        for measure in (k for k in next(r for r in rows if r["example"] == name) if k not in _KEYS):
            cells = []
            for std in args.stds:
                values = [r[measure] for r in rows if r["example"] == name and r["std"] == std]
                cells.append(f"{statistics.mean(values):8.4f} ({min(values):.4f}-{max(values):.4f})")
            print(f"{name:10} {measure:14}", *cells)


_KEYS = {"example", "std", "seed", "seconds"}

if __name__ == "__main__":
    main()
