"""What the functions of random programs are made of: a piece looks at the values at hand and writes one statement more.

No piece knows shape rules: it is tried on real tensors, and what raises, or leaves the range of ordinary numbers, is
not kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from tinyseq.tensors import Tensor

EXTENTS = (1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9)
#: Around the widths of vectors: for the last axis.
WIDE = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33)
LARGEST = 600


class Scope:
    """The statements of a function so far, and what its names are worth."""

    def __init__(self, writer: Any, values: dict[str, Any], depth: int = 0) -> None:
        self.writer, self.values, self.depth = writer, values, depth
        self.r: Random = writer.r
        self.lines: list[str] = []
        #: Names that hold tensors of floats, in the order they came.
        self.floats: list[str] = []
        self.views: set[str] = set()

    @property
    def d(self) -> str:
        """``32`` or ``64``: the precision of the program."""
        return self.writer.bits

    def use(self, name: str) -> str:
        """Let statements use a name that is known."""
        if name not in self.floats and isinstance(self.values.get(name), Tensor):
            self.floats.append(name)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        return self.values[name].shape

    def one(self, test: Callable[[tuple[int, ...]], bool] = lambda shape: True) -> str | None:
        """One of the floats whose shape passes, the last ones more often."""
        found = [name for name in self.floats if test(self.shape(name))]
        if not found:
            return None
        back = 1
        while back < len(found) and self.r.random() < 0.5:
            back += 1
        return found[-back]

    def setup(self, rhs: str, prefix: str) -> str:
        """Make something before the function, which closes over it."""
        name = self.writer.setup(rhs, prefix)
        self.values[name] = self.writer.space[name]
        return name

    def weight(self, *shape: int) -> str:
        """A weight of that shape: one that is there, or a new one."""
        known = [w for w in self.writer.weights if self.writer.space[w].shape == shape]
        if known and self.r.random() < 0.6:
            name = self.r.choice(known)
        else:
            extents = "".join(f", {n}" for n in shape)
            name = self.setup(f"{self.writer.kind()}{self.d}({self.r.randint(0, 999)}{extents})", "w")
            self.writer.weight(name)
        self.values[name] = self.writer.space[name]
        if self.r.random() < 0.3 and self.depth == 0:
            self.use(name)
        return name

    def add(self, rhs: str, view: bool = False, block: str = "", largest: float = 60.0) -> str | None:
        """Keep ``name = rhs`` (after ``block``, where it is more than a line) if it can be computed."""
        name = self.writer.fresh("v" if self.depth == 0 else "u")
        text = f"{block}{name} = {rhs}"
        trial = dict(self.values)
        if not self.writer.tried(text, trial):
            return None
        value = trial[name]
        if not isinstance(value, Tensor) or value.size > LARGEST or (value.size == 0 and self.r.random() < 0.9):
            return None
        array = value.numpy()
        if array.dtype.kind == "f" and not (np.isfinite(array).all() and np.abs(array).max(initial=0.0) < largest):
            return None
        self.values = trial
        self.lines.append(text)
        if array.dtype.kind == "f":
            self.floats.append(name)
        if view:
            self.views.add(name)
        return name


Piece = Callable[[Scope], str | None]


# -- elementwise -------------------------------------------------------------------------------------------------------

UNARY = """ts.tanh({a})|{a}.sigmoid()|ts.relu({a})|ts.exp({a} * 0.3)|ts.log({a} * {a} + 0.5)|ts.sqrt(abs({a}) + 0.3)
ts.softplus({a})|ts.sin({a})|{a}.cos()|ts.gelu({a})|ts.gelu({a}, approximate=True)|ts.erf({a})|ts.expm1({a} * 0.2)
ts.log1p({a} * {a})|ts.clip({a}, -0.5, 0.8)|{a}.clip(0.0)|-{a}|abs({a})|{a} ** 2|{a} ** 3|2.0 ** {a}|1.5 ** (-{a})
({a} * {a} + 0.4) ** 0.5|({a} * {a} + 0.4) ** -1.5|1.0 / ({a} * {a} + 1.0)|{a} + 0.0|{a} * 1.0|{a} - 0.0|0.0 - {a}
{a} * 2.0 * 0.5|({a} * 3.0) * 0.7|({a} + 1.0) - 1.0|ts.stop_gradient({a})|{a}.detach()|ts.sign({a})|{a} + {a}
ts.zeros_like({a}) + 1.0|{a}.cast(np.float64).cast(np.float{d})|{a} * -1.0
ts.where({a} > 0.1, {a}, 0.0)|ts.where({a} > 0, 0.0, -0.0) + {a}|{a} * ts.isfinite({a})|(({a} > 0) & ({a} < 1)) * {a}
{a} * 2|{a} / 3|1 - {a}|ts.maximum({a}, 0.2)|ts.minimum({a}, {a} * 0.5)|{a} - {a}|{a} / ({a} * {a} + 1.0)
ts.tanh({a}) * ts.tanh({a})|1.0 / (ts.exp(-{a}) + 1.0)|{a} * ts.sigmoid({a})|{a} ** 2.0|{a} ** 1|({a} * {a}) ** 1.0"""
UNARIES = UNARY.replace("\n", "|").split("|")
BINARY = """{a} + {b}|{a} - {b}|{a} * {b}|{b} - {a}|{a} / ({b} * {b} + 0.7)|ts.maximum({a}, {b})|ts.minimum({a}, {b})
ts.where({a} > {b}, {a}, {b} * 0.5)|ts.where({b} > 0.1, {a}, 0.3)|({a} * {a} + 0.5) ** {b}|{a} * 0.5 + {b} * 0.5
ts.tanh({a} + {b})|ts.sigmoid({a}) * {b}|{a} + {b} * {a}|({a} < {b}) * {a}|ts.where(~({a} >= {b}), {b}, {a})"""
BINARIES = BINARY.replace("\n", "|").split("|")


def unary(s: Scope) -> str | None:
    a = s.one()
    return a and s.add(s.r.choice(UNARIES).format(a=a, d=s.d))


def binary(s: Scope) -> str | None:
    a = s.one()
    if a is None:
        return None
    shape, r = s.shape(a), s.r
    if r.random() < 0.5:
        b = s.one(lambda other: fits(shape, other))
    else:
        kept = shape[r.randint(0, len(shape)) :]
        kept = tuple(n if r.random() < 0.8 else 1 for n in kept)
        b = s.weight(*kept) if r.random() < 0.8 else s.setup(f"a{s.d}({r.randint(0, 999)}{extents(kept)})", "c")
        if b.startswith("c"):
            s.writer.mutable(
                "changed array", f"{b} = a{s.d}({r.randint(0, 999)}{extents(kept)})", f"{b}[...] = {r.choice((0.5, 2))}"
            )
            return s.add(f"{a} {r.choice('+*-')} {b}")
    return b and s.add(r.choice(BINARIES).format(a=a, b=b))


def fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return math.prod(np.broadcast_shapes(a, b)) <= LARGEST
    except ValueError:
        return False


def extents(shape: tuple[int, ...]) -> str:
    return "".join(f", {n}" for n in shape)


# -- views -------------------------------------------------------------------------------------------------------------


def view(s: Scope) -> str | None:
    """One view, or a view of a view, of which the last may need a copy."""
    a = s.one()
    if a is None:
        return None
    text, shape = a, s.shape(a)
    turns = s.r.choice((1, 1, 2, 2, 3))
    for turn in range(turns):
        longer = one_view(s.r, text, shape, ending=0 < turn == turns - 1)
        trial = dict(s.values)
        if s.writer.tried(f"trial = {longer}", trial) and 0 < trial["trial"].size <= LARGEST:
            text, shape = longer, trial["trial"].shape
    return s.add(text, view=True) if text != a else None


def one_view(r: Random, a: str, shape: tuple[int, ...], ending: bool) -> str:
    """An expression for a view of ``a``; the ending of several is a reshape more often than not."""
    n = len(shape)
    whole = f"{a}.reshape({', '.join(map(str, factored(r, math.prod(shape))))})"
    ways = [f"{a}.reshape(-1)", whole]
    if n:
        ways += [f"{a}.reshape({shape[0]}, -1)", f"{a}.reshape(-1, {shape[-1]})", f"{a}.reshape({a}.shape[0], -1)"]
    if ending and r.random() < 0.6:
        return r.choice(ways)
    ways += [whole, f"{a}.T", f"{a}.expand_dims({r.randint(-1, n)})", f"{a}.squeeze()"]
    ways += [f"ts.broadcast_to({a}, {(r.choice((2, 3)), *shape)})"]
    if n:
        widened = tuple(r.choice((2, 3, 5)) if m == 1 else m for m in shape)
        ways += [f"ts.broadcast_to({a}, {widened})"] * (widened != shape)
        ways += [f"{a}[{key(r, shape)}]" for _ in range(5)]
        ways += [f"ts.transpose({a}, {tuple(r.sample(range(n), n))})" for _ in range(3)]
        axis = r.randrange(n)
        first = r.randint(0, shape[axis])
        ways += [f"ts.flip({a}, {axis})", f"ts.unstack({a}, {axis})[{r.randrange(max(shape[axis], 1))}]"]
        ways += [f"ts.split({a}, {(first, shape[axis] - first)}, {axis})[{r.randint(0, 1)}]"]
    if n >= 2:
        ways += [f"{a}.swapaxes({', '.join(map(str, r.sample(range(n), 2)))})"]
    if n >= 3:  # heads, merged
        ways += [f"ts.transpose({a}, {(0, 2, 1, *range(3, n))}).reshape({shape[0]}, -1)"]
    return r.choice(ways)


def factored(r: Random, size: int) -> list[int]:
    parts = []
    for _ in range(r.randint(0, 2)):
        divisors = [k for k in range(1, size + 1) if size and size % k == 0]
        if divisors:
            parts.append(r.choice(divisors))
            size //= parts[-1]
    return [*parts, size]


def key(r: Random, shape: tuple[int, ...]) -> str:
    parts = []
    for n in shape:
        m = max(n - 1, 0)
        ways = [*(":", ":", "::2", "::-1", "1::2", "::-2", "None, :", "-1:")]
        ways += [f"{r.randint(0, m)}", f"-{r.randint(1, n or 1)}"]
        ways += [f"{r.randint(0, m)}:", f":{r.randint(1, n or 1)}", f"{r.randint(0, m)}:{n}:2"]
        parts.append(r.choice(ways))
    while parts and r.random() < 0.3:
        parts.pop()
    if r.random() < 0.15:
        parts = ["...", *parts[-1:]]
    return ", ".join(parts) or "..."


def join(s: Scope) -> str | None:
    a, r = s.one(), s.r
    if a is None or not s.shape(a):
        return None
    shape = s.shape(a)
    axis = r.randrange(len(shape))
    b = s.one(
        lambda other: len(other) == len(shape) and other[:axis] + other[axis + 1 :] == shape[:axis] + shape[axis + 1 :]
    )
    b = b or a
    ways = [f"ts.concat([{a}, {b}], {axis})", f"ts.concat([{a}, {b}, {a}], {axis - len(shape)})"]
    ways += [f"ts.stack([{a}, {a} * 0.5], {r.randint(0, len(shape))})"]
    if s.shape(b) == shape:
        ways += [f"ts.stack([{a}, {b}], {r.randint(-1, len(shape))})"]
    widths = tuple((r.randint(0, 2), r.randint(0, 1)) for _ in shape)
    ways += [f"ts.pad({a}, {widths})", f"ts.pad({a}, {widths}, 0.5)"]
    if len(shape) == 2:
        ways += [f"ts.tril({a})", f"ts.triu({a}, {r.randint(-1, 1)})"]
    return s.add(r.choice(ways))


def index(s: Scope) -> str | None:
    a, r = s.one(lambda shape: len(shape) > 0 and shape[0] > 0), s.r
    if a is None:
        return None
    shape = s.shape(a)
    n, m = shape[0], shape[-1]
    many = [r.randint(-n, n - 1) for _ in range(r.randint(1, 4))]
    mask = [r.random() < 0.6 for _ in range(n)]
    mask[0] = True
    ways = [f"{a}[{many}]", f"{a}[np.array({mask})]", f"ts.take({a}, ts.tensor({[k % n for k in many]}), 0)"]
    if m:
        last = [r.randrange(m) for _ in many]
        ways += [f"{a}[..., {last}]", f"{a}[:, {last}]", f"ts.take({a}, ts.tensor({last}), -1)"]
        if len(shape) == 2:
            ways += [f"{a}[{many}, {last}]", f"{a}[{r.randrange(n)}, {last}]", f"{a}[{last[:1]}, :]"]
            picked = [[r.randrange(m) for _ in range(2)] for _ in range(n)]
            ways += [f"ts.gather({a}, ts.tensor({picked}))", f"ts.gather({a}, ts.tensor({[last]}), 0)"]
    rows = [r.randrange(4) for _ in range(n)]
    ways += [f"ts.scatter_add({a}, ts.tensor({rows}), key=('array',), shape={(4, *shape[1:])})"]
    held = s.setup(f"np.array({mask})", "mask")
    other = [not x for x in mask] if not all(mask) else mask
    s.writer.mutable("changed array", f"{held} = np.array({other})", f"{held}[-1] = {not mask[-1]}")
    ways += [f"{a}[{held}]", f"ts.where({held}.reshape({(-1, *(1,) * (len(shape) - 1))}), {a}, 0.5)"] * 2
    return s.add(r.choice(ways))


# -- reductions and products -------------------------------------------------------------------------------------------


def reduction(s: Scope) -> str | None:
    a, r = s.one(), s.r
    if a is None:
        return None
    n = len(s.shape(a))
    if n and 0 in s.shape(a):
        return s.add(f"{a}.sum()")
    if r.random() < 0.3:  # of a value that is repeated along the axes that go
        shape = s.shape(a)
        b = s.weight(*(m if r.random() < 0.3 else 1 for m in shape[r.randint(0, n) :]))
        repeated = r.choice([f"({a} + {b})", f"({a} * {b})", f"ts.broadcast_to({b}, {(r.choice(WIDE), *shape)})"])
        return s.add(f"{repeated}.{r.choice(('sum', 'mean'))}({r.choice(('', *range(n)))})")
    axis = r.choice([None, *range(-n, n), *([tuple(r.sample(range(n), 2))] if n > 1 else [])])
    name = r.choice(["sum", "sum", "sum", "mean", "mean", "max", "min", "var", "prod", "logsumexp"])
    ways = [f"{a}.{name}({axis}, keepdims=True)", f"{a}.{name}({axis})", f"{a}.{name}({axis})"]
    if n:
        along = r.choice(["softmax", "softmax", "log_softmax", "cumsum"])
        ways += [f"{a}.{along}({r.randrange(-n, n)})"] * 2
        ways += [f"{a} - {a}.{r.choice(('mean', 'max', 'sum'))}({r.randrange(n)}, keepdims=True)"]
        ways += [f"{a} / ({a} * {a}).sum({r.randrange(n)}, keepdims=True)"]
        ways += [f"{a}.argmax({r.randrange(n)}).cast(np.float{s.d}) * 0.25"]
    return s.add(r.choice(ways))


def product(s: Scope) -> str | None:
    r = s.r
    a = s.one(lambda shape: len(shape) >= 1 and shape[-1] > 0)
    if a is None:
        return None
    shape = s.shape(a)
    n, h = shape[-1], r.choice(WIDE)
    ways = [lambda: f"{a} @ {s.weight(n, h)}"] * 4
    ways += [lambda: f"{a} @ {s.weight(h, n)}.T", lambda: f"{a} @ {s.weight(n)}"]
    ways += [lambda: f"{a} @ {s.weight(n, h)} + {s.weight(h)}"] * 2
    ways += [lambda: f"ts.tanh({a} @ {s.weight(n, h)} + {s.weight(h)})"]
    if n % 2 == 0:
        ways += [lambda: f"{a} @ ts.transpose({s.weight(n)}.reshape(2, {n // 2}), (1, 0)).reshape({n}, 1)"]
        ways += [lambda: f"{a} @ ts.transpose({s.weight(n, h)}.reshape(2, {n // 2}, {h}), (1, 0, 2)).reshape({n}, {h})"]
    if len(shape) >= 2:
        ways += [lambda: f"{s.weight(h, shape[-2])} @ {a}", lambda: f"{a} @ {a}.swapaxes(-1, -2)"]
        b = s.one(lambda other: len(other) >= 2 and other[-2] == n)
        ways += [lambda: f"{a} @ {b}"] * (b is not None)
    if len(shape) == 2:
        ways += [lambda: f"ts.einsum('ij,kj->ik', {a}, {s.weight(h, n)})", lambda: f"ts.einsum('ij,ij->i', {a}, {a})"]
        ways += [lambda: f"ts.einsum('ij->ji', {a})"]
    if len(shape) == 3:
        ways += [
            lambda: f"ts.einsum('bij,bkj->bik', {a}, {a})",
            lambda: f"ts.einsum('bij,jk->bik', {a}, {s.weight(n, h)})",
        ]
    return s.add(r.choice(ways)())


# -- draws -------------------------------------------------------------------------------------------------------------


def draw(s: Scope) -> str | None:
    a, r = s.one(), s.r
    if a is None:
        return None
    s.writer.feature("draws")
    shape = s.shape(a)
    if r.random() < 0.5:
        module = s.setup(f"nn.Dropout({r.choice((0.2, 0.5, 0.7))})", "drop")
        s.writer.mutable("changed attributes", f"{module}.p = {r.choice((0.1, 0.4, 0.0))}")
        s.writer.mutable("train and eval", f"{module}.eval()", f"{module}.train()")
        return s.add(f"{module}({a})")
    # Of the program's precision: what is drawn in float64 and rounded to float32 may round otherwise compiled.
    kind = "" if s.d == "32" else "dtype=np.float64"
    inside = ", ".join([*map(str, shape), *([kind] if kind else [])])
    ways = [f"{a} + ts.randn({inside})", f"{a} * ts.rand({inside})", f"{a} + ts.randn(1, dtype=np.float{s.d})"]
    ways += [f"ts.dropout({a}, 0.4, seed={r.randint(0, 9)})"]
    return s.add(r.choice(ways))


# -- state that the function reads -------------------------------------------------------------------------------------


def state(s: Scope) -> str | None:
    """Something of Python's that is read at each call: a closure, an attribute, an element, an option."""
    a, r, w = s.one(), s.r, s.writer
    if a is None:
        return None
    first, second, third = (round(r.uniform(0.3, 2.0), 2) for _ in range(3))
    way = r.choice(
        [
            "number",
            "global",
            "attribute",
            "item",
            "element",
            "option",
            "flag",
            "turns",
            "module",
            "box",
            "nested",
            "nothing",
            "filled later",
            "filled later",
        ]
    )
    if way == "filled later":
        return filled_later(s, a)
    if way == "number":
        k = s.setup(f"{first}", "k")
        w.mutable("changed closures", f"{k} = {second}", f"{k} = {third}")
        return s.add(f"{a} * {k}")
    if way == "global":
        k = s.setup(f"{first}", "g")
        w.globals.append(k)
        w.mutable("changed closures", f"{k} = {second}")
        return s.add(f"{a} + {k}")
    if way in ("attribute", "box"):
        box = s.setup(f"Box(scale={first}, shift={second}, name='tanh')", "box")
        w.mutable("changed attributes", f"{box}.scale = {third}", f"{box}.shift = {first}", f"{box}.name = 'sigmoid'")
        return s.add(
            r.choice(
                [
                    f"{a} * {box}.scale",
                    f"{a} * {box}.scale + {box}.shift",
                    f"getattr(ts, {box}.name)({a})",
                    f"{a} if {box}.scale > 1.0 else -{a}",
                ]
            )
        )
    if way == "item":
        box = s.setup(f"{{'scale': {first}, 'deep': [{second}]}}", "opts")
        w.mutable("changed attributes", f"{box}['scale'] = {third}", f"{box}['deep'][0] = {first}")
        return s.add(r.choice([f"{a} * {box}['scale']", f"{a} - {box}['deep'][0]", f"{a} * {box}.get('scale', 1.0)"]))
    if way == "element":
        k = s.setup(f"[{first}, {second}]", "many")
        w.mutable("changed attributes", f"{k}[0] = {third}", f"{k}.append({third})")
        return s.add(r.choice([f"{a} * {k}[0]", f"{a} + {k}[-1]", f"{a} * sum({k})", f"{a} * len({k})"]))
    if way == "option":
        k = s.setup("'tanh'", "word")
        w.mutable("changed closures", f"{k} = 'sin'")
        return s.add(f"getattr(ts, {k})({a})")
    if way == "flag":
        k = s.setup("True", "flag")
        w.mutable("changed closures", f"{k} = False")
        return s.add(f"ts.tanh({a}) if {k} else {a} * 0.5")
    if way == "turns":
        k = s.setup(f"{r.randint(1, 3)}", "n")
        w.mutable("changed closures", f"{k} = {r.randint(0, 3)}")
        y = w.fresh("u")
        return s.add(y, block=f"{y} = {a}\nfor _ in range({k}):\n    {y} = ts.tanh({y}) * 0.9\n")
    if way == "nested":
        f, k = w.fresh("part"), s.setup(f"{first}", "k")
        w.mutable("changed closures", f"{k} = {second}")
        return s.add(f"{f}({a})", block=f"def {f}(q):\n    return q * {k}\n")
    if way == "nothing":
        k = s.setup("None", "maybe")
        w.mutable("changed closures", f"{k} = {first}", f"{k} = f{s.d}({r.randint(0, 99)}, 1)")
        return s.add(f"{a} if {k} is None else {a} * {k}")
    tensor = s.weight(1)
    box = s.setup(f"Box(w={tensor}, parts=[{tensor}])", "box")
    w.mutable(
        "replaced weights",
        f"{box}.w = p{s.d}({r.randint(0, 999)}, 1)",
        f"{box}.parts[0] = p{s.d}({r.randint(0, 999)}, 1)",
    )
    return s.add(r.choice([f"{a} * {box}.w", f"{a} + {box}.parts[0]"]))


