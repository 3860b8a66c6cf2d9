"""Make the small files in ``tests/nn/convert/files``, each saved by its library: ``python make_files.py NAME...``.

Beside each stands NAME.expected.npz: an input (time, features), and what the library computes from it with a state of
zeros. It needs the library and Python 3.8, and not tinyseq.
"""

import sys
from pathlib import Path

import numpy as np

FILES = Path(__file__).resolve().parent.parent / "nn" / "convert" / "files"
N, H, T = 3, 4, 5


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(0.1, 0.6, shape).astype(np.float32)


X = draw((T, N), 9)


def keras_model(name, reset_after=True, both=False):
    import keras

    gru = keras.layers.GRU(H, return_sequences=True, reset_after=reset_after, name="any_name")
    layer = keras.layers.Bidirectional(gru, name="other_name") if both else gru
    model = keras.Sequential([keras.Input((None, N)), layer, keras.layers.Dense(2)])
    for i, weight in enumerate(model.weights):
        weight.assign(draw(weight.shape, i))
    model.compile("adam", "mse")
    model.save(FILES / f"{name}.keras")
    if not both and reset_after:
        model.save_weights(FILES / f"{name}.weights.h5")
    return np.asarray(keras.ops.convert_to_numpy(layer(X[None])))[0]


def keras_gru():
    return keras_model("keras_gru")


def keras_gru_before():
    return keras_model("keras_gru_before", reset_after=False)


def keras_both():
    return keras_model("keras_both", both=True)


def flax_lstm():
    import flax
    import jax
    from flax import linen

    layer = linen.RNN(linen.LSTMCell(H))
    params = layer.init(jax.random.key(0), X[None])
    leaves, tree = jax.tree.flatten(params)
    params = jax.tree.unflatten(tree, [draw(leaf.shape, i) for i, leaf in enumerate(leaves)])
    (FILES / "flax_lstm.msgpack").write_bytes(flax.serialization.to_bytes(params))
    return np.asarray(layer.apply(params, X[None]))[0]


def mlx_gru():
    import mlx.core
    import mlx.nn
    import mlx.utils

    layer = mlx.nn.GRU(N, H)
    drawn = [
        (n, mlx.core.array(draw(v.shape, i))) for i, (n, v) in enumerate(mlx.utils.tree_flatten(layer.parameters()))
    ]
    layer.update(mlx.utils.tree_unflatten(drawn))
    layer.save_weights(str(FILES / "mlx_gru.safetensors"))
    return np.array(layer(mlx.core.array(X)[None]))[0]


def torch_lstm():
    import torch
    from safetensors.torch import save_file

    layer = torch.nn.LSTM(N, H, 2, bidirectional=True)
    state = {n: torch.from_numpy(draw(v.shape, i)) for i, (n, v) in enumerate(layer.state_dict().items())}
    layer.load_state_dict(state)
    save_file({f"encoder.{n}": v for n, v in state.items()}, FILES / "torch_lstm.safetensors")
    with torch.no_grad():
        return layer(torch.from_numpy(X))[0].numpy()


def onnx_gru():
    import onnx
    import onnxruntime
    import torch

    torch.manual_seed(0)
    layer = torch.nn.GRU(N, H, bidirectional=True)
    path = str(FILES / "onnx_gru.onnx")
    torch.onnx.export(layer, (torch.from_numpy(X[:, None]),), path, dynamo=False)
    onnx.checker.check_model(onnx.load(path))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: X[:, None]})[0][:, 0]


def openvino_lstm():
    import openvino
    from openvino import opset14 as ops

    x = ops.parameter([1, T, N], np.float32)
    nothing, ends = ops.constant(np.zeros((1, 1, H), np.float32)), ops.constant(np.array([T], np.int32))
    weights = [ops.constant(draw(shape, i)) for i, shape in enumerate([(1, 4 * H, N), (1, 4 * H, H), (1, 4 * H)])]
    node = ops.lstm_sequence(x, nothing, nothing, ends, *weights, H, "forward")
    model = openvino.Model([node.output(0)], [x])
    openvino.save_model(model, FILES / "openvino_lstm.xml", compress_to_fp16=False)
    return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([X[None]])[0][0, 0]


def ncnn_lstm():
    import ncnn

    shapes = [(4 * H, N), (4 * H,), (4 * H, H)]
    (FILES / "ncnn_lstm.param").write_text(f"7767517\n2 2\nInput x 0 1 x\nLSTM layer 1 1 x y 0={H} 1={4 * H * N} 2=0\n")
    weights = b"".join(b"\0\0\0\0" + draw(shape, i).tobytes() for i, shape in enumerate(shapes))
    (FILES / "ncnn_lstm.bin").write_bytes(weights)
    with ncnn.Net() as net:
        net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_fp16_packed = False
        net.load_param(str(FILES / "ncnn_lstm.param"))
        net.load_model(str(FILES / "ncnn_lstm.bin"))
        with net.create_extractor() as extractor:
            extractor.input("x", ncnn.Mat(X).clone())
            return np.array(extractor.extract("y")[1])


def haiku_gru():
    import haiku
    import jax

    layer = haiku.without_apply_rng(haiku.transform(lambda x: haiku.static_unroll(haiku.GRU(H), x, np.zeros(H))[0]))
    params = layer.init(jax.random.key(0), X)
    leaves, tree = jax.tree.flatten(params)
    params = jax.tree.unflatten(tree, [draw(leaf.shape, i) for i, leaf in enumerate(leaves)])
    np.savez(FILES / "haiku_gru.npz", **{f"{m}/{n}": v for m, n, v in haiku.data_structures.traverse(params)})
    return np.asarray(layer.apply(params, X))


def chainer_lstm():
    import chainer

    link = chainer.links.LSTM(N, H)
    for i, (_, value) in enumerate(sorted(link.namedparams())):
        value.array[...] = draw(value.shape, i)
    chainer.serializers.save_npz(str(FILES / "chainer_lstm.npz"), link)
    return np.stack([link(x[None]).array[0] for x in X])


def dynet_lstm():
    import dynet

    collection = dynet.ParameterCollection()
    builder = dynet.VanillaLSTMBuilder(1, N, H, collection)
    for i, value in enumerate(collection.parameters_list()):
        value.set_value(draw(value.shape(), i))
    collection.save(str(FILES / "dynet_lstm.txt"))
    dynet.renew_cg()
    outputs = builder.initial_state().transduce([dynet.inputVector(x) for x in X])
    return np.stack([y.npvalue() for y in outputs])


if __name__ == "__main__":
    for name in sys.argv[1:]:
        np.savez(FILES / f"{name}.expected.npz", x=X, y=globals()[name]())
        print(name)
