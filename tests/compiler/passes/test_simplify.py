"""Simplify: what each rule makes of a graph, what it leaves alone, and that an exact one gives the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.checking import interpret
from support.passes import acts, stays, text
from tinyseq.compiler.passes import simplify as module
from tinyseq.compiler.passes.simplify import RULES, RewriteRule, simplify
from tinyseq.graph import Graph
from tinyseq.ops import elementwise as ew
from tinyseq.ops import shape as sh
from tinyseq.tensors import record

FLOATS: tuple[Any, ...] = (np.float16, np.float32, np.float64)
INTEGERS: tuple[Any, ...] = (np.int64, np.int8, np.uint8)
EVERY = (*FLOATS, *INTEGERS, np.bool_)


def special(dtype: Any) -> np.ndarray:
    """Twelve values, all of those that algebra forgets among them."""
    kind = np.dtype(dtype).kind
    if kind == "f":
        limits = np.finfo(dtype)
        found = [0.0, -0.0, np.inf, -np.inf, np.nan, limits.smallest_subnormal, -limits.smallest_subnormal]
        found += [limits.tiny, limits.max, -limits.max, 1 / 3, -1.5]
    elif kind == "b":
        found = [True, False] * 6
    else:
        limits = np.iinfo(dtype)
        found = [0, 1, limits.min, limits.max, limits.max - 1, 2] * 2
    return np.array(found, dtype).reshape(3, 4)


@dataclass(frozen=True)
class Case:
    """A function of one array that a rule changes, and others, as like it as can be, that it must not."""

    acts: Callable[[Any], Any]
    stays: tuple[Callable[[Any], Any], ...]
    dtypes: tuple[Any, ...] = EVERY


def among(x: Any, where: slice, width: int = 8) -> Any:
    """The columns of x among columns of zeros."""
    return sh.unslice(x, (slice(None), where), (3, width))


CASES: dict[str, list[Case]] = {
    "unchanged": [
        Case(lambda x: ew.identity(x), (lambda x: ew.stop_gradient(x),)),
        Case(lambda x: ew.cast(x, x.dtype), (lambda x: ew.cast(x, np.int32), lambda x: ew.cast(x, np.float16) * x)),
        Case(lambda x: record(sh.reshape, (x,), {"shape": (3, 4)}), (lambda x: sh.reshape(x, 4, 3),)),
        Case(
            lambda x: record(sh.broadcast_to, (x,), {"shape": (3, 4)}),
            (lambda x: sh.broadcast_to(x, 2, 3, 4),),
        ),
        Case(lambda x: record(sh.sum_to, (x,), {"shape": (3, 4)}), (lambda x: sh.sum_to(x, 1, 4),)),
    ],
    "plus_nothing": [
        Case(lambda x: x + -0.0, (lambda x: x + 0.0, lambda x: 0.0 + x, lambda x: x + 0, lambda x: x + 1e-300), FLOATS),
        Case(lambda x: 0 + x, (lambda x: x + 1, lambda x: x + 0.0), INTEGERS),
        Case(lambda x: x + sh.zeros_like(x), (lambda x: sh.zeros_like(x, (2, 1, 1)) + x,), (*INTEGERS, np.bool_)),
        Case(lambda x: x + False, (lambda x: x + True, lambda x: x + 0), (np.bool_,)),
    ],
    "sum_of_parts": [
        Case(
            lambda x: among(x, slice(0, 4)) + among(x, slice(4, 8)),
            (
                lambda x: among(x, slice(0, 4)) + among(x, slice(3, 7)),
                lambda x: among(x, slice(0, 4), 9) + among(x, slice(4, 8), 9),
                lambda x: among(x, slice(0, 8, 2)) + among(x, slice(1, 8, 2)),
            ),
        )
    ],
    "minus_nothing": [
        Case(lambda x: x - 0.0, (lambda x: x - -0.0, lambda x: 0.0 - x), FLOATS),
        Case(lambda x: x - 0, (lambda x: 0 - x, lambda x: x - 0.0), INTEGERS),
    ],
    "times_one": [
        Case(lambda x: 1.0 * x, (lambda x: x * -1.0, lambda x: x * 0.0), FLOATS),
        Case(lambda x: x * 1, (lambda x: x * 1.0, lambda x: x * 2), INTEGERS),
        Case(lambda x: x * True, (lambda x: x * False, lambda x: x * 1), (np.bool_,)),
    ],
    "scaled_twice": [
        Case(
            lambda x: 0.1 * (x * 0.7),
            (lambda x: (x * 1e30) * 1e-30, lambda x: (x * 1e-200) * 1e-200, lambda x: (x * 1e200) * 1e200,
             lambda x: (x * np.inf) * 2.0, lambda x: (x * 0.0) * 0.5, lambda x: (x * x) * 0.5),
            FLOATS,
        ),
        Case(lambda x: (x * 3.0) * 7.0, (lambda x: (x * 3.0) * 0.5,), FLOATS),
        Case(lambda x: (x * 3.0) * 7, (lambda x: (x * 3) * 7,), INTEGERS),
    ],
    "negated_twice": [Case(lambda x: ew.neg(ew.neg(x)), (lambda x: ew.neg(x * x),), (*FLOATS, *INTEGERS))],
    "either_way": [
        Case(lambda x: ts.where(x == x, x, x), (lambda x: ts.where(x == x, x, x * x),)),
        Case(
            lambda x: ts.where(sh.reshape(x == x, 3, 4), x, x),
            (lambda x: ts.where(sh.reshape(x == x, 3, 1, 4), x, x), lambda x: ts.where(x == x, 1, 1)),
        ),
    ],
    "reshaped_twice": [
        Case(lambda x: sh.reshape(sh.reshape(x, 12), 4, 3), (lambda x: sh.reshape(sh.transpose(x), 3, 4),)),
    ],
    "in_order": [Case(lambda x: sh.transpose(x, 0, 1), (lambda x: sh.transpose(x, 1, 0),))],
    "transposed_twice": [
        Case(lambda x: sh.transpose(sh.transpose(x)), (lambda x: sh.transpose(sh.reshape(x, 4, 3)),)),
    ],
    "whole_slice": [
        Case(lambda x: x[:], (lambda x: x[:2], lambda x: x[::-1], lambda x: x[None], lambda x: x[0:3, 1:])),
        Case(lambda x: x[0:3, :9], (lambda x: x[0],)),
    ],
    "slice_of_joined": [
        Case(
            lambda x: ts.concat([x, x * x], 1)[:, 4:8],
            (
                lambda x: ts.concat([x, x * x], 1)[:, 3:7],
                lambda x: ts.concat([x, x * x], 1)[:, 4:8:2],
                lambda x: ts.concat([x, x * x], 0)[:, 0:2],
                lambda x: ts.concat([x, ew.cast(x, np.float64)], 1)[:, 0:4] if x.dtype != np.float64 else x * x,
            ),
        )
    ],
    "one_part": [
        Case(lambda x: ts.split(x, [1, 3], 1)[1], (lambda x: x[:, 1:4],)),
        Case(lambda x: ts.unstack(x, 0)[2], (lambda x: x[2],)),
    ],
    "joined_alone": [Case(lambda x: ts.concat([x], 0), (lambda x: ts.concat([x, x], 0),))],
}  # fmt: skip

NAMES = {name for name, thing in vars(module).items() if isinstance(thing, RewriteRule)}
EACH = [
    pytest.param(name, case, dtype, id=f"{name}-{number}-{np.dtype(dtype).name}")
    for name, cases in CASES.items()
    for number, case in enumerate(cases)
    for dtype in case.dtypes
]


def test_every_rule_is_in_the_table_and_tested() -> None:
    listed = {rule.apply.__name__ for rules in RULES.values() for rule in rules}
    assert listed == NAMES == set(CASES)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_rules_docstring_says_its_contract(name: str) -> None:
    rule: RewriteRule = vars(module)[name]
    assert ("Exact." if rule.exact else "Rounds") in (rule.apply.__doc__ or "")


def traced(fn: Callable[[Any], Any], dtype: Any) -> Graph:
    return ts.trace(fn, ts.Tensor(special(dtype)))


def applied(rule: RewriteRule, graph: Graph) -> Any:
    """What a rule alone makes of a graph's output, None where it leaves it."""
    node = graph.outputs[0]
    return rule.apply(node) if rule in RULES.get(node.op, ()) else None