def filled_later(s: Scope, a: str) -> str | None:
    """A container with nothing in it, or no attribute, while the function is traced: it is filled between calls."""
    r, w = s.r, s.writer
    first, second = (round(r.uniform(0.3, 2.0), 2) for _ in range(2))
    some = f"p{s.d}({r.randint(0, 999)}, 1)"
    y = w.fresh("u")

    def each(of: str, line: str) -> str:
        return f"{y} = {a}\nfor q in {of}:\n    {y} = {line}\n"

    way = r.choice(
        ["list", "list of weights", "dict", "dict of weights", "set", "attributes", "layers", "keys", "deque"]
    )
    if way == "list":
        k = s.setup("[]", "many")
        w.mutable("filled later", f"{k}.append({first})", f"{k}.extend([{first}, {second}])")
        ways = [
            f"{a} * (1.0 + sum({k}))",
            f"{a} * ({k}[0] if {k} else 1.5)",
            f"{a} + len({k})",
            f"{a} * max({k}, default=0.5)",
        ]
        return s.add(r.choice(ways)) if r.random() < 0.6 else s.add(y, block=each(k, f"{y} * q"))
    if way == "list of weights":
        k = s.setup(r.choice(("[]", "[[]]")), "many")
        deep = f"{k}[0]" if w.space[k] else k
        w.mutable("filled later", f"{deep}.append({some})")
        return s.add(y, block=each(deep, f"{y} * q + q"))
    if way == "dict":
        k = s.setup("{}", "opts")
        w.mutable("filled later", f"{k}['scale'] = {first}", f"{k}.update(scale={second}, shift={first})")
        ways = [
            f"{a} * {k}.get('scale', 1.0)",
            f"{a} * {k}['scale'] if 'scale' in {k} else ts.sin({a})",
            f"{a} + len({k})",
        ]
        return s.add(r.choice(ways)) if r.random() < 0.6 else s.add(y, block=each(f"{k}.values()", f"{y} + q"))
    if way == "dict of weights":
        k = s.setup("{}", "parts")
        w.mutable("filled later", f"{k}['w'] = {some}", f"{k}.setdefault('v', {some})")
        return s.add(y, block=each(f"sorted({k})", f"{y} * {k}[q]"))
    if way == "set":
        k = s.setup("set()", "seen")
        w.mutable("filled later", f"{k}.add({first})", f"{k}.add('flip')")
        return s.add(
            r.choice([f"{a} * len({k})", f"-{a} if 'flip' in {k} else {a} * 0.5", f"{a} if {k} else ts.tanh({a})"])
        )
    if way == "attributes":
        k = s.setup("Box()", "box")
        w.mutable("filled later", f"{k}.scale = {first}", f"{k}.w = {some}")
        ways = [f"{a} * getattr({k}, 'scale', 1.0)", f"{a} * {k}.scale if hasattr({k}, 'scale') else {a}"]
        ways += [f"{a} + {k}.w if 'w' in vars({k}) else {a} * 2.0", f"{a} * getattr({k}, 'w', 0.5)"]
        return s.add(r.choice(ways))
    if way == "layers":
        n = (s.shape(a) or (0,))[-1]
        cast = ".cast(np.float64)" if s.d == "64" else ""
        k = s.setup("Box(layers=[])", "stack")
        w.mutable("filled later", f"{k}.layers.append(nn.Linear({n}, {n}){cast})", f"{k}.layers.append(ts.sin)")
        return s.add(y, block=each(f"{k}.layers", f"q({y})"))
    if way == "deque":
        k = s.setup("collections.deque(maxlen=2)", "last")
        w.mutable("filled later", f"{k}.append({first})", f"{k}.appendleft({second})")
        return s.add(r.choice([f"{a} * (1.0 + sum({k}))", f"{a} * ({k}[0] if {k} else 1.5)"]))
    k = s.setup("{}", "table")
    w.mutable("filled later", f"{k}[(1, 'a')] = {first}", f"{k}[2] = {second}")
    return s.add(y, block=each(f"list({k}.items())", f"{y} * q[1]"))


