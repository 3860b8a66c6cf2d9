"""What a random program is written with, and how it is run: once eagerly, once compiled, noting all that can be seen.

A program is the text of a function ``program(jit, t)``. ``jit`` is ``ts.compile`` or, eagerly, nothing; ``t`` notes
values, gradients, exceptions and what the program has left in lists and attributes.
"""

from __future__ import annotations

import builtins
import collections
import importlib
import linecache
import math
import re
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq import autodiff, nn, optim
from tinyseq.backends import register
from tinyseq.errors import DataError, DtypeError, GraphError, ShapeError
from tinyseq.graph import here
from tinyseq.modes import mode
from tinyseq.ops import OPS
from tinyseq.random import generator
from tinyseq.tensors import Tensor

#: The last two stand in for a GPU: a wall around NumPy, and the generated CUDA kernels run by the CPU.
BACKENDS = ("numpy", "llvm", "strict", "cuda-on-host")


def make_known(backend: str) -> None:
    """Load what a stand-in needs."""
    if backend == "strict":
        register("strict", "support.strict")
    elif backend == "cuda-on-host":
        importlib.import_module("support.cuda_on_host")


# -- what programs are written with ------------------------------------------------------------------------------------


def _normal(dtype: Any, seed: int, shape: Sequence[int]) -> np.ndarray:
    return (np.random.default_rng(seed).normal(0.0, 0.7, tuple(shape))).astype(dtype)


def a32(seed: int, *shape: int) -> np.ndarray:
    """An array of float32."""
    return _normal(np.float32, seed, shape)


def a64(seed: int, *shape: int) -> np.ndarray:
    """An array of float64."""
    return _normal(np.float64, seed, shape)


def f32(seed: int, *shape: int) -> Tensor:
    """A constant of float32."""
    return ts.tensor(a32(seed, *shape))


def f64(seed: int, *shape: int) -> Tensor:
    """A constant of float64."""
    return ts.tensor(a64(seed, *shape))


def p32(seed: int, *shape: int) -> Tensor:
    """A parameter of float32."""
    return ts.tensor(a32(seed, *shape), requires_grad=True)


def p64(seed: int, *shape: int) -> Tensor:
    """A parameter of float64."""
    return ts.tensor(a64(seed, *shape), requires_grad=True)


def tied(x: Tensor) -> Tensor:
    """The same rounded to halves: with ties and zeros of both signs."""
    return ts.tensor(np.round(x.numpy() * 2.0) / 2.0, requires_grad=x.requires_grad)


def odd(x: Tensor) -> Tensor:
    """The same with every third element a special value."""
    values = np.array(x.numpy())
    flat = values.reshape(-1)
    special = [-0.0, np.inf, 0.0, np.nan, -np.inf, 1e30]
    flat[::3] = [special[i % 6] for i in range(len(flat[::3]))]
    return ts.tensor(values, requires_grad=x.requires_grad)


def ints(seed: int, high: int, *shape: int) -> Tensor:
    """Integers below ``high``."""
    return ts.tensor(np.random.default_rng(seed).integers(0, high, shape))


class Box:
    """An object with attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def total(tree: Any) -> Tensor | None:
    """One number that depends on every element of every float output that has a gradient."""
    result = None
    for _, y in ts.trees.leaves(tree):
        if isinstance(y, Tensor) and y.requires_grad and y.dtype.kind == "f":
            factors = np.cos(np.arange(y.size) + 0.3).reshape(y.shape).astype(y.dtype)
            term = (y * ts.tensor(factors)).sum()
            result = term if result is None else result + term
    return result


# -- what is seen ------------------------------------------------------------------------------------------------------


@dataclass
class Raised:
    """An exception, as a thing that a program has shown."""

    kind: type[BaseException]
    text: str
    #: Whether a line of the program itself raised it.
    own: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Return an exception that was caught, as it is shown."""
        *_, last = traceback.extract_tb(error.__traceback__)
        return cls(type(error), str(error), last.filename.startswith("<program"))


