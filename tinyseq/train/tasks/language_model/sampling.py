"""Text that a language model writes: token by token, each drawn from what it makes of those before."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tinyseq.creation import tensor
from tinyseq.errors import DataError
from tinyseq.nn.decoding import choose
from tinyseq.ops.elementwise import where
from tinyseq.random import Generator
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.language_model.codec import TextCodec
from tinyseq.train.tasks.language_model.network import LanguageModelNet

#: Stands where no token is given, so that the model goes on from what it has chosen.
FREE: Final = -1

Array = np.ndarray[Any, Any]
Step = Callable[..., tuple[Tensor, Any]]


class Sampler(TextCodec):
    """A codec with a network put to writing."""

    def sample(
        self,
        model: LanguageModelNet,
        *,
        prime: str | None = None,
        length: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        seed: int = 0,
    ) -> tuple[str, str]:
        """Return the prime and the text that the model goes on with; what is None is as in the config.

        Args:
            model: a trained model.
            prime: the text to go on from.
            length: how many tokens.
            temperature: logits are divided by it; 0 takes the likeliest token each time.
            top_k: only so many tokens may follow, the likeliest ones and what ties with the last of them; 0 for all.
            seed: same seed, same text.

        Raises:
            DataError: the prime is empty or has tokens that the model does not know; the temperature is below 0, or
                ``top_k`` above the number of tokens that there are.
        """
        config = self.config.sample
        prime = prime if prime is not None else config.prime if config.prime is not None else self.first_line
        length = config.length if length is None else length
        temperature = config.temperature if temperature is None else temperature
        begun = self.level.cut(prime)
        if not begun:
            raise DataError("an empty prime", required=f"at least one {self.level.unit} to go on from", got=repr(prime))
        if not 0.0 <= temperature < math.inf:
            raise DataError("the temperature", required="0 or more", got=str(temperature))
        top_k = config.top_k if top_k is None else top_k
        if not 0 <= top_k <= len(self.vocabulary.tokens):
            raise DataError("top_k", required=f"1 to {len(self.vocabulary.tokens)}, or 0 for all", got=str(top_k))
        draws = np.zeros(len(begun) - 1 + length)
        draws[len(begun) - 1 :] = Generator(seed).uniform((length,))
        chosen = self.chosen(model, self.vocabulary.encode(begun), draws, temperature, top_k)[len(begun) - 1 :]
        prime = self.level.join(begun)
        return prime, self.level.join([*begun, *self.vocabulary.lookup(chosen)])[len(prime) :]

    def chosen(self, model: LanguageModelNet, given: Array, draws: Array, temperature: float, top_k: int = 0) -> Array:
        """Return what the model chooses at each draw, after the tokens given and then those that it has chosen.

        Args:
            model: a trained model.
            given: (n,), what it reads first, whatever it would choose; at least one.
            draws: (steps,), in [0, 1): the t-th chooses what follows t + 1 tokens.
            temperature, top_k: as in ``sample``.
        """
        fed = np.full(len(draws), FREE)
        fed[: len(given) - 1] = given[1 : len(draws) + 1]
        state = tensor(given[:1]), model.recurrent.initial_state(1)
        barred: Tensor | None = None
        if self.vocabulary.unknown is not None:  # it stands for no token that could be written
            barred = tensor(np.arange(len(self.vocabulary)) == self.vocabulary.unknown)
        model.eval()
        parts = self.loop_of(model, "writing", _step_of(model))(
            (draws[None], fed[None]), state, temperature or None, top_k or None, barred
        )
        return np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])


def _step_of(model: LanguageModelNet) -> Step:
    """Return a step that reads a token and chooses the next one, which it reads then unless another is given."""

    def step(
        x: Any, state: Any, temperature: float | None, top: int | None, barred: Tensor | None
    ) -> tuple[Tensor, Any]:
        (draw, given), (token, inner) = x, state
        logits, inner = model.step(token, inner)
        if barred is not None:
            logits = where(barred, -math.inf, logits)
        token = choose(logits, draw, temperature, top)
        return token, (where(given == FREE, token, given), inner)

    return step
