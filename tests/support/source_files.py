"""The files of the package, and what each of them imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import tinyseq as ts

ROOT = Path(ts.__file__).parent


@cache
def imports(path: Path) -> tuple[tuple[str, int], ...]:
    """The tinyseq modules that a file of the package imports, wherever in the file it does; parsed once a session."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = list(path.relative_to(ROOT.parent).with_suffix("").parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module != "tinyseq":
                yield module, node.lineno
            for alias in node.names:  # `from tinyseq import nn` takes in a part, `from tinyseq import exp` the face
                yield f"{module}.{alias.name}", node.lineno


def files() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)


def known(module: str) -> str | None:
    """The module a dotted name leads into, or None where it is another package's."""
    names = module.split(".")
    if names[0] != "tinyseq":
        return None
    while len(names) > 1:
        place = ROOT.joinpath(*names[1:])
        if place.is_dir() or place.with_suffix(".py").is_file():
            break
        names.pop()
    return ".".join(names)
