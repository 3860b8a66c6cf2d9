"""What each element-wise op is in CUDA C++: one expression an op, as its NumPy kernel computes it.

The text is also C++ for the host, where tests run it: functions beyond C's own stand in ``PRELUDE``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from tinyseq.ops.base import OPS

#: dtype -> type, in memory and in registers.
TYPES: Final = {"f4": "float", "f8": "double", "i8": "long long", "i4": "int", "b1": "bool"}
_FLOATS: Final = ("f4", "f8")

#: What the generated kernels use beyond C's own functions.
PRELUDE: Final = r"""
typedef unsigned int u32;
typedef unsigned long long u64;
#define INF(T) ((T)__longlong_as_double(0x7ff0000000000000LL))
#define NOT_A_NUMBER(T) ((T)__longlong_as_double(0x7ff8000000000000LL))
template <typename T> __device__ inline T ts_max(T a, T b) { return (a >= b || a != a) ? a : b; }
template <typename T> __device__ inline T ts_min(T a, T b) { return (a <= b || a != a) ? a : b; }
template <typename T> __device__ inline T ts_sign(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : x == T(0) ? T(0) : x;
}
// Whether (a, i) comes before (b, j) in a search for an extreme; `over` says that a is the greater one. No place is -1.
template <typename T> __device__ inline bool ts_before(T a, int i, T b, int j, bool over) {
  if (i < 0 || j < 0) return j < 0 && i >= 0;
  return over || (a != a && b == b) || ((a == b || (a != a && b != b)) && i < j);
}
template <typename T> __device__ inline T ts_abs(T x) { return x < T(0) ? -x : x; }
__device__ inline float ts_sigmoid(float x) { return tanhf(x * 0.5f) * 0.5f + 0.5f; }
__device__ inline double ts_sigmoid(double x) { return tanh(x * 0.5) * 0.5 + 0.5; }
__device__ inline float ts_softplus(float x) { return ts_max(x, 0.0f) + log1pf(expf(-fabsf(x))); }
__device__ inline double ts_softplus(double x) { return ts_max(x, 0.0) + log1p(exp(-fabs(x))); }

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
// A barrier of all threads of a thread-block cluster: what is written before arriving is seen after waiting.
__device__ inline void ts_cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ inline void ts_cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ inline u32 ts_cluster_rank() {
  u32 rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
#endif

// Philox4x32-10 (Salmon et al. 2011): word i % 4 of the block with the counter (i / 4, step, call, site).
__device__ inline u32 ts_philox(u64 i, u32 step, u32 call, u32 site, u32 k0, u32 k1) {
  u32 c[4] = {(u32)(i / 4), step, call, site};
  for (int round = 0; round < 10; ++round) {
    u64 p0 = (u64)c[0] * 0xD2511F53u, p1 = (u64)c[2] * 0xCD9E8D57u;
    u32 c0 = (u32)(p1 >> 32) ^ c[1] ^ k0, c2 = (u32)(p0 >> 32) ^ c[3] ^ k1;
    c[0] = c0; c[1] = (u32)p1; c[2] = c2; c[3] = (u32)p0;
    k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
  }
  return c[i % 4];
}
"""


def literal(kind: str, value: Any) -> str:
    """Return a constant, exact to the last bit."""
    if kind not in _FLOATS:
        return f"(({TYPES[kind]}){int(value)}LL)"
    if math.isnan(value):
        return f"NOT_A_NUMBER({TYPES[kind]})"
    if math.isinf(value):
        return f"({'-' if value < 0 else ''}INF({TYPES[kind]}))"
    return f"(({TYPES[kind]}){float(value).hex()})"


def converted(text: str, old: str, new: str) -> str:
    """Convert as NumPy's ``astype`` does."""
    if old == new:
        return text
    return f"({text} != 0)" if new == "b1" else f"(({TYPES[new]}){text})"


def _infix(sign: str) -> Callable[..., str]:
    return lambda kind, a, b: f"({a} {sign} {b})"


def _call(name: str) -> Callable[..., str]:
    """A function of C, whose name for floats ends in f."""
    return lambda kind, *xs: f"{name}{'f' if kind == 'f4' else ''}({', '.join(xs)})"


def _own(name: str) -> Callable[..., str]:
    return lambda kind, *xs: f"{name}({', '.join(xs)})"


def _clip(kind: str, x: str, low: float, high: float) -> str:
    return f"ts_min(ts_max({x}, {literal(kind, low)}), {literal(kind, high)})"


def _within(kind: str, x: str, low: float, high: float, allowed: int | None, **words: Any) -> str:
    """Nothing can be raised from a kernel: what is refused is no number, or an index that reads as none."""
    if kind not in _FLOATS:  # bounds as wide as the type would be no literals of C
        low, high = max(low, -(2**62)), min(high, 2**62)
    beyond = f"NOT_A_NUMBER({TYPES[kind]})" if kind in _FLOATS else literal(kind, high + 1)
    right = f"({x} >= {literal(kind, low)} && {x} <= {literal(kind, high)})"
    if allowed is not None:
        right = f"({right} || {x} == {literal(kind, allowed)})"
    return f"({right} ? {x} : {beyond})"


def _isfinite(kind: str, x: str) -> str:
    return f"(ts_abs({x}) < INF({TYPES[kind]}))" if kind in _FLOATS else "true"


#: (kind, operands, attributes) -> expression, in that kind (a boolean for predicates).
OPERATIONS: Final[Mapping[str, Callable[..., str]]] = {
    "add": _infix("+"),
    "sub": _infix("-"),
    "mul": lambda kind, a, b: f"({a} {'&&' if kind == 'b1' else '*'} {b})",
    "div": _infix("/"),
    "neg": lambda kind, x: f"(-{x})",
    "maximum": _own("ts_max"),
    "minimum": _own("ts_min"),
    "where": lambda kind, c, a, b: f"({c} ? {a} : {b})",
    "clip": _clip,
    "exp": _call("exp"),
    "expm1": _call("expm1"),
    "log": _call("log"),
    "log1p": _call("log1p"),
    "sqrt": _call("sqrt"),
    "pow": _call("pow"),
    "sin": _call("sin"),
    "cos": _call("cos"),
    "erf": _call("erf"),
    "tanh": _call("tanh"),
    "sigmoid": _own("ts_sigmoid"),
    "relu": lambda kind, x: f"ts_max({x}, {literal(kind, 0)})",
    "softplus": _own("ts_softplus"),
    "abs": lambda kind, x: _call("fabs")(kind, x) if kind in _FLOATS else f"ts_abs({x})",
    "sign": _own("ts_sign"),
    "cast": lambda kind, x, dtype: x,
    "identity": lambda kind, x: x,
    "stop_gradient": lambda kind, x: x,
    "within": _within,
    "equal": _infix("=="),
    "not_equal": _infix("!="),
    "less": _infix("<"),
    "less_equal": _infix("<="),
    "greater": _infix(">"),
    "greater_equal": _infix(">="),
    "isfinite": _isfinite,
    "logical_not": lambda kind, x: f"(!{x})",
    "logical_and": _infix("&&"),
    "logical_or": _infix("||"),
}


def expression(name: str, kind: str, operands: list[tuple[str, str]], attrs: Mapping[str, Any], output: str) -> str:
    """Write one application; operands are (text, kind), ``kind`` is what they meet in, ``output`` the result's."""
    op = OPS[name]
    kinds = ["b1" if op.conditional and place == 0 else kind for place in range(len(operands))]
    given = [converted(text, old, new) for (text, old), new in zip(operands, kinds, strict=True)]
    return converted(OPERATIONS[name](kind, *given, **attrs), "b1" if op.predicate else kind, output)
