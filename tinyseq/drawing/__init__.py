"""Pictures of graphs: what to show (``view``), where it stands (``grid``), how it is written (``svg``, ``dot``)."""

from tinyseq.drawing.asking import Valued, valued
from tinyseq.drawing.build import build as build_view
from tinyseq.drawing.output import Drawing, DrawingError, draw, show, show_tensor
from tinyseq.drawing.view import View

__all__ = ["Drawing", "DrawingError", "Valued", "View", "build_view", "draw", "show", "show_tensor", "valued"]
