"""The table of who does what, for ``docs/rosetta.md``: made from the records and from what was stored."""

from __future__ import annotations

from collections.abc import Iterator

from tinyseq.nn.convert.records import LIBRARIES, LayerForm, LibraryRecord
from tinyseq.nn.convert.vectors import stored

_HEAD = ("layer", "gates", "added at run time", "biases", "reset, z weighs", "matrices", "tensors", "max error")


def markdown() -> str:
    """Return the table, a section a library: layers as rows."""
    return "\n".join(line for name in LIBRARIES for line in _section(name, LIBRARIES[name]))


def _section(name: str, library: LibraryRecord) -> Iterator[str]:
    vectors = list(stored(name))
    made_by = vectors[0].made_by if vectors else "not run: the record is what its documentation says"
    yield f"### {library.title}\n"
    yield f"`nn.convert.read({name!r}, ...)`. Compared with: {made_by}.\n"
    yield f"Files: {', '.join(f'`{end}`' for end in library.files)}; saved there by `{library.save}`.\n"
    errors: dict[str, float] = {}
    for vector in vectors:
        reading = vector.reading()
        called = reading.found.form.called
        errors[called] = max(errors.get(called, 0.0), vector.error(reading.module))
    yield f"| {' | '.join(_HEAD)} |"
    yield f"|{'---|' * len(_HEAD)}"
    for form in library.forms:
        yield f"| {' | '.join(_row(library, form, errors.get(form.called)))} |"
    yield ""
    differences = {
        words[0]: f"*{words[0]}*: {words[1]}; {words[2]}." for form in library.forms for words in form.differs.values()
    }
    if differences:
        yield "Refused: " + " ".join(differences.values()) + "\n"


def _row(library: LibraryRecord, form: LayerForm, error: float | None) -> Iterator[str]:
    how = form.exactness()
    yield f"`{form.called}`"
    yield " ".join(form.gates) + (", unit by unit" if form.interleaved else "") if len(form.gates) > 1 else ""
    yield ", ".join(f"{constant:+g} on {gate}" for gate, constant in form.added.items())
    yield form.biases if form.kind != "embedding" else ""
    yield f"{form.reset}, {form.z}" if form.z else form.nonlinearity
    rows = "(in, out)" if form.kind == "embedding" or not library.outputs_are_rows else "(out, in)"
    yield ("directions first, " if library.directions_first else "") + rows
    yield ", ".join(
        f"`{stored.name}` {'' if how[stored] == 'moved' else how[stored]}".strip() for stored in form.stored
    )
    # Rounded up to a power of ten: processors differ in the last bits.
    yield "" if error is None else next(f"1e-{n}" for n in (6, 5, 4) if error < 10.0**-n)
