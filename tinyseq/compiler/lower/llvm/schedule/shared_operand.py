"""Products with one right operand are done together: it is read and laid out once, and its rows summed meanwhile.

The weights' gradients of a step, x^T g and h^T g, and the bias's, the sum of g, are such a bundle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.grouping import LOOK_BACK, independent
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.kernels.matmul import by_columns, tile_of
from tinyseq.compiler.lower.llvm.runtime.host import Host
from tinyseq.compiler.lower.stages import Bundle, Group, Product, ReductionStage, Stage


def bundle(stages: Sequence[Stage], host: Host) -> list[Stage]:
    """Join what shares a right operand, where the threads share its columns."""
    done: list[Stage] = []
    for stage in stages:
        _settle(stage, done, host)
    return done


def _settle(stage: Stage, done: list[Stage], host: Host) -> None:
    for index in range(len(done) - 1, max(len(done) - LOOK_BACK, 0) - 1, -1):
        before = done[index]
        joined = _joined(before, stage, host)
        if joined is None:
            continue
        between = done[index + 1 :]
        if all(independent(x, stage, _in_memory) for x in between):
            done[index] = joined
            return
        if all(independent(before, x, _in_memory) for x in between):
            done[index:] = [*between, joined]
            return
    done.append(stage)


def _joined(before: Stage, stage: Stage, host: Host) -> Bundle | None:
    first, second = _as_bundle(before, host), _as_bundle(stage, host)
    if first is None or second is None or not independent(before, stage, _in_memory):
        return None
    groups, sums = [*first.groups, *second.groups], [x.sum for x in (first, second) if x.sum]
    if not groups or len(sums) > 1:
        return None
    product, tile = groups[0].product, tile_of(host, groups[0])
    assert product is not None
    same = all(x.product and x.product.right == product.right and tile_of(host, x) == tile for x in groups)
    return Bundle(groups, *sums) if same and all(_sums(x, product) for x in sums) else None


def _as_bundle(stage: Stage, host: Host) -> Bundle | None:
    """What a stage is as a bundle of its own; None where it is nothing that could be done with others."""
    if isinstance(stage, Bundle):
        return stage
    if isinstance(stage, ReductionStage):
        return Bundle([], stage)
    if isinstance(stage, Group) and stage.product and by_columns(tile_of(host, stage), stage.product.left.shape[0]):
        return Bundle([stage])
    return None


def _in_memory(stage: Stage, accesses: list[Access]) -> list[Access]:
    """Leave out values that never reach memory: they are in nobody's way."""
    groups = [x for x in (stage.groups if isinstance(stage, Bundle) else [stage]) if isinstance(x, Group)]
    passed = {made.output.buffer for x in groups for made in x.made if not made.stored}
    return [x for x in accesses if x.buffer not in passed]


def _sums(stage: ReductionStage, product: Product) -> bool:
    """Whether a reduction sums the rows of a product's right operand."""
    x, right = stage.operand, product.right
    *lead, last = [(n, stride) for n, stride in zip(x.shape, x.strides, strict=True) if n > 1] or [(1, 0)]
    places = [(access.slot, access.offset, access.step, access.flip, access.phase) for access in (x, right)]
    return (
        stage.name == "sum"
        and places[0] == places[1]
        and x.kind == right.kind == stage.output.kind
        and all(gone or n == 1 for gone, n in zip(stage.reduced[:-1], x.shape[:-1], strict=True))
        and not stage.reduced[-1]
        and last == (right.shape[1], right.strides[1])
        and last[1] == SIZES[x.kind]
        and bool(lead)
        and math.prod(n for n, _ in lead) == right.shape[0]
        and lead[-1][1] == right.strides[0]
        and all(outer == n * inner for (_, outer), (n, inner) in pairwise(lead))
    )
