"""The records of libraries against what the libraries computed: each reading right, the only one, and broken."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import rosetta
from tinyseq import nn
from tinyseq.errors import DataError, TinyseqError
from tinyseq.nn.convert import mapping, vectors
from tinyseq.nn.convert.records import GATES, LIBRARIES, LayerForm, LibraryRecord, Stored

#: MindSpore could not be run; all others have vectors that they made.
NOT_RUN = {"mindspore"}
VECTORS = [vector for library in LIBRARIES for vector in vectors.stored(library)]
ONE_CELL = [v for v in VECTORS if v.h.shape[1] == 1 and not v.name.startswith("esn")]


def named(vector: vectors.Vector) -> str:
    return f"{vector.library} {vector.name}"


def test_every_library_has_vectors_of_every_form() -> None:
    seen = {(v.library, v.reading().found.form.called) for v in VECTORS}
    wanted = {
        (name, form.called)
        for name, library in LIBRARIES.items()
        for form in library.forms
        if name not in NOT_RUN and form.kind not in ("linear", "embedding")
    }
    assert wanted - seen == set()


def test_the_vectors_are_small_and_of_all_that_is_random() -> None:
    assert sum(path.stat().st_size for path in vectors.FOLDER.iterdir()) < 2_000_000
    for vector in VECTORS:
        assert len(set(vector.lengths.tolist())) == len(vector.lengths), "unequal lengths"
        assert vector.h.all()
        assert vector.c is None or vector.c.all()
        assert all(array.all() and len(np.unique(array)) == array.size for array in vector.tensors.values())
        assert np.abs(vector.ys).max() > 0.1


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_what_is_read_computes_what_the_library_does(vector: vectors.Vector) -> None:
    assert vector.error(vector.reading().module) < 1e-5 * max(1.0, float(np.abs(vector.ys).max()))


# -- each reading is the only one --------------------------------------------------------------------------------------


def outputs(vector: vectors.Vector, blocks: dict[str, Any], b: int, **sense: Any) -> np.ndarray:
    x, h = vector.xs[b, : vector.lengths[b]], vector.h[b, 0].astype(np.float64)
    if vector.name.startswith("lstm"):
        assert vector.c is not None
        return rosetta.lstm(blocks, x, h, vector.c[b, 0].astype(np.float64), **sense)
    if vector.name.startswith("gru"):
        return rosetta.gru(blocks, x, h, **sense)
    return rosetta.plain(blocks, x, h, **sense)


def senses(kind: str) -> list[dict[str, Any]]:
    if kind == "lstm":
        return [{"forget": constant} for constant in (0.0, 1.0, -1.0)]
    if kind == "gru":
        return [{"reset": r, "z_weighs": z} for r in ("before", "after") for z in ("old", "new")]
    return [{"nonlinearity": name} for name in ("tanh", "relu")]


@pytest.mark.parametrize("vector", ONE_CELL, ids=named)
def test_no_other_reading_fits(vector: vectors.Vector) -> None:
    """All 24 (LSTM) or 6 (GRU) orders of gates, each with all senses, in NumPy: ours fits, and no other nearly does."""
    found = vector.reading().found
    library, form = LIBRARIES[vector.library], found.form
    right = mapping.blocks_of(library, form, found.cells[0][0], found.sizes[0][0])
    gates = GATES[form.kind]
    errors = {}
    for order in itertools.permutations(gates):
        blocks = {letter + gate: right[letter + to] for letter in "WUbc" for gate, to in zip(gates, order, strict=True)}
        blocks |= {name: block for name, block in right.items() if name[0] == "p"}
        for sense in senses(form.kind):
            difference = outputs(vector, blocks, 0, **sense) - vector.ys[0, : vector.lengths[0]]
            errors["".join(order), *sense.values()] = np.abs(difference).max()
    (best, error), (_, second) = sorted(errors.items(), key=lambda item: item[1])[:2]
    ours = {"lstm": (0.0,), "gru": (form.reset, form.z)}.get(form.kind, (vector.options.get("nonlinearity", "tanh"),))
    assert best == (gates, *ours)
    assert error < 1e-5
    assert second > 0.01


def test_mindspores_names_and_orders_are_those_of_pytorch() -> None:
    """It could not be run; what is said of it is PyTorch's in each point, whose reading is proved."""
    theirs = {form.kind: form for form in LIBRARIES["torch"].forms}
    for form in LIBRARIES["mindspore"].forms:
        assert replace(form, called="", differs={}) == replace(theirs[form.kind], called="", differs={})


# -- a record broken in one place --------------------------------------------------------------------------------------


def rewritten(form: LayerForm, change: Any) -> LayerForm:
    return replace(form, stored=tuple(replace(s, holds=change(s)) for s in form.stored))


