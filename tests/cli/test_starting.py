"""The command from its first moment, without docstrings, and with other things in place of files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tinyseq as ts
from support.smallruns import CONFIG, write_config

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")

ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(ts.__file__).parents[1])}
COMMAND = [sys.executable, "-c", "from tinyseq.cli import main; main()"]


@pytest.fixture
def script(tmp_path):
    """The script that an installation makes."""
    path = tmp_path / "tinyseq"
    path.write_text("import sys\nfrom tinyseq.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n")
    return path


#: Sends Ctrl-C to its own process when a module is asked for: each time at the same place.
INTERRUPTING = """
import os, signal, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Watch())
import runpy
sys.argv = [{script!r}, "--version"]
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.parametrize(
    "module", ["numpy", "numpy.linalg", "tinyseq.nn.cells", "tinyseq.cli", "click", "tinyseq.cli.boundary"]
)
def test_ctrl_c_while_parts_are_imported(script, module):
    program = INTERRUPTING.format(name=module, script=str(script))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")


def test_ctrl_c_at_any_moment_of_a_start(script):
    """Once the package is begun, which a file tells; before, Python itself is at work."""
    for number in range(6):
        process = subprocess.Popen(
            [sys.executable, str(script), "check", "nowhere.yaml"], stderr=subprocess.PIPE, env=ENVIRONMENT
        )
        while b"libopenblas" not in Path(f"/proc/{process.pid}/maps").read_bytes() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(0.02 * number)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert b"Traceback" not in said
        assert process.returncode in (130, 2), said


def test_a_library_leaves_ctrl_c_alone():
    program = "import signal; before = signal.getsignal(2); import tinyseq; print(signal.getsignal(2) is before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=ENVIRONMENT, check=True)
    assert done.stdout == b"True\n"


def test_without_docstrings_help_and_schema_are_the_same():
    for words in (["--help"], ["run", "--help"], ["check", "-h"], ["schema"]):
        said = [
            subprocess.run([COMMAND[0], *flags, *COMMAND[1:], *words], capture_output=True, env=ENVIRONMENT, check=True)
            for flags in ([], ["-OO"])
        ]
        assert said[0].stdout == said[1].stdout
        assert len(said[0].stdout) > 300


def tinyseq(folder, *words, **how):
    return subprocess.run([*COMMAND, *words], cwd=folder, env=ENVIRONMENT, capture_output=True, check=False, **how)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("starting")
    write_config(place)
    assert tinyseq(place, "run", "tiny.yaml", "-q").returncode == 0
    os.mkfifo(place / "pipe")
    (place / "folder").mkdir()
    (place / "dangling").symlink_to("nowhere")
    (place / "loop").symlink_to("loop")
    (place / "pipe.yaml").write_text(CONFIG.replace("path: text.txt", "path: pipe"))
    return place


SAID = {
    ("check", "pipe"): (2, "pipe: a pipe that nobody has written to"),
    ("run", "pipe"): (2, "pipe: a pipe that nobody has written to"),
    ("run", "pipe.yaml"): (1, "a pipe that nobody has written to"),
    ("evaluate", "runs/tiny", "pipe"): (1, "a pipe that nobody has written to"),
    ("replay", "pipe"): (1, "pipe: a pipe, and no file"),
    ("check", "folder"): (2, "folder: Is a directory"),
    ("evaluate", "runs/tiny", "folder"): (1, "is a directory"),
    ("check", "dangling"): (2, "the config file does not exist"),
    ("run", "tiny.yaml", "--output", "dangling"): (2, "a link to nowhere, which is not there"),
    ("run", "tiny.yaml", "--output", "dangling/deeper"): (2, "a link to nowhere, which is not there"),
    ("run", "tiny.yaml", "--output", "text.txt"): (2, "there is a file of that name"),
    ("evaluate", "dangling"): (1, "no such directory"),
    ("graph", "loop"): (2, "loop: Too many levels of symbolic links"),
}


@pytest.mark.parametrize("words", SAID, ids=" ".join)
def test_other_things_in_place_of_files_are_answered(folder, words):
    done = tinyseq(folder, *words, timeout=100)
    code, said = SAID[words]
    assert done.returncode == code
    assert said in done.stderr.decode()
    assert b"bug in tinyseq" not in done.stderr


def test_a_pipe_whose_writer_comes_later_is_read(folder):
    late = "import sys, time; time.sleep(1.5); open('pipe', 'w').write(open('tiny.yaml').read())"
    with subprocess.Popen([sys.executable, "-c", late], cwd=folder):
        assert tinyseq(folder, "check", "pipe", "--only-config").returncode == 0
    slow = "import time; f = open('pipe', 'w'); time.sleep(7); f.write(open('tiny.yaml').read())"
    with subprocess.Popen([sys.executable, "-c", slow], cwd=folder):
        assert tinyseq(folder, "check", "pipe", "--only-config").returncode == 0, "a slow writer is one"


def test_process_substitution_and_stdin_are_read(folder):
    line = f'exec "{sys.executable}" -c "{COMMAND[2]}" check <(sleep 0.5; cat tiny.yaml) --only-config'
    assert subprocess.run(["bash", "-c", line], cwd=folder, env=ENVIRONMENT, check=False).returncode == 0
    done = tinyseq(folder, "check", "/dev/stdin", "--only-config", input=(folder / "tiny.yaml").read_bytes())
    assert done.returncode == 0, done.stderr


def test_going_on_from_a_checkpoint_again_and_again_loses_none(folder):
    text = CONFIG.replace("log_every: 3", "log_every: 3\n  checkpoint: {every: 2, keep: 99}").replace("tiny", "kept")
    (folder / "kept.yaml").write_text(text)
    assert tinyseq(folder, "run", "kept.yaml", "-q").returncode == 0
    checkpoints = folder / "runs" / "kept" / "0001" / "checkpoints"
    first = (checkpoints / "step-00000006.safetensors").read_bytes()
    for number in range(1, 4):
        words = ("run", "kept.yaml", "-q", "--resume-from", str(checkpoints / "step-00000004.safetensors"))
        assert tinyseq(folder, *words).returncode == 0
        aside = sorted(path.name for path in checkpoints.glob("step-00000006*.set-aside"))
        assert len(aside) == number
        assert (checkpoints / "step-00000006.set-aside").read_bytes() == first
    env = json.loads((checkpoints.parent / "env.json").read_text())
    assert [one["after"] for one in env["resumed"]] == [4, 4, 4]
