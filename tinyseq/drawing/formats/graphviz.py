"""DOT to SVG, PNG and PDF: by the system's ``dot`` where there is one, else by the Graphviz inside pygraphviz."""

from __future__ import annotations

import importlib.util
import shutil

from tinyseq.errors import BackendError

INSTALL = (
    'pip install "tinyseq[dot]" (it carries Graphviz), or your system\'s package graphviz; engine="grid" needs neither'
)


def available() -> str:
    """Return what would render: ``dot``, ``pygraphviz``, or nothing."""
    if shutil.which("dot"):
        return "dot"
    return "pygraphviz" if importlib.util.find_spec("pygraphviz") else ""


def render(source: str, format: str) -> bytes:
    """Return a picture of DOT source.

    Raises:
        BackendError: no Graphviz is at hand, or it refuses the source.
    """
    tool = available()
    if not tool:
        raise BackendError("draw: no Graphviz is at hand", required="`dot` on PATH, or pygraphviz", fix=INSTALL)
    try:
        return _by_dot(source, format) if tool == "dot" else _by_pygraphviz(source, format)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise BackendError(f"draw: Graphviz ({tool}) failed", got=str(error)[:300], fix=INSTALL) from error


def _by_dot(source: str, format: str) -> bytes:
    import graphviz

    try:
        return bytes(graphviz.Source(source).pipe(format=format, quiet=True))
    except graphviz.CalledProcessError as error:
        raise RuntimeError(error.stderr) from error


def _by_pygraphviz(source: str, format: str) -> bytes:
    import pygraphviz

    graph = pygraphviz.AGraph(string=source)
    graph.layout(prog="dot")
    data = graph.draw(format=format)
    graph.close()
    return data if isinstance(data, bytes) else str(data).encode()
