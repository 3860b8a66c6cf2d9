"""Records of how libraries keep recurrent weights: one declaration a library, read by one mapper for all.

Canonical blocks are one gate each: ``W`` (hidden, input), ``U`` (hidden, hidden), the bias ``b`` beside x W, the bias
``c`` beside h U, peepholes ``p``, and the leak ``a`` of an echo state. Gates: i, f, g, o of an LSTM; r, z, n of a GRU;
h of a plain layer. ``"W:ifgo"`` is W of the four gates, one under the other; ``"b:rz b:n c:n"`` are strips in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinyseq.registry import Registry

#: Gates by kind of layer, in the order in which blocks are made.
GATES = {"lstm": "ifgo", "gru": "rzn", "rnn": "h", "esn": "h", "linear": "h", "embedding": "h"}


@dataclass(frozen=True)
class Stored:
    """A tensor of a library: its name, and the strips of blocks in it.

    ``{layer}`` and ``{way}`` in a name are the number of the layer and the direction's word, ``{index}`` counts both
    (forward first), ``{n}`` counts the tensors of all layers.
    """

    name: str
    holds: str
    #: How strips lie: "outputs", one under the other; "inputs", side by side; "apart", along an axis of their own.
    join: str = "outputs"
    #: Whether a layer may be without it, which stands for zeros.
    optional: bool = False

    @property
    def strips(self) -> list[tuple[str, str]]:
        """(letter, gates), in order."""
        return [(letter, gates) for letter, _, gates in (strip.partition(":") for strip in self.holds.split())]

    @property
    def is_matrix(self) -> bool:
        return self.holds[0] in "WU"


@dataclass(frozen=True)
class LayerForm:
    """A layer of a library: what it computes where libraries differ, and its tensors."""

    #: A key of ``GATES``.
    kind: str
    #: What the library calls it.
    called: str
    stored: tuple[Stored, ...]
    #: Of a GRU: whether the reset gate acts before or after the product with h, and which state z weighs.
    reset: str = ""
    z: str = ""
    #: Of a plain layer, where the library has only one.
    nonlinearity: str = ""
    #: What the cell adds to the pre-activation of a gate as it runs; it is not in the file.
    added: Mapping[str, float] = field(default_factory=dict)
    #: Whether the rows of gates alternate, unit by unit, and do not stand in blocks.
    interleaved: bool = False
    #: What cannot be carried over: tensor -> (the difference by name, why, what can be done). A tensor with "?" after
    #: its name is a difference only where it is not zero.
    differs: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def gates(self) -> str:
        """The order of the gates in the first matrix that holds several, else in the tensors' order."""
        strips = [gates for stored in self.stored for letter, gates in stored.strips if letter == "W"]
        return "".join(strips)

    @property
    def biases(self) -> str:
        """How many biases a gate has, in words."""
        held = {f"{letter}{gate}" for stored in self.stored for letter, gates in stored.strips for gate in gates}
        one, two = ({name[1] for name in held if name[0] == letter} for letter in "bc")
        if not two:
            return "1" if one else "none"
        return "2" if two == one == set(GATES[self.kind]) else f"1, and one on {', '.join(sorted(two))} beside h U"

    def exactness(self) -> dict[Stored, str]:
        """Return, by tensor, how it is carried over: "moved" (bit for bit), or "summed", "shifted" (to rounding)."""
        single = GATES[self.kind] if self.reset != "after" else "rz"
        held = {f"{letter}{gate}" for stored in self.stored for letter, gates in stored.strips for gate in gates}
        result = {}
        for stored in self.stored:
            kinds = {"moved"}
            for letter, gates in stored.strips:
                if letter in "bc" and any(g in single and {f"b{g}", f"c{g}"} <= held for g in gates):
                    kinds.add("summed")
                if letter == "b" and any(gate in self.added for gate in gates):
                    kinds.add("shifted")
            result[stored] = " and ".join(sorted(kinds - {"moved"} or kinds))
        return result