# -- modules -----------------------------------------------------------------------------------------------------------


def module(s: Scope) -> str | None:
    r, w = s.r, s.writer
    a = s.one(lambda shape: len(shape) >= 1 and shape[-1] > 0)
    if a is None:
        return None
    n, h = s.shape(a)[-1], r.choice((1, 2, 3, 5, 8))
    cast = ".cast(np.float64)" if s.d == "64" else ""
    way = r.choice(["linear", "linear", "linear", "norm", "norm", "embed", "attend"])
    if way == "linear":
        m = s.setup(f"nn.Linear({n}, {h}{r.choice(('', '', ', bias=False'))}){cast}", "lin")
        w.module(m)
        w.mutable("replaced weights", f"{m}.W = p{s.d}({r.randint(0, 999)}, {n}, {h})")
        others = [v for v in w.weights if w.space[v].shape == (n, h)]
        if others:
            w.mutable("replaced weights", f"{m}.W = {others[0]}")  # tied
        if w.space[m].b is not None:
            w.mutable("replaced weights", f"{m}.b = None", f"{m}.b = p{s.d}({r.randint(0, 999)}, {h})")
        return s.add(f"{m}({a})")
    if way == "norm":
        m = s.setup(f"nn.LayerNorm({n}){cast}", "norm")
        w.module(m)
        w.mutable("changed attributes", f"{m}.eps = {r.choice((0.1, 0.5))}")
        return s.add(f"{m}({a})")
    if way == "embed":
        m = s.setup(f"nn.Embedding({r.randint(3, 6)}, {h}){cast}", "emb")
        w.module(m)
        w.mutable("replaced weights", f"{m}.W = p{s.d}({r.randint(0, 999)}, {w.space[m].W.shape[0]}, {h})")
        ids = next((p for p in w.parameters if p.kind == "ids"), None)
        return s.add(
            f"{m}({ids.name if ids else [r.randint(0, 2) for _ in range(3)]})"
            if ids
            else f"{m}(ts.tensor({[r.randint(0, 2) for _ in range(3)]}))"
        )
    if len(s.shape(a)) != 3:
        return None
    heads = r.choice([k for k in (1, 2, 3) if n % k == 0])
    m = s.setup(f"nn.MultiheadAttention({n}, {heads}){cast}", "att")
    w.module(m)
    return s.add(f"{m}({a}, {a}, {a})", block="") or s.add(f"{m}({a}, {a}, {a})[0]")


