"""What is written of an array is its values, wherever and in whatever order they lie in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load, load_file, save_file

import tinyseq as ts
from tinyseq import nn
from tinyseq.train import running
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_state import snapshot
from tinyseq.train.storage import checkpoint_file as checkpoint
from tinyseq.train.storage import tensorfile
from tinyseq.train.storage.checkpoint_file import Checkpoint
from tinyseq.train.storage.run_directory import RunDirectory

A = np.arange(24, dtype=np.float32).reshape(4, 6)
ARRAYS = {
    "transposed": A.T,
    "fortran": np.asfortranarray(A),
    "strided": A[:, ::2],
    "reversed": A[::-1],
    "broadcast": np.broadcast_to(A[0], (3, 6)),
    "permuted": A.reshape(2, 3, 4).transpose(2, 0, 1),
    "big-endian": A.astype(">f4"),
    "big-endian and transposed": A.astype(">f8").T,
    "big-endian integers": np.arange(5).astype(">i4")[::2],
    "scalar": np.array(2.5, ">f4"),
    "flags": (A > 3).T,
}


def same(found, arrays):
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("=")


def test_arrays_in_any_order_are_read_back_as_they_were(tmp_path):
    same(load(tensorfile.dumps(ARRAYS, {})), ARRAYS)
    RunDirectory(tmp_path).write_weights(ARRAYS, {})
    same(load_file(tmp_path / "weights.safetensors"), ARRAYS)
    same(RunDirectory(tmp_path).weights(), ARRAYS)
    checkpoint.write(tmp_path / "c.safetensors", Checkpoint({"step": 1}, ARRAYS))
    same(checkpoint.read(tmp_path / "c.safetensors").tensors, ARRAYS)


TYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
tensors = st.dictionaries(
    st.text(alphabet='ab.é\u2028"\\\\', max_size=4),
    st.builds(
        lambda kind, shape: (np.arange(np.prod(shape, dtype=int)) % 3).astype(kind).reshape(shape),
        st.sampled_from(TYPES),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    min_size=1,  # without, the package writes no JSON
    max_size=4,
).filter(lambda found: "__metadata__" not in found)


@given(tensors, st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
def test_the_package_reads_what_is_written_and_what_it_writes_is_read(tmp_path_factory, arrays, metadata):
    """Names, dtypes, shapes, bytes and metadata; and at a multiple of its item's size each tensor lies."""
    ours, theirs = (tmp_path_factory.getbasetemp() / f"{name}.safetensors" for name in ("ours", "theirs"))
    ours.write_bytes(tensorfile.dumps(arrays, metadata))
    same(load_file(ours), arrays)
    with safe_open(ours, framework="np") as file:
        assert (file.metadata() or {}) == metadata
    save_file(arrays, theirs, metadata=metadata)
    for path in (ours, theirs):
        found_metadata, found = tensorfile.read(path)
        same(found, arrays)
        assert found_metadata == metadata
        assert all(array.flags.aligned and array.flags.writeable for array in found.values())


def test_equal_content_gives_equal_bytes_in_any_order():
    arrays, metadata = {"b": A, "a": A.astype("f8"), "c": A > 1}, {"y": "1", "x": "2"}
    turned = ({name: one[name] for name in reversed(one)} for one in (arrays, metadata))
    assert tensorfile.dumps(*turned) == tensorfile.dumps(arrays, metadata)


def test_checkpoints_of_equal_content_are_equal_in_bytes(tmp_path):
    facts = {"step": 1, "z": [1.5, None], "a": {"b": "x"}}
    for name in "ab":
        checkpoint.write(tmp_path / name, Checkpoint(facts, dict(ARRAYS)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_bytes_are_those_of_the_format():
    """By hand, after the format's description: length, header, then the tensors, the widest items first."""
    content = tensorfile.dumps({"b": np.array([1], "<u2"), "a": np.array([2.0], "<f4")}, {"k": "v"})
    header = (
        b'{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"b":{"dtype":"U16","shape":[1],"data_offsets":[4,6]}}'
    )
    header += b" " * (-len(header) % 8)
    assert content == len(header).to_bytes(8, "little") + header + b"\0\0\0\x40\1\0"


def test_what_lies_at_odd_places_is_aligned(tmp_path):
    """A stranger's header may be of any length, and types in any order."""
    header = (
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F64","shape":[2],"data_offsets":[1,17]}}'
    )
    values = np.array([1.5, -2.5])
    (tmp_path / "f").write_bytes(len(header).to_bytes(8, "little") + header + b"\7" + values.tobytes())
    found = tensorfile.read(tmp_path / "f")[1]
    np.testing.assert_array_equal(found["b"], values)
    assert found["b"].flags.aligned


def test_each_byte_is_copied_once(tmp_path):
    """All tensors of a file share the memory that it was read into."""
    (tmp_path / "f").write_bytes(tensorfile.dumps({"a": A, "b": A}, {}))
    found = tensorfile.read(tmp_path / "f")[1]

    def memory(array):
        while isinstance(array.base, np.ndarray):
            array = array.base
        return array

    assert memory(found["a"]) is memory(found["b"])
    assert memory(found["a"]).nbytes == 2 * A.nbytes


def test_what_a_model_hands_out_for_files_is_in_c_order():
    model = nn.Linear(4, 6)
    model.W.assign(ts.tensor(A.T).T)
    model.shift = ts.tensor(A).T
    assert not model.W.value.flags.c_contiguous
    for arrays in (snapshot(model), nn.to_torch(nn.LSTM(3, 5)), nn.to_torch(nn.Linear(3, 5))):
        assert [name for name, array in arrays.items() if not array.flags.c_contiguous] == []
    np.testing.assert_array_equal(snapshot(model)["W"], A)


CELL = """
import numpy as np
import tinyseq as ts
from tinyseq import nn

class Leaky(nn.Cell):
    def __init__(self, input_size, hidden_size):
        self.hidden_size = hidden_size
        rng = np.random.default_rng(0)
        self.W = nn.parameter(rng.normal(size=(input_size + hidden_size, hidden_size)) * 0.3)
        self.W.assign(ts.tensor(np.ascontiguousarray(self.W.numpy().T)).T)
        self.mixing = ts.tensor(rng.normal(size=(hidden_size, 2 * hidden_size)).astype(np.float32) * 0.3).T[::2]

    def step(self, x, h):
        h = ts.tanh(ts.concat([h @ self.mixing, x], axis=-1) @ self.W)
        return h, h
"""


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "compiled"])
def test_a_run_with_weights_in_other_orders_evaluates_to_the_numbers_it_printed(tmp_path, monkeypatch, eager):
    monkeypatch.setattr(running, "draw_run", lambda *args, **kwargs: None)
    (tmp_path / "own.py").write_text(CELL)
    values = np.sin(np.arange(300) / 3.0)
    (tmp_path / "waves.csv").write_text("x\n" + "\n".join(f"{value:.6f}" for value in values) + "\n")
    config = {
        "task": "forecasting",
        "seed": 2,
        "data": {"path": str(tmp_path / "waves.csv")},
        "model": {"cell": f"{tmp_path / 'own.py'}:Leaky", "hidden_size": 6},
        "train": {"steps": 6, "batch_size": 8, "evaluate_every": 3},
        "output": str(tmp_path / "runs"),
    }
    result = ts.run(config, progress=SilentProgress(), eager=eager)
    model = ts.load(result.directory)
    assert model.evaluate() == pytest.approx(result.metrics, rel=1e-5)