@dataclass(frozen=True)
class LibraryRecord:
    """A library: its layers, and how it names them."""

    title: str
    forms: tuple[LayerForm, ...]
    #: Whether the rows of a matrix are the outputs, (out, in), and not the inputs.
    outputs_are_rows: bool
    #: The words of the two directions in the names of tensors; empty where a set of tensors is one cell.
    ways: tuple[str, ...] = ()
    #: Where a cell stands: of a layer of one direction, and of one of two, forward and backward. ``{layer}`` counts
    #: from 0; ``{nth}`` is nothing, then _1, _2; ``{kind}`` is the layer's word in ``words``.
    places: tuple[str, str, str] = ("{layer}/", "{layer}/forward/", "{layer}/backward/")
    words: Mapping[str, str] = field(default_factory=dict)
    #: What may stand before the names of a layer's tensors, as its last character.
    joints: str = "./:"
    #: Whether the directions of a layer are the first axis of its tensors.
    directions_first: bool = False
    #: The name of the one vector that holds all tensors, layer by layer.
    flat: str = ""
    #: Names under which a file has tensors a second time, a regular expression.
    twice: str = ""
    #: Formats of files that are read without running anything, and what to run on the library's side for the others.
    files: tuple[str, ...] = (".npz", ".safetensors")
    save: str = ""

    def bare(self) -> bool:
        """Whether the tensors of one cell have no names of its place."""
        return self.places[0] == "{layer}/" or self.places[0] == "{layer}."


#: The names that a difference is accepted by.
FIRST_STEP, LEARNED_STATE, PROJECTION = "first step", "learned state", "projection"


def _two_biases(names: str, kind: str, gates: str, called: str, **options: object) -> LayerForm:
    """A layer of two matrices and two vectors, with ``names`` in that order."""
    w, u, b, c = names.split()
    stored = (
        Stored(w, f"W:{gates}"),
        Stored(u, f"U:{gates}"),
        Stored(b, f"b:{gates}", optional=True),
        Stored(c, f"c:{gates}", optional=True),
    )
    return LayerForm(kind, called, stored, **options)  # type: ignore[arg-type]


def _one_bias(names: str, kind: str, gates: str, called: str, **options: object) -> LayerForm:
    w, u, b = names.split()
    stored = (Stored(w, f"W:{gates}"), Stored(u, f"U:{gates}"), Stored(b, f"b:{gates}", optional=True))
    return LayerForm(kind, called, stored, **options)  # type: ignore[arg-type]


def _a_matrix_each(kind: str, called: str, w: str, u: str, b: str, c: str = "", **options: object) -> LayerForm:
    """A layer with tensors of their own for each gate; ``{gate}`` in a name is the gate's word, ``words`` has it."""
    words: Mapping[str, str] = options.pop("words")  # type: ignore[assignment]
    biased: str = options.pop("c_gates", "".join(words))  # type: ignore[assignment]
    stored = []
    for gate, word in words.items():
        stored += [Stored(w.format(gate=word), f"W:{gate}"), Stored(u.format(gate=word), f"U:{gate}")]
        if b:
            stored.append(Stored(b.format(gate=word), f"b:{gate}", optional=True))
        if c and gate in biased:
            stored.append(Stored(c.format(gate=word), f"c:{gate}", optional=True))
    return LayerForm(kind, called, tuple(stored), **options)  # type: ignore[arg-type]


_PROJECTED = (
    PROJECTION,
    "its state is projected to fewer numbers than the cell has, and our LSTM has no projection",
    "a model without one (proj_size=0), or a cell of your own that multiplies h by the matrix",
)
_TORCH = "weight_ih_l{layer}{way} weight_hh_l{layer}{way} bias_ih_l{layer}{way} bias_hh_l{layer}{way}"
_MXNET = "{way}{layer}_i2h_weight {way}{layer}_h2h_weight {way}{layer}_i2h_bias {way}{layer}_h2h_bias"
_LINEAR = (Stored("weight", "W:h"), Stored("bias", "b:h", optional=True))


def _torch_like(names: str, library: str, *, rnn: str = "RNN", **options: object) -> tuple[LayerForm, ...]:
    return (
        _two_biases(names, "lstm", "ifgo", f"{library}LSTM", **options),
        _two_biases(names, "gru", "rzn", f"{library}GRU", reset="after", z="old"),
        _two_biases(names, "rnn", "h", f"{library}{rnn}"),
    )


def _keras_bias(kind: str, gates: str, called: str, **options: object) -> LayerForm:
    return _one_bias("vars/0 vars/1 vars/2", kind, gates, called, **options)


