"""The config of a run of an echo state network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from tinyseq import nn
from tinyseq.data.systems import SYSTEMS
from tinyseq.train.config.registry import option_problems, value_problems
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.config.section import OneOf, Section
from tinyseq.train.config.source import Problem, within


class SystemConfig(Section):
    """What is forecast."""

    system: Annotated[str, OneOf(SYSTEMS)] = Field("mackey_glass", description="mackey_glass, lorenz or narma10.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the system.")
    train: int = Field(6000, ge=2, description="Steps that are learned from, the washout included.")
    valid: int = Field(1000, ge=2, description="Steps that follow, for choosing.")
    test: int = Field(8400, ge=2, description="Steps that follow, for the result.")

    def contradictions(self) -> Iterator[Problem]:
        make = SYSTEMS[self.system]
        problems = list(value_problems(make, self.options)) or option_problems(make, self.options, (2, 0))
        yield from within("options", problems, involves=("system",))


class ReservoirConfig(Section):
    """The network."""

    hidden_size: int = Field(400, ge=1, description="Units in the reservoir.")
    spectral_radius: float = Field(0.9, ge=0, description="Largest |eigenvalue| of the recurrent weights.")
    leak: float = Field(1.0, gt=0, le=1, description="The share of the state that is new at each step.")
    input_scaling: float = Field(1.0, ge=0, description="Input weights are uniform within ± this.")
    bias_scaling: float = Field(1.0, ge=0, description="Biases are uniform within ± this.")
    density: float | None = Field(
        None, gt=0, le=1, description="Share of the recurrent weights that are not 0; null: 10 to each unit."
    )
    direct: bool = Field(True, description="Whether the readout sees the input beside the state.")

    def build(self, inputs: int, outputs: int) -> nn.EchoStateNetwork:
        """Return a fresh network."""
        options = self.model_dump(exclude={"hidden_size", "direct"})
        return nn.EchoStateNetwork(inputs, self.hidden_size, outputs, direct=self.direct, **options)


class ReadoutConfig(Section):
    """How the readout is learned."""

    method: Literal["ridge", "gradient"] = Field("ridge", description="In one pass, or step by step as `train` says.")
    ridge: float = Field(1e-8, ge=0, description="The price of large weights in ridge regression.")
    bias: Literal["penalised", "free"] = Field("penalised", description="Whether a large bias has that price too.")
    washout: int = Field(500, ge=0, description="First steps that still tell of the initial state; not learned from.")


class EvaluateConfig(Section):
    """What counts."""

    ahead: int = Field(
        84, ge=1, description="Steps that the network runs on its own outputs; a driven system is told at each step."
    )
    show: int = Field(500, ge=2, description="Steps of the free run in the picture and in predict.")


class ReservoirTaskConfig(RunConfig):
    """A run of the task ``reservoir``."""

    dtype: Literal["float32", "float64"] = Field("float64", description="The type of the parameters.")
    data: SystemConfig = Field(default_factory=SystemConfig, description="What is forecast.")
    model: ReservoirConfig = Field(default_factory=ReservoirConfig, description="The network.")
    readout: ReadoutConfig = Field(default_factory=ReadoutConfig, description="How the readout is learned.")
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig, description="What counts.")

    def contradictions(self) -> Iterator[Problem]:
        data, washout, ahead = self.data, self.readout.washout, self.evaluate.ahead
        if washout >= data.train:
            message = f"required less than data.train ({data.train}), got {washout}"
            yield Problem(("readout", "washout"), message, involves=(("data", "train"),))
        for part in ("valid", "test"):
            if getattr(data, part) <= ahead:
                message = f"required more than evaluate.ahead ({ahead}), got {getattr(data, part)}"
                yield Problem(("data", part), message, involves=(("evaluate", "ahead"),))
