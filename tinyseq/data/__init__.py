"""Corpora, vocabularies, batching, and the baselines that a model has to beat."""

from tinyseq.data.baselines import ngram_bits
from tinyseq.data.batching import Splits, Window, held_out_windows, split, training_windows
from tinyseq.data.text import Corpus, load_text
from tinyseq.data.vocabulary import UNKNOWN, Vocabulary

__all__ = [
    "UNKNOWN",
    "Corpus",
    "Splits",
    "Vocabulary",
    "Window",
    "held_out_windows",
    "load_text",
    "ngram_bits",
    "split",
    "training_windows",
]
