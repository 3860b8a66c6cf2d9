"""Pictures of one unrolled LSTM by others: what each shows, how large it gets, how long it takes.

    python benchmarks/drawing_rivals.py [--steps 3 30 100] [--out FOLDER]

Needs torch, torchviz, torchview and torchlens (none of them a dependency); each that is missing is passed over.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import tinyseq as ts
from tinyseq import nn
from tinyseq.drawing import draw, valued


class TextbookLSTM(torch.nn.Module):
    """Four gates on [h, x], unrolled in Python, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = torch.nn.ModuleList(torch.nn.Linear(24, 16) for _ in range(4))
        self.head = torch.nn.Linear(16, 5)

    def forward(self, xs: torch.Tensor) -> torch.Tensor:
        h = c = torch.zeros(xs.shape[0], 16)
        ys = []
        for x in xs.unbind(1):
            f, i, g, o = (gate(torch.cat([h, x], 1)) for gate in self.gates)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return self.head(torch.stack(ys, 1)).square().sum()


class Ours(nn.Module):
    """The same in tinyseq."""

    def __init__(self) -> None:
        self.lstm = nn.LSTM(8, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, xs: ts.Tensor) -> ts.Tensor:
        y = self.head(self.lstm(xs)[0])
        return (y * y).sum()


def by_torchviz(steps: int) -> str:
    """The autograd graph, by Graphviz."""
    import torchviz

    model = TextbookLSTM()
    loss = model(torch.randn(2, steps, 8))
    return str(torchviz.make_dot(loss, params=dict(model.named_parameters())).pipe(format="svg").decode())


def by_torchview(steps: int) -> str:
    """The calls of modules and functions, by Graphviz."""
    import torchview

    graph = torchview.draw_graph(TextbookLSTM(), input_size=(2, steps, 8), device="cpu")
    return str(graph.visual_graph.pipe(format="svg").decode())


def by_torchlens(steps: int, rolled: bool = False) -> str:
    """Every operation of a forward pass, by Graphviz."""
    import torchlens

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph"
        torchlens.trace(TextbookLSTM(), torch.randn(2, steps, 8)).draw(
            vis_mode="rolled" if rolled else "unrolled",
            vis_outpath=str(path),
            vis_fileformat="svg",
            vis_save_only=True,
        )
        return next(Path(folder).glob("*.svg")).read_text(encoding="utf-8")


def by_tinyseq(steps: int, **options: Any) -> str:
    """Ours."""
    return draw(valued(Ours(), ts.randn(2, steps, 8)), engine="grid", **options).svg


def main() -> None:
    """Print a line a tool and length."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, nargs="+", default=[3, 30, 100])
    parser.add_argument("--only", default="", help="only tools whose names begin so")
    parser.add_argument("--out", type=Path, help="keep the pictures here")
    chosen = parser.parse_args()
    tools: dict[str, Callable[[int], str]] = {
        "torchviz": by_torchviz,
        "torchview": by_torchview,
        "torchlens": by_torchlens,
        "torchlens rolled": lambda steps: by_torchlens(steps, rolled=True),
        "tinyseq": by_tinyseq,
        "tinyseq rolled": lambda steps: by_tinyseq(steps, rolled=True),
        "tinyseq gradients": lambda steps: by_tinyseq(steps, level="cell", gradients=True),
    }
    print(f"{'':<20}{'steps':>6}{'seconds':>9}{'kB':>7}{'width x height, pt':>22}")
    for name, tool in ((name, tool) for name, tool in tools.items() if name.startswith(chosen.only)):
        for steps in chosen.steps:
            start = time.perf_counter()
            try:
                svg = tool(steps)
            except Exception as error:  # the others may be missing, or fail in their own ways
                print(f"{name:<20}{steps:>6}  {type(error).__name__}: {str(error)[:70]}", flush=True)
                continue
            taken = time.perf_counter() - start
            size = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', svg)
            shape = f"{float(size[1]):,.0f} x {float(size[2]):,.0f}" if size else "?"
            print(f"{name:<20}{steps:>6}{taken:>9.2f}{len(svg) / 1e3:>7.0f}{shape:>22}", flush=True)
            if chosen.out is not None:
                chosen.out.mkdir(parents=True, exist_ok=True)
                (chosen.out / f"{name.replace(' ', '-')}-{steps}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
