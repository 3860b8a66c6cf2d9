"""Recurrent cells: one time step each, written as the lecture writes it; one idea a file."""

from tinyseq.nn.cells.base import Cell
from tinyseq.nn.cells.esn import ESNCell
from tinyseq.nn.cells.gru import GRUCell
from tinyseq.nn.cells.indrnn import IndRNNCell
from tinyseq.nn.cells.layernorm import LayerNormGRUCell, LayerNormLSTMCell, LayerNormRNNCell
from tinyseq.nn.cells.lstm import LSTMCell, LSTMState, PeepholeLSTMCell
from tinyseq.nn.cells.registry import CELLS, cell_factory
from tinyseq.nn.cells.rnn import RNNCell

__all__ = [
    "CELLS",
    "Cell",
    "ESNCell",
    "GRUCell",
    "IndRNNCell",
    "LSTMCell",
    "LSTMState",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LayerNormRNNCell",
    "PeepholeLSTMCell",
    "RNNCell",
    "cell_factory",
]
