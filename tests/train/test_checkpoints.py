"""The checkpoint file: what is read is what was written, or it is refused; and which files are kept."""

from __future__ import annotations

import json
import math
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from support.changing import json_values
from tinyseq import files, nn
from tinyseq.creation import tensor
from tinyseq.errors import DataError
from tinyseq.train.config.checkpoint_policy import CheckpointConfig
from tinyseq.train.storage import checkpoint_file, checkpoint_manager, tensorfile
from tinyseq.train.storage.checkpoint_file import Checkpoint, DamagedError
from tinyseq.train.storage.checkpoint_manager import CheckpointManager, Checkpoints
from tinyseq.train.storage.serialization import pack, state_types, unpack

FACTS = {
    "step": 7,
    "infinite": [math.inf, -math.inf],
    "nested": {"none": None, "word": "Σ \u2028 \ud800", "true": True, "third": 1 / 3},
}
TENSORS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "scalar": np.array(2.5, np.float64),
    "empty": np.zeros((0, 3), np.float32),
    "ids": np.array([[1, -2]], np.int64),
    "mask": np.array([True, False]),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "step-00000007.safetensors"
    checkpoint_file.write(path, Checkpoint(FACTS, TENSORS))
    return path


def test_what_is_read_is_what_was_written(written):
    found = checkpoint_file.read(written)
    assert found.facts == FACTS
    assert found.tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert (found.tensors[name].dtype, found.tensors[name].shape) == (value.dtype, value.shape)
        assert np.array_equal(found.tensors[name], value)


def test_it_is_an_ordinary_safetensors_file_with_json_and_no_pickle(written):
    assert load_file(written).keys() == TENSORS.keys()
    size = int.from_bytes(written.read_bytes()[:8], "little")
    header = json.loads(written.read_bytes()[8 : 8 + size])
    assert json.loads(header["__metadata__"]["facts"])["nested"]["third"] == 1 / 3
    assert b"pickle" not in written.read_bytes()


def test_every_flipped_bit_is_detected(written, tmp_path):
    content, damaged = bytearray(written.read_bytes()), tmp_path / "flipped.safetensors"
    for place in range(len(content)):
        for bit in (0, 3, 7) if place % 5 else range(8):
            content[place] ^= 1 << bit
            damaged.write_bytes(content)
            # A flipped digit of the version may say a newer format, which is refused too.
            with pytest.raises(DataError):
                checkpoint_file.read(damaged)
            content[place] ^= 1 << bit
    damaged.write_bytes(content)
    assert checkpoint_file.read(damaged).facts == FACTS


def test_every_cut_is_detected(written, tmp_path):
    content, damaged = written.read_bytes(), tmp_path / "cut.safetensors"
    for length in range(0, len(content)):
        damaged.write_bytes(content[:length])
        with pytest.raises(DamagedError, match=r"damaged|not a checkpoint"):
            checkpoint_file.read(damaged)
    damaged.write_bytes(content + b"\0")
    with pytest.raises(DamagedError):
        checkpoint_file.read(damaged)


@settings(max_examples=300)
@given(st.binary(max_size=400))
@example(b"")
@example((1 << 62).to_bytes(8, "little") + b"{}")
@example((2).to_bytes(8, "little") + b"{}")
@example((8).to_bytes(8, "little") + b"[[[[[[[[")
def test_any_bytes_are_refused_in_words(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError):
        checkpoint_file.read(path)


comparable = json_values(allow_nan=False)


@settings(max_examples=100)
@given(header=st.dictionaries(st.sampled_from(["__metadata__", "w", "x"]), comparable), data=st.binary(max_size=16))
def test_any_header_is_refused_in_words(tmp_path_factory, header, data):
    text = json.dumps(header).encode()
    path = tmp_path_factory.getbasetemp() / "header.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    with pytest.raises(DataError):
        checkpoint_file.read(path)


