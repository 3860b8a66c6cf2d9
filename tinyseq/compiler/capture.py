"""Recording a function as a graph, without computing it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ParamSpec

import numpy as np

from tinyseq import trees
from tinyseq.compiler.differentiate import paths_of
from tinyseq.compiler.environment import GONE, Change, Environment, changes, line_of_name, shown
from tinyseq.compiler.rewriting import emit
from tinyseq.errors import GraphError, TinyseqError
from tinyseq.graph import Graph, Leaf, Literal, Node, here, reach
from tinyseq.markers import anchor, gradient
from tinyseq.modes import mode, tracing_into
from tinyseq.ops.elementwise import identity, stop_gradient
from tinyseq.ops.tuples import pick
from tinyseq.random import generator
from tinyseq.scalars import SCALARS, AbstractScalar
from tinyseq.tensors import Tensor, record, sweep
from tinyseq.tracing import AbstractTensor, Tracing, is_traced, node_of


@dataclass(frozen=True)
class Traced:
    """A traced function: its graph, the inputs made from its arguments, and what else a call needs to know.

    The graph's outputs are the leaves of ``result``, then the new values of the tensors that the function assigned,
    then the gradients that it left (``assigned`` and ``graded`` say whose).
    """

    graph: Graph
    #: The inputs that stand for the tensors among the arguments, and for the floats.
    arguments: tuple[Leaf, ...]
    scalars: tuple[Leaf, ...]
    tracing: Tracing
    result: Any
    returned: int
    #: The inputs whose tensors have another value after the call.
    assigned: tuple[Leaf, ...]
    #: The inputs whose tensors have another gradient after the call, and which of these have none.
    graded: tuple[Leaf, ...]
    cleared: tuple[Leaf, ...]
    #: Which outputs are, as objects, inputs or an output before them, by number.
    inputs_again: Mapping[int, Leaf]
    outputs_again: Mapping[int, int]
    environment: Environment

    @property
    def whole(self) -> bool:
        """Whether the function moves weights or takes gradients itself: nothing is left to differentiate."""
        return bool(self.assigned or self.graded or self.cleared)

    @property
    def captured(self) -> dict[Tensor, Leaf]:
        """The tensors that the function closes over, and the inputs that stand for them."""
        return self.tracing.captured


P = ParamSpec("P")


def trace(fn: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Graph:
    """Call ``fn`` once on abstract tensors of the arguments' shapes and return the graph of what it does.

    Args:
        fn: a function (a module too) of tensors, or nested tuples and dicts of them; other arguments pass as they are.

    Returns:
        the graph; its inputs bear the names of ``fn``'s parameters, and tensors that ``fn`` closes over (weights) are
        inputs under their own names.

    Raises:
        GraphError: ``fn`` asks for a value while tracing (``if x > 0``, ``x.item()``), or returns no tensor.

    As ``jax.make_jaxpr``, ``torch.fx.symbolic_trace``.

    >>> graph = ts.trace(lambda x: ts.exp(x) + 1.0, ts.ones(2, 3))
    >>> len(graph), graph.outputs[0].op.name, graph.outputs[0].shape
    (4, 'add', (2, 3))
    """
    return trace_function(fn, args, kwargs).graph


def trace_function(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, repeatable: bool = False
) -> Traced:
    """Do the work of ``trace``, and keep what a compiled call needs to know.

    Args:
        fn, args, kwargs: the function, and a call of it.
        repeatable: the graph is to stand for later calls too: floats among the arguments are inputs, and a function
            that changes what lies outside of it is refused. Otherwise such changes are undone.

    Raises:
        GraphError: as ``trace``; and, where it is to be repeatable, the function changes what lies outside of it.
    """
    names = parameter_names(fn, args, kwargs)
    objects = [(name, x) for name, x in zip(names, trees.flatten((args, kwargs)), strict=True) if not _is_input(x)]
    environment = Environment(fn, objects)
    if repeatable and environment.iterators:
        raise _iterator_read(*environment.iterators[0], environment)
    before = environment.values()
    kept = False
    try:
        traced = _traced(fn, args, kwargs, names, environment, repeatable)
        if repeatable and (changed := list(changes(environment.groups, before))):
            if any(_holds_traced(change) or change.after is GONE for change in changed):
                raise _effect(changed, environment)
            # What is worked out once and kept (a mask, a table) stays as it is when the function runs again.
            environment.forget_cached()  # of the trace that is given up: its values mean nothing in the next
            again = Environment(fn, objects)
            middle = again.values()
            traced = _traced(fn, args, kwargs, names, again, repeatable)
            if changed := list(changes(again.groups, middle)):
                raise _effect(changed, again)
        if repeatable and environment.loads():  # a module that the function itself has imported
            traced = replace(traced, environment=Environment(fn, objects))
        kept = repeatable
        return traced
    except Exception as error:  # what eager code had changed when it failed stays changed; traced values never stay
        kept = not isinstance(error, TinyseqError) and not any(
            _holds_traced(change) for change in changes(environment.groups, before)
        )
        raise
    finally:
        environment.forget_cached()
        if not kept:
            for group, values in zip(environment.groups, before, strict=True):
                group.restore(values)


def _traced(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    names: Sequence[str],
    environment: Environment,
    repeatable: bool,
) -> Traced:
    tracing = Tracing(repeatable=repeatable, paths=paths_of)
    tracing.observe = partial(_observed, owners=environment.owners())
    inputs: dict[Tensor, AbstractTensor] = {}
    scalars: list[Leaf] = []
    called = iter(names)

    def abstract(x: Any) -> Any:
        name = next(called)
        if isinstance(x, Tensor):
            if x not in inputs:
                leaf = Leaf(x.shape, x.dtype, x.requires_grad, x.name or name)
                # A tensor that the function closes over as well is one tensor, with one gradient.
                tracing.captured[x], tracing.tensors[leaf] = leaf, x
                inputs[x] = AbstractTensor(leaf)
                tracing.arguments[inputs[x]] = x
            return inputs[x]
        if repeatable and type(x) in SCALARS:
            weak = type(x) is float
            scalars.append(Leaf((), np.dtype(np.float64) if weak else x.dtype, name=name))
            return AbstractScalar(AbstractTensor(scalars[-1]), x, frozenset({len(scalars) - 1}), weak)
        return x

    args, kwargs = trees.rebuilt(abstract, (tuple(args), dict(kwargs)))
    given = trees.flatten((args, kwargs))
    counter = Leaf((), np.dtype(np.int64), name="calls")
    sites = generator.sites
    with tracing_into(tracing), generator.counting(AbstractTensor(counter)) as draws:
        result = fn(*args, **kwargs)
        if tracing.refusals:
            raise tracing.refusals[0]
        now = trees.flatten((args, kwargs))
        if repeatable and (len(now) != len(given) or any(a is not b for a, b in zip(now, given, strict=True))):
            raise GraphError(
                "a compiled function changes a list or dict among its arguments",
                required="arguments that are only read: a plan runs no Python",
                got=f"{len(given)} parts before, {len(now)} after",
                fix="return what is new",
            )
        outputs = [x for _, x in trees.leaves(result)]
        if not all(isinstance(x, Tensor) for x in outputs):
            raise GraphError(
                "trace: the function returns something else than tensors",
                required="tensors, or nested tuples, lists and dicts of them",
                got=repr(result)[:80],
                fix="return what is no tensor from another function, or as ts.tensor(...)",
            )
        changed = {leaf: leaf.grad for leaf, old in tracing.gradients.items() if leaf.grad is not old}
        changed = {
            leaf: grad for leaf, grad in changed.items() if _outlives(tracing.tensors.get(leaf), outputs, tracing)
        }
        graded = [leaf for leaf, grad in changed.items() if grad is not None]
        assigned = [x for x in tracing.assigned if _outlives(x, outputs, tracing)]
        if computed := [x for x in assigned if not x.is_leaf]:
            raise GraphError("assign to the result of an op", required="a leaf", where=computed[0].node.where)
        followed = [x for x in outputs if x.requires_grad and not isinstance(x.node, Leaf)]
        if followed and not mode.recording:
            raise GraphError(
                "enable_grad within a compiled function that is called under no_grad",
                required="one mode for the whole call",
                where=followed[0].node.where,
                fix="the call outside of no_grad, and no_grad within the function around what needs none",
            )
        left = [*outputs, *(tracing.assigned[x] for x in assigned), *(changed[leaf] for leaf in graded)]
        nodes = [node_of(x) for x in left]
        if not nodes:
            raise GraphError("trace: the function returns nothing and changes nothing", got=repr(result)[:80])
    for leaf in tracing.gradients:
        leaf.grad = None
    if generator.sites != sites:
        generator.sites = sites
        if repeatable:
            raise GraphError(
                "a compiled function makes a layer that draws random numbers",
                required="layers made once, outside of it: their weights are its inputs",
                fix="make the layer before, and close over it",
            )
    if draws():
        tracing.live[counter] = lambda: generator.calls
        tracing.effects.append(partial(_advance, draws()))
    reached = set(reach(nodes))
    checks = [node for node in tracing.checks if node not in reached]
    # No gradient flows from a check, or what nothing reads would give zeros, and NaN where a value is infinite.
    nodes += [emit(node, stop_gradient, node) if repeatable and node.dtype.kind == "f" else node for node in checks]
    reached = set(reach(nodes))
    known = [tracing.arguments.get(x, x) for x in left]
    first = {id(x): number for number, x in reversed([*enumerate(left)])}
    again = {number: first[id(x)] for number, x in enumerate(left) if first[id(x)] < number}
    inputs_again = {
        number: tracing.captured[x]
        for number, x in enumerate(known)
        if x in tracing.captured and _outlives(x, outputs, tracing)
    }
    own = list(inputs.values())
    read = [leaf for leaf in tracing.live if leaf in reached]
    closed_over = [leaf for x, leaf in tracing.captured.items() if x not in inputs]
    graph = Graph(nodes, [*(x.node for x in own), *scalars, *closed_over, *read])
    replaced = tuple(tracing.captured[x] for x in assigned)
    for x in inputs:  # what stands behind arguments is this call's
        del tracing.tensors[tracing.captured.pop(x)]
    tracing.arguments.clear()
    return Traced(
        graph,
        tuple(x.node for x in own),  # type: ignore[misc]
        tuple(scalars),
        tracing,
        result,
        len(outputs),
        replaced,
        tuple(graded),
        tuple(leaf for leaf, grad in changed.items() if grad is None),
        inputs_again,
        again,
        environment,
    )


def _outlives(x: Tensor | None, outputs: Sequence[Tensor], tracing: Tracing) -> bool:
    """Whether what a call leaves in a tensor can be seen after it: it lies outside, or is a leaf that is returned."""
    if x is None or not tracing.is_own(x):
        return x is not None
    return x.requires_grad and any(x is y for y in outputs)


def _is_input(x: Any) -> bool:
    return isinstance(x, Tensor) or type(x) in SCALARS


def _advance(draws: int) -> None:
    generator.calls += draws


def parameter_names(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """Return what each leaf of a call's arguments is called, in the order of ``trees.flatten``: ``x``, ``state.h``."""
    target = getattr(fn, "forward", fn)
    try:
        bound = inspect.signature(target).bind(*args, **kwargs)
    except (TypeError, ValueError):  # the call itself will say what does not fit
        return [f"argument {number}" for number, _ in enumerate(trees.flatten((args, kwargs)))]
    prefixes: list[tuple[str, Any]] = []
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            prefixes += [(f"{name}.{index}", part) for index, part in enumerate(value)]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            continue
        elif kind is not inspect.Parameter.KEYWORD_ONLY and name not in kwargs:
            prefixes.append((name, value))
    prefixes += list(kwargs.items())
    return [".".join(part for part in (name, *path) if part) for name, tree in prefixes for path in trees.paths(tree)]


