"""What a compiler pass did to a graph: which nodes are new, which take other inputs, and what is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator

from tinyseq.drawing.shared.labels import census
from tinyseq.drawing.shared.text import plural
from tinyseq.drawing.shared.view import Change
from tinyseq.graph import INPUT, LITERAL, Graph, Node


def compare(before: Graph, after: Graph) -> tuple[dict[Node, Change], str]:
    """Return the change of each node of ``after`` that has changed, and all of it in a sentence.

    A pass makes nodes anew wherever something below them has changed, so nodes are known by what they are: op,
    attributes, shape, dtype, scope and source line, and those of their inputs.
    """
    old = list(_computing(before))
    same = set(old)
    kinds = Counter(map(_kind, old))
    whole = Counter(map(_whole, old))
    changes: dict[Node, Change] = {}
    now = list(_computing(after))
    for node in now:
        if node in same:
            whole[_whole(node)] -= 1
            kinds[_kind(node)] -= 1
    fresh = [node for node in now if node not in same]
    rest = []
    for node in fresh:
        key = _whole(node)
        if whole[key] > 0 and kinds[_kind(node)] > 0:
            whole[key] -= 1
            kinds[_kind(node)] -= 1
        else:
            rest.append(node)
    for node in rest:
        key = _kind(node)
        changes[node] = "rewired" if kinds[key] > 0 else "new"
        kinds[key] -= 1
    gone = [kind[0] for kind, count in kinds.items() for _ in range(max(count, 0))]
    new = [node.op.name for node, change in changes.items() if change == "new"]
    rewired = sum(change == "rewired" for change in changes.values())
    parts = [
        f"{len(new)} new ({census(new)})" if new else "",
        f"{plural(rewired, 'op')} with other inputs" if rewired else "",
        f"{len(gone)} gone ({census(gone)})" if gone else "",
    ]
    return changes, "; ".join(part for part in parts if part) or "nothing changed"


def _computing(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        if "body" in node.attrs:
            yield from _computing(node.attrs["body"])
        elif node.op not in (INPUT, LITERAL) and node.op.name != "pick":
            yield node


def _kind(node: Node) -> tuple[str, Hashable]:
    attrs = tuple(f"{key}={value!r}" for key, value in sorted(node.attrs.items()) if not isinstance(value, Graph))
    return node.op.name, (attrs, node.shape, node.dtype, node.place.scope, node.source)


def _whole(node: Node) -> Hashable:
    return _kind(node), tuple(_kind(parent) if parent.inputs else (parent.name, parent.shape) for parent in node.inputs)
