"""Layers of ours from a library's tensors by name, and tensors by name from layers of ours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyseq import backends
from tinyseq.errors import DataError, did_you_mean
from tinyseq.nn.cells import GRUCell
from tinyseq.nn.convert import mapping
from tinyseq.nn.convert.mapping import Arrays, Sizes
from tinyseq.nn.convert.records import LIBRARIES, LayerForm, LibraryRecord, Stored
from tinyseq.nn.init import Array
from tinyseq.nn.layers import Embedding, Linear
from tinyseq.nn.module import Module
from tinyseq.nn.recurrent import GRU, LSTM, RNN, Recurrent
from tinyseq.tensors import Tensor

#: Kinds that ``read`` looks for where none is named: single matrices are everywhere.
RECURRENT = ("lstm", "gru", "rnn", "esn")
_MOST_LAYERS = 200


@dataclass(frozen=True)
class CellPlace:
    """Where a cell stands in a library's naming."""

    layer: int
    direction: int
    directions: int

    def fill(self, library: LibraryRecord, name: str, n: int) -> str:
        way = library.ways[self.direction] if self.direction < len(library.ways) else ""
        index = self.layer * self.directions + self.direction
        return name.format(layer=self.layer, way=way, index=index, n=n)


@dataclass(frozen=True)
class Found:
    """Tensors of one layer, or stack of layers: a form, and the tensors of each cell, layer by layer."""

    form: LayerForm
    cells: tuple[tuple[dict[Stored, Array], ...], ...]
    sizes: tuple[tuple[Sizes, ...], ...]
    #: The tensors by the names that they have in the source.
    names: Mapping[str, Stored]
    #: What else is known: of a file's own settings.
    options: Mapping[str, Any] = field(default_factory=dict)

    def under(self, head: str) -> Found:
        """Return it with names that begin with a head."""
        return replace(self, names={head + name: stored for name, stored in self.names.items()})


# -- names -------------------------------------------------------------------------------------------------------------


def names_of(
    library: LibraryRecord, form: LayerForm, layers: int, directions: int
) -> dict[str, tuple[Stored, CellPlace]]:
    """Return what stands under each name; a tensor with all directions stands under the first."""
    found = {}
    for layer in range(layers):
        for direction in range(1 if library.directions_first else directions):
            place = CellPlace(layer, direction, directions)
            for i, stored in enumerate(form.stored):
                n = (layer * directions + direction) * len(form.stored) + i
                found[place.fill(library, stored.name, n)] = (stored, place)
    return found


def heads(library: LibraryRecord, form: LayerForm, names: Iterable[str]) -> list[str]:
    """Return what stands before the tensors' own names, once for each set of tensors of a form."""
    first = CellPlace(0, 0, 1).fill(library, form.stored[0].name, 0)
    ends = [name for name in names if name.endswith(first)]
    found = [name[: -len(first)] for name in ends]
    return [head for head in dict.fromkeys(found) if not head or head[-1] in library.joints]


def _inside(head: str, arrays: Mapping[str, Array], others: Collection[str]) -> Arrays:
    """Return the tensors under a head, without those of a head further in."""
    further = [other for other in others if other != head and other.startswith(head)]
    return {
        name[len(head) :]: array
        for name, array in arrays.items()
        if name.startswith(head) and not any(name.startswith(other) for other in further)
    }


# -- what fits ---------------------------------------------------------------------------------------------------------


def fit(library: LibraryRecord, form: LayerForm, arrays: Mapping[str, Array]) -> list[Found | str]:
    """Return each reading of tensors as one form, or why there is none: one a number of directions."""
    results: list[Found | str] = []
    for directions in _directions(library, arrays):
        result: Found | str = ""
        whole: Collection[str] = ()
        # Where a set of tensors is one cell, there is no second layer to look for.
        for layers in range(1, _MOST_LAYERS if library.ways else 2):
            names = names_of(library, form, layers, directions)
            missing = [name for name, (stored, _) in names.items() if not stored.optional and name not in arrays]
            if missing:
                result = "" if whole else f"{form.called}: missing {_named(missing)}"
                break
            whole = names.keys()
            if len(names) + len(form.differs) >= len(arrays) and not arrays.keys() - whole - _differing(form):
                result = _fitted(library, form, names, arrays, layers, directions)
                break
        results.append(result or f"{form.called}: no place for {_named(arrays.keys() - whole - _differing(form))}")
    return results


