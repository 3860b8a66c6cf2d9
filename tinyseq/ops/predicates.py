"""Element-wise ops that give booleans."""

from __future__ import annotations

from typing import Any, Final

from tinyseq.graph import Signature
from tinyseq.ops.base import BOOL, Inferred, broadcast, ufunc
from tinyseq.ops.elementwise import Elementwise


class Predicate(Elementwise):
    """Gives booleans, so no gradient."""

    predicate = True
    differentiable = False

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return broadcast(self.name, *(x.shape for x in inputs)), BOOL


class Equal(Predicate):
    name = "equal"
    formula = "y = [a = b]"
    on_booleans = True
    kernel = ufunc("equal")


class NotEqual(Predicate):
    name = "not_equal"
    formula = r"y = [a \ne b]"
    on_booleans = True
    kernel = ufunc("not_equal")


class Less(Predicate):
    name = "less"
    formula = "y = [a < b]"
    kernel = ufunc("less")


class LessEqual(Predicate):
    name = "less_equal"
    formula = r"y = [a \le b]"
    kernel = ufunc("less_equal")


class Greater(Predicate):
    name = "greater"
    formula = "y = [a > b]"
    kernel = ufunc("greater")


class GreaterEqual(Predicate):
    name = "greater_equal"
    formula = r"y = [a \ge b]"
    kernel = ufunc("greater_equal")


class IsFinite(Predicate):
    name = "isfinite"
    formula = r"y = [|x| < \infty]"
    kernel = ufunc("isfinite")


class LogicalNot(Predicate):
    name = "logical_not"
    formula = r"y = \lnot x"
    logical = True
    kernel = ufunc("logical_not")


class LogicalAnd(Predicate):
    name = "logical_and"
    formula = r"y = a \land b"
    logical = True
    kernel = ufunc("logical_and")


class LogicalOr(Predicate):
    name = "logical_or"
    formula = r"y = a \lor b"
    logical = True
    kernel = ufunc("logical_or")


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
