"""Plans: no live value is overwritten, and the storage is what the design promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.cells import CELLS, FUNCTIONS, Case, Sizes, cell_case, recurrent, registered
from support.checking import compiled, entry_of, leaf_values, run
from tinyseq import nn
from tinyseq.compiler.checking import verify_plan
from tinyseq.compiler.function import Entry
from tinyseq.compiler.lower.numpy import Executable
from tinyseq.compiler.plan import Call, Copy, Loop, Plan
from tinyseq.compiler.report import costs
from tinyseq.errors import GraphError


def plan_of(case: Any) -> Plan:
    return compiled(case).plan


@pytest.mark.parametrize("name", CELLS)
def test_plans_of_odd_cells_overwrite_nothing_live(name: str) -> None:
    verify_plan(plan_of(cell_case(name)))
    verify_plan(plan_of(cell_case(name, reverse=True, truncate=2)))


@pytest.mark.parametrize("name", [*FUNCTIONS, *nn.CELLS])
def test_plans_overwrite_nothing_live(name: str) -> None:
    verify_plan(plan_of(FUNCTIONS[name](Sizes()) if name in FUNCTIONS else registered(name)))


def test_plans_of_stacks_overwrite_nothing_live() -> None:
    verify_plan(plan_of(recurrent(num_layers=2, bidirectional=True, dropout=0.3, call={"lengths": [5, 2, 0]})))


# -- the verifier is put to the test: planted mistakes must be found --------------------------------------------------


def outcome(plan: Plan, entry: Entry, case: Case) -> list[Any]:
    """What a plan computes for the arguments of the last call."""
    executable, values = Executable(plan), leaf_values(entry, case)
    count = len(entry.traced.graph.outputs)
    seeds = {leaf: values.pop(leaf) for leaf in entry.compiled.seeds if leaf is not None}
    first = executable.forward({leaf: values[leaf] for leaf in plan.inputs if leaf in values}, count)
    return [*first, *executable.backward(seeds, count)]


def test_two_live_buffers_in_one_slot_are_found() -> None:
    """Put any two buffers of one size in one slot: whenever that changes a result, the verifier must have seen it."""
    case = registered("lstm")
    fast = compiled(case)
    plan, entry = fast.plan, entry_of(fast)
    right = outcome(plan, entry, case)
    harmful = 0
    for a in plan.buffers:
        for b in plan.buffers:
            if a is b or a.nbytes != b.nbytes or a.slot == b.slot or a.first > b.first:
                continue
            old, b.slot = b.slot, a.slot
            if not all(np.array_equal(x, y) for x, y in zip(outcome(plan, entry, case), right, strict=True)):
                harmful += 1
                with pytest.raises(GraphError):
                    verify_plan(plan)
            b.slot = old
    assert harmful > 20
    verify_plan(plan)


def test_a_product_that_writes_over_its_operand_is_found() -> None:
    fast = ts.compile(lambda x, w: ts.tanh(x) @ w)
    with ts.no_grad():
        fast(ts.ones(4, 4), ts.ones(4, 4))
    tanh, product = (i for i in fast.plan.instructions if isinstance(i, Call))
    product.output.buffer.slot = tanh.output.buffer.slot
    with pytest.raises(GraphError, match="writes over what it reads"):
        verify_plan(fast.plan)


def loops(plan: Plan) -> list[Loop]:
    return [instruction for instruction in plan.instructions if isinstance(instruction, Loop)]


def test_a_missing_instruction_is_found() -> None:
    plan = plan_of(registered("gru"))
    for loop in loops(plan):
        for index in range(len(loop.body)):
            removed = loop.body.pop(index)
            with pytest.raises(GraphError, match="reads"):
                verify_plan(plan)
            loop.body.insert(index, removed)
    verify_plan(plan)


def test_instructions_in_another_order_are_found() -> None:
    plan = plan_of(registered("gru"))
    loop = loops(plan)[0]
    loop.body.reverse()
    with pytest.raises(GraphError, match="reads"):
        verify_plan(plan)


def test_an_initial_state_that_is_not_copied_is_found() -> None:
    plan = plan_of(registered("rnn"))
    first = next(i for i, instruction in enumerate(plan.instructions) if isinstance(instruction, Copy))
    del plan.instructions[first]
    with pytest.raises(GraphError, match="reads"):
        verify_plan(plan)


def test_an_output_that_is_copied_after_the_forward_part_is_found() -> None:
    """Outputs are handed out where the forward part ends: the copy that a view needs must come before."""
    x = ts.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    fast = ts.compile(lambda x: (x * x).T.reshape(-1), verify=True)
    np.testing.assert_array_equal(fast(x).numpy(), [0, 9, 1, 16, 4, 25])
    plan = fast.plan
    assert isinstance(plan.instructions[plan.forward - 1], Copy)
    plan.forward -= 1
    with pytest.raises(GraphError, match="where another value lies"):
        verify_plan(plan)


def test_a_result_that_is_written_again_is_found() -> None:
    """Every instruction outside of loops is done twice: none may write where its buffer holds something already."""
    plan = plan_of(registered("gru"))
    for index, instruction in enumerate(list(plan.instructions)):
        if isinstance(instruction, Loop):
            continue
        plan.instructions.insert(index, instruction)
        with pytest.raises(GraphError, match="overwrites"):
            verify_plan(plan)
        del plan.instructions[index]
    verify_plan(plan)


# -- storage -----------------------------------------------------------------------------------------------------------


def test_a_state_that_is_the_output_is_stored_once() -> None:
    """s_{t-1} and s_t are shifted views of one buffer of T + 1 steps, input and bias beside them; nothing is copied."""
    case = registered("rnn", Sizes(3, 7, 2, 4))
    plan = plan_of(case)
    forward = loops(plan)[0]
    assert not any(isinstance(inner, Copy) for inner in forward.body)
    joined = [buffer for buffer in plan.buffers if buffer.kind == "state" and buffer.shape[:2] == (8, 3)]
    assert [buffer.shape[2] >= 4 + 2 + 1 for buffer in joined] == [True]


def test_a_loop_of_large_products_keeps_features_first() -> None:
    """Products of 128 * 512 weights and more run as W^T h^T, and no product's operand is copied in the loops."""
    plan = plan_of(registered("lstm", Sizes(4, 5, 16, 128)))
    for loop in loops(plan):
        products = [inner for inner in loop.body if isinstance(inner, Call) and inner.node.op.name == "matmul"]
        assert len(products) == 1
        for ref in (*products[0].inputs, products[0].output):
            assert ref.ghost().strides[0] == 8, f"{ref} lies {ref.ghost().strides}"
        assert not any(isinstance(inner, Copy) for inner in loop.body)


