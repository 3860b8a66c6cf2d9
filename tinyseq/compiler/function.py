"""Compiled functions: traced once for each set of shapes, planned, and from then on run from the plan.

What a trace has read decides when its plan is used again:

- an *input* is read anew at each call: tensors, the function's own and those it closes over, their gradients, floats
  among the arguments that are only computed with, the numbers that ``tensors.live`` reads;
- a *guard* must be what it was: the form of the arguments, shapes, dtypes, other arguments, the gradient mode, the
  backend, and every Python value outside that the function's code leads to (environment.py);
- what a call would change outside is *refused*, for a plan runs no Python.
"""

from __future__ import annotations

import functools
import logging
import operator
import os
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar, overload

import numpy as np

from tinyseq import backends, trees
from tinyseq.backends import Backend
from tinyseq.compiler.arena import Arena
from tinyseq.compiler.arguments import Given, Pattern, form_of
from tinyseq.compiler.capture import Traced, parameter_names, replay, trace_function
from tinyseq.compiler.differentiate import paths_of
from tinyseq.compiler.environment import Guards, alike
from tinyseq.compiler.plan import Plan
from tinyseq.errors import BackendError, GraphError
from tinyseq.graph import Graph, Leaf, Node, caller, signature
from tinyseq.modes import mode
from tinyseq.ops.base import Op
from tinyseq.ops.tuples import pick
from tinyseq.scalars import SCALARS
from tinyseq.tensors import Tensor, sweep
from tinyseq.tracing import gradient_before

if TYPE_CHECKING:  # what the first compilation needs is loaded then
    from tinyseq.compiler.lower.base import Executable
    from tinyseq.compiler.pipeline import Compiled, PipelineLike, Stage
    from tinyseq.compiler.target import Target

log = logging.getLogger("tinyseq.compiler")

#: How many compilations of one function are kept, the least recently used going first.
ENTRIES: Final = 12
#: From which compilation of one function on a warning says what varies.
MANY: Final = 8


class CompileWarning(UserWarning):
    """A function that is compiled again and again: something in it differs at each call."""


class _Stale(Exception):
    """What a trace has read is no longer so."""


class _Binding:
    """The tensors that stand behind a trace's inputs now, and what is checked of them at each call."""

    def __init__(self, captured: Sequence[Tensor], leaves: Sequence[Leaf]) -> None:
        self.captured, self.leaves = captured, leaves
        self.members = set(captured)
        self.shapes = [leaf.shape for leaf in leaves]
        self.dtypes = [leaf.dtype for leaf in leaves]
        self.follows = [leaf.requires_grad for leaf in leaves]
        self.seen: list[Any] = [None] * len(leaves)

    def moved(self, moved: Mapping[Tensor, Tensor]) -> _Binding:
        """Return the binding in which some tensors have taken the place of others."""
        return _Binding([moved.get(x, x) for x in self.captured], self.leaves)

    def values(self, captured: Sequence[Tensor]) -> list[Any]:
        """Return the arrays of the captured tensors.

        Raises:
            _Stale: one has another shape or dtype than it had, or requires a gradient where it did not.
        """
        values = [x.value for x in captured]
        if [x.requires_grad for x in captured] != self.follows:
            raise _Stale("a tensor outside: requires_grad")
        if all(map(operator.is_, values, self.seen)):  # the very arrays: nothing about them has changed
            return values
        if [v.shape for v in values] != self.shapes or [v.dtype for v in values] != self.dtypes:
            raise _Stale("a tensor outside: another shape or dtype")
        self.seen = values
        return values


@dataclass(frozen=True)
class Compilation:
    """What a function became for one set of shapes, from the trace to the plan, and what that is for."""

    traced: Traced
    compiled: Compiled
    plan: Plan
    target: Target
    #: The name of the backend whose arrays the plan takes.
    backend: str
    seconds: float