# -- loops over time ---------------------------------------------------------------------------------------------------


def sequence(s: Scope) -> str | None:
    return s.one(lambda shape: len(shape) == 3 and 1 <= shape[1] <= 4 and shape[0] > 0 and shape[2] > 0)


def options(s: Scope, batch: int, time: int) -> str:
    """Options of ``ts.unroll``."""
    r, w = s.r, s.writer
    found = []
    if r.random() < 0.25:
        found.append("reverse=True")
    if r.random() < 0.2:
        found.append(f"truncate={r.randint(1, 2)}")
    if r.random() < 0.35:
        given = next((p for p in w.parameters if p.kind == "lengths" and len(w.space[p.name]) == batch), None)
        if given is not None:
            found.append(f"lengths={given.name}")
        else:
            first, second = ([r.randint(0, time) for _ in range(batch)] for _ in range(2))
            held = s.setup(r.choice([f"{first}", f"np.array({first})", f"ts.tensor({first})"]), "lengths")
            w.mutable("changed closures", f"{held} = {second}")
            if isinstance(w.space[held], list):
                w.mutable("changed attributes", f"{held}[0] = {r.randint(0, time)}")
            found.append(f"lengths={held}")
    return "".join(f", {option}" for option in found)


def scan(s: Scope) -> str | None:
    """A cell of its own over the steps."""
    r, w = s.r, s.writer
    a = sequence(s)
    if a is None or s.depth:
        return None
    batch, time, features = s.shape(a)
    h = r.choice((1, 2, 3, 4, 5))
    start = s.weight(batch, h) if r.random() < 0.5 else s.setup(f"f{s.d}({r.randint(0, 99)}, {batch}, {h})", "h")
    inner = Scope(w, dict(s.values), depth=1)
    x, state_ = w.fresh("x"), w.fresh("h")
    inner.values[x], inner.values[state_] = s.values[a][:, 0], s.values[start]
    inner.floats += [x, state_]
    for _ in range(r.randint(0, 3)):
        r.choice((unary, binary, product, view, state, draw, reduction, join))(inner)
    wx, wh = inner.weight(features, h), inner.weight(h, h)
    new = inner.add(
        r.choice(
            [
                f"ts.tanh({x} @ {wx} + {state_} @ {wh})",
                f"{state_} * 0.5 + ts.tanh({x} @ {wx})",
                f"ts.tanh(ts.concat([{state_}, {x}], -1) @ {inner.weight(features + h, h)})",
                f"ts.sigmoid({x} @ {wx}) * {state_}",
            ]
        )
    )
    extra = inner.one(lambda shape: shape == (batch, h))
    if new is None or extra is None:
        return None
    if extra not in (new, state_) and r.random() < 0.5:
        new = inner.add(f"{new} + {extra} * 0.5") or new
    y = r.choice([new, state_, inner.one(lambda shape: len(shape) >= 1 and shape[0] == batch)])
    step = w.fresh("step")
    body = "\n".join("    " + line.replace("\n", "\n    ") for line in inner.lines)
    block = f"def {step}({x}, {state_}):\n{body}\n    return {y}, {new}\n"
    for name in inner.values:
        if name in w.space and name not in s.values:
            s.values[name] = w.space[name]
    ys, last = w.fresh("ys"), w.fresh("last")
    w.feature("scans")
    block += f"{ys}, {last} = ts.unroll({step}, {a}, {start}{options(s, batch, time)})\n"
    return ended(s, ys, last, block)


