"""The config of a run: what every task has, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, ValidationInfo, field_validator

from tinyseq import optim
from tinyseq.errors import ConfigError, did_you_mean
from tinyseq.tensors import Tensor
from tinyseq.train import registry, yaml
from tinyseq.train.saving import CheckpointConfig
from tinyseq.train.schedules import SCHEDULES, make_schedule
from tinyseq.train.sections import Section, problems_of, refuse
from tinyseq.train.yaml import Document, Problem


def _from_config_folder(value: str, info: ValidationInfo) -> str:
    """A relative path in a config is meant from the config's own folder, wherever the run is started."""
    folder = (info.context or {}).get("folder")
    return str(Path(folder, value)) if folder is not None else value


def _cell_from_config_folder(value: str, info: ValidationInfo) -> str:
    source, _, attribute = value.rpartition(":")
    value = f"{_from_config_folder(source, info)}:{attribute}" if source.endswith(".py") else value
    try:
        registry.find_cell(value)
    except ConfigError as error:
        raise ValueError(error.what) from None
    return value


def _schedule(value: str) -> str:
    if value not in SCHEDULES:
        near = did_you_mean(value, SCHEDULES)
        known = "" if near.startswith("one of") else f" (known: {', '.join(sorted(SCHEDULES))})"
        raise ValueError(f"unknown schedule {value!r}; {near}{known}")
    return value


def _optimizer(value: str) -> str:
    try:
        registry.find_optimizer(value)
    except ConfigError as error:
        raise ValueError(error.what) from None
    return value


#: A path, relative to the folder of the config file.
FilePath = Annotated[str, Field(min_length=1), AfterValidator(_from_config_folder)]
#: A registered cell, or a user's own as ``file.py:Class`` or ``module:Class``.
CellName = Annotated[str, AfterValidator(_cell_from_config_folder)]


class BpttConfig(Section):
    """Truncated backpropagation through time: BPTT(h; h') of Williams and Peng (1990)."""

    every: int = Field(64, ge=1, description="Update the weights every so many time steps (k1).")
    back: int | None = Field(None, ge=1, description="Gradients flow back so many steps (k2); by default `every`.")

    @property
    def depth(self) -> int:
        """How many steps gradients flow back."""
        return self.every if self.back is None else self.back

    @field_validator("back")
    @classmethod
    def _reach_every_step(cls, back: int | None, info: ValidationInfo) -> int | None:
        every = info.data.get("every")  # not there where it is wrong itself
        if back is not None and every is not None and back < every:
            raise ValueError(f"required at least `every` ({every}), got {back}: each step needs its gradient")
        return back