class Entry:
    """The compilation for one set of shapes: trace, graph, plan, guards, and executables that nobody uses now."""

    def __init__(self, made: Compilation, given: Given, pattern: Pattern | None, arena: Arena) -> None:
        self.arena, self.backend = arena, made.backend
        self.traced, self.compiled, self.plan, self.target = made.traced, made.compiled, made.plan, made.target
        self.seconds, traced, compiled = made.seconds, made.traced, made.compiled
        _, tensors, scalars, held = given
        #: As long as these are held, no other thing has their id.
        self.held = held
        #: By which later calls are read.
        self.pattern = pattern
        self.idle = arena.idle()
        #: What the last call was given: references, not copies.
        self.last_arrays: Sequence[Any] = ()
        self.guards = Guards(traced.environment)
        outside = self.guards.tensors()
        #: Arguments that lie outside too: as long as they are the same, they have one gradient.
        self.twice = [(index, x) for index, x in enumerate(tensors) if x in outside]
        self.binding = _Binding([*traced.captured], [*traced.captured.values()])
        #: Those of the trace, and checks that only the sweep of a gradient has read.
        self.outputs = len(compiled.seeds)
        self.shapes = tuple([node.shape for node in compiled.graph.outputs[: self.outputs]])
        self.dtypes = tuple([node.dtype for node in compiled.graph.outputs[: self.outputs]])
        #: Puts results together as the function does.
        self.filled = trees.filling(traced.result)
        tracing, inputs = traced.tracing, set(traced.graph.inputs)
        self.leaves = (*traced.arguments, *traced.scalars, *traced.captured.values())
        live = [(leaf, read) for leaf, read in tracing.live.items() if leaf in inputs]
        self.live = [read for _, read in live]
        #: All inputs, in the order of a call's arrays; and whether the plan has them in this order.
        self.inputs = (*self.leaves, *(leaf for leaf, _ in live))
        self.in_order = tuple(made.plan.inputs)[: len(self.inputs)] == self.inputs
        self.looked_at, self.effects = tracing.guards, tracing.effects
        self.looked_at = [pair for i, pair in enumerate(self.looked_at) if pair not in self.looked_at[:i]]
        self.pinned = [(i, scalars[i]) for i in sorted(tracing.pinned)]
        self.nonzero = sorted(tracing.nonzero - tracing.pinned)
        place = {leaf: index for index, leaf in enumerate(self.leaves)}
        touched = {place[leaf]: old for leaf, old in tracing.gradients.items() if leaf in place}
        #: The inputs whose gradients the function touches, and whether each had one.
        self.touched = list(touched)
        self.had = [old is not None for old in touched.values()]
        numbers = {x: number for number, x in enumerate(traced.captured)}
        #: Those gradients, which are inputs too: which captured tensor each is, and whose gradient.
        self.former = [(numbers[old], index) for index, old in touched.items() if old in numbers]
        tracing.gradients.clear()
        self.assigned = [place[leaf] for leaf in traced.assigned]
        #: Of the arguments, which the key does not know for leaves.
        self.replaced = [index for index in self.assigned if index < len(traced.arguments)]
        count = traced.returned + len(self.assigned)
        self.graded = [(place[leaf], count + number) for number, leaf in enumerate(traced.graded)]
        self.cleared = [place[leaf] for leaf in traced.cleared]
        #: A function that moves weights or takes gradients itself is a whole step.
        self.whole = traced.whole
        followed = [leaf for leaf in self.leaves if leaf.requires_grad]
        self.returned = traced.returned
        #: Where a function that moves weights or takes gradients does so first.
        self.moves = ", ".join(x.where for x in traced.graph.outputs[traced.returned : count + len(traced.graded)][:1])
        #: Which of its results a gradient flows from; of a whole step, would flow, if there were any further ones.
        self.derived = [seed is not None for seed in compiled.seeds]
        if self.whole:
            returned = traced.graph.outputs[: traced.returned]
            self.derived = [bool(path) for path in paths_of(returned, [*followed, *tracing.renewed])]
        #: Where the tensors stand that a gradient flows to.
        self.sources = trees.taking([place[leaf] for leaf in (followed if self.whole else compiled.reached)])
        #: What a node of each result is made with, None in place of attributes where it has none; empty where all have.
        picks = [
            ({"index": number} if flows else None, node.shape, node.dtype)
            for number, (node, flows) in enumerate(
                zip(traced.graph.outputs[: self.returned], self.derived, strict=False)
            )
        ]
        self.picks = picks if any(attrs is not None for attrs, *_ in picks) else []
        #: Results, and gradients that are left, which are, as eagerly, the very input, or the very result before them.
        self.inputs_again = [(number, place[leaf]) for number, leaf in traced.inputs_again.items()]
        self.outputs_again = [
            (number, first)
            for number, first in traced.outputs_again.items()
            if number < traced.returned or not self.derived[first]
        ]
        #: Leaves that the function makes, and returns: new ones at each call.
        self.made = sorted(
            {place[leaf] for leaf in traced.inputs_again.values() if tracing.is_own(tracing.tensors.get(leaf))}
        )
        #: All that have a gradient, a bit each.
        self.everywhere = (1 << len(compiled.reached)) - 1

    def given(self, tensors: Sequence[Tensor], scalars: Sequence[Any]) -> tuple[Sequence[Tensor | None], list[Any]]:
        """Return what stands behind each of the leaves in this call, and their arrays.

        Raises:
            _Stale: what the trace has read is no longer so, which is said in words.
        """
        for index, value in self.pinned:
            if not alike(scalars[index], value):
                raise _Stale(f"the float {self.traced.scalars[index].name}, whose value decides something")
        for index in self.nonzero:
            if scalars[index] == 0:
                raise _Stale(f"the float {self.traced.scalars[index].name}, which is 0")
        for look, value in self.looked_at:
            if look() != value:
                raise _Stale("the seed, a module's mode, or the value of a tensor outside that Python has looked at")
        if not self.guards.hold():
            self._renew()
        binding = self.binding
        if not binding.members.isdisjoint(tensors) or (self.twice and any(tensors[i] is not x for i, x in self.twice)):
            raise _Stale("an argument that is closed over too")
        captured, arrays = binding.captured, [x.value for x in tensors]
        if scalars:
            arrays += [np.asarray(x) for x in scalars]
        behind: list[Any] = [*tensors, *[None] * len(scalars), *captured]
        if self.touched:
            nodes = [behind[index]._node for index in self.touched]
            if [node.__class__ is Leaf and node.grad is not None for node in nodes] != self.had:
                raise _Stale("a gradient that is there, or is not")
        for index in self.replaced:
            if not behind[index].is_leaf:
                raise _Stale("an argument that is assigned, and was computed")
        for index in self.made:
            x = behind[index]
            behind[index] = Tensor(x.value, Leaf(x.shape, x.dtype, True, x.name), True)
        if self.former:
            start = len(arrays)
            for number, index in self.former:
                behind[start + number] = gradient_before(behind[index])
            captured = behind[start:]
        return behind, arrays + binding.values(captured)

    def _renew(self) -> None:
        reason, moved = self.guards.renew()
        if reason:
            raise _Stale(reason)
        if self.whole and any(old.is_leaf and not new.is_leaf for old, new in moved.items()):
            raise _Stale("a tensor outside: computed now")
        if moved:
            self.binding = self.binding.moved(moved)
            self.twice = [(index, moved.get(x, x)) for index, x in self.twice]
        self.guards = self.guards.renewed()

    @property
    def last_values(self) -> dict[Leaf, Any]:
        """What the last call was given, by input."""
        return dict(zip(self.inputs, self.last_arrays, strict=False))

    def run(self, executable: Executable, arrays: list[Any]) -> list[Any]:
        """Return the outputs for the inputs' arrays."""
        if self.in_order:
            return executable.forward_list(arrays, self.outputs)
        return executable.forward(dict(zip(self.inputs, arrays, strict=True)), self.outputs)

    def forget(self) -> None:
        """Let go of what the last call was given."""
        self.last_arrays = ()
        self.idle.forget()
        self.binding.seen = [None] * len(self.binding.seen)

    def take(self) -> Executable:
        """Return an executable whose buffers nobody needs; a forward pass keeps its own until its backward pass."""
        executable: Executable | None = self.idle.take()
        return self.target.executable(self.plan, self.arena) if executable is None else executable

    def give(self, executable: Executable) -> None:
        """Take an executable back: nobody needs its buffers."""
        self.idle.give(executable)


