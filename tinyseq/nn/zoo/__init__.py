"""Published recurrent cells beside those of the lecture, a family a file: each its paper's equations, and no more.

A name of ``ZOO`` may stand wherever one of ``nn.CELLS`` may; its file is imported when it is asked for.
"""

from __future__ import annotations

from typing import Any

from tinyseq.registry import Registry

#: Name -> cell, for configurations; ``nn.CELLS`` comes first.
ZOO: Registry[Any] = Registry(
    "cell",
    {
        "mgu": "tinyseq.nn.zoo.gated:MGUCell",
        "ugrnn": "tinyseq.nn.zoo.gated:UGRNNCell",
        "janet": "tinyseq.nn.zoo.gated:JANETCell",
        "ligru": "tinyseq.nn.zoo.gated:LiGRUCell",
        "minimal_rnn": "tinyseq.nn.zoo.gated:MinimalRNNCell",
        "star": "tinyseq.nn.zoo.gated:STARCell",
        "cfn": "tinyseq.nn.zoo.gated:CFNCell",
        "ran": "tinyseq.nn.zoo.gated:RANCell",
        "coupled_lstm": "tinyseq.nn.zoo.gated:CoupledLSTMCell",
        "antisymmetric_rnn": "tinyseq.nn.zoo.oscillators:AntisymmetricRNNCell",
        "cornn": "tinyseq.nn.zoo.oscillators:CoRNNCell",
        "unicornn": "tinyseq.nn.zoo.oscillators:UnICORNNCell",
        "lem": "tinyseq.nn.zoo.oscillators:LEMCell",
        "mingru": "tinyseq.nn.zoo.linear:MinGRUCell",
        "minlstm": "tinyseq.nn.zoo.linear:MinLSTMCell",
        "sru": "tinyseq.nn.zoo.linear:SRUCell",
        "lru": "tinyseq.nn.zoo.linear:LRUCell",
        "retnet": "tinyseq.nn.zoo.matrix:RetNetCell",
        "scalar_gla": "tinyseq.nn.zoo.matrix:ScalarGLACell",
        "gla": "tinyseq.nn.zoo.matrix:GLACell",
        "deltanet": "tinyseq.nn.zoo.matrix:DeltaNetCell",
        "gated_deltanet": "tinyseq.nn.zoo.matrix:GatedDeltaNetCell",
    },
)
