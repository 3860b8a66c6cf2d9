# ruff: noqa: UP006, UP035, UP045
"""The libraries themselves, run on given weights: what certificates and stored vectors are made with.

A runner knows nothing of our records: it makes the library's layer, says which tensors it has, puts arrays into them as
they come, and returns what the layer computes. This file needs NumPy and the library alone, and Python 3.8, so that
old libraries can be run where tinyseq cannot.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

Array = Any
Arrays = Dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A layer to make."""

    kind: str
    input: int
    hidden: int
    layers: int = 1
    directions: int = 1
    reset: str = "after"
    nonlinearity: str = "tanh"
    #: Another class of the library for the same kind.
    variant: str = ""


#: (arrays, x (time, input), h (layers x directions, hidden), c or None) -> y (time, directions x hidden).
Run = Callable[[Arrays, Array, Array, Optional[Array]], Array]
#: The shapes of the layer's tensors by name, and the function that runs it.
Made = Tuple[Dict[str, Tuple[int, ...]], Run]


def torch(case: Case) -> Made:
    import torch

    options = {"nonlinearity": case.nonlinearity} if case.kind == "rnn" else {}
    layer = getattr(torch.nn, case.kind.upper())(
        case.input, case.hidden, case.layers, bidirectional=case.directions == 2, **options
    )

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        layer.to(torch.from_numpy(x).dtype)
        layer.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in arrays.items()})
        state = torch.from_numpy(h) if c is None else (torch.from_numpy(h), torch.from_numpy(c))
        with torch.no_grad():
            return layer(torch.from_numpy(x), state)[0].numpy()

    return {name: tuple(value.shape) for name, value in layer.state_dict().items()}, run


def keras(case: Case) -> Made:
    os.environ.setdefault("KERAS_BACKEND", "torch" if importlib.util.find_spec("torch") else "jax")
    import keras

    options: dict[str, Any] = {"return_sequences": True}
    if case.kind == "gru":
        options["reset_after"] = case.reset == "after"
    if case.kind == "rnn":
        options["activation"] = case.nonlinearity
    word = {"lstm": "lstm", "gru": "gru", "rnn": "simple_rnn"}[case.kind]
    make = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}[case.kind]
    held, layers = {}, []
    for depth in range(case.layers):
        nth = f"_{depth}" if depth else ""
        layer = make(case.hidden, **options)
        heads = [f"layers/{word}{nth}/cell/vars/"]
        if case.directions == 2:
            layer = keras.layers.Bidirectional(layer)
            heads = [f"layers/bidirectional{nth}/{way}_layer/cell/vars/" for way in ("forward", "backward")]
        layer.build((1, None, case.input if not depth else case.hidden * case.directions))
        count = len(layer.weights) // len(heads)
        for i, weight in enumerate(layer.weights):
            held[f"{heads[i // count]}{i % count}"] = weight
        layers.append(layer)

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        for name, weight in held.items():
            weight.assign(arrays[name])
        y, n = x[None], case.directions
        for depth, layer in enumerate(layers):
            state = []
            for i in range(depth * n, depth * n + n):
                state += [h[i][None]] if c is None else [h[i][None], c[i][None]]
            y = layer(y, initial_state=[keras.ops.convert_to_tensor(part) for part in state])
        return keras.ops.convert_to_numpy(y)[0]

    return {name: tuple(weight.shape) for name, weight in held.items()}, run


def _leaves(tree: Any, head: str = "") -> Arrays:
    if not hasattr(tree, "items"):
        return {head: tree}
    found: Arrays = {}
    for name, part in tree.items():
        found.update(_leaves(part, f"{head}/{name}" if head else str(name)))
    return found


def _nested(arrays: Arrays) -> Any:
    tree: dict[str, Any] = {}
    for path, array in arrays.items():
        *way, last = path.split("/")
        part = tree
        for name in way:
            part = part.setdefault(name, {})
        part[last] = array
    return tree


def _steps(step: Callable[[Any, Any], tuple[Any, Any]], x: Array, state: Any) -> Array:
    """A cell, step by step: (state, x_t) -> (state, y_t)."""
    ys = []
    for x_t in x:
        state, y = step(state, x_t)
        ys.append(np.asarray(y).reshape(-1))
    return np.stack(ys)


