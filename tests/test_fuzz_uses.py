"""What Python is given, what a cell's file says, and what other libraries' files hold: a result, or an error in words.

How many: a few at each run, 10,000 of each kind with ``-m slow``.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyseq as ts
from support.fuzz_inputs import hostile
from support.smallruns import write_config
from tinyseq import nn
from tinyseq.cli import main
from tinyseq.errors import TinyseqError
from tinyseq.train import running
from tinyseq.train.loop.progress import SilentProgress

FEW, MANY = 60, 10_000
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
#: Seconds of processor time that a small input may take.
SLOWEST = 10.0


def fuzz(count: int, inputs: st.SearchStrategy[Any], use: Callable[[Any], None]) -> None:
    """Call a function with inputs; it returns, or raises an error of ours that says something."""

    @settings(max_examples=count, deadline=None, suppress_health_check=QUIET)
    @given(inputs)
    def run(given: Any) -> None:
        began = time.process_time()
        error = raised(use, given)
        assert error is None or str(error).strip()
        assert time.process_time() - began < SLOWEST

    run()


def raised(use: Callable[[Any], None], given: Any) -> TinyseqError | None:
    try:
        use(given)
    except TinyseqError as error:
        return error
    return None


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Files that an absurd name makes are in a folder of their own."""
    here = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(here)


# -- Python ------------------------------------------------------------------------------------------------------------

