"""Runs on several ranks of MPI: the same bits on any number of them, going on with another, one line when one fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.smallruns import TEXT
from tinyseq.train.config import yaml
from tinyseq.train.storage import checkpoint_file

pytestmark = pytest.mark.ranks

BESIDE = Path(sys.executable).parent / "mpiexec"
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec") or "mpiexec"
TRAIN = {
    "steps": 6,
    "batch_size": 8,
    "shards": 4,
    "evaluate_every": 2,
    "log_every": 2,
    "checkpoint": {"every": 1, "keep": 1000},
}
CONFIGS: dict[str, dict[str, Any]] = {
    "carried state, dropout, clipping": {
        "task": "language_model",
        "data": {"split": [0.8, 0.1, 0.1]},
        "model": {"cell": "lstm", "hidden_size": 6, "embedding_size": 4, "dropout": 0.2, "num_layers": 2},
        "train": {
            **TRAIN,
            "clip_norm": 0.1,
            "bptt": {"every": 16, "back": 20},
            "schedule": {"name": "cosine", "warmup": 2},
        },
        "sample": {"count": 0},
    },
    "ragged rows, plateau, early stopping": {
        "task": "classification",
        "data": {"source": "temporal_order", "options": {"count": 81, "shortest": 10, "longest": 40}},
        "model": {"cell": "gru", "hidden_size": 4, "embedding_size": 3, "dropout": 0.1},
        "train": {
            **TRAIN,
            "patience": 2,
            "evaluate_every": 1,
            "schedule": {"name": "plateau", "options": {"patience": 0, "gamma": 0.5}},
        },
    },
}


def config_file(folder: Path, config: dict[str, Any], name: str = "run") -> Path:
    text = folder / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    data = config["data"] if config["task"] == "classification" else {**config["data"], "path": str(text)}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.write({**config, "data": data, "output": str(folder / "runs")}), encoding="utf-8")
    return path


def line(ranks: int, *arguments: object) -> list[str]:
    return ["-n", str(ranks), sys.executable, "-m", "tinyseq", "run", *map(str, arguments)]


def mpi(*parts: list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [MPIEXEC, *parts[0], *(word for part in parts[1:] for word in (":", *part))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def told(directory: Path) -> tuple[Any, ...]:
    """What of a run must be the same: rows, result, and each checkpoint but for times."""
    rows = [json.loads(row) for row in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [{key: value for key, value in row.items() if "second" not in key} for row in rows]
    checkpoints = {}
    for path in sorted((directory / "checkpoints").glob("*.safetensors")):
        read = checkpoint_file.read(path)
        facts = {key: read.facts[key] for key in ("step", "tokens", "best", "best_step", "random", "schedule", "state")}
        checkpoints[path.name] = facts, {name: value.tobytes() for name, value in read.tensors.items()}
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    return rows, checkpoints, result["test"], result["best_step"]


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("which", CONFIGS)
def test_any_number_of_ranks_gives_the_same_bits(tmp_path: Path, which: str, backend: str) -> None:
    path, directories = config_file(tmp_path, CONFIGS[which]), {}
    for ranks in (1, 2, 4):
        done = mpi(line(ranks, path, "--backend", backend, "--quiet", "--set", f"name=on{ranks}"))
        assert done.stdout.count("\n") == 1, "one rank prints"
        directories[ranks] = Path(done.stdout.strip())
    first = told(directories[1])
    assert len(first[1]) > 1
    for ranks in (2, 4):
        assert told(directories[ranks]) == first
        assert [path.name for path in directories[ranks].parent.iterdir()] == ["0001"], "one rank writes"
        record = json.loads((directories[ranks] / "env.json").read_text(encoding="utf-8"))["ranks"]
        assert (record["count"], record["hosts"], len(record["each"])) == (ranks, 1, ranks)


@pytest.mark.parametrize("victim", [0, 3])
def test_a_killed_rank_ends_all_and_fewer_go_on_bit_for_bit(tmp_path: Path, victim: int) -> None:
    config = CONFIGS["carried state, dropout, clipping"]
    # The schedule of a run depends on its steps, of which the one that is killed had more to make.
    changed = {"steps": 1000, "schedule": {"name": "constant"}}
    path = config_file(tmp_path, {**config, "backend": "numpy", "train": {**config["train"], **changed}})
    process = subprocess.Popen([MPIEXEC, *line(4, path)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    checkpoints = tmp_path / "runs/run/0001/checkpoints"
    try:
        await_true(lambda: checkpoints.is_dir() and len(list(checkpoints.glob("*.safetensors"))) > 3)
        os.kill(pid_of(process.pid, victim), signal.SIGKILL)
        began = time.monotonic()
        said = process.communicate(timeout=30)[1]
        assert time.monotonic() - began < 10
    finally:
        process.kill()
    assert process.returncode
    assert "--resume goes on with 1, 2, 4 ranks" in said
    last = max(int(one.stem.partition("-")[2]) for one in checkpoints.glob("*.safetensors"))
    steps = ("--steps", str(last + 3), "--quiet")
    mpi(line(2, path, "--resume", *steps))
    whole = mpi(line(1, path, *steps, "--set", "name=whole"))
    resumed, other = told(tmp_path / "runs/run/0001"), told(Path(whole.stdout.strip()))
    assert len(resumed[1]) == last + 3
    assert resumed == other


def pid_of(launcher: int, rank: int) -> int:
    """The process of a rank, found among what the launcher started."""
    wanted = {f"PMI_RANK={rank}", f"OMPI_COMM_WORLD_RANK={rank}"}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or launcher not in ancestors(int(folder.name)):
            continue
        if wanted & set((folder / "environ").read_text(encoding="utf-8", errors="replace").split("\0")):
            return int(folder.name)
    raise AssertionError(f"no process is rank {rank}")


def ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            break
        found.add(pid)
    return found


def await_true(condition: Any, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


def test_ranks_that_are_asked_to_stop_save_and_end(tmp_path: Path) -> None:
    config = CONFIGS["carried state, dropout, clipping"]
    path = config_file(tmp_path, {**config, "backend": "numpy", "train": {**config["train"], "steps": 1000}})
    process = subprocess.Popen([MPIEXEC, *line(2, path)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    checkpoints = tmp_path / "runs/run/0001/checkpoints"
    try:
        await_true(lambda: checkpoints.is_dir() and len(list(checkpoints.glob("*.safetensors"))) > 2)
        os.kill(pid_of(process.pid, 1), signal.SIGTERM)  # one rank alone is asked
        said = process.communicate(timeout=30)[1]
    finally:
        process.kill()
    assert "interrupted after" in said, said


def test_what_is_refused_names_ranks_and_the_line_to_write(tmp_path: Path) -> None:
    path = config_file(tmp_path, CONFIGS["carried state, dropout, clipping"])
    done = mpi(line(3, path, "--quiet"), check=False)
    assert done.returncode == 2
    assert "mpiexec -n 2 ..." in done.stderr
    assert done.stderr.count("error:") == 1
    done = mpi(line(1, path, "--seed", 1), line(1, path, "--seed", 2), check=False)
    assert done.returncode == 2
    assert "config seed: 1 on rank 0, 2 on rank 1" in done.stderr
    done = mpi(line(1, path), line(1, tmp_path / "missing.yaml"), check=False)
    assert done.returncode == 1
    assert "rank 1: the config file does not exist" in done.stderr
    other = tmp_path / "other"
    other.mkdir()
    apart = config_file(other, CONFIGS["carried state, dropout, clipping"])
    (other / "text.txt").write_text(TEXT.replace("e", "a", 1), encoding="utf-8")
    done = mpi(line(1, path), line(1, apart, "--set", f"output={tmp_path / 'runs'}"), check=False)
    assert done.returncode == 2
    assert "data:" in done.stderr
    assert not (tmp_path / "runs").exists(), "nothing was begun"


def test_a_rank_that_cannot_write_ends_all_with_a_line(tmp_path: Path) -> None:
    path = config_file(tmp_path, CONFIGS["ragged rows, plateau, early stopping"])
    (tmp_path / "runs").write_text("in the way", encoding="utf-8")
    done = mpi(line(2, path, "--quiet"), check=False)
    assert done.returncode
    assert "rank 0 on" in done.stderr
    assert "ended the run" in done.stderr