def flax(case: Case) -> Made:
    import jax
    from flax import linen

    make = {"lstm": linen.LSTMCell, "gru": linen.GRUCell, "rnn": linen.SimpleCell}[case.kind]
    cell = linen.OptimizedLSTMCell(case.hidden) if case.variant == "optimized" else make(case.hidden)
    x = np.zeros((1, case.input), np.float32)
    params = cell.init(jax.random.key(0), cell.initialize_carry(jax.random.key(0), x.shape), x)["params"]

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        weights = {"params": _nested(arrays)}
        return _steps(lambda s, x_t: cell.apply(weights, s, x_t[None]), x, h if c is None else (c, h))

    return {name: tuple(value.shape) for name, value in _leaves(params).items()}, run


def nnx(case: Case) -> Made:
    from flax import nnx

    make = {"lstm": nnx.LSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell}[case.kind]
    if case.variant == "optimized":
        make = nnx.OptimizedLSTMCell
    cell = make(case.input, case.hidden, rngs=nnx.Rngs(0))
    held = {"/".join(map(str, path)): value for path, value in nnx.to_flat_state(nnx.state(cell, nnx.Param))}

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        for name, array in arrays.items():
            holder = cell
            *way, last = name.split("/")
            for part in way:
                holder = getattr(holder, part)
            getattr(holder, last)[...] = array
        return _steps(lambda s, x_t: cell(s, x_t[None]), x, h if c is None else (c, h))

    return {name: tuple(value.shape) for name, value in held.items()}, run


def equinox(case: Case) -> Made:
    import equinox
    import jax

    make = {"lstm": equinox.nn.LSTMCell, "gru": equinox.nn.GRUCell}[case.kind]
    cell = make(case.input, case.hidden, key=jax.random.key(0))
    names = [name for name in ("weight_ih", "weight_hh", "bias", "bias_n") if getattr(cell, name, None) is not None]

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        own = equinox.tree_at(
            lambda m: [getattr(m, n) for n in names], cell, [jax.numpy.asarray(arrays[n]) for n in names]
        )

        def step(state: Any, x_t: Array) -> tuple[Any, Any]:
            state = own(x_t, state)
            return state, state[0] if isinstance(state, tuple) else state

        return _steps(step, x, h[0] if c is None else (h[0], c[0]))

    return {name: tuple(getattr(cell, name).shape) for name in names}, run


def haiku(case: Case) -> Made:
    import haiku
    import jax

    make = {"lstm": haiku.LSTM, "gru": haiku.GRU, "rnn": haiku.VanillaRNN}[case.kind]
    cell = haiku.without_apply_rng(haiku.transform(lambda x, s: make(case.hidden)(x, s)))

    def state_of(h: Array, c: Array | None) -> Any:
        return h if c is None else haiku.LSTMState(h, c)

    nothing = np.zeros((1, case.hidden), np.float32)
    first = state_of(nothing, nothing if case.kind == "lstm" else None)
    params = cell.init(jax.random.key(0), np.zeros((1, case.input), np.float32), first)
    told = {f"{module}/{name}": tuple(v.shape) for module, part in params.items() for name, v in part.items()}

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        weights: dict[str, Any] = {}
        for path, array in arrays.items():
            module, _, name = path.rpartition("/")
            weights.setdefault(module, {})[name] = jax.numpy.asarray(array)
        return _steps(lambda s, x_t: cell.apply(weights, x_t[None], s)[::-1], x, state_of(h, c))

    return told, run


def mlx(case: Case) -> Made:
    import mlx.core
    import mlx.nn
    import mlx.utils

    options = {"nonlinearity": mlx.nn.relu} if case.nonlinearity == "relu" else {}
    layer = getattr(mlx.nn, case.kind.upper())(case.input, case.hidden, **options)

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        layer.update(mlx.utils.tree_unflatten([(name, mlx.core.array(array)) for name, array in arrays.items()]))
        state = [mlx.core.array(part) for part in (h, c) if part is not None]
        ys = layer(mlx.core.array(x)[None], *state)
        return np.array(ys[0] if isinstance(ys, tuple) else ys)[0]

    return {name: tuple(value.shape) for name, value in mlx.utils.tree_flatten(layer.parameters())}, run


def tinygrad(case: Case) -> Made:
    os.environ.setdefault("DEV", "PYTHON")
    from tinygrad import Tensor
    from tinygrad.nn import LSTMCell
    from tinygrad.nn.state import get_state_dict

    cell = LSTMCell(case.input, case.hidden)

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        for name, array in arrays.items():
            setattr(cell, name, Tensor(array))

        def step(state: Any, x_t: Array) -> tuple[Any, Any]:
            state = cell(Tensor(x_t[None]), tuple(Tensor(part) for part in state))
            state = tuple(part.numpy() for part in state)
            return state, state[0]

        return _steps(step, x, (h, c))

    return {name: tuple(value.shape) for name, value in get_state_dict(cell).items()}, run