def swapped(first: str, second: str) -> Any:
    table = str.maketrans({first: second, second: first})

    def change(stored: Stored) -> str:
        return " ".join(
            f"{strip.partition(':')[0]}:{strip.partition(':')[2].translate(table)}" for strip in stored.holds.split()
        )

    return change


def breaks(
    library: LibraryRecord, form: LayerForm, held: set[str]
) -> Iterator[tuple[str, LibraryRecord | None, LayerForm]]:
    """Yield records that are wrong in one place."""
    gates = GATES[form.kind]
    for first, second in itertools.combinations(gates, 2):
        yield f"{first} and {second} change places", None, rewritten(form, swapped(first, second))
    for letter in "bcp":
        for gate in gates:
            if letter + gate in held:
                yield f"{letter}{gate} is dropped", None, replace(form, called=f"without {letter}{gate}")
    if form.z:
        yield "the sense of z", None, replace(form, z="new" if form.z == "old" else "old")
        other = "before" if form.reset == "after" else "after"
        yield "the reset", None, replace(form, reset=other)
    yield "a constant", None, replace(form, added={} if form.added else {gates[0]: 1.0})
    if len(gates) > 1 and form.stored[0].strips[0][1] != form.stored[0].strips[0][1][0]:
        yield "interleaving", None, replace(form, interleaved=not form.interleaved)
    yield "orientation", replace(library, outputs_are_rows=not library.outputs_are_rows), form


@pytest.mark.parametrize("vector", ONE_CELL, ids=named)
def test_a_broken_record_is_seen(vector: vectors.Vector, monkeypatch: pytest.MonkeyPatch) -> None:
    found = vector.reading().found
    library, form, tensors = LIBRARIES[vector.library], found.form, found.cells[0][0]
    held = {letter + gate for s in tensors for letter, gates in s.strips for gate in gates}
    blocks_of = mapping.blocks_of
    for what, other, wrong in breaks(library, form, held):
        with monkeypatch.context() as patch:
            forms = tuple(wrong if one is form else one for one in library.forms)
            if other is None:
                # The others stand aside: a GRU whose reset is turned has its twin's form.
                forms = tuple(one for one in forms if one is wrong or one.kind != wrong.kind)
            patch.setitem(LIBRARIES, vector.library, replace(other or library, forms=forms))
            if wrong.called.startswith("without "):
                dropped = wrong.called.removeprefix("without ")

                def without(*given: Any, dropped: str = dropped) -> dict[str, Any]:
                    blocks = blocks_of(*given)
                    return blocks | {dropped: np.zeros_like(blocks[dropped])}

                patch.setattr(mapping, "blocks_of", without)
            turned = replace(vector, options={k: v for k, v in vector.options.items() if k != "reset"})
            if wrong.kind == "gru":
                turned.options["reset"] = wrong.reset
            try:
                error = turned.error(turned.reading().module)
            except TinyseqError:
                continue
        assert error > 1e-3, what


# -- there and back ----------------------------------------------------------------------------------------------------


def layers_for(name: str) -> Iterator[tuple[str, nn.Module, dict[str, Any]]]:
    """Yield layers of ours that a library has, with random float32 weights, and what reading them back must be told."""
    library = LIBRARIES[name]
    for form in library.forms:
        stacks = [{}, {"num_layers": 2}]
        if len(library.ways) != 1:
            stacks.append({"num_layers": 2, "bidirectional": True})
        for options in stacks:
            told: dict[str, Any] = {"kind": form.kind}
            match form.kind:
                case "lstm":
                    module: nn.Module = nn.LSTM(3, 4, **options)
                case "gru":
                    told["reset"] = form.reset
                    module = nn.GRU(3, 4, reset=form.reset, update=form.z, **options)
                case "rnn":
                    told["nonlinearity"] = form.nonlinearity or "tanh"
                    module = nn.RNN(3, 4, nonlinearity=told["nonlinearity"], **options)
                case "esn":
                    module = nn.Recurrent("esn", 3, 4, leak=0.25, **options)
                case _:
                    if options:
                        continue
                    module = nn.Linear(3, 4) if form.kind == "linear" else nn.Embedding(5, 3)
            rng = np.random.default_rng(3)
            state = {k: rng.normal(0.1, 0.6, v.shape).astype(np.float32) for k, v in module.state_dict().items()}
            if form.kind == "gru" and form.reset == "after" and not any("c:" in s.holds for s in form.stored):
                state |= {k: np.zeros_like(v) for k, v in state.items() if k.endswith("b_hh")}
            module.load_state_dict(state)
            yield f"{form.called} {options}", module, told