@dataclass
class Shown:
    """A tensor as it was."""

    array: np.ndarray
    requires_grad: bool
    is_leaf: bool = True
    #: Which of the objects that a program has shown or given it is; 0 where that is not told.
    number: int = 0


def frozen(value: Any, number: Callable[[Tensor], int] = lambda x: 0) -> Any:
    """What a value is now, in things that nobody changes later."""
    if isinstance(value, Tensor):
        return Shown(np.array(value.numpy()), value.requires_grad, value.is_leaf, number(value))
    if isinstance(value, dict):
        return {key: frozen(part, number) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value).__name__, [frozen(part, number) for part in value]
    if isinstance(value, np.ndarray):
        return Shown(value.copy(), False)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return type(value).__name__


class Session:
    """One run of a program: what it has shown so far."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        #: Tensors by id, which another has when they are gone: not held, or calls would keep their buffers.
        self.known: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self.count = 0

    def number(self, x: Tensor) -> int:
        """Which tensor it is, in the order in which they were met."""
        known, number = self.known.get(id(x), (lambda: None, 0))
        if known() is not x:
            self.count = number = self.count + 1
            self.known[id(x)] = weakref.ref(x), number
        return number

    def note(self, label: str, value: Any) -> None:
        """Show a value."""
        self.seen.append((label, frozen(value)))

    def call(self, label: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function and show what it returns or raises; None where it raises."""
        frozen((args, kwargs), self.number)
        try:
            out = fn(*args, **kwargs)
        except Exception as error:
            self.seen.append((label, Raised.of(error)))
            return None
        self.seen.append((label, frozen(out, self.number)))
        return out

    def back(
        self, label: str, out: Any, tensors: Sequence[Tensor], *, retain: bool = False, clear: bool = True
    ) -> None:
        """Run the backward pass of what a call returned and show the gradients."""
        loss = None if out is None else total(out)
        if loss is not None:
            self.call(f"{label}: backward", lambda: loss.backward(retain_graph=retain))
        self.grads(label, tensors, clear=clear)

    def grads(self, label: str, tensors: Sequence[Tensor], *, clear: bool = True) -> None:
        """Show the gradients that tensors have."""
        frozen(tensors, self.number)
        self.note(f"{label}: gradients", [x.grad for x in tensors])
        if clear:
            for x in tensors:
                x.grad = None

    def second(
        self, label: str, out: Any, tensors: Sequence[Tensor], between: Callable[[], Any] = lambda: None
    ) -> None:
        """Show the gradients of what a call returned, and gradients of their squares."""
        loss = None if out is None else total(out)
        if loss is None:
            return
        between()

        def run() -> Any:
            found = ts.gradients(loss, tensors, create_graph=True)
            squares = total([g * g for g in found if g is not None])
            if squares is not None:
                squares.backward()
            return found

        self.call(label, run)
        self.grads(label, tensors)

    def end(self, **left: Any) -> None:
        """Show what a program leaves behind, and what is drawn next."""
        for name, value in left.items():
            self.note(f"at the end: {name}", vars(value) if isinstance(value, Box) else value)
        self.note("at the end: the next draw", ts.rand(2))


def eagerly(fn: Any = None, **_: Any) -> Any:
    """``ts.compile`` that compiles nothing."""
    return fn if fn is not None else lambda f: f


