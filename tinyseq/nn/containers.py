"""Modules that hold modules: one after another, and as a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tinyseq.errors import DataError
from tinyseq.nn.cells import Cell
from tinyseq.nn.module import Module
from tinyseq.nn.recurrent import Recurrent
from tinyseq.tensors import Tensor

#: A module, or a function such as ``ts.tanh``.
Layer = Module | Callable[[Tensor], Tensor]


class _Numbered(Module):
    """Holds things under their numbers, so that a path is ``0.W``, as PyTorch's."""

    def _put(self, layer: Layer) -> None:
        if not callable(layer):
            raise DataError(f"{type(self).__name__}: not a module", required="modules, or functions", got=repr(layer))
        setattr(self, str(len(self)), layer)

    def __len__(self) -> int:
        return sum(name.isdecimal() for name in self.__dict__)

    def __iter__(self) -> Iterator[Layer]:
        return iter([self.__dict__[str(i)] for i in range(len(self))])

    def __getitem__(self, index: int) -> Layer:
        return list(self)[index]


class Sequential(_Numbered):
    r"""Layers one after another, y = f_n(\ldots f_2(f_1(x))): modules, and functions such as ``ts.tanh``.

    Of a recurrent layer or a cell, which gives (ys, state), ys goes on: PyTorch's does not take them. Paths are
    ``0.W``, ``2.b``, as PyTorch's ``0.weight``; ``len``, ``for`` and ``[i]`` work. As ``torch.nn.Sequential``.

    Raises:
        DataError: what is no module and no function.

    >>> model = nn.Sequential(nn.Linear(2, 3), ts.tanh, nn.Linear(3, 1))
    >>> len(model), model.num_parameters(), model(ts.zeros(5, 2)).shape
    (3, 13, (5, 1))
    """

    def __init__(self, *layers: Layer) -> None:
        for layer in layers:
            self._put(layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)[0] if isinstance(layer, Recurrent | Cell) else layer(x)
        return x


class ModuleList(_Numbered):
    """A list of modules whose parameters are found; a plain list as an attribute does the same.

    Paths are ``0.W``, as PyTorch's; ``append``, ``len``, ``for`` and ``[i]`` work. As ``torch.nn.ModuleList``.

    Raises:
        DataError: what is no module.

    >>> layers = nn.ModuleList([nn.Linear(2, 3), nn.Linear(3, 1)])
    >>> len(layers), layers.num_parameters()
    (2, 13)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add a module at the end."""
        if not isinstance(module, Module):
            raise DataError("ModuleList: not a module", required="modules", got=repr(module))
        self._put(module)