def ended(s: Scope, ys: str, last: str, block: str) -> str | None:
    """Use the outputs of a loop, or its last state, or both."""
    r = s.r
    ways = [f"{ys}[:, -1]", f"{ys} * 1.5", f"{ys}.reshape(-1, {ys}.shape[-1])", f"{ys}[:, ::2]", f"{ys}.swapaxes(0, 1)"]
    ways += [f"{ys}[0]", f"{ys}.sum(1)"]
    state_ = f"ts.trees.leaves({last})"
    ways += [f"[q for _, q in {state_}][-1]", f"[q for _, q in {state_}][0] * 2.0", f"[q for _, q in {state_}][0].T"]
    return s.add(r.choice(ways), view=True, block=block)


def cell(s: Scope) -> str | None:
    """A cell or layer of the library."""
    r, w = s.r, s.writer
    a = sequence(s)
    if a is None or s.depth:
        return None
    batch, time, features = s.shape(a)
    h, cast = r.choice((1, 2, 3, 4)), ".cast(np.float64)" if s.d == "64" else ""
    ys, last = w.fresh("ys"), w.fresh("last")
    w.feature("scans")
    if r.random() < 0.5:
        kind = r.choice(["RNN", "LSTM", "GRU"])
        more = r.choice(["", "", ", bidirectional=True", ", num_layers=2", ", num_layers=2, dropout=0.5"])
        m = s.setup(f"nn.{kind}({features}, {h}{more}){cast}", "rnn")
        w.module(m)
        return ended(s, ys, last, f"{ys}, {last} = {m}({a})\n")
    kind = r.choice(["RNNCell", "LSTMCell", "GRUCell", "LayerNormGRUCell", "IndRNNCell"])
    m = s.setup(f"nn.{kind}({features}, {h}){cast}", "cell")
    w.module(m)
    path, weight = r.choice(list(w.space[m].named_parameters()))
    if "." not in path:
        w.mutable("replaced weights", f"{m}.{path} = p{s.d}({r.randint(0, 999)}{extents(weight.shape)})")
    return ended(s, ys, last, f"{ys}, {last} = ts.unroll({m}, {a}{options(s, batch, time)})\n")


