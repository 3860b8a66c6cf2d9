"""Who may import whom: the order of the parts, read from the source; and what `import tinyseq` loads."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinyseq as ts
from support.source_files import ROOT, files, imports, known

REPOSITORY = Path(__file__).resolve().parent.parent

#: The parts, lowest first: each imports only from those before it (and from itself). On one line: neither imports the
#: other. This is section 3 of the design with the small helpers put where they stand.
ORDER: list[set[str]] = [
    {"errors", "files", "machine", "starting", "terminal"},
    {"given", "hints", "registry", "threads"},
    {"trees"},
    {"graph", "backends"},
    {"modes"},
    {"ops"},
    {"autodiff", "dependence", "hooks", "interop", "markers"},
    {"operators"},
    {"tensors"},
    {"scalars"},
    {"tracing"},
    {"random"},
    {"creation", "functional"},
    {"sparse"},
    {"custom", "functions", "words"},
    {"masks"},
    {"testing", "unrolling"},
    {"compiler"},
    {"drawing"},
    {"figures"},
    {"nn"},
    {"optim"},
    {"data"},
    {"train"},
    {"cli"},
]
#: The order within a part, in the same form: of its files and folders ("rooms"). Within a room, no circles is enough.
ROOMS: dict[str, list[set[str]]] = {
    "compiler": [
        {"arena", "arguments", "environment", "plan", "rewriting"},
        {"batching", "loops"},
        {"differentiate", "passes"},
        {"capture"},  # a step that is traced asks which weights a gradient leads to
        {"pipeline"},
        {"checking", "lifetimes", "scheduling"},
        {"layout"},
        {"storage"},
        {"planning_loops"},
        {"planning"},
        {"lower"},
        {"target"},
        {"function"},
        {"report"},
    ],
    "compiler/lower": [
        {"base", "giving", "kinds"},
        {"access", "numpy"},
        {"arrays", "stages"},
        {"describe", "grouping"},
        {"partition"},
        {"cupy", "llvm"},
    ],
    "compiler/lower/llvm": [
        {"runtime"},
        {"ir"},
        {"kernels"},
        {"schedule"},
        {"lowering", "segments", "thread_pool"},
        {"executable"},
    ],
    "drawing": [{"shared"}, {"source"}, {"view"}, {"layout"}, {"formats"}, {"page"}, {"output"}],
    "train": [
        {"config"},
        {"registry"},
        {"storage", "tasks"},
        {"loop"},
        {"running"},
        {"search_space"},
        {"sweeps"},
        {"analysis"},
        {"trained"},
    ],
}


def levels(order: list[set[str]]) -> dict[str, int]:
    return {name: level for level, names in enumerate(order) for name in names}


LEVEL = levels(ORDER)
#: The package's own face gathers from every part; `python -m tinyseq` is the command line.
FACES = {"__init__", "__main__"}
#: Parts that the face does not load, so that they may use it as a user does.
ABOVE_THE_FACE = {"drawing", "data", "train", "cli"}


def part_of(module: str) -> str:
    """``tinyseq.ops.shape`` -> ``ops``; the package itself -> ``__init__``."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_lower_parts(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if part in FACES:
        return
    assert part in LEVEL, f"{part} has no place in ORDER"
    wrong = []
    for module, line in imports(path):
        target = known(module)
        other = part if target is None else part_of(target)
        if (other == "__init__" and part not in ABOVE_THE_FACE) or (
            other not in (part, "__init__") and LEVEL[other] >= LEVEL[part]
        ):
            wrong.append(f"{name}:{line} imports {module}")
    assert wrong == []


def test_the_order_names_every_part() -> None:
    parts = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in files()}
    assert parts - FACES <= set(LEVEL)


@pytest.mark.parametrize("part", ROOMS)
def test_a_room_imports_only_from_lower_rooms(part: str) -> None:
    level, wrong, rooms = levels(ROOMS[part]), [], set()
    house, depth = part.split("/"), len(part.split("/"))
    for path in files():
        inside = path.relative_to(ROOT).parts
        if list(inside[:depth]) != house or inside[depth] == "__init__.py":
            continue
        room = inside[depth].removesuffix(".py")
        rooms.add(room)
        for module, line in imports(path):
            names = (known(module) or "").split(".")[1:]
            if names[:depth] != house or module == ".".join(["tinyseq", *house]):
                continue
            other = names[depth] if names[depth:] else "what its own face gathers"
            if other != room and level.get(other, len(level)) >= level.get(room, -1):
                wrong.append(f"{'/'.join(inside)}:{line} imports {module}")
    assert wrong == []
    assert rooms == set(level), "the order names every room, and no other"