def bits(a: np.ndarray) -> bytes:
    a = np.where(np.isnan(a), np.nan, a).astype(a.dtype) if a.dtype.kind == "f" else a
    return a.tobytes()


@pytest.mark.parametrize(("name", "case", "dtype"), EACH)
def test_a_rule_keeps_its_contract_for_special_values(name: str, case: Case, dtype: Any) -> None:
    rule: RewriteRule = vars(module)[name]
    before = traced(case.acts, dtype)
    simpler = applied(rule, before)
    assert simpler is not None, "the rule does not act"
    after = Graph([simpler], before.inputs).verify()
    assert (after.outputs[0].shape, after.outputs[0].dtype) == (before.outputs[0].shape, before.outputs[0].dtype)
    values = {before.inputs[0]: special(dtype)}
    a, b = (interpret(graph, values)[0] for graph in (before, after))
    if rule.exact:
        assert bits(a) == bits(b)
    elif a.dtype.kind == "f":
        limits = np.finfo(a.dtype)
        np.testing.assert_allclose(a, b, rtol=2 * limits.eps, atol=limits.tiny)
    else:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "case", "dtype"), EACH)
def test_a_rule_leaves_what_only_looks_like_it(name: str, case: Case, dtype: Any) -> None:
    rule: RewriteRule = vars(module)[name]
    for number, fn in enumerate(case.stays):
        graph = traced(fn, dtype)
        assert applied(rule, graph) is None, f"the rule acts on number {number}: {graph}"