# -- gradients inside --------------------------------------------------------------------------------------------------


def gradient(s: Scope) -> str | None:
    a, r = s.one(), s.r
    if a is None or s.depth:
        return None
    shape = s.shape(a)
    inner = ["(q * q).sum()", "ts.tanh(q).sum()", "(q.T.reshape(-1) ** 3).sum()", "(q[..., ::2] ** 2).sum()"]
    inner += ["ts.exp(q * 0.3).mean()", "ts.logsumexp(q)", "(q.reshape(-1)[::2] * 3.0).sum()"]
    if shape and shape[-1]:
        inner += [f"ts.tanh(q @ {s.weight(shape[-1], 2)}).sum()", f"(q * {s.weight(shape[-1])}).sum()"] * 2
    body = r.choice([text for text in inner if shape or "[" not in text])
    s.writer.feature("gradients inside")
    return s.add(
        r.choice(
            [
                f"ts.grad(lambda q: {body})({a})",
                f"ts.value_and_grad(lambda q: {body})({a})[1]",
                f"ts.grad(lambda q: ts.grad(lambda q: {body})(q).sum())({a})",
                f"ts.grad(lambda p, q: (p * {body}).sum(), argnums=1)({a}, {a})",
            ]
        )
    )


def loss(s: Scope) -> str | None:
    r, w = s.r, s.writer
    a = s.one(lambda shape: len(shape) >= 1 and 0 not in shape)
    if a is None:
        return None
    shape = s.shape(a)
    mode = r.choice(("", ", reduction='mean'", ", reduction='none'"))
    if r.random() < 0.6:
        labels = next((p for p in w.parameters if p.kind == "labels" and w.space[p.name].shape == shape[:-1]), None)
        given = labels.name if labels else s.setup(f"ints({r.randint(0, 99)}, {shape[-1]}{extents(shape[:-1])})", "t")
        if labels is None:
            w.mutable("changed closures", f"{given} = ints({r.randint(0, 99)}, {shape[-1]}{extents(shape[:-1])})")
            w.mutable("bad values", f"{given} = {given} * 0 - 1")
        return s.add(f"nn.cross_entropy({a}, {given}{mode})")
    target = s.setup(f"ts.sigmoid(f{s.d}({r.randint(0, 99)}{extents(shape)}))", "t")
    w.mutable("bad values", f"{target} = {target} + 2.0")
    return s.add(f"nn.{r.choice(('binary_cross_entropy', 'squared_error'))}({a}, {target}{mode})")


