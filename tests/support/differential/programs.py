"""Random programs: a function with what it closes over, and calls of it with changes in between.

A program is written while it runs eagerly, so that what is written can be computed. The same random numbers give the
same program.
"""

from __future__ import annotations

import builtins
import re
import textwrap
import warnings
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

import tinyseq as ts
from support.differential.pieces import EXTENTS, PIECES, WIDE, Scope, assigned, control, extents, outside
from support.differential.playing import NAMES, Session, eagerly
from tinyseq.graph import here
from tinyseq.modes import mode
from tinyseq.tensors import Tensor


@dataclass
class Parameter:
    """A parameter of the function: its name, what is given for it, and how."""

    name: str
    kind: str
    #: Expressions for values; each call takes one of them.
    values: list[str]
    keyword_only: bool = False
    default: str | None = None


@dataclass
class Program:
    """A program's text, and what is in it."""

    text: str
    features: set[str] = field(default_factory=set)


#: Not in the order of the alphabet, which is how keywords might be sorted.
PARAMETERS = ("x", "z", "y", "b", "m", "a", "q2", "c2")
#: What a parameter may be.
KINDS = (*["tensor"] * 3, *["optional"] * 2, *["number"] * 2, "ids", "labels", "lengths", "tree", "flag")
#: What is done with a float among the arguments: it is computed with, or decides.
NUMBERS = (
    *("{a} * {k}", "{a} + {k}", "{a} * {k} + {k}", "{a} / ({k} * {k} + 1.0)", "{a} * (2 * {k} - 1)", "{k} - {a}"),
    *("ts.tanh({a}) if {k} > 0.6 else -{a}", "ts.clip({a}, -0.2, abs({k}) + 0.1)", "{a} * math.exp({k} * 0.3)"),
    *("({a} * {a} + 0.5) ** {k}", "{a} * round({k})", "ts.where({a} > {k}, {a}, {k})", "{a} * ({k} or 2.0)"),
)
ENDINGS = ("plain", "plain", "plain", "plain", "step", "step", "grad", "method", "module", "nested", "partial")


