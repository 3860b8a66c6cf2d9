"""Element-wise ops that give booleans."""

from __future__ import annotations

from typing import Any, Final

from tinyseq.graph import Signature
from tinyseq.ops.base import BOOL, Inferred, Xp, broadcast
from tinyseq.ops.elementwise import Elementwise


class Predicate(Elementwise):
    """Gives booleans, so no gradient."""

    predicate = True
    differentiable = False

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return broadcast(self.name, *inputs), BOOL


class Equal(Predicate):
    name = "equal"
    formula = "y = [a = b]"
    on_booleans = True

    def kernel(self, xp: Xp, a: Any, b: Any) -> Any:
        return xp.equal(a, b)


class NotEqual(Predicate):
    name = "not_equal"
    formula = r"y = [a \ne b]"
    on_booleans = True

    def kernel(self, xp: Xp, a: Any, b: Any) -> Any:
        return xp.not_equal(a, b)


class Less(Predicate):
    name = "less"
    formula = "y = [a < b]"

    def kernel(self, xp: Xp, a: Any, b: Any) -> Any:
        return xp.less(a, b)


class LessEqual(Predicate):
    name = "less_equal"
    formula = r"y = [a \le b]"

    def kernel(self, xp: Xp, a: Any, b: Any) -> Any:
        return xp.less_equal(a, b)


class Greater(Predicate):
    name = "greater"
    formula = "y = [a > b]"

    def kernel(self, xp: Xp, a: Any, b: Any) -> Any:
        return xp.greater(a, b)


class GreaterEqual(Predicate):
    name = "greater_equal"
    formula = r"y = [a \ge b]"

    def kernel(self, xp: Xp, a: Any, b: Any) -> Any:
        return xp.greater_equal(a, b)


class IsFinite(Predicate):
    name = "isfinite"
    formula = r"y = [|x| < \infty]"

    def kernel(self, xp: Xp, x: Any) -> Any:
        return xp.isfinite(x)


class LogicalNot(Predicate):
    name = "logical_not"
    formula = r"y = \lnot x"
    logical = True

    def kernel(self, xp: Xp, x: Any) -> Any:
        return xp.logical_not(x)


class LogicalAnd(Predicate):
    name = "logical_and"
    formula = r"y = a \land b"
    logical = True

    def kernel(self, xp: Xp, a: Any, b: Any) -> Any:
        return xp.logical_and(a, b)


class LogicalOr(Predicate):
    name = "logical_or"
    formula = r"y = a \lor b"
    logical = True

    def kernel(self, xp: Xp, a: Any, b: Any) -> Any:
        return xp.logical_or(a, b)


equal: Final[Equal] = Equal()
not_equal: Final[NotEqual] = NotEqual()
less: Final[Less] = Less()
less_equal: Final[LessEqual] = LessEqual()
greater: Final[Greater] = Greater()
greater_equal: Final[GreaterEqual] = GreaterEqual()
isfinite: Final[IsFinite] = IsFinite()
logical_not: Final[LogicalNot] = LogicalNot()
logical_and: Final[LogicalAnd] = LogicalAnd()
logical_or: Final[LogicalOr] = LogicalOr()
