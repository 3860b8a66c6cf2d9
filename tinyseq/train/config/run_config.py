"""The config of a run: what every task has, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import CoreSchema

from tinyseq import backends, optim
from tinyseq.errors import ConfigError
from tinyseq.tensors import Tensor
from tinyseq.train.config import registry, yaml
from tinyseq.train.config.checkpoint_policy import CheckpointConfig
from tinyseq.train.config.overrides import Overrides, Typed, as_overrides, in_full, replaced, without
from tinyseq.train.config.schedules import SCHEDULES, make_schedule
from tinyseq.train.config.section import OneOf, Section, problems_of
from tinyseq.train.config.source import Document, Problem, within


def _anchored(value: Any) -> Any:
    return value.anchored() if isinstance(value, Typed) and value else value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"required a path without control characters, got {value!r}")
    return value


def _from_config_folder(value: str, info: ValidationInfo) -> str:
    """A relative path in a config is meant from the config's own folder, wherever the run is started."""
    folder = (info.context or {}).get("folder")
    return str(Path(folder, value)) if folder is not None else value


def _anchored_cell(value: Any) -> Any:
    return value.anchored() if isinstance(value, Typed) and value.rpartition(":")[0].endswith(".py") else value


def _cell_from_config_folder(value: str, info: ValidationInfo) -> str:
    source, _, attribute = value.rpartition(":")
    value = f"{_from_config_folder(source, info)}:{attribute}" if source.endswith(".py") else value
    try:
        registry.find_cell(value)
    except ConfigError as error:
        raise ValueError(error.what) from None
    return value