@settings(max_examples=200)
@given(facts=comparable)
def test_any_facts_with_a_right_digest_are_read_or_refused_in_words(tmp_path_factory, facts):
    path = tmp_path_factory.getbasetemp() / "facts.safetensors"
    text = json.dumps(facts)
    metadata = {
        "format": checkpoint_file.FORMAT,
        "version": "1",
        "facts": text,
        "sha256": tensorfile.digest(f"1\0{text}", {}),
    }
    save_file({}, path, metadata)
    try:
        found = checkpoint_file.read(path)
    except DataError:
        return
    assert found.step == facts["step"]


@settings(max_examples=200)
@given(comparable)
@example({"float": 1.0})
@example({"a": {"float": "inf"}})
def test_facts_come_back_as_they_were(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "round.safetensors"
    checkpoint_file.write(path, Checkpoint({"step": 0, "value": value}))
    assert checkpoint_file.read(path).facts["value"] == value


def test_a_newer_format_is_refused_clearly(tmp_path):
    path = tmp_path / "newer.safetensors"
    save_file({}, path, {"format": checkpoint_file.FORMAT, "version": "2", "something": "else"})
    with pytest.raises(DataError, match=r"newer format[\s\S]*version 1 or lower[\s\S]*version 2[\s\S]*upgrade"):
        checkpoint_file.read(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"w": np.zeros(2)}, path)
    with pytest.raises(DataError, match="not a checkpoint"):
        checkpoint_file.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        checkpoint_file.read(tmp_path / "nowhere")
    with pytest.raises(DataError):
        checkpoint_file.read(tmp_path)


# Nested states.


class Pair(NamedTuple):
    a: object
    b: object


class PairCell(nn.Module):
    def initial_state(self, batch):
        return Pair(tensor(np.zeros((batch, 2))), None)


def test_a_nested_state_comes_back_with_its_classes():
    x = tensor(np.array([[1.5, 2.0]], np.float32))
    tree = ({"k": [x, None, 3]}, (Pair(x, (x,)), True, "w", 0.1))
    arrays = {}
    form = json.loads(json.dumps(pack(tree, "state", arrays)))
    module = nn.Module()
    module.inner = [PairCell()]
    found = unpack(form, arrays, state_types(module))
    assert type(found[1][0]) is Pair
    assert found[0]["k"][1:] == [None, 3]
    assert found[1][1:] == (True, "w", 0.1)
    for same in (found[0]["k"][0], found[1][0].a, found[1][0].b[0]):
        assert np.array_equal(same.numpy(), x.numpy())


@settings(max_examples=200)
@given(comparable)
@example({"named": "Pair", "fields": {"c": {"value": 1}}})
@example({"named": "os.system", "fields": {}})
@example({"tensor": "nowhere"})
def test_any_form_of_a_state_is_refused_in_words(form):
    with pytest.raises(DataError, match="not one of this model"):
        unpack({"tuple": [form]} if isinstance(form, dict) else form, {}, {"Pair": Pair})


# Which are kept.


def test_policy():
    policy = CheckpointConfig(every=10, keep=2, keep_every=40)
    steps = [10, 20, 30, 40, 50, 60, 70]
    assert policy.kept(steps, best=20) == {20, 40, 60, 70}
    assert CheckpointConfig(keep=1, keep_best=False).kept(steps, best=20) == {70}
    assert [step for step in range(1, 81) if policy.due(step)] == [10, 20, 30, 40, 50, 60, 70, 80]
    assert not CheckpointConfig(every=None).due(100)


def at(step, best=0):
    return Checkpoint({"step": step, "best_step": best}, {"w": np.full(3, step, np.float32)})


def test_saver_keeps_by_policy_and_writes_in_order(tmp_path):
    place, told = Checkpoints(tmp_path / "checkpoints"), []
    manager = CheckpointManager(place, CheckpointConfig(keep=2), told.append)
    for step in (10, 20, 30, 40):
        manager.save(at(step, best=10))
    manager.finish()
    assert place.steps() == [10, 30, 40]
    assert place.read(40).tensors["w"][0] == 40
    assert told == []
    assert sorted(p.name for p in place.folder.iterdir())[0] == "step-00000010.safetensors", "no drafts"