# -- what a plan cannot repeat -----------------------------------------------------------------------------------------


@contextmanager
def _observed(step: Callable[..., Any], owners: frozenset[int]) -> Iterator[None]:
    """Refuse what a loop's step changes of Python's: it is traced once, for all steps.

    What lies outside of the whole function (``owners``) is looked at when that has run.

    Raises:
        GraphError: it changes something.
    """
    environment = Environment(step)
    if environment.iterators:
        raise _iterator_read(*environment.iterators[0], environment)
    own = environment.groups[:-1]  # draws of Python's and NumPy's are looked at when the function has run
    before = [group.fetch() for group in own]
    yield
    for change in changes(own, before):
        if not owners.isdisjoint(change.group.owners(change.index)):
            continue
        raise GraphError(
            f"a step of a loop changes {change.name}",
            required="what goes from step to step in the state: a compiled loop's step is traced once, for all steps",
            got=f"{shown(change.before)} before, {shown(change.after)} after",
            where=_place_of(change.name, environment),
            fix="carry it as a part of the state; what each step gives belongs to its output",
        )


def _iterator_read(path: str, iterator: Any, environment: Environment) -> GraphError:
    return GraphError(
        f"a compiled function reads {path or 'an iterator'}, which moves on",
        required="what stays as it is from call to call",
        got=f"a {type(iterator).__name__}",
        where=_place_of(path, environment),
        fix="a list or tuple of what it gives; or next(...) outside of the function, and the item as an argument",
    )


