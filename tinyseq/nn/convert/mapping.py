"""The mapper between a library's tensors and our layers, by a record: tensors -> blocks of gates -> cells, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq.errors import DataError
from tinyseq.nn.cells import ESNCell, GRUCell, LSTMCell, PeepholeLSTMCell, RNNCell
from tinyseq.nn.convert.records import GATES, LayerForm, LibraryRecord, Stored
from tinyseq.nn.init import Array
from tinyseq.nn.layers import Embedding, Linear
from tinyseq.nn.module import Module

Arrays = dict[str, Array]


@dataclass(frozen=True)
class Sizes:
    """The extents of one cell."""

    input: int
    hidden: int

    def of(self, letter: str) -> tuple[int, ...]:
        """The shape of a block."""
        return {"W": (self.hidden, self.input), "U": (self.hidden, self.hidden), "a": ()}.get(letter, (self.hidden,))


# -- tensors and blocks ------------------------------------------------------------------------------------------------


def _joined(parts: list[Array], form: LayerForm) -> Array:
    """Gates one under the other, or unit by unit."""
    if len(parts) == 1:
        return parts[0]
    if form.interleaved:
        return np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])
    return np.concatenate(parts)


def _parted(strip: Array, gates: str, form: LayerForm) -> list[Array]:
    if len(gates) == 1:
        return [strip]
    if form.interleaved:
        apart = strip.reshape(-1, len(gates), *strip.shape[1:])
        return [apart[:, i] for i in range(len(gates))]
    return np.split(strip, len(gates))


def _turned(library: LibraryRecord, form: LayerForm, stored: Stored) -> bool:
    """Whether a tensor lies across: rows of an embedding are its inputs everywhere."""
    return stored.is_matrix and (form.kind == "embedding" or not library.outputs_are_rows)


def put(library: LibraryRecord, form: LayerForm, stored: Stored, blocks: Mapping[str, Array]) -> Array:
    """Return a tensor of the library for one cell."""
    strips = [_joined([blocks[letter + gate] for gate in gates], form) for letter, gates in stored.strips]
    if stored.join == "apart":
        whole = np.stack(strips)
    else:
        whole = np.concatenate(strips, axis=int(stored.join == "inputs")) if len(strips) > 1 else strips[0]
    return whole.T if _turned(library, form, stored) else whole


def take(library: LibraryRecord, form: LayerForm, stored: Stored, tensor: Array, sizes: Sizes) -> Arrays:
    """Return the blocks in a tensor of the library, whose shape is as it should be."""
    whole = tensor.T if _turned(library, form, stored) else tensor
    if stored.join == "apart":
        strips = list(whole)
    elif stored.join == "inputs":
        strips = np.split(whole, np.cumsum([sizes.of(letter)[1] for letter, _ in stored.strips])[:-1], axis=1)
    else:
        ends = np.cumsum([len(gates) * sizes.hidden for _, gates in stored.strips])[:-1]
        strips = np.split(whole, ends) if len(ends) else [whole]
    return {
        letter + gate: part
        for (letter, gates), strip in zip(stored.strips, strips, strict=True)
        for gate, part in zip(gates, _parted(strip, gates, form), strict=True)
    }


def shape_of(library: LibraryRecord, form: LayerForm, stored: Stored, sizes: Sizes) -> tuple[int, ...]:
    """Return the shape that a tensor of one cell has."""
    shapes = [(len(gates) * (sizes.of(letter) or (0,))[0], *sizes.of(letter)[1:]) for letter, gates in stored.strips]
    if stored.holds[0] == "a":
        return ()
    if stored.join == "apart":
        whole: tuple[int, ...] = (len(shapes), *shapes[0])
    elif stored.join == "inputs":
        whole = (shapes[0][0], sum(shape[1] for shape in shapes))
    else:
        whole = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return whole[::-1] if _turned(library, form, stored) else whole


def sizes_in(library: LibraryRecord, form: LayerForm, tensors: Mapping[Stored, Array]) -> Sizes | None:
    """Return the sizes that a cell's matrices say; None where they say none."""
    matrices = {stored: tensor for stored, tensor in tensors.items() if stored.is_matrix}
    if any(tensor.ndim != 2 for tensor in matrices.values()):
        return None
    # U tells the hidden size even where it lies across; a matrix of both, by its gates.
    hidden = next((min(t.shape) for s, t in matrices.items() if all(letter == "U" for letter, _ in s.strips)), None)
    size = None
    for stored, tensor in matrices.items():
        rows, columns = tensor.shape[::-1] if _turned(library, form, stored) else tensor.shape
        letters, gates = [letter for letter, _ in stored.strips], len(stored.strips[0][1])
        if "W" not in letters:
            continue
        hidden = rows // gates if hidden is None else hidden
        across = rows != gates * hidden and columns == gates * hidden
        size = (rows if across else columns) - hidden * (len(letters) - 1)
        break
    if hidden is None or size is None or hidden < 1 or size < 1:
        return None
    return Sizes(size, hidden)


