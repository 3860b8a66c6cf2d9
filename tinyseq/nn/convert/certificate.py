"""Certificates: what was read from where, how each tensor was carried over, and what was compared, at what error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseq import files
from tinyseq.creation import tensor
from tinyseq.errors import DataError, TinyseqError
from tinyseq.nn.cells import LSTMState
from tinyseq.nn.convert import mapping, runners, vectors
from tinyseq.nn.convert.files import load
from tinyseq.nn.convert.layers import CellPlace, Found
from tinyseq.nn.convert.mapping import Sizes
from tinyseq.nn.convert.records import LIBRARIES, LibraryRecord, Stored
from tinyseq.nn.convert.translation import Imported, reading
from tinyseq.nn.init import Array
from tinyseq.nn.layers import Embedding, Linear
from tinyseq.nn.module import Module
from tinyseq.nn.recurrent import GRU, LSTM, RNN, Recurrent
from tinyseq.unrolling import unroll

#: The files of an imported layer.
CERTIFICATE: Final = "certificate.json"
WEIGHTS: Final = "weights.safetensors"
_FORMAT: Final = "tinyseq certificate 1"
#: The most that outputs may differ by in float32.
TOLERANCE: Final = 1e-5
_STEPS: Final = 5


@dataclass(frozen=True)
class Comparison:
    """What was compared with what, and the largest difference; ``exact`` is bit for bit."""

    what: str
    error: float
    exact: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {'bit for bit' if self.exact else f'differs by {self.error:.1e} at most'}"


@dataclass(frozen=True)
class Certificate:
    """From what a layer came, and how far it is known to be the same."""

    library: str
    layer: str
    source: str
    sha256: str
    bytes: int
    #: How the layer of ours is made.
    module: dict[str, Any]
    #: Name -> how it was carried over.
    tensors: dict[str, str]
    #: Tensors of the source that did not go into the layer.
    aside: list[str]
    accepted: list[str]
    comparisons: list[Comparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.layer} from {self.source} ({self.bytes:,} bytes, SHA-256 {self.sha256[:16]})"]
        lines += [f"  {name}: {how}" for name, how in self.tensors.items()]
        lines += [f"  left aside: {name}" for name in self.aside]
        lines += [f"  accepted: {name}" for name in self.accepted]
        lines += [f"compared: {comparison}" for comparison in self.comparisons]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def as_json(self) -> str:
        """Return it as a file."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"


def certified(library: str, source: str | Path | Mapping[str, Any], **options: Any) -> tuple[Module, Certificate]:
    """Return what ``read`` returns, with its certificate; options as of ``read``.

    The library itself is run on the weights where it is installed; else the record is held against outputs of the
    library that are stored with tinyseq.

    Raises:
        DataError: as of ``read``; or what was read does not compute what the library does.
    """
    result = reading(library, source, **options)
    found, form = result.found, result.found.form
    digest, size = _digest(source, result)
    how = form.exactness()
    shown = {name: how[stored] for name, stored in found.names.items()}
    comparisons = [_there_and_back(library, result)]
    ran, notes = _live(library, result)
    ran = ran or _by_vectors(library, found)
    if not ran:
        notes.append(f"no output of {LIBRARIES[library].title} was compared: it is not installed, and none is stored")
    certificate = Certificate(
        library=library,
        layer=form.called,
        source=str(source) if isinstance(source, str | Path) else "arrays",
        sha256=digest,
        bytes=size,
        module=_described(result.module),
        tensors=shown,
        aside=result.aside,
        accepted=result.accepted,
        comparisons=[*comparisons, *ran],
        notes=notes,
    )
    wrong = [str(one) for one in ran if not one.error <= TOLERANCE]
    if wrong:
        raise DataError(
            f"convert: {form.called} computes something else than was read",
            required=f"outputs that differ by {TOLERANCE} at most",
            got="; ".join(wrong),
            fix="the version of the library that the record was seen with; see docs/rosetta.md",
        )
    return result.module, certificate


