"""What a cell's states and gates are at each time step, for any cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tinyseq import trees
from tinyseq.graph import Node
from tinyseq.modes import no_grad
from tinyseq.nn.latex import labels
from tinyseq.nn.steps import Step, trace_step
from tinyseq.nn.symbols import symbol
from tinyseq.ops.shape import Structural
from tinyseq.tensors import Tensor
from tinyseq.unrolling import Unrolled, watching

Array = np.ndarray[Any, Any]
#: What squashes: a gate where its values lie between 0 and 1.
_SQUASHING: Final = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}


@dataclass(frozen=True)
class Activations:
    """A cell's values over time, for one row of a batch: (time, units) by LaTeX label, gates first, states last.

    ``batch`` is how many rows there were. ``ranges`` says between what the values of a label lie, where its op says so.
    ``note`` says what is missing.

    tinyseq's own.

    >>> cell = nn.RNNCell(1, 2)
    >>> nn.activations(cell, ts.zeros(1, 3, 1))[0].values["$h_t$"].tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """

    scope: str
    batch: int
    values: dict[str, Array]
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ""


def activations(fn: Callable[..., object], *args: object, row: int = 0) -> list[Activations]:
    r"""Call ``fn(*args)``, such as a model on its input, and return the states and gates of each cell unrolled in it.

    Beside the states these are the variables of the cell's ``step``, and its sigmoids; what only goes into a squashing
    function is shown as what comes out of it. The step is traced once, and run anew from the states that the call
    passed through.

    Args:
        fn: what unrolls cells, eagerly.
        args: what it is called with.
        row: which row of the batch.

    Returns:
        one for each cell, in the order of unrolling. Of a step that looks at values, and has no one graph, only the
        states.

    tinyseq's own.

    >>> cell = nn.GRUCell(1, 2)
    >>> {name: x.shape for name, x in nn.activations(cell, ts.zeros(1, 3, 1))[0].values.items()}
    {'$r_t$': (3, 2), '$z_t$': (3, 2), '$\\tilde{h}_t$': (3, 2), '$h_t$': (3, 2)}
    """
    with no_grad(), watching() as seen:
        fn(*args)
    return [_gathered(run, row) for run in seen if run.steps]


def _gathered(run: Unrolled, row: int) -> Activations:
    times = sorted(run.steps)
    x, before, _, after = run.steps[times[0]]
    parts = {path: part for path, part in trees.leaves(after) if isinstance(part, Tensor) and part.ndim}
    states = {path: symbol(path or "h", "t") for path in parts}
    chosen: dict[str, Node] = {}
    ranges: dict[str, tuple[float, float]] = {}
    note, step = "", None
    try:
        step = trace_step(run.cell, x, before)
    except Exception as error:  # whatever a step that runs, and cannot be traced, raises
        note = f"no gates: {str(error).splitlines()[0]}"
    if step is not None:
        text, states = labels(step)
        for node in _telling(step):
            if node in text:
                chosen.setdefault(text[node], node)  # σ(z) written out twice is one value
        named = {**chosen, **{states[path]: node for path, node in step.new_state}}
        ranges = {name: _SQUASHING[node.op.name] for name, node in named.items() if node.op.name in _SQUASHING}
    values: dict[str, list[Array]] = {}
    for t in times:
        x, before, _, after = run.steps[t]
        at_step = {} if step is None else step.run(x, before)
        for name, node in chosen.items():
            values.setdefault(name, []).append(at_step[node][row].ravel())
    for path in parts:
        values[states[path]] = [dict(trees.leaves(run.steps[t][3]))[path].numpy()[row].ravel() for t in times]
    return Activations(
        run.scope,
        next((part.shape[0] for part in parts.values()), 0),
        {f"${name}$": np.stack(rows) for name, rows in values.items()},
        {f"${name}$": bounds for name, bounds in ranges.items()},
        note,
    )


def _telling(step: Step) -> Iterator[Node]:
    """Yield the gates and variables of a step, but for states, and for what goes only into a squashing function."""
    states = {node for _, node in (*step.state, *step.new_state, *step.inputs)}
    users = step.graph.consumers()
    batch = {node.shape[0] for _, node in step.inputs if node.shape}
    for node in step.graph.nodes:
        if node in states or not node.inputs or isinstance(node.op, Structural) or getattr(node.op, "multiple", False):
            continue
        squashed = node.op.name in _SQUASHING and any(p in step.names for p in node.inputs if p not in states)
        named = node in step.names or node.op.name == "sigmoid"
        before = users[node] and all(user.op.name in _SQUASHING for user in users[node])
        if (squashed or named) and not before and node.ndim > 1 and node.shape[0] in batch:
            yield node