def _place_of(name: str, environment: Environment) -> str:
    """Return where the code writes or mentions what a message calls ``box.rates[0]``, by the last word that it has."""
    words = [name.split("[")[0].split(".")[-1], *reversed(re.findall(r"[A-Za-z_]\w*", name))]
    place = next(filter(None, (line_of_name(environment.codes, word) for word in words)), "")
    return f"at {place}" if place else ""


def _holds_traced(change: Change) -> bool:
    return any(_contains_traced(x) for x in _now(change))


def _now(change: Change) -> tuple[Any, ...]:
    """Return what lies where something has changed."""
    if change.index >= 0:
        return (change.after,)
    try:
        return change.group.fetch() + ((change.after,) if change.after is not None else ())
    except (KeyError, AttributeError, ValueError):  # it is gone
        return ()


def _contains_traced(x: Any) -> bool:
    return any(is_traced(part) for part in trees.flatten(x))


def _effect(changed: Sequence[Change], environment: Environment) -> GraphError:
    """Say what a function changes outside of itself, where, and how to write it instead."""
    change = next((change for change in changed if _holds_traced(change)), changed[0])
    if change.group is environment.groups[-1]:
        source = change.name.removeprefix("the state of ")
        return GraphError(
            f"a compiled function draws from {source}",
            required="draws that each call of a plan makes anew",
            got=f"{change.name} has moved on while the function ran",
            where=f"at {line_of_name(environment.codes, source.split('.')[-1])}",
            fix="ts.rand, ts.randn or nn.Dropout; or draw outside, and pass the numbers in",
        )
    values = trees.flatten(_now(change))
    made = next((x.node.line for x in values if is_traced(x)), "")
    return GraphError(
        f"a compiled function changes {change.name}, which lives outside of it",
        required="a plan runs no Python: what one call leaves for the next is returned, or a tensor that is assigned",
        got=f"{shown(change.before)} before, {shown(change.after)} after",
        where=", ".join(
            filter(None, (_place_of(change.name, environment), f"the value is made at {made}" if made else ""))
        ),
        fix="return it and pass it in at the next call; or make it a tensor once (self.h = nn.buffer(...)) and "
        "self.h.assign(h)",
    )


