"""Functions of each element by itself, as users call them."""

from __future__ import annotations

from tinyseq.ops import elementwise as ew
from tinyseq.ops import predicates
from tinyseq.ops.base import DtypeLike, Operand
from tinyseq.tensors import Tensor


def exp(x: Tensor) -> Tensor:
    r"""The exponential of each element.

        y = e^x

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As ``numpy.exp``,
    ``torch.exp``.

    >>> ts.exp(ts.tensor([0.0, 1.0]))
    tensor([1.    , 2.7183])
    """
    return ew.exp(x)


def expm1(x: Tensor) -> Tensor:
    r"""The exponential less 1, exact where x is near 0.

        y = e^x - 1

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As ``numpy.expm1``,
    ``torch.expm1``.

    >>> ts.expm1(ts.tensor([0.0, 1.0]))
    tensor([0.    , 1.7183])
    """
    return ew.expm1(x)


def log(x: Tensor) -> Tensor:
    r"""The natural logarithm of each element; -inf at 0, NaN below.

        y = \ln x

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As ``numpy.log``,
    ``torch.log``.

    >>> ts.log(ts.tensor([1.0, 2.0]))
    tensor([0.    , 0.6931])
    """
    return ew.log(x)


def log1p(x: Tensor) -> Tensor:
    r"""The logarithm of 1 + x, exact where x is near 0.

        y = \ln(1 + x)

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As ``numpy.log1p``,
    ``torch.log1p``.

    >>> ts.log1p(ts.tensor([0.0, 1.0]))
    tensor([0.    , 0.6931])
    """
    return ew.log1p(x)


def sqrt(x: Tensor) -> Tensor:
    r"""The square root of each element; NaN below 0. Its slope at 0 is infinite.

        y = \sqrt{x}

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As ``numpy.sqrt``,
    ``torch.sqrt``.

    >>> ts.sqrt(ts.tensor([4.0, 2.0]))
    tensor([2.    , 1.4142])
    """
    return ew.sqrt(x)


def tanh(x: Tensor) -> Tensor:
    r"""The hyperbolic tangent of each element.

        y = \tanh x

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As ``numpy.tanh``,
    ``torch.tanh``.

    >>> ts.tanh(ts.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """
    return ew.tanh(x)


def sigmoid(x: Tensor) -> Tensor:
    r"""The logistic function of each element; it does not overflow.

        y = \sigma(x) = \frac{1}{1 + e^{-x}} = \frac{1}{2} \tanh \frac{x}{2} + \frac{1}{2}

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As
    ``torch.sigmoid``.

    >>> ts.sigmoid(ts.tensor([0.0, 2.0]))
    tensor([0.5   , 0.8808])
    """
    return ew.sigmoid(x)


