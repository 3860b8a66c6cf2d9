"""Where things stand on their lines: the order that crosses few edges, then positions close to their neighbours.

This is the middle of Sugiyama's method: barycentre sweeps for the order, and for the positions an exact least-squares
fit that keeps the order and the gaps (pooling adjacent violators).
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence

Key = Hashable


def longest_path(keys: Sequence[Key], edges: Sequence[tuple[Key, Key]], heavy: Container[Key] = ()) -> dict[Key, int]:
    """Return each key's rank: the number of edges on the longest path to it; edges that close a circle do not count.

    What nothing feeds stands right below the first thing it feeds. With ``heavy`` keys, so does everything that
    depends on none of them.
    """
    after: dict[Key, list[Key]] = {key: [] for key in keys}
    for source, target in dict.fromkeys(edges):
        if source != target:
            after[source].append(target)
    order, back = _topological(keys, after)
    rank = dict.fromkeys(keys, 0)
    some = any(key in heavy for key in keys)
    settled = {key for key in keys if key in heavy}  # what stays as low as it can
    for source in order:
        after[source] = [target for target in after[source] if (source, target) not in back]
        for target in after[source]:
            rank[target] = max(rank[target], rank[source] + 1)
            if source in settled or not some:
                settled.add(target)
    for key in reversed(order):
        if after[key] and key not in settled:
            rank[key] = min(rank[target] for target in after[key]) - 1
    return rank


def _topological(keys: Sequence[Key], after: Mapping[Key, Sequence[Key]]) -> tuple[list[Key], set[tuple[Key, Key]]]:
    """Depth first, without recursion: a topological order, and the edges that lead back."""
    done: list[Key] = []
    state: dict[Key, int] = {}
    back: set[tuple[Key, Key]] = set()
    for root in keys:
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(after[root]))]
        while stack:
            key, rest = stack[-1]
            for target in rest:
                if state.get(target) == 1:
                    back.add((key, target))
                elif target not in state:
                    state[target] = 1
                    stack.append((target, iter(after[target])))
                    break
            else:
                state[key] = 2
                done.append(key)
                stack.pop()
    return done[::-1], back


def arrange(
    lines: Sequence[Sequence[Key]],
    widths: Mapping[Key, float],
    edges: Sequence[tuple[Key, Key]],
    fixed: Mapping[Key, float] | None = None,
    gap: float = 16.0,
    sweeps: int = 8,
) -> dict[Key, float]:
    """Return the centre of each key on its line; ``fixed`` are the centres of things that stand already."""
    fixed = fixed or {}
    order = [list(line) for line in lines]
    near: dict[Key, list[Key]] = {key: [] for line in order for key in line}
    for source, target in edges:
        if source in near:
            near[source].append(target)
        if target in near:
            near[target].append(source)
    centre: dict[Key, float] = dict(fixed)
    middle = sum(fixed.values()) / len(fixed) if fixed else 0.0
    for line in order:
        _spread(line, widths, dict.fromkeys(line, middle), gap, centre)
    level = {key: number for number, line in enumerate(order) for key in line}
    for sweep in range(2 * sweeps):
        upward = sweep % 2 == 0
        for number in range(len(order)) if upward else reversed(range(len(order))):
            line = order[number]
            wish = {}
            for key in line:
                side = [
                    other
                    for other in near[key]
                    if other in fixed or (level[other] < number if upward else level[other] > number)
                ]
                points = sorted(centre[other] for other in (side or near[key]))
                half = len(points) // 2
                wish[key] = (points[half] + points[~half]) / 2 if points else centre[key]
            if sweep < sweeps:
                line.sort(key=lambda key, wish=wish: wish[key])  # type: ignore[misc]
            _spread(line, widths, wish, gap, centre)
    return {key: centre[key] for line in order for key in line}


def _spread(
    line: Sequence[Key], widths: Mapping[Key, float], wish: Mapping[Key, float], gap: float, centre: dict[Key, float]
) -> None:
    """Set centres as close to the wishes as the order and the gaps allow."""
    offset = 0.0
    pools: list[tuple[float, int]] = []  # (mean of wish - offset, how many)
    offsets = []
    for index, key in enumerate(line):
        if index:
            offset += (widths[line[index - 1]] + widths[key]) / 2 + gap
        offsets.append(offset)
        mean, count = wish[key] - offset, 1
        while pools and pools[-1][0] > mean:
            other, size = pools.pop()
            mean, count = (mean * count + other * size) / (count + size), count + size
        pools.append((mean, count))
    index = 0
    for mean, count in pools:
        for _ in range(count):
            centre[line[index]] = mean + offsets[index]
            index += 1