class _Call:
    """One call of a compiled function: its inputs, and its executable until the backward pass has run."""

    #: None until the forward pass has run: an interrupt may come at any line.
    executable: Executable | None = None

    def __init__(self, entry: Entry, arrays: list[Any], behind: Sequence[Tensor | None]) -> None:
        self.entry, self.arrays, self.behind = entry, arrays, behind
        executable = entry.take()
        self.outputs = entry.run(executable, arrays)
        self.executable = executable

    def __del__(self) -> None:
        self.release()

    def release(self) -> None:
        """Give the buffers back: nobody will ask for gradients."""
        executable, self.executable = self.executable, None
        if executable is not None:
            self.entry.give(executable)

    def sources(self) -> Sequence[Tensor]:
        """Return the tensors that the gradients belong to."""
        return self.entry.sources(self.behind)

    def backward(self, arriving: list[Any]) -> list[Any]:
        """Return the gradients of the leaves that have one; the buffers are free afterwards."""
        executable, self.executable = self.executable, None
        if executable is None:  # a second sweep over a retained graph: the buffers have been used since
            executable = self.entry.take()
            self.entry.run(executable, self.arrays)
        seeds = {
            seed: np.zeros((), seed.dtype) if g is None else g
            for seed, g in zip(self.entry.compiled.seeds, arriving, strict=True)
            if seed is not None
        }
        gradients: list[Any] = executable.backward(seeds, self.entry.outputs)
        self.entry.give(executable)
        flows = 0
        for path, g in zip(self.entry.compiled.paths, arriving, strict=False):
            if g is not None:
                flows |= path
        if flows != self.entry.everywhere:  # from the outputs that were not asked for, no gradient arrives
            gradients = [g if flows >> i & 1 else None for i, g in enumerate(gradients)]
        return gradients

    def differentiable_backward(self, arriving: list[Any]) -> list[Any]:
        """Return the gradients as tensors with a graph of their own, for gradients of gradients.

        The traced graph runs again, op by op, on the values of the call, and its own history is differentiated.
        """
        entry = self.entry
        values = dict(zip(entry.inputs, self.arrays, strict=True))
        backend = backends.load(entry.backend)
        inputs: dict[Node, Tensor] = {
            leaf: Tensor(value if type(value) is backend.array_type else backend.from_host(np.asarray(value)))
            for leaf, value in values.items()
        }
        for leaf, x in zip(entry.leaves, self.behind, strict=True):
            if x is not None:
                inputs[leaf] = Tensor(values[leaf], x.node, x.requires_grad)
        outputs = replay(entry.traced.graph, inputs)[: entry.traced.returned]
        seeds: dict[Node, Tensor] = {}
        for x, g in zip(outputs, arriving, strict=False):
            if g is not None and x.requires_grad:
                seeds[x.node] = seeds[x.node] + g if x.node in seeds else g
        wanted = [x.node for x in self.sources()]
        gradients = sweep(seeds, wanted, retain=True, create_graph=True)
        return [gradients.get(node) for node in wanted]