def test_memory_without_gradients_grows_with_the_sequences_only() -> None:
    def memory(time: int) -> int:
        case = registered("lstm", Sizes(2, time, 3, 64))
        fast = ts.compile(case.fn)
        with ts.no_grad():
            fast(*case.args)
        return fast.plan.memory

    per_step = (memory(40) - memory(20)) / 20
    row = 2 * 8  # two rows of float64
    assert per_step <= row * (3 + 64 * (4 + 1 + 1 + 4) + 8), "input, its projection, h, c and lanes of one step"


def test_costs_of_stages_that_cannot_be_planned_yet() -> None:
    """A trace may hold ops of several outputs, and gradients to be worked out; the memory is told from later on."""
    x = ts.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    for fn in (lambda x: ts.split(x, 1, 1)[1] * 2.0, lambda x: ts.grad(lambda x: (x * x).sum())(x)):
        fast = ts.compile(fn)
        fast(x)
        found = [cost.memory for cost in costs(fast)]
        assert found[0] is None
        assert found[-1] == fast.plan.memory


def test_loops_stay_loops() -> None:
    sizes = [len(plan_of(registered("lstm", Sizes(2, time, 3, 4))).instructions) for time in (3, 30)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_nothing_is_allocated_in_a_run(name: str) -> None:
    """A run takes no memory beyond what NumPy's own loops buffer: no temporary array of a sequence's size."""
    import tracemalloc

    case = registered(name, Sizes(16, 100, 16, 32))
    fast = ts.compile(case.fn)
    run(fast, case)
    assert fast.last is not None
    executable = fast.last.idle[-1]
    calls = executable.calls
    with np.errstate(all="ignore"):
        tracemalloc.start()
        for function, args in calls:
            function(*args)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 200 * 1024 < 100 * 16 * 32 * 8, f"{peak} bytes"
