"""Compiled functions: traced once for each set of shapes, planned, and from then on run from the plan."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyseq import backends, trees
from tinyseq.backends import Backend
from tinyseq.compiler.checking import verify_plan
from tinyseq.compiler.lower import lowering
from tinyseq.compiler.lower.numpy import Executable
from tinyseq.compiler.pipeline import Compiled, Stage, run_passes
from tinyseq.compiler.plan import Plan
from tinyseq.compiler.planning import make_plan
from tinyseq.compiler.trace import Traced, trace_function
from tinyseq.errors import BackendError, GraphError
from tinyseq.graph import Graph, Leaf, Node, caller
from tinyseq.modes import is_recording, is_tracing
from tinyseq.ops.base import Op
from tinyseq.ops.tuples import pick
from tinyseq.random import generator
from tinyseq.tensors import Tensor, sweep

log = logging.getLogger("tinyseq.compiler")


@dataclass
class Entry:
    """What one set of shapes compiled to."""

    traced: Traced
    compiled: Compiled
    plan: Plan
    lower: Callable[[Plan], Executable]
    seconds: float
    #: Arguments that the key knows by identity.
    held: list[Any]
    idle: list[Executable] = field(default_factory=list)
    #: What the last call was given: references, not copies.
    last_values: Mapping[Leaf, Any] = field(default_factory=dict)

    def take(self) -> Executable:
        """Return an executable whose buffers nobody needs; a forward pass keeps its own until its backward pass."""
        return self.idle.pop() if self.idle else self.lower(self.plan)


class _Call:
    """One call of a compiled function: its inputs, and its executable until the backward pass has run."""

    def __init__(self, entry: Entry, values: Mapping[Leaf, Any], again: Callable[[], Any]) -> None:
        self.entry, self.values, self.again = entry, values, again
        entry.last_values = values
        self.count = len(entry.traced.graph.outputs)
        self.executable: Executable | None = entry.take()
        self.gradients: list[Any] = []
        self.arriving: Any = None
        self.sources: list[Tensor] = []
        self.outputs = self.executable.forward(values, self.count)
        self.release = weakref.finalize(self, entry.idle.append, self.executable)

    def backward(self, arriving: list[Any]) -> list[Any]:
        """Return the gradients of the leaves that have one; the buffers are free afterwards."""
        executable = self.executable
        if executable is None:  # a second sweep over a retained graph: the buffers have been used since
            executable = self.entry.take()
            executable.forward(self.values, self.count)
        seeds = {
            seed: np.zeros((), seed.dtype) if g is None else g
            for seed, g in zip(self.entry.compiled.seeds, arriving, strict=True)
            if seed is not None
        }
        found = executable.backward(seeds, self.count)
        self.release.detach()
        self.executable = None
        self.entry.idle.append(executable)
        return found

    def differentiable_backward(self, arriving: list[Any]) -> list[Any]:
        """Return the gradients as tensors with a graph of their own, for gradients of gradients.

        The function runs again, eagerly, and its own graph is differentiated: as fast as without ``compile``.
        """
        outputs = [x for _, x in trees.leaves(self.again())]
        seeds = {x.node: g for x, g in zip(outputs, arriving, strict=True) if g is not None and x.requires_grad}
        found = sweep(seeds, [x.node for x in self.sources], retain=True, create_graph=True)
        return [found.get(x.node) for x in self.sources]


class _CompiledOp(Op):
    """A call of a compiled function, as a node of the eager graph."""

    name = "compiled"
    formula = r"y = f(x)"
    multiple = True
    primitive = False

    def infer(self, *inputs: Any, **attrs: Any) -> Any:
        outputs = attrs["call"].outputs
        return tuple(y.shape for y in outputs), tuple(y.dtype for y in outputs)

    def vjp(self, index: int, g: Any, y: Any, *inputs: Any, **attrs: Any) -> Any:
        call: _Call = attrs["call"]
        if call.arriving is not g:  # the first input of a sweep; a sweep may skip any input
            call.arriving = g
            traced = any(isinstance(part, Tensor) for part in g)
            call.gradients = call.differentiable_backward(g) if traced else call.backward(g)
        return call.gradients[index]


class CompiledFunction:
    """A function that runs from a plan; see ``compile``."""

    def __init__(self, fn: Callable[..., Any], *, verify: bool = False, recompute: bool | int = False) -> None:
        self.fn, self.verify, self.recompute = fn, verify, recompute
        self.entries: dict[Any, list[Entry]] = {}
        self.last: Entry | None = None
        self._op = _CompiledOp()
        self.__name__ = getattr(fn, "__name__", type(fn).__name__)
        self.__doc__ = fn.__doc__
        self.__wrapped__ = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_tracing():  # within another compiled function, it is part of that
            return self.fn(*args, **kwargs)
        tensors = [x for _, x in trees.leaves((args, dict(kwargs))) if isinstance(x, Tensor)]
        entry = self.entry(args, kwargs, tensors)
        traced = entry.traced
        tracing = traced.tracing
        values: dict[Leaf, Any] = {leaf: x.value for x, leaf in traced.captured.items()}
        values |= {leaf: x.value for leaf, x in zip(traced.arguments, tensors, strict=True)}
        values |= {leaf: np.asarray(read()) for leaf, read in tracing.live.items() if leaf in traced.graph.inputs}
        begun = generator.calls

        def again() -> Any:
            now, generator.calls = generator.calls, begun
            try:
                return self.fn(*args, **kwargs)
            finally:
                generator.calls = now

        outputs = self._results(_Call(entry, values, again), tensors)
        for effect in tracing.effects:
            effect()
        changed = outputs[traced.returned :]
        for x, new in zip(traced.assigned, changed, strict=False):
            x.value = new.value
        for x, new in zip(traced.graded, changed[len(traced.assigned) :], strict=True):
            x.grad = new.detach()
        results = iter(outputs)
        return trees.map_leaves(lambda _: next(results), traced.result)

    def _results(self, call: _Call, tensors: list[Tensor]) -> list[Tensor]:
        entry = call.entry
        reached = entry.compiled.reached
        if not reached or not is_recording():
            return [Tensor(value) for value in call.outputs]
        sources = {leaf: x for x, leaf in entry.traced.captured.items()}
        sources |= dict(zip(entry.traced.arguments, tensors, strict=True))
        source = caller(3)
        shapes, dtypes = tuple(v.shape for v in call.outputs), tuple(v.dtype for v in call.outputs)
        call.sources = [sources[leaf] for leaf in reached]
        parents = tuple(x.node for x in call.sources)
        whole = Node(self._op, parents, {"call": call}, shapes, dtypes, source)
        return [
            Tensor(value)
            if seed is None
            else Tensor(value, Node(pick, (whole,), {"index": i}, value.shape, value.dtype, source), True)
            for i, (value, seed) in enumerate(zip(call.outputs, entry.compiled.seeds, strict=True))
        ]

    def entry(self, args: Any, kwargs: Any, tensors: list[Tensor]) -> Entry:
        """Return what these arguments' shapes have compiled to, compiling now if they are new."""
        backend = _backend_of(tensors)
        recording = is_recording()
        held: list[Any] = []
        static = trees.map_leaves(lambda x: None if isinstance(x, Tensor) else _identity(x, held), (args, dict(kwargs)))
        key = (
            repr(trees.structure((args, dict(kwargs)))),
            tuple((x.shape, x.dtype, x.requires_grad and recording) for x in tensors),
            tuple(value for _, value in trees.leaves(static)),
            recording,
            backend.name,
            backends.precision(),
        )
        known = self.entries.setdefault(key, [])
        entry = next((candidate for candidate in known if candidate.traced.still_holds()), None)
        if entry is None:
            start = time.perf_counter()
            with backends.use(backend.name):
                traced = trace_function(self.fn, args, kwargs)
            _require_same(backend, [*tensors, *traced.captured])
            wanted = [leaf for leaf in (*traced.captured.values(), *traced.arguments) if leaf.requires_grad]
            # A function that moves weights or takes gradients itself is a whole step: nothing is left to differentiate.
            whole = bool(traced.assigned or traced.graded)
            wanted = wanted if recording and not whole else []
            lower = lowering(backend.lowering)
            compiled = run_passes(
                traced.graph, wanted, verify=self.verify, recompute=self.recompute, for_blas=lower.for_blas
            )
            plan = make_plan(compiled.graph, len(traced.graph.outputs), for_blas=lower.for_blas)
            if self.verify:
                verify_plan(plan)
            entry = Entry(traced, compiled, plan, lower, time.perf_counter() - start, held)
            known.append(entry)
            shapes = ", ".join(f"{x.dtype}{x.shape}" for x in tensors)
            log.info("compiled %s for %s in %.0f ms", self.__name__, shapes, entry.seconds * 1e3)
        self.last = entry
        return entry

    def entry_of_last_call(self) -> Entry:
        """Return what the last call ran from."""
        if self.last is None:
            raise GraphError("nothing is compiled yet", required="a call: shapes are known only then")
        return self.last

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
    if all(type(x.value) is current.array_type for x in tensors):
        return current
    found = tensors[0].backend
    _require_same(found, tensors)
    return found


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


