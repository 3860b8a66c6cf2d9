"""Training: configs, tasks, the loop, and what a run leaves behind."""

from tinyseq.train.config import load_config
from tinyseq.train.running import RunResult, run
from tinyseq.train.using import Trained, load

__all__ = ["RunResult", "Trained", "load", "load_config", "run"]
