"""Every public name tells what it is: a signature with types, a formula or facts, a source, and an example that runs.

The names are those of `ts`, `ts.nn`, `ts.optim` and the methods of a tensor. One that is added without is listed here.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing
import pytest

import tinyseq as ts
from tinyseq.functions import elementwise, products, reductions, shapes
from tinyseq.ops import OPS
from tinyseq.random import seeded

#: Where a formula, a default or a behaviour comes from: a library's name, a paper, or nowhere but here.
SOURCE = re.compile(r"\b(numpy|torch|scipy|sklearn|jax|tf|tfa|PyTorch|NumPy)\b|\b(19|20)\d\d\b|tinyseq's own")


def hints_of(thing: Any) -> dict[str, Any]:
    """Return the types of a signature; of names that are imported for type checkers only, too."""
    names: dict[str, Any] = {}
    source = ast.parse(Path(str(sys.modules[thing.__module__].__file__)).read_text(encoding="utf-8"))
    for node in ast.walk(source):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                assert isinstance(line, ast.ImportFrom)
                module = importlib.import_module(line.module or "")
                names.update({alias.name: getattr(module, alias.name) for alias in line.names})
    if names.get("ArrayLike") is numpy.typing.ArrayLike:
        names["ArrayLike"] = object  # NumPy's own, of its own parts
    while True:
        try:
            return typing.get_type_hints(thing, localns=names or None)
        except NameError as error:  # an alias of another module, as text
            owners = [module for name, module in sys.modules.items() if name.startswith("tinyseq.")]
            names[error.name] = next(vars(module)[error.name] for module in owners if error.name in vars(module))


def public() -> dict[str, Any]:
    """Return what is documented, by its full name; values, modules and NumPy's dtypes say what they are elsewhere."""
    found = {}
    for prefix, module in (("ts", ts), ("ts.nn", ts.nn), ("ts.optim", ts.optim)):
        found.update({f"{prefix}.{name}": getattr(module, name) for name in module.__all__})
    methods = {name: getattr(ts.Tensor, name) for name in dir(ts.Tensor) if not name.startswith("_")}
    found.update({f"ts.Tensor.{name}": thing for name, thing in methods.items() if inspect.isfunction(thing)})
    return {name: thing for name, thing in found.items() if callable(thing) and not _is_dtype(thing)}


def _is_dtype(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, np.generic)


PUBLIC = public()


def is_vague(hint: Any, depth: int = 0) -> bool:
    """Whether a type says `Any` somewhere; what NumPy's own array types are made of is NumPy's affair."""
    if hint is Any:
        return True
    if typing.get_origin(hint) in (np.ndarray, np.dtype) or depth > 8:
        return False
    parts = [part for arg in typing.get_args(hint) for part in (arg if isinstance(arg, list) else [arg])]
    return any(is_vague(part, depth + 1) for part in parts)


def faults(name: str, thing: Any) -> Iterator[str]:
    """Yield what a public name lacks."""
    doc = (vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__) or ""
    if len(doc) < 40:
        yield "docstring"
    wants = [example.want for example in doctest.DocTestParser().get_examples(doc)]
    if not any(re.search(r"\d|True|False", want) for want in wants):
        yield "example with a number"
    if not SOURCE.search(doc):
        yield "source"
    yield from _untyped(thing)


def _untyped(thing: Any) -> Iterator[str]:
    of = thing
    if isinstance(thing, type):
        of = thing if hasattr(thing, "_fields") else inspect.unwrap(thing.__init__)
        if of is object.__init__:
            return
    hints = hints_of(inspect.unwrap(of))
    for parameter in inspect.signature(of).parameters.values():
        if parameter.name == "attrs":
            yield "a real signature"
        if parameter.name in ("self", "args", "kwargs") and parameter.name not in hints:
            continue
        hint = hints.get(parameter.name)
        if hint is None or is_vague(hint):
            yield f"type of {parameter.name}"
    if inspect.isfunction(of) and ("return" not in hints or is_vague(hints["return"])):
        yield "type of the result"


def test_every_public_name_is_documented_and_typed() -> None:
    assert len(PUBLIC) > 180
    missing = {name: found for name, thing in PUBLIC.items() if (found := list(faults(name, thing)))}
    assert missing == {}


def test_a_name_without_is_seen() -> None:
    def bare(x, **attrs: Any) -> Any:  # type: ignore[no-untyped-def]
        return x

    def vague(x: list[Any]) -> ts.Tensor:
        """A docstring long enough to be one, from NumPy, with an example.

        >>> print("no number")
        no number
        """
        return x[0]

    lacking = ["docstring", "example with a number", "source", "type of x", "a real signature", "type of attrs"]
    assert list(faults("bare", bare)) == [*lacking, "type of the result"]
    assert list(faults("vague", vague)) == ["example with a number", "type of x"]


