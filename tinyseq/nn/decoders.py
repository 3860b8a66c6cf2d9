"""Recurrent decoders that look at an encoder's states: additive and dot attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tinyseq.errors import DataError, ShapeError
from tinyseq.masks import LengthsLike, check_lengths
from tinyseq.nn import init
from tinyseq.nn.cells import Cell, cell_factory
from tinyseq.nn.cells.registry import CellOption
from tinyseq.nn.layers import require_features
from tinyseq.nn.masks import masked_softmax
from tinyseq.nn.module import Module, parameter
from tinyseq.ops.elementwise import tanh
from tinyseq.ops.reduce import sum_
from tinyseq.ops.shape import concat, expand_dims, squeeze, zeros_like
from tinyseq.tensors import Tensor
from tinyseq.unrolling import unroll

#: query (batch, query_size) -> context (batch, memory_size) and weights (batch, source time).
Look = Callable[[Tensor], tuple[Tensor, Tensor]]


class MemoryAttention(Module):
    """One query over a memory: α = softmax(scores), context = Σ_s α_s m_s. A subclass gives the scores.

    Args, on calling: query (batch, query_size), memory (batch, source time, memory_size), lengths of the memory.
    Returns the context (batch, memory_size) and α (batch, source time); a row of length 0 gives zeros.
    """

    query_size: int
    memory_size: int

    def keys(self, memory: Tensor) -> Tensor:
        """Return what the scores take of the memory; it is the same at every step, so it is computed once."""
        return memory

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return (batch, source time)."""
        raise NotImplementedError(f"{type(self).__name__} has no scores")

    def over(self, memory: Tensor, lengths: LengthsLike | None = None) -> Look:
        """Return the function query -> (context, α) for one memory."""
        name = type(self).__name__
        if len(memory.shape) != 3:
            raise ShapeError(f"{name}: memory", required=f"(batch, time, {self.memory_size})", got=str(memory.shape))
        require_features(f"{name}, memory", memory, self.memory_size)
        keys = self.keys(memory)
        mask = None if lengths is None else check_lengths(lengths, memory.shape[1], memory.shape[0]).mask

        def look(query: Tensor) -> tuple[Tensor, Tensor]:
            require_features(f"{name}, query", query, self.query_size)
            weights = masked_softmax(self.scores(query, keys), mask)
            return squeeze(expand_dims(weights, 1) @ memory, 1), weights

        return look

    def forward(self, query: Tensor, memory: Tensor, lengths: LengthsLike | None = None) -> tuple[Tensor, Tensor]:
        return self.over(memory, lengths)(query)

    def summary(self) -> str:
        return f"{self.query_size} over {self.memory_size}"


class AdditiveAttention(MemoryAttention):
    """score_s = v · tanh(q W_q + m_s W_m) (Bahdanau, Cho and Bengio 2015, eq. 5-6 and A.1.2).

    >>> attention = nn.AdditiveAttention(2, 3, 4)
    >>> attention(ts.zeros(1, 2), ts.zeros(1, 5, 3))[1]
    tensor([[0.2, 0.2, 0.2, 0.2, 0.2]], made by softmax)
    """

    def __init__(self, query_size: int, memory_size: int, hidden_size: int) -> None:
        self.query_size, self.memory_size = query_size, memory_size
        self.W_q = parameter(init.glorot(query_size, hidden_size))
        self.W_m = parameter(init.glorot(memory_size, hidden_size))
        self.v = parameter(init.glorot(hidden_size, 1)[:, 0])

    def keys(self, memory: Tensor) -> Tensor:
        return memory @ self.W_m

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return tanh(expand_dims(query @ self.W_q, 1) + keys) @ self.v


