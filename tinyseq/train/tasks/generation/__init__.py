"""What tasks share whose model writes a sentence for each input, a file a role."""

from tinyseq.train.tasks.generation.codec import END
from tinyseq.train.tasks.generation.config import GenerationConfig
from tinyseq.train.tasks.generation.task import GenerationTask

__all__ = ["END", "GenerationConfig", "GenerationTask"]