class Writer:
    """Writes one program."""

    def __init__(self, r: Random) -> None:
        self.r = r
        self.bits = "64" if r.random() < 0.4 else "32"
        self.count = 0
        self.session = Session()
        self.space: dict[str, Any] = {**NAMES, "jit": eagerly, "t": self.session}
        self.before: list[str] = []
        self.weights: list[str] = []
        self.modules: list[str] = []
        self.globals: list[str] = []
        self.left: list[str] = []
        self.features: set[str] = set()
        self.parameters: list[Parameter] = []
        self.changes: list[tuple[str, str]] = []

    # -- what pieces ask for -------------------------------------------------------------------------------------------

    def fresh(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def kind(self) -> str:
        """``p`` for a weight that learns, ``f`` for a constant."""
        return "p" if self.r.random() < 0.8 else "f"

    def setup(self, rhs: str, prefix: str) -> str:
        name = self.fresh(prefix)
        self.run(f"{name} = {rhs}", self.space)
        self.before.append(f"{name} = {rhs}")
        return name

    def weight(self, name: str) -> None:
        value = self.space[name]
        self.weights.append(name)
        letter = "p" if value.requires_grad else "f"
        new = f"{letter}{self.bits}({self.r.randint(0, 999)}{extents(value.shape)})"
        self.mutable("replaced weights", f"{name} = {new}")
        self.mutable("assigned weights", f"{name}.assign({new.replace('p', 'f', 1)})")
        tied = [w for w in self.weights if w != name and self.space[w].shape == value.shape]
        tied = [w for w in tied if self.space[w].requires_grad == value.requires_grad]
        if tied:
            self.mutable("replaced weights", f"{name} = {tied[0]}")

    def module(self, name: str) -> None:
        self.modules.append(name)

    def mutable(self, feature: str, *changes: str) -> None:
        self.changes += [(feature, change) for change in changes]

    def feature(self, name: str) -> None:
        self.features.add(name)

    def run(self, text: str, space: dict[str, Any]) -> None:
        exec(builtins.compile(text, "<written>", "exec"), space)

    def tried(self, text: str, space: dict[str, Any]) -> bool:
        """Run a statement in a space; False where it raises."""
        calls = ts.random.generator.calls
        try:
            self.run(text, space)
        except Exception:
            ts.random.generator.calls = calls
            return False
        return True

    # -- the program ---------------------------------------------------------------------------------------------------

    def extent(self) -> int:
        return self.r.choice(EXTENTS)

    def a_shape(self) -> tuple[int, ...]:
        r = self.r
        n = r.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))
        if n == 3:
            return (r.choice((1, 1, 2, 3)), r.randint(1, 4), r.choice((1, 2, 3, 4, 5)))
        shape = [self.extent() for _ in range(n)]
        if n and r.random() < 0.35:
            shape[-1] = r.choice(WIDE)
        while np.prod(shape) > 120:
            shape[shape.index(max(shape))] = 2
        return tuple(shape)

    def tensors(self, shape: tuple[int, ...], requires_grad: bool) -> list[str]:
        """Expressions for arguments of that shape, one after the other."""
        r = self.r
        letter = "p" if requires_grad else "f"
        made = [f"{letter}{self.bits}({r.randint(0, 999)}{extents(shape)})" for _ in range(4)]
        if r.random() < 0.2 and shape:
            other = tuple(n if i else self.extent() for i, n in enumerate(shape))
            made[r.randint(1, 3)] = f"{letter}{self.bits}({r.randint(0, 999)}{extents(other)})"
        if r.random() < 0.1:
            made[1] = f"f{made[1][1:]}" if requires_grad else f"p{made[1][1:]}"
        for way, chance in (("tied", 0.08), ("odd", 0.03)):
            if r.random() < chance:
                made[r.randint(1, 3)] = f"{way}({made[0]})"
        if shape and r.random() < 0.08:
            made[2] = f"ts.tensor(a{self.bits}({r.randint(0, 999)}{extents(tuple(reversed(shape)))}).T)"
        return made

    def declare(self) -> list[Parameter]:
        """Write the function's parameters."""
        r = self.r
        names = list(PARAMETERS)
        first = Parameter("x", "tensor", self.tensors(self.a_shape(), r.random() < 0.6))
        found, names = [first], names[1:]
        if r.random() < 0.2:
            r.shuffle(names)
        shape = self.value(first.values[0]).shape
        for name in names[: r.choice((0, 0, 1, 1, 2, 3))]:
            kind = r.choice(KINDS)
            p = Parameter(name, kind, [])
            if kind in ("tensor", "optional"):
                like = shape[r.randint(0, len(shape)) :] if r.random() < 0.7 else self.a_shape()
                like = shape if r.random() < 0.4 else like
                p.values = self.tensors(tuple(like), r.random() < 0.5)
                if kind == "optional":
                    p.default = "None"
            elif kind == "number":
                p.values = [repr(v) for v in (round(r.uniform(-2, 2), 2), round(r.uniform(0, 2), 1), 1.0, 2)]
                p.default = r.choice([None, "0.5"])
            elif kind == "ids":
                p.values = [f"ints({r.randint(0, 99)}, 3, {r.randint(1, 4)})"] * 2 + [f"ints({r.randint(0, 99)}, 3, 2)"]
                p.values.append("ts.tensor([0, -1])")
            elif kind == "labels":
                if not shape:
                    continue
                p.values = [f"ints({r.randint(0, 99)}, {shape[-1]}{extents(shape[:-1])})" for _ in range(3)]
                p.values.append(f"{p.values[0]} - 1")
            elif kind == "lengths":
                if len(shape) != 3:
                    continue
                made = [[r.randint(0, shape[1]) for _ in range(shape[0])] for _ in range(3)]
                made.append([5, *[-2] * (shape[0] - 1)])
                way = r.choice(("{}", "{}", "np.array({})", "ts.tensor({})"))
                p.values = [way.format(v) for v in made]
            elif kind == "tree":
                one = self.tensors(tuple(shape), r.random() < 0.5)
                way = r.choice(("{{'p': {0}, 'b': {1}}}", "({0}, {1})", "[{0}, {1}]", "{{'z': ({0}, None), 'a': {1}}}"))
                p.values = [way.format(one[0], one[i]) for i in (1, 1, 3)]
            else:
                p.values, p.default = ["True", "False"], r.choice([None, "True"])
            p.keyword_only = r.random() < 0.25
            found.append(p)
        found.sort(key=lambda p: (p.keyword_only, p.default is not None))
        return found

    def value(self, expression: str) -> Any:
        return eval(expression, self.space)

    def signature(self) -> str:
        parts, starred = [], False
        for p in self.parameters:
            if p.keyword_only and not starred:
                parts.append("*")
                starred = True
            parts.append(p.name if p.default is None else f"{p.name}={p.default}")
        return ", ".join(parts)

    def body(self, s: Scope) -> None:
        """Write the function's statements."""
        r = self.r
        for p in self.parameters:
            value = self.space[p.name]
            if p.kind in ("tensor", "optional") and p.default is None:
                s.use(p.name)
        s.use("x")
        for p in self.parameters:
            a = s.one()
            assert a is not None
            if p.kind == "optional":
                s.add(f"{a} if {p.name} is None else {a} {r.choice('+*-')} {p.name}")
            elif p.kind == "number":
                s.add(r.choice(NUMBERS).format(a=a, k=p.name))
            elif p.kind == "flag":
                s.add(f"{a} * 2.0 if {p.name} else ts.sin({a})")
            elif p.kind == "tree":
                value = self.space[p.name]
                parts = [p.name + path for path in paths(value)]
                for part in parts:
                    s.add(f"{part} * 1.0" if r.random() < 0.5 else f"{part} + {a}")
            elif p.kind == "tensor" and p.name != "x":
                s.add(f"{a} {r.choice('+-*')} {p.name}")
        weights, pieces = [w for w, _ in PIECES], [piece for _, piece in PIECES]
        for _ in range(r.choice((2, 3, 3, 4, 4, 5, 6, 8))):
            piece = choose(r, weights, pieces)
            if piece(s) is None and r.random() < 0.5:
                choose(r, weights, pieces)(s)
        if r.random() < 0.06:
            outside(s)
        if r.random() < 0.06:
            assigned(s)
        if r.random() < 0.015:
            control(s)
        if r.random() < 0.45:
            PIECES[0][1](s)

    def returned(self, s: Scope) -> str:
        """Write what the function returns: mostly what came last."""
        r = self.r
        last = [name for name in reversed(s.floats) if name.startswith("v")] or ["x"]
        picked = last[:1] + [name for name in last[1:] if r.random() < 0.25][:2]
        if s.views & set(picked):
            self.feature("outputs that are views or slices")
        if r.random() < 0.15:
            picked.append(
                r.choice([*(p.name for p in self.parameters if p.kind == "tensor"), *self.weights, picked[0]])
            )
            self.feature("outputs that are inputs")
        if r.random() < 0.3 and picked[0] not in s.views:
            picked[0] = f"{picked[0]}.sum()"
        r.shuffle(picked)
        if len(picked) == 1:
            return picked[0]
        ways = ["{}, {}", "[{}, {}]", "{{'z': {}, 'a': {}}}", "({}, {}), None"]
        return r.choice(ways).format(*picked[:2]) if len(picked) == 2 else ", ".join(picked)

    def write(self) -> Program:
        """Write the program."""
        r = self.r
        place, source = here.place, here.source
        ts.seed(0)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                self.parameters = self.declare()
                for p in self.parameters:
                    self.space[p.name] = self.value(p.values[0])
                s = Scope(self, {**self.space})
                self.body(s)
                text = self.assemble(s, r.choice(ENDINGS))
            finally:
                mode.tracing, mode.recording = None, True
                here.place, here.source = place, source
        return Program(text, self.features)

    def assemble(self, s: Scope, ending: str) -> str:
        """Put the function and its calls together."""
        r = self.r
        body = "\n".join(s.lines)
        lines: list[str] = []
        known = set(re.findall(r"\w+", body))
        if ending == "step":
            trained = sorted(w for w in self.weights if w in known and self.space[w].requires_grad)
            parts = [f"*{m}.parameters()" for m in self.modules if m in known]
            if not trained and not parts:
                ending = "plain"
            else:
                self.setup(f"[{', '.join([*trained, *parts])}]", "learned")
                learned = self.before[-1].split(" = ")[0]
                kind, more, changes = r.choice(OPTIMISERS)
                opt = self.setup(f"optim.{kind}({learned}, lr=0.05{more})", "opt")
                self.mutable("changed attributes", f"{opt}.lr = 0.2", *(f"{opt}.{c}" for c in changes))
                self.feature("optimisers")
                self.feature("backward inside")
                last = [n for n in reversed(s.floats) if n.startswith("v")] or ["x"]
                zero = f"{opt}.zero_grad()"
                body += f"\nloss = ({last[0]} * {last[0]}).mean()\n"
                body += f"{zero}\nloss.backward()\n" if r.random() < 0.7 else "loss.backward()\n"
                if r.random() < 0.3:
                    body += f"optim.clip_grad_norm({learned}, 0.5)\n"
                if r.random() < 0.8:
                    body += f"{opt}.step()\n"
                body += f"{zero}\n" * (r.random() < 0.4)
                result = r.choice(["loss", f"loss, {last[0]}", f"{last[0]}, loss.detach()"])
                if r.random() < 0.2:
                    result += f", {r.choice(trained or last)}" + ".grad" * (r.random() < 0.3)
                    self.feature("outputs that are inputs")
        elif ending == "grad":
            last = [n for n in reversed(s.floats) if n.startswith("v")] or ["x"]
            result = r.choice([f"({last[0]} * {last[0]}).sum()", f"ts.tanh({last[0]}).mean()"])
            self.feature("gradients inside")
        if ending not in ("step", "grad"):
            result = self.returned(s)
        if ending == "plain" and r.random() < 0.08:
            x = r.choice([p.name for p in self.parameters if p.kind == "tensor"] + self.weights)
            if getattr(self.space[x], "requires_grad", False):
                body += f"\n({result.split(',')[0].strip('([')} * {x}).sum().backward()" if "{" not in result else ""
                self.feature("backward inside")
        written = f"{body}\n{result}"
        self.weights = [w for w in self.weights if re.search(rf"\b{w}\b", written)]
        self.modules = [m for m in self.modules if re.search(rf"\b{m}\b", written)]

        names = {m for line in self.before for m in re.findall(r"^\w+", line)}
        used = set(re.findall(r"\w+", written))
        for line in reversed(self.before):  # what a piece wanted that was then not written
            if line.split(" = ")[0] in used:
                used |= set(re.findall(r"\w+", line))
        self.before = [line for line in self.before if line.split(" = ")[0] in used]
        used &= names
        self.changes = [c for c in self.changes if re.match(r"\w+", c[1])[0] in used]  # type: ignore[index]
        self.globals = [g for g in self.globals if g in used]
        self.left = [name for name in dict.fromkeys(self.left) if name in used]
        if self.globals:
            lines.append(f"global {', '.join(dict.fromkeys(self.globals))}")
        lines += [f"ts.seed({r.randint(0, 99)})", *self.before]
        signature = self.signature()
        options = r.choice([""] * 12 + [", verify=True", ", recompute=True", ", recompute=2"])
        function = textwrap.indent(f"{body}\nreturn {result}".strip(), "    ")
        self.closed(lines, ending, signature, function, options)
        self.drive(lines, ending)
        return "def program(jit, t):\n" + textwrap.indent("\n".join(lines), "    ") + "\n"

    def closed(self, lines: list[str], ending: str, signature: str, function: str, options: str) -> None:
        """Write the definition of the function and of its compiled form."""
        r = self.r
        if ending == "method":
            self.feature("methods")
            inner = textwrap.indent(function, "    ")
            if r.random() < 0.5:
                decorator = "    @jit\n" if not options else f"    @jit({options[2:]})\n"
                lines += [
                    f"class Model:\n{decorator}    def f(self, {signature}):\n{inner}",
                    "model = Model()",
                    "fast = model.f",
                ]
            else:
                lines += [f"class Model:\n    def f(self, {signature}):\n{inner}", "model = Model()"]
                lines += [f"fast = jit(model.f{options})"]
        elif ending == "module":
            self.feature("methods")
            inner = textwrap.indent(function, "    ")
            lines += [f"class Model(nn.Module):\n    def forward(self, {signature}):\n{inner}", "model = Model()"]
            lines += [f"fast = jit(model{options})"]
        else:
            lines.append(f"def f({signature}):\n{function}")
            if ending == "grad":
                inner = r.choice(["ts.grad(f)", "ts.value_and_grad(f)"])
                lines.append(r.choice([f"fast = jit({inner}{options})", f"fast = ts.grad(jit(f{options}))"]))
            elif ending == "nested":
                lines += [f"part = jit(f{options})", "fast = jit(lambda *args, **named: part(*args, **named))"]
            elif ending == "partial":
                lines += ["import functools", f"fast = jit(functools.partial(f){options})"]
            elif options and r.random() < 0.3:
                lines.append(f"fast = jit({options[2:]})(f)")
            else:
                lines.append(f"fast = jit(f{options})")

    # -- calls and what happens in between -----------------------------------------------------------------------------

    def drive(self, lines: list[str], ending: str) -> None:
        """Write the calls, trying each statement in a run of its own."""
        r = self.r
        space = {**NAMES, "jit": eagerly, "t": self.session}
        for line in lines:
            self.run(line, space)
        leaves = [w for w in self.weights if space[w].requires_grad]
        watched = list(dict.fromkeys([*leaves, *(f"*{m}.parameters()" for m in self.modules)]))

        def keep(line: str, feature: str = "") -> bool:
            before = len(self.session.seen)
            trial = dict(space)
            if not self.tried(line, trial):
                return False
            raised = any(type(value).__name__ == "Raised" for _, value in self.session.seen[before:])
            if raised and r.random() < (0.2 if self.bad_values(line) else 0.9):
                return False
            if raised:
                self.feature("exceptions")
            space.update(trial)
            lines.append(line)
            if feature:
                self.feature(feature)
            return True

        inside = bool({"backward inside", "assigned inside"} & self.features)
        held: list[str] = []
        bad = None
        for number in range(r.choice((1, 2, 2, 3, 3, 3, 4, 5))):
            if number:
                for feature, change in r.sample(self.changes, min(len(self.changes), r.choice((0, 1, 1, 2)))):
                    if feature == "changed array" and "[" in change.split(" = ")[0]:
                        feature = "changed in place"
                    if feature == "bad values":
                        bad = change
                    keep(change, feature)
                if r.random() < 0.12:
                    keep(f"ts.seed({r.randint(0, 99)})", "seeds")
            given, arguments, keywords = self.arguments(number, space, keep)
            if keywords:
                self.feature("keyword arguments")
            call = ", ".join(["fast", *arguments])
            out = f"out{number}"
            own = [a for a in given if isinstance(space.get(a), Tensor) and space[a].requires_grad]
            tensors = f"[{', '.join([*watched, *own])}]"
            quiet = r.random() < 0.1
            if not keep(
                f"{out} = " * (not quiet) + f"t.call('call {number}', {call})"
                if not quiet
                else f"with ts.no_grad():\n    {out} = t.call('call {number} without gradients', {call})"
            ):
                continue
            if bad:
                break
            held.append(out)
            if quiet:
                continue
            if inside or ending == "grad":
                keep(f"t.grads('call {number}', {tensors}, clear={r.random() < 0.8})")
                if inside:
                    keep(f"t.note('call {number}: weights', {tensors})")
                continue
            way = r.random()
            if number and way < 0.12:  # the backward pass of a call comes when another has been made
                also, other, _ = self.arguments(number, space, keep, suffix="b")
                also = [a for a in also if isinstance(space.get(a), Tensor) and space[a].requires_grad]
                if keep(f"{out}b = t.call('call {number}, beside', {', '.join(['fast', *other])})"):
                    keep(f"t.back('call {number}', {out}, {tensors})")
                    keep(f"t.back('call {number}, beside', {out}b, [{', '.join([*watched, *also])}])")
                    self.feature("two calls before a backward pass")
            elif way < 0.5:
                keep(f"t.back('call {number}', {out}, {tensors})")
            elif way < 0.58:
                if keep(f"t.back('call {number}', {out}, {tensors}, clear=False)"):
                    self.feature("accumulation")
            elif way < 0.66:
                keep(f"t.back('call {number}', {out}, {tensors}, retain=True)")
                keep(f"t.call('call {number} again', {call})")
                if keep(f"t.back('call {number}, twice', {out}, {tensors})"):
                    self.feature("a graph twice")
            elif way < 0.76:
                change = next((c for f, c in self.changes if f == "assigned weights"), None)
                between = f", lambda: {change}" if change and r.random() < 0.5 else ""
                if keep(f"t.second('call {number}', {out}, {tensors}{between})"):
                    self.feature("gradients of gradients")
            elif way < 0.8 and own:
                args = ", ".join(arguments)
                if keep(f"t.call('gradient {number}', lambda: ts.gradients(total(fast({args})), {tensors}))"):
                    self.feature("gradients outside")
        if held and r.random() < 0.5:
            keep(f"t.note('results kept', [{', '.join(held)}])")
        left = ", ".join(f"{name}={name}" for name in dict.fromkeys(self.left))
        keep(f"t.end({left})")
        for opt in [line.split(" = ")[0] for line in self.before if " = optim." in line]:
            keep(f"t.note('the optimiser', [{opt}.state, {opt}.steps])")
            keep(f"t.note('weights', [{', '.join(watched)}])")

    def bad_values(self, line: str) -> bool:
        return line.startswith("with") or "t.call" in line

    def arguments(
        self, number: int, space: dict[str, Any], keep: Any, suffix: str = ""
    ) -> tuple[list[str], list[str], bool]:
        """Write the arguments of a call; tensors get names, so that their gradients can be read."""
        r = self.r
        positional, named, given = [], [], []
        by_name = False
        for p in self.parameters:
            if p.default is not None and r.random() < 0.35:
                by_name = True  # those after it cannot be told by their place
                continue
            which = 0 if number == 0 else r.randrange(len(p.values))
            if number and p.values and which == len(p.values) - 1 and p.kind in ("ids", "labels", "lengths"):
                which = which if r.random() < 0.25 else 0
            expression = p.values[which]
            if "32(" in expression or "64(" in expression:
                known = [a for a in space if a.startswith(f"{p.name}_")]
                if known and r.random() < 0.3:
                    expression = r.choice(known)
                else:
                    name = f"{p.name}_{number}{suffix}"
                    keep(f"{name} = {expression}")
                    expression = name
                given.append(expression)
            by_name = by_name or p.keyword_only or r.random() < 0.3
            if by_name:
                named.append(f"{p.name}={expression}")
            else:
                positional.append(expression)
        r.shuffle(named)
        return given, [*positional, *named], bool(named)


#: Name, options, and what may be changed later.
OPTIMISERS = (
    ("SGD", "", ("weight_decay = 0.1",)),
    ("SGD", ", momentum=0.9", ("momentum = 0.1", "nesterov = True")),
    ("Adam", "", ("betas = (0.5, 0.7)", "eps = 0.1")),
    ("AdamW", "", ("weight_decay = 0.3", "betas = (0.5, 0.9)")),
    ("RMSprop", ", momentum=0.5", ("alpha = 0.5", "eps = 0.1", "momentum = 0.2")),
)


def choose(r: Random, weights: list[int], things: list[Any]) -> Any:
    left = r.randrange(sum(weights))
    for weight, thing in zip(weights, things, strict=True):
        left -= weight
        if left < 0:
            return thing
    raise AssertionError


def paths(tree: Any, path: str = "") -> list[str]:
    """How the tensors of a tree are reached."""
    if isinstance(tree, Tensor):
        return [path]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, tuple | list) else ()
    return [found for key, part in items for found in paths(part, f"{path}[{key!r}]")]


def written(seed: int) -> Program:
    """The program of a seed."""
    return Writer(Random(seed)).write()
