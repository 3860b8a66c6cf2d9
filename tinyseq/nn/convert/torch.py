"""Weights to and from PyTorch, both ways exact: plain dicts of NumPy arrays under the names of PyTorch's state dicts.

Recurrent cells go by the record of PyTorch (``records``); other layers, and models of them, by the rules here.

PyTorch itself is not needed: ``{k: v.numpy() for k, v in m.state_dict().items()}`` makes such a dict, and
``m.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(model).items()})`` takes one. Its layout differs:
matrices are transposed, gates stacked (LSTM: i, f, g, o; GRU: r, z, n), and each gate has two biases, of which only the
sum matters: ours goes to ``bias_ih``, and ``bias_hh`` is 0; the other way they are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinyseq.errors import DataError, ShapeError, did_you_mean
from tinyseq.nn.attention import MultiheadAttention
from tinyseq.nn.cells import GRUCell, LSTMCell, RNNCell
from tinyseq.nn.convert import layers
from tinyseq.nn.convert.records import LIBRARIES, Stored
from tinyseq.nn.init import Array
from tinyseq.nn.layers import Embedding, LayerNorm, Linear
from tinyseq.nn.module import Module
from tinyseq.nn.recurrent import Recurrent

Arrays = dict[str, Array]


class Rule(NamedTuple):
    """How the tensors of one class convert, those of its children apart; ``into`` and ``back`` map dicts of arrays."""

    #: (module, ours) -> PyTorch's.
    into: Callable[[Any, Arrays], Arrays]
    #: (module, PyTorch's) -> ours.
    back: Callable[[Any, Arrays], Arrays]


def to_torch(module: Module) -> Arrays:
    """Return a module's parameters under PyTorch's names and in its layout.

    Layers of ``Recurrent`` are named as in nn.RNN, nn.LSTM and nn.GRU (``weight_ih_l0``, ``bias_hh_l1_reverse``); a
    module without a rule of its own (a model) passes on its children's, under their own names.

    Raises:
        DataError: PyTorch has no such layer (a GRU with the reset before the product, say).

    As ``torch.nn.Module.state_dict``.

    >>> layer = nn.Linear(2, 3)
    >>> {name: x.shape for name, x in nn.to_torch(layer).items()}
    {'weight': (3, 2), 'bias': (3,)}
    """
    ours = {path: value.numpy() for path, value in module._own_tensors()}
    result = dict(_rule(module).into(module, ours)) if ours else {}
    for _, child, rename in _children(module):
        result.update({rename(name): array for name, array in to_torch(child).items()})
    return {name: np.array(array, order="C") for name, array in result.items()}  # as files take them


def from_torch(module: Module, state: Mapping[str, object]) -> None:
    """Give a module the parameters of a PyTorch state dict of arrays; all or nothing.

    Raises:
        DataError: a name is missing or one too many, or PyTorch has no such layer.
        ShapeError: a value has another shape.

    As ``torch.nn.Module.load_state_dict``.

    >>> layer = nn.Linear(2, 1)
    >>> nn.from_torch(layer, {"weight": np.array([[3.0, 4.0]]), "bias": np.zeros(1)})
    >>> layer(ts.tensor([[1.0, 2.0]])).tolist()
    [[11.0]]
    """
    known = to_torch(module)
    arrays = {name: np.asarray(value) for name, value in state.items()}
    kind = type(module).__name__
    if missing := [name for name in known if name not in arrays]:
        raise DataError(f"from_torch: {kind}: missing", required=", ".join(missing), got=", ".join(arrays) or "nothing")
    if extra := [name for name in arrays if name not in known]:
        raise DataError(f"from_torch: {kind} has no {', '.join(extra)}", fix=did_you_mean(extra[0], known))
    for name, array in arrays.items():
        if array.shape != known[name].shape:
            raise ShapeError(f"from_torch: {kind}: {name}", required=str(known[name].shape), got=str(array.shape))
    module.load_state_dict(_back(module, arrays))


def _back(module: Module, arrays: Arrays) -> Arrays:
    """Return the module's own state dict for PyTorch's."""
    ours = _rule(module).back(module, arrays) if dict(module._own_tensors()) else {}
    for path, child, rename in _children(module):
        theirs = {name: arrays[rename(name)] for name in to_torch(child)}
        ours.update({f"{path}.{name}": array for name, array in _back(child, theirs).items()})
    return ours


def _children(module: Module) -> Iterator[tuple[str, Module, Callable[[str], str]]]:
    """Yield (our path, child, function from a name in the child to PyTorch's name in the module)."""
    if isinstance(module, Recurrent):
        for depth, cells in enumerate(module.layers):
            for i, (cell, direction) in enumerate(zip(cells, ("", "_reverse"), strict=False)):
                yield f"layers.{depth}.{i}", cell, f"{{}}_l{depth}{direction}".format
    else:
        for path, child in module.children():
            yield path, child, f"{path}.{{}}".format


def _rule(module: Module) -> Rule:
    # By the class itself, not its bases: a subclass may compute something else with the same parameters.
    if type(module) not in RULES:
        known = ", ".join(sorted(kind.__name__ for kind in RULES))
        raise DataError(f"PyTorch has no layer like {type(module).__name__}", required=f"{known}, or modules of these")
    return RULES[type(module)]


# -- layers ------------------------------------------------------------------------------------------------------------


def _linear_into(module: Linear, ours: Arrays) -> Arrays:
    return {"weight": ours["W"].T, **({"bias": ours["b"]} if "b" in ours else {})}


def _linear_back(module: Linear, theirs: Arrays) -> Arrays:
    return {"W": theirs["weight"].T, **({"b": theirs["bias"]} if "bias" in theirs else {})}


def _layer_norm_into(module: LayerNorm, ours: Arrays) -> Arrays:
    return {"weight": ours["gain"], **({"bias": ours["bias"]} if "bias" in ours else {})}


def _layer_norm_back(module: LayerNorm, theirs: Arrays) -> Arrays:
    return {"gain": theirs["weight"], **({"bias": theirs["bias"]} if "bias" in theirs else {})}


def _attention_into(module: MultiheadAttention, ours: Arrays) -> Arrays:
    q, k, v = (ours[name].T for name in ("W_q", "W_k", "W_v"))
    if module.key_size == module.features:
        theirs = {"in_proj_weight": np.concatenate([q, k, v])}
    else:
        theirs = {"q_proj_weight": q, "k_proj_weight": k, "v_proj_weight": v}
    if "b_q" in ours:
        theirs["in_proj_bias"] = np.concatenate([ours["b_q"], ours["b_k"], ours["b_v"]])
        theirs["out_proj.bias"] = ours["b_o"]
    theirs["out_proj.weight"] = ours["W_o"].T
    return theirs


def _attention_back(module: MultiheadAttention, theirs: Arrays) -> Arrays:
    if "in_proj_weight" in theirs:
        q, k, v = np.split(theirs["in_proj_weight"], 3)
    else:
        q, k, v = (theirs[f"{name}_proj_weight"] for name in "qkv")
    ours = {"W_q": q.T, "W_k": k.T, "W_v": v.T, "W_o": theirs["out_proj.weight"].T}
    if "in_proj_bias" in theirs:
        ours["b_q"], ours["b_k"], ours["b_v"] = np.split(theirs["in_proj_bias"], 3)
        ours["b_o"] = theirs["out_proj.bias"]
    return ours


# -- cells, by the record ----------------------------------------------------------------------------------------------


def _cell_into(module: Any, ours: Arrays) -> Arrays:
    tensors = layers.cell_tensors("torch", module, "to_torch")
    return {_short(stored): tensor for stored, tensor in tensors.items()}


def _cell_back(module: Any, theirs: Arrays) -> Arrays:
    record = LIBRARIES["torch"]
    form = layers.form_for(record, module, "from_torch")
    return layers.into_cell(record, form, module, {stored: theirs[_short(stored)] for stored in form.stored})


def _short(stored: Stored) -> str:
    """The name in nn.LSTMCell and its like, without the layer's number."""
    return stored.name.removesuffix("_l{layer}{way}")


#: By class. One of your own joins with ``RULES[MyLayer] = Rule(into, back)``.
RULES: dict[type[Module], Rule] = {
    Linear: Rule(_linear_into, _linear_back),
    Embedding: Rule(lambda m, ours: {"weight": ours["W"]}, lambda m, theirs: {"W": theirs["weight"]}),
    LayerNorm: Rule(_layer_norm_into, _layer_norm_back),
    MultiheadAttention: Rule(_attention_into, _attention_back),
    RNNCell: Rule(_cell_into, _cell_back),
    LSTMCell: Rule(_cell_into, _cell_back),
    GRUCell: Rule(_cell_into, _cell_back),
}