@pytest.mark.parametrize("dtype", EVERY, ids=lambda dtype: np.dtype(dtype).name)
def test_what_is_left_gives_the_same_bits(dtype: Any) -> None:
    """All exact cases at once, each made twice: equal nodes are one, and no two that differ in a zero's sign."""
    exact = [
        case.acts
        for name, cases in CASES.items()
        for case in cases
        if dtype in case.dtypes and vars(module)[name].exact
    ]
    stays = [fn for cases in CASES.values() for case in cases if dtype in case.dtypes for fn in case.stays]
    graph = traced(lambda x: tuple(fn(x) for fn in (*exact, *exact)), dtype)
    assert len(simplify(graph)) < len(graph)
    for fn in (*exact, *stays):
        graph = traced(fn, dtype)
        before, after = (interpret(g, {graph.inputs[0]: special(dtype)})[0] for g in (graph, simplify(graph).verify()))
        assert bits(before) == bits(after), text(graph)


def test_numbers_of_equal_value_are_told_apart() -> None:
    x = ts.Tensor(np.array([-1.0, -0.0, 0.0, 2.0]))
    for fn in (
        lambda x: (ts.clip(x, 0.0, 1.0), ts.clip(x, -0.0, 1.0)),
        lambda x: (ts.pad(x, ((1, 0),), 0.0), ts.pad(x, ((1, 0),), -0.0)),
        lambda x: (ts.maximum(x, 0.0), ts.maximum(x, -0.0)),
        lambda x: (x * 0.0, x * -0.0),
    ):
        graph = ts.trace(fn, x)
        after = simplify(graph)
        assert after.outputs[0] is not after.outputs[1]


# -- as text -----------------------------------------------------------------------------------------------------------


def test_equal_nodes_are_one() -> None:
    acts(
        simplify,
        traced(lambda x: ts.tanh(x * 2.0) + ts.exp(x * 2.0) * ts.tanh(x * 2.0), np.float32),
        """
            x : float32(3, 4)
            %0 = mul(x, 2.0) : float32(3, 4)
            %1 = tanh(%0) : float32(3, 4)
            %2 = mul(x, 2.0) : float32(3, 4)
            %3 = exp(%2) : float32(3, 4)
            %4 = mul(x, 2.0) : float32(3, 4)
            %5 = tanh(%4) : float32(3, 4)
            %6 = mul(%3, %5) : float32(3, 4)
            %7 = add(%1, %6) : float32(3, 4)
            return %7
        """,
        """
            x : float32(3, 4)
            %0 = mul(x, 2.0) : float32(3, 4)
            %1 = tanh(%0) : float32(3, 4)
            %2 = exp(%0) : float32(3, 4)
            %3 = mul(%2, %1) : float32(3, 4)
            %4 = add(%1, %3) : float32(3, 4)
            return %4
        """,
    )


