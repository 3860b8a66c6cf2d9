"""What should never be, as docs/architecture.md tells it: who does not know whom, which package has one door."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.source_files import ROOT, files, imports, known

#: The rule in words: (whose files, what none of them imports), each as paths or modules that begin so.
ABSENCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a plan knows no machine": (
        tuple(
            f"compiler/{name}"
            for name in ("plan", "planning", "storage", "layout", "lifetimes", "scheduling", "checking")
        ),
        ("backends", "compiler.lower", "threads"),
    ),
    "passes know no storage": (
        tuple(
            f"compiler/{name}" for name in ("passes/", "differentiate", "loops", "batching", "rewriting", "pipeline")
        ),
        tuple(
            f"compiler.{name}"
            for name in ("plan", "planning", "storage", "layout", "lifetimes", "scheduling", "checking", "lower")
        ),
    ),
    "a lowering reads plans only": (
        ("compiler/lower/",),
        tuple(
            f"compiler.{name}"
            for name in ("passes", "pipeline", "planning", "differentiate", "trace", "function", "environment")
        ),
    ),
    "cells know no compiler": (("nn/cells/", "optim/"), ("compiler", "backends")),
    "training knows backends by name only": (
        ("train/", "data/"),
        ("compiler.lower", "compiler.plan", "backends.numpy", "backends.llvm", "backends.cupy", "backends.cuda"),
    ),
    "pictures stop at the plan": (("drawing/", "figures/"), ("compiler.lower", "backends.", "train")),
}


@pytest.mark.parametrize("rule", ABSENCES)
def test_who_does_not_know_whom(rule: str) -> None:
    whose, never = ABSENCES[rule]
    mine = [path for path in files() if path.relative_to(ROOT).as_posix().startswith(whose)]
    assert mine
    for begin in whose:
        assert any(path.relative_to(ROOT).as_posix().startswith(begin) for path in mine), f"no file {begin}*"
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in mine
        for module, line in imports(path)
        if (known(module) or "").startswith(tuple(f"tinyseq.{name}" for name in never))
    ]
    assert wrong == []


#: A package that not everybody has, or that loads slowly: the only files that import it.
DOORS: dict[str, set[str]] = {
    # The second loads the library whose functions lower/cupy/cublas.py then calls.
    "cupy": {"backends/cupy.py", "compiler/lower/cupy/executable.py"},
    "cupyx": {"backends/cupy.py"},
    "llvmlite": {"compiler/lower/llvm/runtime/host.py"},
    "pygraphviz": {"drawing/formats/graphviz.py"},
    "ruamel": {"train/config/yaml.py"},
    "torch": {"nn/convert/runners.py"},  # runs what was converted, where it is installed
    "jax": {"nn/convert/runners.py"},
    "scipy": {"nn/init.py"},
}


@functools.cache
def packages_of(path: Path) -> frozenset[str]:
    """The packages that a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return frozenset(found)


@pytest.mark.parametrize("package", DOORS)
def test_a_package_has_one_door(package: str) -> None:
    importing = {path.relative_to(ROOT).as_posix() for path in files() if package in packages_of(path)}
    assert importing == DOORS[package]


#: Functions among those that walk graphs which call themselves all the same, and how deep that goes.
RECURSIVE = {
    "compiler/loops.py:map_bodies": "scans within scans",
    "compiler/loops.py:map_loops": "scans within scans",
    "compiler/report.py:_count": "scans within scans",
    "compiler/report.py:_kernels": "scans within scans",
    "compiler/passes/simplify.py:_frozen": "an attribute's tuples",
    "compiler/passes/simplify.py:simplest": "as often as a rule applies to one node",
    "compiler/passes/merge.py:_fate": "three ops",
    "tensors.py:record": "once more, with every operand a tensor",
    "ops/linalg.py:kernel": "matrices for vectors: once",
}
WALKERS = ("graph.py", "autodiff.py", "tensors.py", "tracing.py", "unrolling.py", "ops/", "compiler/")
#: What walks other things than graphs: Python values, and the few operands of a stage.
OTHERS = ("compiler/arguments.py", "compiler/environment.py", "compiler/lower/")


def recursive(path: Path) -> Iterator[str]:
    """Yield the functions of a file that call themselves by name, and the methods that do so by ``self``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    methods = {node for kind in ast.walk(tree) if isinstance(kind, ast.ClassDef) for node in kind.body}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                match node:
                    case ast.Call(func=ast.Name(id=name)) if name == function.name and function not in methods:
                        yield name
                    case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)) if name == function.name:
                        yield name


def test_no_walk_over_a_graph_recurses() -> None:
    """A chain of 100,000 nodes is an ordinary graph: test_graph.py makes one. Here: nobody calls himself."""
    found = set()
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(WALKERS) and not name.startswith(OTHERS):
            found |= {f"{name}:{function}" for function in recursive(path)}
    assert found == set(RECURSIVE), "new ones are to be loops; those that are gone leave the list"


def test_the_reader_of_recursion_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "walks.py"
    path.write_text(
        "def f(n):\n    return f(n.inputs[0])\n"
        "class A:\n    def g(self):\n        self.g()\n    def f(self):\n        f(1)\n"
    )
    assert list(recursive(path)) == ["f", "g"]


#: Words that say of a value only that it was come by; a name says what it is. docs/glossary.md has the terms.
VAGUE = {"found", "asking", "standing", "judging", "moving"}


@pytest.mark.parametrize("part", ["backends", "compiler", "drawing", "ops"])
def test_a_value_is_called_by_what_it_is(part: str) -> None:
    vague = []
    for path in sorted((ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = {getattr(node, attribute, None) for attribute in ("id", "arg", "attr", "name")}
            if words & VAGUE:
                vague.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert vague == []
