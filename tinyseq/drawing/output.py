"""``draw``: from anything that has a graph to a file or a picture in a notebook."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from tinyseq import files
from tinyseq.compiler.function import CompiledFunction
from tinyseq.compiler.plan import Plan
from tinyseq.drawing.formats import graphviz
from tinyseq.drawing.formats.json import Json, Picture, document, to_json
from tinyseq.drawing.layout.edges import layout
from tinyseq.drawing.layout.plan_picture import draw_plan
from tinyseq.drawing.page import page_of
from tinyseq.drawing.shared.scene import Scene
from tinyseq.drawing.shared.view import View
from tinyseq.drawing.source.graph_of import subject_of
from tinyseq.drawing.view.build import BUDGET, build
from tinyseq.errors import DataError, TinyseqError, did_you_mean
from tinyseq.tensors import Tensor

FORMATS = ("svg", "png", "pdf", "html", "json", "dot")
ENGINES = ("grid", "graphviz")


class DrawingError(TinyseqError, OSError):
    """A picture that cannot be written where it was asked for."""


class Player:
    """A picture's page in a frame of its own, so that its script sees nothing of the notebook around it."""

    def __init__(self, page: str, height: int) -> None:
        self.page, self.height = page, height

    def _repr_html_(self) -> str:
        title = "The graph, to fold, to search, and to play backwards"
        return (
            f'<iframe title="{title}" sandbox="allow-scripts" width="100%" height="{self.height}" '
            f'srcdoc="{escape(self.page)}"></iframe>'
        )


class Drawing:
    """A picture: its view model, and its form in any format. Notebooks show it as it is; ``print`` lists it."""

    def __init__(
        self, view: View, scene: Scene | None = None, *, engine: str = "auto", page: Callable[[], Json] | None = None
    ) -> None:
        self.view, self.engine, self._scene, self._page = view, engine, scene, page

    @cached_property
    def scene(self) -> Scene:
        """The view, laid out: on the grid, unless it came with a layout of its own."""
        return self._scene or layout(self.view)

    @cached_property
    def document(self) -> Json:
        """The picture as data, with all that a page can unfold, play and switch to: docs/pictures-page.md."""
        return document([Picture("graph", self.scene)], self.view.title) if self._page is None else self._page()

    @property
    def svg(self) -> str:
        """The picture as SVG text."""
        return self.render("svg").decode()

    @property
    def dot(self) -> str:
        """The picture as Graphviz source."""
        return self.render("dot").decode()

    @property
    def html(self) -> str:
        """The picture as a self-contained page."""
        return self.render("html").decode()

    def player(self, height: int = 600) -> Player:
        """The page as a notebook shows it in place: to fold, to search, and to play the backward pass."""
        return Player(self.html, height)

    def render(self, format: str) -> bytes:
        """Return the picture's bytes in a format.

        Raises:
            DataError: an unknown format.
            BackendError: Graphviz was asked for, and there is none.
        """
        _known("format", format, FORMATS)
        if format == "dot":
            from tinyseq.drawing.formats.dot import to_dot

            return to_dot(self.view).encode()
        if format == "html":
            from tinyseq.drawing.formats.html import to_html

            return to_html(self.document).encode()
        if format == "json":
            return to_json(self.document).encode()
        if self.engine == "graphviz":
            from tinyseq.drawing.formats.dot import to_dot

            return graphviz.render(to_dot(self.view), format)
        if format == "svg":
            from tinyseq.drawing.formats.svg import to_svg

            return to_svg(self.scene).encode()
        from tinyseq.drawing.formats.raster import to_raster

        return to_raster(self.scene, format)

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> Path:
        """Write the picture to a file, whole or not at all; the format is the suffix's unless named.

        Raises:
            DataError: an unknown format or suffix.
            DrawingError: the folder does not exist, or the file cannot be written.
        """
        target = Path(path)
        format = format or target.suffix.removeprefix(".").lower()
        where = str(target)
        if not format:
            raise DataError("draw: the file name has no suffix", required=_suffixes(), got=where)
        _known("format", format, FORMATS)
        if target.is_dir():
            raise DrawingError("draw: this is a folder", required=f"a file name, {_suffixes()}", got=where)
        if not target.parent.is_dir():
            raise DrawingError("draw: no such folder", required="a folder that exists", got=str(target.parent),
                               fix=f"mkdir -p {target.parent}")  # fmt: skip
        data = self.render(format)
        try:
            files.write(target, data, durable=False)
        except OSError as error:
            raise DrawingError(
                "draw: cannot write the picture",
                got=f"{where}: {error.strerror or error}",
                fix="choose a folder that you may write to",
            ) from error
        return target

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return str(self.view)

    def __repr__(self) -> str:
        return f"<Drawing: {self.view.summary()}>"