_NSTEP_LSTM = LayerForm(
    "lstm",
    "chainer.links.NStepLSTM, NStepBiLSTM",
    tuple(
        Stored(f"{{index}}/{letter}{4 * side + i}", f"{'WUbc'[2 * (letter == 'b') + side]}:{gate}")
        for letter in "wb"
        for side in (0, 1)
        for i, gate in enumerate("ifgo")
    ),
)
_NSTEP_GRU = LayerForm(
    "gru",
    "chainer.links.NStepGRU, NStepBiGRU",
    tuple(
        Stored(f"{{index}}/{letter}{3 * side + i}", f"{'WUbc'[2 * (letter == 'b') + side]}:{gate}")
        for letter in "wb"
        for side in (0, 1)
        for i, gate in enumerate("rzn")
    ),
    reset="after",
    z="old",
)
_NSTEP_RNN = LayerForm(
    "rnn",
    "chainer.links.NStepRNNTanh, NStepRNNReLU",
    tuple(
        Stored(f"{{index}}/{name}", f"{letter}:h")
        for name, letter in zip(("w0", "w1", "b0", "b1"), "WUbc", strict=True)
    ),
)
_FIRST_STEP = (
    FIRST_STEP,
    "at its first step without a state it leaves out the U links with their biases, and ours adds the biases",
    'give it a state of zeros there and accept={"first step"} here, or train it with U biases of 0',
)