def _identity(x: Any, held: list[Any]) -> Any:
    """What tells an argument that is no tensor from another: its value, or for larger things which one it is."""
    if isinstance(x, bool | int | float | complex | str | bytes | type(None)):
        return type(x).__name__, repr(x)
    if isinstance(x, np.ndarray):
        return "array", x.shape, str(x.dtype), x.tobytes()
    held.append(x)  # as long as it is held, no other thing has its id
    return type(x).__qualname__, id(x)


def compile(fn: Callable[..., Any], *, verify: bool = False, recompute: bool | int = False) -> CompiledFunction:
    """Return a function of the same values that runs from a plan.

    The first call with new shapes traces ``fn`` on abstract tensors, runs the passes and plans; later calls execute the
    plan. Tensors that ``fn`` closes over (weights) are inputs, read anew at each call. ``loss.backward()`` on a result
    runs the compiled backward pass. Python control flow on values is refused. It compiles anew for other shapes,
    dtypes or arguments, another gradient mode or backend, and where something that was looked at while tracing has
    changed since: a module's training mode, the seed, whether a weight requires a gradient.

    Args:
        fn: a function or module, from tensors (or nested tuples and dicts of them) to tensors.
        verify: check the graph after each pass, and that the plan overwrites no live value (slower to compile).
        recompute: keep only the states between tiles of so many time steps (True: about √T) for the backward pass, and
            compute the rest again: memory grows as √T instead of T, for one more forward pass.
    """
    return CompiledFunction(fn, verify=verify, recompute=recompute)
