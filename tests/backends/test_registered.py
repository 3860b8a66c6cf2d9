"""A backend of one's own: after ``register`` its name is taken in configs, on the command line, and by editors."""

from __future__ import annotations

import json
import sys
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