def misfits(
    library: LibraryRecord, form: LayerForm, tensors: Mapping[Stored, Array], sizes: Sizes
) -> Iterator[tuple[Stored, str]]:
    """Yield (tensor, what is wrong with its shape)."""
    for stored, tensor in tensors.items():
        wanted = shape_of(library, form, stored, sizes)
        if tensor.shape != wanted:
            across = len(wanted) == 2 and tensor.shape == wanted[::-1]
            yield stored, f"{wanted}, got {tensor.shape}{', which is it transposed' if across else ''}"


def blocks_of(library: LibraryRecord, form: LayerForm, tensors: Mapping[Stored, Array], sizes: Sizes) -> Arrays:
    """Return the blocks of one cell, what the library adds as it runs included; missing ones are zeros."""
    found: Arrays = {}
    for stored, tensor in tensors.items():
        found.update(take(library, form, stored, tensor, sizes))
    dtype = np.result_type(*found.values())
    blocks = {
        letter + gate: np.zeros(sizes.of(letter), dtype)
        for letter in "WUbc"
        for gate in GATES[form.kind]
        if letter + gate not in found
    } | found
    for gate, constant in form.added.items():
        blocks["b" + gate] = blocks["b" + gate] + blocks["b" + gate].dtype.type(constant)
    return blocks


def tensors_of(library: LibraryRecord, form: LayerForm, blocks: Mapping[str, Array], where: str) -> dict[Stored, Array]:
    """Return the tensors of one cell.

    Raises:
        DataError: a block that is not zero has no place in the library's layer.
    """
    blocks = dict(blocks)
    for gate, constant in form.added.items():
        blocks["b" + gate] = blocks["b" + gate] - blocks["b" + gate].dtype.type(constant)
    held = {letter + gate for stored in form.stored for letter, gates in stored.strips for gate in gates}
    for name, block in blocks.items():
        if name not in held and block.any():
            said = {"b": "bias", "c": "bias beside h U", "p": "peephole", "U": "matrix on h", "a": "leak"}[name[0]]
            raise DataError(
                f"{where}: {form.called} has no place for the {said} of gate {name[1]}",
                required="zeros there",
                got=f"up to {np.abs(block).max():.3g}",
                fix="another library, or a layer without it",
            )
    stored = [
        s
        for s in form.stored
        if s.holds[0] not in "pa" or all(letter + g in blocks for letter, gs in s.strips for g in gs)
    ]
    return {s: put(library, form, s, blocks) for s in stored}


def _sum(first: Array, second: Array) -> Array:
    """A sum that leaves every bit as it is where the second is 0, a -0 too."""
    return np.where(second == 0, first, first + second)


# -- cells and blocks --------------------------------------------------------------------------------------------------


def kind_of(module: Module) -> str:
    """Return the kind of a cell or layer of ours, by its class itself: a subclass may compute something else.

    Raises:
        DataError: no library's record has one like it.
    """
    kinds: dict[type[Module], str] = {
        LSTMCell: "lstm", PeepholeLSTMCell: "lstm", GRUCell: "gru", RNNCell: "rnn", ESNCell: "esn", Linear: "linear",
        Embedding: "embedding",
    }  # fmt: skip
    if type(module) not in kinds:
        known = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(f"no library has a layer like {type(module).__name__}", required=known)
    return kinds[type(module)]


#: Our names of an LSTM's gates.
_OURS = {"i": "i", "f": "f", "g": "c", "o": "o"}


