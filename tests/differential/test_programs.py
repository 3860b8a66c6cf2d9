"""Random programs run eagerly and compiled: what differs, differs by rounding only.

Longer, and on all cores: ``python tests/support/differential/run.py``. What the machine can see: ``plant.py`` there.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyseq as ts
from support.differential import plant
from support.differential import run as machine
from support.differential.playing import (
    BACKENDS,
    SCRIPT,
    Raised,
    Shown,
    Verdict,
    blurred,
    compare,
    eagerly,
    judge,
    loaded,
    play,
)
from support.differential.programs import Writer, written
from support.differential.shrinking import shrunk

#: The seeds that CI tries begin here; those of the long run begin at 0.
FIRST, CHUNKS, CHUNK = 1_000_000, 10, 32


def available() -> list[str]:
    """The backends that this machine can try."""
    missing = set()
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        missing.add("cuda-on-host")
    try:
        with ts.backend("llvm"):
            pass
    except ts.TinyseqError:
        missing.add("llvm")
    return [name for name in BACKENDS if name not in missing]


def explained(text: str, backend: str, features: set[str], verdict: Verdict) -> str:
    """A failure as a small script."""
    assert verdict.difference is not None
    small = shrunk(text, backend, features, verdict.difference, attempts=300)
    return f"{verdict.difference}\n\n{SCRIPT.format(text=small, backend=backend)}"


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_compiled_programs_show_what_eager_ones_show(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYSEQ_CACHE", "")
    outcomes: Counter[str] = Counter()
    for seed in range(FIRST + chunk * CHUNK, FIRST + (chunk + 1) * CHUNK):
        for program, backend, verdict in machine.tried(seed, available()):
            outcomes[f"{backend}: {verdict.outcome}"] += 1
            if verdict.outcome == "refused":
                outcomes[machine.reason(verdict.difference)] += 1
            if verdict.outcome == "fault":
                pytest.fail(f"seed {seed}: {explained(program.text, backend, program.features, verdict)}")
    print(dict(outcomes))


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_programs_that_hypothesis_writes(r: random.Random) -> None:
    program = Writer(r).write()
    verdict = judge(program.text, "numpy", program.features)
    assert verdict.outcome != "fault", f"{verdict.difference}\n\n{SCRIPT.format(text=program.text, backend='numpy')}"


def test_what_must_not_be_rare_is_not() -> None:
    counts: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + 600):
        counts.update(f"feature: {name}" for name in written(seed).features)
        counts["programs"] += 1
    print(machine.told(counts))
    assert not machine.rare(counts)
    common = {name for name, count in counts.items() if count >= 5}
    for name in ("draws", "scans", "seeds", "train and eval", "gradients of gradients", "backward inside", "optimisers",
                 "outside state", "control flow", "exceptions", "accumulation", "bad values", "methods"):  # fmt: skip
        assert f"feature: {name}" in common, name


def test_a_seed_is_a_program() -> None:
    assert [written(seed).text for seed in (1, 2)] == [written(seed).text for seed in (1, 2)]
    assert written(1).text != written(2).text


@pytest.mark.slow
def test_twenty_thousand_programs(tmp_path: Path) -> None:
    """TINYSEQ_DIFFERENTIAL names a folder to go on in."""
    folder = os.environ.get("TINYSEQ_DIFFERENTIAL", str(tmp_path))
    options = ["--programs=20000", f"--resume={folder}", f"--backends={','.join(available())}"]
    done = subprocess.run([sys.executable, machine.__file__, *options], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    def run(programs: int) -> str:
        options = [f"--programs={programs}", "--shards=2", f"--resume={tmp_path}", "--backends=numpy", "--keep=0"]
        done = subprocess.run([sys.executable, machine.__file__, *options], capture_output=True, text=True)
        assert not done.stderr
        return done.stdout

    assert "\n" in run(6)
    assert run(6).startswith("6 programs")
    assert run(10).startswith("10 programs")


# -- the machine's own eyes --------------------------------------------------------------------------------------------

PROGRAM = """
def program(jit, t):
    ts.seed(1)
    w = p64(1, 3)
    def f(x, k=1.0):
        y = ts.tanh(x * w) * k
        return y, {"a": y.sum()}
    fast = jit(f)
    x = p64(2, 3)
    out = t.call("first", fast, x)
    t.back("first", out, [x, w])
    t.call("second", fast, x, k=2.0)
    t.end(left=[1])
