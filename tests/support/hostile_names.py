"""Names that must not harm a picture, and a graph that bears one wherever it can."""

from __future__ import annotations

import numpy as np

import tinyseq as ts

SVG = "{http://www.w3.org/2000/svg}"

HOSTILE = [
    'quo"te',
    "<script>alert(1)</script>",
    "a&b &lt; &#60;",
    "]]>",
    "new\nline\r\n",
    "{record|<port> x}",
    "🙂👩‍🔬",
    "עברית\u202egnp.exe",
    "\\N \\G \\L \\",
    "../../etc/passwd",
    "--></style>",
    "$x^2$",
    "\x00\x08\ufffe",
    "\ud800",
    "<b>html</b>",
    "'; DROP",
    "e\u0301\u200d",
    "",
    "W" * 500,
    "\u2028",
    "%n %s {0}",
    "</title></svg><script>x()</script>",
    "=cmd|'/C calc'!A0",
    "node [label=x]; }",
]


def named(name: str) -> ts.Graph:
    """A small graph with a name everywhere a name can be: weight, input, state, scope, step."""
    weight = ts.tensor(np.ones((3, 3), np.float32), requires_grad=True)
    weight.name = name
    cell_state = ts.zeros(2, 3)

    def step(x: ts.Tensor, state: dict[str, ts.Tensor]) -> tuple[ts.Tensor, dict[str, ts.Tensor]]:
        with ts.scope(name):
            new = (x @ weight + state[name]).tanh()
        return new, {name: new}

    graph = ts.trace(lambda xs: ts.unroll(step, xs, {name: cell_state}, truncate=1)[0].sum(), ts.randn(2, 2, 3))
    graph.inputs[0].name = name
    return graph
