"""What native code is generated from: stages, each a nest of loops over elements, rows or tiles of a product."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias, assert_never

from tinyseq.compiler.lower.access import Access, Shape
from tinyseq.compiler.plan import Number

#: What a stage computes with: elements in memory, or a number that stands for each of them.
Argument: TypeAlias = Access | Number


@dataclass
class Work:
    """One element-wise application: ``output = name(operands)``; every operand is aligned to the output."""

    name: str
    kind: str
    operands: list[Argument]
    output: Access
    attrs: tuple[tuple[str, Any], ...] = ()
    #: Whether the result must reach memory: False where only this group reads it.
    stored: bool = True


@dataclass
class Product:
    """``output = left @ right`` with shapes (*batch, M, K), (*batch, K, N), (*batch, M, N); stride 0 broadcasts."""

    left: Access
    right: Access
    output: Access
    stored: bool = True

    @property
    def batch(self) -> Shape:
        return self.output.shape[:-2]


@dataclass
class Group:
    """Applications over one space: ``lead`` axes of rows, columns in lanes of ``width``; maybe after a product.

    All lanes of the same columns are computed together, so that what one application gives another stays in registers.
    """

    lead: Shape
    width: int
    works: list[Work] = field(default_factory=list)
    product: Product | None = None
    #: Products beside it, over the same rows and lanes.
    others: list[Product] = field(default_factory=list)

    @property
    def products(self) -> list[Product]:
        return [*([self.product] if self.product else []), *self.others]

    @property
    def made(self) -> list[Work | Product]:
        """Everything that has an output."""
        return [*self.works, *self.products]


@dataclass
class ReductionStage:
    """``output = sum or max of operand`` over the axes where the output, aligned with the operand, has stride 0.

    ``argmax`` and ``argmin`` are places along the one axis that is reduced.
    """

    name: str
    operand: Access
    output: Access
    reduced: tuple[bool, ...]


@dataclass
class Contraction:
    """``output = sum of the product of operands`` over the axes that are reduced; who lacks an axis has stride 0."""

    operands: list[Access]
    output: Access
    reduced: tuple[bool, ...]


@dataclass
class Cumulation:
    """``output = cumulative sum of operand`` along an axis."""

    operand: Access
    output: Access
    axis: int


@dataclass
class TriangleStage:
    """``output = operand`` up to the ``diagonal`` of the last two axes (``lower``), or from it on; 0 elsewhere."""

    operand: Access
    output: Access
    diagonal: int
    lower: bool


@dataclass
class Bundle:
    """Groups whose products have one right operand, and maybe the sum of its rows: it is gone through once for all."""

    groups: list[Group]
    sum: ReductionStage | None = None

    @property
    def stages(self) -> list[Group | ReductionStage]:
        return [*self.groups, *([self.sum] if self.sum else [])]


@dataclass
class Normalization:
    """softmax, log_softmax or logsumexp along the last axis."""

    name: str
    operand: Access
    output: Access


@dataclass
class Gathering:
    """``output[before, i, after] = operand[before, arrays[i], after]``, or with ``add`` the transpose, from zeros.

    ``arrays`` are aligned to the index axes; ``whole`` is the side that is indexed (the operand, or with ``add`` the
    output), with its axes in the order before, indexed, after.
    """

    whole: Access
    part: Access
    arrays: list[Access]
    before: int
    add: bool


@dataclass
class SparseProduct:
    """``output = left @ matrix``, whose entries stand column after column; ``turned``, by the transposed matrix.

    The operands have one axis of rows or more.
    """

    left: Access
    values: Access
    indices: Access
    starts: Access
    output: Access
    turned: bool


@dataclass
class Draw:
    """Uniform random numbers; ``call`` and ``step`` are accesses of one integer, or integers."""

    output: Access
    call: Argument
    step: Argument
    seed: int
    site: int


@dataclass
class Repeat:
    """A loop over time steps; ``rows`` is the batch that may be split over threads, 0 where steps mix rows."""

    length: int
    reverse: bool
    stages: list[Step]
    rows: int = 0


#: What a step of a loop consists of.
Step: TypeAlias = (
    Group
    | Product
    | ReductionStage
    | Contraction
    | Cumulation
    | TriangleStage
    | Bundle
    | Normalization
    | Gathering
    | SparseProduct
    | Draw
)
Stage: TypeAlias = Step | Repeat


def reads(stage: Stage) -> list[Access]:
    """Return what a stage reads, each access as wide as the stage's own space."""
    match stage:
        case Group():
            accesses = [x for work in stage.works for x in work.operands if isinstance(x, Access)]
            return accesses + [x for product in stage.products for x in (product.left, product.right)]
        case Gathering():
            return [*stage.arrays, stage.part if stage.add else stage.whole]
        case SparseProduct():
            return [stage.left, stage.values, stage.indices, stage.starts]
        case Draw():
            return [x for x in (stage.call, stage.step) if isinstance(x, Access)]
        case Repeat() | Bundle():
            return [x for inner in stage.stages for x in reads(inner)]
        case Product():
            return [stage.left, stage.right]
        case Contraction():
            return list(stage.operands)
        case ReductionStage() | Cumulation() | TriangleStage() | Normalization():
            return [stage.operand]
        case _:
            assert_never(stage)


def writes(stage: Stage) -> list[Access]:
    """Return what a stage writes."""
    match stage:
        case Group():
            return [work.output for work in stage.made]
        case Gathering():
            return [stage.whole if stage.add else stage.part]
        case Repeat() | Bundle():
            return [x for inner in stage.stages for x in writes(inner)]
        case Product() | SparseProduct() | ReductionStage() | Contraction() | Cumulation() | TriangleStage():
            return [stage.output]
        case Normalization() | Draw():
            return [stage.output]
        case _:
            assert_never(stage)
