"""Modules, cells, layers and losses."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinyseq.hints import NN, missing
from tinyseq.masks import length_mask
from tinyseq.nn import init
from tinyseq.nn.attention import MultiheadAttention, scaled_dot_product_attention
from tinyseq.nn.cell_activations import Activations, activations
from tinyseq.nn.cells import (
    CELLS,
    Cell,
    ESNCell,
    GRUCell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LayerNormRNNCell,
    LSTMCell,
    LSTMState,
    PeepholeLSTMCell,
    RNNCell,
    cell_factory,
)
from tinyseq.nn.containers import ModuleList, Sequential
from tinyseq.nn.decoders import (
    AdditiveAttention,
    Attended,
    AttentionDecoder,
    BahdanauDecoder,
    DotAttention,
    LuongDecoder,
    LuongState,
)
from tinyseq.nn.layers import Dropout, Embedding, LayerNorm, Linear
from tinyseq.nn.losses import binary_cross_entropy, cross_entropy, squared_error
from tinyseq.nn.masks import causal_mask
from tinyseq.nn.module import Module, buffer, parameter
from tinyseq.nn.pooling import POOLINGS, AttentionPooling, FinalPooling, MeanPooling
from tinyseq.nn.positions import LearnedPositions, SinusoidalPositions
from tinyseq.nn.recurrent import GRU, LSTM, RNN, Recurrent, Stack
from tinyseq.nn.reservoir import EchoStateNetwork, RidgeRegression
from tinyseq.nn.transformer import (
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)

if TYPE_CHECKING:
    from tinyseq.nn import convert  # noqa: F401
    from tinyseq.nn.convert import from_torch, to_torch
    from tinyseq.nn.latex import equations

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "POOLINGS",
    "RNN",
    "Activations",
    "AdditiveAttention",
    "Attended",
    "AttentionDecoder",
    "AttentionPooling",
    "BahdanauDecoder",
    "Cell",
    "DotAttention",
    "Dropout",
    "ESNCell",
    "EchoStateNetwork",
    "Embedding",
    "FinalPooling",
    "GRUCell",
    "IndRNNCell",
    "LSTMCell",
    "LSTMState",
    "LayerNorm",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LayerNormRNNCell",
    "LearnedPositions",
    "Linear",
    "LuongDecoder",
    "LuongState",
    "MeanPooling",
    "Module",
    "ModuleList",
    "MultiheadAttention",
    "PeepholeLSTMCell",
    "RNNCell",
    "Recurrent",
    "RidgeRegression",
    "Sequential",
    "SinusoidalPositions",
    "Stack",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "activations",
    "binary_cross_entropy",
    "buffer",
    "causal_mask",
    "cell_factory",
    "cross_entropy",
    "equations",
    "from_torch",
    "init",
    "length_mask",
    "parameter",
    "scaled_dot_product_attention",
    "squared_error",
    "to_torch",
]

#: What few programs use and takes a third of the import: found when first asked for.
_LAZY = {
    "equations": "tinyseq.nn.latex",
    "from_torch": "tinyseq.nn.convert",
    "to_torch": "tinyseq.nn.convert",
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return getattr(importlib.import_module(_LAZY[name]), name)
        if name == "convert":  # a module, which is an attribute once it is imported
            return importlib.import_module("tinyseq.nn.convert")
        raise missing("module 'tinyseq.nn'", name, NN, __all__)
