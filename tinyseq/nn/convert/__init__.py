"""The Rosetta stone: recurrent weights of other libraries, in and out.

``read("keras", "model.keras")`` returns a layer of ours, ``write("torch", layer)`` the tensors of one of theirs. What
libraries do differently (orders of gates, orientation, biases, constants, senses of z) stands in ``records``, a
declaration each; ``mapping`` and ``layers`` know none of them. ``docs/rosetta.md`` has the table.
"""

from tinyseq.nn.convert.certificate import Certificate, certified, opened, save
from tinyseq.nn.convert.records import LIBRARIES, LayerForm, LibraryRecord, Stored
from tinyseq.nn.convert.torch import RULES, Rule, from_torch, to_torch
from tinyseq.nn.convert.translation import read, write

__all__ = [
    "LIBRARIES",
    "RULES",
    "Certificate",
    "LayerForm",
    "LibraryRecord",
    "Rule",
    "Stored",
    "certified",
    "from_torch",
    "opened",
    "read",
    "save",
    "to_torch",
    "write",
]
