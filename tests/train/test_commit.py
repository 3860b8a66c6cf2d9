"""The commit of a folder is read from git's files, and no program is started by a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinyseq as ts
from support.smallruns import write_config
from tinyseq.train.loop.commit import commit_of

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git makes the folders")
HEX = "0123456789abcdef0123456789abcdef01234567"


def git(folder, *words):
    names = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "protocol.file.allow=always"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *names, *words], cwd=folder, capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    place = tmp_path / "repository"
    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    (place / "f").write_text("1")
    git(place, "add", "f")
    git(place, "commit", "-q", "-m", "one")
    return place


@needs_git
def test_it_is_what_git_says(repository, tmp_path):
    """On a branch, in a folder below, detached, packed, in a linked work tree, in a submodule."""
    inside = repository / "a" / "b"
    inside.mkdir(parents=True)
    first = git(repository, "rev-parse", "HEAD")
    assert commit_of(repository) == commit_of(inside) == first
    git(repository, "checkout", "-q", "-b", "feature/of-mine")
    git(repository, "commit", "-q", "--allow-empty", "-m", "two")
    second = git(repository, "rev-parse", "HEAD")
    assert commit_of(repository) == second != first
    git(repository, "pack-refs", "--all", "--prune")
    assert not (repository / ".git" / "refs" / "heads" / "feature" / "of-mine").exists()
    assert commit_of(repository) == second
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"), "main")
    assert commit_of(tmp_path / "linked") == first
    git(repository, "submodule", "--quiet", "add", str(repository), "sub")
    assert commit_of(repository / "sub") == second
    git(repository, "checkout", "-q", "--detach", first)
    assert commit_of(repository) == first


@needs_git
def test_with_sha256(tmp_path):
    try:
        git(tmp_path, "init", "-q", "--object-format=sha256")
    except subprocess.CalledProcessError:
        pytest.skip("a git without SHA-256")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    assert commit_of(tmp_path) == git(tmp_path, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"ref: refs/heads/none",
        b"ref: ../../secret",
        b"ref: refs/../../secret",
        b"ref: /etc/hostname",
        b"ref: refs/heads/a\0b",
        b"ref: refs/heads/self",
        b"\xff\xfe",
        b"0123",
        b"x" * 10_000,
    ],
)
def test_what_git_would_not_write_gives_none(tmp_path, head):
    place = tmp_path / "a" / ".git"
    (place / "refs" / "heads").mkdir(parents=True)
    (tmp_path / "secret").write_text(HEX)
    (place / "refs" / "heads" / "self").write_text("ref: refs/heads/self")
    (place / "HEAD").write_bytes(head)
    assert commit_of(tmp_path / "a") is None


def test_places_that_are_no_folders_give_none(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyseq.files.PATIENCE", 0.1)
    assert commit_of(tmp_path) in (None, commit_of(tmp_path.parent))
    (tmp_path / ".git").mkdir()
    assert commit_of(tmp_path) is None
    os.mkfifo(tmp_path / ".git" / "HEAD")
    assert commit_of(tmp_path) is None
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".git").write_text("gitdir: .")
    assert commit_of(tmp_path / "b") is None


WATCHED = """
import os, sys
started = []
def watch(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "os.forkpty"):
        started.append((event, arguments[0] if arguments else ""))
sys.addaudithook(watch)
import tinyseq as ts
from tinyseq.cli import main
for line in ("run tiny.yaml -q", "evaluate runs/tiny", "report runs/tiny", "plot runs/tiny curves"):
    try:
        main(line.split())
    except SystemExit as end:
        assert not end.code, (line, end.code)
import matplotlib
assert matplotlib.rcParams["text.usetex"], "the folder's settings were read, or this shows nothing"
print("started:", started)
"""


@needs_git
def test_no_program_is_started_in_a_folder_of_somebody_else(repository):
    """Whatever settings the folder has: git's own, and matplotlib's, which may ask for LaTeX."""
    write_config(repository)
    (repository / "matplotlibrc").write_text("text.usetex: True\n")
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(ts.__file__).parents[1])},
    )
    assert done.stdout.endswith("started: []\n"), done.stdout + done.stderr
    env = (repository / "runs" / "tiny" / "0001" / "env.json").read_text()
    assert git(repository, "rev-parse", "HEAD") in env
    assert '"changed": null' in env