class DotAttention(MemoryAttention):
    """score_s = q · m_s, or with ``general`` q · (m_s W) (Luong, Pham and Manning 2015, sec. 3.1).

    Raises:
        DataError: sizes that differ, without ``general``.

    >>> attention = nn.DotAttention(1, 1)
    >>> attention(ts.tensor([[1.0]]), ts.tensor([[[0.0], [1.0]]]))
    (tensor([[0.7311]]), tensor([[0.2689, 0.7311]]))
    """

    def __init__(self, query_size: int, memory_size: int, *, general: bool = False) -> None:
        if not general and query_size != memory_size:
            raise DataError(
                "DotAttention: sizes differ",
                required="query_size == memory_size, or general=True",
                got=f"{query_size} and {memory_size}",
            )
        self.query_size, self.memory_size = query_size, memory_size
        self.W = parameter(init.glorot(memory_size, query_size)) if general else None

    def keys(self, memory: Tensor) -> Tensor:
        return memory if self.W is None else memory @ self.W

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return sum_(expand_dims(query, 1) * keys, -1)


class Attended(NamedTuple):
    """A decoder's output (batch, features), and its weights over the memory (batch, source time).

    tinyseq's own.

    >>> decoder = nn.LuongDecoder("gru", 2, 3, 3)
    >>> decoder(ts.zeros(1, 4, 2), ts.zeros(1, 5, 3))[0].weights.shape
    (1, 4, 5)
    """

    output: Tensor
    weights: Tensor


class Looking:
    """A decoder with a memory to look at: what ``ts.unroll`` takes for a cell."""

    def __init__(self, decoder: AttentionDecoder, look: Look) -> None:
        self.decoder, self.look, self.name = decoder, look, decoder.name

    def initial_state(self, batch: int) -> Any:
        """Return the decoder's own."""
        return self.decoder.initial_state(batch)

    def step(self, x: Tensor, state: Any) -> tuple[Attended, Any]:
        """Return (y_t, s_t) for x_t and s_{t-1}."""
        return self.decoder.attend(x, state, self.look)


class AttentionDecoder(Cell):
    """The base of decoders with attention: a subclass defines ``attend``, a step that may look at a memory.

    ``ys, last = decoder(xs, memory, state, memory_lengths=...)`` unrolls; ``decoder.over(memory, memory_lengths)`` is
    the cell for one memory, for going step by step. ``ys.output`` is (batch, time, output_size), ``ys.weights`` (batch,
    time, source time). ``state_from(inner)`` makes the first state from an encoder's last.

    tinyseq's own; as ``tfa.seq2seq.AttentionWrapper``.

    >>> decoder = nn.BahdanauDecoder("gru", 2, 3, 3)
    >>> ys, last = decoder(ts.zeros(1, 4, 2), ts.zeros(1, 5, 3))
    >>> isinstance(decoder, nn.AttentionDecoder), ys.output.shape, ys.weights.sum(-1)
    (True, (1, 4, 6), tensor([[1., 1., 1., 1.]], made by sum))
    """

    cell: Cell
    attention: MemoryAttention

    def attend(self, x: Tensor, state: Any, look: Look) -> tuple[Attended, Any]:
        """Return the output with its weights, and the new state."""
        raise NotImplementedError(f"{type(self).__name__} has no attend")

    def over(self, memory: Tensor, memory_lengths: LengthsLike | None = None) -> Looking:
        """Return the cell that looks at this memory (batch, source time, memory_size)."""
        return Looking(self, self.attention.over(memory, memory_lengths))

    def forward(  # type: ignore[override]
        self,
        xs: Tensor,
        memory: Tensor,
        state: Any = None,
        *,
        memory_lengths: LengthsLike | None = None,
        **options: Any,
    ) -> tuple[Any, Any]:
        return unroll(self.over(memory, memory_lengths), xs, state, **options)

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        raise DataError(
            f"{type(self).__name__} has nothing to look at",
            fix="decoder(xs, memory), or decoder.over(memory).step(x, s)",
        )

    def initial_state(self, batch: int) -> Any:
        return self.state_from(self.cell.initial_state(batch))

    def state_from(self, inner: Any) -> Any:
        """Return the first state, given the inner cell's (an encoder's last, say)."""
        return inner


