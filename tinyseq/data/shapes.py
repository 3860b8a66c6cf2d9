"""Pictures of coloured shapes with their captions: one vector in, a sentence out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tinyseq.errors import DataError

Array = np.ndarray[Any, Any]
#: Red, green and blue parts of each colour word.
COLOURS: Final = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.8, 0.2),
    "blue": (0.1, 0.2, 0.9),
    "yellow": (0.9, 0.9, 0.1),
    "white": (0.9, 0.9, 0.9),
    "purple": (0.6, 0.1, 0.8),
}
SHAPES: Final = ("square", "circle", "triangle", "cross")
#: Half the width of a shape, in parts of half the picture.
SIZES: Final = {"small": 0.22, "large": 0.4}


class Captioned(NamedTuple):
    """Pictures float32 (count, size, size, 3) with values in [0, 1], rows from the top, and a sentence for each."""

    pictures: Array
    captions: list[str]


#: Where the first shape of two stands, seen from the second.
RELATIONS: Final = ("above", "below", "left of", "right of")


def coloured_shapes(
    count: int,
    seed: int | np.random.Generator,
    *,
    size: int = 16,
    noise: float = 0.03,
    relations: Sequence[str] = RELATIONS,
) -> Captioned:
    """Return pictures of one or two shapes on black, and what they show.

    "a large red circle", or "a small blue square above a large green cross" ("above", "below", "left of", "right of"):
    the second shape stands in the opposite half of the picture. Size, colour, shape and place within the half are drawn
    uniformly, normal ``noise`` is added to every value, and the result is kept within [0, 1]. Half of the pictures have
    two shapes, and these never have both colour and shape in common. With all ``relations`` a picture of two has two
    true captions, of which it gets one; with ("above", "left of") it has one.

    Shapes: pictures float32 (count, size, size, 3); one caption a picture, lower-case words with a space between.

    Source: the idea is that of Kuhnle and Copestake 2017, "ShapeWorld"; drawing and grammar are this function's.
    """
    if size < 8:
        raise DataError("coloured_shapes: size", required="at least 8", got=str(size))
    if not relations or set(relations) - set(RELATIONS):
        raise DataError("coloured_shapes: relations", required=f"some of {RELATIONS}", got=str(tuple(relations)))
    rng = np.random.default_rng(seed)
    pictures = np.zeros((count, size, size, 3))
    captions = []
    for picture in pictures:
        first = _draw_words(rng)
        if rng.random() < 0.5:
            _paint(picture, first, rng.uniform(-0.45, 0.45, 2))
            captions.append("a " + " ".join(first))
            continue
        second = _draw_words(rng)
        while second[1:] == first[1:]:
            second = _draw_words(rng)
        across, along = 0.5 + rng.uniform(-0.06, 0.06), rng.uniform(-0.45, 0.45, 2)
        relation = relations[int(rng.integers(len(relations)))]
        sign = -1.0 if relation in ("above", "left of") else 1.0
        vertical = relation in ("above", "below")
        for words, side, shift in ((first, sign, along[0]), (second, -sign, along[1])):
            _paint(picture, words, np.array([side * across, shift] if vertical else [shift, side * across]))
        captions.append(f"a {' '.join(first)} {relation} a {' '.join(second)}")
    pictures += noise * rng.standard_normal(pictures.shape)
    return Captioned(np.clip(pictures, 0.0, 1.0).astype(np.float32), captions)


def _draw_words(rng: np.random.Generator) -> tuple[str, str, str]:
    """Return size, colour and shape."""
    size, colour, shape = rng.integers([len(SIZES), len(COLOURS), len(SHAPES)])
    return tuple(SIZES)[size], tuple(COLOURS)[colour], SHAPES[shape]


def _paint(picture: Array, words: tuple[str, str, str], centre: Array) -> None:
    """Put a shape into a picture; the centre is (row, column) in [-1, 1], 0 the middle."""
    size, colour, shape = words
    radius = SIZES[size]
    axis = (np.arange(len(picture)) + 0.5) / len(picture) * 2.0 - 1.0
    row, column = np.abs(axis[:, None] - centre[0]), np.abs(axis[None, :] - centre[1])
    if shape == "square":
        inside = np.maximum(row, column) <= radius
    elif shape == "circle":
        inside = row**2 + column**2 <= radius**2
    elif shape == "triangle":  # the tip on top
        inside = (row <= radius) & (column <= (axis[:, None] - centre[0] + radius) / 2.0)
    else:
        inside = (np.minimum(row, column) <= radius / 3.0) & (np.maximum(row, column) <= radius)
    picture[inside] = COLOURS[colour]
