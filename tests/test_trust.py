"""What README says of trust: nothing in the code executes what it reads, and a run writes into its directory alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tinyseq as ts
from tinyseq.errors import ConfigError
from tinyseq.train.config.run_config import parse_config

ROOT = Path(ts.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)

#: Modules that make objects or programs of bytes, or unpack archives.
MODULES = {
    "builtins", "cloudpickle", "code", "codeop", "dill", "joblib", "marshal", "pickle", "pty", "runpy", "shelve",
    "tarfile", "xmlrpc", "zipfile", "_pickle",
}  # fmt: skip
BUILTINS = {"eval", "exec", "compile", "__import__", "execfile"}
CALLS = {
    "os.system", "os.popen", "os.startfile", "shutil.unpack_archive", "tempfile.mktemp", "np.load", "numpy.load",
    "np.save", "numpy.save", "np.fromfile", "yaml.load", "yaml.unsafe_load", "subprocess.getoutput",
    "subprocess.getstatusoutput",
}  # fmt: skip
#: Files that evaluate expressions of their own making, which hold numbers, and names as ``repr`` of a str alone.
EVALUATING = {"compiler/environment.py", "trees.py"}
#: Where a user's own Python is imported: the one door, and it is in README.
DOOR = "train/config/registry.py"


def names_made(tree: ast.AST) -> set[str]:
    """What a file defines or imports: there `compile` is no builtin."""
    made = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            made |= {alias.asname or alias.name for alias in node.names}
    return made


def dangers(source: str, name: str = "") -> Iterator[str]:
    """Yield what in a file could execute what is read."""
    tree = ast.parse(source)
    own = names_made(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                if module.split(".")[0] in MODULES or (
                    module == "os" and {a.name for a in names} & {"system", "popen"}
                ):
                    yield module
            case ast.Name(id="eval") if name in EVALUATING:
                pass
            case ast.Name(id=word, ctx=ast.Load()) if word in BUILTINS and word not in own:
                yield word
            case ast.Attribute(attr="exec_module" | "spec_from_file_location") if name != DOOR:
                yield node.attr
            case ast.Call(func=function, args=args, keywords=keywords):
                called = ast.unparse(function)
                if called in CALLS or called.startswith(("os.exec", "os.spawn")):
                    yield called
                if called.startswith("subprocess.") and not (args and isinstance(args[0], ast.List)):
                    yield f"{called}: no list of words"
                for keyword in keywords:
                    if keyword.arg == "shell" and not (
                        isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                    ):
                        yield f"{called}: shell"
                    if keyword.arg == "allow_pickle":
                        yield f"{called}: allow_pickle"
                    if keyword.arg == "typ" and called == "YAML" and ast.unparse(keyword.value) != "'safe'":
                        yield f"{called}: {ast.unparse(keyword.value)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_executes_what_it_reads(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert list(dangers(path.read_text(encoding="utf-8"), name)) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(x)", "exec(x)", "f = eval", "compile(x, '', 'exec')", "__import__(x)", "import pickle",
        "from pickle import load", "import os\nos.system(x)", "from os import system",
        "import subprocess\nsubprocess.run(x, shell=True)",
        "import subprocess\nsubprocess.run('ls')", "np.load(x)", "np.load(x, allow_pickle=True)", "yaml.load(x)",
        "YAML(typ='unsafe')", "import tarfile", "spec.loader.exec_module(m)", "os.execv(x, y)", "import builtins as b",
        "def f():\n    import marshal", "from builtins import eval",
    ],
)  # fmt: skip
def test_the_reader_of_sources_sees_it(source: str) -> None:
    assert list(dangers(source))


def test_what_is_fine_is_no_danger() -> None:
    assert not list(dangers("from tinyseq.compiler import compile\ncompile(f)\nmodel.eval()\nre.compile('x')"))


@pytest.mark.parametrize("name", ["a'] and o0['b", 'a"] or k0["', "{number}", "a\\", "a\nb", "__import__"])
def test_a_name_in_an_expression_of_the_compiler_is_a_name(name: str) -> None:
    """After some calls what is compared is written as one expression, with the names of attributes in it."""

    class Holder:
        pass

    holder = Holder()
    vars(holder).update({name: 2.0, "b": 3.0})
    fast = ts.compile(lambda x: x * getattr(holder, name) + holder.b)
    for _ in range(50):
        assert fast(ts.ones(1)).tolist() == [5.0]
    vars(holder)[name] = 4.0
    assert fast(ts.ones(1)).tolist() == [7.0]


# -- names -------------------------------------------------------------------------------------------------------------

ESCAPES = [
    "..",
    ".",
    "a/b",
    "/a",
    "a\\b",
    "../a",
    "a\0b",
    "",
    " ",
    "-a",
    ".a",
    "a\n",
    "~",
    "$HOME",
    "a b",
    "a:b",
    "x" * 101,
]


@pytest.mark.parametrize("name", ESCAPES)
def test_a_name_is_one_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="name: required"):
        parse_config({"task": "language_model", "name": name})


@given(st.text(alphabet=st.sampled_from("./\\~:a\0 \n-_é\u2215\uff0f\u2024"), min_size=1, max_size=6))
@example("a..")
def test_a_name_that_is_taken_stays_under_the_output(name: str) -> None:
    try:
        config = parse_config({"task": "language_model", "name": name})
    except ConfigError:
        return
    path = Path("/output", config.name, "0001")
    assert path.parts[:2] == ("/", "output")
    assert len(path.parts) == 4
    assert ".." not in path.parts


@pytest.mark.parametrize("key", ["output", "data.path", "model.cell"])
@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\x1b[31m"])
def test_paths_hold_no_control_characters(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: required a path without control characters"):
        parse_config({"task": "language_model"}, {key: value})


EVIL = "../../evil"
CELL = """
from tinyseq import nn
Evil = type("../../evil", (nn.GRUCell,), {})
"""
RUNS = {
    "forecasting": (
        f"{EVIL},/tmp/evil,../evil.png\n" + "".join(f"{i},{i % 7},{i % 5}\n" for i in range(80)),
        {"data": {"window": 8, "columns": [EVIL, "/tmp/evil", "../evil.png"]}},
    ),
    "classification": (
        f"label\ttext\n{EVIL}\ta b c\n/evil\td e f\n" + "../evil\tg h\n/evil\ti j\n" * 20, {},
    ),
    "tagging": ("../../evil B-../../evil\n\n/evil I-/evil\n\n" * 20, {"data": {"scheme": "iob1", "min_count": 1}}),
    "seq2seq": (f"{EVIL}\t/evil\n" * 30, {"decode": {"max_length": 4}}),
    "captioning": (
        f"name,caption,a,b\n{EVIL},/evil,1,2\n" + "../evil,/evil x,2,1\n/evil,../x,1,2\n" * 20,
        {"decode": {"max_length": 4}},
    ),
    "language_model": (f"{EVIL} /evil\n" * 60, {"sample": {"length": 5}}),
}  # fmt: skip


@pytest.mark.parametrize("task", RUNS)
def test_a_run_writes_into_its_directory_alone(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever classes, columns, labels, words and captions are called."""
    text, settings = RUNS[task]
    home = tmp_path / "a" / "b" / "c"
    home.mkdir(parents=True)
    suffix = {"tagging": "conll", "seq2seq": "tsv", "classification": "tsv", "language_model": "txt"}.get(task, "csv")
    (home / f"data.{suffix}").write_text(text)
    (home / "cell.py").write_text(CELL)
    monkeypatch.chdir(home)
    before = set(tmp_path.rglob("*"))
    config = {
        "task": task,
        "model": {"cell": "cell.py:Evil", "hidden_size": 3},
        "train": {"steps": 1, "batch_size": 2, "bptt": {"every": 4}},
        **{key: value for key, value in settings.items() if key != "data"},
        "data": {"path": f"data.{suffix}", **settings.get("data", {})},
    }
    result = ts.run(config)
    assert result.directory.resolve() == home / "runs" / task / "0001"
    made = {path for path in set(tmp_path.rglob("*")) - before if "__pycache__" not in path.parts}
    assert {path for path in made if not path.is_relative_to(home / "runs")} == set()
    directory = result.directory.resolve()
    assert {path.parent for path in made if path.is_file()} == {directory, directory / "checkpoints"}
    assert not any(Path(place).exists() for place in ("/tmp/evil", "/evil", "/tmp/evil.png"))
