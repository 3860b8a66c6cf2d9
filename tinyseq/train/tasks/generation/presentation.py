"""Written sentences for a reader: rows, lines beside the truth, maps of attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq.creation import tensor
from tinyseq.data.examples import Example
from tinyseq.errors import DataError
from tinyseq.figures import AttentionMap, attention_maps, save
from tinyseq.modes import no_grad
from tinyseq.nn.writers import EncoderDecoder
from tinyseq.train.tasks.generation.codec import END
from tinyseq.train.tasks.generation.config import W
from tinyseq.train.tasks.generation.decoding import SentenceDecoder
from tinyseq.train.tasks.presentation import Presentation, Reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: How many test predictions are written down, and drawn with their attention.
WRITTEN, DRAWN = 200, 2


class SentencePresentation(SentenceDecoder[W], Presentation[W]):
    """What the model writes for each input, its log p, and what it looks at."""

    def predict(
        self, model: EncoderDecoder, records: Sequence[Example], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield, for each input, what the model writes, its log p, and with a beam the other hypotheses."""
        for record, best in zip(records, self.write_for(model, records, batch_size), strict=True):
            prediction = {
                **self.show(record.input),
                "prediction": self.text(best[0]),
                "log_p": round(best[0].log_p, 6),
            }
            if record.target is not None:
                prediction["target"] = record.target
            if not best[0].ended:
                prediction["cut"] = True  # the longest that may be written, and no end
            if len(best) > 1:
                prediction["others"] = [{"prediction": self.text(h), "log_p": round(h.log_p, 6)} for h in best[1:]]
            yield prediction

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        return str(prediction["prediction"])

    def line(self, prediction: Mapping[str, Any]) -> str:
        right = prediction["prediction"] == self.level.tidy(prediction.get("target", prediction["prediction"]))
        truth = "" if right else f"   (true: {prediction['target']})"
        return f"{prediction.get('source', prediction.get('input', ''))}  ->  {prediction['prediction']}{truth}".strip()

    def leave(self, model: EncoderDecoder, records: Sequence[Example], directory: Path) -> str:
        """Leave ``predictions.jsonl`` of the first records, and the figures of them."""
        records = records[:WRITTEN]
        shown = self.leave_rows(self.predict(model, records), directory)
        for name, draw in self.figures(model, records).items():
            save(draw(), directory / f"{name}.png")
        return shown

    # Figures.

    def figures(self, model: EncoderDecoder, records: Sequence[Example]) -> Mapping[str, Callable[[], Figure]]:
        if not self.attends(model):
            return {}
        return {"attention": lambda: attention_maps(self._maps(model, records))}

    def attends(self, model: EncoderDecoder) -> bool:
        """Return whether the model looks at steps of what it read."""
        return model.writer.attends

    def _maps(self, model: EncoderDecoder, records: Sequence[Example]) -> list[AttentionMap]:
        maps = [seen for record in records[:DRAWN] if (seen := self.attention(model, record)) is not None]
        if not maps:
            raise DataError("a map of attention", required="an input of at least two tokens", got="none")
        return maps

    def attention(self, model: EncoderDecoder, record: Example) -> AttentionMap | None:
        """Return what the model looks at while it writes; None where it looks at nothing, or at one thing."""
        source_tokens = self.source_tokens(record.input)
        (best,) = self.write_for(model, [record])
        tokens = best[0].tokens
        previous = np.array([[self.end, *tokens]], np.int64)
        with no_grad():
            weights = model.writer.weights(tensor(previous), model.encoder(*self.inputs([record.input])))
        if weights is None or len(source_tokens) < 2:
            return None
        return AttentionMap(source_tokens, [*self.targets.lookup(tokens), END], weights.numpy()[0])

    def readings(self, model: EncoderDecoder, record: Example) -> list[Reading]:
        """Return the reading of the input, where it has steps, and the writing of what the model writes."""
        inputs = self.inputs([record.input])
        (best,) = self.write_for(model, [record])
        tokens = best[0].tokens
        previous = tensor(np.array([[self.end, *tokens]], np.int64))
        source_tokens = self.source_tokens(record.input)
        reading = [Reading(source_tokens, lambda: model.encoder(*inputs))] if source_tokens else []
        written = [*self.targets.lookup(tokens), END]
        return [*reading, Reading(written, lambda: model.writer(previous, model.encoder(*inputs)))]