class _CellNames:
    """What editors are told of a cell's name."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": sorted(registry.cell_names())}, {"type": "string", "pattern": ":"}]}


#: A path, relative to the folder of the config file.
FilePath = Annotated[
    str,
    Field(min_length=1),
    AfterValidator(_one_line),
    AfterValidator(_from_config_folder),
    BeforeValidator(_anchored),
]
#: A registered cell, or a user's own as ``file.py:Class`` or ``module:Class``.
CellName = Annotated[
    str,
    AfterValidator(_one_line),
    AfterValidator(_cell_from_config_folder),
    BeforeValidator(_anchored_cell),
    _CellNames(),
]


class BpttConfig(Section):
    """Truncated backpropagation through time: BPTT(h; h') of Williams and Peng (1990)."""

    every: int = Field(64, ge=1, description="Update the weights every so many time steps (k1).")
    back: int | None = Field(None, ge=1, description="Gradients flow back so many steps (k2); by default `every`.")

    @property
    def depth(self) -> int:
        """How many steps gradients flow back."""
        return self.every if self.back is None else self.back

    def contradictions(self) -> Iterator[Problem]:
        if self.depth < self.every:
            message = f"required at least `every` ({self.every}), got {self.back}: each step needs its gradient"
            yield Problem(("back",), message, involves=(("every",),))


class OptimizerConfig(Section):
    """How parameters move."""

    name: Annotated[str, OneOf(registry.OPTIMIZERS)] = Field("adam", description="A registered optimiser.")
    lr: float = Field(0.003, gt=0, description="The learning rate, before the schedule.")
    weight_decay: float | None = Field(
        None, ge=0, description="The optimiser's weight decay; null is its own default (0, for adamw 0.01)."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Further keyword arguments of the optimiser.")

    def contradictions(self) -> Iterator[Problem]:
        problems = registry.optimizer_problems(self.name, self.lr, self.options)
        yield from within("options", problems, involves=("name", "lr"))
        if self.weight_decay is not None and "weight_decay" in self.options:
            yield Problem(("options",), "weight_decay is given twice: as a setting and among the options")

    def make(self, parameters: Sequence[Tensor]) -> optim.Optimizer:
        """Return the optimiser."""
        decay = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        return registry.find_optimizer(self.name)(parameters, self.lr, **decay, **self.options)


class ScheduleConfig(Section):
    """How the learning rate changes over the run."""

    name: Annotated[str, OneOf(SCHEDULES)] = Field("constant", description="constant, linear, step, cosine or plateau.")
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

    def contradictions(self) -> Iterator[Problem]:
        label = f"the schedule {self.name!r}"
        problems = registry.option_problems(SCHEDULES[self.name], self.options, (1, 0.0, "min"), label=label)
        yield from within("options", problems, involves=("name",))

    def make(self, steps: int, *, lower_is_better: bool = True) -> optim.Schedule:
        """Return the schedule of a run of so many steps."""
        mode = "min" if lower_is_better else "max"
        return make_schedule(self.name, steps, warmup=self.warmup, final=self.final, mode=mode, **self.options)


class TrainConfig(Section):
    """The loop."""

    steps: int = Field(1000, ge=1, description="How many updates of the weights.")
    batch_size: int = Field(32, ge=1, description="Rows that are read side by side.")
    shards: int = Field(
        1,
        ge=1,
        le=4096,
        description="Parts that each batch is cut into, each summed by itself; any number of ranks that divides it.",
    )
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

    def contradictions(self) -> Iterator[Problem]:
        if self.batch_size % self.shards:
            message = f"required a divisor of train.batch_size ({self.batch_size}), got {self.shards}"
            yield Problem(("shards",), message, involves=(("batch_size",),))


class RunConfig(Section):
    """What the config of every task has; a task adds its own sections."""

    task: str = Field(description="Which task to run.")
    name: str | None = Field(
        None,
        pattern=r"^[\w][\w.-]*$",
        max_length=100,
        description="The folder of the run under `output`; by default the name of the config file.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Same seed, same machine, same numbers.")
    backend: Annotated[str, OneOf(backends.names, "backend")] = Field(
        "auto", description="Where arrays live and what compiled steps run on; auto: the best at hand."
    )
    precision: Literal["fp32", "tf32"] = Field(
        "fp32", description="Of compiled float32 products on a GPU; tf32 is faster, with 10 bits of mantissa."
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="The type of the parameters.")
    compile: bool = Field(True, description="Run the loss through the compiler; the same numbers, to rounding.")
    threads: int | None = Field(1, ge=1, description="Threads of BLAS; null leaves it to the environment.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="The loop.")
    output: Annotated[str, AfterValidator(_one_line)] = Field(
        "runs", min_length=1, description="The folder that run directories are made in."
    )


def load_config(path: str | Path, overrides: Overrides | None = None) -> RunConfig:
    r"""Read and check a YAML config.

    Args:
        path: the file.
        overrides: values that replace those of the file: by dotted key, ``{"train.steps": 10}``, or as texts in YAML,
            ``["train.steps=10"]``. Sections may be left out of a key where only one setting can be meant.

    Raises:
        ConfigError: every problem at once, with its line and column.

    tinyseq's own.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "lm.yaml"
    >>> _ = path.write_text("task: language_model\nmodel: {hidden_size: 4}\n")
    >>> ts.load_config(path, {"model.hidden_size": 8}).model.hidden_size
    8
    """
    return check(yaml.read(path), overrides=overrides, folder=Path(path).parent)


def parse_config(data: Mapping[str, Any], overrides: Overrides | None = None) -> RunConfig:
    """Check a config given as plain data; see ``load_config``."""
    return check(Document(dict(data)), overrides=overrides)


def check(document: Document, *, overrides: Overrides | None = None, folder: Path | None = None) -> RunConfig:
    """Return the config of a document.

    Raises:
        ConfigError: every problem at once.
    """
    parsed = as_overrides(overrides)
    task = next((o.value for o in reversed(parsed) if o.path == ("task",)), document.data.get("task"))
    model, problems = _model_of(task)
    data = document.data
    for problem in document.problems:  # what could not be read is not judged as well
        data = data if problem.place is not None else without(data, problem.path)
    for number, override in enumerate(parsed):
        parsed[number], unclear = in_full(override, model)
        problems += unclear
        data = data if unclear else replaced(data, parsed[number].path, override.value)
    document = replace(document, overrides=parsed)
    context = {"folder": None if folder is None else folder.resolve()}
    try:
        config = model.model_validate(data, context=context)
    except ValidationError as error:
        problems += _all_problems(error, model, data, context)
    problems += document.problems
    if problems:
        raise document.error(problems)
    assert isinstance(config, RunConfig)
    return config


def _model_of(task: Any) -> tuple[type[BaseModel], list[Problem]]:
    """Return the config model of a task, and what is wrong with its name."""
    if not isinstance(task, str):
        return RunConfig, []
    try:
        return registry.find_task(task).Config, []
    except ConfigError as error:
        return RunConfig, [Problem(("task",), error.what)]


def _all_problems(
    error: ValidationError, model: type[BaseModel], data: Mapping[str, Any], context: Mapping[str, Any]
) -> list[Problem]:
    """Return what a validation found wrong, and what is wrong besides.

    Contradictions are looked for in sections that are right otherwise. So what is wrong is left out, and the rest is
    looked at again, until nothing new comes.
    """
    problems: list[Problem] = []
    while True:
        wrong = [problem.path for problem in problems]
        new = [problem for problem in problems_of(error, model) if not problem.touches(wrong)]
        if not new:
            break
        problems += new
        for problem in new:
            data = without(data, problem.path)
        try:
            model.model_validate(data, context=dict(context))
        except ValidationError as another:
            error = another
        else:
            break
    if model is RunConfig:
        # Without a task nobody knows which further sections are right.
        return [p for p in problems if len(p.path) > 1 or p.path[-1] in RunConfig.model_fields or not p.at_key]
    return problems
