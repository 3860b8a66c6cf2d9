"""The target: everything in which compiling for one lowering differs from compiling for another, in one value.

A backend names its target. ``compile`` runs the target's pipeline, plans with its layout, and binds the plan by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from tinyseq.compiler.arena import Arena
from tinyseq.compiler.layout import FeaturesFirst, Layout
from tinyseq.compiler.lower.base import Executable
from tinyseq.compiler.lower.numpy import aligned_zeros
from tinyseq.compiler.pipeline import BLAS, STANDARD, Pipeline
from tinyseq.compiler.plan import Plan
from tinyseq.errors import GraphError
from tinyseq.registry import Registry, at_address

if TYPE_CHECKING:  # what native code alone needs is not loaded before it
    from tinyseq.compiler.lower.describe import Forms


@dataclass(frozen=True)
class Target:
    """What plans are made for, and how one becomes something that runs.

    ``bind`` and ``forms`` may be addresses, ``"module:attribute"``: a lowering is imported when it is first used.
    """

    name: str
    pipeline: Pipeline
    #: How the values of loops lie.
    layout: Callable[..., Layout]
    #: (plan) -> executable. It gets ``forms`` too, by this name, where there are any; and a slab, with ``in_slab``.
    bind: Callable[..., Executable] | str
    #: The native forms of ops. An instruction without one is left to the array module, and said to be.
    forms: Forms | str = field(default_factory=dict)
    #: Whether executables may work in memory that others use at other times.
    in_slab: bool = False

    def native_forms(self) -> Forms:
        """Return the native forms of ops by the ops' names, which may be none."""
        return cast("Forms", at_address(self.forms)) if isinstance(self.forms, str) else self.forms

    def executable(self, plan: Plan, arena: Arena | None = None) -> Executable:
        """Return a plan bound to memory: of the arena, where the target's executables may share it, else of its own."""
        bind = at_address(self.bind) if isinstance(self.bind, str) else self.bind
        forms = self.native_forms()
        options: Mapping[str, Any] = {"forms": forms} if forms else {}
        if arena is not None and self.in_slab:
            options = {**options, "slab": arena.obtain(plan.footprint, aligned_zeros)}
        return cast(Executable, bind(plan, **options))


_LOWER: Final = "tinyseq.compiler.lower"
#: Name -> target; a target of one's own joins with ``register``, and a backend whose ``target`` it is.
TARGETS: Registry[Target] = Registry(
    "target",
    {
        # Products are BLAS calls, so the last passes and the layout arrange for these.
        "numpy": Target("numpy", BLAS, FeaturesFirst, f"{_LOWER}.numpy:Executable", in_slab=True),
        "llvm": Target(
            "llvm", STANDARD, Layout, f"{_LOWER}.llvm:Executable", f"{_LOWER}.llvm.lowering:FORMS", in_slab=True
        ),
        "cupy": Target("cupy", STANDARD, Layout, f"{_LOWER}.cupy:Executable", f"{_LOWER}.cupy.describing:FORMS"),
    },
    GraphError,
)
