"""Cells that the compiler was not written for: every pass and the plan give the eager values and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.cells import BATCHLESS, CELLS, FUNCTIONS, Case, Draw, Sizes, cell_case, recurrent, registered
from support.checking import check_plan, check_stages, compiled, run
from tinyseq import compiler, nn

#: All extents alike: an axis taken for another is then no error but a wrong value.
ALIKE = Sizes(3, 3, 3, 3)
ONE = Sizes(1, 1, 2, 4)
EXTENTS = pytest.mark.parametrize("sizes", [Sizes(), ALIKE, ONE], ids=["ordinary", "alike", "one"])
OPTIONS: list[dict[str, Any]] = [
    {"reverse": True},
    {"truncate": 2},
    {"truncate": 2, "reverse": True},
    {"truncate": 1},
    {"lengths": [5, 2, 0]},
    {"lengths": [1, 5, 4], "reverse": True},
    {"lengths": [5, 4, 1], "truncate": 2},
    {"lengths": [3, 5, 0], "truncate": 2, "reverse": True},
]


def name_of(options: dict[str, Any]) -> str:
    return "-".join(key if value is True else f"{key}{value}".replace(" ", "") for key, value in options.items())


def test_each_cell_says_which_part_of_the_compiler_could_get_it_wrong() -> None:
    parts = {path.stem for path in Path(compiler.__file__).parent.rglob("*.py")} | {"unrolling"}
    for name, make in {**CELLS, **FUNCTIONS}.items():
        named, _, how = (make.__doc__ or "").partition(": ")
        assert set(named.split(", ")) <= parts, name
        assert how, name


@pytest.mark.parametrize("name", CELLS)
def test_every_pass_on_odd_cells(name: str) -> None:
    check_stages(cell_case(name))


@EXTENTS
@pytest.mark.parametrize("name", CELLS)
def test_plan_of_odd_cells(name: str, sizes: Sizes) -> None:
    check_plan(cell_case(name, sizes), orders=sizes == Sizes())


def some_options(position: int, name: str) -> list[dict[str, Any]]:
    """Each cell gets some of the options, other ones than its neighbours; the cells of ``nn`` get them all."""
    fitting = [options for options in OPTIONS if "lengths" not in options or name not in BATCHLESS]
    return [fitting[(position + shift) % len(fitting)] for shift in (0, 3)]


WITH_OPTIONS = [(name, options) for position, name in enumerate(CELLS) for options in some_options(position, name)]


@pytest.mark.parametrize(("name", "options"), WITH_OPTIONS[::2], ids=lambda x: x if isinstance(x, str) else name_of(x))
def test_every_pass_on_odd_cells_truncated_reversed_and_masked(name: str, options: dict[str, Any]) -> None:
    check_stages(cell_case(name, **options))


@pytest.mark.parametrize(("name", "options"), WITH_OPTIONS, ids=lambda x: x if isinstance(x, str) else name_of(x))
def test_plan_of_odd_cells_truncated_reversed_and_masked(name: str, options: dict[str, Any]) -> None:
    check_plan(cell_case(name, **options), orders=False)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_pass_on_functions(name: str) -> None:
    check_stages(FUNCTIONS[name](Sizes()))


@EXTENTS
@pytest.mark.parametrize("name", FUNCTIONS)
def test_plan_of_functions(name: str, sizes: Sizes) -> None:
    check_plan(FUNCTIONS[name](sizes), orders=sizes == Sizes())


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=name_of)
@pytest.mark.parametrize("name", nn.CELLS)
def test_cells_of_nn(name: str, options: dict[str, Any]) -> None:
    case = registered(name, **options)
    check_plan(case, orders=not options)
    if options in ({}, *OPTIONS[-2:]):
        check_stages(case)


@pytest.mark.parametrize("update", ["new", "old"])
@pytest.mark.parametrize("reset", ["before", "after"])
def test_every_gru(update: str, reset: str) -> None:
    case = recurrent(kind="gru", update=update, reset=reset)
    check_stages(case)
    check_plan(case)


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({"num_layers": 3}, {}),
        ({"num_layers": 2, "bidirectional": True}, {}),
        ({"num_layers": 3, "residual": True, "dropout": 0.3}, {}),
        ({"num_layers": 2, "bidirectional": True, "dropout": 0.5}, {"lengths": [5, 1, 0], "truncate": 2}),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_stacks(kind: str, options: dict[str, Any], call: dict[str, Any]) -> None:
    case = recurrent(kind=kind, call=call, **options)
    check_plan(case, orders=False)
    if call or kind == "gru":
        check_stages(case)
    check_plan(recurrent(Sizes(3, 1, 2, 4), kind=kind, call={**call, **({"lengths": [1, 0, 1]} if call else {})}))


def test_truncation_shows_in_the_unrolled_graph() -> None:
    """``stop_gradient`` at steps 2 and 4, for each of the two states."""
    fast = compiled(registered("lstm", truncate=2))
    cuts = [node for node in fast.passes[0].graph.unroll().nodes if node.op.name == "stop_gradient"]
    assert [node.step for node in cuts] == [2, 2, 4, 4]


@pytest.mark.parametrize("parts", ["state", "input", "result"])
def test_dicts_keep_their_keys_whatever_their_order(parts: str) -> None:
    draw = Draw(Sizes())
    a, b = draw(3, 2), draw(3, 2)

    def fn(xs: Any, a: Any, b: Any) -> Any:
        if parts == "result":
            return {"z": xs, "a": a + b}

        def step(x: Any, s: Any) -> Any:
            if parts == "input":
                return x["z"] * 2.0 - x["a"], s
            return s["z"] * x - s["a"], {"z": s["a"] + x, "a": s["z"] * 0.5}

        inputs = {"z": xs, "a": xs + 1.0} if parts == "input" else xs
        return ts.unroll(step, inputs, {"z": a, "a": b})

    case = Case(fn, (draw.xs(), a, b))
    check_plan(case)
    got = fn(*case.args)
    if parts == "input":
        xs = case.args[0].numpy()
        np.testing.assert_allclose(got[0].numpy(), 2.0 * xs - (xs + 1.0))
    assert run(ts.compile(fn), case)