class OptimizerConfig(Section):
    """How parameters move."""

    name: Annotated[str, AfterValidator(_optimizer)] = Field("adam", description="A registered optimiser.")
    lr: float = Field(0.003, gt=0, description="The learning rate, before the schedule.")
    weight_decay: float | None = Field(
        None, ge=0, description="The optimiser's weight decay; null is its own default (0, for adamw 0.01)."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Further keyword arguments of the optimiser.")

    @field_validator("options")
    @classmethod
    def _taken_by_optimizer(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "name" in info.data:
            refuse(registry.optimizer_problems(info.data["name"], info.data.get("lr", 1.0), options))
            if info.data.get("weight_decay") is not None and "weight_decay" in options:
                raise ValueError("weight_decay is given twice: as a setting and among the options")
        return options

    def make(self, parameters: Sequence[Tensor]) -> optim.Optimizer:
        """Return the optimiser."""
        decay = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        return registry.find_optimizer(self.name)(parameters, self.lr, **decay, **self.options)


class ScheduleConfig(Section):
    """How the learning rate changes over the run."""

    name: Annotated[str, AfterValidator(_schedule)] = Field(
        "constant", description="constant, linear, step, cosine or plateau."
    )
    warmup: int = Field(
        0, ge=0, description="Steps over which the rate first rises to its full value; a shorter run ends on the rise."
    )
    final: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The share of the rate that is left at the end (linear, cosine) or at least (plateau).",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Keyword arguments of the schedule. step: every, gamma; plateau: gamma, patience, cooldown.",
    )

    @field_validator("options")
    @classmethod
    def _taken_by_schedule(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "name" in info.data:
            label = f"the schedule {info.data['name']!r}"
            refuse(registry.option_problems(SCHEDULES[info.data["name"]], options, (1, 0.0, "min"), label=label))
        return options

    def make(self, steps: int, *, lower_is_better: bool = True) -> optim.Schedule:
        """Return the schedule of a run of so many steps."""
        mode = "min" if lower_is_better else "max"
        return make_schedule(self.name, steps, warmup=self.warmup, final=self.final, mode=mode, **self.options)


class TrainConfig(Section):
    """The loop."""

    steps: int = Field(1000, ge=1, description="How many updates of the weights.")
    batch_size: int = Field(32, ge=1, description="Rows that are read side by side.")
    bptt: BpttConfig = Field(default_factory=BpttConfig, description="Truncation of backpropagation through time.")
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig, description="How parameters move.")
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig, description="How the learning rate changes.")
    clip_norm: float | None = Field(1.0, gt=0, description="Upper bound of the gradients' joint norm; null for none.")
    clip_value: float | None = Field(
        None, gt=0, description="Upper bound of each element of a gradient; null for none."
    )
    patience: int | None = Field(
        None, ge=1, description="Stop after so many looks at the validation part without a new best; null: never."
    )
    evaluate_every: int = Field(100, ge=1, description="Steps between looks at the validation part.")
    log_every: int = Field(10, ge=1, description="Steps between rows in metrics.jsonl.")
    checkpoint: CheckpointConfig = Field(
        default_factory=CheckpointConfig, description="What a killed run goes on from."
    )
    on_nonfinite: Literal["stop", "skip"] = Field(
        "stop", description="A loss or gradient that is not finite: stop and say where it began, or leave the step out."
    )


class RunConfig(Section):
    """What the config of every task has; a task adds its own sections."""

    task: str = Field(description="Which task to run.")
    name: str | None = Field(
        None,
        pattern=r"^[\w][\w.-]*$",
        description="The folder of the run under `output`; by default the name of the config file.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Same seed, same machine, same numbers.")
    backend: Literal["numpy", "cupy", "auto"] = Field("numpy", description="Where arrays live; auto: the best at hand.")
    dtype: Literal["float32", "float64"] = Field("float32", description="The type of the parameters.")
    compile: bool = Field(True, description="Run the loss through the compiler; the same numbers, to rounding.")
    threads: int | None = Field(1, ge=1, description="Threads of BLAS; null leaves it to the environment.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="The loop.")
    output: str = Field("runs", min_length=1, description="The folder that run directories are made in.")


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Read and check a YAML config.

    Args:
        path: the file.
        overrides: values that replace those of the file, by dotted key: ``{"train.steps": 10}``.

    Raises:
        ConfigError: every problem at once, with its line and column.
    """
    return check(yaml.read(path), overrides=overrides, folder=Path(path).parent)


def parse_config(data: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Check a config given as plain data; see ``load_config``."""
    return check(Document(dict(data)), overrides=overrides)


def check(document: Document, *, overrides: Mapping[str, Any] | None = None, folder: Path | None = None) -> RunConfig:
    """Return the config of a document.

    Raises:
        ConfigError: every problem at once.
    """
    data = document.data
    for key, value in (overrides or {}).items():
        data = _replaced(data, key.split("."), value)
    model: type[BaseModel] = RunConfig
    problems: list[Problem] = []
    task = data.get("task")
    try:
        if isinstance(task, str):
            model = registry.find_task(task).Config
    except ConfigError as error:
        problems.append(Problem(("task",), error.what))
    try:
        config = model.model_validate(data, context={"folder": None if folder is None else folder.resolve()})
    except ValidationError as error:
        found = problems_of(error, model)
        if model is RunConfig:
            # Without a task nobody knows which further sections are right.
            found = [p for p in found if len(p.path) > 1 or p.path[-1] in RunConfig.model_fields or not p.at_key]
        problems += found
    if problems:
        raise document.error(problems)
    assert isinstance(config, RunConfig)
    return config


def _replaced(data: dict[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """Return the data with one value replaced; a section of the wrong kind stays, for the check to report."""
    first, *rest = keys
    if not rest:
        return {**data, first: value}
    inner = data.get(first, {})
    return {**data, first: _replaced(inner, rest, value)} if isinstance(inner, dict) else data
