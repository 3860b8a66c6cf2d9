"""Stages are a closed union: whoever tells them apart knows all of them, and the type checker holds that.

A new stage that a lowering does not write would otherwise become an empty function and wrong numbers.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from tinyseq.compiler.lower import grouping, stages
from tinyseq.compiler.lower.cupy import kernels
from tinyseq.compiler.lower.llvm.kernels import codegen
from tinyseq.compiler.lower.llvm.schedule import cost

STEPS = {stage.__name__ for stage in get_args(stages.Step)}
EVERY = {stage.__name__ for stage in get_args(stages.Stage)}

#: Where stages are told apart, and which are.
MATCHES: list[tuple[ModuleType, str, set[str]]] = [
    (stages, "reads", EVERY),
    (stages, "writes", EVERY),
    (grouping, "_rows", STEPS),
    (cost, "time_of", EVERY),
    (codegen, "write_stage", STEPS),
    (kernels, "refusal", STEPS),
    (kernels, "write", STEPS),
]


def matches(module: ModuleType) -> dict[str, ast.Match]:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {f.name: node for f in functions for node in ast.walk(f) if isinstance(node, ast.Match)}


@pytest.mark.parametrize(("module", "name", "wanted"), MATCHES, ids=[f"{m.__name__}.{n}" for m, n, _ in MATCHES])
def test_every_stage_is_told_apart(module: ModuleType, name: str, wanted: set[str]) -> None:
    *cases, last = matches(module)[name].cases
    named = {
        ast.unparse(node.cls)
        for case in cases
        if case.guard is None  # what a guard lets pass must be caught by a case without one
        for node in ast.walk(case.pattern)
        if isinstance(node, ast.MatchClass)
    }
    assert named == wanted
    assert [ast.unparse(line) for line in last.body] == ["assert_never(stage)"]


def test_no_other_match_is_left_open() -> None:
    package = Path(str(stages.__file__)).parent
    known = {(Path(str(module.__file__)), name) for module, name, _ in MATCHES}
    for path in package.rglob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for f in ast.walk(module):
            if isinstance(f, ast.FunctionDef) and any(isinstance(node, ast.Match) for node in ast.walk(f)):
                assert (path, f.name) in known, f"{path.name}: {f.name}"


def test_the_union_is_of_all_that_the_module_has() -> None:
    """``Work`` is what a group is made of, no stage of its own."""
    classes = {name for name, x in vars(stages).items() if inspect.isclass(x) and x.__module__ == stages.__name__}
    assert classes == EVERY | {"Work"}
