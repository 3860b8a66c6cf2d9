"""The command line: exit codes, messages, and no tracebacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

import tinyseq
from tinyseq.cli import COMMANDS, main

TEXT = "the quick brown fox jumps over the lazy dog; the dog sleeps, and the fox runs away.\n" * 30
CONFIG = """\
task: language_model
data: {path: text.txt, split: [0.8, 0.1, 0.1]}
model: {hidden_size: 8, embedding_size: 4}
train: {steps: 5, batch_size: 4, bptt: {every: 8}, evaluate_every: 5, log_every: 1}
sample: {length: 20, prime: "the ", count: 1}
"""
COMMAND = [sys.executable, "-m", "tinyseq"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*words):
    result = CliRunner().invoke(main, words)
    assert "Traceback" not in result.stderr
    return result


def test_help_teaches_and_version_is_told():
    result = invoke("--help")
    assert result.exit_code == 0
    assert "tinyseq run examples/lstm.yaml" in result.stdout
    for command in COMMANDS:
        shown = invoke(command, "--help")
        assert shown.exit_code == 0
        assert f"tinyseq {command} " in shown.stdout, "an example"
    assert tinyseq.__version__ in invoke("--version").stdout


def test_unknown_command_suggests_one():
    result = invoke("rnu")
    assert result.exit_code == 2
    assert "did you mean 'run'?" in result.stderr


def test_the_package_is_the_command_line():
    """As `tinyseq`, by the name of the package: same words, same exit codes."""
    told = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == invoke("--version").stdout
    wrong = subprocess.run([*COMMAND, "rnu"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr) == (2, invoke("rnu").stderr.replace("main", "tinyseq"))


def test_run_then_sample(folder):
    result = invoke("run", "tiny.yaml")
    assert result.exit_code == 0, result.stderr
    assert "bigram" in result.stdout
    assert "runs/tiny/0001" in result.stdout.replace(os.sep, "/")
    sample = ("sample", "runs/tiny", "--prime", "the ", "--length", "30", "--temperature", "0.9")
    first, second = invoke(*sample), invoke(*sample)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.startswith("the ")
    assert len(first.stdout) == 4 + 30 + 1
    assert first.stdout == second.stdout
    assert invoke(*sample, "--seed", "1").stdout != first.stdout
    wrong = invoke("sample", "runs/tiny", "--prime", "THE")
    assert wrong.exit_code == 1
    assert "not in the vocabulary" in wrong.stderr
    assert invoke("sample", "runs/tiny", "--temperature", "-1").exit_code == 2
    assert invoke(*sample, "--top-k", "3").stdout != first.stdout
    many = invoke(*sample, "--top-k", "1000")
    assert many.exit_code == 1
    assert "top_k" in many.stderr
    told = invoke(*sample, "-v")
    assert told.stdout == first.stdout
    assert "compiled step for " in told.stderr
    assert first.stderr == ""


def test_options_replace_the_config(folder):
    result = invoke("run", "tiny.yaml", "--steps", "2", "--seed", "9", "--output", "elsewhere", "--quiet")
    assert result.exit_code == 0
    assert result.stderr == ""
    directory = folder / result.stdout.strip()
    assert directory == folder / "elsewhere" / "tiny" / "0001"
    assert json.loads((directory / "result.json").read_text())["steps"] == 2
    assert "seed: 9" in (directory / "config.resolved.yaml").read_text()


def test_verbose_shows_config_and_model(folder):
    result = invoke("run", "tiny.yaml", "--steps", "1", "-v")
    assert result.exit_code == 0
    assert "forget" not in result.stderr
    assert "hidden_size: 8" in result.stderr
    assert "parameters)" in result.stderr


def test_wrong_config_exits_2_with_every_problem(folder):
    (folder / "bad.yaml").write_text(CONFIG + "sead: 1\ndtype: int8\n")
    result = invoke("run", "bad.yaml")
    assert result.exit_code == 2
    first = "bad.yaml:6:1: error: sead: unknown key; did you mean 'seed'?\n    sead: 1\n    ^\n"
    assert result.stderr.startswith(first)
    assert "bad.yaml:7:8: error: dtype" in result.stderr
    assert invoke("run", "missing.yaml").exit_code == 2
    assert invoke("run", "tiny.yaml", "--steps", "0").exit_code == 2
    assert invoke("graph", "bad.yaml").exit_code == 2


def test_failures_exit_1(folder):
    (folder / "text.txt").write_bytes(b"caf\xe9")
    result = invoke("run", "tiny.yaml")
    assert result.exit_code == 1
    assert "byte offset 3" in result.stderr
    assert invoke("run", "tiny.yaml", "--backend", "cupy").exit_code == 1
    assert invoke("sample", "nowhere").exit_code == 1
    assert not (folder / "runs").exists()


def test_divergence_exits_3(folder):
    (folder / "wild.yaml").write_text(
        CONFIG.replace("log_every: 1", "clip_norm: null, optimizer: {name: sgd, lr: 1e+38}")
    )
    result = invoke("run", "wild.yaml")
    assert result.exit_code == 3
    assert "diverged" in result.stderr
    assert "Warning" not in result.stderr


def test_unforeseen_error_is_one_message_and_debug_shows_the_traceback(folder):
    cell = "from tinyseq import nn\nclass Bad(nn.RNNCell):\n    def step(self, x, h):\n        return 1 / 0\n"
    (folder / "bad.py").write_text(cell)
    (folder / "own.yaml").write_text(CONFIG.replace("hidden_size: 8", "hidden_size: 8, cell: bad.py:Bad"))
    result = invoke("run", "own.yaml")
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.stderr
    assert "--debug" in result.stderr
    shown = CliRunner().invoke(main, ["run", "own.yaml", "--debug"])
    assert shown.exit_code == 1
    assert "return 1 / 0" in shown.stderr


def test_graph_draws_so_many_steps(folder):
    result = invoke("graph", "tiny.yaml", "--steps", "2", "-o", "two.svg")
    assert (result.exit_code, result.stdout) == (0, "two.svg\n"), result.stderr
    picture = (folder / "two.svg").read_text()
    assert "W_f" in picture
    assert invoke("graph", "tiny.yaml", "--steps", "4").stdout == "tiny.svg\n"
    assert len((folder / "tiny.svg").read_text()) > len(picture)


def test_graph_refuses_a_folder_that_is_not_there(folder):
    result = invoke("graph", "tiny.yaml", "-o", "no/where.svg")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_real_process_in_another_folder_with_an_absolute_path(folder):
    away = folder / "away"
    away.mkdir()
    done = subprocess.run(
        [*COMMAND, "run", str(folder / "tiny.yaml")], cwd=away, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (away / "runs" / "tiny" / "0001" / "result.json").is_file()
    assert "\x1b" not in done.stderr + done.stdout, "no terminal codes into pipes"
    assert "tokens/s" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_exits_130_and_keeps_what_there_is(folder):
    (folder / "long.yaml").write_text(CONFIG.replace("steps: 5", "steps: 1000000"))
    process = subprocess.Popen([*COMMAND, "run", "long.yaml"], cwd=folder, stderr=subprocess.PIPE, text=True)
    metrics = folder / "runs" / "long" / "0001" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (metrics.is_file() and metrics.stat().st_size > 500):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert json.loads(metrics.with_name("result.json").read_text())["status"] == "interrupted"
    assert metrics.with_name("weights.safetensors").is_file()


def test_cli_is_light():
    heavy = "{'pydantic', 'rich', 'matplotlib', 'ruamel', 'safetensors', 'tinyseq.train'}"
    load = "import sys, tinyseq.cli as c; [c.main.get_command(None, n) for n in c.COMMANDS]"
    code = f"{load}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


TABLE = "label\ttext\n" + "a\tsun moon star\nb\triver sea stone\n" * 20
CLASSES = """task: classification
data: {path: t.tsv}
model: {hidden_size: 4, embedding_size: 4}
train: {steps: 3, batch_size: 8, evaluate_every: 3}
"""


@pytest.fixture
def classified(folder):
    (folder / "t.tsv").write_text(TABLE)
    (folder / "c.yaml").write_text(CLASSES)
    assert invoke("run", "c.yaml", "-q").exit_code == 0
    return folder


def test_evaluate_prints_the_metrics_of_the_test_part_or_a_file(classified):
    run = classified / "runs" / "c" / "0001"
    found = json.loads(invoke("evaluate", "runs/c").stdout)
    assert found == pytest.approx(json.loads((run / "result.json").read_text())["test"])
    of_file = json.loads(invoke("evaluate", "runs/c/0001", "t.tsv", "--batch-size", "3", "--details").stdout)
    assert of_file["examples"] == 40
    assert set(of_file["confusion"]) == {"a", "b"}


def test_predict_prints_a_json_line_an_input_or_text(classified):
    (classified / "new.txt").write_text("sun\n\nthe deep sea\n")
    lines = invoke("predict", "runs/c", "new.txt").stdout.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["sun", "the deep sea"]
    assert lines == [json.dumps(one) for one in tinyseq.load("runs/c").predict("new.txt")]
    assert invoke("predict", "runs/c", "new.txt", "--text").stdout.splitlines()[1].endswith("the deep sea")


def test_evaluate_and_predict_refuse_in_words(classified):
    (classified / "bad.tsv").write_text("label\ttext\na\n")
    for words, code, message in (
        (("evaluate", "nowhere"), 1, "not a run directory"),
        (("evaluate", "runs/c", "bad.tsv"), 1, "line 2"),
        (("predict", "runs/c", "nothere.tsv"), 1, "does not exist"),
        (("predict", "runs/c"), 2, "Missing argument"),
        (("predict", "runs/c", "t.tsv", "--picture", "p.png"), 1, "draws no picture"),
        (("sample", "runs/c"), 1, "does not write text"),
    ):
        result = invoke(*words)
        assert (result.exit_code, message in result.stderr) == (code, True), result.stderr


def test_eager_leaves_the_compiler_out(folder):
    for words, compiled in ((("--eager",), False), ((), True)):
        result = invoke("run", "tiny.yaml", "-q", *words)
        found = json.loads((folder / result.stdout.strip() / "result.json").read_text())
        assert found["compiled"] is compiled


def test_set_replaces_settings_in_every_command_that_reads_a_config(folder):
    result = invoke("run", "tiny.yaml", "-q", "--set", "train.steps=2", "--set", "lr=0.5", "--set", "name=mine")
    assert result.exit_code == 0, result.stderr
    resolved = (folder / result.stdout.strip() / "config.resolved.yaml").read_text()
    assert "lr: 0.5" in resolved
    assert (folder / "runs" / "mine" / "0001" / "result.json").is_file()
    assert invoke("graph", "tiny.yaml", "--steps", "1", "--set", "cell=gru", "-o", "g.svg").exit_code == 0
    assert "W_z" in (folder / "g.svg").read_text()
    table = invoke("compile", "tiny.yaml", "--set", "cell=gru")
    assert table.exit_code == 0
    assert "differentiate" in table.stdout
    assert "…" not in table.stdout, "nothing is cut in a terminal of 80 columns"
    assert "cell: gru" in invoke("config", "tiny.yaml", "--set", "cell=gru").stdout
    for command in ("run", "graph", "compile", "gradflow", "check", "config"):
        wrong = invoke(command, "tiny.yaml", "--set", "train.steps=x", "--set", "seed")
        assert wrong.exit_code == 2
        assert wrong.stderr.startswith("--set seed: error: required KEY=VALUE")
        wrong = invoke(command, "tiny.yaml", "--set", "train.steps=x")
        assert wrong.exit_code == 2
        assert wrong.stderr.startswith(
            "--set train.steps=x: error: train.steps: required a whole number, got text ('x')\n"
        )


def test_compile_leaves_passes_out(folder):
    whole = invoke("compile", "tiny.yaml")
    without = invoke("compile", "tiny.yaml", "--without", "absorb", "--without", "pack", "--verify")
    assert (whole.exit_code, without.exit_code) == (0, 0), without.stderr
    assert {"absorb", "pack"} <= set(whole.stdout.split())
    assert not {"absorb", "pack"} & set(without.stdout.split())
    assert "merge" in without.stdout
    assert "largest difference" in without.stdout
    wrong = invoke("compile", "tiny.yaml", "--without", "absrob")
    assert wrong.exit_code == 2
    assert "Invalid value for '--without': the pipeline has no pass 'absrob'; did you mean 'absorb'?" in wrong.stderr


def test_check_says_what_a_config_costs_and_whether_gradients_are_right(folder):
    shown = invoke("check", "tiny.yaml")
    assert shown.exit_code == 0, shown.stderr
    assert "tiny.yaml: valid, a run of the task language_model" in shown.stdout
    for word in ("parameters", "FLOP a step", "optimizer", "agree with central differences"):
        assert word in shown.stdout
    found = json.loads(invoke("check", "tiny.yaml", "--json").stdout)
    assert found["parameters"]["recurrent"] == 4 * (8 + 4 + 1) * 8
    (folder / "cut.py").write_text(
        "import tinyseq as ts\nfrom tinyseq import nn\nclass Cut(nn.RNNCell):\n    def step(self, x, h):\n"
        "        y, h = super().step(x, h)\n        return y, ts.stop_gradient(h)\n"
    )
    wrong = invoke("check", "tiny.yaml", "--set", "cell=cut.py:Cut")
    assert wrong.exit_code == 1
    assert "parameters are wrong" in wrong.stderr
    assert "recurrent.layers" in wrong.stderr
    assert invoke("check", "tiny.yaml", "--set", "seed=-1").exit_code == 2


def test_check_of_the_config_alone_reads_no_data(folder):
    (folder / "text.txt").unlink()
    assert (
        invoke("check", "tiny.yaml", "--only-config").stdout == "tiny.yaml: valid, a run of the task language_model\n"
    )
    assert invoke("check", "tiny.yaml").exit_code == 1
    code = (
        "import sys; from tinyseq.cli import main; main(['check', 'tiny.yaml', '--only-config'], standalone_mode=False)"
    )
    code += "; print({'tinyseq.train.running', 'matplotlib', 'rich', 'safetensors'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_config_prints_what_is_a_config(folder):
    for words in ((), ("--comments",)):
        result = invoke("config", "tiny.yaml", *words)
        assert result.exit_code == 0, result.stderr
        (folder / "whole.yaml").write_text(result.stdout)
        assert invoke("config", "whole.yaml", *words).stdout == result.stdout, "resolved again it is the same"
    assert "weight_decay: null" in result.stdout


def test_schema_is_json_and_says_where_it_lies():
    assert json.loads(invoke("schema").stdout)["required"] == ["task"]
    with open(invoke("schema", "--where").stdout.strip(), encoding="utf-8") as file:
        assert json.load(file)["required"] == ["task"]


def test_init_lists_kinds_writes_one_and_never_over_a_file(folder):
    kinds = [line.split()[0] for line in invoke("init").stdout.splitlines()]
    assert {"tagging", "transformer", "gru", "mlp"} <= set(kinds)
    assert invoke("init", "gru", "-o", "mine.yaml").stdout == "mine.yaml\n"
    assert (folder / "mine.yaml").read_text() == invoke("init", "gru").stdout
    assert invoke("check", "mine.yaml", "--only-config").exit_code == 0
    again = invoke("init", "gru", "-o", "mine.yaml")
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    wrong = invoke("init", "transfomer")
    assert wrong.exit_code == 2
    assert "did you mean 'transformer'?" in wrong.stderr


CELLS = """
from tinyseq import nn
import tinyseq as ts

class Misspelt(nn.Cell):
    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = nn.parameter(nn.init.glorot(input_size, hidden_size))
    def step(self, x, h):
        return self.finish(ts.tanh(x @ self.W + h))
    def finish(self, y):
        return y, yy

class Alone(Misspelt):
    def finish(self, y):
        return y

class Keyless(Misspelt):
    def finish(self, y):
        return {}["gate"], y
"""


@pytest.mark.parametrize(
    ("cell", "what", "line"),
    [
        ("Misspelt", "name 'yy' is not defined", "{folder}/mine.py:12, in finish: return y, yy"),
        ("Keyless", "KeyError: 'gate'", '{folder}/mine.py:20, in finish: return {}["gate"], y'),
        ("Alone", "a step returns its output and the new state", "step, at {folder}/mine.py:9"),
    ],
)
@pytest.mark.parametrize("command", ["run", "graph"])
def test_a_mistake_in_a_cell_is_told_with_its_line(folder, command, cell, what, line):
    (folder / "mine.py").write_text(CELLS)
    result = invoke(command, "tiny.yaml", "--set", f"cell=mine.py:{cell}")
    assert result.exit_code != 0
    assert what in result.stderr
    assert line.replace("{folder}", str(folder)) in result.stderr
