"""Reading and writing other libraries' layers: what is refused, in which words, and arrays that are not as they should
be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyseq import nn
from tinyseq.errors import DataError, TinyseqError
from tinyseq.nn.convert import vectors
from tinyseq.nn.convert.records import LIBRARIES


def tensors(library: str, name: str = "lstm") -> dict[str, Any]:
    return dict(next(v.tensors for v in vectors.stored(library) if v.name == name))


def refused(words: list[str], call: Callable[[], Any]) -> None:
    with pytest.raises(TinyseqError) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


# -- what cannot be carried over ---------------------------------------------------------------------------------------


def test_reset_before_and_after_are_no_forms_of_each_other() -> None:
    before, after = nn.GRU(3, 4), nn.GRU(3, 4, reset="after")
    for name in ("torch", "flax", "mlx", "paddle"):
        refused(["reset gate", "before", "reset='after'"], lambda name=name: nn.convert.write(name, before))
    for name in ("haiku", "dynet", "chainer"):
        refused(["reset gate", "after"], lambda name=name: nn.convert.write(name, after))
    for name in ("keras", "onnx", "openvino"):
        nn.convert.write(name, before)
        nn.convert.write(name, after)


def test_chainers_first_step() -> None:
    given = tensors("chainer", "gru")
    refused(["first step", "U_r/b", "adds the biases", "accept="], lambda: nn.convert.read("chainer", given))
    nn.convert.read("chainer", given, accept={"first step"})
    zero = {name: array * 0 if name.startswith("U") and name.endswith("/b") else array for name, array in given.items()}
    nn.convert.read("chainer", zero)


def test_thincs_learned_state() -> None:
    given = tensors("thinc")
    nn.convert.read("thinc", given)
    nn.convert.read("thinc", given | {"HC0": np.zeros((2, 1, 1, 4), np.float32)})
    learned = given | {"HC0": np.ones((2, 1, 1, 4), np.float32)}
    refused(["learned state", "HC0", "accept="], lambda: nn.convert.read("thinc", learned))
    nn.convert.read("thinc", learned, accept={"learned state"})


@pytest.mark.parametrize(("library", "name"), [("torch", "weight_hr_l0"), ("mxnet", "l0_h2r_weight")])
def test_projections(library: str, name: str) -> None:
    given = tensors(library) | {name: np.ones((2, 4), np.float32)}
    refused(["projection", name, "proj_size"], lambda: nn.convert.read(library, given))
    refused(["projection"], lambda: nn.convert.read(library, given, accept={"projection"}))


def test_what_has_no_place() -> None:
    peepholes = nn.Recurrent("peephole_lstm", 3, 4)
    nn.convert.write("onnx", peepholes)
    refused(["peepholes", "PyTorch"], lambda: nn.convert.write("torch", peepholes))
    gru = nn.GRU(3, 4, reset="after", update="old")
    nn.convert.write("nnx", gru)  # its bias beside h U is 0
    state = {path: value.numpy() for path, value in gru.state_dict().items()}
    gru.load_state_dict(state | {"layers.0.0.b_hh": np.ones(4, np.float32)})
    refused(["no place", "gate n", "flax.nnx.GRUCell"], lambda: nn.convert.write("nnx", gru))
    refused(["relu", "tanh"], lambda: nn.convert.write("haiku", nn.RNN(3, 4)))
    refused(["residual"], lambda: nn.convert.write("torch", nn.LSTM(3, 3, residual=True)))
    refused(["two directions"], lambda: nn.convert.write("dynet", nn.LSTM(3, 4, bidirectional=True)))
    refused(["IndRNNCell"], lambda: nn.convert.write("torch", nn.Recurrent("indrnn", 3, 4)))
    refused(["kind gru"], lambda: nn.convert.write("tinygrad", nn.GRU(3, 4)))


def test_a_cell_of_ones_own_is_no_cell_of_theirs() -> None:
    class Mine(nn.LSTMCell):
        pass

    refused(["Mine"], lambda: nn.convert.write("torch", nn.Recurrent(Mine, 3, 4)))


# -- what tensors do not tell ------------------------------------------------------------------------------------------


def test_where_two_readings_fit_both_are_named() -> None:
    given = tensors("onnx", "gru")
    refused(["linear_before_reset=0", "linear_before_reset=1", "reset="], lambda: nn.convert.read("onnx", given))
    assert nn.convert.read("onnx", given, reset="before").layers[0][0].reset == "before"  # type: ignore[attr-defined]
    both = nn.convert.write("chainer_nstep", nn.LSTM(4, 4, bidirectional=True))
    stacked = nn.convert.write("chainer_nstep", nn.LSTM(4, 4, num_layers=2))
    assert both.keys() == stacked.keys()
    refused(["bidirectional="], lambda: nn.convert.read("chainer_nstep", both))
    assert nn.convert.read("chainer_nstep", both, bidirectional=True).bidirectional  # type: ignore[attr-defined]


def test_a_layer_in_a_model_is_found_by_its_place() -> None:
    one, two = nn.LSTM(3, 4), nn.LSTM(4, 4)
    model = {f"encoder.{name}": array for name, array in nn.convert.write("torch", one).items()}
    assert isinstance(nn.convert.read("torch", model | {"head.weight": np.ones((2, 4))}), nn.LSTM)
    model |= {f"decoder.rnn.{name}": array for name, array in nn.convert.write("torch", two).items()}
    refused(["2 layers", "encoder, decoder.rnn", "layers=", "prefix="], lambda: nn.convert.read("torch", model))
    assert nn.convert.read("torch", model, prefix="decoder").input_size == 4  # type: ignore[attr-defined]
    stack = nn.convert.read("torch", model, layers=["encoder", "decoder.rnn"])
    assert len(stack.layers) == 2  # type: ignore[attr-defined]
    refused(["does not read"], lambda: nn.convert.read("torch", model, layers=["decoder.rnn", "encoder"]))
    refused(["no one layer at 'encodr'", "'encoder'"], lambda: nn.convert.read("torch", model, layers=["encodr"]))
    refused(["under 'none'"], lambda: nn.convert.read("torch", model, prefix="none"))


def test_mxnets_names_are_joined_by_a_line() -> None:
    given = {f"lstm0_{name}": array for name, array in tensors("mxnet").items()}
    assert isinstance(nn.convert.read("mxnet", given), nn.LSTM)


def test_two_cells_are_two_directions() -> None:
    there, back = (nn.convert.write("mlx", nn.GRU(3, 4, reset="after", update="old")) for _ in range(2))
    model = {f"a.{name}": array for name, array in there.items()} | {f"b.{name}": array for name, array in back.items()}
    layer = nn.convert.read("mlx", model, layers=[("a", "b")])
    np.testing.assert_array_equal(layer.layers[0][1].W_xh.numpy(), back["Wx"][8:].T)  # type: ignore[attr-defined]


def test_arrays_may_be_nested() -> None:
    given = {"params": {"cell": {}}}
    for name, array in tensors("flax").items():
        module, _, last = name.partition("/")
        given["params"]["cell"].setdefault(module, {})[last] = array
    assert isinstance(nn.convert.read("flax", given), nn.LSTM)


def test_heads_and_embeddings() -> None:
    linear, table = nn.Linear(3, 4), nn.Embedding(5, 3)
    for name in ("torch", "keras", "flax", "equinox", "haiku", "mlx"):
        back = nn.convert.read(name, nn.convert.write(name, linear), kind="linear")
        np.testing.assert_array_equal(back.W.numpy(), linear.W.numpy())  # type: ignore[attr-defined]
        arrays = nn.convert.write(name, table)
        assert next(iter(arrays.values())).shape == (5, 3)
        nn.convert.read(name, arrays, kind="embedding")


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name not in ("mindspore", "reservoirpy")])
@pytest.mark.parametrize("change", ["missing", "extra", "transposed", "nan", "longer", "text", "complex", "object"])
def test_tensors_that_are_not_as_they_should_be(library: str, change: str) -> None:
    given = tensors(library)
    # A matrix on x, which is not square; the bias, whose length only the other tensors tell; thinc's one vector.
    name = max(given, key=lambda name: (given[name].ndim, 3 in given[name].shape))
    if change == "longer":
        name = min(given, key=lambda name: (given[name].ndim or 9, given[name].size))
    array = given[name]
    match change:
        case "missing":
            del given[name]
        case "extra":
            given[name + "_more"] = array
        case "transposed":
            given[name] = np.ascontiguousarray(np.swapaxes(array, -1, -2)) if array.ndim > 1 else array[None]
        case "nan":
            given[name] = np.where(np.arange(array.size).reshape(array.shape) == 1, np.nan, array)
        case "longer":
            given[name] = np.concatenate([array, array], axis=-1)
        case "text":
            given[name] = np.array(["a"])
        case "complex":
            given[name] = array.astype(np.complex64)
        case "object":
            given[name] = np.array([object()])
    words = {"nan": ["not finite", "1 of"], "text": ["type"], "complex": ["complex64"], "object": ["object"]}
    if change == "extra" and library == "thinc":
        return  # it names what it takes
    refused([*words.get(change, [])], lambda: nn.convert.read(library, given))


def test_a_transposed_tensor_is_called_so() -> None:
    given = tensors("torch")
    given["weight_ih_l0"] = given["weight_ih_l0"].T
    refused(["weight_ih_l0", "(16, 3)", "transposed"], lambda: nn.convert.read("torch", given))


def test_another_librarys_tensors_are_told_whose_they_are() -> None:
    refused(["they fit", "keras"], lambda: nn.convert.read("torch", tensors("keras")))
    refused(["they fit", "torch"], lambda: nn.convert.read("mlx", tensors("torch")))


def test_another_layer() -> None:
    refused(["torch.nn.LSTM"], lambda: nn.convert.read("torch", tensors("torch", "gru"), kind="lstm"))
    refused(["no layer of PyTorch"], lambda: nn.convert.read("torch", {"weight": np.ones((3, 3)), "bias": np.ones(3)}))
    refused(["nothing"], lambda: nn.convert.read("torch", {}))


def test_half_precision_is_read_and_float8_refused() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    given = tensors("torch")
    for dtype in (np.float16, ml_dtypes.bfloat16):
        halves = {name: array.astype(dtype) for name, array in given.items()}
        layer = nn.convert.read("torch", halves)
        written = nn.convert.write("torch", layer)["weight_ih_l0"]
        np.testing.assert_array_equal(written, halves["weight_ih_l0"].astype(np.float32))
    eighth = {name: array.astype(ml_dtypes.float8_e4m3fn) for name, array in given.items()}
    refused(["float8_e4m3fn", "bfloat16, float32"], lambda: nn.convert.read("torch", eighth))
    double = {name: array.astype(np.float64) for name, array in given.items()}
    assert nn.convert.read("torch", double).dtype == np.float64


@pytest.mark.parametrize(
    "name", ["", "..", "a\0b", "../../etc", "{layer}", "{n.__class__}", "%s", "x" * 5000, "weight_ih_l0\n", "é.́"]
)
def test_hostile_names(name: str) -> None:
    refused([], lambda: nn.convert.read("torch", tensors("torch") | {name: np.ones(3)}))
    refused([], lambda: nn.convert.read("torch", {name: np.ones(3)}))


def test_hostile_nesting() -> None:
    deep: Any = np.ones(3)
    for _ in range(500):
        deep = {"a": deep}
    refused(["without end"], lambda: nn.convert.read("torch", deep))
    refused(["no text"], lambda: nn.convert.read("torch", {(1, 2): np.ones(3)}))
    refused(["a path, or arrays"], lambda: nn.convert.read("torch", [np.ones(3)]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sizes", [{"nI": 1 << 40}, {"nO": 0}, {"depth": 10**6}, {"dirs": 3}, {"nO": -4}, {"nI": np.ones(3)}, {"nI": 4}]
)
def test_hostile_sizes_of_a_flat_vector(sizes: dict[str, Any]) -> None:
    given = tensors("thinc") | {name: np.asarray(value) for name, value in sizes.items()}
    refused([], lambda: nn.convert.read("thinc", given))


def test_a_large_layer_is_read_without_drawing_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.linalg, "qr", lambda *given: pytest.fail("an orthogonal matrix is drawn"))
    monkeypatch.setattr(np.linalg, "svd", lambda *given: pytest.fail("an orthogonal matrix is drawn"))
    for library, name in (("torch", "lstm"), ("keras", "rnn"), ("haiku", "gru"), ("onnx", "lstm peepholes")):
        nn.convert.read(library, tensors(library, name), kind=name.split()[0])


def test_empty_extents() -> None:
    refused([], lambda: nn.convert.read("torch", {k: v[:0] for k, v in tensors("torch").items()}))
    scalars = {k: np.float32(1.0) for k in tensors("torch")}
    refused([], lambda: nn.convert.read("torch", scalars))


def test_many_layers_take_no_time_that_grows_without_bound() -> None:
    given = {f"{kind}_l{layer}": np.ones(1) for layer in range(5000) for kind in ("weight_ih", "weight_hh")}
    refused([], lambda: nn.convert.read("torch", given))


def test_options_are_checked() -> None:
    refused(["unknown option 'rest'"], lambda: nn.convert.read("torch", tensors("torch"), rest="after"))
    refused(["unknown kind 'lstn'"], lambda: nn.convert.read("torch", tensors("torch"), kind="lstn"))


def test_paddles_second_names_must_be_the_same_tensors() -> None:
    given = tensors("paddle")
    twice = given | {
        name.replace("weight_ih_l0", "0.cell.weight_ih"): a for name, a in given.items() if "ih_l0" in name
    }
    nn.convert.read("paddle", {**given, **{k: v for k, v in twice.items() if "weight" in k}})
    wrong = given | {"0.cell.weight_ih": given["weight_ih_l0"] + 1}
    with pytest.raises(DataError, match="second name"):
        nn.convert.read("paddle", wrong)
