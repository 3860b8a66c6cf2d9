"""Other libraries, run on weights that we write and on their own: each that is installed.

``tests/parity/make_vectors.py`` makes the stored vectors that stand for those that are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn
from tinyseq.nn.convert import LIBRARIES, runners, vectors

pytestmark = [
    pytest.mark.libraries,
    # What other libraries warn of is theirs.
    pytest.mark.filterwarnings("default"),
]

CASES = [(library, name) for library, cases in runners.CASES.items() for name in cases]


def installed(library: str) -> None:
    if not runners.installed(library):
        pytest.skip(f"{LIBRARIES[library].title} is not installed: pip install {runners.RUNNERS[library][1]}")


@pytest.mark.parametrize(("library", "name"), CASES)
def test_the_library_computes_what_its_stored_vectors_say(library: str, name: str) -> None:
    installed(library)
    vector = next(v for v in vectors.stored(library) if v.name == name)
    shapes, run = runners.RUNNERS[library][0](runners.case_of(name, vector.options))
    assert shapes == {key: vector.tensors[key].shape for key in shapes}
    for b, length in enumerate(vector.lengths):
        c = None if vector.c is None else vector.c[b].copy()
        ys = run(vector.tensors, vector.xs[b, :length].copy(), vector.h[b].copy(), c)
        np.testing.assert_allclose(ys, vector.ys[b, :length], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("library", "name"), CASES)
def test_the_library_computes_our_outputs_with_what_we_write(library: str, name: str) -> None:
    """Of layers that are ours, with other weights than the stored ones, and another size."""
    installed(library)
    options = dict(runners.CASES[library][name])
    case = runners.case_of(name, options, input=5, hidden=3)
    if case.variant == "optimized" and library == "nnx":
        pytest.skip("we write flax.nnx.LSTMCell")
    module = layer_of(case, LIBRARIES[library])
    rng = np.random.default_rng(5)
    module.load_state_dict(
        {k: rng.normal(0.1, 0.6, v.shape).astype(np.float32) for k, v in module.state_dict().items()}
    )
    if library == "nnx" and case.kind == "gru":
        module.layers[0][0].b_hh.assign(ts.tensor(np.zeros(3, np.float32)))
    written = nn.convert.write(library, module)
    shapes, run = runners.RUNNERS[library][0](case)
    arrays = {
        key: next(a for n, a in written.items() if key == n or key.endswith(("/" + n, "." + n))) for key in shapes
    }
    cells = case.layers * case.directions
    x = rng.normal(size=(7, 5)).astype(np.float32)
    h, c = (rng.normal(size=(cells, 3)).astype(np.float32) for _ in range(2))
    theirs = run(arrays, x, h, c if case.kind == "lstm" else None)
    rows = [ts.tensor(part[None]) for part in h]
    if case.kind == "lstm":
        rows = [nn.LSTMState(row, ts.tensor(part[None])) for row, part in zip(rows, c, strict=True)]
    state = tuple(tuple(rows[i : i + case.directions]) for i in range(0, cells, case.directions))
    ours, _ = module(ts.tensor(x[None]), state)
    np.testing.assert_allclose(ours.numpy()[0], theirs, atol=1e-5, rtol=1e-5)


def layer_of(case: runners.Case, library: Any) -> Any:
    options: dict[str, Any] = {"num_layers": case.layers, "bidirectional": case.directions == 2}
    if case.variant == "peepholes":
        return nn.Recurrent("peephole_lstm", case.input, case.hidden, **options)
    if case.kind == "esn":
        return nn.Recurrent("esn", case.input, case.hidden, leak=0.25, **options)
    if case.kind == "gru":
        return nn.GRU(case.input, case.hidden, reset=case.reset, **options)
    if case.kind == "rnn":
        return nn.RNN(case.input, case.hidden, nonlinearity=case.nonlinearity, **options)
    return nn.LSTM(case.input, case.hidden, **options)


@pytest.mark.parametrize(("library", "name"), CASES)
def test_a_certificate_says_that_the_library_ran(library: str, name: str) -> None:
    installed(library)
    if library == "reservoirpy":
        pytest.skip("its reservoirs are held against stored vectors alone")
    vector = next(v for v in vectors.stored(library) if v.name == name)
    told = {key: vector.options[key] for key in ("reset", "nonlinearity") if key in vector.options}
    if name.startswith("gru"):
        told.setdefault("reset", "after")
    _, certificate = nn.convert.certified(library, vector.tensors, accept=("first step", "learned state"), **told)
    assert certificate.notes == []
    assert "run on these weights" in certificate.comparisons[1].what
    assert 0 < certificate.comparisons[1].error < 1e-5
