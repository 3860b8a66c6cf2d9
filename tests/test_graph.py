"""The graph: order, walks without recursion, printing, verifying, and where nodes say they are from."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.errors import GraphError
from tinyseq.graph import Graph, Leaf, Node, at_step, literal, reach
from tinyseq.nn.functional import cross_entropy
from tinyseq.ops import elementwise as ew
from tinyseq.ops.linalg import matmul

DEEP = 100_000


@contextmanager
def shallow_stack() -> Iterator[None]:
    """Little room on the call stack: any walk that recurses over the graph fails at once."""
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 60)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def chain(x: ts.Tensor, length: int) -> ts.Tensor:
    for _ in range(length):
        x = x * 1.0
    return x


def line() -> int:
    return sys._getframe(1).f_lineno


# -- 100,000 nodes -----------------------------------------------------------------------------------------------------


def test_a_chain_of_100_000_nodes_forward_backward_printed_verified_and_freed() -> None:
    x = ts.ones(1, requires_grad=True)
    with shallow_stack():
        y = chain(x, DEEP)
        graph = Graph([y.node])
        assert len(graph) == DEEP + 2  # the leaf and the literal
        assert graph.verify() is graph
        text = str(graph)
        assert len(graph.consumers()[x.node]) == 1
        y.backward(retain_graph=True)
        assert x.grad is not None
        assert x.grad.item() == 1.0
        first = weakref.ref(next(node for node in graph if x.node in node.inputs))
        del y, graph
        gc.collect()
        assert first() is None
    assert text.count("\n") == DEEP + 2
    assert "mul(" in text


def test_a_deep_graph_is_freed_by_the_reference_count_alone() -> None:
    x = ts.ones(1, requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        with shallow_stack():
            y = chain(x, DEEP)
            first = weakref.ref(next(node for node in reach([y.node]) if x.node in node.inputs))
            del y
        assert first() is None
    finally:
        gc.enable()


def test_a_deep_gradient_of_a_gradient() -> None:
    x = ts.ones(1, requires_grad=True)
    with shallow_stack():
        (g,) = ts.gradients(chain(x * x, 10_000), [x], create_graph=True)
        assert g is not None
        (h,) = ts.gradients(g, [x])
        assert h is not None
        assert (g.item(), h.item()) == (2.0, 2.0)
        del g, h


def test_memory_per_node() -> None:
    """Printed (pytest -rP shows it), and bounded so that a node does not silently double."""
    x = ts.ones(1, requires_grad=True)
    chain(x, 10)
    gc.collect()
    tracemalloc.start()
    y = chain(x, 20_000)
    size = tracemalloc.get_traced_memory()[0] / 20_000
    y.backward()
    after = tracemalloc.get_traced_memory()[0] / 20_000
    tracemalloc.stop()
    print(f"\n{size:.0f} bytes a node of a chain of (1,) products with its value; {after:.0f} after backward")
    assert size < 1000
    assert after < size


def test_backward_lets_go_of_saved_values() -> None:
    x = ts.ones(1000, requires_grad=True)
    y = ts.exp(x)
    saved = weakref.ref(y.value)
    loss = (y * y).sum()
    del y
    assert saved() is not None
    loss.backward()
    assert saved() is None


# -- order -------------------------------------------------------------------------------------------------------------


def test_serial_order_is_topological() -> None:
    x, w = ts.randn(2, 3, requires_grad=True), ts.randn(3, 3, requires_grad=True)
    h = ts.tanh(x @ w)
    y = ts.concat([h, x], -1).sum() + (h * ts.softmax(h)).sum()
    for node in Graph([g.node for g in ts.gradients(y, [x, w], create_graph=True) if g is not None]):
        assert all(parent.serial < node.serial for parent in node.inputs)


def test_reach_gives_each_node_once_inputs_first() -> None:
    x = ts.ones(1, requires_grad=True)
    a = x + x
    y = (a * a) + a
    nodes = reach([y.node, a.node])
    assert len(nodes) == len(set(nodes)) == 4
    assert nodes[0] is x.node
    assert nodes[-1] is y.node
    assert reach([y.node], stop=lambda node: node is a.node)[0] is a.node


def test_a_graph_is_its_outputs_and_what_they_depend_on() -> None:
    x, w = ts.ones(2, requires_grad=True), ts.ones(2, requires_grad=True)
    y = x * w
    (y + 1.0).sum()  # not part of it
    graph = Graph([y.node])
    assert list(graph) == [x.node, w.node, y.node]
    assert graph.inputs == (x.node, w.node)
    assert graph.consumers() == {x.node: [y.node], w.node: [y.node], y.node: []}
    twice = x * x
    assert Graph([twice.node]).consumers()[x.node] == [twice.node, twice.node]


def test_no_node_is_made_where_nothing_can_ask_for_a_gradient() -> None:
    x = ts.ones(3)
    assert (x * 2.0)._node is None
    with ts.no_grad():
        assert (ts.ones(3, requires_grad=True) * 2.0)._node is None


# -- verify ------------------------------------------------------------------------------------------------------------


def product(shape: tuple[int, ...], dtype: type) -> Node:
    a, b = Leaf((2, 3), np.dtype(np.float32)), Leaf((3,), np.dtype(np.float32))
    return Node(ew.mul, (a, b), {}, shape, np.dtype(dtype))


def test_verify_passes_what_is_right() -> None:
    graph = Graph([product((2, 3), np.float32)])
    assert graph.verify() is graph


@pytest.mark.parametrize(("shape", "dtype"), [((2, 4), np.float32), ((3,), np.float32), ((2, 3), np.float64)])
def test_verify_catches_a_planted_signature(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(GraphError) as caught:
        Graph([product(shape, dtype)]).verify()
    assert "mul" in str(caught.value)
    assert caught.value.required == "float32(2, 3)"
    assert caught.value.got == f"{np.dtype(dtype)}{shape}"


def test_verify_catches_an_op_that_does_not_take_its_inputs() -> None:
    a, b = Leaf((2, 3), np.dtype(np.float32)), Leaf((2, 3), np.dtype(np.float32))
    with pytest.raises(ts.TinyseqError, match="matmul"):
        Graph([Node(matmul, (a, b), {}, (2, 3), np.dtype(np.float32))]).verify()


def test_verify_catches_a_node_before_its_input() -> None:
    node = product((2, 3), np.float32)
    node.inputs[0].serial = node.serial + 1
    with pytest.raises(GraphError, match="before one of its inputs"):
        Graph([node]).verify()


# -- printing ----------------------------------------------------------------------------------------------------------


def test_printing_names_ops_signatures_lines_scopes_and_steps() -> None:
    x = ts.ones(2, 3, requires_grad=True)
    x.name = "x"
    with ts.scope("encoder"), ts.scope("lstm0"), at_step(4):
        y, here = ts.tanh(x), line()
    z, there = y.sum(0) * 2.0, line()
    rows = str(Graph([z.node])).splitlines()
    assert any(row.endswith("= input() 'x' : float32(2, 3)") for row in rows)
    tanh = next(row for row in rows if "tanh" in row)
    assert f": float32(2, 3)  # scope encoder/lstm0, step 4, tests/test_graph.py:{here}" in tanh
    total = next(row for row in rows if "sum(" in row)
    assert "axis=(0,)" in total
    assert "keepdims=False" in total
    assert total.endswith(f"float32(3)  # tests/test_graph.py:{there}")
    assert any("literal()" in row and "value=2.0" in row for row in rows)
    assert rows[-1].startswith("return %")
    assert repr(Graph([z.node])) == "<Graph of 5 nodes, 1 inputs, 1 outputs>"


def test_printing_an_op_of_several_outputs() -> None:
    x = ts.ones(2, 3, requires_grad=True)
    parts = ts.unstack(x, 0)
    text = str(Graph([part.node for part in parts]))
    assert "[float32(3), float32(3)]" in text
    assert text.count("pick(") == 2


def test_gradient_nodes_are_from_the_line_of_the_node_they_differentiate() -> None:
    x = ts.ones(3, requires_grad=True)
    with ts.scope("layer"), at_step(2):
        y, here = ts.sin(x), line()
    (g,) = ts.gradients(y.sum(), [x], create_graph=True)
    assert g is not None
    cosine = next(node for node in Graph([g.node]) if node.op.name == "cos")
    assert cosine.line == f"tests/test_graph.py:{here}"
    assert (cosine.scope, cosine.step) == ("layer", 2)
    assert f"op cos, scope layer, step 2, at tests/test_graph.py:{here}" == cosine.where


def test_a_source_is_the_users_line_not_the_engines() -> None:
    x = ts.ones(3, 3, requires_grad=True)
    for made, here in [
        (x.mean(), line()),
        (ts.gelu(x), line()),
        (x[0], line()),
        (1.0 - x, line()),
        (ts.dropout(x, 0.5, seed=0), line()),
        (cross_entropy(x, ts.tensor([0, 1, 2])), line()),
    ]:
        assert made.node.line == f"tests/test_graph.py:{here}", made.node.op.name


def test_repr_of_a_node() -> None:
    x = ts.ones(2, requires_grad=True)
    y = x + 1.0
    y.name = "total"
    assert repr(y.node) == f"<add(%{x.node.serial}, %{literal(1.0).serial}) float32(2) total>"


# -- scopes and steps --------------------------------------------------------------------------------------------------


def test_scopes_nest_and_end() -> None:
    x = ts.ones(1, requires_grad=True)
    with ts.scope("a"):
        with ts.scope("b"):
            inner = x + 1.0
        with ts.scope(""):
            same = x + 1.0
    outside = x + 1.0
    assert [t.node.scope for t in (inner, same, outside)] == ["a/b", "a", ""]


def test_scopes_end_when_an_error_passes() -> None:
    with pytest.raises(KeyError), ts.scope("a"), at_step(3):
        raise KeyError
    node = (ts.ones(1, requires_grad=True) + 1.0).node
    assert (node.scope, node.step) == ("", None)


def test_threads_have_scopes_steps_and_modes_of_their_own() -> None:
    barrier, seen = threading.Barrier(2, timeout=30), {}

    def work(name: str, step: int, recording: bool) -> None:
        x = ts.ones(1, requires_grad=True)
        with ts.scope(name), at_step(step), ts.enable_grad() if recording else ts.no_grad():
            barrier.wait()
            y = x * 2.0
            barrier.wait()
            seen[name] = (y.requires_grad, y.node.scope, y.node.step)
            barrier.wait()

    threads = [threading.Thread(target=work, args=args) for args in (("one", 1, True), ("two", 2, False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen["one"] == (True, "one", 1)
    assert seen["two"][0] is False
    y = ts.ones(1, requires_grad=True) * 2.0
    assert (y.node.scope, y.node.step, y.requires_grad) == ("", None, True)


def test_threads_differentiate_at_the_same_time() -> None:
    def work(seed: int, out: list[bool]) -> None:
        for i in range(20):
            x = ts.tensor(np.full(3, float(seed + i)), requires_grad=True)
            (g,) = ts.gradients((x * x * x).sum(), [x], create_graph=True)
            (h,) = ts.gradients(g.sum(), [x])
            out.append(bool((h.numpy() == 6.0 * (seed + i)).all()))

    results: list[list[bool]] = [[], []]
    threads = [threading.Thread(target=work, args=(10 * i, results[i])) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[True] * 20, [True] * 20]


# -- literals ----------------------------------------------------------------------------------------------------------


def test_equal_literals_share_a_node_and_different_ones_do_not() -> None:
    assert literal(2.0) is literal(2.0)
    assert literal(2) is not literal(2.0)
    assert literal(True) is not literal(1)
    assert literal(0.0) is not literal(-0.0)
    assert literal(float("nan")) is not literal(float("nan"))
    for value in (True, 3, 2.5):
        assert literal(value).attrs["value"] == value
        assert literal(value).weak
        assert literal(value).shape == ()


def test_a_negative_zero_stays_one() -> None:
    x = ts.tensor([-0.0], requires_grad=True)
    graph = ts.trace(lambda x: (x + 0.0) * (x + -0.0), x)
    signs = sorted(str(node.attrs["value"]) for node in graph if "value" in node.attrs)
    assert signs == ["-0.0", "0.0"]


# -- tracing -----------------------------------------------------------------------------------------------------------


def test_a_trace_names_its_inputs() -> None:
    w = ts.ones(3, requires_grad=True)
    w.name = "w"
    graph = ts.trace(lambda x, state, scale: (x * w * scale + state["h"]).sum(), ts.ones(2, 3), {"h": ts.ones(3)}, 2.0)
    assert {node.name for node in graph.inputs} == {"x", "state.h", "w"}
    assert graph.verify().outputs[0].shape == ()


def test_a_trace_computes_nothing() -> None:
    big = ts.tensor(np.broadcast_to(np.float32(1), (2, 3)))
    big.value = np.broadcast_to(np.float32(1), (1 << 20, 1 << 20))  # 4 TiB, were it computed on
    assert ts.trace(lambda x: (x * 2.0 + 1.0).sum(), big).verify().outputs[0].shape == ()


@pytest.mark.parametrize(
    ("ask", "word"),
    [
        (lambda x: x if x.sum() > 0 else -x, "ts.where"),
        (lambda x: x * x.sum().item(), "item"),
        (lambda x: ts.tensor(x.numpy()), "numpy()"),
        (lambda x: x * float(x.sum()), "item"),
        (lambda x: x[x > 0], "mask"),
        (lambda x: x.tolist(), "values"),
    ],
)
def test_a_trace_refuses_to_give_values(ask: Callable[[ts.Tensor], object], word: str) -> None:
    with pytest.raises(GraphError) as caught:
        ts.trace(ask, ts.ones(3))
    assert word in str(caught.value)
    assert "test_graph.py" in str(caught.value)


def test_a_trace_refuses_what_is_no_tensor() -> None:
    with pytest.raises(GraphError, match="something else than tensors"):
        ts.trace(lambda x: 3, ts.ones(3))