class BahdanauDecoder(AttentionDecoder):
    """context, α = attention(s_{t-1}),  s_t = cell([x, context], s_{t-1}),  y = [h_t, context].

    Bahdanau, Cho and Bengio 2015, eq. 4-6: the decoder looks before it steps. Attention is additive.

    Args:
        make_cell: a cell class, a name in ``nn.CELLS``, or a function (input_size, hidden_size) -> cell.
        attention_size: units of the attention's tanh layer; ``hidden_size`` by default.

    >>> decoder = nn.BahdanauDecoder("gru", 2, 3, 4)
    >>> decoder.output_size, decoder.num_parameters()
    (7, 114)
    """

    def __init__(
        self,
        make_cell: str | Callable[..., Cell],
        input_size: int,
        hidden_size: int,
        memory_size: int,
        *,
        attention_size: int | None = None,
        **cell: CellOption,
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.cell = cell_factory(make_cell, **cell)(input_size + memory_size, hidden_size)
        self.attention = AdditiveAttention(hidden_size, memory_size, attention_size or hidden_size)

    @property
    def output_size(self) -> int:
        return self.cell.output_size + self.attention.memory_size

    def hidden(self, state: Any) -> Any:
        return self.cell.hidden(state)

    def attend(self, x: Tensor, state: Any, look: Look) -> tuple[Attended, Any]:
        require_features("BahdanauDecoder, x", x, self.input_size)
        context, weights = look(self.cell.hidden(state))
        h, state = self.cell.step(concat([x, context], axis=-1), state)
        return Attended(concat([h, context], axis=-1), weights), state


class LuongState(NamedTuple):
    """The inner cell's state, and the last output h~ (batch, hidden_size).

    tinyseq's own.

    >>> nn.LuongDecoder("gru", 2, 3, 3).initial_state(1).h
    tensor([[0., 0., 0.]])
    """

    inner: object
    h: Tensor


class LuongDecoder(AttentionDecoder):
    """h_t = cell([x, h~_{t-1}]),  context, α = attention(h_t),  h~_t = tanh([context, h_t] W_c).  The output is h~.

    Luong, Pham and Manning 2015, eq. 5 and sec. 3.3 (input feeding): the decoder looks after it has stepped.

    Args:
        make_cell: as in ``BahdanauDecoder``.
        general: score by q · (m W), which lets the sizes differ; by default where they do.

    >>> decoder = nn.LuongDecoder("gru", 2, 3, 3)
    >>> decoder.output_size, decoder.num_parameters()
    (3, 99)
    """

    def __init__(
        self,
        make_cell: str | Callable[..., Cell],
        input_size: int,
        hidden_size: int,
        memory_size: int,
        *,
        general: bool | None = None,
        **cell: CellOption,
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.cell = cell_factory(make_cell, **cell)(input_size + hidden_size, hidden_size)
        general = hidden_size != memory_size if general is None else general
        self.attention = DotAttention(hidden_size, memory_size, general=general)
        self.W_c = parameter(init.glorot(memory_size + hidden_size, hidden_size))

    def hidden(self, state: LuongState) -> Any:
        return self.cell.hidden(state.inner)

    def state_from(self, inner: Any) -> LuongState:
        return LuongState(inner, zeros_like(self.cell.hidden(inner)))

    def attend(self, x: Tensor, state: LuongState, look: Look) -> tuple[Attended, LuongState]:
        require_features("LuongDecoder, x", x, self.input_size)
        h, inner = self.cell.step(concat([x, state.h], axis=-1), state.inner)
        context, weights = look(h)
        h_tilde = tanh(concat([context, h], axis=-1) @ self.W_c)
        return Attended(h_tilde, weights), LuongState(inner, h_tilde)
