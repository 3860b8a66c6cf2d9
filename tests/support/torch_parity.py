"""What the comparisons with PyTorch share: random weights, carrying them over, comparing values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq import nn

#: float64 on both sides: the same sums in another order.
CLOSE = {"rtol": 1e-9, "atol": 1e-11}


def randomize(module: Any, seed: int = 0) -> Any:
    """Give a PyTorch module float64 weights without any symmetry that could hide a mistake."""
    import torch

    rng = np.random.default_rng(seed)
    module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.from_numpy(rng.normal(0.1, 0.6, tuple(p.shape))))
    return module


def arrays(module: Any) -> dict[str, np.ndarray]:
    """Return a PyTorch module's state dict as arrays."""
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def load(module: nn.Module, reference: Any) -> nn.Module:
    """Give our module the reference's weights, in float64."""
    module.cast(np.float64)
    nn.from_torch(module, arrays(reference))
    return module


def leaf(array: np.ndarray) -> tuple[ts.Tensor, Any]:
    """Return one array as an input with a gradient on both sides."""
    import torch

    theirs = torch.tensor(array, dtype=torch.float64, requires_grad=True)
    return ts.tensor(np.asarray(array, dtype=np.float64), requires_grad=True), theirs


def same(ours: Any, theirs: Any, what: str = "") -> None:
    """Assert that a tensor of ours equals one of theirs."""
    assert ours is not None, what
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), err_msg=what, **CLOSE)


def same_gradients(module: nn.Module, reference: Any) -> None:
    """Assert that every parameter's gradient is the reference's, by putting gradients where the weights stand.

    A bias that PyTorch has twice gets its gradient twice; the conversion adds the two, hence the half.
    """
    expected = {}
    for name, p in reference.named_parameters():
        assert p.grad is not None, name
        expected[name] = p.grad.numpy()
    holder = {path: p.grad.numpy() for path, p in module.named_parameters()}
    kept = module.state_dict()
    module.load_state_dict({**kept, **holder})
    ours = nn.to_torch(module)
    module.load_state_dict(kept)
    assert ours.keys() == expected.keys()
    for name, value in ours.items():
        if "bias_hh" in name and not value.any():
            continue  # the two biases of a gate have one gradient, compared under bias_ih
        if "bias_hh" in name:  # of a GRU: only the candidate's own bias is kept apart
            third = len(value) // 3
            np.testing.assert_allclose(value[2 * third :], expected[name][2 * third :], err_msg=name, **CLOSE)
            continue
        np.testing.assert_allclose(value, expected[name], err_msg=name, **CLOSE)
