"""Whatever stands in a run directory, its readers answer in words, and a run comes to its end."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

import tinyseq as ts
from support.smallruns import CONFIG, rows, weights, write_config
from tinyseq.cli import main
from tinyseq.errors import DataError, TinyseqError
from tinyseq.train import running
from tinyseq.train.analysis import pictures
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.storage.metrics_log import read_rows
from tinyseq.train.storage.run_directory import RunDirectory
from tinyseq.train.trained import report

FILES = ("weights.safetensors", "metadata.json", "result.json", "env.json", "metrics.jsonl", "config.resolved.yaml")
DEEP = b'{"a":' * 100_000


class Noting(SilentProgress):
    def __init__(self):
        super().__init__()
        self.notes = []

    def note(self, message):
        self.notes.append(message)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A finished run with a checkpoint of step 6."""
    folder = tmp_path_factory.mktemp("original")
    text = CONFIG.replace("log_every: 3", "log_every: 1\n  checkpoint: {every: 6, keep: 9}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "draw_run", lambda *args, **kwargs: None)
        return ts.run(write_config(folder, text), output=folder / "runs", progress=SilentProgress()).directory


@pytest.fixture
def run(original, tmp_path):
    """A copy of it."""
    copy = tmp_path / "0001"
    shutil.copytree(original, copy)
    return copy


def resume(run, step=6):
    """Go on from a checkpoint; return what was noted."""
    noting = Noting()
    place = run / "checkpoints" / f"step-{step:08}.safetensors"
    ts.run(run / "config.resolved.yaml", resume=place, progress=noting)
    return noting.notes


def invoke(*words):
    found = CliRunner().invoke(main, [str(word) for word in words])
    assert "bug in tinyseq" not in found.stderr
    return found


def words(error):
    """A message in words: no foreign exception's, and on one line for each part."""
    return str(error.value)


# -- metrics -----------------------------------------------------------------------------------------------------------


def size_at(run, step):
    return sum(
        len(line) for line in (run / "metrics.jsonl").read_bytes().splitlines(True) if json.loads(line)["step"] <= step
    )


def test_a_flipped_bit_in_the_metrics_costs_a_resumed_run_nothing(run, original):
    chance = random.Random(0)
    content = (run / "metrics.jsonl").read_bytes()
    end = size_at(run, 6)
    for _ in range(6):
        damaged = bytearray(content)
        damaged[chance.randrange(end)] ^= 1 << chance.randrange(8)
        (run / "metrics.jsonl").write_bytes(damaged)
        for name in ("weights.safetensors", "result.json"):
            (run / name).unlink()
        notes = resume(run)
        assert any("is not as it was at the checkpoint" in note for note in notes), "also where it is JSON still"
        assert weights(run) == weights(original)
        assert json.loads((run / "result.json").read_text())["status"] == "done"
        assert json.loads((run / "metrics.jsonl").read_bytes().splitlines()[-1]) == rows(original)[-1]


LINES = {
    "no JSON": b'{"step": 1',
    "no UTF-8": b'{"step": 1, "split": "train\xff"}',
    "deep": DEEP,
    "a number that is text": b'{"step": 1, "split": "train", "loss": "x"}',
    "a number that is an object": b'{"step": 1, "split": "train", "loss": {}}',
    "a step that is text": b'{"step": "1", "split": "train", "loss": 1.0}',
    "a negative step": b'{"step": -1, "split": "train", "loss": 1.0}',
    "a truth value": b'{"step": 1, "split": "train", "loss": true}',
    "a list": b"[1]",
    "a number beyond all floats": b'{"step": 1, "split": "train", "loss": 1' + b"0" * 400 + b"}",
    "digits beyond all bounds": b'{"step": 1, "split": "train", "loss": ' + b"9" * 5000 + b"}",
    "a name twice": b'{"step": 1, "step": 2, "split": "train"}',
    "an empty line": b"",
    "a long line": b" " * (1 << 21),
}


@pytest.mark.parametrize("line", LINES)
def test_a_damaged_line_of_metrics_is_left_out_and_told(run, line):
    good = (run / "metrics.jsonl").read_bytes()
    (run / "metrics.jsonl").write_bytes(good + LINES[line] + b"\n" + b'{"step": 13, "spl')
    told = []
    found = list(read_rows(run / "metrics.jsonl", told.append))
    assert len(found) == len(good.splitlines())
    assert len(told) == 1
    assert f"1 damaged of {len(found) + 1} lines left out: {len(found) + 1}" in told[0]
    pictures.curves(RunDirectory(run))


def test_numbers_that_json_does_not_have_are_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": null}\n')
    found = read_rows(tmp_path / "metrics.jsonl", lambda _: pytest.fail("told"))
    assert list(found) == [{"step": 1, "split": "train"}]


# -- weights -----------------------------------------------------------------------------------------------------------


def header_of(path):
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def write_raw(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def recast(path, kind, width, values):
    """Write each tensor of a file in another type, as PyTorch's users do."""
    arrays, header, data = load_file(path), {}, b""
    for name, array in arrays.items():
        raw = values(array).tobytes()
        assert len(raw) == array.size * width
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    write_raw(path, header, data)


def test_bfloat16_is_read(run):
    """As the upper halves of float32."""
    path = run / "weights.safetensors"
    expected = {name: (a.view(np.uint32) & 0xFFFF0000).view(np.float32) for name, a in load_file(path).items()}
    recast(path, "BF16", 2, lambda array: (array.view(np.uint32) >> 16).astype("<u2"))
    model = ts.load(run).model
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), expected[name])


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F4", "F6_E2M3", "C128", "nonsense"])
def test_other_types_are_refused_by_name(run, kind):
    recast(run / "weights.safetensors", kind, 1, lambda array: np.zeros(array.shape, "u1"))
    with pytest.raises(DataError, match=f"holds '{kind}'; save it as one of"):
        ts.load(run)


