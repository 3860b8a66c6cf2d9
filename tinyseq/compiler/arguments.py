"""The arguments of a compiled function: what tells one call's from another's, and the tensors and floats among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from tinyseq import trees
from tinyseq.scalars import SCALARS
from tinyseq.tensors import Tensor

#: Types whose values are compared.
_WORDS: Final = frozenset({bool, int, str, bytes, type(None), range})


#: What a call is given: its form, its tensors, its floats, and the things that its form knows by identity.
Given = tuple[Any, Sequence[Tensor], Sequence[Any], Sequence[Any]]


def form_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Given:
    """Return a call's tensors and floats in order, and its form: what tells it from others besides these."""
    tensors: list[Tensor] = []
    scalars: list[Any] = []
    held: list[Any] = []
    form: Any = _forms(args, tensors, scalars, held)
    if kwargs:
        form = (form, tuple((key, _form(x, tensors, scalars, held)) for key, x in kwargs.items()))
    return form, tensors, scalars, held


def _forms(xs: Sequence[Any], tensors: list[Tensor], scalars: list[Any], held: list[Any]) -> Any:
    return tuple([_form(x, tensors, scalars, held) for x in xs])


def _form(x: Any, tensors: list[Tensor], scalars: list[Any], held: list[Any]) -> Any:
    """Return what tells one argument from another."""
    kind = type(x)
    if kind in _WORDS:
        return kind, x
    if isinstance(x, Tensor):
        tensors.append(x)
        return Tensor
    if isinstance(x, tuple | list):
        return kind, _forms(x, tensors, scalars, held)
    if kind in SCALARS:
        scalars.append(x)
        return kind
    if isinstance(x, dict):
        # 1, 1.0 and True are equal, and the same key to a dict; the function may tell them apart.
        return kind, tuple([(key.__class__, key, _form(part, tensors, scalars, held)) for key, part in x.items()])
    if kind is np.ndarray:
        return "array", x.shape, x.dtype, x.tobytes()
    if kind is slice:
        return slice, *(_form(part, tensors, scalars, held) for part in (x.start, x.stop, x.step))
    if isinstance(x, complex | np.generic):
        return kind, repr(x)
    held.append(x)  # as long as it is held, no other thing has its id
    return kind, id(x)


class Pattern:
    """The form of the arguments of one call, laid out so that others of this form are read in a few steps.

    It is for nested tuples and lists of tensors, floats and words; of others ``of`` returns None.
    """

    def __init__(self, args: Sequence[Any], form: Any) -> None:
        self.form = form
        #: Tuples and lists, and what is in them: all parts in a row, those of the outer before those of the inner.
        row, self.inner = [*args], []
        first: dict[int, int] = {}
        for index, x in enumerate(row):  # the list grows while it is walked
            if isinstance(x, tuple) or type(x) is list:
                first[index] = len(row)
                self.inner.append((index, type(x), len(x)))
                row += x
        self.kinds = [type(x) for x in row]
        order, stack = [], [*reversed(range(len(args)))]
        while stack:
            index = stack.pop()
            if index in first:
                stack += reversed(range(first[index], first[index] + len(row[index])))
            else:
                order.append(index)
        self.tensors = trees.taking([i for i in order if isinstance(row[i], Tensor)])
        self.scalars = trees.taking([i for i in order if self.kinds[i] in SCALARS])
        self.words = trees.taking([i for i in order if self.kinds[i] in _WORDS])
        self.known = self.words(row)

    @classmethod
    def of(cls, args: Sequence[Any], kwargs: Mapping[str, Any], form: Any) -> Pattern | None:
        """Return the pattern of a call; None where there is something in it that is not in rows."""
        if kwargs:
            return None
        made = cls(args, form)
        known = {list, *_WORDS, *SCALARS}
        return made if all(kind in known or issubclass(kind, Tensor | tuple) for kind in made.kinds) else None

    def read(self, args: Sequence[Any]) -> Given | None:
        """Return what another call is given, if it is of this form; None where ``form_of`` must tell."""
        row = [*args]
        for index, kind, length in self.inner:
            if index >= len(row) or type(part := row[index]) is not kind or len(part) != length:
                return None
            row += part
        if [*map(type, row)] != self.kinds or self.words(row) != self.known:
            return None
        return self.form, self.tensors(row), self.scalars(row), ()
