"""Whatever a file holds, its reader returns, or raises an error of ours: no crash, no hang, no blow-up.

How many inputs: 200 a reader at each run, 10,000 with ``-m slow``, and every file of ``tests/corpus/``, where an input
that once did harm is kept for good.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.fuzz_inputs import CORPUS, READERS, hostile
from tinyseq.errors import ConfigError, TinyseqError
from tinyseq.train.config import yaml
from tinyseq.train.config.registry import task_names
from tinyseq.train.config.run_config import parse_config

FEW, MANY = 200, 10_000
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


def read(reader: str, content: bytes) -> None:
    function, suffix, _ = READERS[reader]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"f{suffix}")
        path.write_bytes(content)
        began = time.process_time()
        error = raised(function, path)
        assert time.process_time() - began < SLOWEST
        assert error is None or str(error).strip()
        assert error is None or isinstance(error, ConfigError) == (reader == "config")


#: Seconds of processor time that a small file may take; its clock does not run while others compute.
SLOWEST = 5.0


def raised(function: Callable[[Path], None], path: Path) -> TinyseqError | None:
    try:
        function(path)
    except TinyseqError as error:
        return error
    return None


def fuzz(reader: str, count: int) -> None:
    @settings(max_examples=count, deadline=None, suppress_health_check=QUIET)
    @given(hostile(READERS[reader][2]))
    def run(content: bytes) -> None:
        read(reader, content)

    run()


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_takes_it_or_says_what_is_wrong(reader: str) -> None:
    fuzz(reader, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_takes_many_more(reader: str) -> None:
    fuzz(reader, MANY)


@pytest.mark.parametrize("reader", READERS)
def test_good_files_are_taken(reader: str, tmp_path: Path) -> None:
    """Else the fuzz would only see refusals."""
    function, suffix, seeds = READERS[reader]
    for number, seed in enumerate(seeds):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(seed)
        function(path)


KEPT = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_did_harm(path: Path) -> None:
    read(path.parent.name.replace("_", " "), path.read_bytes())


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from support.fuzz_inputs import CORPUS, READERS
from tinyseq.errors import TinyseqError
for path in sorted(CORPUS.glob("*/*")):
    try:
        READERS[path.parent.name.replace("_", " ")][0](path)
    except TinyseqError:
        pass
print("ended", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
def test_the_corpus_is_read_in_little_memory_and_time() -> None:
    """In a child with a limit of memory and of processor time: over it, the child would be killed."""
    command = [sys.executable, "-c", LIMITED, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("ended"), done.stderr


# -- values, as Python gives them --------------------------------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 300), st.just(10**400), st.floats(), st.text(max_size=8),
    st.sampled_from(["lstm", "adam", "cosine", "word", "transformer", "../x", "a/b", "", "os:system", "x.py:A", "nan"]),
)  # fmt: skip
_KEYS = st.sampled_from(
    ["task", "name", "seed", "train", "model", "data", "steps", "bptt", "every", "back", "optimizer", "options", "lr",
     "cell", "hidden_size", "heads", "split", "path", "valid", "window", "warmup", "targets", "columns", "decode",
     "measure", "sample", "schedule", "readout", "washout", "evaluate", "ahead", "architecture", "source", "output"]
)  # fmt: skip
_BRANCHES = st.dictionaries(_KEYS, _SCALARS, max_size=4)
_TREES = st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3), _BRANCHES, st.dictionaries(_KEYS, _BRANCHES, max_size=3))


def check_values(count: int) -> None:
    @settings(max_examples=count, deadline=None, suppress_health_check=QUIET)
    @given(st.sampled_from(task_names()), st.dictionaries(_KEYS, _TREES, max_size=6), st.dictionaries(_KEYS, _SCALARS))
    def run(task: str, data: dict[str, Any], overrides: dict[str, Any]) -> None:
        try:
            config = parse_config({**data, "task": task}, overrides)
        except ConfigError:
            return
        again = parse_config(yaml.parse(yaml.write(config.model_dump(mode="json"))).data)
        assert again == config, "the resolved config says the same"

    run()


def test_any_values_make_a_config_or_an_error() -> None:
    check_values(FEW)


@pytest.mark.slow
def test_many_more_values() -> None:
    check_values(MANY)
