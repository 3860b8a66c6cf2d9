"""Render the gallery: every architecture of the repository, drawn in every way, into a folder with an index page.

    python docs/make_gallery.py                 the pictures of docs/gallery/, as SVG
    python docs/make_gallery.py --png --all -o FOLDER    as PNG too, and after each pass for every architecture

What it writes depends on nothing but the source: models are small and seeded.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq import nn
from tinyseq.drawing import Drawing, draw, valued
from tinyseq.nn.encoders import RecurrentEncoder, TransformerTextEncoder
from tinyseq.nn.writers import EncoderDecoder, RecurrentWriter, TransformerWriter

FOLDER = Path(__file__).parent / "gallery"
#: Without --all, to keep the folder small: what is shown after every pass, and what with every operation of every step.
PASSES_OF = ("LSTM",)
OPS_OF = ("RNN", "LSTM", "GRU", "bidirectional LSTM")


Loss = Callable[[int], ts.Tensor]


@dataclass(frozen=True)
class Architecture:
    """A name, what it is in a sentence, and what makes its model and returns the loss over so many steps."""

    name: str
    about: str
    build: Callable[[], Loss]
    steps: int = 3

    @property
    def stem(self) -> str:
        """The name as a part of file names."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name.lower()).strip("-")


class Tagger(nn.Module):
    """Layers over time, and a head on each step."""

    def __init__(self, recurrent: Any, classes: int = 5) -> None:
        self.recurrent = recurrent
        self.head = nn.Linear(recurrent.output_size, classes)

    def forward(self, xs: ts.Tensor, targets: ts.Tensor, **options: Any) -> ts.Tensor:
        ys, _ = self.recurrent(xs, **options)
        return nn.cross_entropy(self.head(ys), targets)


def tagging(make: Callable[[], Any], **options: Any) -> Loss:
    """Return the loss of a new tagger, of random sequences."""
    tagger = Tagger(make())

    def loss(steps: int) -> ts.Tensor:
        xs = ts.tensor(np.random.default_rng(0).standard_normal((2, steps, 3)), dtype=ts.float32, name="xs")
        targets = ts.tensor(np.arange(2 * steps).reshape(2, steps) % 5, name="targets")
        return tagger(xs, targets, **options)

    return loss


def writing(make: Callable[[], EncoderDecoder]) -> Loss:
    """Return the loss of a new model that reads one sequence and writes another."""
    model = make()

    def loss(steps: int) -> ts.Tensor:
        ids = ts.tensor(np.arange(steps)[None] % 7, name="read")
        written = ts.tensor(np.arange(steps)[None] % 7, name="written")
        logits = model(written, ids, ts.tensor(np.array([steps]), name="lengths"))
        return nn.cross_entropy(logits, ts.tensor(np.arange(1, steps + 1) % 7, name="targets"))

    return loss


def reader_and_writer(attention: str, bidirectional: bool = False) -> EncoderDecoder:
    """Return a small encoder-decoder of GRUs."""
    encoder = RecurrentEncoder(nn.Recurrent("gru", 3, 4, bidirectional=bidirectional), 7)
    writer = RecurrentWriter(partial(nn.CELLS["gru"]), 7, 3, 4, encoder.output_size, attention=attention)
    return EncoderDecoder(encoder, writer)


def transformer() -> EncoderDecoder:
    """Return a small encoder-decoder without recurrence."""
    return EncoderDecoder(TransformerTextEncoder(7, 4, 2, 1, 8), TransformerWriter(7, 4, 2, 1, 8))


def reservoir() -> Loss:
    """Return the error of a new echo state network."""
    network = nn.EchoStateNetwork(2, 6, 1)

    def loss(steps: int) -> ts.Tensor:
        us = ts.tensor(np.random.default_rng(0).standard_normal((1, steps, 2)), dtype=ts.float32, name="u")
        ys, _ = network(us)
        return nn.squared_error(ys, ts.zeros(1, steps, 1))

    return loss


def architectures() -> Iterator[Architecture]:
    """Yield what the gallery shows."""
    for name, cell in nn.CELLS.items():
        yield Architecture(
            cell.__name__.removesuffix("Cell") if name != "esn" else "ESN cell",
            (cell.__doc__ or "").strip().splitlines()[0],
            partial(tagging, partial(nn.Recurrent, name, 3, 4)),
        )
    yield Architecture(
        "bidirectional LSTM", "One cell reads from the first step, another from the last.",
        partial(tagging, partial(nn.LSTM, 3, 4, bidirectional=True)),
    )  # fmt: skip
    yield Architecture(
        "stacked LSTM",
        "Two layers: each reads what the one below says.",
        partial(tagging, partial(nn.LSTM, 3, 4, num_layers=2)),
    )
    yield Architecture(
        "stacked bidirectional GRU", "Two layers of two directions.",
        partial(tagging, partial(nn.GRU, 3, 4, num_layers=2, bidirectional=True)),
    )  # fmt: skip
    yield Architecture(
        "truncated LSTM", "Truncated backpropagation: every two steps the gradient is cut.",
        partial(tagging, partial(nn.LSTM, 3, 4), truncate=2), 4,
    )  # fmt: skip
    yield Architecture(
        "masked LSTM", "Sequences of different lengths: past its end a state stays as it is.",
        partial(tagging, partial(nn.LSTM, 3, 4), lengths=ts.tensor(np.array([3, 2]), name="lengths")),
    )  # fmt: skip
    yield Architecture(
        "encoder-decoder", "A GRU reads, its last state starts the one that writes (Sutskever et al. 2014).",
        partial(writing, partial(reader_and_writer, "none")),
    )  # fmt: skip
    yield Architecture(
        "Bahdanau attention", "The writer looks at all that was read before each step (Bahdanau et al. 2015).",
        partial(writing, partial(reader_and_writer, "additive", True)),
    )  # fmt: skip
    yield Architecture(
        "Luong attention", "The writer looks after each step (Luong et al. 2015).",
        partial(writing, partial(reader_and_writer, "dot")),
    )  # fmt: skip
    yield Architecture(
        "Transformer", "No recurrence: every position looks at every other (Vaswani et al. 2017).",
        partial(writing, transformer),
    )  # fmt: skip
    yield Architecture(
        "echo state network", "A fixed random reservoir; only the readout is learned (Jaeger 2001).", reservoir
    )