def _digest(source: Any, result: Imported) -> tuple[str, int]:
    total, size = hashlib.sha256(), 0
    if isinstance(source, str | Path):
        for block in files.read_blocks(Path(source)):
            total.update(block)
            size += len(block)
        return total.hexdigest(), size
    for name, array in sorted(result.used.items()):
        total.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        total.update(np.ascontiguousarray(array).tobytes())
        size += array.nbytes
    return total.hexdigest(), size


# -- comparisons -------------------------------------------------------------------------------------------------------


def _cells(result: Imported) -> Iterator[tuple[Any, dict[Stored, Array], Sizes]]:
    module: Any = result.module
    rows = module.layers if isinstance(module, Recurrent) else [[module]]
    for cells, tensors, sizes in zip(rows, result.found.cells, result.found.sizes, strict=True):
        yield from zip(cells, tensors, sizes, strict=True)


def _there_and_back(library: str, result: Imported) -> Comparison:
    """Write what was read; where two biases became one, or a constant moved, a second time too."""
    record, form = LIBRARIES[library], result.found.form
    worst, exact = 0.0, True
    for cell, tensors, sizes in _cells(result):
        back = mapping.tensors_of(record, form, mapping.cell_blocks(cell), "certificate")
        blocks, again = (
            mapping.cell_state(form, mapping.blocks_of(record, form, side, sizes)) for side in (tensors, back)
        )
        exact &= all(np.array_equal(back[stored], tensor) for stored, tensor in tensors.items())
        worst = max([worst, *(float(np.abs(blocks[name] - again[name]).max()) for name in blocks)])
    what = "written again" if exact else "written and read again, our weights"
    return Comparison(what, worst, exact or worst == 0.0)


def _live(library: str, result: Imported) -> tuple[list[Comparison], list[str]]:
    """Run the library on the tensors as they came, cell by cell."""
    kind = result.found.form.kind
    if not runners.installed(library) or kind not in ("lstm", "gru", "rnn"):
        return [], []
    worst = 0.0
    try:
        for cell, tensors, sizes in _cells(result):
            worst = max(worst, _against(library, result.found, cell, tensors, sizes))
    except Exception as error:  # whatever another library raises
        if isinstance(error, TinyseqError):
            raise
        said = str(error).splitlines()[0][:200] if str(error) else ""
        return [], [f"{library} could not be run: {type(error).__name__}: {said}"]
    return [Comparison(f"outputs of {library} {_version(library)}, run on these weights", worst)], []


def _version(library: str) -> str:
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    module = runners.RUNNERS[library][1]
    try:
        return version(packages_distributions().get(module, [module])[0])
    except PackageNotFoundError:
        return "of an unknown version"


def _against(library: str, found: Found, cell: Any, tensors: Mapping[Stored, Array], sizes: Sizes) -> float:
    record, form = LIBRARIES[library], found.form
    variant = "optimized" if any("dense" in s.name for s in form.stored) and form.kind == "lstm" else ""
    variant = "peepholes" if any(s.holds.startswith("p") for s in tensors) else variant
    shapes, run = runners.RUNNERS[library][0](
        runners.Case(
            form.kind, sizes.input, sizes.hidden, reset=form.reset or "after",
            nonlinearity=getattr(cell, "nonlinearity", "tanh"), variant=variant,
        )
    )  # fmt: skip
    arrays = _named(record, found, tensors, shapes)
    rng = np.random.default_rng(0)
    x, h, c = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((_STEPS, sizes.input), (1, sizes.hidden), (1, sizes.hidden))
    )
    theirs = run(arrays, x, h, c if form.kind == "lstm" else None)
    dtype = cell.dtype
    state = tensor(h.astype(dtype))
    ours, _ = unroll(
        cell,
        tensor(x[None].astype(dtype)),
        LSTMState(state, tensor(c.astype(dtype))) if form.kind == "lstm" else state,
    )
    return float(np.abs(ours.numpy()[0] - theirs).max())


