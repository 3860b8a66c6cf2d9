"""The Transformer (Vaswani et al. 2017): encoder and decoder layers, and stacks of them."""

from __future__ import annotations

from collections.abc import Callable

from tinyseq.errors import DataError
from tinyseq.masks import LengthsLike, check_lengths
from tinyseq.nn.attention import MultiheadAttention
from tinyseq.nn.layers import Dropout, LayerNorm, Linear
from tinyseq.nn.module import Module
from tinyseq.ops.elementwise import gelu, relu
from tinyseq.registry import Registry
from tinyseq.tensors import Tensor

ACTIVATIONS: Registry[Callable[[Tensor], Tensor]] = Registry("activation", {"relu": relu, "gelu": gelu})


class _Layer(Module):
    """What encoder and decoder layers share: self-attention, and the feed-forward network g(x W_1 + b_1) W_2 + b_2."""

    def __init__(
        self,
        features: int,
        heads: int,
        hidden_size: int | None = None,
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
        eps: float = 1e-5,
    ) -> None:
        ACTIVATIONS.find(activation, type(self).__name__)
        hidden_size = 4 * features if hidden_size is None else hidden_size
        self.features, self.activation, self.norm_first = features, activation, norm_first
        self.self_attn = MultiheadAttention(features, heads, dropout=dropout)
        self.linear1 = Linear(features, hidden_size)
        self.linear2 = Linear(hidden_size, features)
        self.norm1, self.norm2 = LayerNorm(features, eps=eps), LayerNorm(features, eps=eps)
        self.dropout = Dropout(dropout)
        self.residual_dropout = Dropout(dropout)

    def look(self, x: Tensor, mask: Tensor | None, lengths: LengthsLike | None, causal: bool) -> Tensor:
        """Self-attention."""
        y, _ = self.self_attn(x, mask=mask, lengths=lengths, causal=causal)
        return self.residual_dropout(y)

    def feed(self, x: Tensor) -> Tensor:
        """The feed-forward network, at each position alike."""
        g = ACTIVATIONS[self.activation]
        return self.residual_dropout(self.linear2(self.dropout(g(self.linear1(x)))))

    def summary(self) -> str:
        return f"{self.features}, norm first" if self.norm_first else str(self.features)


class TransformerEncoderLayer(_Layer):
    """x = LN(x + SelfAttention(x)),  y = LN(x + FFN(x)) (Vaswani et al. 2017, sec. 3.1).

    With ``norm_first``: x = x + SelfAttention(LN(x)), y = x + FFN(LN(x)) (Xiong et al. 2020), which trains without
    warm-up. FFN(x) = g(x W_1 + b_1) W_2 + b_2, with ``hidden_size`` (4 features by default) units.

    Args, on calling: x (batch, time, features), and ``mask``, ``lengths``, ``causal`` as in ``MultiheadAttention``.

    As ``torch.nn.TransformerEncoderLayer``, batch first.

    >>> layer = nn.TransformerEncoderLayer(8, 2, 16)
    >>> layer.num_parameters(), layer(ts.zeros(1, 3, 8)).shape
    (600, (1, 3, 8))
    """

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, lengths: LengthsLike | None = None, causal: bool = False
    ) -> Tensor:
        if self.norm_first:
            x = x + self.look(self.norm1(x), mask, lengths, causal)
            return x + self.feed(self.norm2(x))
        x = self.norm1(x + self.look(x, mask, lengths, causal))
        return self.norm2(x + self.feed(x))


