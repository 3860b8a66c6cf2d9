"""Sequential and ModuleList: PyTorch's values under PyTorch's names."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn


def test_sequential_is_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install tinyseq[parity]")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    ours = nn.Sequential(nn.Linear(3, 4), ts.tanh, nn.Linear(4, 2))
    nn.from_torch(ours, {name: value.detach().numpy() for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = theirs(torch.tensor(x)).detach().numpy()
    for model in (ours, ts.compile(ours)):
        np.testing.assert_allclose(model(ts.tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert list(ours.state_dict()) == ["0.W", "0.b", "2.W", "2.b"]
    assert set(nn.to_torch(ours)) == set(theirs.state_dict())


def test_the_outputs_of_recurrent_layers_go_on() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.LSTM(3, 4), nn.GRUCell(4, 2), nn.Linear(2, 1))
    assert model(ts.tensor([[1, 2, 3]])).shape == (1, 3, 1)
    assert [type(layer).__name__ for layer in model][1] == type(model[1]).__name__ == "LSTM"


def test_a_module_list_holds_parameters() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

        def forward(self, x: ts.Tensor) -> ts.Tensor:
            for layer in self.layers:
                x = layer(x)
            return x

    net = Net()
    assert (len(net.layers), net.num_parameters(), net(ts.ones(1, 2)).shape) == (3, 18, (1, 2))
    net.layers.append(nn.Linear(2, 5))
    assert [name for name, _ in net.named_parameters()][-2:] == ["layers.3.W", "layers.3.b"]


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(ts.TinyseqError, match="modules, or functions"):
        nn.Sequential(nn.Linear(2, 3), "tanh")
    with pytest.raises(ts.TinyseqError, match="ModuleList: not a module"):
        nn.ModuleList([ts.tanh])
