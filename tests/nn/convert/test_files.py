"""Files that libraries saved: read right; damaged, hostile and other files: refused, and nothing run."""

from __future__ import annotations

import importlib.util
import io
import json
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyseq as ts
from tinyseq import nn
from tinyseq.errors import DataError, TinyseqError
from tinyseq.nn.convert.files import READERS, members, npy
from tinyseq.nn.convert.records import LIBRARIES

FILES = Path(__file__).parent / "files"
HDF5 = importlib.util.find_spec("h5py") is not None
SAVED = sorted(path for path in FILES.iterdir() if not path.name.endswith((".expected.npz", ".bin")))


def library_of(path: Path) -> str:
    return path.name.split("_")[0]


def needs(path: Path) -> None:
    if path.name.endswith((".keras", ".h5")) and not HDF5:
        pytest.skip("h5py is not installed: pip install tinyseq[keras]")


def expected(path: Path) -> tuple[np.ndarray, np.ndarray]:
    held = members((FILES / f"{path.name.split('.')[0]}.expected.npz").read_bytes())
    return npy(held["x.npy"], "x")[0], npy(held["y.npy"], "y")[0]


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.name)
def test_a_file_computes_what_its_library_did(path: Path) -> None:
    needs(path)
    x, y = expected(path)
    ys, _ = nn.convert.read(library_of(path), path)(ts.tensor(x[None]))
    np.testing.assert_allclose(ys.numpy()[0], y, atol=1e-5, rtol=0)


def test_there_is_a_file_of_each_format() -> None:
    ends = {end for end in READERS if any(path.name.endswith(end) for path in SAVED)}
    assert set(READERS) - ends == {".model"}, "DyNet's other name"
    assert all(end in READERS for library in LIBRARIES.values() for end in library.files)


def damaged(path: Path, content: bytes, tmp_path: Path) -> None:
    """Reading ends, in a layer or in an error of ours."""
    place = tmp_path / path.name
    place.write_bytes(content)
    beside = path.with_suffix(".bin")
    if beside.exists():
        (tmp_path / beside.name).write_bytes(beside.read_bytes())
    with suppress(TinyseqError):
        nn.convert.read(library_of(path), place)


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.name)
def test_a_file_that_is_cut_off_is_refused(path: Path, tmp_path: Path) -> None:
    needs(path)
    content = path.read_bytes()
    for length in (0, 1, 7, 8, 9, len(content) // 3, len(content) // 2, len(content) - 20):
        place = tmp_path / path.name
        place.write_bytes(content[:length])
        if path.with_suffix(".bin").exists():
            (tmp_path / path.with_suffix(".bin").name).write_bytes(path.with_suffix(".bin").read_bytes())
        with pytest.raises(TinyseqError):
            nn.convert.read(library_of(path), place)


@pytest.mark.parametrize("path", [path for path in SAVED if path.with_suffix(".bin").exists()], ids=lambda p: p.name)
def test_weights_that_are_cut_off_are_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = path.with_suffix(".bin").read_bytes()
    for content in (
        b"",
        weights[:-1],
        weights[: len(weights) // 2],
        *((weights + b"more",) * (path.suffix == ".param")),
    ):
        (tmp_path / path.with_suffix(".bin").name).write_bytes(content)
        with pytest.raises(DataError):
            nn.convert.read(library_of(path), tmp_path / path.name)


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.name)
def test_changed_bytes_end_in_a_layer_or_an_error_of_ours(path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    needs(path)
    content = path.read_bytes()
    tmp_path = tmp_path_factory.mktemp("changed")

    @settings(max_examples=60, deadline=None, database=None)
    @given(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=4))
    def check(changes: list[tuple[int, int]]) -> None:
        changed = bytearray(content)
        for at, value in changes:
            changed[at] = value
        damaged(path, bytes(changed), tmp_path)

    check()


def test_an_onnx_attribute_without_a_name_is_damage(tmp_path: Path) -> None:
    content = (FILES / "onnx_gru.onnx").read_bytes()
    assert content.count(b"\x0a\x0bhidden_size") == 1
    place = tmp_path / "model.onnx"
    place.write_bytes(content.replace(b"\x0a\x0bhidden_size", b"\x52\x0bhidden_size"))
    with pytest.raises(DataError, match="damaged"):
        nn.convert.read("onnx", place)


@pytest.mark.parametrize("end", READERS)
@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"PK\x05\x06" + b"\0" * 18, b"\xff" * 64, b"{" * 10_000])
def test_other_files_are_refused(end: str, content: bytes, tmp_path: Path) -> None:
    if end.endswith(("keras", "h5")) and not HDF5:
        pytest.skip("h5py is not installed: pip install tinyseq[keras]")
    place = tmp_path / f"file{end}"
    place.write_bytes(content)
    place.with_suffix(".bin").write_bytes(b"")
    library = next(name for name, library in LIBRARIES.items() if end in library.files)
    with pytest.raises(TinyseqError):
        nn.convert.read(library, place)


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.pdparams", "model.npy", "model", "model.h5"])
def test_formats_that_could_run_something_are_refused_with_what_to_do(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    for library, record in LIBRARIES.items():
        with pytest.raises(DataError, match="nothing can run") as caught:
            nn.convert.read(library, tmp_path / name)
        assert record.save
        assert record.save in str(caught.value)


def test_objects_in_an_npz_are_not_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    np.savez(tmp_path / "evil.npz", **{"upward/W": np.array([Evil()], dtype=object)})
    with pytest.raises(DataError, match="could run anything"):
        nn.convert.read("chainer", tmp_path / "evil.npz")


def test_an_archive_that_grows_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\0" * 10_000)
    content = bytearray(file.getvalue())
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)  # says 4 GiB
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="more than are read"):
        nn.convert.read("haiku", tmp_path / "a.npz")
    content[at + 24 : at + 28] = struct.pack("<I", 10)  # says less than there is
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="cut off or changed"):
        nn.convert.read("haiku", tmp_path / "a.npz")


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        (1 << 62).to_bytes(8, "little") + b"{}",
        safetensors([1, 2]),
        safetensors({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors({"a": {"dtype": "F32", "shape": [1 << 31, 1 << 31, 0], "data_offsets": [0, 0]}}),
        safetensors({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}, b"\0" * 4),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"\0" * 4),
        safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors({"a": 3}),
    ],
)
def test_hostile_headers(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(DataError):
        nn.convert.read("torch", tmp_path / "a.safetensors")


def test_bfloat16_is_read_and_float8_refused(tmp_path: Path) -> None:
    lstm = nn.LSTM(3, 4)
    arrays = nn.convert.write("torch", lstm)
    halves = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in arrays.items()}
    header, data = {}, b""
    for name, half in halves.items():
        offsets = [len(data), len(data) + half.nbytes]
        header[name] = {"dtype": "BF16", "shape": list(half.shape), "data_offsets": offsets}
        data += half.tobytes()
    (tmp_path / "a.safetensors").write_bytes(safetensors(header, data))
    back = nn.convert.write("torch", nn.convert.read("torch", tmp_path / "a.safetensors"))
    for name, half in halves.items():
        np.testing.assert_array_equal(back[name], (half.astype(np.uint32) << 16).view(np.float32))
    header = {"weight_ih_l0": {"dtype": "F8_E4M3", "shape": [16, 3], "data_offsets": [0, 48]}}
    (tmp_path / "b.safetensors").write_bytes(safetensors(header, b"\0" * 48))
    with pytest.raises(DataError, match="F8_E4M3"):
        nn.convert.read("torch", tmp_path / "b.safetensors")