"""
WRONG = PROGRAM.replace("    t.end", '    t.call("wrong", fast, f64(1, 2))\n    t.end')


def seen(jit: Any = eagerly, text: str = PROGRAM) -> list[tuple[str, Any]]:
    return play(loaded(text), jit, "numpy")


def test_a_program_shows_values_gradients_exceptions_and_what_is_left() -> None:
    found = dict(seen(text=WRONG))
    assert isinstance(found["first"], tuple)
    assert all(isinstance(g, Shown) for g in found["first: gradients"][1])
    assert isinstance(found["wrong"], Raised)
    assert {"at the end: left", "at the end: the next draw"} <= found.keys()
    assert compare(seen(), seen()) is None
    assert compare(seen(text=WRONG), seen(ts.compile, WRONG)) is None


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda f, *a, **k: list(f(*a, **k)), "structure"),
        (lambda f, *a, **k: ts.trees.map_leaves(lambda y: y * 1.00001, f(*a, **k)), "values"),
        (lambda f, *a, **k: ts.trees.map_leaves(lambda y: y.detach(), f(*a, **k)), "requires_grad"),
        (lambda f, *a, **k: ts.trees.map_leaves(lambda y: y.cast(np.float32), f(*a, **k)), "shape or dtype"),
        (lambda f, *a, **k: ts.trees.map_leaves(lambda y: y.expand_dims(0), f(*a, **k)), "shape or dtype"),
        (lambda f, x, **k: f(x if x.size == 3 else f_of(3), **k), "not raised"),
        (lambda f, *a, **k: {}["x"], "raised KeyError"),
        (lambda f, *a, **k: f(*a), "values"),
        (lambda f, *a, **k: (ts.rand(1), f(*a, **k))[1], "the next draw"),
        (lambda f, x, **k: f(x * 1.0 if k else ts.tensor(x.value, requires_grad=True), **k), "None or not"),
    ],
)
def test_each_kind_of_difference_is_seen(change: Any, kind: str) -> None:
    difference = compare(seen(text=WRONG), seen(lambda f: lambda *a, **k: change(f, *a, **k), WRONG))
    if kind == "the next draw":
        difference = compare(seen(), seen(lambda f: lambda *a, **k: change(f, *a, **k)))
        assert difference.label.endswith(kind)
        return
    assert difference is not None
    assert difference.kind == kind


def f_of(n: int) -> ts.Tensor:
    return ts.tensor(np.ones(n))


def test_rounding_is_told_from_a_difference() -> None:
    """Nearly equal numbers subtracted: other roundings give other digits, and a wrong sign is still seen."""
    text = "def program(jit, t):\n    x = p64(1, 5) * 1e9\n    t.note('y', jit(lambda q: ({}))(ts.tanh(x * 1e-9)))\n"
    a, b, wrong = (text.format(f"{s}((q * 3.0 + 1e9) - 1e9)") for s in ("", "1.0 * ", "-"))
    blur: dict[int, list[Any]] = {}
    for seed in range(5):
        with blurred(seed):
            for i, (_, value) in enumerate(seen(text=a)):
                blur.setdefault(i, []).append(value)
    with blurred(9):
        other = seen(text=b)
    assert compare(seen(text=a), other) is not None
    assert compare(seen(text=a), other, blur) is None
    assert compare(seen(text=a), seen(text=wrong), blur) is not None
    assert compare(seen(text=a), seen(text=b)) is None  # the ops are themselves again


def test_failures_are_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault put into whatever is compiled; what has nothing to do with it goes."""
    real = ts.compile

    def faulty(fn: Any, **options: Any) -> Any:
        return real(lambda *a, **k: ts.trees.map_leaves(lambda y: y + 0.5, fn(*a, **k)), **options)

    monkeypatch.setattr(ts, "compile", faulty)
    verdict = judge(PROGRAM, "numpy")
    assert verdict.difference is not None
    small = shrunk(PROGRAM, "numpy", set(), verdict.difference)
    assert len(small.splitlines()) <= 8
    assert judge(small, "numpy").outcome == "fault"


@pytest.mark.parametrize("name", plant.FAULTS)
def test_a_fault_can_be_planted(name: str) -> None:
    """The script that plants them takes minutes and is run by hand; a line that has moved is seen here."""
    fault = plant.FAULTS[name]
    text = (plant.ROOT / "tinyseq" / fault.file).read_text(encoding="utf-8")
    assert text.count(fault.right) == 1
    assert fault.wrong not in text
