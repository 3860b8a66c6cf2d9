"""Language models, a file a role: the vocabulary, what is written, how it is shown, how it is learned."""

from tinyseq.train.tasks.language_model.config import LanguageModelConfig
from tinyseq.train.tasks.language_model.task import LanguageModel

__all__ = ["LanguageModel", "LanguageModelConfig"]
