"""A backend of one's own: after ``register`` its name is taken in configs, on the command line, and by editors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
from click.testing import CliRunner

import tinyseq as ts
from tinyseq import backends
from tinyseq.backends.numpy import NumpyBackend
from tinyseq.cli import main
from tinyseq.errors import ConfigError
from tinyseq.train.config.json_schema import schema

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = """\
task: language_model
backend: {backend}
data: {{path: {folder}/text.txt, split: [0.8, 0.1, 0.1]}}
model: {{hidden_size: 4, embedding_size: 4}}
train: {{steps: 2, batch_size: 4, bptt: {{every: 8}}}}
output: {folder}/runs
"""


class Mine(NumpyBackend):
    name: ClassVar[str] = "mine"

    def describe(self) -> dict[str, str]:
        return {**super().describe(), "backend": "mine"}


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("backend_of_the_test")
    vars(module)["create"] = Mine
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(backends, "_loaded", dict(backends._loaded))
    monkeypatch.setitem(backends.BACKENDS, "mine", "")  # taken out afterwards
    backends.register("mine", module.__name__)
    return "mine"


def config(folder: Path, backend: str) -> Path:
    (folder / "text.txt").write_text("the dog sleeps, and the fox runs away.\n" * 30)
    path = folder / "c.yaml"
    path.write_text(CONFIG.format(folder=folder, backend=backend))
    return path


def backend_of(folder: Path) -> str:
    (environment,) = folder.glob("runs/**/env.json")
    found: str = json.loads(environment.read_text())["backend"]["backend"]
    return found


def test_a_config_names_it(tmp_path: Path, mine: str) -> None:
    ts.run(config(tmp_path, mine))
    assert backend_of(tmp_path) == mine


def test_the_command_line_names_it(tmp_path: Path, mine: str) -> None:
    result = CliRunner().invoke(main, ["run", str(config(tmp_path, "numpy")), "--backend", mine, "-q"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert backend_of(tmp_path) == mine
    shown = " ".join(CliRunner().invoke(main, ["run", "--help"]).stdout.split())
    assert f"[{'|'.join(backends.names())}]" in shown.replace("| ", "|")


def test_editors_know_it(mine: str) -> None:
    properties = schema()["$defs"]["task language_model"]["properties"]
    assert properties["backend"]["enum"] == sorted(backends.names())
    assert mine in backends.names()


def test_a_name_that_nobody_registered_is_refused(tmp_path: Path) -> None:
    path = config(tmp_path, "mine")
    with pytest.raises(ConfigError, match="backend: unknown backend 'mine'; one of: auto, "):
        ts.load_config(path)
    result = CliRunner().invoke(main, ["run", str(path), "--backend", "nump"])
    assert result.exit_code == 2
    assert "Invalid value for '--backend': 'nump': did you mean 'numpy'?" in result.stderr


def test_the_variable_may_name_one_that_is_registered_later_and_a_wrong_name_is_told_in_words() -> None:
    """`import tinyseq` makes no tensor: there is no backend yet on which a program's own could be."""
    program = "import tinyseq as ts; ts.backends.register('mine', 'tinyseq.backends.numpy'); print(ts.ones(1).tolist())"
    run = partial(subprocess.run, capture_output=True, text=True)
    own = run([sys.executable, "-c", program], env={**os.environ, "TINYSEQ_BACKEND": "mine"})
    assert own.stdout == "[1.0]\n", own.stderr
    wrong = {**os.environ, "TINYSEQ_BACKEND": "nump"}
    helped = run([sys.executable, "-m", "tinyseq", "--help"], env=wrong)
    assert (helped.returncode, helped.stderr) == (0, "")
    refused = run([sys.executable, "-m", "tinyseq", "graph", "examples/lstm.yaml"], env=wrong, cwd=REPOSITORY)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: unknown backend 'nump'\n  try      did you mean 'numpy'?")
    assert "Traceback" not in refused.stderr
