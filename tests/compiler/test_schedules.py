"""Schedules that libraries write by hand are found, for cells that no pass knows; and what they look like as text."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import pytest

from support.cells import CELLS, Case, Sizes, cell_case, recurrent, registered
from support.checking import compiled
from tinyseq import compiler, nn
from tinyseq.compiler.capture import trace_function
from tinyseq.compiler.function import CompiledFunction
from tinyseq.compiler.pipeline import run_passes
from tinyseq.compiler.plan import Call, Copy, Loop
from tinyseq.graph import Graph
from tinyseq.ops.scan import scan

SIZES = Sizes(4, 6, 5, 32)
SNAPSHOTS = Path(__file__).parent / "snapshots"


def loops(fast: CompiledFunction) -> list[tuple[int, int]]:
    """(products, calls) a step of each loop of a plan, in the order in which they run."""
    found = []
    for loop in fast.plan.instructions:
        if isinstance(loop, Loop):
            products = sum(isinstance(i, Call) and i.node.op.name in ("matmul", "einsum") for i in loop.body)
            found.append((products, len(loop.body)))
    return found


def named(name: str) -> Case:
    return cell_case(name, SIZES) if name in CELLS else registered(name, SIZES)


#: name: the most (products, calls) a step, of the forward loops and then of the backward ones.
FOUND: dict[str, list[tuple[int, int]]] = {
    "lstm": [(1, 9), (1, 12)],
    "gru": [(2, 13), (2, 16)],
    "rnn": [(1, 2), (1, 3)],
    "peephole_lstm": [(1, 18), (1, 24)],
    "minimal_gated_unit": [(2, 13), (2, 17)],
    "gate_fed_by_a_gate": [(3, 18), (3, 23)],
    "output_of_the_previous_step": [(1, 4), (1, 4)],
    "two_layers_in_one_step": [(1, 2), (1, 2), (1, 3), (1, 3)],
    "upper_layer_reads_the_previous_lower": [(1, 3), (1, 5), (1, 5), (1, 4)],
    "running_sum_of_products": [(0, 1)],
    "everything_depends_on_the_input_alone": [(0, 1), (0, 1)],
}


@pytest.mark.parametrize("name", FOUND)
def test_calls_and_products_of_a_step(name: str) -> None:
    found = loops(compiled(named(name)))
    assert len(found) <= len(FOUND[name]), f"{len(found)} loops"
    for got, most in zip(found, FOUND[name], strict=False):
        assert got[0] <= most[0], f"{got[0]} products in a step: {found}"
        assert got[1] <= most[1], f"{got[1]} calls in a step: {found}"


@pytest.mark.parametrize("update", ["new", "old"])
def test_a_gru_that_resets_after_the_product_needs_one(update: str) -> None:
    found = loops(compiled(recurrent(SIZES, kind="gru", reset="after", update=update)))
    assert [products for products, _ in found] == [1, 1]


def bodies(graph: Graph) -> list[Graph]:
    return [node.attrs["body"] for node in graph.nodes if node.op is scan]


@pytest.mark.parametrize(
    "name", ["lstm", "gru", "rnn", "minimal_gated_unit", "gate_fed_by_a_gate", "one_gate_used_twice"]
)
def test_inputs_and_weight_gradients_are_outside_of_the_loops(name: str) -> None:
    """In a step each product has the state's rows, and no product or sum of a weight's gradient is left there."""
    fast = compiled(named(name))
    batch, _, width, hidden = SIZES
    for body in bodies(fast.graph):
        for node in body.nodes:
            if node.op.name == "matmul":
                left, right = node.inputs
                assert left.shape[0] == batch, f"a weight's gradient is summed up in the loop: {node}"
                assert right.shape != (width, node.shape[-1]), f"the input is projected in the loop: {node}"
                assert node.shape[-1] != width, f"the input's gradient is made in the loop: {node}"
        carried = body.outputs[: len(body.inputs)]
        assert all(leaf.shape != (hidden,) for leaf in carried), "a bias's gradient is summed up in the loop"


def test_an_output_head_and_a_loss_leave_the_loop() -> None:
    for body in bodies(compiled(named("two_layers_in_one_step")).graph):
        assert all(node.shape[-1] != 2 for node in body.nodes if node.op.name == "matmul")


@pytest.mark.parametrize("name", [*CELLS, *nn.CELLS])
def test_the_work_of_compiling_does_not_grow_with_time(name: str) -> None:
    """As many nodes after each pass, and as many instructions, for 8 steps as for 1024."""
    counts = []
    for time in (8, 1024):
        case = cell_case(name, Sizes(2, time, 2, 3)) if name in CELLS else registered(name, Sizes(2, time, 2, 3))
        traced = trace_function(case.fn, case.args, {})
        wanted = [leaf for leaf in (*traced.captured.values(), *traced.arguments) if leaf.requires_grad]
        stages = run_passes(traced.graph, wanted).stages
        counts.append([(s.name, len(s.graph), [len(body) for body in bodies(s.graph)]) for s in stages])
    assert counts[0] == counts[1]


def test_no_pass_knows_a_cell() -> None:
    folder = Path(inspect.getfile(compiler)).parent
    files = [
        *folder.glob("passes/*.py"),
        *(folder / f"{n}.py" for n in ("pipeline", "differentiate", "loops", "batching")),
    ]
    words = {name.replace("_", "") for name in nn.CELLS} | {"lstm", "gru", "rnn", "mgu", "gate", "cell"}
    assert len(files) > 8
    for file in files:
        code = re.sub(r'""".*?"""|#[^\n]*', "", file.read_text(encoding="utf-8"), flags=re.DOTALL)  # prose may explain
        names = {part for word in re.findall(r"[A-Za-z_]+", code) for part in word.lower().split("_")}
        assert not names & words, f"{file.name}: {sorted(names & words)}"
        assert "tinyseq.nn" not in code


@pytest.mark.parametrize(
    "direction",
    [
        0,
        1,
    ],
    ids=["forward", "backward"],
)
def test_instructions_name_the_users_lines(direction: int) -> None:
    found = [i for i in compiled(named("minimal_gated_unit")).plan.instructions if isinstance(i, Loop)]
    inner = [i for i in found[direction].body if not isinstance(i, Copy)]
    assert inner
    assert all("support/cells/gates.py" in i.node.line for i in inner), [i.node.line for i in inner]


# -- snapshots ---------------------------------------------------------------------------------------------------------


def snapshot(fast: CompiledFunction) -> str:
    rows = [
        f"{'forward' if not i else 'backward'}: {p} products, {c} calls a step" for i, (p, c) in enumerate(loops(fast))
    ]
    return "\n".join([*rows, f"memory: {fast.plan.memory} bytes", "", str(fast.plan), ""])


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_plans_are_those_of_the_snapshots(name: str) -> None:
    """``TINYSEQ_REWRITE_SNAPSHOTS=1 pytest tests/compiler`` writes them anew; read the difference before committing."""
    text = snapshot(compiled(registered(name, Sizes(4, 6, 5, 8))))
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("TINYSEQ_REWRITE_SNAPSHOTS") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    expected = file.read_text(encoding="utf-8")
    assert text == expected, "the plan has changed; TINYSEQ_REWRITE_SNAPSHOTS=1 rewrites the snapshots"
