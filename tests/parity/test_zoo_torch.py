"""Cells of the zoo against torchrecurrent and minGRU-pytorch: the same weights, outputs and gradients in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install tinyseq[parity]")
theirs = pytest.importorskip("torchrecurrent", reason="torchrecurrent is not installed: pip install tinyseq[parity]")
mingru = pytest.importorskip("minGRU_pytorch", reason="minGRU-pytorch is not installed: pip install tinyseq[parity]")
minlstm = pytest.importorskip("minGRU_pytorch.minLSTM")

from support.torch_parity import CLOSE, randomize  # noqa: E402

pytestmark = pytest.mark.parity

B, T, I, H = 3, 6, 4, 5  # noqa: E741 - as the equations have it
#: ours -> (theirs, its options; for each weight of ours, (the parts of [h, x]: (their matrix, block)), its bias).
CASES: dict[str, tuple[str, dict[str, Any], dict[str, tuple[Any, ...]]]] = {
    "mgu": ("MGUCell", {}, {"f": (("hh", 0), ("ih", 0)), "h": (("hh", 1), ("ih", 1))}),
    "ugrnn": ("UGRNNCell", {}, {"c": (("hh", 0), ("ih", 0)), "g": (("hh", 1), ("ih", 1))}),
    "janet": ("JANETCell", {}, {"f": (("hh", 0), ("ih", 0)), "c": (("hh", 1), ("ih", 1))}),
    "ligru": ("LiGRUCell", {}, {"z": (("hh", 0), ("ih", 0)), "h": (("hh", 1), ("ih", 1))}),
    "minimal_rnn": ("MinimalRNNCell", {}, {"z": (("ih", 0),), "u": (("hh", 0), ("mm", 0))}),
    "star": ("STARCell", {}, {"z": (("ih", 0),), "k": (("hh", 0), ("ih", 1))}),
    "cfn": ("CFNCell", {}, {"f": (("hh", 0), ("ih", 0)), "i": (("hh", 1), ("ih", 1)), "x": (("ih", 2),)}),
    "ran": ("RANCell", {}, {"c": (("ih", 0),), "i": (("hh", 0), ("ih", 1)), "f": (("hh", 1), ("ih", 2))}),
}


def carried(name: str) -> tuple[nn.Cell, Any]:
    """A cell of theirs with random weights, and ours with the same."""
    kind, options, parts = CASES[name]
    reference = randomize(getattr(theirs, kind)(I, H, **options))
    with torch.no_grad():
        for path, p in reference.named_parameters():
            if path == "beta":
                p.fill_(1.0)
            if name == "cfn" and path == "bias_ih":
                p[2 * H :] = 0.0  # the paper's candidate has no bias
    own = {path: p.detach().numpy() for path, p in reference.named_parameters()}
    state: dict[str, Any] = {}
    for weight, blocks in parts.items():
        columns = [own[f"weight_{matrix}"][block * H : (block + 1) * H].T for matrix, block in blocks]
        state[f"W_{weight}"] = np.concatenate(columns)
        bias = np.zeros(H)
        for matrix, block in blocks:
            skipped = 1 if name == "ran" and matrix == "ih" else 0  # its candidate's bias is not there
            given = own.get(f"bias_{matrix}", np.zeros(0))[(block - skipped) * H : (block - skipped + 1) * H]
            bias = bias + given if len(given) == H else bias
        state[f"b_{weight}"] = bias
    cell = nn.cell_factory(name)(I, H).cast(np.float64)
    cell.load_state_dict({path: state[path] for path, _ in cell.named_parameters()})
    return cell, reference


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients(name: str) -> None:
    cell, reference = carried(name)
    compare(cell, reference)


def compare(cell: nn.Cell, reference: Any) -> None:
    rng = np.random.default_rng(3)
    x, g = rng.normal(size=(B, T, I)), rng.normal(size=(B, T, H))
    mine, other = ts.tensor(x), torch.tensor(x, requires_grad=True)
    mine.requires_grad = True
    ys = ts.unroll(cell, mine)[0]
    (ys * ts.tensor(g)).sum().backward()
    state, outs = None, []
    for t in range(T):
        state = reference(other[:, t], state)
        outs.append(state[0] if isinstance(state, tuple) else state)
    expected = torch.stack(outs, 1)
    (expected * torch.tensor(g)).sum().backward()
    np.testing.assert_allclose(ys.numpy(), expected.detach().numpy(), **CLOSE)
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), **CLOSE)


def test_antisymmetric() -> None:
    reference = randomize(theirs.AntisymmetricRNNCell(I, H, epsilon=0.3, gamma=0.2))
    cell = nn.cell_factory("antisymmetric_rnn", epsilon=0.3, gamma=0.2)(I, H).cast(np.float64)
    own = {path: p.detach().numpy() for path, p in reference.named_parameters()}
    bias = sum(value for path, value in own.items() if path.startswith("bias"))
    cell.load_state_dict({"W": own["weight_hh"].T, "V": own["weight_ih"].T, "b": bias})
    compare(cell, reference)


def test_cornn() -> None:
    reference = randomize(theirs.coRNNCell(I, H, dt=0.2, gamma=1.5, epsilon=0.7))
    cell = nn.cell_factory("cornn", dt=0.2, gamma=1.5, epsilon=0.7)(I, H).cast(np.float64)
    own = {path: p.detach().numpy() for path, p in reference.named_parameters()}
    bias = sum(value for path, value in own.items() if path.startswith("bias"))
    both = np.concatenate([own["weight_hh"].T, own["weight_ih"].T])
    cell.load_state_dict({"W": both, "W_z": own["weight_ch"].T, "b": bias})
    compare(cell, reference)


def test_unicornn() -> None:
    reference = randomize(theirs.UnICORNNCell(I, H, dt=0.2, alpha=0.7))
    cell = nn.cell_factory("unicornn", dt=0.2, alpha=0.7)(I, H).cast(np.float64)
    own = {path: p.detach().numpy() for path, p in reference.named_parameters()}
    bias = sum(value for path, value in own.items() if path.startswith("bias"))
    cell.load_state_dict({"w": own["weight_hh"], "V": own["weight_ih"].T, "c": own["weight_ch"], "b": bias})
    compare(cell, reference)


@pytest.mark.parametrize("name", ["mingru", "minlstm"])
def test_minimal_cells_in_logarithms(name: str) -> None:
    """The whole sequence by minGRU-pytorch's parallel scan in logarithms; it has no biases."""
    reference = randomize(mingru.minGRU(I) if name == "mingru" else minlstm.minLSTM(I))
    (weight,) = (p.detach().numpy() for p in reference.parameters())
    blocks = dict(zip("hz" if name == "mingru" else "hfi", np.split(weight, len(weight) // I), strict=True))
    cell = nn.cell_factory(name)(I, I).cast(np.float64)
    cell.load_state_dict(
        {p: blocks[p[2]].T if p[0] == "W" else np.zeros(v.shape) for p, v in cell.state_dict().items()}
    )
    x = np.random.default_rng(4).normal(size=(B, T, I))
    expected = reference(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ts.unroll(cell, ts.tensor(x))[0].numpy(), expected, **CLOSE)