def _gates(case: Case) -> int:
    return {"lstm": 4, "gru": 3, "rnn": 1}[case.kind]


def onnx(case: Case) -> Made:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    n, size = case.directions, _gates(case) * case.hidden
    shapes = {"W": (n, size, case.input), "R": (n, size, case.hidden), "B": (n, 2 * size)}
    if case.variant == "peepholes":
        shapes["P"] = (n, 3 * case.hidden)

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        kind = case.kind.upper()
        options: dict[str, Any] = {"linear_before_reset": int(case.reset == "after")} if case.kind == "gru" else {}
        if case.kind == "rnn":
            options["activations"] = [case.nonlinearity.capitalize()] * n
        inputs = ["X", "W", "R", "B", "", "h"] + (["c"] if c is not None else []) + (["P"] if "P" in shapes else [])
        node = helper.make_node(
            kind, inputs, ["Y"], hidden_size=case.hidden, direction="bidirectional" if n == 2 else "forward", **options
        )
        data = [("X", x[:, None]), ("h", h[:, None])] + ([("c", c[:, None])] if c is not None else [])
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in data]
        weights = [numpy_helper.from_array(np.array(arrays[name]), name) for name in shapes]
        out = helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["time", n, 1, case.hidden])
        graph = helper.make_graph([node], "layer", infos, [out], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (ys,) = session.run(None, dict(data))
        return ys[:, :, 0].reshape(len(x), -1)

    return shapes, run


def openvino(case: Case) -> Made:
    import openvino
    from openvino import opset14 as ops

    n, size = case.directions, _gates(case) * case.hidden
    biases = size + case.hidden * (case.kind == "gru" and case.reset == "after")
    shapes = {"W": (n, size, case.input), "R": (n, size, case.hidden), "B": (n, biases)}

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        direction = "bidirectional" if n == 2 else "forward"
        X = ops.parameter([1, len(x), case.input], np.float32)
        state = [ops.constant(part[None]) for part in (h, c) if part is not None]
        ends = ops.constant(np.array([len(x)], np.int32))
        weights = [ops.constant(np.array(arrays[name])) for name in "WRB"]
        rest = (*state, ends, *weights, case.hidden, direction)
        if case.kind == "lstm":
            node = ops.lstm_sequence(X, *rest)
        elif case.kind == "gru":
            node = ops.gru_sequence(X, *rest, linear_before_reset=case.reset == "after")
        else:
            node = ops.rnn_sequence(X, *rest, activations=[case.nonlinearity])
        # By itself it computes in bfloat16 where the processor can.
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        model = openvino.compile_model(openvino.Model([node.output(0)], [X]), "CPU", options)
        ys = model([x[None]])[0]
        return np.moveaxis(ys[0], 0, 1).reshape(len(x), -1)

    return shapes, run


def ncnn(case: Case) -> Made:
    import ncnn

    n, size = case.directions, _gates(case) * case.hidden
    biases = {"lstm": 4, "gru": 4, "rnn": 1}[case.kind] * case.hidden
    shapes = {"weight_xc": (n, size, case.input), "bias_c": (n, biases), "weight_hc": (n, size, case.hidden)}

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        ins, outs = ("x h c", "y hn cn") if c is not None else ("x h", "y hn")
        total = int(np.prod(shapes["weight_xc"]))
        lines = [f"Input {name} 0 1 {name}" for name in ins.split()]
        width = len(ins.split())
        lines.append(
            f"{case.kind.upper()} layer {width} {width} {ins} {outs} 0={case.hidden} 1={total} 2={2 if n == 2 else 0}"
        )
        text = "\n".join(["7767517", f"{len(lines)} {2 * width}", *lines, ""])
        with tempfile.TemporaryDirectory() as folder:
            param, weights = os.path.join(folder, "m.param"), os.path.join(folder, "m.bin")
            with open(param, "w") as file:
                file.write(text)
            with open(weights, "wb") as binary:
                for name in shapes:
                    binary.write(b"\0\0\0\0" + np.ascontiguousarray(arrays[name], np.float32).tobytes())
            with ncnn.Net() as net:
                net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_fp16_packed = False
                net.opt.use_bf16_storage = False
                net.load_param(param)
                net.load_model(weights)
                with net.create_extractor() as extractor:
                    for name, value in (("x", x), ("h", h), ("c", c)):
                        if value is not None:
                            extractor.input(name, ncnn.Mat(np.ascontiguousarray(value)).clone())
                    return np.array(extractor.extract("y")[1])

    return shapes, run


def paddle(case: Case) -> Made:
    import paddle

    make = {"lstm": paddle.nn.LSTM, "gru": paddle.nn.GRU, "rnn": paddle.nn.SimpleRNN}[case.kind]
    options = {"activation": case.nonlinearity} if case.kind == "rnn" else {}
    layer = make(
        case.input, case.hidden, case.layers, direction="bidirect" if case.directions == 2 else "forward", **options
    )
    layer.eval()
    # Each tensor stands there twice, once under its cell.
    held = {name: value for name, value in layer.state_dict().items() if "cell" not in name}

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        for name, value in held.items():
            value.set_value(np.array(arrays[name]))
        state = [paddle.to_tensor(part[:, None]) for part in (h, c) if part is not None]
        ys, _ = layer(paddle.to_tensor(x[None]), state[0] if c is None else tuple(state))
        return ys.numpy()[0]

    return {name: tuple(value.shape) for name, value in held.items()}, run


def mxnet(case: Case) -> Made:
    np.bool = bool  # mxnet 1.9 asks for it
    import mxnet
    from mxnet.gluon import rnn

    make = {"lstm": rnn.LSTM, "gru": rnn.GRU, "rnn": rnn.RNN}[case.kind]
    options = {"activation": case.nonlinearity} if case.kind == "rnn" else {}
    layer = make(
        case.hidden, case.layers, input_size=case.input, bidirectional=case.directions == 2, prefix="", **options
    )
    layer.initialize()
    held = dict(layer.collect_params().items())

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        for name, value in held.items():
            value.set_data(mxnet.nd.array(arrays[name]))
        state = [mxnet.nd.array(part[:, None]) for part in (h, c) if part is not None]
        return layer(mxnet.nd.array(x[:, None]), state)[0].asnumpy()[:, 0]

    return {name: tuple(value.shape) for name, value in held.items()}, run


def chainer(case: Case) -> Made:
    import chainer

    link = {"lstm": chainer.links.LSTM, "gru": chainer.links.StatefulGRU}[case.kind](case.input, case.hidden)
    held = {name.lstrip("/"): value for name, value in link.namedparams()}

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        for name, value in held.items():
            value.array[...] = arrays[name]
        link.set_state(*[chainer.Variable(part.copy()) for part in (c, h) if part is not None])
        return np.stack([link(x_t[None]).array[0] for x_t in x])

    return {name: tuple(value.shape) for name, value in held.items()}, run


def chainer_nstep(case: Case) -> Made:
    import chainer

    word = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN" + {"tanh": "Tanh", "relu": "ReLU"}[case.nonlinearity]}[case.kind]
    make = getattr(chainer.links, f"NStep{'Bi' if case.directions == 2 else ''}{word}")
    link = make(case.layers, case.input, case.hidden, 0.0)
    held = {name.lstrip("/"): value for name, value in link.namedparams()}

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        for name, value in held.items():
            value.array[...] = arrays[name]
        state = [chainer.Variable(part[:, None].copy()) for part in (h, c) if part is not None]
        return link(*state, [x])[-1][0].array

    return {name: tuple(value.shape) for name, value in held.items()}, run


def dynet(case: Case) -> Made:
    import dynet

    collection = dynet.ParameterCollection()
    make = {"lstm": dynet.VanillaLSTMBuilder, "gru": dynet.GRUBuilder, "rnn": dynet.SimpleRNNBuilder}[case.kind]
    builder = make(case.layers, case.input, case.hidden, collection)
    held = {value.name(): value for value in collection.parameters_list()}

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        dynet.renew_cg()
        assert collection, "parameters are gone with their collection"
        for name, value in held.items():
            value.set_value(arrays[name])
        parts = ([] if c is None else list(c)) + list(h)
        state = builder.initial_state([dynet.inputVector(part) for part in parts])
        return np.stack([y.npvalue() for y in state.transduce([dynet.inputVector(x_t) for x_t in x])])

    return {name: tuple(value.shape()) for name, value in held.items()}, run


def thinc(case: Case) -> Made:
    from thinc.api import LSTM

    model = LSTM(case.hidden * case.directions, case.input, bi=case.directions == 2, depth=case.layers)
    model.initialize()

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        from thinc.types import Padded

        model.set_param("LSTM", np.array(arrays["LSTM"]))
        state = np.stack([c, h])  # its H0 is where the memory begins, and its C0 the output
        model.set_param("HC0", state.reshape(model.get_param("HC0").shape))
        one = np.ones(len(x), "i")
        padded = Padded(x[:, None].copy(), one, np.array([len(x)], "i"), np.zeros(1, "i"))
        return np.array(model.predict(padded).data[:, 0])

    return {"LSTM": tuple(model.get_param("LSTM").shape)}, run


def reservoirpy(case: Case) -> Made:
    from reservoirpy.nodes import Reservoir

    def run(arrays: Arrays, x: Array, h: Array, c: Array | None) -> Array:
        node = Reservoir(case.hidden, lr=float(arrays["lr"]), W=arrays["W"], Win=arrays["Win"], bias=arrays["bias"])
        node.initialize(x)
        node.state = {"out": h[0].astype(np.float64)}
        return np.asarray(node.run(x)).astype(np.float64)

    return {"W": (case.hidden, case.hidden), "Win": (case.hidden, case.input), "bias": (case.hidden,), "lr": ()}, run


#: Libraries that can be run, and the module by which one sees whether it is installed.
RUNNERS: Any = {
    "torch": (torch, "torch"),
    "keras": (keras, "keras"),
    "flax": (flax, "flax"),
    "nnx": (nnx, "flax"),
    "equinox": (equinox, "equinox"),
    "haiku": (haiku, "haiku"),
    "mlx": (mlx, "mlx"),
    "tinygrad": (tinygrad, "tinygrad"),
    "onnx": (onnx, "onnxruntime"),
    "openvino": (openvino, "openvino"),
    "ncnn": (ncnn, "ncnn"),
    "paddle": (paddle, "paddle"),
    "mxnet": (mxnet, "mxnet"),
    "chainer": (chainer, "chainer"),
    "chainer_nstep": (chainer_nstep, "chainer"),
    "dynet": (dynet, "dynet"),
    "thinc": (thinc, "thinc"),
    "reservoirpy": (reservoirpy, "reservoirpy"),
}
#: What each can do, for vectors: (kind, options of a Case).
_STACKED = {"layers": 2, "directions": 2}
_PLAIN: Any = {"lstm": {}, "gru": {}, "rnn": {}}
CASES: Any = {
    "torch": {**_PLAIN, "lstm stacked": _STACKED, "gru stacked": _STACKED, "rnn relu": {"nonlinearity": "relu"}},
    "keras": {**_PLAIN, "gru before": {"reset": "before"}, "lstm stacked": _STACKED, "gru stacked": _STACKED},
    "flax": {**_PLAIN, "lstm optimized": {"variant": "optimized"}},
    "nnx": {**_PLAIN, "lstm optimized": {"variant": "optimized"}},
    "equinox": {"lstm": {}, "gru": {}},
    "haiku": {"lstm": {}, "gru": {"reset": "before"}, "rnn": {"nonlinearity": "relu"}},
    "mlx": {**_PLAIN, "rnn relu": {"nonlinearity": "relu"}},
    "tinygrad": {"lstm": {}},
    "onnx": {
        **_PLAIN, "gru before": {"reset": "before"}, "lstm both ways": {"directions": 2},
        "gru both ways": {"directions": 2}, "lstm peepholes": {"variant": "peepholes"},
    },
    "openvino": {
        **_PLAIN, "gru before": {"reset": "before"}, "lstm both ways": {"directions": 2},
        "gru both ways": {"directions": 2},
    },
    "ncnn": {**_PLAIN, "lstm both ways": {"directions": 2}, "gru both ways": {"directions": 2}},
    "paddle": {**_PLAIN, "lstm stacked": _STACKED, "gru stacked": _STACKED},
    "mxnet": {**_PLAIN, "lstm stacked": _STACKED, "gru stacked": _STACKED},
    "chainer": {"lstm": {}, "gru": {"reset": "before"}},
    "chainer_nstep": {**_PLAIN, "lstm stacked": _STACKED, "gru stacked": _STACKED},
    "dynet": {"lstm": {}, "gru": {"reset": "before"}, "rnn": {}, "lstm stacked": {"layers": 2}},
    "thinc": {"lstm": {}, "lstm stacked": _STACKED},
    "reservoirpy": {"esn": {}},
}  # fmt: skip


def installed(library: str) -> bool:
    """Whether a library can be run here."""
    return library in RUNNERS and importlib.util.find_spec(RUNNERS[library][1]) is not None


def case_of(name: str, options: dict[str, Any], input: int = 3, hidden: int = 4) -> Case:
    """Return the case of a name such as "lstm stacked"."""
    return Case(name.split()[0], input, hidden, **options)