def relu(x: Tensor) -> Tensor:
    r"""Each element, or 0 where it is negative; the slope at 0 is 0. NaN stays.

        y = \max(x, 0)

    Any shape, which is kept. Floats and integers stay; booleans give int64. As ``torch.relu``; Nair and Hinton 2010.

    >>> ts.relu(ts.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return ew.relu(x)


def softplus(x: Tensor) -> Tensor:
    r"""A smooth relu of each element; it does not overflow.

        y = \ln(1 + e^x)

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As
    ``torch.nn.functional.softplus``; Dugas et al. 2000.

    >>> ts.softplus(ts.tensor([0.0, 100.0]))
    tensor([  0.6931, 100.    ])
    """
    return ew.softplus(x)


def erf(x: Tensor) -> Tensor:
    r"""The error function of each element.

        y = \frac{2}{\sqrt{\pi}} \int_0^x e^{-t^2} dt

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As
    ``scipy.special.erf``, ``torch.erf``.

    >>> ts.erf(ts.tensor([0.0, 1.0]))
    tensor([0.    , 0.8427])
    """
    return ew.erf(x)


def sin(x: Tensor) -> Tensor:
    r"""The sine of each element, in radians.

        y = \sin x

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As ``numpy.sin``,
    ``torch.sin``.

    >>> ts.sin(ts.tensor([0.0, 1.0]))
    tensor([0.    , 0.8415])
    """
    return ew.sin(x)


def cos(x: Tensor) -> Tensor:
    r"""The cosine of each element, in radians.

        y = \cos x

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As ``numpy.cos``,
    ``torch.cos``.

    >>> ts.cos(ts.tensor([0.0, 1.0]))
    tensor([1.    , 0.5403])
    """
    return ew.cos(x)


def abs(x: Tensor) -> Tensor:
    r"""The absolute value of each element; the slope at 0 is 0.

        y = |x|

    Any shape and dtype, which are kept. As ``numpy.abs``, ``torch.abs``.

    >>> ts.abs(ts.tensor([-2.0, 3.0]))
    tensor([2., 3.])
    """
    return ew.absolute(x)


def sign(x: Tensor) -> Tensor:
    r"""-1, 0 or 1, the sign of each element. No gradient flows through it.

        y = \operatorname{sign} x

    Any shape and dtype of numbers, which are kept. As ``numpy.sign``, ``torch.sign``.

    Raises:
        DtypeError: x is of booleans.

    >>> ts.sign(ts.tensor([-2.0, 0.0, 3.0]))
    tensor([-1.,  0.,  1.])
    """
    return ew.sign(x)


def isfinite(x: Tensor) -> Tensor:
    r"""Whether each element is neither infinite nor NaN.

        y = [|x| < \infty]

    Any shape, which is kept; booleans. As ``numpy.isfinite``, ``torch.isfinite``.

    >>> ts.isfinite(ts.tensor([1.0, float('inf')]))
    tensor([ True, False])
    """
    return predicates.isfinite(x)


def stop_gradient(x: Tensor) -> Tensor:
    r"""The same values, through which no gradient flows: a cut that pictures show.

        y = x,\quad \partial y / \partial x := 0

    Any shape and dtype, which are kept. As ``Tensor.detach`` of PyTorch; ``jax.lax.stop_gradient``.

    >>> ts.stop_gradient(ts.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    return ew.stop_gradient(x)


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    r"""The Gaussian error linear unit of each element, Φ the normal distribution; ``approximate``, through tanh.

        y = x \Phi(x) = \frac{x}{2} (1 + \operatorname{erf} \frac{x}{\sqrt{2}})

    Any shape, which is kept. float32 and float64 stay; integers and booleans are taken as float32. As Hendrycks and
    Gimpel 2016, eq. 2; ``torch.nn.functional.gelu``.

    >>> ts.gelu(ts.tensor([0.0, 1.0]))
    tensor([0.    , 0.8413])
    """
    return ew.gelu(x, approximate)


def maximum(a: Operand, b: Operand) -> Tensor:
    r"""The larger of two, element by element; a tie shares the gradient, half to each. NaN wins.

        y = \max(a, b)

    Shapes broadcast; dtypes meet. As ``numpy.maximum``, ``torch.maximum``.

    Raises:
        ShapeError: the shapes do not broadcast.

    >>> ts.maximum(ts.tensor([1.0, 5.0]), 3.0)
    tensor([3., 5.])
    """
    return ew.maximum(a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    r"""The smaller of two, element by element; a tie shares the gradient, half to each. NaN wins.

        y = \min(a, b)

    Shapes broadcast; dtypes meet. As ``numpy.minimum``, ``torch.minimum``.

    Raises:
        ShapeError: the shapes do not broadcast.

    >>> ts.minimum(ts.tensor([1.0, 5.0]), 3.0)
    tensor([1., 3.])
    """
    return ew.minimum(a, b)


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    r"""Elements of a where the condition holds, else of b; no gradient flows to what is not chosen.

        y = a \text{ if } c \text{ else } b

    Shapes broadcast; the dtypes of a and b meet. As ``numpy.where``, ``torch.where``.

    Raises:
        ShapeError: the shapes do not broadcast.

    >>> ts.where(ts.tensor([True, False]), ts.tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    return ew.where(condition, a, b)


def clip(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    r"""Each element brought within the bounds; None is no bound. The gradient passes inside the bounds and on them.

        y = \min(\max(x, \mathit{low}), \mathit{high})

    Any shape and dtype, which are kept. As ``numpy.clip``, ``torch.clamp``.

    >>> ts.clip(ts.tensor([-2.0, 0.5, 9.0]), 0.0, 1.0)
    tensor([0. , 0.5, 1. ])
    """
    return ew.clip(x, low, high)


def cast(x: Tensor, dtype: DtypeLike) -> Tensor:
    r"""The same values in another dtype, floats cut toward 0 to integers. A gradient flows from floats to floats.

        y = x \text{ as another dtype}

    Any shape, which is kept. As ``numpy.ndarray.astype``, ``torch.Tensor.to``.

    >>> ts.cast(ts.tensor([1.7, -1.7]), ts.int64)
    tensor([ 1, -1])
    """
    return ew.cast(x, dtype)
