"""Modules, cells, layers and losses."""

from tinyseq.nn import init
from tinyseq.nn.cells import Cell, LSTMCell, LSTMState, RNNCell
from tinyseq.nn.layers import LSTM, RNN, Dropout, Embedding, Linear, Recurrent
from tinyseq.nn.module import Module, parameter
from tinyseq.ops.nn import cross_entropy

__all__ = [
    "LSTM",
    "RNN",
    "Cell",
    "Dropout",
    "Embedding",
    "LSTMCell",
    "LSTMState",
    "Linear",
    "Module",
    "RNNCell",
    "Recurrent",
    "cross_entropy",
    "init",
    "parameter",
]
