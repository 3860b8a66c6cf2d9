"""Certificates: what was compared and at what error, what lies beside the layer, and the command that makes it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import tinyseq as ts
from tinyseq import nn
from tinyseq.cli import main
from tinyseq.errors import DataError
from tinyseq.nn.convert import certificate, runners, vectors

FILES = Path(__file__).parent / "files"


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stored vectors are compared with; libraries themselves are run in tests/parity."""
    monkeypatch.setattr(runners, "installed", lambda library: False)


def test_what_was_compared_is_told() -> None:
    path = FILES / "chainer_lstm.npz"
    module, told = nn.convert.certified("chainer", path)
    assert told.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told.bytes == path.stat().st_size
    assert told.tensors == {"upward/W": "moved", "lateral/W": "moved", "upward/b": "moved"}
    first, second = told.comparisons
    assert first.exact
    assert "as stored by chainer 7.8.1" in second.what
    assert 0 < second.error < 1e-6
    assert "bit for bit" in str(told)
    assert isinstance(module, nn.LSTM)


def test_constants_and_sums_are_told() -> None:
    _, told = nn.convert.certified("dynet", FILES / "dynet_lstm.txt")
    assert sorted(told.tensors.values()) == ["moved", "moved", "shifted"]
    _, told = nn.convert.certified("torch", FILES / "torch_lstm.safetensors")
    assert set(told.tensors.values()) == {"moved", "summed"}
    assert told.comparisons[0].exact, "our weights, written and read again"
    assert len(told.comparisons) == 3, "two stored cases of the layer"


def test_what_was_left_aside_and_accepted_is_told() -> None:
    given = dict(next(v.tensors for v in vectors.stored("chainer") if v.name == "gru"))
    model = {f"encoder/{name}": array for name, array in given.items()} | {"head/W": np.ones((2, 4), np.float32)}
    _, told = nn.convert.certified("chainer", model, accept={"first step"})
    assert told.aside == ["head/W"]
    assert told.accepted == ["first step"]


def test_a_library_that_never_ran_is_said_to_be_one() -> None:
    _, told = nn.convert.certified("mindspore", nn.convert.write("mindspore", nn.LSTM(3, 4)))
    assert "no output of MindSpore was compared" in str(told)


def test_a_layer_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors.Vector, "error", lambda self, module: 0.5)
    with pytest.raises(DataError, match="computes something else"):
        nn.convert.certified("chainer", FILES / "chainer_lstm.npz")


@pytest.mark.parametrize(
    ("library", "make", "options"),
    [
        ("torch", lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True), {}),
        ("torch", lambda: nn.GRU(3, 4, reset="after", update="old"), {}),
        ("haiku", lambda: nn.RNN(3, 4, nonlinearity="relu"), {"kind": "rnn"}),
        ("onnx", lambda: nn.Recurrent("peephole_lstm", 3, 4), {}),
        ("reservoirpy", lambda: nn.Recurrent("esn", 3, 4, leak=0.25), {}),
        ("torch", lambda: nn.Linear(3, 4), {"kind": "linear"}),
        ("torch", lambda: nn.Embedding(5, 4), {"kind": "embedding"}),
    ],
)
def test_a_layer_is_saved_and_opened(library, make, options, tmp_path: Path) -> None:
    module, told = nn.convert.certified(library, nn.convert.write(library, make()), **options)
    folder = nn.convert.save(tmp_path / "a" / "b", module, told)
    assert sorted(path.name for path in folder.iterdir()) == ["certificate.json", "weights.safetensors"]
    back = nn.convert.opened(folder)
    assert repr(back) == repr(module)
    for path, value in module.state_dict().items():
        assert back.state_dict()[path].numpy().tobytes() == value.numpy().tobytes()
    with pytest.raises(DataError, match="there already"):
        nn.convert.save(folder, module, told)
    content = json.loads((folder / "certificate.json").read_text())
    content["format"] = "another"
    (folder / "certificate.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="no layer that was imported"):
        nn.convert.opened(folder)


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "layer"
    words = ["import", str(FILES / "torch_lstm.safetensors"), "--from", "torch", "-o", str(out)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "encoder.weight_ih_l0: moved" in result.output
    assert "compared: lstm stacked, as stored by torch" in result.output
    told = json.loads((out / "certificate.json").read_text())
    assert told["source"].endswith("torch_lstm.safetensors")
    x = ts.tensor(np.ones((1, 3, 3), np.float32))
    expected, _ = nn.convert.read("torch", FILES / "torch_lstm.safetensors")(x)
    np.testing.assert_array_equal(nn.convert.opened(out)(x)[0].numpy(), expected.numpy())
    again = CliRunner().invoke(main, words)
    assert (again.exit_code, "there already" in again.output) == (1, True)
    wrong = CliRunner().invoke(main, [*words[:3], "kears", *words[4:]])
    assert (wrong.exit_code, "did you mean 'keras'" in wrong.output) == (1, True)


def test_a_version_of_the_format_is_in_the_file() -> None:
    _, told = nn.convert.certified("chainer", FILES / "chainer_lstm.npz")
    assert json.loads(told.as_json())["format"] == certificate._FORMAT