SCRIPT = """import sys
sys.path.insert(0, "tests")
from support.differential.playing import *

{text}

if __name__ == "__main__":
    show(program, "{backend}")
"""
#: What a program's text may name.
NAMES: dict[str, Any] = {
    **{"ts": ts, "nn": nn, "optim": optim, "np": np, "math": math, "collections": collections},
    **{made.__name__: made for made in (a32, a64, f32, f64, p32, p64, tied, odd, ints, Box, total)},
}
__all__ = ["show", *NAMES]
_count = 0


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave nothing behind: no tracing, no warnings, the generator at its beginning."""
    place, source = here.place, here.source
    ts.seed(0)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        mode.tracing, mode.recording, generator.counter = None, True, None
        here.place, here.source = place, source


def loaded(text: str) -> Callable[[Any, Session], None]:
    """Compile a program's text; its lines are found by tracebacks, and by messages that name them."""
    global _count
    _count += 1
    name = f"<program {_count}>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    linecache.cache.pop(f"<program {_count - 50}>", None)
    space = dict(NAMES)
    exec(builtins.compile(text, name, "exec"), space)
    return space["program"]


def play(program: Callable[[Any, Session], None], jit: Any, backend: str) -> list[tuple[str, Any]]:
    """Run a program and return what it has shown; an exception that it does not catch is shown last."""
    t = Session()
    make_known(backend)
    with ts.backend(backend), _undisturbed():
        try:
            program(jit, t)
        except Exception as error:
            t.seen.append(("outside of calls", Raised.of(error)))
    return t.seen


# -- comparing ---------------------------------------------------------------------------------------------------------


#: A gradient of zeros where eagerly there is none: a trace follows what a single step leaves out.
FOLLOWED = "zeros for none"


@dataclass
class Difference:
    """Where the two runs part: what kind of thing differs, and how."""

    kind: str
    label: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.label!r}: {self.detail}"


def compare(
    eager: list[tuple[str, Any]],
    compiled: list[tuple[str, Any]],
    blur: dict[int, list[Any]] | None = None,
    stateful: bool = False,
) -> Difference | None:
    """Return the first difference between two runs, or None.

    What a failing call has done before it failed (draws counted, gradients set) is not compared, nor, in a ``stateful``
    program (which draws, or changes what lies outside), anything later.
    """
    failed = False
    compiled, followed = _without_sweeps(eager, compiled)
    for index, ((label, a), (other, b)) in enumerate(zip(eager, compiled, strict=False)):
        if failed and stateful:
            return followed
        if failed and (label.endswith("gradients") or label.startswith("at the end")):
            continue
        failed = failed or isinstance(a, Raised)
        if label != other and isinstance(b, Raised):
            a = None
        elif label != other:
            return Difference("another course", label, f"compiled shows {other!r}")
        if found := _differs(a, b, [] if blur is None else blur.get(index, [])):
            if found[0] == FOLLOWED:
                followed = followed or Difference(FOLLOWED, label, found[1])
                continue
            if found[0] == "identity" and followed:  # zeros are a tensor, and counted
                continue
            return Difference(found[0], label, found[1])
    if len(eager) != len(compiled):
        return Difference("another course", "the end", f"{len(eager)} things shown eagerly, {len(compiled)} compiled")
    return followed


def _without_sweeps(
    eager: list[tuple[str, Any]], compiled: list[tuple[str, Any]]
) -> tuple[list[tuple[str, Any]], Difference | None]:
    """Leave out sweeps that eagerly are not made, since the result requires no gradient; what they give is compared.

    That happens where a state is cut in every row, by lengths of their own: no gradient comes, and a trace follows it.
    """
    rows, followed = list(compiled), None
    for index, (label, _) in enumerate(eager):
        sweep = label.replace(": gradients", ": backward")
        if index < len(rows) and rows[index][0] == sweep != label and not isinstance(rows[index][1], Raised):
            del rows[index]
            followed = followed or Difference(FOLLOWED, label, "a sweep that eagerly is not made")
    return rows, followed


