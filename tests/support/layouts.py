"""What is wrong in a picture: boxes on one another, wires through boxes."""

from __future__ import annotations

import itertools

from tinyseq.drawing.shared.scene import Box, Scene


def overlap(a: Box, b: Box) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def crosses(scene: Scene) -> list[str]:
    """Every box that a wire runs through which is not one of its ends."""
    found = []
    for wire in scene.wires:
        for (x0, y0), (x1, y1) in itertools.pairwise(wire.points):
            for box in scene.boxes:
                if box.item.id in (wire.edge.source, wire.edge.target):
                    continue
                inside_x = min(x0, x1) < box.right - 1 and max(x0, x1) > box.left + 1
                inside_y = min(y0, y1) < box.bottom - 1 and max(y0, y1) > box.top + 1
                if inside_x and inside_y:
                    found.append(f"{wire.edge} through {box.item.label}")
    return found