@pytest.mark.parametrize("name", PUBLIC)
def test_an_example_gives_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    thing = PUBLIC[name]
    names = {"ts": ts, "nn": ts.nn, "optim": ts.optim, "np": np}
    test = doctest.DocTestParser().get_doctest(thing.__doc__ or "", names, name, None, 0)
    said: list[str] = []
    with seeded(0):
        failed, attempted = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert attempted
    assert not failed, "".join(said)


@pytest.mark.parametrize("module", [elementwise, products, reductions, shapes], ids=lambda module: module.__name__)
def test_a_function_tells_the_formula_of_its_op(module: Any) -> None:
    own = {name: thing for name, thing in vars(module).items() if inspect.isfunction(thing)}
    of_ops = {name: thing for name, thing in own.items() if name in OPS}
    assert of_ops
    assert [name for name, thing in of_ops.items() if OPS[name].formula not in thing.__doc__] == []


@pytest.mark.parametrize(("function", "words"), [
    (ts.nn.LSTM, ["num_layers", "bidirectional", "dropout", "residual", "forget_bias"]),
    (ts.nn.GRU, ["num_layers", "bidirectional", "dropout", "residual", "update", "reset"]),
    (ts.nn.RNN, ["num_layers", "bidirectional", "dropout", "residual", "nonlinearity"]),
    (ts.softmax, ["x", "axis"]),
    (ts.concat, ["xs", "axis"]),
])  # fmt: skip
def test_an_editor_sees_the_parameters(function: Callable[..., Any], words: list[str]) -> None:
    assert set(words) <= set(inspect.signature(function).parameters)
    tree = ast.parse(Path(inspect.getsourcefile(function) or "").read_text(encoding="utf-8"))
    assert function.__name__ in {getattr(node, "name", "") for node in tree.body}


def test_the_layers_pass_their_options_on() -> None:
    """Each option of a recurrent layer of one kind is one of `Recurrent` or of its cell, with the same default."""
    for kind in ("LSTM", "GRU", "RNN"):
        layer, cell = getattr(ts.nn, kind), getattr(ts.nn, f"{kind}Cell")
        own = inspect.signature(layer).parameters
        known = {**inspect.signature(ts.nn.Recurrent).parameters, **inspect.signature(cell).parameters}
        assert set(own) == set(known) - {"make_cell", "cell"}
        assert {n: p.default for n, p in own.items() if n != "num_layers"} == {
            n: known[n].default for n in own if n != "num_layers"
        }
    layer = ts.nn.LSTM(2, 3, num_layers=2, forget_bias=5.0, dropout=0.5, residual=True, bidirectional=True)
    assert layer.layers[1][1].b_f.tolist() == [5.0] * 3
    assert (layer.dropout.p, layer.residual, layer.bidirectional, len(layer.layers)) == (0.5, True, True, 2)


TYPED = """
from typing import assert_type
import tinyseq as ts
from tinyseq import nn

def square(a: ts.Tensor) -> ts.Tensor:
    return (a * a).sum()

def step(a: ts.Tensor, s: tuple[ts.Tensor]) -> tuple[ts.Tensor, tuple[ts.Tensor]]:
    return a, s

x = ts.ones(2, 3)
assert_type(ts.tanh(x), ts.Tensor)
assert_type(ts.tanh(x).sum(axis=0).reshape(3, 1), ts.Tensor)
assert_type(ts.split(x, 1), tuple[ts.Tensor, ...])
assert_type(ts.maximum(x, 0.0) @ x.T + 1.0, ts.Tensor)
assert_type(x.item(), float)
assert_type(ts.grad(square)(x), ts.Tensor)
assert_type(ts.detach((x, x)), tuple[ts.Tensor, ts.Tensor])

@ts.compile
def f(a: ts.Tensor, *, scale: float = 1.0) -> ts.Tensor:
    return a * scale

assert_type(f(x, scale=2.0), ts.Tensor)
ys, last = ts.unroll(step, ts.ones(2, 5, 3), (x,))
assert_type(ys, ts.Tensor)
assert_type(last, tuple[ts.Tensor])
nn.LSTM(3, 4, num_layers=2, bidirectional=True, dropout=0.1)
"""


@pytest.mark.slow
def test_a_checker_follows_the_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: pip install tinyseq[lint]")
    path = tmp_path / "typed.py"
    path.write_text(TYPED + "f(x, scala=2.0)\nnn.LSTM(3, 4, layers=2)\nts.tanh(x).tahn()\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path), str(path)],
        capture_output=True, text=True, cwd=Path(ts.__file__).parent.parent,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith(str(path)) and "note:" not in line]
    assert [re.search(r"\[([\w-]+)\]$", line).group(1) for line in lines] == ["call-arg", "call-arg", "attr-defined"]