def draw(
    what: object,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    level: str = "op",
    steps: tuple[int, int] | None = None,
    rolled: bool | None = None,
    collapse: Sequence[str] = (),
    gradients: bool = False,
    backward: bool = False,
    values: bool = False,
    after: str | None = None,
    format: str | None = None,
    budget: int | None = BUDGET,
    engine: str = "grid",
) -> Drawing:
    """Draw a graph: time steps from left to right, layers from bottom to top, weights once, in the margin.

    Args:
        what: a ``ts.Graph``; a tensor with a history, whose graph is drawn; a compiled function, whose graph after the
            last pass is drawn; its plan; or anything with a ``graph``.
        path: where to write; the suffix is the format: .svg, .png, .pdf, .html (self-contained, to explore: it holds
            every operation and, of a compiled function, every pass), .json (the same as data) or .dot. Without a path
            the picture is only returned; notebooks show it.
        title: a heading.
        level: "op", every operation; "cell", one box for each scope and time step; "model", one for each module.
        steps: (first, end): only these time steps, the end not included.
        rolled: draw each loop once, its states led back through z⁻¹. By default so is what a compiler pass made, and
            everything else is unrolled.
        collapse: scopes to draw as one box (a step), ``["encoder"]``.
        gradients: colour what is drawn by the norms of the loss's gradients. Where there is none it says so.
        backward: draw the backward pass, whose states run from the last step to the first.
        values: write the values of small tensors on them, as far as they are at hand.
        after: a compiler pass, of a compiled function: its graph then, and what the pass has changed. "pack:1" is
            the first of several.
        format: the format, whatever the suffix.
        budget: the most nodes. A larger picture folds, to cell level, then to the first, second and last steps, and
            says so in the picture. None: everything.
        engine: "grid", our own layout, which needs nothing installed, or "graphviz", which needs a ``dot`` on PATH or
            pygraphviz.

    Returns:
        the drawing: ``.svg``, ``.html``, ``.dot``, ``.render(format)``, ``.save(path)``; ``.view``, what it shows, and
        ``.document``, what a page shows.

    Raises:
        DataError: nothing to draw, or an unknown level, pass, scope, format or engine, or a window without steps.
        DrawingError: the file cannot be written.
        BackendError: Graphviz was asked for, and there is none.

    tinyseq's own.

    >>> graph = ts.trace(lambda x: ts.tanh(2.0 * x), ts.ones(3))
    >>> len(ts.draw(graph).document["scenes"])
    1
    """
    _known("engine", engine, ENGINES)
    if format is not None:
        _known("format", format, FORMATS)
    if budget is not None and budget < 1:
        raise DataError("draw: budget", required="at least 1 node, or None", got=str(budget))
    if rolled and (gradients or backward or values):
        raise DataError(
            "draw: a rolled picture stands for every step at once",
            required="one of the two: values and gradients differ from step to step",
            fix="leave out rolled=True",
        )
    if isinstance(what, Plan):
        drawing = Drawing(*draw_plan(what, title or ""), engine=engine)
    else:
        subject = subject_of(what, gradients=gradients, backward=backward, values=values, after=after)
        view = build(
            subject,
            level=level,
            steps=steps,
            budget=budget,
            title=title,
            rolled=subject.rolled and steps is None if rolled is None else rolled,
            collapse=collapse,
        )
        unasked = not (gradients or backward or values)
        passes = what.passes if isinstance(what, CompiledFunction) and unasked else ()

        def page() -> Json:
            return page_of(view, subject, passes, after=after, steps=steps, collapse=collapse, playable=not backward)

        drawing = Drawing(view, engine=engine, page=page)
    if path is not None:
        drawing.save(path, format)
    return drawing


def show(what: Any) -> str | None:
    """Return the picture of a graph, a compiled function or a plan as a notebook shows it; None before a first call."""
    if isinstance(what, CompiledFunction) and what.last is None:
        return None
    return draw(what).svg


def show_tensor(tensor: Tensor) -> str:
    """Return a tensor as a notebook shows it: its numbers and, where it has a history, how they came about."""
    numbers = f"<pre>{escape(repr(tensor))}</pre>"
    has_history = tensor.value is not None and tensor.requires_grad and tensor.node.inputs
    return f"{numbers}{draw(tensor).svg}" if has_history else numbers


def _known(what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise DataError(f"draw: unknown {what}", got=repr(word), fix=did_you_mean(str(word), known))


def _suffixes() -> str:
    return ", ".join(f".{format}" for format in FORMATS)