def test_modules_do_not_import_in_circles() -> None:
    """Within a part too; a package's face counts as what it gathers."""
    edges: dict[str, set[str]] = {}
    for path in files():
        names = path.relative_to(ROOT.parent).with_suffix("").parts
        here = ".".join(names[:-1] if names[-1] == "__init__" else names)
        if here == "tinyseq":
            continue
        targets = {known(module) for module, _ in imports(path)}
        edges[here] = {
            t for t in targets if t is not None and t not in (here, "tinyseq") and not here.startswith(t + ".")
        }
    done: set[str] = set()
    for start in edges:
        path, stack = [], [(start, iter(sorted(edges.get(start, ()))))]
        path.append(start)
        while stack:
            node, rest = stack[-1]
            following = next((t for t in rest if t not in done), None)
            if following is None:
                done.add(node)
                stack.pop()
                path.pop()
                continue
            assert following not in path, " -> ".join([*path[path.index(following) :], following])
            path.append(following)
            stack.append((following, iter(sorted(edges.get(following, ())))))


def test_the_reader_of_imports_sees_them_all(tmp_path: Path) -> None:
    """Imports inside functions, under TYPE_CHECKING, relative and renamed: none is passed over."""
    folder = ROOT / "ops"
    source = (
        "from typing import TYPE_CHECKING\n"
        "import tinyseq.cli as c\n"
        "if TYPE_CHECKING:\n    from tinyseq.train import loop\n"
        "def f():\n    from tinyseq import nn\n    from ..optim import SGD\n    from . import base\n"
    )

    class Fake(type(folder)):  # type: ignore[misc]
        def read_text(self, *args: object, **kwargs: object) -> str:
            return source

    found = {module for module, _ in imports(Fake(folder / "fake.py"))}
    assert {"tinyseq.cli", "tinyseq.train.loop", "tinyseq.nn", "tinyseq.optim.SGD", "tinyseq.ops.base"} <= found


def run_python(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=ROOT.parent
    )
    return done.stdout


def test_import_tinyseq_loads_no_heavy_package() -> None:
    loaded = set(run_python("import sys, tinyseq; print(*sys.modules)").split())
    heavy = {
        "cupy",
        "graphviz",
        "pygraphviz",
        "matplotlib",
        "click",
        "rich",
        "pydantic",
        "ruamel",
        "torch",
        "safetensors",
    }
    parts = {"tinyseq.cli", "tinyseq.drawing", "tinyseq.train"}
    assert loaded & (heavy | parts) == set()
    assert "tinyseq.tensors" in loaded


def test_every_name_in_all_is_there_and_documented() -> None:
    for name in ts.__all__:
        if name in ts._LAZY and importlib.util.find_spec(ts._LAZY[name]).origin is None:
            continue  # that part is to come
        thing = getattr(ts, name)
        if callable(thing) and not isinstance(thing, type):
            assert thing.__doc__ or thing.formula, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ts.nonsense


def packages() -> list[str]:
    return ["tinyseq", *(info.name for info in pkgutil.walk_packages([str(ROOT)], "tinyseq.") if info.ispkg)]


@pytest.mark.parametrize("package", packages())
def test_no_public_function_bears_the_name_of_a_submodule(package: str) -> None:
    """One of the two would take the other's place in the package, by the order of imports."""
    face = importlib.import_module(package)
    submodules = {info.name for info in pkgutil.iter_modules(face.__path__)}
    lazy = set(getattr(face, "_LAZY", ())) | set(getattr(face, "_HOMES", ()))
    assert submodules & lazy == set()
    # Read from the source: once imported, one has taken the other's place, and which is not seen.
    tree = ast.parse(Path(str(face.__file__)).read_text(encoding="utf-8"))
    public = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            public |= {a.asname or a.name for a in node.names if known(f"{node.module}.{a.name}") == node.module}
    assert submodules & public == set()


def test_packages_are_all_seen() -> None:
    assert {"tinyseq", "tinyseq.nn.cells", "tinyseq.train.tasks", "tinyseq.compiler.lower.llvm"} <= set(packages())


@pytest.mark.parametrize("name", ["ops", "backends", "cli"])
def test_the_links_at_the_top_are_relative_links_into_the_package(name: str) -> None:
    link = REPOSITORY / name
    assert link.is_symlink()
    assert os.readlink(link) == f"tinyseq/{name}"
    assert link.resolve() == (REPOSITORY / "tinyseq" / name).resolve()


def test_the_links_are_passed_over_by_tools() -> None:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    # ruff follows no links; an exclusion by name would hide `tinyseq/ops` and the others from it too.
    assert "extend-exclude" not in project["ruff"]
    assert project["mypy"]["packages"] == ["tinyseq"]
    assert project["hatch"]["build"]["targets"]["wheel"]["packages"] == ["tinyseq"]
    assert not {"ops", "backends", "cli"} & set(project["hatch"]["build"]["targets"]["sdist"]["only-include"])
    assert project["pytest"]["ini_options"]["testpaths"] == ["tests"]