def test_a_name_twice_is_refused(run):
    path = run / "weights.safetensors"
    header, data = header_of(path)
    name = next(name for name in header if name != "__metadata__")
    text = json.dumps(header).encode()
    write_raw(path, text[:-1] + b", " + json.dumps({name: header[name]}).encode()[1:], data)
    with pytest.raises(DataError, match=f"the name '{name}' is there twice"):
        ts.load(run)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(run, value):
    path = run / "weights.safetensors"
    arrays = load_file(path)
    name = next(iter(arrays))
    arrays[name].reshape(-1)[:2] = value
    save_file(arrays, path)
    with pytest.raises(DataError, match="not finite numbers") as caught:
        ts.load(run)
    assert f"{name}: 2 of" in words(caught)
    for command in ("evaluate", "sample"):
        found = invoke(command, run)
        assert (found.exit_code, found.stdout) == (1, "")


def test_what_overflows_in_the_dtype_of_the_config_is_refused(run):
    """float16 in spirit: float32 that gets numbers of float64."""
    path = run / "weights.safetensors"
    save_file({name: np.full(a.shape, 1e300) for name, a in load_file(path).items()}, path)
    with np.errstate(over="ignore"), pytest.raises(DataError, match="as float32"):
        ts.load(run)


@pytest.mark.parametrize("name", ["weights.safetensors", "metadata.json"])
def test_any_flipped_bit_of_weights_and_metadata_is_found_out(run, name):
    chance = random.Random(1)
    content = (run / name).read_bytes()
    for _ in range(60):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (run / name).write_bytes(damaged)
        try:
            found = ts.load(run)
        except TinyseqError:
            continue
        # A bit of the digest's own name, or of the header's, makes a file that has none.
        assert "sha256" not in header_of(run / "weights.safetensors")[0].get("__metadata__", {})
        assert name == "weights.safetensors"
        del found


def changed(header, name, **entry):
    return {**header, name: {**header[name], **entry}}


