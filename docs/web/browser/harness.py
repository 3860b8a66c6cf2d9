"""The part of the page's playground that is Python: it runs a cell's text and returns what a notebook would show.

The page feeds this file to Pyodide; tests run it natively. `run_cell` takes and returns text alone, so that nothing but
strings crosses from Python to JavaScript.
"""

from __future__ import annotations

import ast
import io
import json
import linecache
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

#: Where the cells' names live, as in a notebook.
namespace: dict[str, Any] = {"__name__": "__main__"}
_shown: list[dict[str, str]] = []
_count = 0


def mathml(latex: str, display: str) -> str:
    """Return a formula as MathML, which browsers show by themselves."""
    from latex2mathml.converter import convert

    # The converter knows the starred form of what has columns.
    return str(convert(latex.replace("{aligned}", "{align*}"), display=display))


def _figure(value: Any) -> str | None:
    """A figure of matplotlib as SVG; nothing for anything else."""
    if not hasattr(value, "savefig"):
        return None
    buffer = io.BytesIO()
    value.savefig(buffer, format="svg", bbox_inches="tight")
    return buffer.getvalue().decode()


#: The forms of a value, the best first: how it is asked for it, and what the page gets.
FORMS: list[tuple[str, Callable[[Any], str | None]]] = [
    ("html", lambda value: _asked(value, "_repr_html_")),
    ("svg", lambda value: _asked(value, "_repr_svg_")),
    ("svg", _figure),
    ("html", lambda value: (tex := _asked(value, "_repr_latex_")) and mathml(tex.strip().strip("$"), "block")),
]


def _asked(value: Any, name: str) -> str | None:
    method = getattr(type(value), name, None)
    return None if method is None else method(value)


def display(*values: Any) -> None:
    """A value shown below the cell, in the best form that it has."""
    for value in values:
        for kind, form in FORMS:
            text = form(value)
            if text:
                _shown.append({"kind": kind, "text": text})
                break
        else:
            _shown.append({"kind": "text", "text": repr(value) + "\n"})


class _Stream(io.TextIOBase):
    """A stream whose text takes its place among what is displayed."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def write(self, text: str) -> int:
        if _shown and _shown[-1]["kind"] == self.kind:
            _shown[-1]["text"] += text
        else:
            _shown.append({"kind": self.kind, "text": text})
        return len(text)


def _trimmed(error: BaseException) -> str:
    """What went wrong, below the lines of the cells that led there."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<cell ")]
    places = "".join(f"  {f.filename[1:-1]}, line {f.lineno}: {f.line}\n" for f in own)
    return places + "".join(traceback.format_exception_only(error))


def run_cell(source: str) -> str:
    """Run a cell and return its outputs, a JSON list of `{"kind": ..., "text": ...}`.

    Kinds are "text", "html", "svg", "stderr", "error", and "check" for an assertion that failed.
    """
    global _count
    _count += 1
    name = f"<cell {_count}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    _shown.clear()
    namespace["display"] = display
    with redirect_stdout(_Stream("text")), redirect_stderr(_Stream("stderr")):
        try:
            tree = ast.parse(source, name)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, name, "exec"), namespace)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
                if value is not None and not source.rstrip().endswith(";"):
                    display(value)
        except BaseException as error:
            told = isinstance(error, AssertionError) and str(error)
            _shown.append({"kind": "check" if told else "error", "text": told or _trimmed(error)})
    return json.dumps(_shown)
