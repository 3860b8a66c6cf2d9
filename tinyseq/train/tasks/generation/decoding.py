"""What a trained model writes for records: greedily, or the best of a beam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyseq.data.examples import Example
from tinyseq.data.padding import by_length
from tinyseq.modes import no_grad
from tinyseq.nn.decoding import Hypothesis, Step, beam, greedy, log_softmax
from tinyseq.nn.writers import EncoderDecoder
from tinyseq.train.tasks.generation.codec import GenerationCodec
from tinyseq.train.tasks.generation.config import W


class SentenceDecoder(GenerationCodec[W]):
    """A codec with a model put to writing: what judgement and presentation share."""

    def write_for(
        self, model: EncoderDecoder, records: Sequence[Example], batch_size: int | None = None
    ) -> list[list[Hypothesis]]:
        """Return what the model writes for each record, the best first."""
        decode = self.config.decode
        end, limit = self.end, (decode.max_length or 2 * self.longest) + 1
        hypotheses: dict[int, list[Hypothesis]] = {}
        for rows in self._by_length(records, batch_size):
            with no_grad():
                encoded = model.encoder(*self.inputs([records[row].input for row in rows]))
                step, state = model.writer.stepper(encoded, decode.beam)
                scored = _judged(step, self.targets.unknown)
                if decode.beam == 1:
                    best = [[h] for h in greedy(scored, state, len(rows), start=end, end=end, limit=limit)]
                else:
                    best = beam(
                        scored,
                        state,
                        len(rows),
                        width=decode.beam,
                        start=end,
                        end=end,
                        limit=limit,
                        length_power=decode.length_power,
                    )
            hypotheses.update(zip(map(int, rows), best, strict=True))
        return [hypotheses[row] for row in range(len(records))]

    def text(self, hypothesis: Hypothesis) -> str:
        """Return the sentence of a hypothesis."""
        return self.level.join(self.targets.lookup(hypothesis.tokens))

    def _by_length(self, records: Sequence[Example], batch_size: int | None) -> list[Any]:
        return by_length([self.size(record.input) for record in records], batch_size or self.config.train.batch_size)


def _judged(step: Step, unknown: int | None) -> Step:
    """Make log p of logits; the entry for unknown tokens is never written, for it stands for no word."""

    def judged(tokens: Any, state: Any) -> tuple[Any, Any]:
        logits, state = step(tokens, state)
        return log_softmax(logits, unknown), state

    return judged
