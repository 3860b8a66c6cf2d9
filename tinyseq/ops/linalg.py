"""Contractions: matrix products and einsum."""

from __future__ import annotations

import math
from typing import Any, Final

from tinyseq.errors import ShapeError
from tinyseq.graph import Signature
from tinyseq.ops.base import Inferred, Op, Value, Xp, broadcast, hushed, module_of, promote, quiet
from tinyseq.ops.shape import broadcast_to, expand_dims, reshape, sum_to, swapaxes


def _matmul_left(g: Value, y: Value, a: Value, b: Value) -> Value:
    if len(a.shape) == 2 == len(b.shape):
        return g @ b.T
    if len(b.shape) == 1:
        return g * b if len(a.shape) == 1 else expand_dims(g, -1) * b
    if len(a.shape) == 1:
        left = expand_dims(g, -2) @ swapaxes(b, -1, -2)
        return sum_to(reshape(left, (*left.shape[:-2], left.shape[-1])), a.shape)
    return sum_to(g @ swapaxes(b, -1, -2), a.shape)


def _matmul_right(g: Value, y: Value, a: Value, b: Value) -> Value:
    if len(a.shape) == 2 == len(b.shape):
        return a.T @ g
    if len(a.shape) == 1:
        return g * a if len(b.shape) == 1 else expand_dims(a, -1) * expand_dims(g, -2)
    if len(b.shape) <= 2:  # every leading axis of a is contracted: one product of two matrices
        rows = math.prod(a.shape[:-1])
        right = reshape(a, (rows, a.shape[-1])).T @ reshape(g, (rows, math.prod(b.shape[1:])))
        return reshape(right, b.shape)
    return sum_to(swapaxes(a, -1, -2) @ g, b.shape)