def test_entities_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text('<!DOCTYPE a [<!ENTITY b "bb">]><net><layers/></net>')
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(DataError, match="document type"):
        nn.convert.read("openvino", tmp_path / "a.xml")


def test_msgpack_nests_no_deeper_than_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.msgpack").write_bytes(b"\x81\xa1a" * 5000 + b"\x01")
    with pytest.raises(DataError, match="without end"):
        nn.convert.read("flax", tmp_path / "a.msgpack")
    (tmp_path / "b.msgpack").write_bytes(b"\xdf\xff\xff\xff\xff")
    with pytest.raises(DataError, match="entries"):
        nn.convert.read("flax", tmp_path / "b.msgpack")


@pytest.mark.parametrize("end", [".npz", ".safetensors"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_written_is_read(library: str, end: str, tmp_path: Path) -> None:
    kind = "esn" if library == "reservoirpy" else "lstm"
    module = nn.Recurrent(kind, 3, 4)
    arrays = nn.convert.write(library, module, tmp_path / f"a{end}")
    back = nn.convert.write(library, nn.convert.read(library, tmp_path / f"a{end}", kind=kind))
    assert {name: array.tobytes() for name, array in back.items()} == {n: a.tobytes() for n, a in arrays.items()}


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.npz or \.safetensors"):
        nn.convert.write("torch", nn.LSTM(3, 4), tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not HDF5, reason="h5py is not installed: pip install tinyseq[keras]")
def test_hdf5_that_leads_into_other_files_is_refused(tmp_path: Path) -> None:
    import h5py

    for kind in ("link", "external"):
        place = tmp_path / f"{kind}.weights.h5"
        with h5py.File(place, "w") as file:
            if kind == "link":
                file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
            else:
                file.create_dataset("a", (4,), "f4", external=[("/etc/passwd", 0, 16)])
        with pytest.raises(DataError, match=r"link|another file"):
            nn.convert.read("keras", place)


@pytest.mark.skipif(not HDF5, reason="h5py is not installed: pip install tinyseq[keras]")
@pytest.mark.parametrize("shape", [(1 << 26,), (1 << 40,)])
def test_hdf5_that_says_more_than_it_holds_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file.create_dataset("layers/lstm/cell/vars/0", shape, "f4", chunks=(1 << 16,))
    assert (tmp_path / "a.weights.h5").stat().st_size < 100_000
    with pytest.raises(DataError, match=r"bytes|numbers"):
        nn.convert.read("keras", tmp_path / "a.weights.h5")


def test_a_number_beyond_all_floats_is_refused(tmp_path: Path) -> None:
    content = (FILES / "dynet_lstm.txt").read_text()
    number = content.split("\n")[1].split()[0]
    (tmp_path / "large.txt").write_text(content.replace(number, "1e300", 1))
    with pytest.raises(DataError, match="finite"):
        nn.convert.read("dynet", tmp_path / "large.txt")