class _CompiledOp(Op):
    """A call of a compiled function, as a node of the eager graph."""

    name = "compiled"
    formula = r"y = f(x)"
    multiple = True
    primitive = False

    def infer(self, *inputs: Any, **attrs: Any) -> Any:
        outputs = attrs["call"].outputs
        return tuple(y.shape for y in outputs), tuple(y.dtype for y in outputs)

    def joint(self, node: Node, g: list[Any], needed: Sequence[bool]) -> list[Any]:
        call: _Call = node.attrs["call"]
        traced = any(isinstance(part, Tensor) for part in g)
        return call.differentiable_backward(g) if traced else call.backward(g)


class _StepOp(_CompiledOp):
    """A call of a compiled function that takes gradients or moves weights itself: its results have no further ones."""

    name = "compiled step"

    def joint(self, node: Node, g: list[Any], needed: Sequence[bool]) -> list[Any]:
        raise GraphError(
            "backward through the result of a compiled function that takes gradients itself",
            required="one of the two: gradients inside of the compiled function, or of its results",
            got=f"{node.attrs['call']}, which calls backward() or moves weights",
            where=node.attrs["where"],
            fix="compile the function that computes the loss, and call backward() on what it returns",
        )


_compiled: Final = _CompiledOp()
_step: Final = _StepOp()


