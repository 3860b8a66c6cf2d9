"""Files of other libraries as arrays by name. Nothing in them is run, and no pickle is opened: sizes are checked before
anything is read, and what is not as the format says is refused in words.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np

from tinyseq import files
from tinyseq.errors import DataError
from tinyseq.nn.convert.records import LIBRARIES
from tinyseq.nn.init import Array

Arrays = dict[str, Array]
_MOST_NAMES: Final = 100_000
_DEEPEST: Final = 64
#: What a header, an index or a text beside the numbers may have.
_MOST_TEXT: Final = 1 << 26


#: Python, NumPy and zlib name what is wrong in many ways; all of them mean that a file is not as its format says.
_UNREADABLE = (
    ValueError, LookupError, struct.error, TypeError, OverflowError, RecursionError, SyntaxError, AttributeError,
    zlib.error, MemoryError,
)  # fmt: skip


@dataclass(frozen=True)
class Content:
    """What a file holds: arrays by name, and what it says of its layers, by the place of their tensors."""

    arrays: Arrays
    options: dict[str, dict[str, Any]] = field(default_factory=dict)


class Damaged(Exception):
    """Bytes that are not as their format says."""


def load(library: str, path: str | Path) -> Content:
    """Read a file of a library.

    Raises:
        DataError: not a format that is read without running anything, damaged, or of types that we have not.
        OSError: it cannot be opened, or is too large.
    """
    path = Path(path)
    suffix = next((end for end in READERS if path.name.endswith(end)), None)
    known = LIBRARIES.find(library, "convert.read")
    if suffix is None or suffix not in known.files:
        raise DataError(
            f"a file of {known.title} that is not read",
            required=f"{', '.join(known.files)}: formats in which nothing can run",
            got=str(path),
            fix=known.save,
        )
    try:
        with np.errstate(all="ignore"):  # a number that is too large is infinite, and infinite ones are refused
            return READERS[suffix](path)
    except DataError:
        raise
    except Damaged as error:
        reason = str(error)
    except (
        ValueError,
        LookupError,
        struct.error,
        TypeError,
        OverflowError,
        RecursionError,
        SyntaxError,
        zlib.error,
    ) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more is known'}"
    raise DataError(f"a damaged file of {known.title}", required=f"a whole {suffix} file", got=f"{path}: {reason}")


# -- numbers -----------------------------------------------------------------------------------------------------------

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}


def count_of(shape: tuple[int, ...]) -> int:
    """Return how many numbers a shape has, refusing what is none."""
    if len(shape) > 8 or any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in shape):
        raise Damaged(f"the shape {str(shape)[:100]}")
    count = math.prod(shape)
    if count * 2 > files.LARGEST:
        raise Damaged(f"an array of {count:,} numbers")
    return count


def array_of(data: bytes | memoryview, dtype: str, shape: tuple[int, ...], name: str) -> Array:
    """Return bytes as an array; bfloat16 becomes float32, exactly."""
    half = dtype in ("BF16", "bfloat16")
    try:
        kind = np.dtype("<u2" if half else _TYPES.get(dtype, dtype))
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise DataError(
            f"{name[:80]!r} is of the type {dtype[:40]}",
            required="float16, bfloat16, float32 or float64",
            got=dtype[:40],
            fix="the model in float32, on its library's side",
        )
    if count_of(shape) * kind.itemsize != len(data):
        raise Damaged(f"{name[:80]!r} has {len(data):,} bytes for the shape {shape}")
    array = np.frombuffer(data, kind).reshape(shape)
    if half:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(kind.newbyteorder("="), copy=False)


# -- safetensors -------------------------------------------------------------------------------------------------------


def _safetensors(path: Path) -> Content:
    data = memoryview(files.read_bytes(path))
    if len(data) < 8 or (size := int.from_bytes(data[:8], "little")) > min(len(data) - 8, _MOST_TEXT):
        raise Damaged("no header")
    header = json.loads(bytes(data[8 : 8 + size]))
    if not isinstance(header, dict) or len(header) > _MOST_NAMES:
        raise Damaged("a header that is no table of names")
    rest = data[8 + size :]
    arrays: Arrays = {}
    for name, told in header.items():
        if name == "__metadata__":
            continue
        start, end = told["data_offsets"]
        if not 0 <= start <= end <= len(rest):
            raise Damaged(f"{name[:80]!r} lies outside of the file")
        arrays[name] = array_of(rest[start:end], str(told["dtype"]), tuple(told["shape"]), name)
    return Content(arrays)


# -- zip archives, of which nothing is unpacked onto the disk ----------------------------------------------------------


def members(data: bytes) -> dict[str, bytes]:
    """Return what is in a zip archive, by name; in all no more than ``files.LARGEST`` bytes.

    Read by its central directory: stored or deflated members of one part without a password.
    """
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - (1 << 16) - 22))
    if end < 0 or end + 22 > len(data):
        raise Damaged("no zip archive, or one that is cut off")
    count, size, at = struct.unpack_from("<HII", data, end + 10)
    found: dict[str, bytes] = {}
    total = 0
    for _ in range(count):
        if data[at : at + 4] != b"PK\x01\x02":
            raise Damaged("the list of the archive's files is cut off")
        flags, method = struct.unpack_from("<HH", data, at + 8)
        crc, packed, size = struct.unpack_from("<III", data, at + 16)
        n, extra, comment = struct.unpack_from("<HHH", data, at + 28)
        start = struct.unpack_from("<I", data, at + 42)[0]
        name = data[at + 46 : at + 46 + n].decode("utf-8")
        if 0xFFFFFFFF in (packed, size, start):
            packed, size, start = _zip64(data[at + 46 + n : at + 46 + n + extra], packed, size, start)
        at += 46 + n + extra + comment
        total += size
        if total > files.LARGEST or name in found:
            raise Damaged(f"{total:,} bytes, more than are read" if name not in found else f"{name[:80]!r} twice")
        found[name] = _member(data, name, start, packed, size, crc, flags, method)
    return found


def _zip64(extra: bytes, packed: int, size: int, start: int) -> tuple[int, int, int]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = [*struct.unpack_from(f"<{length // 8}Q", extra, at + 4)]
            size = values.pop(0) if size == 0xFFFFFFFF else size
            packed = values.pop(0) if packed == 0xFFFFFFFF else packed
            start = values.pop(0) if start == 0xFFFFFFFF else start
            return packed, size, start
        at += 4 + length
    raise Damaged("sizes that are not there")


def _member(data: bytes, name: str, start: int, packed: int, size: int, crc: int, flags: int, method: int) -> bytes:
    if flags & 1 or method not in (0, 8) or data[start : start + 4] != b"PK\x03\x04":
        raise Damaged(f"{name[:80]!r} is packed in a way that is not read")
    n, extra = struct.unpack_from("<HH", data, start + 26)
    begin = start + 30 + n + extra
    raw = data[begin : begin + packed]
    if method == 8:
        unpacker = zlib.decompressobj(-15)
        raw = unpacker.decompress(raw, size + 1)
    if len(raw) != size or zlib.crc32(raw) != crc:
        raise Damaged(f"{name[:80]!r} is cut off or changed")
    return raw


def npy(data: bytes, name: str) -> tuple[Array, int]:
    """Return the array at the head of bytes in NumPy's format, and where it ends; objects are refused."""
    if data[:6] != b"\x93NUMPY" or data[6] not in (1, 2, 3):
        raise Damaged(f"{name[:80]!r} is no array")
    width = 2 if data[6] == 1 else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    if length > 65_536:
        raise Damaged(f"{name[:80]!r} has a header of {length:,} bytes")
    header = ast.literal_eval(data[8 + width : 8 + width + length].decode("latin-1"))
    dtype, shape = header["descr"], tuple(header["shape"])
    if not isinstance(dtype, str) or not re.fullmatch(r"[<>=|]?[iuf][1248]", dtype):
        raise DataError(
            f"{name[:80]!r} is of the type {str(dtype)[:60]}",
            required="floats or integers: objects are a pickle, which could run anything",
            got=str(dtype)[:60],
        )
    begin = 8 + width + length
    size = count_of(shape) * np.dtype(dtype).itemsize
    flat = array_of(memoryview(data)[begin : begin + size], dtype, (count_of(shape),), name)
    return flat.reshape(shape, order="F" if header["fortran_order"] else "C"), begin + size


