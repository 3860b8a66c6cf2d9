"""What a picture is of: a graph, and what is known about its nodes beyond what they say themselves."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from tinyseq.drawing.shared.view import Change
from tinyseq.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Subject:
    """A graph to draw.

    ``gradients`` are norms, where these were asked for (a node without one has none); ``values`` the numbers of small
    tensors in words; ``changes`` what the last compiler pass did to a node; ``packed`` marks ops on joined lanes;
    ``labels`` are what values are called on their way, where that is not their node's name; ``sums`` are the gradients
    of weights, added up from step to step; ``seeds`` are the inputs of a compiled graph that take gradients from above.
    """

    graph: Graph
    gradients: Mapping[Node, float] | None = None
    values: Mapping[Node, str] = field(default_factory=dict)
    changes: Mapping[Node, Change] = field(default_factory=dict)
    packed: bool = False
    labels: Mapping[Node, str] = field(default_factory=dict)
    sums: Set[Node] = frozenset()
    seeds: Set[Node] = frozenset()
    rolled: bool = False
    input_values: Mapping[Node, Any] = field(default_factory=dict)  # of its inputs, where these are at hand
    notes: tuple[str, ...] = ()
    title: str = ""
