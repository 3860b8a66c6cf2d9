"""Training: configs, tasks, the loop, and what a run leaves behind."""

from tinyseq.train.config import load_config
from tinyseq.train.running import RunResult, run

__all__ = ["RunResult", "load_config", "run"]