#: By name. A library of one's own joins with ``LIBRARIES["mine"] = LibraryRecord(...)``.
LIBRARIES: Registry[LibraryRecord] = Registry(
    "library",
    {
        "torch": LibraryRecord(
            title="PyTorch",
            outputs_are_rows=True,
            ways=("", "_reverse"),
            forms=(
                *_torch_like(_TORCH, "torch.nn.", differs={"weight_hr_l0": _PROJECTED}),
                LayerForm("linear", "torch.nn.Linear", _LINEAR),
                LayerForm("embedding", "torch.nn.Embedding", (Stored("weight", "W:h"),)),
            ),
            save='safetensors.torch.save_file(model.state_dict(), "FILE.safetensors")',
        ),
        "keras": LibraryRecord(
            title="Keras",
            outputs_are_rows=False,
            places=(
                "layers/{kind}{nth}/cell/",
                "layers/bidirectional{nth}/forward_layer/cell/",
                "layers/bidirectional{nth}/backward_layer/cell/",
            ),
            words={"lstm": "lstm", "gru": "gru", "rnn": "simple_rnn", "linear": "dense", "embedding": "embedding"},
            forms=(
                _keras_bias("lstm", "ifgo", "keras.layers.LSTM"),
                LayerForm(
                    "gru",
                    "keras.layers.GRU(reset_after=True)",
                    (
                        Stored("vars/0", "W:zrn"),
                        Stored("vars/1", "U:zrn"),
                        Stored("vars/2", "b:zrn c:zrn", join="apart", optional=True),
                    ),
                    reset="after",
                    z="old",
                ),
                _keras_bias("gru", "zrn", "keras.layers.GRU(reset_after=False)", reset="before", z="old"),
                _keras_bias("rnn", "h", "keras.layers.SimpleRNN"),
                LayerForm(
                    "linear", "keras.layers.Dense", (Stored("vars/0", "W:h"), Stored("vars/1", "b:h", optional=True))
                ),
                LayerForm("embedding", "keras.layers.Embedding", (Stored("vars/0", "W:h"),)),
            ),
            files=(".keras", ".weights.h5", ".npz", ".safetensors"),
            save='model.save("FILE.keras")',
        ),
        "flax": LibraryRecord(
            title="Flax linen",
            outputs_are_rows=False,
            forms=(
                _a_matrix_each(
                    "lstm",
                    "flax.linen.LSTMCell",
                    "i{gate}/kernel",
                    "h{gate}/kernel",
                    "h{gate}/bias",
                    words={gate: gate for gate in "ifgo"},
                ),
                _a_matrix_each(
                    "gru",
                    "flax.linen.GRUCell",
                    "i{gate}/kernel",
                    "h{gate}/kernel",
                    "i{gate}/bias",
                    "h{gate}/bias",
                    words={gate: gate for gate in "rzn"},
                    c_gates="n",
                    reset="after",
                    z="old",
                ),
                _one_bias("i/kernel h/kernel i/bias", "rnn", "h", "flax.linen.SimpleCell"),
                LayerForm(
                    "linear", "flax.linen.Dense", (Stored("kernel", "W:h"), Stored("bias", "b:h", optional=True))
                ),
                LayerForm("embedding", "flax.linen.Embed", (Stored("embedding", "W:h"),)),
            ),
            files=(".msgpack", ".npz", ".safetensors"),
            save='open("FILE.msgpack", "wb").write(flax.serialization.to_bytes(params))',
        ),
        "nnx": LibraryRecord(
            title="Flax nnx",
            outputs_are_rows=False,
            forms=(
                LayerForm(
                    "lstm",
                    "flax.nnx.LSTMCell",
                    tuple(
                        Stored(name, f"{letter}:{gate}")
                        for gate, word in zip("ifgo", ("ii", "if_", "ig", "io"), strict=True)
                        for name, letter in (
                            (f"{word}/kernel", "W"),
                            (f"h{gate}/kernel", "U"),
                            (f"h{gate}/bias", "b"),
                        )
                    ),
                ),
                _one_bias("dense_i/kernel dense_h/kernel dense_h/bias", "lstm", "ifgo", "flax.nnx.OptimizedLSTMCell"),
                _one_bias(
                    "dense_i/kernel dense_h/kernel dense_i/bias",
                    "gru",
                    "rzn",
                    "flax.nnx.GRUCell",
                    reset="after",
                    z="old",
                ),
                _one_bias("dense_i/kernel dense_h/kernel dense_i/bias", "rnn", "h", "flax.nnx.SimpleCell"),
                LayerForm("linear", "flax.nnx.Linear", (Stored("kernel", "W:h"), Stored("bias", "b:h", optional=True))),
                LayerForm("embedding", "flax.nnx.Embed", (Stored("embedding", "W:h"),)),
            ),
            save='np.savez("FILE.npz", **{"/".join(map(str, k)): v for k, v in nnx.to_flat_state(nnx.state(cell))})',
        ),
        "equinox": LibraryRecord(
            title="Equinox",
            outputs_are_rows=True,
            places=("{layer}.", "{layer}.forward.", "{layer}.backward."),
            forms=(
                _one_bias("weight_ih weight_hh bias", "lstm", "ifgo", "equinox.nn.LSTMCell"),
                LayerForm(
                    "gru",
                    "equinox.nn.GRUCell",
                    (
                        Stored("weight_ih", "W:rzn"),
                        Stored("weight_hh", "U:rzn"),
                        Stored("bias", "b:rzn", optional=True),
                        Stored("bias_n", "c:n", optional=True),
                    ),
                    reset="after",
                    z="old",
                ),
                LayerForm("linear", "equinox.nn.Linear", _LINEAR),
                LayerForm("embedding", "equinox.nn.Embedding", (Stored("weight", "W:h"),)),
            ),
            save='np.savez("FILE.npz", weight_ih=cell.weight_ih, weight_hh=cell.weight_hh, bias=cell.bias)',
        ),
        "haiku": LibraryRecord(
            title="Haiku",
            outputs_are_rows=False,
            forms=(
                LayerForm(
                    "lstm",
                    "haiku.LSTM",
                    (Stored("linear/w", "W:igfo U:igfo", join="inputs"), Stored("linear/b", "b:igfo")),
                    added={"f": 1.0},
                ),
                _one_bias("w_i w_h b", "gru", "zrn", "haiku.GRU", reset="before", z="new"),
                _two_biases(
                    "linear/w linear_1/w linear/b linear_1/b",
                    "rnn",
                    "h",
                    "haiku.VanillaRNN",
                    nonlinearity="relu",
                ),
                LayerForm("linear", "haiku.Linear", (Stored("w", "W:h"), Stored("b", "b:h", optional=True))),
                LayerForm("embedding", "haiku.Embed", (Stored("embeddings", "W:h"),)),
            ),
            save='np.savez("FILE.npz", **{f"{m}/{n}": v for m, n, v in hk.data_structures.traverse(params)})',
        ),
        "mlx": LibraryRecord(
            title="MLX",
            outputs_are_rows=True,
            places=("{layer}.", "{layer}.forward.", "{layer}.backward."),
            forms=(
                _one_bias("Wx Wh bias", "lstm", "ifgo", "mlx.nn.LSTM"),
                LayerForm(
                    "gru",
                    "mlx.nn.GRU",
                    (
                        Stored("Wx", "W:rzn"),
                        Stored("Wh", "U:rzn"),
                        Stored("b", "b:rzn", optional=True),
                        Stored("bhn", "c:n", optional=True),
                    ),
                    reset="after",
                    z="old",
                ),
                _one_bias("Wxh Whh bias", "rnn", "h", "mlx.nn.RNN"),
                LayerForm("linear", "mlx.nn.Linear", _LINEAR),
                LayerForm("embedding", "mlx.nn.Embedding", (Stored("weight", "W:h"),)),
            ),
            save='model.save_weights("FILE.safetensors")',
        ),
        "tinygrad": LibraryRecord(
            title="tinygrad",
            outputs_are_rows=True,
            places=("{layer}.", "{layer}.forward.", "{layer}.backward."),
            forms=(
                _two_biases("weight_ih weight_hh bias_ih bias_hh", "lstm", "ifgo", "tinygrad.nn.LSTMCell"),
                LayerForm("linear", "tinygrad.nn.Linear", _LINEAR),
                LayerForm("embedding", "tinygrad.nn.Embedding", (Stored("weight", "W:h"),)),
            ),
            save='safe_save(get_state_dict(model), "FILE.safetensors")',
        ),
        "onnx": LibraryRecord(
            title="ONNX",
            outputs_are_rows=True,
            directions_first=True,
            forms=(
                LayerForm(
                    "lstm",
                    "LSTM",
                    (
                        Stored("W", "W:iofg"),
                        Stored("R", "U:iofg"),
                        Stored("B", "b:iofg c:iofg", optional=True),
                        Stored("P", "p:iof", optional=True),
                    ),
                ),
                *(
                    LayerForm(
                        "gru",
                        f"GRU(linear_before_reset={int(reset == 'after')})",
                        (Stored("W", "W:zrn"), Stored("R", "U:zrn"), Stored("B", "b:zrn c:zrn", optional=True)),
                        reset=reset,
                        z="old",
                    )
                    for reset in ("before", "after")
                ),
                LayerForm(
                    "rnn", "RNN", (Stored("W", "W:h"), Stored("R", "U:h"), Stored("B", "b:h c:h", optional=True))
                ),
            ),
            files=(".onnx", ".npz", ".safetensors"),
            save='onnx.save(model, "FILE.onnx")',
        ),
        "openvino": LibraryRecord(
            title="OpenVINO",
            outputs_are_rows=True,
            directions_first=True,
            forms=(
                LayerForm(
                    "lstm", "LSTMSequence", (Stored("W", "W:figo"), Stored("R", "U:figo"), Stored("B", "b:figo"))
                ),
                LayerForm(
                    "gru",
                    "GRUSequence(linear_before_reset=False)",
                    (Stored("W", "W:zrn"), Stored("R", "U:zrn"), Stored("B", "b:zrn")),
                    reset="before",
                    z="old",
                ),
                LayerForm(
                    "gru",
                    "GRUSequence(linear_before_reset=True)",
                    (Stored("W", "W:zrn"), Stored("R", "U:zrn"), Stored("B", "b:zrn c:n")),
                    reset="after",
                    z="old",
                ),
                LayerForm("rnn", "RNNSequence", (Stored("W", "W:h"), Stored("R", "U:h"), Stored("B", "b:h"))),
            ),
            files=(".xml", ".npz", ".safetensors"),
            save='openvino.save_model(model, "FILE.xml", compress_to_fp16=False)',
        ),
        "ncnn": LibraryRecord(
            title="ncnn",
            outputs_are_rows=True,
            directions_first=True,
            forms=(
                _one_bias("weight_xc weight_hc bias_c", "lstm", "ifog", "LSTM"),
                LayerForm(
                    "gru",
                    "GRU",
                    (Stored("weight_xc", "W:rzn"), Stored("weight_hc", "U:rzn"), Stored("bias_c", "b:rzn c:n")),
                    reset="after",
                    z="old",
                ),
                _one_bias("weight_xc weight_hc bias_c", "rnn", "h", "RNN", nonlinearity="tanh"),
            ),
            files=(".param", ".npz", ".safetensors"),
            save="pnnx model.pt inputshape=[...]",
        ),
        "paddle": LibraryRecord(
            title="Paddle",
            outputs_are_rows=True,
            ways=("", "_reverse"),
            forms=_torch_like(_TORCH, "paddle.nn.", rnn="SimpleRNN"),
            twice=r"(.*[./])?\d+\.cell(_fw|_bw)?\.[a-z_]+",
            save='np.savez("FILE.npz", **{k: v.numpy() for k, v in layer.state_dict().items()})',
        ),
        "mindspore": LibraryRecord(
            title="MindSpore",
            outputs_are_rows=True,
            ways=("", "_reverse"),
            forms=_torch_like(_TORCH, "mindspore.nn."),
            save='np.savez("FILE.npz", **{p.name: p.asnumpy() for p in layer.get_parameters()})',
        ),
        "mxnet": LibraryRecord(
            title="MXNet",
            outputs_are_rows=True,
            ways=("l", "r"),
            joints="./:_",
            forms=_torch_like(_MXNET, "mxnet.gluon.rnn.", differs={"l0_h2r_weight": _PROJECTED}),
            save='np.savez("FILE.npz", **{k: v.data().asnumpy() for k, v in layer.collect_params().items()})',
        ),
        "chainer": LibraryRecord(
            title="Chainer, one cell a link",
            outputs_are_rows=True,
            forms=(
                LayerForm(
                    "lstm",
                    "chainer.links.LSTM, StatelessLSTM",
                    (Stored("upward/W", "W:gifo"), Stored("lateral/W", "U:gifo"), Stored("upward/b", "b:gifo")),
                    interleaved=True,
                ),
                LayerForm(
                    "gru",
                    "chainer.links.StatefulGRU",
                    tuple(
                        Stored(f"{link}{end}/{name}", f"{letter}:{gate}")
                        for gate, end in (("r", "_r"), ("z", "_z"), ("n", ""))
                        for link, name, letter in (("W", "W", "W"), ("U", "W", "U"), ("W", "b", "b"), ("U", "b", "c"))
                    ),
                    reset="before",
                    z="new",
                    differs={f"U{end}/b?": _FIRST_STEP for end in ("_r", "_z", "")},
                ),
            ),
            files=(".npz", ".safetensors"),
            save='chainer.serializers.save_npz("FILE.npz", link)',
        ),
        "chainer_nstep": LibraryRecord(
            title="Chainer, layers of n steps",
            outputs_are_rows=True,
            ways=("forward", "backward"),
            forms=(_NSTEP_LSTM, _NSTEP_GRU, _NSTEP_RNN),
            files=(".npz", ".safetensors"),
            save='chainer.serializers.save_npz("FILE.npz", link)',
        ),
        "dynet": LibraryRecord(
            title="DyNet",
            outputs_are_rows=True,
            ways=("",),
            forms=(
                _one_bias("_{n} _{n} _{n}", "lstm", "ifog", "dynet.VanillaLSTMBuilder", added={"f": 1.0}),
                LayerForm(
                    "gru",
                    "dynet.GRUBuilder",
                    tuple(Stored("_{n}", f"{letter}:{gate}") for gate in "zrn" for letter in "WUb"),
                    reset="before",
                    z="new",
                ),
                _one_bias("_{n} _{n} _{n}", "rnn", "h", "dynet.SimpleRNNBuilder", nonlinearity="tanh"),
            ),
            files=(".txt", ".model", ".npz", ".safetensors"),
            save='collection.save("FILE.txt")',
        ),
        "thinc": LibraryRecord(
            title="Thinc",
            outputs_are_rows=True,
            ways=("forward", "backward"),
            flat="LSTM",
            forms=(
                LayerForm(
                    "lstm",
                    "thinc.api.LSTM",
                    (
                        Stored("Wx{index}", "W:fiog"),
                        Stored("bx{index}", "b:fiog"),
                        Stored("Wh{index}", "U:fiog"),
                        Stored("bh{index}", "c:fiog"),
                    ),
                    differs={
                        "HC0?": (
                            LEARNED_STATE,
                            "it starts from a state that it has learned, and ours from zeros",
                            'accept={"learned state"}, and pass the state at each call: c is HC0[0], h is HC0[1]',
                        )
                    },
                ),
            ),
            save='np.savez("FILE.npz", LSTM=..., HC0=..., nI=..., nO=..., depth=..., dirs=...)',
        ),
        "reservoirpy": LibraryRecord(
            title="ReservoirPy",
            outputs_are_rows=True,
            forms=(
                LayerForm(
                    "esn",
                    "reservoirpy.nodes.Reservoir",
                    (
                        Stored("Win", "W:h"),
                        Stored("W", "U:h"),
                        Stored("bias", "b:h", optional=True),
                        Stored("lr", "a:h", optional=True),
                    ),
                ),
            ),
            save='np.savez("FILE.npz", Win=r.Win, W=r.W.toarray(), bias=r.bias, lr=r.lr)',
        ),
    },
)