P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class CompiledFunction(Generic[P, R]):
    """A function that runs from a plan; see ``compile``."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        verify: bool = False,
        recompute: bool | int = False,
        pipeline: PipelineLike = None,
    ) -> None:
        #: Decorated before ``@staticmethod`` undid itself: it is called without an object.
        self.static = isinstance(fn, staticmethod)
        fn = fn.__func__ if isinstance(fn, staticmethod) else fn
        self.fn, self.verify, self.recompute, self.pipeline = fn, verify, recompute, pipeline
        #: What each form of a call compiled to, the most recently used last.
        self.entries: dict[Any, list[Entry]] = {}
        self.compilations = 0
        #: What ran last, and its key: in one, for threads.
        self._last: tuple[Any, Entry] | None = None
        self._arena = Arena()
        self._lock = threading.RLock()
        #: What each compilation was given, by name, in words; and why the one before did not do.
        self._history: list[dict[str, str]] = []
        self.__name__ = type(fn).__name__
        functools.update_wrapper(self, fn, updated=())

    def __reduce__(self) -> Any:
        """A copy, or what is unpickled, compiles anew."""
        make = functools.partial(CompiledFunction, verify=self.verify, recompute=self.recompute, pipeline=self.pipeline)
        return make, (self.fn,)

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """Return the function bound to an object, for a method that was decorated."""
        return self if owner is None or self.static else functools.partial(self, owner)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if mode.tracing is not None:  # within another compiled function, it is part of that
            return self.fn(*args, **kwargs)
        entry, behind, arrays = self._prepared(args, kwargs)
        for read in entry.live:
            arrays.append(np.asarray(read()))
        entry.last_arrays = arrays
        call = _Call(entry, arrays, behind)
        results = self._results(call)
        again: dict[int, Any] = {}
        if entry.inputs_again or entry.outputs_again:
            again = {number: behind[index] for number, index in entry.inputs_again}
            for number, first in entry.outputs_again:
                again[number] = again[first] if first in again else results[first]
            for number, x in again.items():
                if number < entry.returned:
                    results[number] = x
        for effect in entry.effects:
            effect()
        if entry.whole:
            self._leave(call, again)
        result: R = entry.filled(results)
        return result

    def entry(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Entry:
        """Return what a call with these arguments would run from, compiling now if nothing that was compiled fits."""
        return self._prepared(args, kwargs)[0]

    def _prepared(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Entry, Sequence[Tensor | None], list[Any]]:
        """Return what runs a call, what stands behind its inputs, and their arrays."""
        last = self._last
        given: Given | None = None
        if last is not None and not kwargs and (pattern := last[1].pattern) is not None:
            given = pattern.read(args)
        if given is None:
            given = form_of(args, kwargs)
        form, tensors, scalars, held = given
        recording = mode.recording
        backend = _backend_of(tensors)
        key: tuple[Any, ...] = (
            form,
            tuple([((value := x.value).shape, value.dtype, x.requires_grad and recording) for x in tensors]),
            recording,
            backend.name,
            backends.precision(),
        )
        if len(set(tensors)) < len(tensors):
            identities = list(map(id, tensors))
            key = (*key, tuple([identities.index(one) for one in identities]))
            tensors = list(dict.fromkeys(tensors))
        reason = ""
        if last is not None and key == last[0]:
            try:
                return last[1], *last[1].given(tensors, scalars)
            except _Stale as stale:
                reason = str(stale)
        return self._entry(key, args, kwargs, (form, tensors, scalars, held), backend, reason)

    def _leave(self, call: _Call, again: Mapping[int, Tensor]) -> None:
        """Give tensors the values and gradients that the function left them."""
        entry, outputs = call.entry, call.outputs
        behind: Sequence[Any] = call.behind
        for number, index in enumerate(entry.assigned, entry.returned):
            behind[index].value = outputs[number]
        for index, number in entry.graded:
            x = behind[index]
            new = again[number] if number in again else Tensor(outputs[number])
            if isinstance(leaf := x.node, Leaf):
                leaf.grad = new
            else:  # computed outside: on to what it was computed from
                x.backward(new)
        for index in entry.cleared:
            behind[index].grad = None

    def _results(self, call: _Call) -> list[Tensor]:
        """Return a call's results, with their history where a gradient may be asked for."""
        entry = call.entry
        if not mode.recording or not entry.picks:
            call.release()
            return [Tensor(value) for value in call.outputs[: entry.returned]]
        op: Op = _step if entry.whole else _compiled
        attrs: Any = {"call": self.__name__, "where": entry.moves} if entry.whole else {"call": call}
        if entry.whole:
            call.release()
        source = caller(3)
        nodes = tuple([x._node or x.node for x in call.sources()])
        inputs = (Node(op, nodes, attrs, entry.shapes, entry.dtypes, source),)
        return [
            Tensor(value) if index is None else Tensor(value, Node(pick, inputs, index, shape, dtype, source), True)
            for value, (index, shape, dtype) in zip(call.outputs, entry.picks, strict=False)
        ]

    def _entry(
        self, key: Any, args: Any, kwargs: Any, given: Given, backend: Backend, reason: str
    ) -> tuple[Entry, Sequence[Tensor | None], list[Any]]:
        """Return what runs a call, compiling now if nothing that was compiled fits."""
        _, tensors, scalars, _ = given
        with self._lock:
            for entry in reversed(self.entries.get(key, ())):
                try:
                    values = entry.given(tensors, scalars)
                except _Stale as stale:
                    reason = reason or str(stale)
                    continue
                self.entries[key] = self.entries.pop(key)  # the most recently used comes last
                self._remain(key, entry)
                return entry, *values
            for _ in range(MANY):
                entry = self._compile(args, kwargs, given, backend)
                try:
                    values = entry.given(tensors, scalars)
                    break
                except _Stale as stale:  # another thread has changed what was read
                    changed = str(stale)
            else:
                raise GraphError(
                    "a compiled function reads what other threads change while it is compiled",
                    required="what it reads to stay as it is during a call",
                    got=changed,
                    fix="pass it as an argument, or take a lock around the call and the change",
                )
            self._remember(args, kwargs, reason)
            self.entries.setdefault(key, []).append(entry)
            self.entries[key] = self.entries.pop(key)
            self._forget()
            self._remain(key, entry)
            return entry, *values

    def _compile(self, args: Any, kwargs: Any, given: Given, backend: Backend) -> Entry:
        from tinyseq.compiler.checking import verify_plan
        from tinyseq.compiler.pipeline import choose, run_passes
        from tinyseq.compiler.planning import make_plan
        from tinyseq.compiler.target import TARGETS

        start, (form, tensors, *_) = time.perf_counter(), given
        with backends.use(backend.name):
            traced = trace_function(self.fn, args, kwargs, repeatable=True)
        _require_same(backend, [*tensors, *traced.captured])
        candidates = [leaf for leaf in (*traced.captured.values(), *traced.arguments) if leaf.requires_grad]
        wanted = (
            candidates if mode.recording and not traced.whole else []
        )  # in a whole step nothing is left to differentiate
        target = TARGETS.find(backend.target)
        pipeline = choose(self.pipeline, target.pipeline)
        compiled = run_passes(traced.graph, wanted, pipeline, verify=self.verify, recompute=self.recompute)
        plan = make_plan(compiled.graph, len(compiled.seeds), target.layout)
        if self.verify:
            verify_plan(plan)
        seconds = time.perf_counter() - start
        shapes = ", ".join(f"{x.dtype}{x.shape}" for x in tensors)
        log.info("compiled %s for %s in %.0f ms", self.__name__, shapes, seconds * 1e3)
        made = Compilation(traced, compiled, plan, target, backend.name, seconds)
        return Entry(made, given, Pattern.of(args, kwargs, form), self._arena)

    def _remain(self, key: Any, entry: Entry) -> None:
        """Keep in mind what ran last; of the one before, not what it was given."""
        before, self._last = self.last, (key, entry)
        if before is not None and before is not entry:
            before.forget()

    def _forget(self) -> None:
        """Keep so many compilations, those used last."""
        while sum(map(len, self.entries.values())) > ENTRIES:
            oldest = next(iter(self.entries))
            self.entries[oldest].pop(0)
            if not self.entries[oldest]:
                del self.entries[oldest]

    def _remember(self, args: Any, kwargs: Any, reason: str) -> None:
        """Note what this compilation was given; from the eighth on, warn of what varies."""
        self.compilations += 1
        names = parameter_names(self.fn, args, kwargs)
        given = {name: _in_words(x) for name, x in zip(names, trees.flatten((args, kwargs)), strict=True)}
        given[""] = reason
        self._history = [*self._history[-MANY:], given]
        if self.compilations < MANY:
            return
        varying = []
        for name in dict.fromkeys(name for one in self._history for name in one if name):
            seen = list(dict.fromkeys(one.get(name, "left out") for one in self._history))
            if len(seen) > 1:
                varying.append(f"{name} ({', '.join(seen[-3:])})")
        reasons = Counter(one[""].split(":")[0] for one in self._history if one[""])
        varying += [f"{what} (outside of the function)" for what, _ in reasons.most_common(2)]
        warnings.warn(
            f"{self.__name__} has been compiled {MANY} times or more; what varies: {'; '.join(varying) or 'nothing'}. "
            "Pad to a few lengths; pass numbers as tensors or floats; keep what does not change in one object.",
            CompileWarning,
            stacklevel=_level_of_user(),
        )

    @property
    def last(self) -> Entry | None:
        """What the last call ran from."""
        return self._last and self._last[1]

    def entry_of_last_call(self) -> Entry:
        """Return what the last call ran from."""
        if (last := self.last) is None:
            raise GraphError("nothing is compiled yet", required="a call: shapes are known only then")
        return last

    @property
    def graph(self) -> Graph:
        """The graph after the last pass, for the shapes of the last call."""
        return self.entry_of_last_call().compiled.graph

    @property
    def passes(self) -> tuple[Stage, ...]:
        """The graph after each pass, for the shapes of the last call."""
        return self.entry_of_last_call().compiled.stages

    @property
    def plan(self) -> Plan:
        """The plan for the shapes of the last call."""
        return self.entry_of_last_call().plan


