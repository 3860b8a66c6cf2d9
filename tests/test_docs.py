"""The pages about the code are true: each path, name, line and link in them is there, and their programs run.

Lines that have moved are put right by ``TINYSEQ_REWRITE_DOCS=1 python -m pytest tests/test_docs.py``.
"""

from __future__ import annotations

import ast
import builtins
import functools
import keyword
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import tinyseq as ts

PACKAGE = Path(ts.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
#: Every page whose links are followed, and those that are about the code, whose names are looked up.
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("decisions/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
ABOUT_CODE = [
    *(DOCS / f"{name}.md" for name in ("architecture", "glossary", "reading")),
    *sorted(DOCS.glob("decisions/*.md")),
    ROOT / "CONTRIBUTING.md",
]
REWRITE = os.environ.get("TINYSEQ_REWRITE_DOCS") == "1"


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


# -- links -------------------------------------------------------------------------------------------------------------


def anchor(heading: str) -> str:
    """What GitHub calls a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@functools.cache
def anchors(page: Path) -> set[str]:
    return {anchor(line.lstrip("#")) for line in prose(page).splitlines() if line.startswith("#")}


def broken_links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists():
            yield target
        elif lines := re.fullmatch(r"L(\d+)(?:-L(\d+))?", fragment):
            count = len(place.read_text(encoding="utf-8").splitlines())
            if not int(lines[1]) <= int(lines[2] or lines[1]) <= count:
                yield f"{target} of {count} lines"
        elif fragment and place.suffix == ".md" and fragment not in anchors(place):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


# -- names -------------------------------------------------------------------------------------------------------------


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def defined(path: Path) -> frozenset[str]:
    """What a file defines: classes, functions, arguments, variables, attributes, names of ops."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.Constant(value=str(name)) if name.isidentifier():
                found.add(name)
    return frozenset(found)


@functools.cache
def known_names() -> frozenset[str]:
    files = [path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts]
    modules = {part for path in files for part in path.relative_to(PACKAGE).with_suffix("").parts}
    return frozenset({"ts", "tinyseq", *modules, *dir(builtins), *keyword.kwlist}.union(*map(defined, files)))


@functools.cache
def known_tests() -> dict[str, Path]:
    return {
        node.name: path
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef)
    }


PATH = re.compile(r"[\w.*-]*(?:/[\w.*-]*)+|[\w*-]+\.(?:py|md|yaml|txt|json|jsonl|toml|cpp|safetensors)")
#: Commands, and what a run writes: not looked up as Python.
COMMANDS = ("tinyseq ", "python ", "pytest", "ruff ", "mypy", "bash ", "pip ", "TINYSEQ_", "git ")
#: Names that are no Python of ours: NumPy's, of files that a run writes, of things outside.
OTHERS = {
    "lstm.yaml", "metrics.jsonl", "result.json", "env.json", "weights.safetensors", "metadata.json", "np", "xp",
    "libcublas", "cublasGemmEx", "pickle", "dW", "KeyboardInterrupt", "my_cells", "MyCell",
}  # fmt: skip


def place_of(word: str, page: Path) -> bool:
    """Whether a path is there: of the package, of the repository, or beside the page."""
    return any(
        any(folder.glob(word.rstrip("/"))) if "*" in word else (folder / word).exists()
        for folder in (PACKAGE, ROOT, page.parent, ROOT / "tests")
    )


def unknown_words(page: Path) -> Iterator[str]:
    """Yield what stands in code spans, and in diagrams, and is nowhere."""
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    for span in spans:
        command = span.startswith(COMMANDS)
        for word in PATH.findall(span):
            if word not in OTHERS and not place_of(word, page) and not (command and word.isupper()):
                yield word
        if command:
            continue
        rest = re.sub(r"(['\"]).*?\1", "", PATH.sub(" ", span))
        for word in re.findall(r"[A-Za-z_]\w*", rest):
            if len(word) < 2 or word in OTHERS or word in known_names():
                continue
            if word not in known_tests():
                yield word
    for block in blocks(page, "text"):
        for path, name in re.findall(r"([\w/]+\.py)(?:: (\w+))?", block):
            if not place_of(path, page):
                yield path
            elif name and name not in defined(PACKAGE / path):
                yield f"{path}: {name}"


@pytest.mark.parametrize("page", ABOUT_CODE, ids=named)
def test_paths_and_names_are_there(page: Path) -> None:
    assert list(unknown_words(page)) == []


def test_names_that_are_nowhere_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`graph.py`: `Node` and `Nood`, `compiler/nowhere.py`, `tests/test_graph.py`, `python benchmarks/none.py`\n"
        "```text\n graph.py: Graph, graph.py: Graf, ops/none.py\n```\n[a](none.md) [b](#there) [c](#not)\n# There\n"
    )
    assert list(unknown_words(page)) == [
        "Nood", "compiler/nowhere.py", "benchmarks/none.py", "graph.py: Graf", "ops/none.py"
    ]  # fmt: skip
    assert list(broken_links(page)) == ["none.md", "#not"]