def test_saving_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    began, go = threading.Event(), threading.Event()
    real = files.write

    def slow(path, content):
        began.set()
        assert go.wait(10)
        real(path, content)

    monkeypatch.setattr(files, "write", slow)
    manager = CheckpointManager(Checkpoints(tmp_path / "c"), CheckpointConfig(), print)
    manager.save(at(1))  # comes back while the disk is busy, or the next line would never come
    assert began.wait(10)
    assert manager.place.steps() == []
    go.set()
    manager.finish()
    assert manager.place.steps() == [1]


def test_write_that_fails_is_told_once_and_leaves_the_last_good_one(tmp_path, monkeypatch):
    place, told = Checkpoints(tmp_path / "c"), []
    manager = CheckpointManager(place, CheckpointConfig(keep=1), told.append)
    manager.save(at(1))
    manager.finish()
    real, left = files.os.write, [1]

    def full(handle, content):
        if left[0]:  # the disk takes some bytes first
            left[0] = 0
            return real(handle, bytes(content[:10]))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "write", full)
    for step in (2, 3):
        manager.save(at(step))
        manager.finish()
    monkeypatch.undo()
    assert place.steps() == [1]
    assert [p.name for p in place.folder.iterdir()] == ["step-00000001.safetensors"], "no draft is left"
    assert place.read(1).step == 1
    (message,) = told
    assert "No space left on device" in message
    assert "last good one is of step 1" in message
    manager.save(at(4))
    manager.finish()
    assert place.steps() == [4]


def test_a_damaged_one_names_the_whole_one_before_it(tmp_path):
    place = Checkpoints(tmp_path / "c")
    for step in (10, 20, 30):
        place.write(at(step))
    for step in (20, 30):
        content = bytearray(place.path(step).read_bytes())
        content[-3] ^= 4
        place.path(step).write_bytes(content)
    with pytest.raises(DamagedError, match=r"step 10, is whole: --resume-from .*step-00000010\.safetensors"):
        place.read(30)
    place.path(10).write_bytes(b"")
    with pytest.raises(DamagedError, match="no earlier checkpoint is whole"):
        place.read(30)


def test_names_are_numbers_only(tmp_path):
    place = Checkpoints(tmp_path / "c")
    place.write(at(5))
    for name in ("step-x.safetensors", "step-5.safetensors", ".step-00000006.safetensors.part", "notes.txt"):
        (place.folder / name).write_text("")
    assert place.steps() == [5]


def test_reading_checks_before_it_takes_memory(tmp_path):
    """A header that claims a huge tensor is refused by the size of the file, not by running out of memory."""
    header = json.dumps({"w": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 1 << 43]}}).encode()
    path = tmp_path / "huge.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 64)
    with pytest.raises(DamagedError):
        checkpoint_file.read(path)


def test_saving_module_names_no_pickle():
    for module in (checkpoint_file, checkpoint_manager, files):
        assert "pickle." not in Path(module.__file__).read_text()


def test_what_another_process_sends_is_read_as_a_file_is(written, tmp_path, monkeypatch):
    """No file of it is made on the way; damage is told in the same words."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    sent = written.read_bytes()
    read, told = checkpoint_file.read(written), checkpoint_file.parsed(sent)
    assert told.facts == read.facts
    assert {name: value.tobytes() for name, value in told.tensors.items()} == {
        name: value.tobytes() for name, value in read.tensors.items()
    }
    assert checkpoint_file.content(told) == sent
    for damaged in (b"", sent[:-1], sent[:-1] + bytes([sent[-1] ^ 1])):
        with pytest.raises(DamagedError, match="what was sent"):
            checkpoint_file.parsed(damaged)