class TransformerDecoderLayer(_Layer):
    """x = LN(x + SelfAttention(x)),  x = LN(x + Attention(x, memory)),  y = LN(x + FFN(x)); self-attention is causal.

    With ``norm_first`` as in the encoder layer.

    Args, on calling: x (batch, time, features), memory (batch, source time, features), ``lengths`` of x,
    ``memory_lengths`` and ``memory_mask`` of the memory.

    As ``torch.nn.TransformerDecoderLayer``, batch first.

    >>> layer = nn.TransformerDecoderLayer(8, 2, 16)
    >>> layer.num_parameters(), layer(ts.zeros(1, 3, 8), ts.zeros(1, 5, 8)).shape
    (904, (1, 3, 8))
    """

    def __init__(
        self,
        features: int,
        heads: int,
        hidden_size: int | None = None,
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__(
            features, heads, hidden_size, dropout=dropout, activation=activation, norm_first=norm_first, eps=eps
        )
        self.multihead_attn = MultiheadAttention(features, heads, dropout=dropout)
        self.norm3 = LayerNorm(features, eps=eps)

    def look_at(self, x: Tensor, memory: Tensor, mask: Tensor | None, lengths: LengthsLike | None) -> Tensor:
        """Attention over the memory."""
        y, _ = self.multihead_attn(x, memory, mask=mask, lengths=lengths)
        return self.residual_dropout(y)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        *,
        mask: Tensor | None = None,
        lengths: LengthsLike | None = None,
        causal: bool = True,
        memory_mask: Tensor | None = None,
        memory_lengths: LengthsLike | None = None,
    ) -> Tensor:
        if self.norm_first:
            x = x + self.look(self.norm1(x), mask, lengths, causal)
            x = x + self.look_at(self.norm2(x), memory, memory_mask, memory_lengths)
            return x + self.feed(self.norm3(x))
        x = self.norm1(x + self.look(x, mask, lengths, causal))
        x = self.norm2(x + self.look_at(x, memory, memory_mask, memory_lengths))
        return self.norm3(x + self.feed(x))


class TransformerEncoder(Module):
    """Encoder layers one above another; with ``norm_first`` a last LN: (batch, time, features) to the same.

    Vaswani et al. 2017; as ``torch.nn.TransformerEncoder``, batch first.

    >>> nn.TransformerEncoder(8, 2, 3, 16).num_parameters()
    1800
    """

    def __init__(
        self,
        features: int,
        heads: int,
        num_layers: int,
        hidden_size: int | None = None,
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
    ) -> None:
        self.layers = [
            TransformerEncoderLayer(
                features, heads, hidden_size, dropout=dropout, activation=activation, norm_first=norm_first
            )
            for _ in range(_at_least_one(num_layers))
        ]
        self.norm = LayerNorm(features) if norm_first else None

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, lengths: LengthsLike | None = None, causal: bool = False
    ) -> Tensor:
        lengths = _once(lengths, x)
        for layer in self.layers:
            x = layer(x, mask=mask, lengths=lengths, causal=causal)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """Decoder layers one above another; with ``norm_first`` a last LN: (batch, time, features) to the same.

    Vaswani et al. 2017; as ``torch.nn.TransformerDecoder``, batch first.

    >>> nn.TransformerDecoder(8, 2, 3, 16).num_parameters()
    2712
    """

    def __init__(
        self,
        features: int,
        heads: int,
        num_layers: int,
        hidden_size: int | None = None,
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = False,
    ) -> None:
        self.layers = [
            TransformerDecoderLayer(
                features, heads, hidden_size, dropout=dropout, activation=activation, norm_first=norm_first
            )
            for _ in range(_at_least_one(num_layers))
        ]
        self.norm = LayerNorm(features) if norm_first else None

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        *,
        lengths: LengthsLike | None = None,
        memory_lengths: LengthsLike | None = None,
    ) -> Tensor:
        lengths, memory_lengths = _once(lengths, x), _once(memory_lengths, memory)
        for layer in self.layers:
            x = layer(x, memory, lengths=lengths, memory_lengths=memory_lengths)
        return x if self.norm is None else self.norm(x)


def _once(lengths: LengthsLike | None, x: Tensor) -> LengthsLike | None:
    """Return lengths of x with their mask, to be shared by all layers; they refuse an x of another form in words."""
    return lengths if lengths is None or len(x.shape) != 3 else check_lengths(lengths, x.shape[1], x.shape[0])


def _at_least_one(num_layers: int) -> int:
    if num_layers < 1:
        raise DataError("num_layers", required="at least 1", got=str(num_layers))
    return num_layers
