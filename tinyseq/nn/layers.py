"""Layers without time: linear, embedding, dropout, layer normalisation."""

from __future__ import annotations

from tinyseq.errors import DataError, ShapeError
from tinyseq.nn import functional
from tinyseq.nn import init as initial
from tinyseq.nn.init import Initializer
from tinyseq.nn.module import Module, parameter
from tinyseq.ops.elementwise import sqrt
from tinyseq.ops.reduce import mean
from tinyseq.random import generator
from tinyseq.tensors import Tensor


class Linear(Module):
    """y = x W + b over the last axis: (..., in_features) -> (..., out_features).

    Raises:
        ShapeError: the last axis has another extent.

    As ``torch.nn.Linear``, whose weight is the transposed one.

    >>> layer = nn.Linear(2, 1)
    >>> layer.W.assign(ts.tensor([[3.0], [4.0]]))
    >>> layer(ts.tensor([[1.0, 2.0]])).tolist()
    [[11.0]]
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, init: str | Initializer = "glorot"
    ) -> None:
        self.in_features, self.out_features = in_features, out_features
        self.W = parameter(initial.draw(init, in_features, out_features))
        self.b = parameter(initial.zeros(out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        require_features("Linear", x, self.in_features)
        y = x @ self.W
        return y if self.b is None else y + self.b

    def summary(self) -> str:
        return f"{self.in_features} -> {self.out_features}"


class Embedding(Module):
    """Rows of a learned table, y = W[ids]: integers (...) -> (..., features).

    The rows start normal with standard deviation ``std``.

    Args:
        num_embeddings: rows, one an id.
        features: of a row.
        std: what the rows start with. With 1 the elements are of the size that a cell's gates and their initial weights
            expect; smaller tables take longer to be told apart (``benchmarks/embedding.py`` has the tasks' scores).

    Raises:
        DtypeError: the ids are not integers.
        DataError: an id out of range.

    As ``torch.nn.Embedding``.

    >>> layer = nn.Embedding(10, 4)
    >>> layer.num_parameters(), layer(ts.tensor([[1, 2, 3]])).shape
    (40, (1, 3, 4))
    """

    def __init__(self, num_embeddings: int, features: int, std: float = 1.0) -> None:
        self.num_embeddings, self.features = num_embeddings, features
        self.W = parameter(initial.normal(num_embeddings, features, std=std))

    def forward(self, ids: Tensor) -> Tensor:
        result: Tensor = functional.embedding(self.W, ids)
        return result

    def summary(self) -> str:
        return f"{self.num_embeddings} rows of {self.features}"


class Dropout(Module):
    """In training, zero each element with probability p and scale the rest by 1 / (1 - p); else the identity.

    Srivastava et al. 2014, the inverted form. Each Dropout, call and time step draws its own numbers.

    Raises:
        DataError: p outside [0, 1).

    As ``torch.nn.Dropout``.

    >>> layer = nn.Dropout(0.5)
    >>> sorted(set(layer(ts.ones(100)).tolist())), layer.eval()(ts.ones(2))
    ([0.0, 2.0], tensor([1., 1.]))
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p < 1.0:
            raise DataError("Dropout: the probability is out of range", required="0 <= p < 1", got=str(p))
        self.p = p
        self.site = generator.new_site()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        result: Tensor = functional.dropout(x, self.p, **generator.key(self.site))
        return result

    def summary(self) -> str:
        return f"p={self.p}"


class LayerNorm(Module):
    """y = (x - μ) / sqrt(σ² + ε) · gain + bias, μ and σ² over the last axis (Ba, Kiros and Hinton 2016, eq. 3-4).

    (..., features) -> (..., features); gain starts at 1 and bias at 0.

    Raises:
        ShapeError: the last axis has another extent.

    As ``torch.nn.LayerNorm``.

    >>> nn.LayerNorm(2, eps=0.0)(ts.tensor([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, features: int, *, eps: float = 1e-5, bias: bool = True) -> None:
        if not eps >= 0.0:
            raise DataError("LayerNorm: eps", required="0 or more", got=str(eps))
        self.features, self.eps = features, eps
        self.gain = parameter(initial.full(features, value=1.0))
        self.bias = parameter(initial.zeros(features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        require_features("LayerNorm", x, self.features)
        deviation = x - mean(x, -1, keepdims=True)
        variance = mean(deviation * deviation, -1, keepdims=True)
        y = deviation / sqrt(variance + self.eps) * self.gain
        return y if self.bias is None else y + self.bias

    def summary(self) -> str:
        return f"{self.features}, eps={self.eps}"


def require_features(layer: str, x: Tensor, features: int) -> None:
    """Refuse an input whose last axis is not what a layer takes."""
    if x.shape[-1:] != (features,):
        raise ShapeError(f"{layer}: feature size", required=f"(..., {features})", got=str(x.shape))