@pytest.mark.parametrize("page", ABOUT_CODE, ids=named)
def test_a_file_defines_what_is_said_to_be_in_it(page: Path) -> None:
    """Names after a path and a colon, `path.py`: `name`, `name`, are of that file."""
    for path, names in re.findall(r"(?:`|\]\()([\w./]+\.py)(?:`|\)): ((?:`[\w.]+`(?:, )?)+)", prose(page)):
        file = next(place for folder in (PACKAGE, ROOT, page.parent) if (place := folder / path).exists())
        for name in re.findall(r"[\w.]+", names):
            assert not name.strip(".") or name.split(".")[0] in defined(file.resolve()), f"{path} defines no {name}"


# -- docs/architecture.md ----------------------------------------------------------------------------------------------


def test_every_folder_and_every_file_at_the_top_is_named() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    folders = {path.parent for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts} - {PACKAGE}
    missing = [name for folder in folders if f"{(name := folder.relative_to(PACKAGE).as_posix())}/" not in text]
    assert missing == []
    assert [path.name for path in PACKAGE.glob("[a-z]*.py") if f"`{path.name}`" not in text] == []


def test_every_absence_has_a_test() -> None:
    section = (DOCS / "architecture.md").read_text(encoding="utf-8").split("## What never happens")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| never")]
    assert len(rows) > 12
    assert [row for row in rows if "tests/" not in row or "`test_" not in row] == []


# -- docs/glossary.md --------------------------------------------------------------------------------------------------


class Term(NamedTuple):
    term: str
    standard: str
    name: str
    file: str


def terms() -> list[Term]:
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.*?) \| (.*?) \| (.*?) \|", prose(DOCS / "glossary.md"), re.MULTILINE)
    return [Term(term, standard, name.strip("`"), file.strip("`")) for term, standard, name, file in rows]


def test_each_term_of_the_glossary_is_where_it_says() -> None:
    assert len(terms()) > 60
    for term in terms():
        if term.file:
            assert (PACKAGE / term.file).exists(), f"{term.term}: no file {term.file}"
        if term.name:
            assert term.name in defined(PACKAGE / term.file), f"{term.term}: {term.file} defines no {term.name}"


def test_no_term_stands_twice_and_their_order_is_the_alphabets() -> None:
    names = [term.term for term in terms()]
    assert len(set(names)) == len(names)
    assert names == sorted(names, key=str.lower)


#: Class names of two or more classes, and why; a name that no longer means two things leaves the list.
TWICE = {
    "Executable": "one role, a class each lowering: what a plan is bound to",
    "Tracing": "the protocol that the engine sees (modes.py), and the interpreter (tracing.py)",
    "Constant": "a schedule; an op that only passes make",
    "Linear": "a schedule; a layer: both are the field's names, and are told apart by their packages",
    "Stack": "an op; cells on one another",
    "Track": "a value over a loop's buffer; a line of a figure",
    "Text": "a part of a formula; words in a scene",
    "Panel": "an axis of a figure; a margin of a picture",
    "Flow": "the figure's input; the measurement, which the trainer makes",
    "Updates": "the figure's input; the measurement, which the trainer makes",
}


def test_no_class_name_means_two_things() -> None:
    homes: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, set()).add(path.relative_to(PACKAGE).as_posix())
    twice = {name: places for name, places in homes.items() if len(places) > 1}
    assert {name: sorted(places) for name, places in twice.items() if name not in TWICE} == {}
    assert set(TWICE) <= set(twice), "means one thing now, and leaves the list"