def test_what_changes_nothing_goes() -> None:
    acts(
        simplify,
        traced(lambda x: sh.transpose(sh.transpose((x * 1.0)[:])) - 0.0, np.float32),
        """
            x : float32(3, 4)
            %0 = mul(x, 1.0) : float32(3, 4)
            %1 = slice(%0) key=[:] : float32(3, 4)
            %2 = transpose(%1) axes=[1,0] : float32(4, 3)
            %3 = transpose(%2) axes=[1,0] : float32(3, 4)
            %4 = sub(%3, 0.0) : float32(3, 4)
            return %4
        """,
        """
            x : float32(3, 4)
            return x
        """,
    )


def test_what_changes_the_sign_of_a_zero_stays() -> None:
    stays(
        simplify,
        traced(lambda x: 1.0 / (x + 0.0) + sh.zeros_like(x), np.float32),
        """
            x : float32(3, 4)
            %0 = add(x, 0.0) : float32(3, 4)
            %1 = div(1.0, %0) : float32(3, 4)
            %2 = zeros_like(x) shape=[3,4] : float32(3, 4)
            %3 = add(%1, %2) : float32(3, 4)
            return %3
        """,
    )


def test_factors_meet_where_neither_undoes_the_other() -> None:
    acts(
        simplify,
        traced(lambda x: ((x * 0.5) * 0.25, (x * 4.0) * 0.125), np.float32),
        """
            x : float32(3, 4)
            %0 = mul(x, 0.5) : float32(3, 4)
            %1 = mul(%0, 0.25) : float32(3, 4)
            %2 = mul(x, 4.0) : float32(3, 4)
            %3 = mul(%2, 0.125) : float32(3, 4)
            return %1, %3
        """,
        """
            x : float32(3, 4)
            %0 = mul(x, 0.125) : float32(3, 4)
            %1 = mul(x, 4.0) : float32(3, 4)
            %2 = mul(%1, 0.125) : float32(3, 4)
            return %0, %2
        """,
    )


def test_a_slice_of_what_was_joined() -> None:
    acts(
        simplify,
        traced(lambda x: (ts.concat([x, -x], 1)[:, 4:8], ts.concat([x, x * x], 1)[:, 3:7]), np.float32),
        """
            x : float32(3, 4)
            %0 = neg(x) : float32(3, 4)
            %1 = concat(x, %0) axis=1 : float32(3, 8)
            %2 = slice(%1) key=[:,4:8] : float32(3, 4)
            %3 = mul(x, x) : float32(3, 4)
            %4 = concat(x, %3) axis=1 : float32(3, 8)
            %5 = slice(%4) key=[:,3:7] : float32(3, 4)
            return %2, %5
        """,
        """
            x : float32(3, 4)
            %0 = neg(x) : float32(3, 4)
            %1 = mul(x, x) : float32(3, 4)
            %2 = concat(x, %1) axis=1 : float32(3, 8)
            %3 = slice(%2) key=[:,3:7] : float32(3, 4)
            return %0, %3
        """,
    )


def test_parts_of_a_gradient() -> None:
    acts(
        simplify,
        traced(lambda x: among(x, slice(4, 8)) + among(x * x, slice(0, 4)), np.float32),
        """
            x : float32(3, 4)
            %0 = unslice(x) key=[:,4:8] shape=[3,8] : float32(3, 8)
            %1 = mul(x, x) : float32(3, 4)
            %2 = unslice(%1) key=[:,0:4] shape=[3,8] : float32(3, 8)
            %3 = add(%0, %2) : float32(3, 8)
            return %3
        """,
        """
            x : float32(3, 4)
            %0 = mul(x, x) : float32(3, 4)
            %1 = concat(%0, x) axis=1 : float32(3, 8)
            return %1
        """,
    )
