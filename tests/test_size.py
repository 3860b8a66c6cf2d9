"""The engine stays tiny: what records, computes and differentiates ops, in lines; and no file of it is two things.

Lines of code are counted: docstrings, comments and blank lines are not, so that nobody saves at what a reader reads.
"""

from __future__ import annotations

import ast
import io
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import tinyseq as ts

ROOT = Path(ts.__file__).parent
REPOSITORY = Path(__file__).resolve().parent.parent
#: What records, computes and differentiates ops, and a cell over time. What traces them is of the compiler, and apart.
ENGINE = ("graph.py", "ops/*.py", "autodiff.py", "tensors.py", "unrolling.py", "backends/numpy.py", "nn/cells/*.py")
#: It shrinks with the engine, and does not grow. With docstrings, comments and blank lines these are some 4,500.
LINES = 2_950
LONGEST = 550
TRACING = ("tracing.py", "scalars.py", "markers.py")
TRACING_LINES = 350

#: What a student reads: the functions of these files are short, and by ruff's C901 (pyproject.toml) simple.
READ = (
    "graph", "autodiff", "tensors", "unrolling", "tracing", "scalars", "ops/*", "compiler/differentiate",
    "compiler/passes/*",
)  # fmt: skip
#: Lines of a function from its first statement to its last; the signature and the docstring are reading matter.
LONGEST_FUNCTION = 45


#: Tokens that make no line one of code.
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def docstring_lines(source: str) -> set[int]:
    """Return the numbers of the lines that docstrings stand on."""
    places = [node for node in ast.walk(ast.parse(source)) if isinstance(node, DOCUMENTED) and ast.get_docstring(node)]
    return {line for node in places for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)}


DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(source: str) -> int:
    """Return how many lines of a file hold code: no docstring, no comment alone, not blank."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in SILENT]
    return len({line for t in tokens for line in range(t.start[0], t.end[0] + 1)} - docstring_lines(source))


def sources(patterns: tuple[str, ...]) -> dict[str, str]:
    files = [path for pattern in patterns for path in ROOT.glob(pattern)]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}


def lengths(patterns: tuple[str, ...]) -> dict[str, int]:
    return {name: code_lines(source) for name, source in sources(patterns).items()}


@pytest.mark.parametrize(("patterns", "budget"), [(ENGINE, LINES), (TRACING, TRACING_LINES)], ids=["engine", "tracing"])
def test_a_part_is_within_its_budget(patterns: tuple[str, ...], budget: int) -> None:
    found = lengths(patterns)
    assert all(any(Path(name).match(pattern) for name in found) for pattern in patterns)
    assert sum(found.values()) <= budget, found


def test_no_file_of_the_engine_is_too_long_to_be_one_thing() -> None:
    """Whole lines here, but for docstrings: what stands in an editor when they are folded."""
    every = sources(ENGINE + TRACING)
    found = {name: len(source.splitlines()) - len(docstring_lines(source)) for name, source in every.items()}
    assert {name: count for name, count in found.items() if count > LONGEST} == {}


def test_only_code_counts() -> None:
    source = '''"""A file
of docstring."""

# A comment.
x = """a text
of two lines"""  # code, and a comment


def f(
    x: int,
) -> int:
    """Return it."""
    return x
'''
    assert code_lines(source) == 6
    assert docstring_lines(source) == {1, 2, 12}


def long_functions(source: str) -> Iterator[tuple[str, int]]:
    """Yield the functions of a file that are too long, and how long they are."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1 if ast.get_docstring(node) is not None and len(node.body) > 1 else 0]
            count = node.body[-1].end_lineno - first.lineno + 1
            if count > LONGEST_FUNCTION:
                yield node.name, count


def test_no_function_that_a_student_must_read_is_too_long() -> None:
    files = [path for pattern in READ for path in ROOT.glob(f"{pattern}.py")]
    assert len(files) > 20
    long = {
        f"{path.relative_to(ROOT).as_posix()}:{name}": count
        for path in files
        for name, count in long_functions(path.read_text(encoding="utf-8"))
    }
    assert long == {}


def test_ruff_holds_the_same_functions_to_be_simple() -> None:
    lint = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "C90" in lint["select"]
    assert lint["mccabe"]["max-complexity"] == 10
    assert lint["per-file-ignores"] == {f"!tinyseq/{{{','.join(READ)}}}.py": ["C901"]}


def test_the_reader_of_functions_sees_a_long_one() -> None:
    body = "        x = 1\n" * LONGEST_FUNCTION
    assert list(long_functions(f'def f():\n        """A docstring."""\n{body}')) == []
    assert list(long_functions(f"class A:\n    def g(self):\n{body}        x = 2\n")) == [("g", LONGEST_FUNCTION + 1)]
