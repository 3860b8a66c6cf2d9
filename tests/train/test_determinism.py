"""Same config, same seed, same machine: same numbers, in any process."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from support.smallruns import TEXT, rows, weights
from tinyseq.data.padding import shuffled
from tinyseq.train.storage.checkpoint_manager import Checkpoints

PROGRAM = """
import sys
import tinyseq as ts
from tinyseq.train import running
from tinyseq.train.loop.progress import SilentProgress

running.draw_run = lambda *args, **kwargs: None
every = {"steps": 6, "batch_size": 8, "evaluate_every": 3, "log_every": 2, "checkpoint": {"every": 1, "keep": 9}}
small = {"cell": "gru", "hidden_size": 4, "embedding_size": 3, "dropout": 0.1}
for config in (
    {
        "task": "language_model",
        "data": {"path": sys.argv[1], "level": "word"},
        "model": small,
        "train": {**every, "bptt": {"every": 6}},
        "sample": {"count": 1, "length": 20},
    },
    {"task": "tagging", "data": {"count": 60}, "model": {"cell": "gru", "hidden_size": 4}, "train": every},
    {"task": "seq2seq", "data": {"count": 60, "generator": "reversal", "level": "word"}, "model": small,
     "decode": {"max_length": 8}, "train": every},
):
    ts.run(config, output=sys.argv[2], resume=sys.argv[3] == "resume", progress=SilentProgress())
"""
TASKS = ("language_model", "tagging", "seq2seq")


def trained(folder, hash_seed, *, resume=False):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder.parent / "text.txt"), str(folder), "resume" if resume else "new"],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {task: folder / task / "0001" for task in TASKS}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    (folder / "text.txt").write_text(TEXT)
    return trained(folder / "a", 1), trained(folder / "b", 4242)


def same(first, second):
    assert rows(first) == rows(second)
    assert weights(first) == weights(second)
    for name in ("samples.txt", "predictions.jsonl", "metadata.json"):
        if (first / name).is_file():
            assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("task", TASKS)
def test_the_hash_seed_changes_nothing(two, task):
    same(two[0][task], two[1][task])


def test_resuming_in_another_process_changes_nothing(two):
    for directory in two[1].values():
        place = Checkpoints(directory / "checkpoints")
        for step in (4, 5, 6):
            place.path(step).unlink()
    again = trained(two[1]["tagging"].parents[1], 7, resume=True)
    for task in TASKS:
        assert json.loads((again[task] / "env.json").read_text())["resumed"][0]["after"] == 3
        same(two[0][task], again[task])


def test_threads_are_stated(two):
    env = json.loads((two[0]["tagging"] / "env.json").read_text())
    assert set(env["blas"]["threads"]) == {1}


def test_the_order_of_data_is_a_function_of_the_seed_and_of_the_batch_number():
    lengths = np.arange(100) % 7

    def order(skip):
        batches = shuffled(lengths, 8, np.random.default_rng(5))
        return [batch.tolist() for batch in itertools.islice(batches, skip, 40)]

    assert order(17) == order(0)[17:]