def _npz(path: Path) -> Content:
    found = members(files.read_bytes(path))
    return Content({name.removesuffix(".npy"): npy(data, name)[0] for name, data in found.items()})


# -- Keras -------------------------------------------------------------------------------------------------------------


def _keras(path: Path) -> Content:
    found = members(files.read_bytes(path))
    if "model.weights.h5" not in found:
        raise Damaged("no model.weights.h5 in it")
    config = json.loads(found.get("config.json", b"{}")[:_MOST_TEXT])
    return Content(_h5(found["model.weights.h5"], path), dict(_keras_layers(config)))


def _weights_h5(path: Path) -> Content:
    return Content(_h5(files.read_bytes(path), path))


def _h5(data: bytes, path: Path) -> Arrays:
    try:
        import h5py
    except ImportError:
        raise DataError(
            "Keras's weights are in HDF5", required="h5py", got=str(path), fix="pip install tinyseq[keras]"
        ) from None
    arrays: Arrays = {}
    total = [0]

    def walk(group: Any, head: str, depth: int) -> None:
        if depth > _DEEPEST or len(arrays) > _MOST_NAMES:
            raise Damaged("groups within groups without end")
        for name in group:
            # A link could lead into another file.
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise Damaged(f"{name[:80]!r} is a link")
            thing, where = group[name], head + name
            if isinstance(thing, h5py.Group):
                walk(thing, where + "/", depth + 1)
                continue
            if thing.is_virtual or thing.external:
                raise Damaged(f"{where[:80]!r} lies in another file")
            size = count_of(tuple(thing.shape)) * thing.dtype.itemsize
            total[0] += size
            # What is not stored is filled up, and what is deflated grows by a thousand times at most.
            if total[0] > files.LARGEST or size > 4096 + 2000 * thing.id.get_storage_size():
                raise Damaged(f"{where[:80]!r} has {size:,} bytes")
            if thing.dtype.kind in "iuf":
                arrays[where] = np.asarray(thing[()])
            elif thing.dtype.kind not in "SO":
                array_of(b"", str(thing.dtype), (0,), where)  # refused in words

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            walk(file, "", 0)
    except (OSError, RuntimeError, KeyError) as error:
        raise Damaged(str(error)) from None
    return {name: array for name, array in arrays.items() if not name.startswith(("optimizer/", "metrics/"))}