# -- docs/decisions/ ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("[!R]*.md")), ids=lambda page: page.stem)
def test_a_decision_has_its_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for heading in ("## Context", "## Decision", "## Tried", "## Held by"):
        assert heading in text, f"no {heading}"
    assert f"({page.name})" in (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80, "a short page"


# -- docs/reading.md ---------------------------------------------------------------------------------------------------

READING = DOCS / "reading.md"
#: | [path](../tinyseq/path#L1-L2) | lines | `first` to `last` | why |; without an anchor the whole file.
ROW = re.compile(r"^\| \[[^]]+\]\((\.\./[^)#]+)(?:#L(\d+)-L(\d+))?\) \| (\d+) \| ([^|]*) \|", re.MULTILINE)


def spans_of(path: Path) -> dict[str, tuple[int, int]]:
    """The lines of each definition, decorators and comments before it included: ``Node``, ``Tensor.backward``."""
    found: dict[str, tuple[int, int]] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            start, end = node.lineno, node.end_lineno or node.lineno
            match node:
                case ast.FunctionDef() | ast.ClassDef():
                    start = min([start, *(decorator.lineno for decorator in node.decorator_list)])
                    found[prefix + node.name] = start, end
                    if isinstance(node, ast.ClassDef):
                        visit(node.body, f"{prefix}{node.name}.")
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    found[prefix + name] = start, end

    visit(tree(path).body, "")
    return found


def lines_of(path: Path, names: str) -> tuple[int, int]:
    """From the first line of the first thing named to the last line of the last one."""
    spans = spans_of(path)
    words = re.findall(r"`([\w.]+)`", names)
    if not words:
        return 1, len(path.read_text(encoding="utf-8").splitlines())
    return min(spans[word][0] for word in words), max(spans[word][1] for word in words)


def test_lines_of_the_guide_are_those_of_what_it_names() -> None:
    text = READING.read_text(encoding="utf-8")
    wrong, rewritten = [], text
    rows = list(ROW.finditer(text))
    assert len(rows) > 25
    for row in rows:
        link, first, last, count, names = row.groups()
        start, end = lines_of((DOCS / link).resolve(), names)
        right = row[0].replace(f"| {count} |", f"| {end - start + 1} |", 1)
        if first:
            right = right.replace(f"#L{first}-L{last}", f"#L{start}-L{end}")
            read, said = set(range(int(first), int(last) + 1)), set(range(start, end + 1))
            # A few lines more or fewer mislead nobody, as long as the beginning is there.
            good = start in read and len(read & said) >= 0.8 * len(read | said)
        else:
            good = abs(int(count) - end) <= 0.2 * end
        if not good:
            wrong.append(f"{link}: {names}: now {start}-{end}")
        rewritten = rewritten.replace(row[0], right)
    if REWRITE:
        READING.write_text(rewritten, encoding="utf-8")
        wrong = []
    assert wrong == [], "TINYSEQ_REWRITE_DOCS=1 puts the lines right"


def test_an_evening_is_as_long_as_it_says() -> None:
    """ "About 1,100 lines": the rows below it, to a tenth."""
    text = READING.read_text(encoding="utf-8")
    evenings = re.findall(
        r"^## (Evening[^\n]*): about ([\d,]+) lines\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    assert len(evenings) == 3
    for title, said, section in evenings:
        total = sum(int(row[4]) for row in ROW.finditer(section))
        assert abs(total - int(said.replace(",", ""))) <= 0.1 * total, f"{title}: {total} lines"


@pytest.mark.parametrize("page", [READING], ids=named)
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, in one namespace, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    found = blocks(page, "python")
    assert len(found) > 2
    for block in found:
        exec(compile(block, named(page), "exec"), namespace)


# -- programs ----------------------------------------------------------------------------------------------------------

PROGRAMS = [*sorted(DOCS.glob("first_*.py")), *sorted((ROOT / "examples").glob("*.py"))]


@pytest.mark.parametrize("path", PROGRAMS, ids=named)
def test_a_program_runs(path: Path, tmp_path: Path) -> None:
    """They check themselves."""
    assert "assert " in path.read_text(encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(path)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_pass_is_told_of_in_the_page_of_the_compiler() -> None:
    page = (ROOT / "docs" / "compiler.md").read_text(encoding="utf-8")
    passes = {path.stem for path in (PACKAGE / "compiler" / "passes").glob("[a-z]*.py")}
    assert len(passes) > 10
    assert {name for name in passes if f"(../tinyseq/compiler/passes/{name}.py)" not in page} == set()
