"""Figures of matplotlib: each takes plain values and returns a ``Figure``; ``save`` writes it.

Legible in print (nothing under 8 points on a page 7 inches wide), on grey paper and to the colour-blind. Nothing here
loads matplotlib before a figure is drawn.
"""

from tinyseq.figures.attention import AttentionMap, attention_maps
from tinyseq.figures.confusion import confusion_matrix
from tinyseq.figures.curves import learning_curves
from tinyseq.figures.equations import formulas
from tinyseq.figures.flow import gradient_flow
from tinyseq.figures.scatter import agreement
from tinyseq.figures.sequences import Line, Panel, forecasts
from tinyseq.figures.steps import Track, activations
from tinyseq.figures.style import save
from tinyseq.figures.sweep import SweepPoint, sweep_trials

__all__ = [
    "AttentionMap",
    "Line",
    "Panel",
    "SweepPoint",
    "Track",
    "activations",
    "agreement",
    "attention_maps",
    "confusion_matrix",
    "forecasts",
    "formulas",
    "gradient_flow",
    "learning_curves",
    "save",
    "sweep_trials",
]
