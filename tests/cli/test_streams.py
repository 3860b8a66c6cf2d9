"""Commands whose standard streams cannot take what is written: each is a real process."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from support.smallruns import CONFIG, write_config

COMMAND = [sys.executable, "-c", "from tinyseq.cli import main; main()"]
EVIL = "\x1b]0;title\x07\x9b2J\u202e\0"
#: Its labels and texts would act on a terminal, and are in no 8-bit encoding.
LABELLED = "label\ttext\n" + "".join(f"日{EVIL}{i % 2}\tword{i % 2} 日 {EVIL} {i % 3}\n" for i in range(40))
CLASSIFY = """\
task: classification
data: {path: data.tsv}
model: {hidden_size: 4, embedding_size: 4}
train: {steps: 2, batch_size: 4}
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="streams of POSIX")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with configs, and a finished run of each."""
    place = tmp_path_factory.mktemp("streams")
    write_config(place, CONFIG.replace('prime: "the "', 'prime: "日"'), corpus=f"日本 the fox {EVIL} é\n" * 60)
    (place / "data.tsv").write_text(LABELLED, encoding="utf-8")
    (place / "classify.yaml").write_text(CLASSIFY)
    (place / "new.tsv").write_text("text\n" + f"日 {EVIL} word1\n" * 3, encoding="utf-8")
    for name in ("tiny", "classify"):
        done = tinyseq(place, "run", f"{name}.yaml")
        assert done.returncode == 0, done.stderr
    return place


def tinyseq(folder, *words, **how):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **how.pop("env", {})}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.run([*COMMAND, *words], cwd=folder, env=environment, check=False, **how)


RESUMED = ("run", "tiny.yaml", "--resume")
COMMANDS = {
    "run": RESUMED,
    "run with labels": ("run", "classify.yaml", "--resume"),
    "sample": ("sample", "runs/tiny", "--length", "200"),
    "predict": ("predict", "runs/classify", "new.tsv"),
    "predict --text": ("predict", "runs/classify", "new.tsv", "--text"),
    "evaluate": ("evaluate", "runs/classify", "--details"),
    "check": ("check", "classify.yaml"),
}


@pytest.mark.parametrize(("command", "encoding"), [*((name, "cp1252") for name in COMMANDS), ("predict", "ascii")])
def test_an_output_that_cannot_hold_the_text_shows_escapes(folder, command, encoding):
    done = tinyseq(folder, *COMMANDS[command], env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr.decode(encoding)
    text = done.stdout.decode(encoding)
    if command in ("sample", "predict", "predict --text", "run"):
        assert "\\u65e5" in text
    if command == "predict":
        assert [json.loads(line)["text"] for line in text.splitlines()] == [f"日 {EVIL} word1"] * 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("steps", [["--resume"], []], ids=["resumed", "anew"])
def test_a_run_whose_outputs_are_full_ends_well(folder, steps):
    with open("/dev/full", "w") as full:
        done = tinyseq(folder, "run", "tiny.yaml", *steps, stdout=full)
        assert done.returncode == 0
        assert done.stderr.decode().count("standard output cannot be written to") == 1
        assert b"Exception" not in done.stderr
        assert tinyseq(folder, "run", "tiny.yaml", *steps, stderr=full).returncode == 0
        assert tinyseq(folder, "run", "tiny.yaml", *steps, stdout=full, stderr=full).returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 1), (["--version"], 1), (["run", "--help"], 1), (["nope"], 2)]
)
def test_help_that_does_not_arrive_is_a_failure_in_a_line(tmp_path, words, code):
    with open("/dev/full", "wb") as full:
        done = tinyseq(tmp_path, *words, stdout=full)
        assert done.returncode == code
        if code == 1:
            assert done.stderr == b"error: No space left on device\n"
        assert tinyseq(tmp_path, *words, stdout=full, stderr=full).returncode != 0


def test_results_that_do_not_arrive_are_a_failure_and_codes_stay(folder):
    with open("/dev/full", "w") as full:
        for words in (COMMANDS["predict"], COMMANDS["evaluate"]):
            done = tinyseq(folder, *words, stdout=full)
            assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")
        assert tinyseq(folder, "run", "nowhere.yaml", stderr=full).returncode == 2
        wild = CONFIG.replace("{name: adam, lr: 1e-2}", "{name: sgd, lr: 1e+38}").replace(
            "log_every: 3", "clip_norm: null"
        )
        (folder / "wild.yaml").write_text(wild)
        assert tinyseq(folder, "run", "wild.yaml", stderr=full).returncode == 3
        picture = tinyseq(folder, "graph", "tiny.yaml", "-o", "tiny.svg", stdout=full)
        assert picture.returncode == 0, "where it is was only shown"


@pytest.mark.parametrize(
    ("closed", "steps"), [("2>&-", "--resume"), ("2>&-", ""), (">&-", "--resume"), ("<&- >&- 2>&-", "")]
)
def test_a_run_without_some_of_its_streams_ends_well(folder, closed, steps, tmp_path):
    """What libraries print must not end in the next file that is opened, which would get the free number."""
    printing = (
        "import os, sys\nfrom tinyseq.train.storage import metrics_log\n"
        "add = metrics_log.MetricsLog.add\n"
        "metrics_log.MetricsLog.add = lambda log, row: (os.write(2, b'JUNK'), os.write(1, b'JUNK'), add(log, row))[2]\n"
        "from tinyseq.cli import main; main()"
    )
    (folder / "printing.py").write_text(printing)
    output = "runs" if steps else str(tmp_path)
    line = f'exec "{sys.executable}" printing.py run tiny.yaml {steps} --output "{output}" {closed}'
    done = subprocess.run(["/bin/sh", "-c", line], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    if not steps:
        (directory,) = (tmp_path / "tiny").iterdir()
        assert json.loads((directory / "result.json").read_text())["status"] == "done"
        assert not [path for path in directory.rglob("*") if path.is_file() and b"JUNK" in path.read_bytes()]


def on_a_terminal(folder, *words):
    """Return what a terminal gets on stdout."""
    master, slave = pty.openpty()
    with subprocess.Popen([*COMMAND, *words], cwd=folder, stdout=slave, stderr=subprocess.PIPE) as process:
        os.close(slave)
        found = b""
        with suppress(OSError):  # at its end
            while part := os.read(master, 1 << 16):
                found += part
        process.wait()
        os.close(master)
        assert process.returncode == 0, process.stderr.read()
    return found.decode()


@pytest.mark.parametrize("command", ["run with labels", "sample", "predict", "predict --text", "evaluate"])
def test_no_text_of_a_file_acts_on_a_terminal(folder, command):
    shown = on_a_terminal(folder, *COMMANDS[command])
    for sign in ("\x1b]", "\x07", "\x9b", "\u202e", "\0"):
        assert sign not in shown
    if command in ("sample", "predict --text", "run with labels"):
        assert "\\x1b" in shown


def test_into_a_pipe_a_preview_is_escaped(folder):
    shown = tinyseq(folder, *COMMANDS["run with labels"]).stdout.decode()
    assert "\x1b" not in shown
    assert "\\x1b]0;title" in shown
