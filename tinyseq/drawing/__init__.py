"""Pictures of graphs: what to show (``view``), where it stands (``layout``), how it is written (``formats``)."""

from tinyseq.drawing.output import Drawing, DrawingError, draw, show, show_tensor
from tinyseq.drawing.shared.view import View
from tinyseq.drawing.source.graph_of import Valued, valued
from tinyseq.drawing.view.build import build as build_view

__all__ = ["Drawing", "DrawingError", "Valued", "View", "build_view", "draw", "show", "show_tensor", "valued"]