def _differs(a: Any, b: Any, noisy: list[Any]) -> tuple[str, str] | None:
    if isinstance(b, Raised) and not isinstance(a, Raised):
        refused = issubclass(b.kind, ts.TinyseqError)
        return ("refused" if refused else f"raised {b.kind.__name__}"), b.text
    if isinstance(a, Raised):
        if not isinstance(b, Raised):
            return "not raised", f"eager raises {a.kind.__name__}: {a.text.splitlines()[0] if a.text else ''}"
        if a.kind is DataError and (b.own or b.kind in (ShapeError, DtypeError, GraphError)):
            return None  # two mistakes: a trace sees those that are not of values first, though they come later
        if a.kind is not b.kind:
            return f"raised {b.kind.__name__} for {a.kind.__name__}", f"{b.text[:200]} instead of {a.text[:200]}"
        return None
    if isinstance(a, Shown) and isinstance(b, Shown):
        return _arrays_differ(a, b, [n for n in noisy if isinstance(n, Shown)])
    if isinstance(a, tuple) and isinstance(b, tuple):
        if a[0] != b[0] or len(a[1]) != len(b[1]):
            return "structure", f"{a[0]} of {len(a[1])} eagerly, {b[0]} of {len(b[1])} compiled"
        for i, (x, y) in enumerate(zip(a[1], b[1], strict=True)):
            below = [n[1][i] for n in noisy if isinstance(n, tuple) and len(n[1]) == len(a[1])]
            if found := _differs(x, y, below):
                return found[0], f"[{i}] {found[1]}"
        return None
    if isinstance(a, dict) and isinstance(b, dict):
        if list(a) != list(b):
            return "structure", f"keys {list(a)} eagerly, {list(b)} compiled"
        for key in a:
            below = [n[key] for n in noisy if isinstance(n, dict) and key in n]
            if found := _differs(a[key], b[key], below):
                return found[0], f"[{key!r}] {found[1]}"
        return None
    if a is None and isinstance(b, Shown) and not b.array.any():
        return FOLLOWED, f"None eagerly, zeros{b.array.shape} compiled"
    if type(a) is not type(b):
        names = [("None" if x is None else "a tensor" if isinstance(x, Shown) else repr(x)[:40]) for x in (a, b)]
        return "None or not", f"{names[0]} eagerly, {names[1]} compiled"
    if a != b and not (isinstance(a, float) and math.isnan(a) and math.isnan(b)):
        return "python value", f"{a!r} eagerly, {b!r} compiled"
    return None


def _arrays_differ(a: Shown, b: Shown, noisy: list[Shown]) -> tuple[str, str] | None:
    x, y = a.array, b.array
    if x.shape != y.shape or x.dtype != y.dtype:
        return "shape or dtype", f"{x.dtype}{x.shape} eagerly, {y.dtype}{y.shape} compiled"
    others = [n.array for n in noisy if n.array.shape == x.shape]
    flags = None
    if a.requires_grad != b.requires_grad:
        flags = (
            FOLLOWED if b.requires_grad else "requires_grad",
            f"requires_grad {a.requires_grad} eagerly, {b.requires_grad} compiled",
        )
    elif a.number != b.number or (a.number and a.requires_grad and a.is_leaf != b.is_leaf):
        flags = "identity", f"leaf {a.is_leaf}, tensor {a.number} eagerly; leaf {b.is_leaf}, tensor {b.number} compiled"
    if x.dtype.kind != "f":
        wrong = x != y
        for other in others:
            wrong &= x == other
        return ("values", _told(x, y)) if wrong.any() else flags
    relative, absolute = (1e-9, 1e-12) if x.dtype == np.float64 else (3e-5, 1e-6)
    finite = np.isfinite(x)
    scale = float(np.abs(x[finite]).max()) if finite.any() else 0.0
    with np.errstate(all="ignore"):
        wrong = ~((x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= relative * scale + absolute))
        if wrong.any() and others:
            spread = np.max([np.where(n == x, 0.0, np.abs(n - x)) for n in others], axis=0)
            spread = float(np.nanmax(np.where(np.isfinite(spread), spread, np.nan), initial=0.0))
            jumps = np.any([np.isfinite(n) != finite for n in others], axis=0)
            wrong &= ~(np.abs(x - y) <= 100.0 * spread) & ~jumps
    return ("values", _told(x, y)) if wrong.any() else flags