class MatMul(Op):
    """All of NumPy's forms: vectors, matrices, and stacks of matrices that broadcast."""

    name = "matmul"
    formula = "y = A B"
    reads = "x"
    vjps = (_matmul_left, _matmul_right)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        a, b = inputs
        if not a.shape or not b.shape or a.shape[-1] != b.shape[-2 if len(b.shape) > 1 else 0]:
            raise ShapeError(
                "matmul: inner extents differ",
                required="(..., n, k) @ (..., k, m); a vector stands for one row or column",
                got=f"{tuple(a.shape)} @ {tuple(b.shape)}",
                fix="transpose an operand, or check the layer's feature size",
            )
        stack = broadcast(self.name, a.shape[:-2], b.shape[:-2])
        rows = a.shape[-2:-1]
        columns = b.shape[-1:] if len(b.shape) > 1 else ()
        return (*stack, *rows, *columns), promote(a, b)

    def kernel(self, xp: Xp, a: Any, b: Any) -> Any:
        if a.ndim > 2 and b.ndim == 2 and a.size:  # one large product instead of a stack of small ones
            return self.kernel(xp, a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
        try:
            return xp.matmul(a, b)
        except RuntimeWarning:
            return hushed(xp.matmul, a, b)

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        return 2 * math.prod(shape) * inputs[0].shape[-1]


class Einsum(Op):
    """Einstein summation, recorded in explicit form: one letter an axis, no letter twice in an operand, no ellipsis."""

    name = "einsum"
    formula = r"y_{\mathrm{out}} = \sum \prod_k x^{(k)}"
    reads = "x"

    def __call__(self, spec: str, *xs: Value) -> Any:
        terms, out, operands = _explicit(spec, xs)
        return super().__call__(*operands, terms=terms, out=out)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        extents = _extents(attrs["terms"], inputs)
        return tuple(extents[letter] for letter in attrs["out"]), promote(*inputs)

    @quiet
    def kernel(self, xp: Xp, *xs: Any, terms: tuple[str, ...], out: str) -> Any:
        return xp.einsum(f"{','.join(terms)}->{out}", *xs, optimize=len(xs) > 1)

    def vjp(self, index: int, g: Value, y: Value, *inputs: Value, **attrs: Any) -> Value:
        terms, out = attrs["terms"], attrs["out"]
        others = [i for i in range(len(terms)) if i != index]
        term = terms[index]
        known = set(out).union(*(terms[i] for i in others))
        reached = "".join(letter for letter in term if letter in known)
        spec = f"{','.join([out, *(terms[i] for i in others)])}->{reached}"
        gradient = einsum(spec, g, *(inputs[i] for i in others))
        # Along letters summed within this operand alone, or stretched in all the others, the gradient is the same.
        extents = dict(zip(reached, gradient.shape, strict=True))
        aligned = tuple(extents.get(letter, 1) for letter in term)
        full = tuple(b if a == 1 else a for a, b in zip(aligned, inputs[index].shape, strict=True))
        return broadcast_to(reshape(gradient, aligned), full)

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        return 2 * math.prod(_extents(attrs["terms"], inputs).values())


def _extents(terms: tuple[str, ...], inputs: tuple[Signature, ...] | list[Any]) -> dict[str, int]:
    extents: dict[str, int] = {}
    for term, x in zip(terms, inputs, strict=True):
        for letter, extent in zip(term, x.shape, strict=True):
            known = extents.setdefault(letter, extent)
            if known == 1:
                extents[letter] = extent
            elif extent not in (1, known):
                raise ShapeError(
                    f"einsum: the extents of {letter!r} differ",
                    required=f"{known} (or 1) wherever {letter!r} stands",
                    got=" and ".join(f"{t}: {tuple(v.shape)}" for t, v in zip(terms, inputs, strict=True)),
                )
    return extents


def _explicit(spec: str, xs: tuple[Value, ...]) -> tuple[tuple[str, ...], str, list[Value]]:
    """Write a spec out: ellipses as letters, the output named, diagonals as products with the identity."""
    left, arrow, out = spec.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(xs):
        raise ShapeError(f"einsum {spec!r}: operands", required=f"{len(terms)}, one a term", got=str(len(xs)))
    letters = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in spec]
    ranks = [len(x.shape) - len(term.replace("...", "")) for term, x in zip(terms, xs, strict=True)]
    if any(rank < 0 or (rank and "..." not in term) for rank, term in zip(ranks, terms, strict=True)):
        raise ShapeError(
            f"einsum {spec!r}: letters and axes do not match",
            required="a letter for each axis, or ...",
            got=", ".join(f"{term}: {tuple(x.shape)}" for term, x in zip(terms, xs, strict=True)),
        )
    dots = "".join(letters[: max(ranks)])
    letters = letters[len(dots) :]
    terms = [term.replace("...", dots[len(dots) - rank :]) for term, rank in zip(terms, ranks, strict=True)]
    if arrow:
        out = out.replace("...", dots)
    else:
        joined = "".join(terms)
        out = dots + "".join(sorted(c for c in set(joined) - set(dots) if joined.count(c) == 1))
    if unknown := set(out) - set("".join(terms)) or len(set(out)) != len(out):
        raise ShapeError(
            f"einsum {spec!r}: the output", required="letters of the operands, each once", got=str(unknown)
        )
    operands = list(xs)
    for i, term in enumerate(terms):
        for letter in sorted({c for c in term if term.count(c) > 1}):
            while term.count(letter) > 1:
                fresh = letters.pop(0)
                extent = xs[i].shape[term.index(letter)]
                term = term[: term.rindex(letter)] + fresh + term[term.rindex(letter) + 1 :]
                terms.append(letter + fresh)
                operands.append(module_of((getattr(xs[i], "value", xs[i]),)).eye(extent, dtype=xs[i].dtype))
        terms[i] = term
    return tuple(terms), out, operands


matmul: Final[MatMul] = MatMul()
einsum: Final[Einsum] = Einsum()