def cell_blocks(cell: Any) -> Arrays:
    """Return the blocks of a cell of ours: biases of which only the sum matters are in ``b``, ``c`` is 0."""
    own = {path: value.numpy() for path, value in cell._own_tensors()}
    kind = kind_of(cell)
    size = cell.hidden_size if kind in ("lstm", "gru", "rnn", "esn") else 0
    if kind == "lstm":
        blocks: Arrays = {}
        for gate, name in _OURS.items():
            blocks |= _halves(own[f"W_{name}"], gate, size) | {f"b{gate}": own[f"b_{name}"]}
            if f"p_{name}" in own:
                blocks[f"p{gate}"] = own[f"p_{name}"]
    elif kind == "gru":
        blocks = _halves(own["W_r"], "r", size) | _halves(own["W_z"], "z", size)
        blocks |= {"br": own["b_r"], "bz": own["b_z"], "bn": own["b_h"]}
        if cell.reset == "before":
            blocks |= _halves(own["W_h"], "n", size)
        else:
            blocks |= {"Wn": own["W_xh"].T, "Un": own["W_hh"].T, "cn": own["b_hh"]}
    elif kind == "rnn":
        blocks = {"Wh": own["W_xh"].T, "Uh": own["W_hh"].T, "bh": own["b_h"]}
    elif kind == "esn":
        leak = np.asarray(cell.leak, own["W"].dtype)
        return {"Wh": own["W_in"].T, "Uh": own["W"].T, "bh": own["b_in"], "ah": leak}
    else:
        return {"Wh": own["W"].T, **({"bh": own["b"]} if own.keys() == {"W", "b"} else {})}
    nothing = np.zeros(size, blocks["b" + GATES[kind][0]].dtype)
    return {f"c{gate}": nothing for gate in GATES[kind]} | blocks


def _halves(W: Array, gate: str, hidden: int) -> Arrays:
    """Our W acts on [h, x]."""
    return {f"U{gate}": W[:hidden].T, f"W{gate}": W[hidden:].T}


def cell_state(form: LayerForm, blocks: Mapping[str, Array]) -> Arrays:
    """Return the state dict of our cell for blocks; two biases of which only the sum matters become one."""
    return {name: part() for name, part in cell_parts(form, blocks).items()}


def cell_parts(form: LayerForm, blocks: Mapping[str, Array]) -> dict[str, Callable[[], Array]]:
    """Return ``cell_state`` with its arrays still to be made, so that a large one need not be there twice."""

    def W(gate: str) -> Callable[[], Array]:
        return lambda: _beside(blocks[f"U{gate}"], blocks[f"W{gate}"])

    def b(gate: str) -> Callable[[], Array]:
        return lambda: _sum(blocks[f"b{gate}"], blocks[f"c{gate}"])

    def one(name: str) -> Callable[[], Array]:
        return lambda: blocks[name].T

    match form.kind:
        case "lstm":
            own = {f"W_{name}": W(gate) for gate, name in _OURS.items()}
            own |= {f"b_{name}": b(gate) for gate, name in _OURS.items()}
            return own | {f"p_{gate}": one(f"p{gate}") for gate in "ifo" if f"p{gate}" in blocks}
        case "gru":
            own = {"W_r": W("r"), "b_r": b("r"), "W_z": W("z"), "b_z": b("z")}
            if form.reset == "before":
                return own | {"W_h": W("n"), "b_h": b("n")}
            return own | {"W_xh": one("Wn"), "W_hh": one("Un"), "b_h": one("bn"), "b_hh": one("cn")}
        case "rnn":
            return {"W_xh": one("Wh"), "W_hh": one("Uh"), "b_h": b("h")}
        case "esn":
            return {"W_in": one("Wh"), "W": one("Uh"), "b_in": one("bh")}
        case _:
            return {"W": one("Wh"), "b": one("bh")}


def _beside(U: Array, W: Array) -> Array:
    """Our matrix on [h, x], in C order: products of transposed matrices differ in the last bit."""
    whole = np.empty((U.shape[1] + W.shape[1], U.shape[0]), np.result_type(U, W))
    whole[: U.shape[1]], whole[U.shape[1] :] = U.T, W.T
    return whole


def turned_z(blocks: Arrays) -> Arrays:
    """Return a GRU's blocks with z in its other sense: 1 minus it, σ(-a) = 1 - σ(a), is z that weighs the other."""
    return {name: -block if name[1] == "z" else block for name, block in blocks.items()}


def fitting(form: LayerForm, cell: Any) -> LayerForm | str:
    """Return the form, or why it is not that of a cell of ours. A GRU's sense of z is turned, and is no reason."""
    if isinstance(cell, GRUCell) and cell.reset != form.reset:
        return (
            f"the reset gate acts {form.reset} the product with h there, and {cell.reset} it here: no weights of the "
            "one compute the other"
        )
    if isinstance(cell, RNNCell) and form.nonlinearity not in ("", cell.nonlinearity):
        return f"it applies {form.nonlinearity}, and ours {cell.nonlinearity}"
    if isinstance(cell, PeepholeLSTMCell) and not any("p:" in stored.holds for stored in form.stored):
        return "it has no peepholes"
    return form


def check_finite(name: str, array: Array, where: str) -> None:
    """Refuse values that are not finite."""
    if not np.isfinite(array).all():
        raise DataError(
            f"{where}: {name} has values that are not finite",
            required="finite numbers",
            got=f"{int((~np.isfinite(array)).sum())} of {array.size}",
            fix="an earlier checkpoint: the model diverged",
        )