@pytest.mark.parametrize("name", LIBRARIES)
def test_there_and_back(name: str) -> None:
    """Bit for bit, but where a constant is added: there the same to rounding, and the second trip is the first."""
    for what, module, told in layers_for(name):
        there = nn.convert.write(name, module)
        back = nn.convert.read(name, there, **told)
        again = nn.convert.write(name, back)
        assert there.keys() == again.keys(), what
        shifted = any(form.added and form.called in what for form in LIBRARIES[name].forms)
        for path, value in module.state_dict().items():
            found = back.state_dict()[path].numpy()
            if shifted and ".b_f" in path:
                np.testing.assert_allclose(found, value.numpy(), atol=1e-6, rtol=0)
            else:
                assert found.tobytes() == value.numpy().tobytes(), (what, path)
        for key, array in there.items():
            assert array.tobytes() == again[key].tobytes(), (what, key)
            assert array.flags.c_contiguous


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_from_there_and_back(vector: vectors.Vector) -> None:
    """A tensor of which the record says that it is moved comes back bit for bit; the others once they are ours."""
    first = vector.reading()
    library, form = LIBRARIES[vector.library], first.found.form
    how = form.exactness()
    rows = first.module.layers  # type: ignore[attr-defined]
    for cells, tensors in zip(rows, first.found.cells, strict=True):
        for cell, held in zip(cells, tensors, strict=True):
            back = mapping.tensors_of(library, form, mapping.cell_blocks(cell), "test")
            for stored, tensor in held.items():
                if how[stored] == "moved":
                    assert back[stored].astype(tensor.dtype).tobytes() == np.ascontiguousarray(tensor).tobytes()
    written = nn.convert.write(vector.library, first.module)
    told = {"reset": form.reset} if form.reset else {}
    second = nn.convert.read(
        vector.library, written, nonlinearity=vector.options.get("nonlinearity", "tanh"), accept=ALL, **told
    )
    assert vector.error(second) < 1e-5
    again = nn.convert.write(vector.library, second)
    assert {key: array.tobytes() for key, array in again.items()} == {k: a.tobytes() for k, a in written.items()}


ALL = ("first step", "learned state")


def test_the_records_say_how_tensors_are_carried_over() -> None:
    def said(name: str, called: str) -> dict[str, str]:
        form = next(form for form in LIBRARIES[name].forms if form.called == called)
        return {f"{stored.name} {stored.holds}": how for stored, how in form.exactness().items()}

    assert set(said("keras", "keras.layers.LSTM").values()) == {"moved"}
    assert set(said("equinox", "equinox.nn.GRUCell").values()) == {"moved"}
    assert said("haiku", "haiku.LSTM") == {"linear/w W:igfo U:igfo": "moved", "linear/b b:igfo": "shifted"}
    assert said("dynet", "dynet.VanillaLSTMBuilder")["_{n} b:ifog"] == "shifted"
    assert said("onnx", "LSTM") == {
        "W W:iofg": "moved", "R U:iofg": "moved", "B b:iofg c:iofg": "summed", "P p:iof": "moved"
    }  # fmt: skip


def test_a_minus_zero_stays_one() -> None:
    module = nn.LSTM(2, 3)
    state = {path: value.numpy() for path, value in module.state_dict().items()}
    module.load_state_dict(state | {"layers.0.0.b_i": np.array([-0.0, 0.0, -0.0], np.float32)})
    back = nn.convert.read("torch", nn.convert.write("torch", module))
    assert np.signbit(back.layers[0][0].b_i.numpy()).tolist() == [True, False, True]  # type: ignore[attr-defined]


def test_z_is_turned_where_it_weighs_the_other_state() -> None:
    module = nn.GRU(3, 4, reset="after", update="new")
    arrays = nn.convert.write("torch", module)
    np.testing.assert_array_equal(arrays["weight_hh_l0"][4:8], -module.layers[0][0].W_z.numpy()[:4].T)


def test_a_library_of_ones_own() -> None:
    LIBRARIES["mine"] = LibraryRecord(
        title="Mine", outputs_are_rows=True,
        forms=(LayerForm("lstm", "mine.LSTM", (Stored("all", "U:ofgi W:ofgi", join="inputs"), Stored("b", "b:ofgi"))),),
    )  # fmt: skip
    try:
        module = nn.LSTM(3, 4)
        arrays = nn.convert.write("mine", module)
        assert arrays["all"].shape == (16, 7)
        np.testing.assert_array_equal(arrays["all"][:4, :4], module.layers[0][0].W_o.numpy()[:4].T)
        nn.convert.read("mine", arrays)
    finally:
        del LIBRARIES["mine"]


def test_an_unknown_library_is_told() -> None:
    with pytest.raises(DataError, match=r"unknown library 'kears'\n.*did you mean 'keras'"):
        nn.convert.read("kears", {})


def test_vectors_are_with_the_package() -> None:
    assert Path(nn.convert.__file__).parent == vectors.FOLDER.parent