def _told(x: np.ndarray, y: np.ndarray) -> str:
    with np.errstate(all="ignore"):
        texts = [np.array2string(v, precision=7, threshold=20, edgeitems=4).replace("\n", "") for v in (x, y)]
    return f"{x.dtype}{x.shape} {texts[0][:300]} eagerly, {texts[1][:300]} compiled"


# -- rounding ----------------------------------------------------------------------------------------------------------

#: Ops that move values and round nothing.
_EXACT = frozenset(
    [
        "reshape",
        "transpose",
        "broadcast_to",
        "flip",
        "tril",
        "triu",
        "concat",
        "stack",
        "unstack",
        "split",
        "pad",
        "slice",
        "unslice",
        "index",
        "zeros_like",
        "identity",
        "stop_gradient",
        "anchor",
        "pick",
        "cast",
        "where",
        "relu",
        "maximum",
        "minimum",
        "max",
        "min",
        "abs",
        "neg",
        "sign",
        "clip",
        "argmax",
        "argmin",
        "uniform",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "isfinite",
        "logical_not",
        "logical_and",
        "logical_or",
    ]
)


#: Ops that add up: what they round is a share of the sum of the absolute terms, however much of it cancels.
_SUMS = frozenset(["sum", "sum_to", "cumsum", "matmul", "einsum", "scatter_add"])


@contextmanager
def blurred(seed: int) -> Iterator[None]:
    """Let every op that rounds, round otherwise: by a few units in the last place; a sum, by one of its terms'.

    Gradients that come together are a sum too.
    """
    rng = np.random.default_rng(seed)
    add_up = autodiff._add_up

    def noisy_add_up(node: Any, parts: Any, needed: Any, gradients: Any, owned: Any) -> None:
        before = {parent: np.abs(g) for parent in node.inputs if type(g := gradients.get(parent)) is np.ndarray}
        add_up(node, parts, needed, gradients, owned)
        for parent, known in before.items():
            g = gradients[parent]
            if type(g) is np.ndarray and g.dtype.kind == "f" and parent in needed:
                terms = known + np.abs(g)  # at least half of the sum of the absolute terms
                gradients[parent] = np.asarray(g + terms * np.finfo(g.dtype).eps * rng.uniform(-1, 1, g.shape), g.dtype)

    def wrap(kernel: Callable[..., Any], sums: bool) -> Callable[..., Any]:
        def noisy(xp: Any, *inputs: Any, **attrs: Any) -> Any:
            out = kernel(xp, *inputs, **attrs)
            if isinstance(out, np.ndarray | np.generic) and out.dtype.kind == "f":
                eps, chance = np.finfo(out.dtype).eps, rng.uniform(-1.0, 1.0, out.shape)
                terms = kernel(xp, *map(_magnitude, inputs), **attrs) if sums else 0.0
                return np.asarray(out + (4.0 * np.abs(out) + terms) * eps * chance, out.dtype)
            return out

        return noisy

    ops = [op for op in OPS.values() if op.name not in _EXACT]
    for op in ops:
        vars(op)["kernel"] = wrap(op.kernel, op.name in _SUMS)
    autodiff._add_up = noisy_add_up
    try:
        yield
    finally:
        autodiff._add_up = add_up
        for op in ops:
            del vars(op)["kernel"]