TRAIN = {"steps": 1, "batch_size": 2, "evaluate_every": 1}
SMALL = {"hidden_size": 3, "embedding_size": 3}
MADE = {"source": "temporal_order", "options": {"count": 40, "shortest": 10, "longest": 12}}
RUNS: dict[str, dict[str, Any]] = {
    "text": {"task": "classification", "data": {"path": "t.tsv"}, "model": SMALL},
    "sequences": {"task": "regression", "data": {"options": {"count": 40, "length": 6}}, "model": {"hidden_size": 3}},
    "vectors": {"task": "classification", "data": {"path": "v.csv", "inputs": "vector"}, "model": {"layers": [3]}},
    "tagging": {"task": "tagging", "data": {"path": "t.conll"}, "model": {**SMALL, "characters": 2}},
    "sentences": {
        "task": "seq2seq", "data": {"generator": "reversal", "count": 40}, "model": SMALL, "decode": {"max_length": 4},
    },
    "captions": {
        "task": "captioning", "data": {"count": 40, "size": 8}, "model": {**SMALL, "encoder_size": 3},
        "decode": {"max_length": 4},
    },
    "forecasts": {
        "task": "forecasting", "model": {"hidden_size": 3}, "data": {"window": 8}, "forecast": {"horizon": 2},
    },
    "characters": {"task": "language_model", "data": {"path": "text.txt"}, "model": SMALL},
    "reservoir": {
        "task": "reservoir", "model": {"hidden_size": 5}, "readout": {"washout": 5},
        "data": {"train": 50, "valid": 100, "test": 200},
    },
}  # fmt: skip
FILES = {
    "t.tsv": "label\ttext\n" + "a\tsun moon\nb\tsea\n" * 20,
    "v.csv": "u,v,label\n" + "1,2,a\n3,1,b\n" * 20,
    "t.conll": "Ada B-PER\nleft O\n\nParis B-LOC\n\n" * 20,
    "text.txt": "the quick brown fox\n" * 40,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A finished run of each task, loaded."""
    folder = tmp_path_factory.mktemp("runs")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    here, found = os.getcwd(), {}
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "draw_run", lambda *args, **kwargs: None)
        for name, config in RUNS.items():
            result = ts.run({**config, "train": TRAIN}, output=folder / "runs", progress=SilentProgress())
            found[name] = ts.load(result.directory)
    os.chdir(here)
    return found


ODD = st.one_of(
    st.sampled_from(
        [None, True, 0, -1, 1, 3, 2**31, 2**63, -(10**400), 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), 1j,
         b"", b"\xff", "", " ", "\0", "\ud800", "日\u202e", "x" * 999, "the", (), [], {}, [[]], [None],
         [[1.0], [1.0, 2.0]],
         {1}, {"a": 1}, object(), int, len, np.float32(2), np.nan, np.zeros(0), np.zeros((3, 0)), np.zeros((0, 2)),
         np.ones((4, 2)), np.ones((2, 3, 4)), np.ones((1,) * 30), np.array("x"), np.array([None]), np.array(["a", "b"]),
         np.array([1 + 1j]), np.array([2**63], np.uint64), np.zeros(3, "M8[s]"), np.ones(4, ">f4")[::2],
         np.full((5, 2), np.inf), np.ones((6, 2), bool), np.zeros(2, [("a", "f4")]), ["sun", "moon"], "sun moon"]
    ),
    st.text(max_size=8), st.lists(st.floats(), max_size=5), st.lists(st.text(max_size=3), max_size=4),
    st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), max_size=4),
)  # fmt: skip
INPUTS = st.one_of(st.lists(ODD, max_size=4), ODD)
SIZES = st.one_of(st.none(), st.none(), st.integers(-3, 5), ODD)


def predict(runs: dict[str, Any]) -> Callable[[Any], None]:
    def use(given: Any) -> None:
        name, inputs, size = given
        runs[name].predict(inputs, batch_size=size)

    return use


def sample(runs: dict[str, Any]) -> Callable[[Any], None]:
    def use(given: Any) -> None:
        name, options = given
        if isinstance(options.get("length"), int) and options["length"] > 40:
            options["length"] = 40  # as long as is asked for
        runs[name].sample(options.pop("prime", "the"), **options)

    return use


def show(runs: dict[str, Any]) -> Callable[[Any], None]:
    def use(given: Any) -> None:
        name, figure, inputs, options = given
        runs[name].figure(figure, inputs, **options)

    return use


def place(runs: dict[str, Any]) -> Callable[[Any], None]:
    def use(given: Any) -> None:
        entry, value = given
        if entry == "evaluate":
            runs["text"].evaluate(value)
        elif entry == "import":
            nn.convert.read("torch", value)
        else:
            {"load": ts.load, "run": ts.run}[entry](value)

    return use


NAMES = st.sampled_from(sorted(RUNS))
WORDS = st.sampled_from(["prime", "length", "temperature", "top_k", "seed"])
FIGURES = st.one_of(st.sampled_from(["activations", "confusion", "attention", "curves", "predictions", "flow"]), ODD)
#: Kind of use -> what it is given, and what is called with it.
USES: dict[str, tuple[st.SearchStrategy[Any], Callable[[dict[str, Any]], Callable[[Any], None]]]] = {
    "predict": (st.tuples(NAMES, INPUTS, SIZES), predict),
    "sample": (st.tuples(st.sampled_from(["characters", "characters", "text"]), st.dictionaries(WORDS, ODD)), sample),
    "figure": (
        st.tuples(NAMES, FIGURES, INPUTS, st.dictionaries(st.sampled_from(["layer", "units", "steps"]), ODD)), show
    ),
    "places": (st.tuples(st.sampled_from(["load", "run", "evaluate", "import"]), ODD), place),
}  # fmt: skip


@pytest.mark.parametrize("kind", USES)
def test_what_python_gives_is_answered(kind: str, runs: dict[str, Any]) -> None:
    fuzz(FEW, USES[kind][0], USES[kind][1](runs))


#: What once ended in another library's exception or warning.
HARMFUL: list[tuple[str, Any]] = [
    ("predict", ("captions", [[3.4028235677973366e38]], None)), ("predict", ("text", ["sun"], 0)),
    ("predict", ("captions", np.array([1 + 1j]), None)),
    ("predict", ("sequences", [np.ones((3, 2), complex)], None)),
    ("predict", ("vectors", [np.zeros(2, "M8[s]")], None)),
    ("predict", ("text", ["sun"], 2.5)), ("predict", ("forecasts", None, None)), ("predict", ("tagging", [3], None)),
    ("sample", ("characters", {"length": 0.5})), ("sample", ("characters", {"length": -(10**400)})),
    ("sample", ("characters", {"prime": True})), ("sample", ("characters", {"temperature": "hot"})),
    ("sample", ("characters", {"seed": None})), ("figure", ("captions", [[0.0]], [], {})),
    ("places", ("load", None)), ("places", ("load", "x" * 999)), ("places", ("run", "x" * 999)),
    ("places", ("run", 3)), ("places", ("load", "\0")), ("places", ("evaluate", "\ud800")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "given"), HARMFUL)
def test_what_once_did_harm(kind: str, given: Any, runs: dict[str, Any]) -> None:
    with pytest.raises(TinyseqError, match=r"[a-z]"):
        USES[kind][1](runs)(given)


@pytest.mark.slow
@pytest.mark.parametrize("kind", USES)
def test_much_more_that_python_gives_is_answered(kind: str, runs: dict[str, Any]) -> None:
    fuzz(MANY, USES[kind][0], USES[kind][1](runs))


# -- a cell's file -----------------------------------------------------------------------------------------------------

CELL = """\
import numpy as np
import tinyseq as ts
from tinyseq import nn
from tinyseq.ops.elementwise import sigmoid, tanh


class Cell(nn.Cell):
    def __init__(self, input_size, hidden_size, gain=1.0):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = nn.parameter(nn.init.recurrent(hidden_size, input_size))
        self.b = nn.parameter(nn.init.zeros(hidden_size))

    def step(self, x, h):
        h = tanh(ts.concat([h, x], axis=-1) @ self.W + self.b)
        return h, h
"""
#: What a line of it is replaced by, or stands before one.
LINES = [
    "",
    "    pass",
    "        pass",
    "        return h",
    "        return None",
    "        return h, h, h",
    "        return x, h",
    "        return 1, 2",
    "        return (h, (h, h))",
    "        return h[:, :1], h",
    "        return ts.sum(h), h",
    "        self.W = None",
    "        self.hidden_size = -1",
    "        self.hidden_size = 10**30",
    "        self.input_size = 'x'",
    "        self.W = nn.parameter(np.zeros((0, 0)))",
    "        self.W = ts.ones(3)",
    "        h = h.numpy()",
    "        h = h * float('nan')",
    "        h = ts.tensor(np.zeros((1, 7)))",
    "        raise RuntimeError",
    "        raise MemoryError",
    "        raise KeyError('x')",
    "        raise ts.TinyseqError('mine')",
    "        x = x.reshape((-1,))",
    "        assert False",
    "        if h.numpy().sum() > 0: h = h + 1",
    "        h = ts.exp(h * 1e30)",
    "        h = ts.stop_gradient(h)",
    "        h[0] = 1",
    "        self.kept = h",
    "        del self.b",
    "        super().step(x, h)",
    "        return super().step(x, h)",
    "    def initial_state(self, batch): return None",
    "    def initial_state(self, batch): return ts.zeros((batch, 2))",
    "    def initial_state(self, batch): return 'x'",
    "    def initial_state(self): return 0",
    "    def step(self): return 0",
    "    step = None",
    "    step = 3",
    "    name = 5",
    "    W = property(lambda self: 1 / 0)",
    "    def __repr__(self): raise ValueError",
    "    def __getattr__(self, name): raise KeyError(name)",
    "    def __len__(self): return 0",
    "    def __bool__(self): raise TypeError",
    "class Cell: pass",
    "class Cell(nn.LSTMCell): pass",
    "class Cell(nn.Module): pass",
    "Cell = nn.GRUCell",
    "Cell = None",
    "Cell = 3",
    "def Cell(i, h): return nn.GRUCell(i, h)",
    "from tinyseq import nothing",
    "import not_there",
    "1 / 0",
    "raise SystemExit(3)",
    "(",
    "é = 1",
    "\\x00",
    "        raise SystemExit",
    "        return NotImplemented",
    "        return h, None",
    "        return [h, h]",
    "        return {'h': h}",
]


@st.composite
def cells(draw: Any) -> str:
    """The file of a cell, some of its lines changed."""
    lines = CELL.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(4, len(lines) - 1))
        lines[at : at + draw(st.integers(0, 1))] = [draw(st.sampled_from(LINES))]
    return "\n".join(lines) + "\n"


def fuzz_cells(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = str(write_config(Path(folder)))
        numbers = iter(range(count * 3))

        def use(text: str) -> None:
            name = f"cell{next(numbers)}.py"
            Path(folder, name).write_text(text)
            found = CliRunner().invoke(main, ["check", config, "--set", f"model.cell={folder}/{name}:Cell"])
            Path(folder, name).unlink()
            assert found.exit_code in (0, 1, 2), (text, found.output, found.exception)
            assert "bug in tinyseq" not in found.output, (text, found.output)
            assert "Traceback" not in found.output, (text, found.output)

        fuzz(count, cells(), use)


def test_any_file_of_a_cell_is_answered() -> None:
    fuzz_cells(FEW)


@pytest.mark.parametrize(
    "line", ["    def initial_state(self): return 0", "    def step(self, x): return x, x", "    step = 3"]
)
def test_methods_that_cannot_be_called_are_told_with_the_config(line: str, tmp_path: Path) -> None:
    (tmp_path / "cell.py").write_text(f"{CELL}\n{line}\n")
    found = CliRunner().invoke(
        main, ["check", str(write_config(tmp_path)), "--set", f"model.cell={tmp_path}/cell.py:Cell"]
    )
    assert found.exit_code == 2
    assert f"Cell.{line.split('(')[0].split()[-1 if '(' in line else 0]}: required a method" in found.stderr


@pytest.mark.parametrize("size", ["-1", "0", "10**30", "'x'", "None", "2.5"])
def test_sizes_that_are_none_are_told_with_the_config(size: str, tmp_path: Path) -> None:
    line = "        self.input_size, self.hidden_size = "
    (tmp_path / "cell.py").write_text(CELL.replace(f"{line}input_size, hidden_size", f"{line}input_size, {size}"))
    words = ["check", str(write_config(tmp_path)), "--set", f"model.cell={tmp_path}/cell.py:Cell"]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 2
    assert "Cell.hidden_size: required a whole number of at least 1, got" in found.stderr


@pytest.mark.parametrize("make", [ts.zeros, ts.ones, ts.rand, ts.randn, lambda shape: ts.full(shape, 1.0)])
@pytest.mark.parametrize("shape", [(2, -1), (-1,), (10**30,), (1 << 40, 1 << 40)])
def test_tensors_of_no_size_are_refused(make: Callable[..., Any], shape: tuple[int, ...]) -> None:
    with pytest.raises(TinyseqError, match="of no size"):
        make(shape)


def test_a_file_that_ends_the_process_is_told(tmp_path: Path) -> None:
    """As a script does that was meant to be run."""
    (tmp_path / "cell.py").write_text(f"{CELL}\nraise SystemExit(3)\n")
    words = ["check", str(write_config(tmp_path)), "--set", f"model.cell={tmp_path}/cell.py:Cell"]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 2
    assert "cannot be imported: SystemExit: 3" in found.stderr


def test_a_cell_that_takes_away_what_it_reads_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "cell.py").write_text(CELL.replace("        return h, h", "        del self.b\n        return h, h"))
    words = ["check", str(write_config(tmp_path)), "--set", f"model.cell={tmp_path}/cell.py:Cell"]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 1
    assert f"{tmp_path}/cell.py:14, in step" in found.stderr


@pytest.mark.slow
def test_many_files_of_cells_are_answered() -> None:
    fuzz_cells(MANY)


# -- weights of other libraries ----------------------------------------------------------------------------------------

SAVED = Path(__file__).parent / "nn" / "convert" / "files"
WEIGHTS = sorted(path.name for path in SAVED.iterdir() if ".expected." not in path.name)


def fuzz_weights(name: str, count: int) -> None:
    if name.endswith((".keras", ".h5")) and importlib.util.find_spec("h5py") is None:
        pytest.skip("h5py is not installed: pip install tinyseq[keras]")
    beside = [path for path in SAVED.glob(f"{name.split('.')[0]}.*") if ".expected." not in path.name]
    with tempfile.TemporaryDirectory() as folder:
        for path in beside:
            Path(folder, path.name).write_bytes(path.read_bytes())
        asked = next(
            path.name for path in beside if path.suffix != ".bin" and (name.endswith(".bin") or path.name == name)
        )

        def use(content: bytes) -> None:
            Path(folder, name).write_bytes(content)
            nn.convert.read(name.split("_")[0], Path(folder, asked))

        fuzz(count, hostile([(SAVED / name).read_bytes()]), use)


@pytest.mark.parametrize("name", WEIGHTS)
def test_any_file_of_weights_is_answered(name: str) -> None:
    fuzz_weights(name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_many_files_of_weights_are_answered(name: str) -> None:
    fuzz_weights(name, MANY)
