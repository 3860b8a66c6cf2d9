"""Batches in shards on one rank: the tree of sums, gradients of the whole batch, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from support.smallruns import TEXT
from tinyseq.errors import BackendError, ConfigError
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.ranks import MpiRanks, Ranks, join, split_rows, tree_sum
from tinyseq.train.loop.sharded_step import ShardedStep
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared

SHARDED = {
    "task": "language_model",
    "seed": 3,
    "backend": "numpy",
    "data": {"split": [0.8, 0.1, 0.1]},
    "dtype": "float64",
    "model": {"cell": "lstm", "hidden_size": 6, "embedding_size": 4},
    "train": {"steps": 3, "batch_size": 8, "shards": 4, "clip_norm": 0.01, "bptt": {"every": 16, "back": 20}},
    "sample": {"count": 0},
}
RAGGED = {
    "task": "classification",
    "backend": "numpy",
    "dtype": "float64",
    "data": {"source": "temporal_order", "options": {"count": 81, "shortest": 10, "longest": 40}},
    "model": {"cell": "gru", "hidden_size": 4, "embedding_size": 3},
    "train": {"steps": 5, "batch_size": 16, "shards": 4},
}


def with_text(tmp_path, config):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return {**config, "data": {**config["data"], "path": str(path)}}


def test_the_tree_adds_neighbours_first_and_its_order_is_fixed() -> None:
    parts = np.array([[1e8], [1.0], [-1e8], [1.0], [3.0]], np.float32)
    # By hand in float32, where 1e8 + 1 is 1e8 and -1e8 + 1 is -1e8: ((1e8 + 1) + (-1e8 + 1)) + 3.
    assert tree_sum(parts).tolist() == [3.0]
    assert sum(parts)[0] == 4.0  # from left to right it is another number


class Looked(MpiRanks):
    """A rank of several in one process: its communicator looks up what all send, and keeps what it adds up."""

    def __init__(self, rank: int, sent: dict[int, np.ndarray], size: int) -> None:
        self.rank, self.size, self._comm, self.sent = rank, size, self, sent
        self.slice = np.empty(0)

    def Alltoall(self, outgoing: np.ndarray, incoming: np.ndarray) -> None:
        self.sent[self.rank], incoming[:] = outgoing, 0.0
        if len(self.sent) == self.size:
            incoming[:] = np.stack([self.sent[rank][self.rank] for rank in range(self.size)])

    def Allgather(self, own: np.ndarray, whole: np.ndarray) -> None:
        self.slice, whole[:] = own, 0


@pytest.mark.parametrize(("shards", "size"), [(8, 2), (8, 4), (6, 2), (6, 3), (12, 4), (5, 5)])
def test_slices_that_ranks_add_up_are_the_tree_of_all_shards(shards: int, size: int) -> None:
    parts = np.random.default_rng(shards).standard_normal((shards, 37)).astype(np.float32) * 1e3
    sent: dict[int, np.ndarray] = {}
    ranks = [Looked(rank, sent, size) for rank in range(size)]
    for one in ranks * 2:  # the second time all know what all send
        one.sum(parts[one.own(shards)])
    assert np.concatenate([one.slice for one in ranks])[:37].tobytes() == tree_sum(parts).tobytes()


def test_rows_are_spread_evenly_and_in_order() -> None:
    assert [one.stop - one.start for one in split_rows(10, 4)] == [2, 3, 2, 3]
    assert [one.stop - one.start for one in split_rows(2, 4)] == [0, 1, 0, 1]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("which", ["carried state", "ragged rows"])
def test_a_step_in_shards_is_the_step_of_the_whole_batch_to_rounding(tmp_path, which: str, compiled: bool) -> None:
    config = parse_config(with_text(tmp_path, SHARDED) if which == "carried state" else RAGGED)
    results = []
    for shards in (1, 4):
        with prepared(config) as (task, model):
            if shards == 1:
                step = TrainStep(task, model, config.train, SilentProgress(), compiled=compiled)
            else:
                step = ShardedStep(task, model, config.train, SilentProgress(), compiled=compiled, ranks=Ranks())
            state, told = None, []
            for _, batch in zip(range(6), task.batches(), strict=False):  # 6 is an epoch: its last batch has one row
                output = step(batch, state)
                state = output.state
                told.append((output.loss, output.grad_norm, output.tokens))
            assert step.compiled is compiled
            results.append((told, {name: p.numpy() for name, p in model.named_parameters()}))
    (one, weights), (other, weights_in_shards) = results
    np.testing.assert_allclose(other, one, rtol=1e-9)
    for name, value in weights.items():
        np.testing.assert_allclose(weights_in_shards[name], value, rtol=1e-6, atol=1e-9, err_msg=name)


def test_shards_draw_different_numbers(tmp_path) -> None:
    """Dropout of two equal shards: were their masks the same, so would their losses be."""
    config = parse_config(
        with_text(tmp_path, {**SHARDED, "model": {**SHARDED["model"], "dropout": 0.5, "num_layers": 2}})
    )
    with prepared(config) as (task, model):
        step = ShardedStep(task, model, config.train, SilentProgress(), compiled=False, ranks=Ranks())
        batch = next(iter(task.batches()))
        same = batch._replace(inputs=np.tile(batch.inputs[:2], (4, 1)), targets=np.tile(batch.targets[:2], (4, 1)))
        seen = []
        step.ranks.sum = lambda parts: (seen.extend(parts[:, -5].tolist()), tree_sum(parts))[1]
        step(same, None)
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [({"shards": 3}, "a divisor of train.batch_size"), ({"shards": 0}, "train.shards")],
)
def test_shards_that_do_not_divide_the_batch_are_refused(change: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config({**SHARDED, "train": {"batch_size": 8, **change}})


def test_ranks_without_mpi_for_python_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(BackendError, match="tinyseq\\[mpi\\]"):
        join()


def test_a_run_of_one_process_never_imports_mpi4py(tmp_path) -> None:
    config = with_text(tmp_path, {**SHARDED, "output": str(tmp_path / "runs")})
    program = f"import sys, tinyseq; tinyseq.run({config!r}); assert 'mpi4py' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