def _backend_of(tensors: Sequence[Tensor]) -> Backend:
    """Return what a call runs on: the current backend, or else where its arguments are.

    Raises:
        BackendError: they are on several.
    """
    current = backends.current()
    if {type(x.value) for x in tensors} <= {current.array_type}:
        return current
    backend = tensors[0].backend
    _require_same(backend, tensors)
    return backend


def _require_same(backend: Backend, tensors: Iterable[Tensor]) -> None:
    """Refuse tensors whose arrays are not of the backend's type."""
    foreign = {x.backend.name for x in tensors if type(x.value) is not backend.array_type}
    if foreign:
        raise BackendError(
            "a compiled function of tensors on different backends",
            required=f"{backend.name}, for arguments and weights",
            got=" and ".join(sorted({backend.name, *foreign})),
            fix='make them, and call it, within one `with ts.backend("...")`',
        )


def _level_of_user() -> int:
    """Return how many frames above its caller the first one outside of the package is, as ``warnings.warn`` counts."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


_PACKAGE: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep


def _in_words(x: Any) -> str:
    if isinstance(x, Tensor):
        return signature(x)
    if type(x) in SCALARS:
        return "a float"
    if isinstance(x, np.ndarray):
        return f"an array {x.dtype}{x.shape}"
    return repr(x)[:40]


@overload
def compile(
    fn: Callable[P, R], *, verify: bool = ..., recompute: bool | int = ..., pipeline: PipelineLike = ...
) -> CompiledFunction[P, R]: ...
@overload
def compile(
    *, verify: bool = ..., recompute: bool | int = ..., pipeline: PipelineLike = ...
) -> Callable[[Callable[P, R]], CompiledFunction[P, R]]: ...
def compile(
    fn: Callable[P, R] | None = None,
    *,
    verify: bool = False,
    recompute: bool | int = False,
    pipeline: PipelineLike = None,
) -> CompiledFunction[P, R] | Callable[[Callable[P, R]], CompiledFunction[P, R]]:
    """Return a function of the same values that runs from a plan.

    The first call with new shapes traces ``fn`` on abstract tensors, runs the passes and plans; later calls execute the
    plan. Tensors that ``fn`` closes over (weights) are inputs, read anew at each call; so are floats among the
    arguments. ``loss.backward()`` on a result runs the compiled backward pass. It compiles anew for other shapes,
    dtypes or arguments, another gradient mode or backend, and where a Python value outside that the function reads has
    changed: an attribute, a variable, a module's training mode, the seed. Python control flow on values is refused, as
    is changing what lies outside (docs/compiler.md has the contract). As a decorator it takes methods too, and options:
    ``@ts.compile(recompute=True)``.

    Args:
        fn: a function or module, from tensors (or nested tuples and dicts of them) to tensors.
        verify: check the graph after each pass, and that the plan overwrites no live value (slower to compile).
        recompute: keep only the states between tiles of so many time steps (True: about √T) for the backward pass, and
            compute the rest again: memory grows as √T instead of T, for one more forward pass.
        pipeline: passes in place of the target's (compiler/pipeline.py), or a function from these to others:
            ``lambda own: own.without("absorb")``.

    Raises:
        GraphError: (on calling) ``fn`` asks for a value while it is traced, or changes what lies outside of it.

    As ``torch.compile``, ``jax.jit``.

    >>> @ts.compile
    ... def f(x):
    ...     return ts.tanh(x) * 2.0
    ...
    >>> f(ts.tensor([0.0, 1.0])), f.compilations
    (tensor([0.    , 1.5232]), 1)
    """
    if fn is None:
        return functools.partial(CompiledFunction, verify=verify, recompute=recompute, pipeline=pipeline)
    return CompiledFunction(fn, verify=verify, recompute=recompute, pipeline=pipeline)
