"""Attention: scaled dot products, and many heads of them."""

from __future__ import annotations

import math

from tinyseq.errors import DataError, ShapeError
from tinyseq.masks import LengthsLike, check_lengths
from tinyseq.nn import init as initial
from tinyseq.nn.init import Initializer
from tinyseq.nn.layers import Dropout, require_features
from tinyseq.nn.masks import causal_mask, masked_softmax
from tinyseq.nn.module import Module, parameter
from tinyseq.ops.shape import reshape, swapaxes, transpose
from tinyseq.tensors import Tensor


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout: Dropout | None = None
) -> tuple[Tensor, Tensor]:
    """Return softmax(q kᵀ / sqrt(d)) v and the weights (Vaswani et al. 2017, eq. 1).

    Args:
        q: (..., queries, d).
        k: (..., keys, d).
        v: (..., keys, features).
        mask: True where a query may look at a key; broadcasts to (..., queries, keys). A query that may look at none
            gets zeros.
        dropout: applied to the weights that v is summed with.

    Returns:
        (..., queries, features) and the weights (..., queries, keys).

    As ``torch.nn.functional.scaled_dot_product_attention``, with the weights.

    >>> q, m = ts.tensor([[1.0]]), ts.tensor([[0.0], [1.0]])
    >>> nn.scaled_dot_product_attention(q, m, m)
    (tensor([[0.7311]]), tensor([[0.2689, 0.7311]]))
    """
    scores = q @ swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    weights = masked_softmax(scores, mask)
    return (weights if dropout is None else dropout(weights)) @ v, weights


class MultiheadAttention(Module):
    """head_i = attention(q W_q^i, k W_k^i, v W_v^i), y = [head_1, ..., head_n] W_o (Vaswani et al. 2017, sec. 3.2.2).

    Args:
        features: of queries and output.
        heads: how many; each has features / heads features, W_q^i being the i-th such block of columns of W_q.
        key_size: features of keys and values, where they differ from ``features``.
        dropout: probability, on the weights, in training.

    Raises:
        DataError: features that the heads do not divide.
        ShapeError: (on calling) wrong feature sizes, or a mask that does not fit.

    As ``torch.nn.MultiheadAttention``, batch first.

    >>> attention = nn.MultiheadAttention(8, 2)
    >>> y, weights = attention(ts.zeros(1, 4, 8))
    >>> attention.num_parameters(), weights[0, 0, 0]
    (288, tensor([0.25, 0.25, 0.25, 0.25], made by slice))
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        key_size: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        init: str | Initializer = "glorot",
    ) -> None:
        if heads < 1 or features % heads:
            raise DataError("MultiheadAttention", required=f"a number of heads that divides {features}", got=str(heads))
        key_size = features if key_size is None else key_size
        self.features, self.heads, self.key_size = features, heads, key_size
        self.W_q = parameter(initial.draw(init, features, features))
        self.W_k = parameter(initial.draw(init, key_size, features))
        self.W_v = parameter(initial.draw(init, key_size, features))
        self.W_o = parameter(initial.draw(init, features, features))
        self.b_q = parameter(initial.zeros(features)) if bias else None
        self.b_k = parameter(initial.zeros(features)) if bias else None
        self.b_v = parameter(initial.zeros(features)) if bias else None
        self.b_o = parameter(initial.zeros(features)) if bias else None
        self.dropout = Dropout(dropout)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        lengths: LengthsLike | None = None,
        causal: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return y (batch, queries, features) and the weights (batch, heads, queries, keys).

        Args:
            query: (batch, queries, features).
            key: (batch, keys, key_size); by default the query (self-attention).
            value: as ``key``, and by default it.
            mask: True where a query may look: (queries, keys), (batch, queries, keys) or (batch, heads, queries, keys).
            lengths: (batch,), how many keys of each row are real.
            causal: a position may look only at itself and at what came before.
        """
        key = query if key is None else key
        value = key if value is None else value
        for name, x, size in (
            ("query", query, self.features),
            ("key", key, self.key_size),
            ("value", value, self.key_size),
        ):
            if len(x.shape) != 3:
                raise ShapeError(f"MultiheadAttention: {name}", required=f"(batch, time, {size})", got=str(x.shape))
            require_features(f"MultiheadAttention, {name}", x, size)
        q = self._split(_affine(query, self.W_q, self.b_q))
        k = self._split(_affine(key, self.W_k, self.b_k))
        v = self._split(_affine(value, self.W_v, self.b_v))
        heads, weights = scaled_dot_product_attention(
            q, k, v, self._mask(query, key, mask, lengths, causal), self.dropout
        )
        joined = reshape(transpose(heads, (0, 2, 1, 3)), query.shape)
        return _affine(joined, self.W_o, self.b_o), weights

    def _split(self, x: Tensor) -> Tensor:
        """(batch, time, features) -> (batch, heads, time, features / heads)."""
        batch, time, features = x.shape
        return transpose(reshape(x, (batch, time, self.heads, features // self.heads)), (0, 2, 1, 3))

    def _mask(
        self,
        query: Tensor,
        key: Tensor,
        mask: Tensor | None,
        lengths: LengthsLike | None,
        causal: bool,
    ) -> Tensor | None:
        """Join the masks into one that broadcasts to (batch, heads, queries, keys)."""
        batch, queries, keys = query.shape[0], query.shape[1], key.shape[1]
        parts = []
        if mask is not None:
            full = (batch, self.heads, queries, keys)
            allowed = [(queries, keys), (batch, queries, keys), full]
            if mask.dtype.kind != "b" or mask.shape not in allowed:
                raise ShapeError(
                    "MultiheadAttention: the mask",
                    required="booleans " + " or ".join(map(str, allowed)),
                    got=f"{mask.dtype}{mask.shape}",
                )
            parts.append(reshape(mask, (batch, 1, queries, keys)) if len(mask.shape) == 3 else mask)
        if lengths is not None:
            parts.append(reshape(check_lengths(lengths, keys, batch).mask, (-1, 1, 1, keys)))
        if causal:
            if queries != keys:
                raise ShapeError(
                    "MultiheadAttention: causal", required="as many queries as keys", got=f"{queries}, {keys}"
                )
            parts.append(causal_mask(keys))
        if not parts:
            return None
        joined = parts[0]
        for part in parts[1:]:
            joined = joined & part
        return joined

    def summary(self) -> str:
        return f"{self.features}, {self.heads} heads"


def _affine(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    return x @ W if b is None else x @ W + b
