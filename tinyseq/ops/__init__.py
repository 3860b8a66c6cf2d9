"""The ops: one contiguous record each, by family. ``OPS`` maps names to records."""

from tinyseq.ops import draws, elementwise, linalg, predicates, reduce, shape, tuples
from tinyseq.ops.base import OPS, Op, Recorder, Value, apply

__all__ = [
    "OPS",
    "Op",
    "Recorder",
    "Value",
    "apply",
    "draws",
    "elementwise",
    "linalg",
    "predicates",
    "reduce",
    "shape",
    "tuples",
]
