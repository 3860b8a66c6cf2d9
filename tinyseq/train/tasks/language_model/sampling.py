"""Text that a language model writes: token by token, each drawn from what it makes of those before."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyseq.creation import tensor
from tinyseq.errors import DataError
from tinyseq.modes import no_grad
from tinyseq.random import Generator
from tinyseq.train.tasks.language_model.codec import TextCodec
from tinyseq.train.tasks.language_model.network import LanguageModelNet


class Sampler(TextCodec):
    """A codec with a network put to writing."""

    def sample(
        self,
        model: LanguageModelNet,
        *,
        prime: str | None = None,
        length: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
    ) -> tuple[str, str]:
        """Return the prime and the text that the model goes on with; what is None is as in the config.

        Args:
            model: a trained model.
            prime: the text to go on from.
            length: how many tokens.
            temperature: logits are divided by it; 0 takes the likeliest token each time.
            seed: same seed, same text.

        Raises:
            DataError: the prime is empty or has tokens that the model does not know.
        """
        config = self.config.sample
        prime = prime if prime is not None else config.prime if config.prime is not None else self.first_line
        length = config.length if length is None else length
        temperature = config.temperature if temperature is None else temperature
        begun = self.level.cut(prime)
        if not begun:
            raise DataError("an empty prime", required=f"at least one {self.level.unit} to go on from", got=repr(prime))
        if not temperature >= 0.0:
            raise DataError("the temperature", required="0 or more", got=str(temperature))
        ids = self.vocabulary.encode(begun)
        draws = Generator(seed).uniform((length,))
        written: list[int] = []
        model.eval()
        with no_grad():
            ys, state = model(tensor(ids[None, :]))
            for draw in draws:
                logits = model.logits(ys[:, -1:]).numpy()[0].astype(np.float64)
                if self.vocabulary.unknown is not None:
                    logits[self.vocabulary.unknown] = -np.inf  # it stands for no token that could be written
                written.append(choose(logits, temperature, float(draw)))
                ys, state = model(tensor([[written[-1]]]), state)
        prime = self.level.join(begun)
        return prime, self.level.join([*begun, *self.vocabulary.lookup(written)])[len(prime) :]


def choose(logits: np.ndarray[Any, Any], temperature: float, draw: float) -> int:
    """Return the index that ``draw`` in [0, 1) falls on under softmax(logits / temperature)."""
    if temperature == 0.0:
        return int(logits.argmax())
    scaled = (logits - logits.max()) / temperature
    cumulative = np.exp(scaled).cumsum()
    return int(min(np.searchsorted(cumulative, draw * cumulative[-1], side="right"), len(logits) - 1))
