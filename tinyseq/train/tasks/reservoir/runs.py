"""How a network runs on records: driven by their inputs, or free, by its own outputs."""

from __future__ import annotations

import numpy as np

from tinyseq import nn
from tinyseq.creation import tensor
from tinyseq.errors import DataError
from tinyseq.modes import no_grad
from tinyseq.ops.shape import concat
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.reservoir.codec import ReservoirRecord, SystemCodec
from tinyseq.train.tasks.role import Array

#: How many steps of a driven system a picture shows.
_SHOWN = 200


class Runs(SystemCodec):
    """A codec with a network put to use on its records: what judgement and pictures share."""

    def _tensor(self, values: Array) -> Tensor:
        """Return values (time, features) as a batch of one row."""
        return tensor(values[None].astype(self.config.dtype))

    def _places(self, record: ReservoirRecord) -> Array:
        """Return the last steps that are known before each free run."""
        places = np.arange(
            max(record.start, 1) - 1, len(record.inputs) - self.config.evaluate.ahead, self.config.evaluate.ahead
        )
        if not len(places):
            raise DataError(
                f"{record.name}: too short for a free run",
                required=f"more than {record.start + self.config.evaluate.ahead} steps",
                got=str(len(record.inputs)),
            )
        return places

    def _free_runs(self, model: nn.EchoStateNetwork, record: ReservoirRecord, states: Tensor) -> tuple[Array, Array]:
        """Return what the last step of each free run gave, and the truth; all run side by side."""
        assert record.targets is not None
        places, ahead = self._places(record), self.config.evaluate.ahead
        with no_grad():
            # The state at a place has read its input; the first output is the readout's, and the next inputs are ours.
            known = tensor(states.numpy()[0, places])
            first = model.readout(features_of(model, tensor(record.inputs[places].astype(self.config.dtype)), known))
            last = first.numpy() if ahead == 1 else self._free(model, first, known, ahead - 1)[:, -1]
        return last, record.targets[places + ahead - 1]

    def _free(self, model: nn.EchoStateNetwork, first: Tensor, state: Tensor, steps: int) -> Array:
        """Return what ``generate`` does, (rows, steps, outputs)."""
        loop = self.loop_of(model, "free", model.free_step)
        return np.concatenate([*loop(np.zeros((first.shape[0], steps), bool), (first, state))], 1)

    def _outputs(self, model: nn.EchoStateNetwork, record: ReservoirRecord, count: int) -> Array:
        """Return outputs (count, outputs) from the record's start: driven by its inputs, or free after them."""
        with no_grad():
            if self.free:
                known = self._tensor(record.inputs[: max(record.start, 1)])
                ys, state = model(known)
                rest = self._free(model, ys[:, -1], state, count - 1)[0] if count > 1 else ys.numpy()[0, :0]
                return np.concatenate([ys.numpy()[0, -1:], rest])
            ys, _ = model(self._tensor(record.inputs[: record.start + count]))
            return np.asarray(ys.numpy()[0, record.start :])

    def _beside_truth(self, model: nn.EchoStateNetwork, record: ReservoirRecord) -> tuple[Array, Array]:
        """Return outputs from the record's start, and what they should be."""
        since = max(record.start, 1) if self.free else record.start
        count = min(self.config.evaluate.show if self.free else _SHOWN, len(record.inputs) - since)
        # A system that drives itself is known up to its input ``since - 1``; what comes out are the inputs after it.
        truth = record.inputs if self.free else record.targets
        if truth is None or count < 1:
            raise DataError(f"{record.name}: nothing to compare with", required="targets after the start", got="none")
        return self._outputs(model, record, count), truth[since : since + count]


def states_of(model: nn.EchoStateNetwork, us: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states after each step, (batch, time, hidden), and the last."""
    features, last = model.features(us)
    return features[:, :, model.input_size :] if model.direct else features, last


def features_of(model: nn.EchoStateNetwork, us: Tensor, states: Tensor) -> Tensor:
    """Return what the readout sees of inputs and the states after them."""
    features: Tensor = concat([us, states], axis=-1) if model.direct else states
    return features
