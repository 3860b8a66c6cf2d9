"""Echo state networks, a file a role: what is known of a system, how it is run, how it is shown, how it is learned."""

from tinyseq.train.tasks.reservoir.config import ReservoirTaskConfig
from tinyseq.train.tasks.reservoir.task import Reservoir

__all__ = ["Reservoir", "ReservoirTaskConfig"]