def pictures(one: Architecture, everything: bool) -> Iterator[tuple[str, str, Drawing]]:
    """Yield (file stem, caption, picture) for an architecture."""
    ts.seed(0)
    loss = one.build()
    graph = valued(lambda: loss(one.steps))
    yield "model", "its modules", draw(graph, level="model", title=f"{one.name}: modules", engine="grid")
    if any("body" in node.attrs for node in graph.graph.nodes):
        yield "rolled", "rolled: one step, delays z⁻¹", draw(graph, rolled=True, title=f"{one.name}, rolled")
        rolled_cells = draw(graph, rolled=True, level="cell", title=f"{one.name}, rolled: cells")
        yield "rolled-cells", "rolled, a box a cell", rolled_cells
    yield (
        "cells",
        "unrolled, a box a cell and step",
        draw(graph, level="cell", title=f"{one.name}, unrolled", engine="grid"),
    )
    if everything or one.name in OPS_OF:
        yield "ops", "unrolled, every operation", draw(graph, title=f"{one.name}, {one.steps} steps", engine="grid")
    longer = valued(lambda: loss(2 * one.steps))
    yield (
        "gradients",
        "norms of gradients",
        draw(longer, level="cell", gradients=True, title=f"{one.name}: gradients", engine="grid"),
    )
    yield (
        "backward",
        "the backward pass",
        draw(graph, level="cell", backward=True, title=f"{one.name}: backward", engine="grid"),
    )
    if not everything and one.name not in PASSES_OF:
        return
    fast = ts.compile(lambda: loss(one.steps))
    fast()
    count: dict[str, int] = {}
    for stage in fast.passes:
        count[stage.name] = count.get(stage.name, 0) + 1
        which = f"{stage.name}:{count[stage.name]}"
        title = f"{one.name}, after {stage.name}" + (f" ({count[stage.name]})" if count[stage.name] > 1 else "")
        picture = draw(fast, after=which, title=title, engine="grid")
        if count[stage.name] == 1 or not any("nothing changed" in note for note in picture.view.notes):
            yield f"pass-{fast.passes.index(stage):02}-{stage.name}", f"after {which}", picture
    yield "plan", "the plan and its buffers", draw(fast.plan, title=f"{one.name}: the plan")


def main() -> None:
    """Write the gallery."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=FOLDER, help="the folder, made where it is not there")
    parser.add_argument("--only", default="", help="only architectures whose names hold this")
    parser.add_argument("--all", action="store_true", help="every picture of every architecture")
    parser.add_argument("--png", action="store_true", help="PNG beside SVG")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    sections = []
    for one in architectures():
        if chosen.only.lower() not in one.name.lower():
            continue
        rows = []
        for stem, caption, picture in pictures(one, chosen.all):
            name = f"{one.stem}-{stem}"
            picture.save(chosen.out / f"{name}.svg")
            if chosen.png:
                picture.save(chosen.out / f"{name}.png")
            rows.append((f"{name}.svg", caption))
        sections.append((one, rows))
        print(f"{one.name}: {len(rows)} pictures")
    if not chosen.only:
        (chosen.out / "index.html").write_text(index(sections), encoding="utf-8")
    print(f"{chosen.out} in {time.perf_counter() - began:.0f} s")


def index(sections: list[tuple[Architecture, list[tuple[str, str]]]]) -> str:
    """Return the index page."""
    style = (
        ":root{color-scheme:light dark}body{font:15px/1.5 Helvetica,Arial,sans-serif;margin:2em auto;max-width:76em;"
        "padding:0 1em}figure{display:inline-block;margin:0 1em 1em 0;vertical-align:top;width:17em}"
        "img{width:100%;height:13em;object-fit:contain;border:1px solid #8884;border-radius:6px}"
        "figcaption{font-size:13px}"
    )
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>tinyseq: gallery</title>',
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head><body>',
        "<h1>Gallery</h1><p>Every architecture of tinyseq, drawn by <code>python docs/make_gallery.py</code>.</p>",
    ]
    for one, rows in sections:
        parts.append(f"<h2>{escape(one.name)}</h2><p>{escape(one.about)}</p>")
        parts += [
            f'<figure><a href="{escape(name)}"><img loading="lazy" src="{escape(name)}" '
            f'alt="{escape(one.name)}, {escape(caption)}"></a><figcaption>{escape(caption)}</figcaption></figure>'
            for name, caption in rows
        ]
    return "\n".join([*parts, "</body></html>", ""])


if __name__ == "__main__":
    main()
