"""Masks: which steps of each row are real, by their lengths, and a mask given the axes of what it masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyseq.creation import arange, tensor
from tinyseq.errors import ShapeError
from tinyseq.modes import is_tracing
from tinyseq.ops.elementwise import within
from tinyseq.ops.shape import reshape
from tinyseq.tensors import Tensor


class Lengths(NamedTuple):
    """Lengths that are checked, and their mask: made once a call, and handed to all that read the same rows.

    ``counts`` (batch,) are the integers as given; ``mask`` (batch, time) is True at the first ``counts[b]`` steps.
    """

    counts: np.ndarray[Any, Any] | Tensor
    mask: Tensor


#: Lengths as they may be given.
LengthsLike = Lengths | Tensor | Sequence[int]


def check_lengths(lengths: LengthsLike, time: int, batch: int | None = None) -> Lengths:
    """Return the lengths of rows of at most ``time`` steps with their mask; what is checked already, as it is.

    Raises:
        ShapeError: not one integer a row.
        DataError: a length below 0 or over ``time``.
    """
    if isinstance(lengths, Lengths):
        if lengths.mask.shape != (lengths.mask.shape[0] if batch is None else batch, time):
            raise ShapeError("lengths of other rows", required=str((batch, time)), got=str(lengths.mask.shape))
        return lengths
    counts: Any = lengths if isinstance(lengths, Tensor) else np.asarray(lengths)
    if len(counts.shape) != 1 or counts.dtype.kind not in "iu" or batch not in (None, *counts.shape):
        rows = "integers" if batch is None else f"{batch} integers"
        raise ShapeError("lengths", required=f"{rows}, one a row", got=f"{counts.dtype}{counts.shape}")
    checked: dict[str, Any] = {"what": "a length is out of range", "required": f"0 to {time} steps", "rows": True}
    if isinstance(counts, Tensor) and is_tracing():  # its values may be others when the graph runs
        counts = within(counts, 0, time, **checked)
        return Lengths(counts, arange(time) < reshape(counts, (-1, 1)))
    known = within(counts.numpy() if isinstance(counts, Tensor) else counts, 0, time, **checked)
    return Lengths(counts, tensor(np.arange(time) < known[:, np.newaxis]))


def length_mask(lengths: LengthsLike, time: int) -> Tensor:
    """Return (batch, time), True at the first ``lengths[b]`` steps of row b.

    Raises:
        ShapeError: not one integer a row.
        DataError: a length below 0 or over ``time``.

    As ``tf.sequence_mask``.

    >>> nn.length_mask([1, 3], 3).cast(ts.int64)
    tensor([[1, 0, 0],
            [1, 1, 1]])
    """
    return check_lengths(lengths, time).mask


def align(mask: Any, x: Any, fault: str = "") -> Tensor:
    """Return a mask of the leading axes of x, such as (batch, time), with the axes that it lacks.

    Args:
        mask: booleans.
        x: what it is to mask.
        fault: what is said of an x that does not fit; by default it is the mask that does not.

    Raises:
        ShapeError: its extents are not those of x.
    """
    if tuple(mask.shape) != x.shape[: len(mask.shape)]:
        if fault:
            raise ShapeError(fault, required=f"({', '.join(map(str, mask.shape))}, ...)", got=str(x.shape))
        raise ShapeError("a mask does not fit", required=f"leading axes of {x.shape}", got=str(tuple(mask.shape)))
    result: Tensor = reshape(mask, (*mask.shape, *(1,) * (len(x.shape) - len(mask.shape))))
    return result
