"""Pooling: one vector for a whole sequence of outputs."""

from __future__ import annotations

from collections.abc import Callable

from tinyseq.masks import align, length_mask
from tinyseq.nn import init as initial
from tinyseq.nn.layers import Linear
from tinyseq.nn.masks import masked_softmax
from tinyseq.nn.module import Module, parameter
from tinyseq.ops.elementwise import maximum, tanh, where
from tinyseq.ops.reduce import sum_
from tinyseq.ops.shape import concat, expand_dims, gather, reshape
from tinyseq.registry import Registry
from tinyseq.tensors import Tensor


class FinalPooling(Module):
    """The last output of each row: step ``lengths - 1``; of a second direction, which reads from the end, step 0.

    ys (batch, time, features) -> (batch, features).

    As ``h_n`` of ``torch.nn.LSTM``.

    >>> nn.FinalPooling(1)(ts.tensor([[[1.0], [2.0], [3.0]]]), ts.tensor([2]))
    tensor([[2.]])
    """

    def __init__(self, features: int, bidirectional: bool = False) -> None:
        self.forwards = features // 2 if bidirectional else features
        self.bidirectional = bidirectional

    def forward(self, ys: Tensor, lengths: Tensor | None = None) -> Tensor:
        ahead = ys[:, :, : self.forwards] if self.bidirectional else ys
        last = ahead[:, -1] if lengths is None else _at(ahead, maximum(lengths - 1, 0))
        return concat([last, ys[:, 0, self.forwards :]], axis=-1) if self.bidirectional else last


class MeanPooling(Module):
    """The mean of a row's outputs over its real steps: (batch, time, features) -> (batch, features).

    As ``tf.keras.layers.GlobalAveragePooling1D``.

    >>> nn.MeanPooling(1)(ts.tensor([[[1.0], [2.0], [9.0]]]), ts.tensor([2]))
    tensor([[1.5]])
    """

    def __init__(self, features: int, bidirectional: bool = False) -> None:
        self.features = features

    def forward(self, ys: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            return sum_(ys, 1) / float(ys.shape[1])
        real = where(align(length_mask(lengths, ys.shape[1]), ys), ys, 0.0)
        mean: Tensor = sum_(real, 1) / reshape(maximum(lengths, 1), (-1, 1)).cast(ys.dtype)
        return mean


class AttentionPooling(Module):
    """s = Σ a_t y_t, a = softmax(v · tanh(y_t W + b)): the model learns which steps count (Yang et al. 2016, eq. 5-7).

    (batch, time, features) -> (batch, features).

    >>> pooling = nn.AttentionPooling(1)
    >>> pooling.weights(ts.zeros(1, 4, 1)), pooling.num_parameters()
    (tensor([[0.25, 0.25, 0.25, 0.25]], made by softmax), 3)
    """

    def __init__(self, features: int, bidirectional: bool = False) -> None:
        self.project = Linear(features, features)
        self.v = parameter(initial.normal(features, std=features**-0.5))

    def forward(self, ys: Tensor, lengths: Tensor | None = None) -> Tensor:
        pooled: Tensor = sum_(expand_dims(self.weights(ys, lengths), -1) * ys, 1)
        return pooled

    def weights(self, ys: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return a (batch, time)."""
        scores = sum_(tanh(self.project(ys)) * self.v, -1)
        return masked_softmax(scores, None if lengths is None else length_mask(lengths, ys.shape[1]))


def _at(ys: Tensor, steps: Tensor) -> Tensor:
    """Return ys[b, steps[b]] for each row b."""
    picked: Tensor = gather(ys, reshape(steps, (-1, 1, 1)), 1)[:, 0]
    return picked


#: Name -> (features, bidirectional) -> a module (ys, lengths) -> (batch, features).
POOLINGS: Registry[Callable[[int, bool], Module]] = Registry(
    "pooling",
    {
        "final": FinalPooling,
        "mean": MeanPooling,
        "attention": AttentionPooling,
    },
)
