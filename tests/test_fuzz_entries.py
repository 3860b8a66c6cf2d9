"""Public entry points with damaged files and absurd arguments: a result, or one error in words, and never a bug.

How many: a few at each run, 10,000 of each kind with ``-m slow``; pictures, which take long, 1,000.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyseq as ts
from support.fuzz_inputs import mutated
from support.smallruns import write_config
from tinyseq.cli import main
from tinyseq.errors import TinyseqError
from tinyseq.train import running
from tinyseq.train.analysis import pictures
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.storage import checkpoint_file
from tinyseq.train.storage.run_directory import RunDirectory

FEW, MANY = 40, 10_000
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("entries")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "draw_run", lambda *args, **kwargs: None)
        result = ts.run(write_config(folder), output=folder / "runs", progress=SilentProgress())
    return result.directory


def load(run: Path) -> None:
    ts.load(run).predict(["the fox"])


def curves(run: Path) -> None:
    directory = RunDirectory(run)
    list(directory.rows(lambda _: None))
    directory.result()
    if sum((run / name).stat().st_size for name in ("metrics.jsonl", "result.json")) % 16 == 0:  # some are drawn too
        pictures.curves(directory)


def checkpoint(run: Path) -> None:
    checkpoint_file.read(run / "checkpoints" / "step-00000012.safetensors")


#: File of a run directory -> what reads it.
FILES: dict[str, Callable[[Path], None]] = {
    "weights.safetensors": load,
    "metadata.json": load,
    "config.resolved.yaml": load,
    "metrics.jsonl": curves,
    "result.json": curves,
    "env.json": lambda run: RunDirectory(run).json("env.json") and None,
    "checkpoints/step-00000012.safetensors": checkpoint,
}


def raised(read: Callable[[Path], None], run: Path) -> Exception | None:
    try:
        read(run)
    except (TinyseqError, MemoryError) as error:
        return error
    return None


def fuzz_file(name: str, original: Path, count: int) -> None:
    good = (original / name).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "0001")
        shutil.copytree(original, run)

        @settings(max_examples=count, deadline=None, suppress_health_check=QUIET)
        @given(st.one_of(mutated([good]), st.binary(max_size=80)), st.booleans())
        def damaged(content: bytes, unsigned: bool) -> None:
            (run / name).write_bytes(content)
            if unsigned:  # as a stranger writes it: without the digest that would tell
                weights = run / "weights.safetensors"
                weights.write_bytes(weights.read_bytes().replace(b'"sha256":', b'"sha-no":'))
            error = raised(FILES[name], run)
            assert error is None or str(error).strip()
            shutil.copy(original / "weights.safetensors", run / "weights.safetensors")

        damaged()


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_run_is_answered(name: str, original: Path) -> None:
    fuzz_file(name, original, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_damaged_files_of_a_run_are_answered(name: str, original: Path) -> None:
    fuzz_file(name, original, MANY)


_ABSURD = st.one_of(
    st.sampled_from(
        ["0", "-1", "1", "3", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 30, "9" * 5000, "", " ", "--", "-", ".",
         "..", "/", "/dev/null", "/dev/zero", "~", "\x1b[2J", "\u202e", "日", "1:2", ":", "2:1", "0x10", "1_0", "true",
         "null", "[1, 2]", "{a: 1}", "*", "&a", "!!python/x", "lstm", "pack", "embedding", "recurrent", "model"]
    ),
    st.integers(-5, 40).map(str),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)  # fmt: skip
_KEYS = st.sampled_from(
    ["seed", "steps", "train.steps", "model.cell", "hidden_size", "num_layers", "dropout", "train.batch_size", "name",
     "bptt.every", "bptt.back", "optimizer.lr", "optimizer.name", "schedule.name", "clip_norm", "dtype", "backend",
     "threads", "output", "data.path", "data.split", "sample.length", "x", "model", "train", "task", ""]
)  # fmt: skip
#: Command -> the words before its options, and its options, those without a value by themselves.
COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "sample": (("RUN",), {"--prime": _ABSURD, "--length": _ABSURD, "--temperature": _ABSURD, "--seed": _ABSURD}),
    "evaluate": (("RUN",), {"--batch-size": _ABSURD}),
    "predict": (("RUN", "FILE"), {"--batch-size": _ABSURD, "--text": None}),
    "check": (("CONFIG", "--only-config"), {"--set": st.tuples(_KEYS, _ABSURD).map("=".join)}),
    "config": (("CONFIG",), {"--set": st.tuples(_KEYS, _ABSURD).map("=".join), "--comments": None}),
    "graph": (
        ("CONFIG", "-o", "OUT"),
        {"--steps": _ABSURD.filter(lambda word: len(word) < 2), "--collapse": _ABSURD, "--budget": _ABSURD,
         "--level": _ABSURD, "--rolled": None, "--after": _ABSURD},
    ),
    "plot": (("RUN", "activations", "-o", "OUT.svg"), {"--layer": _ABSURD, "--units": _ABSURD, "--input": _ABSURD}),
    "equations": ((), {"": _ABSURD}),
    "init": ((), {"": _ABSURD}),
}  # fmt: skip


def fuzz_command(command: str, original: Path, count: int) -> None:
    before, options = COMMANDS[command]
    folder = original.parents[2]
    (folder / "lines.txt").write_text("the fox\nthe dog\n")
    names = {"RUN": str(original), "CONFIG": str(folder / "tiny.yaml"), "FILE": str(folder / "lines.txt"),
             "OUT": str(folder / "out.svg"), "OUT.svg": str(folder / "out.svg")}  # fmt: skip
    chosen = st.lists(st.sampled_from(sorted(options)), max_size=3, unique=True)

    @settings(max_examples=count, deadline=None, suppress_health_check=QUIET)
    @given(st.data(), chosen)
    def called(data: st.DataObject, chosen: list[str]) -> None:
        words = [command, *(names.get(word, word) for word in before)]
        for option in chosen:
            words += [option] if option else []
            if options[option] is not None:
                words.append(data.draw(options[option]))
        if "--length" in words and words[words.index("--length") + 1].isdecimal():
            words[words.index("--length") + 1] = words[words.index("--length") + 1][:2]  # as long as is asked for
        found = CliRunner().invoke(main, words)
        assert found.exit_code in (0, 1, 2), (words, found.output)
        assert "bug in tinyseq" not in found.output, words
        assert "Traceback" not in found.output, words

    here = os.getcwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        try:
            called()
        finally:
            os.chdir(here)


@pytest.mark.parametrize("command", COMMANDS)
def test_absurd_arguments_are_answered(command: str, original: Path) -> None:
    fuzz_command(command, original, FEW if command not in ("graph", "plot") else 12)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_many_absurd_arguments_are_answered(command: str, original: Path) -> None:
    fuzz_command(command, original, MANY if command not in ("graph", "plot") else MANY // 10)
