"""The safetensors file: every tensor that a run writes or reads goes through here.

Eight bytes of length, a header of JSON that gives each tensor's dtype, shape and place, and the tensors' bytes. Written
and read here, and not by the package of that name, so that equal content gives equal bytes, nothing is copied twice,
and what other programs would read in two ways is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseq import files
from tinyseq.machine import free_memory, in_bytes
from tinyseq.train.storage import plain as plain_json

Array = np.ndarray[Any, Any]

_TYPES: Final = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "u2", "I16": "i2", "U32": "u4", "I32": "i4", "U64": "u8", "I64": "i8",
    "F16": "f2", "F32": "f4", "F64": "f8", "C64": "c8",
}  # fmt: skip
_NAMES: Final = {np.dtype(code): name for name, code in _TYPES.items()}
#: Read as float32, which has all of its values; NumPy has no such type.
_BFLOAT16: Final = "BF16"
#: The longest header, as the package has it too.
_LONGEST: Final = 100_000_000
_ALIGNED: Final = 8
#: NumPy's limit.
_MOST_AXES: Final = 64


class TensorFileError(ValueError):
    """A file that is no safetensors file, or one that is not read, with the reason in words."""


def plain(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """Return the same values in C order and native byte order."""
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    return {name: np.asarray(value, value.dtype.newbyteorder("="), order="C") for name, value in arrays.items()}


def parts(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """Yield a file's content in parts, none of them copied: the header, then each tensor.

    The widest types come first, so that each tensor lies at a multiple of its items' size, and names in their order.
    """
    arrays = sorted(plain(tensors).items(), key=lambda pair: (-pair[1].dtype.itemsize, pair[0]))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name, array in arrays:
        if array.dtype not in _NAMES:
            raise TensorFileError(f"{_short(name)} holds {array.dtype}; a file can hold {', '.join(_TYPES)}")
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()  # ASCII: a name may hold what UTF-8 does not
    text += b" " * (-len(text) % _ALIGNED)
    yield len(text).to_bytes(8, "little") + text
    for _, array in arrays:
        if array.size:
            yield _bytes_of(array).data


def dumps(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """Return a file's content."""
    return b"".join(parts(tensors, metadata))


def digest(text: str, tensors: Mapping[str, Array]) -> str:
    """Return the SHA-256 of a text and of each tensor's name, dtype, shape and bytes."""
    total = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name, value in sorted(tensors.items()):
        total.update(f"\0{name}\0{value.dtype.str}\0{value.shape}\0".encode("utf-8", "surrogatepass"))
        total.update(np.ascontiguousarray(value).data)
    return total.hexdigest()


def read(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Return the metadata and the tensors of a file; each byte is copied once, from the file into its array's memory.

    Raises:
        TensorFileError: it is damaged, would be read otherwise by another program, or holds numbers that NumPy has not.
        OSError: it cannot be read.
        MemoryError: it does not fit.
    """
    with open(files.open_regular(path, os.O_RDONLY), "rb", buffering=0) as file:
        return _read(file, os.fstat(file.fileno()).st_size, str(path))


def loads(content: bytes) -> tuple[dict[str, str], dict[str, Array]]:
    """Return the metadata and the tensors of a file's content, as ``read`` does."""
    return _read(io.BytesIO(content), len(content), "what was sent")


def _read(file: io.RawIOBase | io.BytesIO, size: int, name: str) -> tuple[dict[str, str], dict[str, Array]]:
    metadata, places = _header(file, size)
    total = max((end for _, _, _, end in places.values()), default=0)
    if (free := free_memory()) is not None and total > free:
        raise MemoryError(f"{name}: {in_bytes(total)} of tensors, and {in_bytes(free)} are free")
    memory = np.empty(total, np.uint8)
    view = memory.data
    while view:
        if not (count := file.readinto(view[: files.CHUNK])):
            raise TensorFileError("it ends too early")
        view = view[count:]
    return metadata, {n: _array(memory[start:end], kind, shape) for n, (kind, shape, start, end) in places.items()}


_Place = tuple[str, tuple[int, ...], int, int]


def _header(file: Any, size: int) -> tuple[dict[str, str], dict[str, _Place]]:
    """Return the metadata, and of each tensor its type, shape, start and end; all of them checked."""
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or not 2 <= length <= min(_LONGEST, size - 8):
        raise TensorFileError("no header of a safetensors file")
    text = file.read(length)
    try:
        if text[:1] != b"{":
            raise ValueError("no object of JSON")
        found = plain_json.loads(text)
    except plain_json.UNREADABLE as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise TensorFileError(f"the header cannot be read: {reason}") from None
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise TensorFileError("metadata that is not text")
    places = {name: _place(name, entry) for name, entry in found.items()}
    at = 0
    for name, (_, _, start, end) in sorted(places.items(), key=lambda pair: pair[1][2:]):
        if start != at:
            raise TensorFileError(f"{_short(name)} begins at byte {start}, and what is before it ends at {at}")
        at = end
    if size - 8 - length != at:
        raise TensorFileError(f"{size - 8 - length:,} bytes of tensors, and the header tells of {at:,}")
    return metadata, places


def _place(name: str, entry: Any) -> _Place:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise TensorFileError(f"{_short(name)} needs dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise TensorFileError(f"{_short(name)} has no shape and place")
    if kind != _BFLOAT16 and (not isinstance(kind, str) or kind not in _TYPES):
        known = ", ".join([*_TYPES, _BFLOAT16])
        raise TensorFileError(f"{_short(name)} holds {_short(kind)}; save it as one of {known}")
    itemsize = 2 if kind == _BFLOAT16 else np.dtype(_TYPES[kind]).itemsize
    if math.prod(shape) * itemsize != offsets[1] - offsets[0]:
        raise TensorFileError(f"{_short(name)} of {kind} and shape {shape} has {offsets[1] - offsets[0]:,} bytes")
    return kind, tuple(shape), offsets[0], offsets[1]


def _counts(values: Any) -> bool:
    """Return whether these are whole numbers that a size in memory can be."""
    few = isinstance(values, list) and len(values) <= _MOST_AXES
    whole = few and all(type(value) is int and 0 <= value < 1 << 58 for value in values)
    return whole and math.prod(value for value in values if value) < 1 << 58


def _array(memory: Array, kind: str, shape: tuple[int, ...]) -> Array:
    if kind == _BFLOAT16:
        wide = np.ascontiguousarray(memory).view("<u2").astype("<u4") << 16
        return wide.view("<f4").reshape(shape).astype(np.float32, copy=False)
    found = memory.view(np.dtype(_TYPES[kind]).newbyteorder("<")).reshape(shape)
    if kind == "BOOL" and memory.size and memory.max() > 1:
        raise TensorFileError("a truth value that is neither 0 nor 1")
    found = found.astype(found.dtype.newbyteorder("="), copy=False)
    return found if found.flags.aligned else found.copy()  # a stranger's header may be of any length


def _bytes_of(array: Array) -> Array:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1).view(np.uint8)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