# -- running a graph op by op ------------------------------------------------------------------------------------------


def replay(graph: Graph, values: Mapping[Node, Tensor]) -> list[Any]:
    """Compute a traced graph's outputs eagerly, op by op, from tensors for its inputs: they have their own history.

    It is how the gradient of a compiled call is differentiated again, from the values that the call was given.
    """
    known: dict[Node, Any] = dict(values)
    unrolled = graph.unroll()
    outer = here.place, here.source
    try:
        for node in unrolled.nodes:
            if node in known:
                continue
            here.place, here.source = node.place, node.source
            known[node] = _replayed(node, known)
    finally:
        here.place, here.source = outer
    return [known[node] for node in unrolled.outputs]


def _replayed(node: Node, known: Mapping[Node, Any]) -> Any:
    if isinstance(node, Literal):
        return node.attrs["value"]
    inputs = [known[parent] for parent in node.inputs]
    if node.op is pick:
        return inputs[0][node.attrs["index"]]
    if node.op is anchor:  # what is differentiated with respect to: a leaf of its own, or connected to what it was
        (x,) = inputs
        if x.requires_grad:
            return record(identity, inputs)
        return Tensor(x.value, Leaf(x.shape, x.dtype, True, passing=True), True)
    if node.op is gradient:
        count = node.attrs["outputs"]
        seeds: dict[Node, Tensor] = {}
        for output, seed in zip(inputs[:count], inputs[count : 2 * count], strict=True):
            seeds[output.node] = seed if output.node not in seeds else seeds[output.node] + seed
        wanted = inputs[2 * count :]
        swept = sweep(seeds, [x.node for x in wanted], retain=True, create_graph=True)
        return tuple(swept.get(x.node, Tensor(x.backend.xp.zeros_like(x.value))) for x in wanted)
    return record(node.op, inputs, node.attrs)  # type: ignore[arg-type]