def _keras_layers(config: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, what matters of the settings) of recurrent layers, named as Keras names them in the file."""
    layers = config.get("config", {}).get("layers", []) if isinstance(config, dict) else []
    seen: dict[str, int] = {}
    for layer in layers if isinstance(layers, list) else []:
        word = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", str(layer["class_name"])).lower()
        nth = seen[word] = seen.get(word, -1) + 1
        head, settings = f"layers/{word}{f'_{nth}' if nth else ''}/", layer["config"]
        inner = {"": settings}
        if word == "bidirectional":
            inner = {"forward_layer/": settings["layer"]["config"], "backward_layer/": settings["layer"]["config"]}
            if settings.get("merge_mode") != "concat":
                raise DataError(
                    "a Bidirectional layer whose directions are not joined",
                    required='merge_mode="concat"',
                    got=str(settings.get("merge_mode"))[:40],
                )
        for way, told in inner.items():
            if "recurrent_initializer" in told:
                yield f"{head}{way}cell/", _keras_options(told, head)


def _keras_options(told: Mapping[str, Any], head: str) -> dict[str, Any]:
    gated = "recurrent_activation" in told
    activation = told.get("activation", "tanh")
    allowed = {
        "recurrent_activation": ("sigmoid",),
        "activation": ("tanh",) if gated else ("tanh", "relu"),
        "go_backwards": (False,),
    }
    for name, values in allowed.items():
        if name in told and told[name] not in values:
            raise DataError(
                f"{head}: {name} is one that our layer has not",
                required=" or ".join(map(str, values)),
                got=str(told[name])[:60],
            )
    options: dict[str, Any] = {} if gated else {"nonlinearity": activation}
    if "reset_after" in told:
        options["reset"] = "after" if told["reset_after"] else "before"
    return options


# -- msgpack: Flax -----------------------------------------------------------------------------------------------------


class _Packed:
    """A reader of msgpack: maps, arrays, text, bytes, numbers, and Flax's arrays (type 1)."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = memoryview(data), 0

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise Damaged("it is cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def value(self, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            raise Damaged("nesting without end")
        kind = self.number(1)
        if kind < 0x80:
            return kind
        if kind >= 0xE0:
            return kind - 256
        if kind < 0x90 or kind in (0xDE, 0xDF):
            return self.table(kind & 15 if kind < 0x90 else self.number(2 << (kind - 0xDE)), depth)
        if kind < 0xA0 or kind in (0xDC, 0xDD):
            count = kind & 15 if kind < 0xA0 else self.number(2 << (kind - 0xDC))
            self.bounded(count)
            return [self.value(depth + 1) for _ in range(count)]
        if kind < 0xC0 or 0xD9 <= kind <= 0xDB:
            return str(self.take(kind & 31 if kind < 0xC0 else self.number(1 << (kind - 0xD9))), "utf-8")
        if kind in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[kind]
        if 0xC4 <= kind <= 0xC6:
            return bytes(self.take(self.number(1 << (kind - 0xC4))))
        if 0xC7 <= kind <= 0xC9:
            return self.extension(self.number(1 << (kind - 0xC7)), depth)
        if 0xD4 <= kind <= 0xD8:
            return self.extension(1 << (kind - 0xD4), depth)
        if kind in (0xCA, 0xCB):
            return struct.unpack(">f" if kind == 0xCA else ">d", self.take(4 if kind == 0xCA else 8))[0]
        if 0xCC <= kind <= 0xD3:
            size = 1 << (kind - 0xCC & 3)
            return int.from_bytes(self.take(size), "big", signed=kind >= 0xD0)
        raise Damaged(f"the byte {kind:#x}")

    def bounded(self, count: int) -> None:
        if count > min(len(self.data) - self.at, _MOST_NAMES):
            raise Damaged(f"{count:,} entries")

    def table(self, count: int, depth: int) -> dict[str, Any]:
        self.bounded(count)
        return {str(self.value(depth + 1)): self.value(depth + 1) for _ in range(count)}

    def extension(self, size: int, depth: int) -> Any:
        code, inner = self.number(1), _Packed(bytes(self.take(size)))
        if code != 1:
            raise Damaged(f"a value of the type {code}, which is no array")
        shape, dtype, data = inner.value(depth + 1)
        return array_of(data, str(dtype), tuple(shape), "an array")


def _msgpack(path: Path) -> Content:
    arrays: Arrays = {}

    def walk(value: Any, head: str) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                walk(part, f"{head}/{name}" if head else name)
        elif isinstance(value, np.ndarray):
            arrays[head] = value

    walk(_Packed(files.read_bytes(path)).value(), "")
    return Content(arrays)


# -- protocol buffers: ONNX --------------------------------------------------------------------------------------------


def fields_of(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of a message: integers, or bytes as they lie."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise Damaged("a number without end")

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        if kind not in (1, 2, 5):
            raise Damaged(f"a field of the kind {kind}")
        size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        if size > len(data) - at:
            raise Damaged("it is cut off")
        at += size
        yield key >> 3, data[at - size : at]


def _varints(value: Any) -> list[int]:
    """Integers of a repeated field, packed or one."""
    if isinstance(value, int):
        return [value]
    numbers, number, shift = [], 0, 0
    for byte in value:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
    return numbers


_ONNX_TYPES = {1: "<f4", 10: "<f2", 11: "<f8", 16: "BF16", 6: "<i4", 7: "<i8"}


def _onnx_tensor(data: memoryview) -> tuple[str, Array]:
    dims: list[int] = []
    name, kind, raw, floats = "", 0, None, b""
    for number, value in fields_of(data):
        match number:
            case 1:
                dims += _varints(value)
            case 2:
                kind = value
            case 4:
                floats += bytes(value)
            case 8:
                name = str(value, "utf-8")
            case 9:
                raw = value
            case 13 | 14 if number == 13 or value:
                raise DataError(
                    f"the tensor {name[:80]!r} lies in another file", required="tensors within the .onnx file",
                    fix="onnx.save(model, path, save_as_external_data=False)",
                )  # fmt: skip
    if kind not in _ONNX_TYPES:
        array_of(b"", f"ONNX type {kind}", (0,), name)
    return name, array_of(floats if raw is None else raw, _ONNX_TYPES[kind], tuple(dims), name)


def _onnx(path: Path) -> Content:
    graph = [value for number, value in fields_of(memoryview(files.read_bytes(path))) if number == 7]
    if len(graph) != 1 or isinstance(graph[0], int):
        raise Damaged("no graph")
    parts = list(fields_of(graph[0]))
    held = dict(_onnx_tensor(value) for number, value in parts if number == 5)
    content = Content({})
    for i, node in enumerate(value for number, value in parts if number == 1):
        _onnx_node(node, i, held, content)
    return content


def _onnx_node(node: memoryview, i: int, held: Arrays, content: Content) -> None:
    inputs, name, kind, attributes = [], "", "", {}
    for number, value in fields_of(node):
        match number:
            case 1:
                inputs.append(str(value, "utf-8"))
            case 3:
                name = str(value, "utf-8")
            case 4:
                kind = str(value, "utf-8")
            case 5:
                told = list(fields_of(value))
                names = [str(v, "utf-8") for n, v in told if n == 1]
                attributes[names[0]] = [v for n, v in told if n in (2, 3, 4, 8, 9)]
    if kind not in ("LSTM", "GRU", "RNN"):
        return
    head = f"{name.replace('/', '_') or f'{kind}{i}'}/"
    gates = {"LSTM": 3, "GRU": 2, "RNN": 1}[kind]
    content.options[head] = _onnx_options(kind, gates, attributes, head)
    for place, word in ((1, "W"), (2, "R"), (3, "B"), (7, "P")):
        if place < len(inputs) and inputs[place]:
            if inputs[place] not in held:
                raise DataError(
                    f"{head}: {word} is computed, and not a tensor of the file", required="an initializer",
                    got=inputs[place][:80], fix="onnxruntime's or onnxsim's constant folding",
                )  # fmt: skip
            content.arrays[head + word] = held[inputs[place]]


def _onnx_options(kind: str, gates: int, attributes: Mapping[str, list[Any]], head: str) -> dict[str, Any]:
    words = [str(value, "utf-8") for value in attributes.get("activations", [])]
    usual = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[kind]
    options: dict[str, Any] = {}
    if kind == "RNN" and words and set(words) in ({"Tanh"}, {"Relu"}):
        options["nonlinearity"] = words[0].lower()
        words = []
    if words and words not in (usual, usual * 2):
        raise DataError(
            f"{head}: activations that our layer has not", required=", ".join(usual), got=", ".join(words)[:80]
        )
    for name in ("clip", "input_forget", "layout"):
        value = attributes.get(name, [0])[0]
        if (name == "clip" and name in attributes) or (isinstance(value, int) and value):
            raise DataError(f"{head}: {name} is one that our layer has not", required="none", got=name)
    if str(attributes.get("direction", [b"forward"])[0], "utf-8") == "reverse":
        raise DataError(
            f"{head}: a layer that reads from the end alone", required="forward or bidirectional", got="reverse"
        )
    if kind == "GRU":
        options["reset"] = "after" if attributes.get("linear_before_reset", [0])[0] else "before"
    return options


# -- OpenVINO ----------------------------------------------------------------------------------------------------------

_IR = {"LSTMSequence": (4, 5, 6), "GRUSequence": (3, 4, 5), "RNNSequence": (3, 4, 5)}


def _openvino(path: Path) -> Content:
    text = files.read_bytes(path, _MOST_TEXT)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise Damaged("a document type, whose entities could grow without end")
    try:
        net = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise Damaged(str(error)) from None
    weights = memoryview(files.read_bytes(path.with_suffix(".bin")))
    layers = {layer.get("id"): layer for layer in net.iter("layer")}
    sources = {(e.get("to-layer"), e.get("to-port")): e.get("from-layer") for e in net.iter("edge")}
    content = Content({})
    for key, layer in layers.items():
        if layer.get("type") not in _IR:
            continue
        head = f"{(layer.get('name') or key or '').replace('/', '_')}/"
        content.options[head] = _openvino_options(layer, head)
        for word, port in zip("WRB", _IR[layer.get("type") or ""], strict=True):
            content.arrays[head + word] = _constant(layers, sources, (key, str(port)), weights, head + word)
    return content


def _openvino_options(layer: ElementTree.Element, head: str) -> dict[str, Any]:
    data = layer.find("data")
    told = {} if data is None else dict(data.attrib)
    kind = layer.get("type")
    usual = {"LSTMSequence": "sigmoid,tanh,tanh", "GRUSequence": "sigmoid,tanh", "RNNSequence": "tanh"}[str(kind)]
    words = re.sub(r"\s", "", told.get("activations", usual)).lower()
    if words != usual and not (kind == "RNNSequence" and words == "relu"):
        raise DataError(f"{head}: activations that our layer has not", required=usual, got=words[:80])
    if float(told.get("clip", 0) or 0) not in (0.0, math.inf) or told.get("direction") == "reverse":
        raise DataError(f"{head}: clip, or a layer that reads from the end alone", required="neither")
    if kind == "GRUSequence":
        return {"reset": "after" if told.get("linear_before_reset") in ("true", "1") else "before"}
    return {"nonlinearity": words} if kind == "RNNSequence" else {}


def _constant(
    layers: Mapping[Any, ElementTree.Element],
    sources: Mapping[tuple[Any, Any], Any],
    port: tuple[Any, str],
    weights: memoryview,
    name: str,
) -> Array:
    layer = layers.get(sources.get(port))
    while layer is not None and layer.get("type") == "Convert":
        layer = layers.get(sources.get((layer.get("id"), "0")))
    data = None if layer is None or layer.get("type") != "Const" else layer.find("data")
    if data is None:
        raise DataError(f"{name} is computed, and not a tensor of the file", required="a Const", got="another layer")
    start, size = int(data.get("offset", "")), int(data.get("size", ""))
    shape = tuple(int(n) for n in data.get("shape", "").split(",") if n.strip())
    kinds = {"f32": "<f4", "f16": "<f2", "f64": "<f8", "bf16": "BF16"}
    if start < 0 or size < 0 or start + size > len(weights):
        raise Damaged(f"{name} lies outside of the .bin file")
    return array_of(
        weights[start : start + size],
        kinds.get(data.get("element_type", ""), data.get("element_type", "")),
        shape,
        name,
    )


# -- ncnn --------------------------------------------------------------------------------------------------------------

_NO_WEIGHTS = {
    "Input", "Split", "Permute", "Reshape", "Squeeze", "ExpandDims", "Concat", "Noop", "Slice", "Crop", "Dropout",
    "ReLU", "Sigmoid", "TanH", "Softmax", "Flatten", "BinaryOp", "UnaryOp",
}  # fmt: skip
_NCNN = {"LSTM": (4, 4), "GRU": (3, 4), "RNN": (1, 1)}


def _ncnn(path: Path) -> Content:
    lines = files.read_bytes(path, _MOST_TEXT).decode("utf-8").splitlines()
    if not lines or lines[0].strip() != "7767517":
        raise Damaged("no ncnn text: it does not begin with 7767517")
    data = memoryview(files.read_bytes(path.with_suffix(".bin")))
    content, at = Content({}), 0
    for line in lines[2:]:
        words = line.split()
        if not words:
            continue
        kind, name = words[0], words[1].replace("/", "_")
        told = dict(word.split("=", 1) for word in words[4 + int(words[2]) + int(words[3]) :] if "=" in word)
        if kind not in _NCNN:
            if kind not in _NO_WEIGHTS:
                raise DataError(
                    f"{kind} stands before other layers in the .bin file, and how long its weights are is not known",
                    required="a file of recurrent layers alone", got=name, fix="the layers by themselves",
                )  # fmt: skip
            continue
        at = _ncnn_layer(kind, f"{name}/", told, data, at, content)
    if at != len(data):
        raise Damaged(f"{len(data) - at:,} bytes are left in the .bin file")
    return content


def _ncnn_layer(kind: str, head: str, told: Mapping[str, str], data: memoryview, at: int, content: Content) -> int:
    hidden, total, direction = int(told["0"]), int(told["1"]), int(told.get("2", 0))
    if told.get("8", "0") != "0" or told.get("3", told["0"]) != told["0"] or direction not in (0, 2):
        raise DataError(
            f"{head}: int8 weights, a projection, or a layer that reads from the end alone", required="none of them"
        )
    gates, biases = _NCNN[kind]
    ways = 2 if direction == 2 else 1
    size = total // max(ways * gates * hidden, 1)
    shapes = {
        "weight_xc": (ways, gates * hidden, size),
        "bias_c": (ways, biases * hidden),
        "weight_hc": (ways, gates * hidden, hidden),
    }
    for word, shape in shapes.items():
        tag = int.from_bytes(data[at : at + 4], "little")
        dtype = {0: "<f4", 0x01306B47: "<f2"}.get(tag, f"ncnn storage {tag:#x}")
        length = count_of(shape) * (2 if dtype == "<f2" else 4)
        if at + 4 + length > len(data):
            raise Damaged("the .bin file is cut off")
        content.arrays[head + word] = array_of(data[at + 4 : at + 4 + length], dtype, shape, head + word)
        at += 4 + length + -length % 4
    return at


# -- DyNet -------------------------------------------------------------------------------------------------------------


def _dynet(path: Path) -> Content:
    arrays: Arrays = {}
    lines = iter(files.read_bytes(path).decode("ascii").splitlines())
    for line in lines:
        if not line.startswith("#"):
            raise Damaged(f"a line that is no head: {line[:40]!r}")
        kind, name, dims, *_ = line.split()
        if kind not in ("#Parameter#", "#LookupParameter#"):
            raise Damaged(f"the head {kind[:40]!r}")
        shape = tuple(int(n) for n in re.sub(r"[{}]", "", dims).split(","))
        values = np.array(next(lines, "").split(), dtype=np.float32)
        if values.size != count_of(shape):
            raise Damaged(f"{name[:80]!r} has {values.size:,} numbers for {shape}")
        arrays[name] = values.reshape(shape, order="F")  # columns first, as in Eigen
        if not line.split()[-1].startswith("ZERO_GRAD"):
            next(lines, None)  # slopes
    return Content(arrays)


READERS: dict[str, Callable[[Path], Content]] = {
    ".safetensors": _safetensors, ".npz": _npz, ".keras": _keras, ".weights.h5": _weights_h5, ".msgpack": _msgpack,
    ".onnx": _onnx, ".xml": _openvino, ".param": _ncnn, ".txt": _dynet, ".model": _dynet,
}  # fmt: skip
