"""A first pass: ``abs(abs(x))`` is ``abs(x)``, and ``relu(relu(x))`` is ``relu(x)``. Run it; change it.

    python docs/first_pass.py

It draws the graph before and after (into a new folder) and checks that every value is as it was, to the last bit,
and every gradient the engine's own. What a pass must keep, and what else there is to know, is told in CONTRIBUTING.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq.compiler.capture import trace_function
from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.pipeline import run_passes
from tinyseq.graph import Graph, Node, rebuild
from tinyseq.ops.elementwise import absolute, relu, tanh
from tinyseq.ops.scan import evaluate

# -- the pass ----------------------------------------------------------------------------------------------------------

#: Ops that change nothing where they are applied a second time; exactly nothing, of NaN and infinities too.
IDEMPOTENT = {absolute, relu}


def once(graph: Graph) -> Graph:
    """Leave out the second of two equal idempotent ops, in the graph and in the bodies of its loops."""
    return map_bodies(graph, _once)


def _once(graph: Graph) -> Graph:
    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        """Given a node and its new inputs: what replaces it, or None for the same op on the new inputs."""
        if node.op in IDEMPOTENT and inputs[0].op is node.op:
            return inputs[0]
        return None

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


# -- does it act, and does it change nothing else? ---------------------------------------------------------------------


def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
    """A cell with something to find, three relus in a row; and a tanh of a tanh, which is something else than one."""
    h = tanh(tanh(absolute(relu(relu(relu(x + h))))))
    return h, h


def loss(xs: ts.Tensor, h: ts.Tensor) -> ts.Tensor:
    """Return one number, so that there is a gradient."""
    return ts.unroll(step, xs, h)[0].sum()


def values(graph: Graph, given: dict[Node, Any]) -> list[Any]:
    """Compute a graph by the plain interpreter: each op by its own kernel, loops written out."""
    written_out, known = graph.unroll(), dict(given)
    evaluate(written_out.nodes, known, np)
    return [known[node] for node in written_out.outputs]


def count(graph: Graph, name: str) -> int:
    """Count the applications of an op, in a step of each loop too."""
    bodies = [node.attrs["body"] for node in graph.nodes if node.op.name == "scan"]
    return sum(node.op.name == name for part in (graph, *bodies) for node in part.nodes)


def main() -> Path:
    """Run the pass on a traced function; return the folder of its pictures."""
    xs, h = (ts.randn(*shape) for shape in ((2, 3, 4), (2, 4)))
    for x in (xs, h):
        x.requires_grad = True
    traced = trace_function(loss, (xs, h), {})
    before = traced.graph
    after = once(before).verify()  # every shape and dtype, by the ops' own rules
    assert (count(before, "relu"), count(after, "relu")) == (3, 1)
    assert count(before, "abs") == count(after, "abs") == 1
    folder = Path(tempfile.mkdtemp(prefix="first-pass-"))
    for name, graph in (("before", before), ("after", after)):
        ts.draw(graph, folder / f"{name}.svg", rolled=True)

    given: dict[Node, Any] = dict(zip(traced.arguments, (xs.numpy(), h.numpy()), strict=True))
    given |= {leaf: x.numpy() for x, leaf in traced.captured.items()}  # what the function closes over
    np.testing.assert_array_equal(values(after, given), values(before, given))

    # The whole compiler after it: gradients are the engine's own.
    compiled = run_passes(after, traced.arguments)
    (seed,) = compiled.seeds
    _, *gradients = values(compiled.graph, {**given, seed: np.ones((), np.float32)})
    loss(xs, h).backward()
    for x, g in zip((xs, h), gradients, strict=True):
        np.testing.assert_allclose(g, x.grad.numpy(), rtol=1e-6, atol=1e-7)
    return folder


if __name__ == "__main__":
    print(f"{main()}/before.svg and after.svg show it; every value is as it was")
