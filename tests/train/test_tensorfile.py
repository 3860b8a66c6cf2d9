"""What is written of an array is its values, wherever and in whatever order they lie in memory."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load, load_file

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