def _named(names: Collection[str], most: int = 6) -> str:
    shown = ", ".join(name[:80] for name in sorted(names)[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _directions(library: LibraryRecord, arrays: Mapping[str, Array]) -> tuple[int, ...]:
    if library.directions_first:
        extents = {array.shape[0] for array in arrays.values() if array.ndim}
        return tuple(extents & {1, 2}) or (1,)
    return (1, 2) if len(library.ways) == 2 else (1,)


def _differing(form: LayerForm) -> set[str]:
    return {name.rstrip("?") for name in form.differs}


def _fitted(
    library: LibraryRecord,
    form: LayerForm,
    names: Mapping[str, tuple[Stored, CellPlace]],
    arrays: Mapping[str, Array],
    layers: int,
    directions: int,
) -> Found | str:
    cells: list[list[dict[Stored, Array]]] = [[{} for _ in range(directions)] for _ in range(layers)]
    for name, (stored, place) in names.items():
        if name not in arrays:
            continue
        if library.directions_first:
            if arrays[name].ndim < 1 or arrays[name].shape[0] != directions:
                return f"{form.called}: {name}: {directions} directions first, got {arrays[name].shape}"
            for direction in range(directions):
                cells[place.layer][direction][stored] = arrays[name][direction]
        else:
            cells[place.layer][place.direction][stored] = arrays[name]
    shown = {(stored, place.layer, place.direction): name for name, (stored, place) in names.items()}
    sizes: list[list[Sizes]] = []
    for depth, row in enumerate(cells):
        sizes.append([])
        for direction, tensors in enumerate(row):
            size = mapping.sizes_in(library, form, tensors)
            if size is None:
                return f"{form.called}: no matrix that says the sizes"
            below = sizes[depth - 1][0].hidden * directions if depth else size.input
            size = Sizes(below, sizes[0][0].hidden if sizes[0] else size.hidden)
            for stored, wrong in mapping.misfits(library, form, tensors, size):
                name = shown.get((stored, depth, direction)) or shown[stored, depth, 0]
                return f"{form.called}: {name}: {wrong}"
            sizes[depth].append(size)
    if any(row[0].hidden != one.hidden or row[0].input != one.input for row in sizes for one in row):
        return f"{form.called}: directions of different sizes"
    held = {name: stored for name, (stored, _) in names.items() if name in arrays}
    return Found(form, tuple(map(tuple, cells)), tuple(map(tuple, sizes)), held)


def found_in(
    name: str, arrays: Mapping[str, Array], kinds: Sequence[str], options: Mapping[str, Any], where: str
) -> Found:
    """Return the one reading of a set of tensors.

    Raises:
        DataError: none fits, or several do.
    """
    library = LIBRARIES.find(name, where)
    forms = [form for form in library.forms if form.kind in kinds]
    if (reset := options.get("reset")) is not None:
        forms = [form for form in forms if form.kind != "gru" or form.reset == reset]
    results = [result for form in forms for result in fit(library, form, arrays)]
    good = [result for result in results if isinstance(result, Found)]
    if (both := options.get("bidirectional")) is not None:
        good = [one for one in good if (len(one.cells[0]) == 2) == both]
    if len(good) == 1:
        return good[0]
    if good:
        told = ["bidirectional=True or False" if len({len(one.cells[0]) for one in good}) > 1 else ""]
        told.append('reset="before" or "after"' if len({one.form.reset for one in good}) > 1 else "")
        told.append(f"kind= one of {sorted(k)}" if len(k := {one.form.kind for one in good}) > 1 else "")
        raise DataError(
            f"{where}: the tensors fit {' and '.join(sorted({one.form.called for one in good}))}",
            required="one reading",
            got=shapes(arrays),
            fix=" and ".join(filter(None, told)) or "prefix=",
        )
    reasons = [result for result in results if isinstance(result, str)]
    near = [reason for reason in reasons if ": missing" not in reason] or reasons
    raise DataError(
        f"{where}: no layer of {library.title} has these tensors",
        required="; ".join(dict.fromkeys(near)) or f"one of {', '.join(form.called for form in library.forms)}",
        got=shapes(arrays),
        fix=_whose(name, arrays, kinds),
    )


def shapes(arrays: Mapping[str, Array], most: int = 12) -> str:
    """Return names and shapes in a line, the first of many."""
    shown = [f"{name[:80]!r} {array.shape}" for name, array in list(arrays.items())[:most]]
    return ", ".join(shown) + (f" and {len(arrays) - most} more" if len(arrays) > most else "") or "nothing"


def _whose(name: str, arrays: Mapping[str, Array], kinds: Sequence[str]) -> str:
    """Return which other library's tensors these could be."""
    other = [key for key, library in LIBRARIES.items() if key != name and _anywhere(library, arrays, kinds)]
    return f"they fit {', '.join(other)}" if other else ""


# -- a stack -----------------------------------------------------------------------------------------------------------


def gathered(
    name: str,
    arrays: Mapping[str, Array],
    kinds: Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
    *,
    layers: Sequence[str | tuple[str, str]] | None,
    prefix: str | None,
    where: str,
) -> Found:
    """Return the layer, or the stack of layers, that tensors by name are.

    Args:
        options: what a file says of its layers, by the place of their tensors; "" is of all.
        layers: the places of the layers of a stack, lowest first; a pair is of the two directions.
        prefix: the place of the one layer that is meant, of several.

    Raises:
        DataError: none, or several and not said which.
    """
    library = LIBRARIES.find(name, where)
    every = [h for form in library.forms if form.kind in kinds for h in heads(library, form, arrays)]
    places = list(dict.fromkeys(every))
    if prefix is not None:
        places = [place for place in places if place.rstrip("./") == prefix.rstrip("./")] or [
            place for place in places if place.startswith(prefix)
        ]
    if layers is None:
        # A dense layer's names are those of a plain recurrent one in some libraries, and its shapes are not.
        fits = {place for place in places if _fits(library, _inside(place, arrays, every), kinds)}
        places = [place for place in places if place in fits] or places
        layers = _natural(library, places)
    if layers is None or not layers:
        if not places and prefix is not None:
            raise DataError(f"{where}: no layer under {prefix!r}", got=shapes(arrays), fix=did_you_mean(prefix, arrays))
        if not places:
            return found_in(name, arrays, kinds, options.get("", {}), where)
        raise DataError(
            f"{where}: {len(places)} layers, and no order among them",
            required="layers=[...], the places of one stack, lowest first (a pair: two directions), or prefix= for one",
            got=", ".join(place.rstrip("./") or "''" for place in places),
        )
    rows = []
    for layer in layers:
        row = []
        for one in (layer,) if isinstance(layer, str) else layer:
            head = _head(one, places, where)
            told = {**options.get("", {}), **options.get(head, {})}
            row.append((found_in(name, _inside(head, arrays, every), kinds, told, where).under(head), told))
        rows.append(row)
    return _stacked(rows, where)


def _anywhere(library: LibraryRecord, arrays: Mapping[str, Array], kinds: Sequence[str]) -> bool:
    places = {head for form in library.forms if form.kind in kinds for head in heads(library, form, arrays)}
    return len(places) <= _MOST_LAYERS and any(
        _fits(library, _inside(place, arrays, places), kinds) for place in sorted(places)
    )


def _fits(library: LibraryRecord, arrays: Mapping[str, Array], kinds: Sequence[str]) -> bool:
    forms = [form for form in library.forms if form.kind in kinds]
    return any(isinstance(result, Found) for form in forms for result in fit(library, form, arrays))


def _head(place: str, places: Sequence[str], where: str) -> str:
    found = [head for head in places if head.rstrip("./") == place.rstrip("./")]
    found = found or [head for head in places if head.startswith(place)]
    if len(found) != 1:
        raise DataError(
            f"{where}: no one layer at {place!r}", fix=did_you_mean(place, [h.rstrip("./") for h in places])
        )
    return found[0]


def _natural(library: LibraryRecord, places: Sequence[str]) -> list[str | tuple[str, str]] | None:
    """Return the layers in order where there is one, or their places are those that ``write`` gives."""
    if len(places) == 1:
        return [places[0]]
    alone, *both = library.places
    for kind in library.words or {"": ""}:
        word = library.words.get(kind, "")
        for templates in ((alone,), tuple(both)):
            for count in range(1, len(places) + 1):
                rows = [[_at(template, word, layer) for template in templates] for layer in range(count)]
                if len(rows) * len(templates) == len(places) and {h for row in rows for h in row} == set(places):
                    return [row[0] if len(row) == 1 else (row[0], row[1]) for row in rows]
    return _pair(both, places)


def _pair(both: Sequence[str], places: Sequence[str]) -> list[str | tuple[str, str]] | None:
    """Return two places that differ in the words of directions alone."""
    words = [template.rstrip("/.").split("/")[-1 if "cell" not in template else -2].split(".")[-1] for template in both]
    if len(places) == 2 and all(words):
        first, second = places if words[0] in places[0] else places[::-1]
        if words[0] in first and first.replace(words[0], words[1]) == second:
            return [(first, second)]
    return None


def _at(template: str, word: str, layer: int) -> str:
    return template.format(layer=layer, nth=f"_{layer}" if layer else "", kind=word)


def _stacked(rows: Sequence[Sequence[tuple[Found, Mapping[str, Any]]]], where: str) -> Found:
    first, told = rows[0][0]
    for row in rows:
        for one, other in row:
            if one.form is not first.form or dict(other) != dict(told):
                raise DataError(
                    f"{where}: layers of one stack are of one kind", required=first.form.called, got=one.form.called
                )
    if len(rows) == 1 and len(rows[0]) == 1:
        return replace(first, options=told)
    if any(len(one.cells) > 1 or (len(row) > 1 and len(one.cells[0]) > 1) for row in rows for one, _ in row):
        raise DataError(f"{where}: a place of layers= is a stack itself", required="one layer, or one direction of it")
    cells: list[tuple[dict[Stored, Array], ...]] = []
    sizes: list[tuple[Sizes, ...]] = []
    for depth, row in enumerate(rows):
        cells.append(tuple(cell for one, _ in row for cell in one.cells[0]))
        size = tuple(size for one, _ in row for size in one.sizes[0])
        below = sizes[-1][0].hidden * len(sizes[-1]) if depth else size[0].input
        if any(one != Sizes(below, size[0].hidden) for one in size):
            raise DataError(
                f"{where}: layer {depth} does not read what the one below gives",
                required=f"{below} inputs",
                got=", ".join(str(one.input) for one in size),
                fix="another order of layers=",
            )
        sizes.append(size)
    if any(size[0].hidden != sizes[0][0].hidden for size in sizes):
        raise DataError(
            f"{where}: layers of different sizes", required="one hidden_size", got=str([s[0].hidden for s in sizes])
        )
    names = {name: stored for row in rows for one, _ in row for name, stored in one.names.items()}
    return Found(first.form, tuple(cells), tuple(sizes), names, told)


# -- modules -----------------------------------------------------------------------------------------------------------


def module_of(name: str, found: Found, where: str) -> Module:
    """Return a layer of ours with the weights that were found."""
    library, form = LIBRARIES[name], found.form
    blocks = [
        [mapping.blocks_of(library, form, tensors, size) for tensors, size in zip(row, sizes, strict=True)]
        for row, sizes in zip(found.cells, found.sizes, strict=True)
    ]
    first, size = blocks[0][0], found.sizes[0][0]
    dtype = np.dtype(
        np.float64 if any(b.dtype == np.float64 for r in blocks for c in r for b in c.values()) else np.float32
    )
    if form.kind in ("linear", "embedding"):
        bias = any("b:" in stored.holds for stored in found.cells[0][0])
        alone: Module = (
            Linear(size.input, size.hidden, bias=bias) if form.kind == "linear" else Embedding(size.input, size.hidden)
        )
        alone.cast(dtype).load_state_dict(
            {k: v for k, v in mapping.cell_state(form, first).items() if k == "W" or bias}
        )
        return alone
    options: dict[str, Any] = {"num_layers": len(blocks), "bidirectional": len(blocks[0]) == 2}
    module = _empty(form, first, size, options, found.options, where).cast(dtype)
    for cells, row in zip(module.layers, blocks, strict=True):
        for cell, one in zip(cells, row, strict=True):
            own, parts = dict(cell._own_tensors()), mapping.cell_parts(form, one)
            if own.keys() != parts.keys():
                raise DataError(f"{where}: {form.called} is another cell", required=str([*own]), got=str([*parts]))
            for name, part in parts.items():
                # One at a time: a large layer need not be there three times.
                array = np.asarray(part(), dtype, order="C")
                own[name].assign(Tensor(backends.of(own[name].value).from_host(array)))
    return module


def _empty(
    form: LayerForm, blocks: Arrays, size: Sizes, options: dict[str, Any], told: Mapping[str, Any], where: str
) -> Recurrent:
    if form.kind != "esn":
        # Not drawn: large orthogonal matrices take minutes.
        options |= {"recurrent_init": "zeros", "input_init": "zeros"}
    match form.kind:
        case "lstm":
            if "pi" in blocks:
                return Recurrent("peephole_lstm", size.input, size.hidden, **options)
            return LSTM(size.input, size.hidden, **options)
        case "gru":
            return GRU(size.input, size.hidden, reset=form.reset, update=form.z, **options)
        case "rnn":
            nonlinearity = told.get("nonlinearity") or form.nonlinearity or "tanh"
            if form.nonlinearity not in ("", nonlinearity):
                raise DataError(f"{where}: {form.called} applies {form.nonlinearity}", got=nonlinearity)
            return RNN(size.input, size.hidden, nonlinearity=nonlinearity, **options)
        case _:
            leak = float(blocks["ah"]) if "ah" in blocks else 1.0
            return Recurrent("esn", size.input, size.hidden, leak=leak, **options)


def tensors_of(name: str, module: Module, where: str) -> Arrays:
    """Return a layer of ours as a library's tensors by name.

    Raises:
        DataError: the library has no layer that computes the same; says why.
    """
    library = LIBRARIES.find(name, where)
    rows = [list(cells) for cells in module.layers] if isinstance(module, Recurrent) else [[module]]
    if isinstance(module, Recurrent) and module.residual:
        raise DataError(
            f"{where}: {library.title} adds no inputs to outputs", required="residual=False", got="residual=True"
        )
    form = form_for(library, rows[0][0], where)
    directions = len(rows[0])
    if directions == 2 and len(library.ways) == 1:
        raise DataError(f"{where}: {library.title} has no layer of two directions", fix="one layer a direction")
    per_cell = [[_written(library, form, cell, where) for cell in row] for row in rows]
    result: Arrays = {}
    count = 0
    for layer, cells in enumerate(per_cell):
        if library.directions_first:
            head = _at(library.places[0], "", layer) if len(rows) > 1 else ""
            result |= {head + stored.name: np.stack([one[stored] for one in cells]) for stored in cells[0]}
            continue
        for direction, tensors in enumerate(cells):
            head = "" if library.ways else _head_of(library, form, layer, direction, len(rows), directions)
            for i, (stored, tensor) in enumerate(tensors.items()):
                n = count * len(form.stored) + i
                result[head + CellPlace(layer, direction, directions).fill(library, stored.name, n)] = tensor
            count += 1
    return {key: np.array(value, order="C") for key, value in result.items()}


def _head_of(library: LibraryRecord, form: LayerForm, layer: int, direction: int, layers: int, directions: int) -> str:
    if library.bare() and layers == directions == 1:
        return ""
    template = library.places[0] if directions == 1 else library.places[1 + direction]
    head = _at(template, library.words.get(form.kind, ""), layer)
    return head.replace("/cell/", "/") if form.kind in ("linear", "embedding") else head


def form_for(library: LibraryRecord, cell: Any, where: str) -> LayerForm:
    """Return the library's form of a cell of ours.

    Raises:
        DataError: it has none; says why.
    """
    kind = mapping.kind_of(cell)
    forms = [form for form in library.forms if form.kind == kind]
    reasons = []
    for form in forms:
        result = mapping.fitting(form, cell)
        if isinstance(result, LayerForm):
            return result
        reasons.append(f"{form.called}: {result}")
    raise DataError(
        f"{where}: {library.title} has no layer that computes what this {type(cell).__name__} does",
        required=", ".join(form.called for form in library.forms),
        got="; ".join(reasons) or f"a layer of kind {kind}",
        fix=f"nn.GRU(..., reset={forms[0].reset!r}), trained so" if isinstance(cell, GRUCell) and forms else "",
    )


def cell_tensors(name: str, cell: Any, where: str) -> dict[Stored, Array]:
    """Return the tensors of one cell of ours in a library's form."""
    library = LIBRARIES.find(name, where)
    return _written(library, form_for(library, cell, where), cell, where)


def _written(library: LibraryRecord, form: LayerForm, cell: Any, where: str) -> dict[Stored, Array]:
    blocks = mapping.cell_blocks(cell)
    if isinstance(cell, GRUCell) and cell.update != form.z:
        blocks = mapping.turned_z(blocks)
    return mapping.tensors_of(library, form, blocks, where)


def into_cell(library: LibraryRecord, form: LayerForm, cell: Any, tensors: Mapping[Stored, Array]) -> Arrays:
    """Return the state dict of a cell that there is, whose z may have the other sense."""
    size = Sizes(cell.input_size, cell.hidden_size)
    blocks = mapping.blocks_of(library, form, tensors, size)
    if isinstance(cell, GRUCell) and cell.update != form.z:
        blocks = mapping.turned_z(blocks)
    return mapping.cell_state(form, blocks)