def test_headers_that_lie_are_refused(run):
    path = run / "weights.safetensors"
    header, data = header_of(path)
    names = [name for name in header if name != "__metadata__"]
    first, last = names[0], names[-1]
    size = header[first]["data_offsets"][1]
    lies = {
        "overlap": changed(header, last, data_offsets=header[first]["data_offsets"]),
        "a gap": changed(header, first, data_offsets=[4, size + 4]),
        "negative": changed(header, first, shape=[-1, -(size // 4)]),
        "huge": changed(header, first, shape=[1 << 70]),
        "huge beside nothing": changed(header, first, shape=[0, 1 << 57, 1 << 57]),
        "a shape of text": changed(header, first, shape="x"),
        "truth values": changed(header, first, shape=[True, True]),
        "axes": changed(header, first, shape=[1] * 100),
        "no entry": {**header, first: 3},
        "one key more": changed(header, first, more=1),
        "metadata of numbers": {**header, "__metadata__": {"a": 1}},
        "deep": b'{"a":' * 100_000 + b"}" * 100_000,
        "digits": b'{"a": ' + b"9" * 5000 + b"}",
        "no object": b"[]",
        "nothing": b"",
    }
    for what, lie in lies.items():
        write_raw(path, lie, data)
        with pytest.raises(DataError, match="the weights cannot be read"):
            ts.load(run)
        assert what
    write_raw(path, header, data + b"\0")
    with pytest.raises(DataError, match="bytes of tensors, and the header tells of"):
        ts.load(run)
    path.write_bytes(struct.pack("<Q", 1 << 63) + b"{}")
    with pytest.raises(DataError, match="no header"):
        ts.load(run)


def test_a_file_that_does_not_fit_into_memory_is_refused_before_it_is_read(run, monkeypatch):
    """A sparse file: a terabyte that takes no room."""
    path = run / "weights.safetensors"
    count = 1 << 40
    write_raw(path, {"w": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}, b"")
    os.truncate(path, path.stat().st_size + count)
    with pytest.raises(MemoryError, match="1 TiB of tensors"):
        ts.load(run)
    found = invoke("evaluate", run)
    assert found.exit_code == 1
    assert "out of memory" in found.stderr


# -- JSON --------------------------------------------------------------------------------------------------------------

TEXTS = {
    "deep": DEEP,
    "deep and closed": DEEP + b"1" + b"}" * 100_000,
    "no JSON": b'{"a": ',
    "no UTF-8": b'{"a": "\xff"}',
    "a list": b"[]",
    "a name twice": b'{"a": 1, "a": 2}',
    "empty": b"",
    "numbers": b'{"inputs": {"mean": [[1], [2, 3]]}, "vocabulary": 3, "test": 4, "baselines": [], "resumed": 3}',
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["metadata.json", "result.json", "env.json"])
def test_a_damaged_file_of_json_is_answered_in_words(run, name, text):
    (run / name).write_bytes(TEXTS[text])
    if name == "metadata.json":
        with pytest.raises(DataError):
            ts.load(run)
        assert invoke("evaluate", run).exit_code == 1
    pictures.curves(RunDirectory(run))
    report(run, run / "page.html")
    assert "<html" in (run / "page.html").read_text()
    if name == "env.json":
        notes = resume(run, 12)
        env = json.loads((run / "env.json").read_text())
        assert [one["after"] for one in env["resumed"]] == [12]
        if text not in ("a name twice",):
            assert any("kept as env.set-aside" in note for note in notes)
            assert (run / "env.set-aside").read_bytes() == TEXTS[text]


REGRESSION = {
    "task": "regression",
    "data": {"source": "adding", "options": {"count": 40, "length": 6}},
    "model": {"hidden_size": 3},
    "train": {"steps": 1, "batch_size": 8},
}


@pytest.mark.parametrize(
    "metadata",
    [
        {"inputs": {"mean": [[1], [2, 3]], "std": [1]}, "targets": {}},
        {"inputs": {"mean": ["x"], "std": [1]}, "targets": 3},
        {"inputs": 3, "targets": {"mean": [0], "std": [1]}},
        {},
    ],
)
def test_metadata_of_another_form_is_answered_in_words(tmp_path, metadata, monkeypatch):
    """Written with a right digest, as a stranger can."""
    monkeypatch.setattr(running, "draw_run", lambda *args, **kwargs: None)
    directory = ts.run(REGRESSION, output=tmp_path, progress=SilentProgress()).directory
    place = RunDirectory(directory)
    place.write_weights(place.weights(), metadata)
    with pytest.raises(DataError):
        ts.load(directory)


def test_a_measure_that_is_no_number_costs_no_result(tmp_path, monkeypatch):
    """JSON has no NaN; the run has ended all the same."""
    monkeypatch.setattr(running, "draw_run", lambda *args, **kwargs: None)
    from tinyseq.train.tasks.language_model import LanguageModel

    real = LanguageModel.evaluate

    def evaluate(self, model, split):
        return {**real(self, model, split), **({"odd": float("nan")} if split == "test" else {})}

    monkeypatch.setattr(LanguageModel, "evaluate", evaluate)
    directory = ts.run(write_config(tmp_path), output=tmp_path, progress=SilentProgress()).directory
    text = (directory / "result.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["test"]["odd"] is None


# -- other things in place of files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("what", ["folder", "fifo", "dangling"])
def test_other_things_in_place_of_files_are_answered_in_words(run, name, what, monkeypatch):
    monkeypatch.setattr("tinyseq.files.PATIENCE", 0.2)
    (run / name).unlink()
    if what == "folder":
        (run / name).mkdir()
    elif what == "fifo":
        os.mkfifo(run / name)
    else:
        (run / name).symlink_to(run / "nowhere")
    for words in (
        ("evaluate", run),
        ("plot", run, "curves", "-o", run / "c.svg"),
        ("report", run, "-o", run / "r.html"),
    ):
        found = invoke(*words)
        assert found.exit_code in (0, 1, 2), found.stderr
    found = invoke("run", run.parent / "gone.yaml", "--resume-from", run)
    assert found.exit_code == 2


OUTSIDE = "what is somebody's own\n"


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "env.json", "result.json", "weights.safetensors", "report.html", ".lock"]
)
def test_a_link_in_a_run_directory_leads_no_write_outside(run, name, tmp_path):
    """A run directory of a stranger, in which files are links to files of one's own."""
    (tmp_path / "own.txt").write_text(OUTSIDE)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(tmp_path / "own.txt")
    checkpoint = run / "checkpoints" / "step-00000006.safetensors"
    invoke("run", run / "config.resolved.yaml", "--resume-from", checkpoint)
    invoke("report", run)
    assert (tmp_path / "own.txt").read_text() == OUTSIDE


@pytest.mark.parametrize("name", [".drafts", "checkpoints"])
def test_a_linked_folder_in_a_run_directory_is_not_emptied(run, name, tmp_path):
    own = tmp_path / "own"
    checkpoint = tmp_path / "step-00000006.safetensors"
    shutil.copy(run / "checkpoints" / checkpoint.name, checkpoint)
    if name == "checkpoints":
        shutil.copytree(run / name, own)
        shutil.rmtree(run / name)
    else:
        own.mkdir()
    (own / "own.txt").write_text(OUTSIDE)
    (own / ".mine.part").write_text(OUTSIDE)
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    (run / name).symlink_to(own)
    text = (run / "config.resolved.yaml").read_text()
    (run / "config.resolved.yaml").write_text(text.replace("keep: 9", "keep: 1"))
    found = invoke("run", run / "config.resolved.yaml", "--resume-from", run)
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before
    if name == "checkpoints":
        assert found.exit_code == 1
        assert "is a link" in found.stderr
    else:
        assert found.exit_code == 0, found.stderr