def _named(
    record: LibraryRecord, found: Found, tensors: Mapping[Stored, Array], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Array]:
    """Return the tensors of one cell under the names of a layer of one cell; biases that are not there are zeros."""
    if record.flat:
        return {record.flat: np.concatenate([tensors[stored].ravel() for stored in found.form.stored])}
    arrays: dict[str, Array] = {}
    for i, stored in enumerate(found.form.stored):
        end = CellPlace(0, 0, 1).fill(record, stored.name, i)
        for name, shape in shapes.items():
            if name == end or name.endswith(("/" + end, "." + end)):
                held = tensors.get(stored)
                arrays[name] = (
                    np.zeros(shape, np.float32) if held is None else np.asarray(held, np.float32).reshape(shape)
                )
    return arrays


def _by_vectors(library: str, found: Found) -> list[Comparison]:
    """Hold the record against outputs that the library computed once, with other weights of the same layer."""
    result = []
    for vector in vectors.stored(library):
        one = vector.reading()
        if one.found.form is found.form:
            error = vector.error(one.module)
            result.append(Comparison(f"{vector.name}, as stored by {vector.made_by}, with weights of its own", error))
    return result


# -- files -------------------------------------------------------------------------------------------------------------

_LAYERS: dict[str, Any] = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}


def _described(module: Module) -> dict[str, Any]:
    name = type(module).__name__
    if isinstance(module, Linear):
        sizes = {"in_features": module.in_features, "out_features": module.out_features}
        return {"class": name, **sizes, "bias": module.b is not None}
    if isinstance(module, Embedding):
        return {"class": name, "num_embeddings": module.num_embeddings, "features": module.features}
    assert isinstance(module, Recurrent)
    cell: Any = module.layers[0][0]
    kinds = {"PeepholeLSTMCell": "peephole_lstm", "ESNCell": "esn"}
    told = {key: getattr(cell, key) for key in ("reset", "update", "nonlinearity", "leak") if hasattr(cell, key)}
    described = {"class": name, "input_size": module.input_size, "hidden_size": module.hidden_size}
    if name == "Recurrent":
        described["make_cell"] = kinds[type(cell).__name__]
    return {**described, "num_layers": len(module.layers), "bidirectional": module.bidirectional, **told}


def save(folder: str | Path, module: Module, certificate: Certificate) -> Path:
    """Write a layer and its certificate into a folder, which is made; return it.

    Raises:
        DataError: there is a layer in it.
        OSError: it cannot be written.
    """
    from safetensors.numpy import save as encode

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CERTIFICATE).exists() or (folder / WEIGHTS).exists():
        raise DataError("a layer is there already", required="a new folder", got=str(folder), fix="another folder")
    weights = {name: np.asarray(value.numpy(), order="C") for name, value in module.state_dict().items()}
    files.write(folder / WEIGHTS, encode(weights, metadata={"format": "tinyseq"}))
    files.write(folder / CERTIFICATE, certificate.as_json().encode("utf-8"))
    return folder


def opened(folder: str | Path) -> Module:
    """Return the layer in a folder that ``save`` wrote.

    Raises:
        DataError: it is not one, or damaged.
        OSError: it cannot be read.
    """
    folder = Path(folder)
    try:
        told = json.loads(files.read_bytes(folder / CERTIFICATE))
        if told["format"] != _FORMAT:
            raise ValueError(str(told["format"])[:80])
        options = dict(told["module"])
        kind = options.pop("class")
        if kind in ("Linear", "Embedding"):
            module: Module = {"Linear": Linear, "Embedding": Embedding}[kind](**options)
        else:
            drawn: dict[str, Any] = (
                {} if options.get("make_cell") == "esn" else {"recurrent_init": "zeros", "input_init": "zeros"}
            )
            make: Any = _LAYERS[kind] if kind != "Recurrent" else partial(Recurrent, options.pop("make_cell"))
            module = make(**options, **drawn)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            "no layer that was imported", required=f"a folder with {CERTIFICATE} and {WEIGHTS}",
            got=f"{folder}: {str(error).splitlines()[0]}",
        ) from None  # fmt: skip
    weights = load("torch", folder / WEIGHTS).arrays
    double = any(array.dtype == np.float64 for array in weights.values())
    module.cast(np.float64 if double else np.float32).load_state_dict(weights)
    return module
