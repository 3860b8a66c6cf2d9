"""The functional forms of differentiation: gradients of tensors, and of functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from tinyseq import trees
from tinyseq.errors import DtypeError, GraphError
from tinyseq.graph import Leaf, reach
from tinyseq.markers import anchor
from tinyseq.modes import enable_grad, is_recording, mode
from tinyseq.ops.elementwise import identity
from tinyseq.ops.shape import zeros_like
from tinyseq.tensors import Tensor, is_tracked, record, seed_of, sweep

P = ParamSpec("P")
T = TypeVar("T")


def gradients(
    output: Tensor,
    inputs: Sequence[Tensor],
    gradient: Tensor | None = None,
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Return d output / d input for each input, intermediate values included; None where there is no path.

    Args:
        output: a scalar, or any tensor with ``gradient`` given.
        inputs: tensors that the output was computed from.
        gradient: what arrives from above, of the output's shape.
        retain_graph: keep the saved values for another sweep.
        create_graph: record the sweep, so that its result can be differentiated.

    Raises:
        GraphError: as ``Tensor.backward``.
        DtypeError: an input of integers or booleans.

    As ``torch.autograd.grad``.

    >>> x = ts.tensor(3.0, requires_grad=True)
    >>> ts.gradients(x**3, [x])
    [tensor(27.)]
    """
    for x in inputs:
        _require_slope("gradients", x)
    seeds = {output.graph_node: seed_of(output, gradient)}
    gradient_of = sweep(seeds, [x.graph_node for x in inputs], retain=retain_graph, create_graph=create_graph)
    return [gradient_of.get(x.graph_node) for x in inputs]


def _require_slope(name: str, x: Any) -> None:
    if not isinstance(x, Tensor) or x.dtype.kind != "f":
        raise DtypeError(
            f"{name} with respect to what has no slope",
            required="floating-point tensors",
            got=f"{x.dtype}{x.shape}" if isinstance(x, Tensor) else f"{type(x).__qualname__} {str(x)[:60]}",
            fix="x.cast(ts.float32)" if isinstance(x, Tensor) else "ts.tensor(x, dtype=ts.float32)",
        )


def detach(tree: T) -> T:
    """Return a state (tuples, dicts of tensors) with the same values and no history: the cut between two chunks.

    As ``torch.Tensor.detach``, on trees.

    >>> x = ts.tensor([3.0], requires_grad=True)
    >>> (x * ts.detach({"h": x})["h"]).sum().backward()
    >>> x.grad
    tensor([3.])
    """
    cut: T = trees.map_leaves(lambda x: x.detach(), tree)
    return cut


@overload
def value_and_grad(  # type: ignore[overload-overlap]
    fn: Callable[Concatenate[T, P], Tensor], argnums: Literal[0] = 0
) -> Callable[Concatenate[T, P], tuple[Tensor, T]]: ...
@overload
def value_and_grad(fn: Callable[P, Tensor], argnums: int) -> Callable[P, tuple[Tensor, Tensor]]: ...
@overload
def value_and_grad(
    fn: Callable[P, Tensor], argnums: Sequence[int]
) -> Callable[P, tuple[Tensor, tuple[Tensor, ...]]]: ...
def value_and_grad(fn: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable[..., tuple[Tensor, object]]:
    """Return a function that gives ``fn``'s value and its gradient with respect to the arguments ``argnums``.

    Those arguments may be tensors or nested tuples and dicts of them; the gradient has the same structure. Applied
    twice (``ts.grad(ts.grad(f))``) it gives second derivatives. Within ``no_grad`` it works too, and nothing of what it
    returns has a history.

    Raises:
        GraphError: ``fn`` does not return a scalar tensor.
        DtypeError: an argument to differentiate is not of floating-point tensors.

    As ``jax.value_and_grad``.

    >>> ts.value_and_grad(lambda x, y: x * y, argnums=(0, 1))(ts.tensor(2.0), ts.tensor(3.0))
    (tensor(6.), (tensor(3.), tensor(2.)))
    """
    positions = [argnums] if isinstance(argnums, int) else list(argnums)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        fresh: list[Tensor] = []

        def alias(x: Tensor) -> Tensor:
            _require_slope("grad", x)
            # A tensor that an outer gradient follows stays connected, through a node of its own; others get a new leaf.
            followed = x.requires_grad and is_recording()
            if mode.tracing is not None:
                y = mode.tracing.anchored(x, followed)
            else:
                leaf = None if followed else Leaf(x.shape, x.dtype, True, x.name, passing=True)
                y = record(identity, (x,)) if leaf is None else Tensor(x.value, leaf, True)
            fresh.append(y)
            return y

        changed = list(args)
        for position in positions:
            changed[position] = trees.map_leaves(alias, args[position])
        with enable_grad():
            value = fn(*changed, **kwargs)
        if not isinstance(value, Tensor):
            raise GraphError(
                "grad of a function that returns no tensor", required="a scalar tensor", got=repr(value)[:80]
            )
        own = {x.node for x in fresh}
        if value.requires_grad:
            outside = any(
                ((isinstance(node, Leaf) and node.requires_grad) or node.op is anchor) and node not in own
                for node in reach([value.node], lambda node: not is_tracked(node))
            )
            followed = outside and is_recording()
            arrived = gradients(value, fresh, create_graph=followed)
            if not followed:
                value = value.detach()
        else:
            arrived = [None] * len(fresh)
        by_node = {x.node: g for x, g in zip(fresh, arrived, strict=True)}

        def collect(x: Tensor) -> Tensor:
            g = by_node[x.node]
            return zeros_like(x) if g is None else g

        results = [trees.map_leaves(collect, changed[position]) for position in positions]
        return value, results[0] if isinstance(argnums, int) else tuple(results)

    return wrapped


@overload
def grad(  # type: ignore[overload-overlap]
    fn: Callable[Concatenate[T, P], Tensor], argnums: Literal[0] = 0
) -> Callable[Concatenate[T, P], T]: ...
@overload
def grad(fn: Callable[P, Tensor], argnums: int) -> Callable[P, Tensor]: ...
@overload
def grad(fn: Callable[P, Tensor], argnums: Sequence[int]) -> Callable[P, tuple[Tensor, ...]]: ...
def grad(fn: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable[..., object]:
    """Return a function that gives the gradient of ``fn``; see ``value_and_grad``.

    As ``jax.grad``, ``torch.func.grad``.

    >>> ts.grad(lambda x: x**3)(ts.tensor(2.0))
    tensor(12.)
    >>> ts.grad(ts.grad(lambda x: x**3))(ts.tensor(2.0))
    tensor(12.)
    """
    both: Callable[..., tuple[Tensor, object]] = value_and_grad(fn, argnums)
    return lambda *args, **kwargs: both(*args, **kwargs)[1]
