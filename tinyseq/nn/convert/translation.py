"""Reading and writing: a file or arrays of a library as a layer of ours, and back."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseq import files
from tinyseq.errors import DataError
from tinyseq.nn.convert import layers as stacks
from tinyseq.nn.convert import mapping
from tinyseq.nn.convert.files import Content, array_of, load
from tinyseq.nn.convert.layers import RECURRENT, Found
from tinyseq.nn.convert.records import GATES, LIBRARIES, PROJECTION, LibraryRecord
from tinyseq.nn.init import Array
from tinyseq.nn.module import Module

Arrays = dict[str, Array]
_DEEPEST: Final = 64
_LONGEST: Final = 1000


@dataclass(frozen=True)
class Imported:
    """What was read, and how: for a certificate."""

    module: Module
    found: Found
    #: The tensors that went into it, and those that stayed aside.
    used: Arrays
    aside: list[str]
    #: The differences that were accepted.
    accepted: list[str]


def read(
    library: str,
    source: str | Path | Mapping[str, Any],
    *,
    kind: str | None = None,
    prefix: str | None = None,
    layers: Sequence[str | tuple[str, str]] | None = None,
    accept: Collection[str] = (),
    **options: Any,
) -> Module:
    """Return a layer of ours with a library's weights: ``nn.LSTM``, ``nn.GRU``, ``nn.RNN``, a reservoir.

    Args:
        library: a name in ``LIBRARIES``.
        source: a file in a format in which nothing can run, or arrays by name, nested or not.
        kind: "lstm", "gru", "rnn" or "esn", where the tensors fit several; "linear" or "embedding" for such a layer.
        prefix: the place of the layer, where there are several.
        layers: the places of the layers of a stack, lowest first; a pair is of the two directions.
        accept: differences, by the name that a refusal says, that the caller takes care of.
        options: what tensors do not tell: ``reset="before"`` or ``"after"``, ``nonlinearity="relu"``,
            ``bidirectional=True``.

    Raises:
        DataError: the tensors are not those of a layer of this library, or something cannot be carried over; says why.
        ShapeError: a tensor has another shape.
        OSError: the file cannot be opened, or is too large.
    """
    return reading(library, source, kind=kind, prefix=prefix, layers=layers, accept=accept, **options).module


def reading(
    library: str,
    source: str | Path | Mapping[str, Any],
    *,
    kind: str | None = None,
    prefix: str | None = None,
    layers: Sequence[str | tuple[str, str]] | None = None,
    accept: Collection[str] = (),
    **options: Any,
) -> Imported:
    """Return what ``read`` returns, with what is known of how it was read."""
    where = f"convert.read({library!r})"
    record = LIBRARIES.find(library, "convert.read")
    unknown = [name for name in options if name not in ("reset", "nonlinearity", "bidirectional")]
    if unknown or (kind is not None and kind not in GATES):
        raise DataError(
            f"{where}: unknown {'option' if unknown else 'kind'} {(unknown or [str(kind)])[0]!r}",
            required=f"reset, nonlinearity or bidirectional; kind one of {', '.join(GATES)}",
        )
    content = (
        load(library, source) if isinstance(source, str | Path) else Content(plain(source, _separator(record), where))
    )
    arrays = once(record, content.arrays, where) if record.twice else content.arrays
    arrays = cut(record, arrays, where) if record.flat else arrays
    accepted = _differences(record, arrays, set(accept), where)
    told: dict[str, dict[str, Any]] = {head: {**given, **options} for head, given in content.options.items()}
    told[""] = options
    kinds = RECURRENT if kind is None else (kind,)
    found = stacks.gathered(library, arrays, kinds, told, layers=layers, prefix=prefix, where=where)
    used = {name: arrays[name] for name in found.names}
    for name, array in used.items():
        mapping.check_finite(name, array, where)
    module = stacks.module_of(library, found, where)
    return Imported(module, found, used, [name for name in arrays if name not in used], accepted)


def _differences(library: LibraryRecord, arrays: Arrays, accept: set[str], where: str) -> list[str]:
    """Refuse what cannot be carried over, unless the caller accepts it; return what was accepted."""
    accepted = []
    for form in library.forms:
        for name, (difference, why, instead) in form.differs.items():
            word = name.rstrip("?")
            held = [array for path, array in arrays.items() if path == word or path.endswith((f"/{word}", f".{word}"))]
            if not held or (name.endswith("?") and not any(array.any() for array in held)):
                continue
            if difference not in accept or difference == PROJECTION:
                raise DataError(
                    f"{where}: {form.called} cannot be carried over: {difference}",
                    required="a layer of which the weights tell all",
                    got=f"{word}: {why}",
                    fix=instead,
                )
            accepted.append(difference)
    return sorted(set(accepted))


def write(library: str, module: Module, path: str | Path | None = None) -> Arrays:
    """Return a layer of ours as the tensors of a library's, by its names; and write them, where a path is given.

    Args:
        library: a name in ``LIBRARIES``.
        module: an ``nn.LSTM``, ``nn.GRU``, ``nn.RNN``, a ``Recurrent`` of their cells or a cell, ``nn.Linear`` or
            ``nn.Embedding``.
        path: a file, .npz or .safetensors.

    Raises:
        DataError: the library has no layer that computes the same; says why.
        OSError: the file cannot be written.
    """
    where = f"convert.write({library!r})"
    record = LIBRARIES.find(library, "convert.write")
    arrays = stacks.tensors_of(library, module, where)
    arrays = lined_up(record, arrays, module) if record.flat else arrays
    if path is not None:
        files.write(Path(path), _encoded(Path(path), arrays))
    return arrays


def _encoded(path: Path, arrays: Arrays) -> bytes:
    if path.suffix == ".npz":
        file = io.BytesIO()
        np.savez(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()
    if path.suffix == ".safetensors":
        from safetensors.numpy import save

        content: bytes = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
        return content
    raise DataError("convert.write: a file of another format", required=".npz or .safetensors", got=str(path))


# -- arrays ------------------------------------------------------------------------------------------------------------


def _separator(library: LibraryRecord) -> str:
    return "." if library.places[0] == "{layer}." else "/"


def plain(source: Any, separator: str, where: str) -> Arrays:
    """Return arrays by name, of arrays or tensors of any library, nested or not.

    Raises:
        DataError: names that are no text, nesting without end, or values that are no floating-point arrays.
    """
    if not isinstance(source, Mapping):
        raise DataError(f"{where}: the source", required="a path, or arrays by name", got=type(source).__name__)
    arrays: Arrays = {}

    def walk(part: Any, head: str, depth: int) -> None:
        if depth > _DEEPEST or len(head) > _LONGEST:
            raise DataError(f"{where}: names within names without end", required=f"{_DEEPEST} at most", got=head[:80])
        if not isinstance(part, Mapping):
            arrays[head] = as_array(head, part, where)
            return
        for name, value in part.items():
            if not isinstance(name, str | int):
                raise DataError(f"{where}: a name that is no text", required="text", got=repr(name)[:80])
            walk(value, f"{head}{separator}{name}" if head else str(name), depth + 1)

    walk(source, "", 0)
    return arrays


def as_array(name: str, value: Any, where: str) -> Array:
    """Return a tensor of any library as an array; bfloat16 becomes float32, exactly."""
    if hasattr(value, "detach"):
        value = value.detach()
    try:
        array = np.asarray(value.numpy() if hasattr(value, "numpy") and callable(value.numpy) else value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {name[:80]!r} is no array", got=str(error).splitlines()[0][:200]) from None
    if array.dtype.name == "bfloat16":
        return array_of(np.ascontiguousarray(array).tobytes(), "BF16", array.shape, name)
    if array.dtype.kind not in "fiu":
        raise DataError(
            f"{where}: {name[:80]!r} is of the type {array.dtype}",
            required="float16, bfloat16, float32 or float64",
            got=str(array.dtype),
            fix="the model in float32, on its library's side",
        )
    return array


def once(library: LibraryRecord, arrays: Arrays, where: str) -> Arrays:
    """Return arrays without those that stand there a second time under another name.

    Raises:
        DataError: a second one differs.
    """
    kept = {name: array for name, array in arrays.items() if not re.fullmatch(library.twice, name)}
    for name, array in arrays.items():
        if name not in kept and kept and not any(np.array_equal(array, other) for other in kept.values()):
            raise DataError(
                f"{where}: {name[:80]!r} is a second name of a tensor, and differs from all of them",
                required="one value under both",
                got=stacks.shapes(kept),
            )
    return kept or arrays


# -- one vector for all ------------------------------------------------------------------------------------------------


def cut(library: LibraryRecord, arrays: Arrays, where: str) -> Arrays:
    """Return the tensors of a library that keeps all in one vector; its sizes stand beside it.

    Raises:
        DataError: the sizes are missing, or the vector has another length.
    """
    form = library.forms[0]
    facts = ("nI", "nO", "depth", "dirs")
    if missing := [name for name in (library.flat, *facts) if name not in arrays]:
        raise DataError(
            f"{where}: missing {', '.join(missing)}",
            required=f"the vector {library.flat}, and the sizes {', '.join(facts)}",
            got=stacks.shapes(arrays),
            fix=library.save,
        )
    if any(arrays[name].size != 1 or not 0 < int(arrays[name].flat[0]) < 1 << 24 for name in facts):
        raise DataError(f"{where}: sizes", required=f"{', '.join(facts)}: one number each", got=stacks.shapes(arrays))
    size, width, depth, directions = (int(arrays[name].flat[0]) for name in facts)
    vector, at = arrays[library.flat], 0
    result = {name: array for name, array in arrays.items() if name not in (library.flat, *facts)}
    hidden = width // directions
    if depth > 1000 or vector.ndim != 1:
        raise DataError(
            f"{where}: {library.flat}", required="a vector of at most 1,000 layers", got=stacks.shapes(arrays)
        )
    for name, (stored, place) in stacks.names_of(library, form, depth, directions).items():
        shape = mapping.shape_of(library, form, stored, mapping.Sizes(width if place.layer else size, hidden))
        count = int(np.prod(shape))
        if at + count > vector.size:
            break
        result[name] = vector[at : at + count].reshape(shape)
        at += count
    else:
        if at == vector.size:
            return result
    raise DataError(f"{where}: {library.flat} has another length than its sizes say", got=f"{vector.size:,} numbers")


def lined_up(library: LibraryRecord, arrays: Arrays, module: Any) -> Arrays:
    """Return tensors as the one vector of a library, with its sizes."""
    facts = {"nI": module.input_size, "nO": module.output_size}
    row = getattr(module, "layers", [[module]])
    facts |= {"depth": len(row), "dirs": len(row[0])}
    vector = np.concatenate([array.ravel() for array in arrays.values()])
    return {library.flat: vector, **{name: np.asarray(value) for name, value in facts.items()}}
