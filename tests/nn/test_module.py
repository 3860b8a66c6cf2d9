"""Modules: what they find, save, load, cast and say."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn, optim
from tinyseq.errors import DataError, DtypeError, GraphError, ShapeError


class Model(nn.Module):
    def __init__(self) -> None:
        self.table = nn.Embedding(5, 4)
        self.blocks = [nn.Linear(4, 4), {"inner": nn.Linear(4, 3, bias=False)}]
        self.scales = {"a": nn.parameter(np.ones(2)), "b": [nn.parameter(np.zeros(3))]}
        self.steps = ts.tensor(7)
        self.shift = nn.buffer(np.full(2, 0.5))
        self.note = "not a tensor"


def test_parameters_are_found_in_nested_lists_and_dicts() -> None:
    model = Model()
    assert [path for path, _ in model.named_parameters()] == [
        "scales.a",
        "scales.b.0",
        "table.W",
        "blocks.0.W",
        "blocks.0.b",
        "blocks.1.inner.W",
    ]
    assert model.num_parameters() == 2 + 3 + 20 + 16 + 4 + 12
    assert {"steps", "shift"} < set(model.state_dict())
    assert model.blocks[1]["inner"].name == "blocks1inner"
    assert model.scales["a"].name == "scales.a"


def test_a_shared_parameter_counts_once_and_stays_shared() -> None:
    model = nn.Module()
    model.first, model.second = nn.Linear(3, 3), nn.Linear(3, 3)
    model.second.W = model.first.W
    assert [path for path, _ in model.named_parameters()] == ["first.W", "first.b", "second.b"]
    assert model.num_parameters() == 15
    model.cast(np.float64)
    assert model.second.W is model.first.W
    loss = (model.second(model.first(ts.ones(1, 3, dtype=np.float64)))).sum()
    loss.backward()
    assert model.second.W.grad is model.first.W.grad
    assert model.first.W.grad is not None


def test_a_result_kept_as_an_attribute_is_neither_parameter_nor_buffer() -> None:
    model = nn.Linear(2, 2)
    model.last = model(ts.ones(1, 2))
    assert [path for path, _ in model.named_parameters()] == ["W", "b"]
    assert set(model.state_dict()) == {"W", "b"}


def test_a_deep_copy_of_a_model_is_a_model_of_its_own() -> None:
    model = Model()
    model.tied = model.table.W
    model.activation = ts.tanh
    other = copy.deepcopy(model)
    assert [path for path, _ in other.named_parameters()] == [path for path, _ in model.named_parameters()]
    assert [p.name for p in other.parameters()] == [p.name for p in model.parameters()]
    assert other.tied is other.table.W
    assert other.activation is ts.tanh
    assert other.blocks[0].name == model.blocks[0].name
    assert {id(p) for p in other.parameters()}.isdisjoint({id(p) for p in model.parameters()})
    before = model.table.W.numpy().copy()
    (other.table(ts.tensor([1])) ** 2).sum().backward()
    optim.SGD(other.parameters(), 0.1).step()
    np.testing.assert_array_equal(model.table.W.numpy(), before)
    assert model.table.W.grad is None
    assert (other.table.W.numpy() != before).any()


def test_a_deep_copy_of_an_optimizer_with_its_model_goes_on_alike() -> None:
    model = nn.Linear(2, 2)
    pair = model, optim.Adam(model.parameters(), 0.1)
    other = copy.deepcopy(pair)
    for module, opt in (pair, other):
        for _ in range(3):
            (module(ts.ones(1, 2)) ** 2).sum().backward()
            opt.step()
    np.testing.assert_array_equal(pair[0].W.numpy(), other[0].W.numpy())


def test_a_deep_copy_of_a_model_that_keeps_its_state_names_the_attribute() -> None:
    outer, inner = nn.Module(), nn.LSTM(2, 3)
    outer.encoder = [inner]
    inner.kept = {"state": inner(ts.ones(1, 2000, 2))[1]}
    with pytest.raises(GraphError, match=r"encoder\.0\.kept\.state\.0") as caught:
        copy.deepcopy(outer)
    assert "ts.detach" in caught.value.fix
    inner.kept = ts.detach(inner.kept)
    assert copy.deepcopy(outer).encoder[0].kept["state"] is not inner.kept["state"]


def test_state_goes_out_and_in() -> None:
    first, second = Model(), Model()
    state = first.state_dict()
    assert not any(value.requires_grad for value in state.values())
    second.load_state_dict({path: value.numpy() for path, value in state.items()})
    for path, value in second.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[path].numpy())


def test_what_is_saved_does_not_follow_training() -> None:
    layer = nn.Linear(2, 2)
    state = layer.state_dict()
    before = state["W"].numpy().copy()
    layer.W.assign(layer.W.detach() + 1.0)
    np.testing.assert_array_equal(state["W"].numpy(), before)


@pytest.mark.parametrize(
    ("change", "family", "words"),
    [
        (lambda s: s.pop("blocks.0.b"), DataError, "blocks.0.b"),
        (lambda s: s.update({"blocks.0.bb": np.zeros(4)}), DataError, "did you mean 'blocks.0.b'"),
        (lambda s: s.update({"blocks.0.b": np.zeros(5)}), ShapeError, "(4,)"),
        (lambda s: s.update({"steps": np.array(0.5)}), DtypeError, "int64"),
        (lambda s: s.update({"blocks.0.b": np.array(["a"] * 4)}), DtypeError, "blocks.0.b"),
    ],
)
def test_loading_is_all_or_nothing(change, family, words) -> None:
    model = Model()
    before = {path: value.numpy().copy() for path, value in model.state_dict().items()}
    state = {path: value + 1 for path, value in before.items()}
    change(state)
    with pytest.raises(family) as caught:
        model.load_state_dict(state)
    assert words in str(caught.value)
    for path, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[path])


def test_cast_gives_every_float_another_dtype_and_forgets_gradients() -> None:
    model = Model()
    assert model.dtype == np.float32
    model.table(ts.tensor([0, 1])).sum().backward()
    assert model.cast(np.float64) is model
    assert model.dtype == np.float64
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    assert model.shift.dtype == np.float64
    assert model.steps.dtype == np.int64
    assert model.table.W.grad is None
    assert model.table.W.name == "W"
    y = model.blocks[0](model.table(ts.tensor([0])))
    assert y.dtype == np.float64
    y.sum().backward()
    assert model.table.W.grad.dtype == np.float64
    with pytest.raises(DtypeError, match="float32 or float64"):
        model.cast(np.int64)


def test_train_and_eval_reach_every_module() -> None:
    model = Model()
    model.deep = [[nn.Dropout(0.5)]]
    assert model.eval() is model
    assert not model.deep[0][0].training
    model.train()
    assert model.deep[0][0].training


def test_zero_grad() -> None:
    model = nn.Linear(2, 2)
    model(ts.ones(1, 2)).sum().backward()
    assert model.b.grad is not None
    model.zero_grad()
    assert model.b.grad is None
    assert model.W.grad is None


def test_repr_lists_modules_with_sizes_and_counts() -> None:
    text = repr(Model())
    assert text.splitlines()[0] == "Model(57 parameters)"
    assert "  blocks.1.inner: Linear(4 -> 3, 12 parameters)" in text.splitlines()
    assert "LSTMCell(100 -> 50, 30,200 parameters)" in repr(nn.LSTM(100, 50))


def test_nodes_are_put_under_the_path_of_scopes() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Linear(2, 2)

        def forward(self, x: ts.Tensor) -> ts.Tensor:
            return self.inner(x)

    model = Outer()
    model.name = "outer"
    assert model(ts.ones(1, 2)).node.scope == "outer/inner"


def test_a_module_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Model has no forward"):
        Model()()