def _magnitude(x: Any) -> Any:
    return np.abs(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


@dataclass
class Verdict:
    """What came of a program: a difference or none, and why where it is let pass."""

    difference: Difference | None
    #: "same", "raises" (both do), "refused", "rounding" (as much as other roundings do), FOLLOWED, "fault".
    outcome: str


#: The kinds of program that may be refused: what a call changes outside, and control flow on values.
MAY_BE_REFUSED = frozenset({"outside state", "control flow"})
#: What may be refused in any program: a loop's body is traced once, and what ``ts.grad`` follows is no leaf in a trace.
ALWAYS_REFUSED = (
    "backward through the result of a compiled function that takes gradients itself",
    "a state changes its shape or dtype from one step to the next",
    "assign to the result of an op",
)


#: What a program may show once its inputs are finite, to be let pass with infinite ones.
FINE = frozenset({"same", "rounding", FOLLOWED})


def _of_an_unread_update(text: str, difference: Difference) -> bool:
    """Whether zero times an infinite update, which no step reads, may be what differs: docs/compiler.md, "Rounding"."""
    loops = "odd(" in text and "ts.unroll(" in text and difference.label.endswith("gradients")
    return loops and "nan" not in difference.detail.split(" eagerly")[0] and "nan" in difference.detail


def judge(text: str, backend: str, features: frozenset[str] | set[str] = frozenset()) -> Verdict:
    """Run a program eagerly and compiled, and compare."""
    program = loaded(text)
    eager = play(program, eagerly, "numpy")
    found = play(program, ts.compile, backend)
    stateful = "ropout" in text or "ts.rand" in text or bool({"outside state", "assigned inside"} & features)
    difference = compare(eager, found, stateful=stateful)
    if difference is None:
        return Verdict(None, "raises" if any(isinstance(value, Raised) for _, value in eager) else "same")
    if difference.kind == "values":
        blur: dict[int, list[Any]] = {}
        for seed in range(5):
            with blurred(seed):
                for index, (_, value) in enumerate(play(program, eagerly, "numpy")):
                    blur.setdefault(index, []).append(value)
        difference = compare(eager, found, blur, stateful)
        if difference is None:
            return Verdict(None, "rounding")
        if (
            _of_an_unread_update(text, difference)
            and judge(text.replace("odd(", "("), backend, features).outcome in FINE
        ):
            return Verdict(difference, FOLLOWED)
    if difference.kind == FOLLOWED or (
        {"gradients inside", "scans"} & set(features)
        and "depends on nothing that requires a gradient" in difference.detail
    ):
        return Verdict(difference, FOLLOWED)
    if difference.kind == "not raised" and backend == "cuda-on-host" and "is out of range" in difference.detail:
        return Verdict(difference, "raises")  # a GPU's kernel raises nothing: docs/gpu.md
    if difference.kind.startswith("raised GraphError for") and MAY_BE_REFUSED & set(features):
        return Verdict(difference, "refused")  # and eager raises for another reason, further on
    if difference.kind == "refused":
        if "<program" not in difference.detail:
            difference.kind = "refused without a line"
        elif MAY_BE_REFUSED & set(features) or difference.detail.startswith(ALWAYS_REFUSED):
            return Verdict(difference, "refused")
    return Verdict(difference, "fault")


def reason(difference: Difference) -> str:
    """The words of a refusal or difference without what is particular to a program."""
    line = difference.detail.splitlines()[0] if difference.detail else ""
    return f"{difference.kind}: " + re.sub(r"[a-z]*\d+", "N", re.sub(r"'[^']*'", "'...'", line))[:90]


def show(program: Callable[[Any, Session], None], backend: str) -> None:
    """Print what a program shows, eagerly and compiled."""
    eager, found = play(program, eagerly, "numpy"), play(program, ts.compile, backend)
    difference = compare(eager, found)
    for (label, a), (_, b) in zip(eager, found, strict=False):
        print(f"{label}\n  eager    {_brief(a)}\n  compiled {_brief(b)}")
    print(difference or "no difference")


def _brief(value: Any) -> str:
    if isinstance(value, Shown):
        return f"{np.array2string(value.array, precision=6, threshold=12).replace(chr(10), '')}"
    if isinstance(value, Raised):
        return f"{value.kind.__name__}: {value.text}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_brief, value[1])) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_brief(part)}" for key, part in value.items()) + "}"
    return repr(value)
