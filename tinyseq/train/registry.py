"""What a config may name, and how names are added: the door for code outside; see ``config/registry.py``."""

from tinyseq.train.config.registry import (
    CellFactory,
    build_recurrent,
    cell_names,
    cell_problems,
    find_cell,
    find_optimizer,
    find_task,
    optimizer_names,
    optimizer_problems,
    option_problems,
    register_cell,
    register_optimizer,
    register_task,
    task_names,
)

__all__ = [
    "CellFactory",
    "build_recurrent",
    "cell_names",
    "cell_problems",
    "find_cell",
    "find_optimizer",
    "find_task",
    "optimizer_names",
    "optimizer_problems",
    "option_problems",
    "register_cell",
    "register_optimizer",
    "register_task",
    "task_names",
]
