"""What is the process's, and not a thread's: changed in known places only, each of which bears several threads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import tinyseq as ts

ROOT = Path(ts.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)

#: Names whose use changes the process, by the last parts of a dotted name.
CHANGING = {
    "addHandler", "catch_warnings", "chdir", "filterwarnings", "pyplot", "putenv", "rc", "rcParams", "rc_context",
    "resetwarnings", "setLevel", "setlocale", "setrecursionlimit", "setswitchinterval", "seterr", "showwarning",
    "signal.signal", "simplefilter", "umask", "random.seed", "excepthook",
}  # fmt: skip

#: Where that is meant, and why several threads do no harm.
KNOWN = {
    ("cli/options.py", "addHandler"): "a command is a process of its own",
    ("cli/options.py", "setLevel"): "a command is a process of its own",
    ("data/delimited.py", "global _limit"): "under a lock",
    ("data/delimited.py", "global _reading"): "under a lock",
    ("drawing/shared/plotting.py", "catch_warnings"): "under a lock",
    ("drawing/shared/plotting.py", "filterwarnings"): "under a lock",
    ("drawing/shared/plotting.py", "rc_context"): "under a lock",
    ("ops/base.py", "filterwarnings"): "once, when the module is imported",
    ("starting.py", "signal.signal"): "in the main thread alone, of the command alone",
    ("train/loop/signals.py", "signal.signal"): "in the main thread alone, where Python takes signals",
}


def changes(source: str) -> Iterator[str]:
    """Yield what in a file changes the process: the names above, the environment, and variables of its module."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute():
                parts = ast.unparse(node).split(".")
                yield from (name for name in (parts[-1], ".".join(parts[-2:])) if name in CHANGING)
            case ast.ImportFrom(names=names):
                yield from (alias.name for alias in names if alias.name in CHANGING)
            case ast.Global(names=names):
                yield from (f"global {name}" for name in names)
            case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()) if ast.unparse(value).endswith("environ"):
                yield "environ"


def test_nothing_of_the_process_is_changed_elsewhere() -> None:
    names = {path: path.relative_to(ROOT).as_posix() for path in FILES}
    found = {(names[path], what) for path in FILES for what in changes(path.read_text(encoding="utf-8"))}
    assert found == set(KNOWN)


def test_the_reader_sees_them_all() -> None:
    source = (
        "import os, signal, numpy as np, warnings\nfrom matplotlib import rc_context, pyplot\n"
        "os.umask(0)\nos.chdir('/')\nos.environ['A'] = 'b'\ndel os.environ['A']\nsignal.signal(2, f)\n"
        "np.random.seed(0)\nnp.seterr(all='raise')\nwith warnings.catch_warnings(): pass\n"
        "def f():\n    global x\n    x = 1\n"
        "np.random.default_rng(0)\nos.environ.get('A')\nsignal.getsignal(2)\n"
    )
    called = "rc_context pyplot umask chdir environ environ signal.signal random.seed seterr catch_warnings"
    assert sorted(changes(source)) == sorted([*called.split(" "), "global x"])
