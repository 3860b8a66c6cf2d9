"""How every figure looks: sizes for print, colours for any eye, and text that is shown as it is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec

from tinyseq import files
from tinyseq.drawing.shared.plotting import plotting
from tinyseq.drawing.shared.text import clean
from tinyseq.errors import DataError

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

P = ParamSpec("P")

#: Okabe and Ito's palette, told apart with any colour vision; dashes and markers say the same on grey paper.
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#666666",
)  # fmt: skip
COLOURS: Final = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK)
DASHES: Final[tuple[Any, ...]] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1, 1.5)))
MARKERS: Final = "osD^vPX"
#: From white in equal steps of CIELAB, so perceptually uniform, to a blue and to an orange that all eyes tell apart.
_BLUES: Final = ("#ffffff", "#e1e3ec", "#c3c8d9", "#a6adc6", "#8a93b3", "#6d7aa1", "#50628e", "#314c7d", "#00366b")
_ORANGES: Final = ("#ffffff", "#f2e3dc", "#e4c7ba", "#d5ac99", "#c49279", "#b3785b", "#a15f3d", "#8e4620", "#7a2d00")
#: Inches: the text of a page, which a slide shows larger. Nothing is printed smaller than 8 points.
WIDTH, TALLEST = 7.0, 9.5
_STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "figure.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.color": "black",
    "axes.labelcolor": "black",
    "axes.edgecolor": "black",
    "xtick.color": "black",
    "ytick.color": "black",
    "mathtext.fontset": "dejavusans",
    "svg.hashsalt": "tinyseq",
    "text.usetex": False,
}
FORMATS: Final = (".png", ".svg", ".pdf")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in the house's style, whatever the user's own is; his stays as it was."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with plotting(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def new_figure(width: float = WIDTH, height: float = 3.5) -> Figure:
    """Return an empty figure, in inches; no pyplot, which would keep global state, and look for a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def sequential() -> Colormap:
    """Return the map for what starts at 0: white to dark blue, more ink is more."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("blues", _BLUES)


def diverging() -> Colormap:
    """Return the map for what has a sign: dark blue below, white at 0, dark orange above."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(
        "blues and oranges", [*_BLUES[::-1], *_ORANGES[1:]], N=257
    )  # white is in the middle


def framed(plot: Any) -> None:
    """Put a thin frame around a map, whose palest values would else be lost on the paper."""
    plot.spines[:].set_visible(True)
    plot.spines[:].set_color("#b0b0b0")
    plot.spines[:].set_linewidth(0.6)


def check_format(path: Path) -> None:
    """Refuse a file name that names no format of a figure.

    Raises:
        DataError: the ending is neither ``.png``, ``.svg`` nor ``.pdf``.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError("the figure's format", required=".png, .svg or .pdf", got=str(path))


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, SVG or PDF, by the path's ending; the same figure gives the same bytes.

    Raises:
        DataError: another ending.
    """
    path = Path(path)
    check_format(path)
    files.write(path, rendered(figure, path.suffix[1:].lower()), durable=False)


def rendered(figure: Figure, format: str) -> bytes:
    """Return a figure as ``png``, ``svg`` or ``pdf``."""
    import io

    buffer = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format)
    with plotting({"svg.hashsalt": "tinyseq"}):
        figure.savefig(buffer, format=format, metadata=undated)
    return buffer.getvalue()


def literal(text: str, limit: int | None = None) -> str:
    """Return text as a label shows it: harmless, at most so long, and a dollar sign starts no formula."""
    return "\n".join(clean(line, limit) for line in text.split("\n")).replace("$", r"\$")


def token(text: str) -> str:
    """Return a token as a label: what would be invisible has a sign."""
    shown = {" ": "␣", "\n": "↵", "\t": "⇥", "": "∅", "<end>": "∎"}.get(text)
    return shown or clean(text, 24).replace("$", r"\$")