# -- what a compiler may refuse ----------------------------------------------------------------------------------------


def outside(s: Scope) -> str | None:
    """State outside that a call changes."""
    a, r, w = s.one(), s.r, s.writer
    if a is None or s.depth:
        return None
    shape = s.shape(a)
    w.feature("outside state")
    if r.random() < 0.4:
        log = s.setup("[]", "log")
        w.left.append(log)
        return s.add(r.choice([a, f"{a} * len({log})"]), block=f"{log}.append({r.choice((a, f'{a}.detach()', '1'))})\n")
    if r.random() < 0.4:
        box = s.setup("Box(count=0)", "box")
        w.left.append(box)
        return s.add(f"{a} * {box}.count", block=f"{box}.count += 1\n")
    box = s.setup(f"Box(h=f{s.d}({r.randint(0, 99)}{extents(shape)}))", "box")
    w.left.append(box)
    y = w.fresh("u")
    return s.add(f"{y} * 1.5", block=f"{y} = {a} + {box}.h * 0.5\n{box}.h = {y}{r.choice(('', '.detach()'))}\n")


def assigned(s: Scope) -> str | None:
    """A new value for an argument, a weight, or a tensor that the function has made."""
    a, r, w = s.one(), s.r, s.writer
    if a is None or s.depth:
        return None
    block = ""
    known = [name for name in (*w.weights, *(p.name for p in w.parameters if p.kind == "tensor")) if name in s.floats]
    if known and r.random() < 0.7:
        target = r.choice(known)
    else:
        target = w.fresh("u")
        block = f"{target} = f{s.d}({r.randint(0, 99)}{extents(s.shape(a))})\n"
    new = r.choice([f"{target} * 0.5 + {a}", f"{target} * -0.9", f"ts.tanh({target}) + 0.1"])
    w.feature("assigned inside")
    return s.add(f"{target} * {a}", block=f"{block}{target}.assign({new})\n")


def control(s: Scope) -> str | None:
    """Control flow on values."""
    a, r = s.one(), s.r
    if a is None or s.depth:
        return None
    s.writer.feature("control flow")
    return s.add(r.choice([f"{a} if {a}.sum() > 0 else -{a}", f"{a} * float({a}.mean())", f"{a} * {a}.sum().item()"]))


PIECES: list[tuple[int, Piece]] = [
    (22, view), (18, unary), (16, binary), (9, reduction), (12, product), (5, join), (5, index), (4, draw), (14, state),
    (7, module), (7, scan), (6, cell), (4, gradient), (3, loss),
]  # fmt: skip
