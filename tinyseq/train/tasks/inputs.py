"""What a many-to-one task reads, and the network that reads it: text, sequences of numbers, or a vector.

Each kind is a class; ``INPUTS`` names them for ``data.inputs:``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tinyseq import data, given
from tinyseq.creation import tensor
from tinyseq.data.examples import Example, Examples, read_keys, read_sequences, read_texts, read_vectors, read_wide
from tinyseq.data.padding import MULTIPLE, pad
from tinyseq.data.series import Scaler
from tinyseq.data.sources import SOURCES, options_of
from tinyseq.data.splitting import SPLITS_BY, in_order
from tinyseq.data.tokens import LEVELS, build_vocabulary, find_level, uncut
from tinyseq.errors import DataError, did_you_mean
from tinyseq.nn import Module
from tinyseq.registry import Registry
from tinyseq.tensors import Tensor
from tinyseq.train.config.model_sections import Shares, without_path
from tinyseq.train.config.registry import option_problems, value_problems
from tinyseq.train.config.run_config import FilePath
from tinyseq.train.config.section import OneOf
from tinyseq.train.config.source import Problem, within
from tinyseq.train.config.table_section import TableSection
from tinyseq.train.tasks.overview import counted, fewer_unknown, mostly_unknown, some
from tinyseq.train.tasks.summary import MLP, SequenceNet, SummaryConfig, TextNet

Array = np.ndarray[Any, Any]


#: A kind of input.
InputsName = Annotated[str, OneOf(lambda: INPUTS)]


class ExamplesConfig(TableSection):
    """What is read: a table, or examples at hand."""

    #: What is learned: a label, or a number.
    targets: ClassVar[str] = "label"

    path: FilePath | None = Field(None, description="A TSV or CSV file; null takes `source`.")
    valid: FilePath | None = Field(None, description="A file of its own for validation; null: a share of `path`.")
    test: FilePath | None = Field(None, description="A file of its own for the test; null: a share of `path`.")
    source: Annotated[str, OneOf(SOURCES)] = Field("code_or_prose", description="Examples at hand.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the source, such as its count.")
    inputs: InputsName = Field("text", description="What the file's inputs are: text, sequence or vector.")
    target: str = Field("label", description="The column that is learned.")
    text: str = Field("text", description="The column of the text (inputs: text).")
    columns: list[str] | None = Field(
        None, min_length=1, description="The columns of numbers (inputs: sequence, vector); null: all others."
    )
    layout: Literal["long", "wide"] = Field(
        "long", description="A sequence's rows are its steps; wide: a row is a sequence, a column a step."
    )
    sequence: str = Field("sequence", description="The column that tells sequences apart (inputs: sequence).")
    time: str | None = Field(None, description="The column that says when (inputs: sequence); rows are put in order.")
    missing: Literal["refuse", "mean"] = Field(
        "refuse", description="A missing number: refuse it, or take the training part's mean."
    )
    level: Annotated[str, OneOf(LEVELS)] = Field("char", description="What a token is: char, word or tokens.")
    min_count: int = Field(1, ge=1, description="Rarer tokens of the training texts count as unknown.")
    standardise: bool = Field(True, description="Give each column of numbers mean 0 and deviation 1.")
    split: Shares = Field(default=[0.8, 0.1, 0.1], description="Shares of training, validation and test examples.")
    split_by: Annotated[str, OneOf(SPLITS_BY, "split")] = Field(
        "random", description="random; class: each spread evenly; group: a `split_column` whole; time: in order."
    )
    split_column: str | None = Field(
        None, description="The column of groups, or of times (null: the file's order); no feature."
    )

    def contradictions(self) -> Iterator[Problem]:
        yield from super().contradictions()
        yield from without_path(self)
        for name in ("time", "layout"):
            if getattr(self, name) not in (None, "long") and self.path is not None and self.kind != "sequence":
                message = f"says how sequences stand in a file, and inputs are {self.kind}; required inputs: sequence"
                yield Problem((name,), message, involves=(("inputs",), ("path",)))
        if self.time is not None and self.layout == "wide":
            yield Problem(("time",), "in a wide file, columns are the steps; required null", involves=(("layout",),))
        yield from self._splitting()
        if self.path is not None and self.options:
            yield Problem(
                ("options",), "options of a source, and data from `path`; required none", involves=(("path",),)
            )
        if self.path is None and SOURCES[self.source].targets != self.targets:
            fitting = ", ".join(name for name, source in SOURCES.items() if source.targets == self.targets)
            has = SOURCES[self.source].targets
            message = f"it has a {has} for each input, and a {self.targets} is learned; one of: {fitting}"
            yield Problem(("source",), message, involves=(("path",),))
        known = options_of(self.source)
        for name in self.options:
            if name not in known:
                near = did_you_mean(name, known) if known else "it takes none"
                yield Problem(("options", name), f"unknown option; {near}", at_key=True, involves=(("source",),))
        if self.path is None and not set(self.options) - set(known):
            yield from within("options", self._values(), involves=("source",))
        for other in {"text": ("text",), "sequence": ("sequence", "time")}.get(self.kind, ()):
            if self.path is not None and getattr(self, other) == self.target:
                message = f"{self.target!r} is the column of the {other}; it cannot be what is learned too"
                yield Problem(("target",), message, involves=((other,), ("inputs",), ("path",)))
        if self.target in (self.columns or ()):
            message = f"{self.target!r} is what is learned; a model that reads it has nothing to learn"
            yield Problem(("columns",), message, involves=(("target",),))

    def _values(self) -> Iterator[Problem]:
        """Yield what is wrong with values of options, each by itself and together."""
        make = SOURCES[self.source].make
        problems = list(value_problems(make, self.options))
        yield from problems
        if not problems and set(self.options) - {"count"} and "count" in options_of(self.source):
            yield from option_problems(make, {**self.options, "count": 10}, (0,))

    def _splitting(self) -> Iterator[Problem]:
        """Yield what is wrong in how examples are split."""
        if self.path is None and self.split_by != "random":
            yield Problem(("split_by",), "a source splits its own examples; required `path`", involves=(("path",),))
        if self.split_by == "group" and self.split_column is None:
            yield Problem(("split_by",), "which groups? required `split_column`", involves=(("split_column",),))
        if self.split_by not in ("group", "time") and self.split_column is not None:
            message = "a column of groups or times; required split_by: group, or split_by: time"
            yield Problem(("split_column",), message, involves=(("split_by",),))
        if self.split_column is not None and self.split_column == self.target:
            yield Problem(("split_column",), f"{self.target!r} is what is learned", involves=(("target",),))

    @property
    def split_alone(self) -> bool:
        """Whether one file is split into all three parts."""
        return self.path is not None and self.valid is None and self.test is None

    @property
    def apart(self) -> tuple[str, ...]:
        """The columns that are no features unless they are named."""
        return () if self.split_column is None else (self.split_column,)

    def split_keys(self, examples: Sequence[Example]) -> list[Any] | None:
        """Return what the examples of the file are split by: classes, groups or times."""
        if self.split_by == "class":
            return [example.target for example in examples]
        if self.path is None or self.split_column is None:
            return None
        sequence = self.sequence if self.kind == "sequence" and self.layout == "long" else None
        keys = read_keys(self.path, self.split_column, form=self.form(), sequence=sequence)
        where = f"{self.path}, column {self.split_column!r}"
        return in_order(keys, where) if self.split_by == "time" else keys

    @property
    def kind(self) -> str:
        """What inputs are: as the file's are said to be, or the source's."""
        return SOURCES[self.source].inputs if self.path is None else self.inputs


class Inputs(ABC):
    """A kind of input: how it is read, encoded and batched, and the network for it."""

    #: What an input given in Python has to be.
    form: ClassVar[str]
    #: Whether lengths differ as a rule: then batches of one length are padded too, or each would be a shape of its own.
    varied: ClassVar[bool] = False

    def __init__(self, config: ExamplesConfig, dtype: str) -> None:
        self.config, self.dtype = config, dtype

    @abstractmethod
    def read(self, path: Path, kind: str, *, targets: bool) -> list[Example]:
        """Return the examples of a file; ``kind`` is that of targets."""

    @abstractmethod
    def accept(self, value: Any) -> Any:
        """Return an input given in Python as reading gives it; raises ValueError or TypeError if it is none."""

    @abstractmethod
    def fit(self, inputs: Sequence[Any]) -> None:
        """Learn vocabulary or scale from the training inputs."""

    def notes(self, inputs: Sequence[Any]) -> list[str]:
        """Return what a person should know of the training inputs, a sentence each."""
        return []

    def gaps(self, inputs: Sequence[Any]) -> list[str]:
        """Return what of the test inputs cannot be known, a sentence each."""
        return []

    def described(self) -> dict[str, Any]:
        """Return what was read as what, where the file does not say it."""
        return {}

    @property
    def phrase(self) -> str:
        """What an input is, for a person."""
        return self.form

    @property
    def columns_phrase(self) -> str:
        """What the file's columns were read as."""
        return f"columns {some(self.described().get('columns', []))} as {self.config.inputs}"

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what was learned; plain JSON."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """The counterpart of ``state``."""

    @abstractmethod
    def encode(self, value: Any) -> Array:
        """Return an input as the network reads it."""

    @property
    @abstractmethod
    def width(self) -> int:
        """How many different tokens there are, or numbers a step."""

    @abstractmethod
    def network(self, config: SummaryConfig, width: int, outputs: int) -> Module:
        """Return a network (inputs, lengths) -> (batch, outputs)."""

    @abstractmethod
    def sample(self, steps: int) -> Array:
        """Return some encoded input of so many steps, for a picture."""

    def shown(self, value: Any) -> dict[str, Any]:
        """Return what of an input belongs into its prediction."""
        return {}

    def steps(self, value: Any) -> list[str]:
        """Return the words for an input's time steps; none where it has no time."""
        return []

    def batch(self, encoded: Sequence[Array]) -> tuple[Tensor, Tensor | None]:
        """Return padded inputs, and the lengths where they differ, or may."""
        if len(encoded) == 1 or (not self.varied and len({len(one) for one in encoded}) == 1):
            return tensor(np.stack(encoded)), None
        padded, lengths = pad(encoded, multiple=MULTIPLE)
        return tensor(padded), tensor(lengths)


class TextInputs(Inputs):
    """A text, cut into tokens."""

    form = "a str that is not blank"
    varied = True
    vocabulary: data.Vocabulary

    def read(self, path: Path, kind: str, *, targets: bool) -> list[Example]:
        c = self.config
        return read_texts(path, text=c.text, target=c.target, kind=kind, targets=targets, form=c.form())

    def accept(self, value: Any) -> Any:
        if not isinstance(value, str) or not value.strip():
            raise TypeError
        return value.strip()

    def cut(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        return find_level(self.config.level).cut(text)

    def fit(self, inputs: Sequence[Any]) -> None:
        self.vocabulary = build_vocabulary(map(self.cut, inputs), min_count=self.config.min_count, unknown=True)

    def notes(self, inputs: Sequence[Any]) -> list[str]:
        note = uncut(find_level(self.config.level), "\n".join(inputs))
        return [note] if note else []

    def gaps(self, inputs: Sequence[Any]) -> list[str]:
        c, unknown, tokens = self.config, 0, 0
        for text in inputs:
            cut = self.cut(text)
            tokens += len(cut)
            unknown += sum(token not in self.vocabulary for token in cut)
        return mostly_unknown(unknown, tokens, find_level(c.level).unit, fewer_unknown(c.level, c.min_count))

    @property
    def phrase(self) -> str:
        return f"a text, {find_level(self.config.level).unit} by {find_level(self.config.level).unit}"

    @property
    def columns_phrase(self) -> str:
        unit = find_level(self.config.level).unit
        return f"{self.config.text!r} as text of {counted(len(self.vocabulary), f'different {unit}')}"

    def state(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.vocabulary = data.Vocabulary.from_state(state.get("vocabulary"))

    def encode(self, value: Any) -> Array:
        return self.vocabulary.encode(self.cut(value))

    @property
    def width(self) -> int:
        return len(self.vocabulary)

    def network(self, config: SummaryConfig, width: int, outputs: int) -> Module:
        return TextNet(config, width, outputs)

    def sample(self, steps: int) -> Array:
        return np.arange(steps, dtype=np.int64) % len(self.vocabulary)

    def shown(self, value: Any) -> dict[str, Any]:
        return {"text": value}

    def steps(self, value: Any) -> list[str]:
        return self.cut(value)


class Numbers(Inputs):
    """What sequences and vectors share: columns of numbers, standardised on the training part."""

    axes: ClassVar[int]
    scaler: Scaler
    #: The columns that were read in training: those of a file that is read later, wherever they stand in it.
    columns: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return len(self.scaler.mean)

    def read(self, path: Path, kind: str, *, targets: bool) -> list[Example]:
        c = self.config
        found = self.read_columns(
            path,
            columns=c.columns or self.columns or None,
            target=c.target,
            kind=kind,
            targets=targets,
            form=c.form(),
            missing=c.missing == "mean",
            apart=c.apart,
        )
        self.columns = self.columns or found.columns
        return found

    def described(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "target": self.config.target} if self.columns else {}

    @abstractmethod
    def read_columns(self, path: Path, **options: Any) -> Examples:
        """Return the examples of a file, as ``read_vectors`` does."""

    def accept(self, value: Any) -> Any:
        array = given.array(value, np.float64)
        features = len(self.scaler.mean)
        whole = np.isfinite(array) | (np.isnan(array) & (self.config.missing == "mean"))
        if array.ndim != self.axes or array.shape[-1] != features or not len(array) or not whole.all():
            raise ValueError(f"shape {array.shape}, required {features} features, finite")
        return array

    def fit(self, inputs: Sequence[Any]) -> None:
        values = np.concatenate([np.atleast_2d(value) for value in inputs])
        self.scaler = Scaler.fit(values)
        if not self.config.standardise:
            self.scaler = Scaler("none", np.zeros(values.shape[1]), np.ones(values.shape[1]))

    def state(self) -> dict[str, Any]:
        scale = {"mean": self.scaler.mean.tolist(), "std": self.scaler.std.tolist()}
        return {**scale, "columns": list(self.columns)} if self.columns else scale

    def restore(self, state: Mapping[str, Any]) -> None:
        self.scaler = Scaler("none", np.array(state["mean"]), np.array(state["std"]))
        self.columns = tuple(state.get("columns", ()))

    def encode(self, value: Any) -> Array:
        array = np.asarray(value, np.float64)
        if array.shape[-1] != len(self.scaler.mean):
            raise DataError(
                "an input of another size", required=f"{len(self.scaler.mean)} features", got=f"{array.shape[-1]}"
            )
        return np.nan_to_num(self.scaler.apply(array)).astype(self.dtype)  # what is missing is the mean


class SequenceInputs(Numbers):
    """Numbers over time, (time, features)."""

    form = "an array (time, features)"
    axes = 2

    def read_columns(self, path: Path, **options: Any) -> Examples:
        if self.config.layout == "wide":
            return read_wide(path, **options)
        return read_sequences(path, sequence=self.config.sequence, time=self.config.time, **options)

    def accept(self, value: Any) -> Any:
        array = given.array(value, np.float64)
        return super().accept(array[:, None] if array.ndim == 1 and len(self.scaler.mean) == 1 else array)

    @property
    def phrase(self) -> str:
        return f"a sequence of {counted(len(self.scaler.mean), 'number')} a step"

    def network(self, config: SummaryConfig, width: int, outputs: int) -> Module:
        return SequenceNet(config, width, outputs)

    def sample(self, steps: int) -> Array:
        return np.ones((steps, len(self.scaler.mean)), self.dtype)

    def steps(self, value: Any) -> list[str]:
        return [str(step) for step in range(len(value))]


class VectorInputs(Numbers):
    """One vector of numbers, (features,)."""

    form = "an array (features,)"
    axes = 1

    def read_columns(self, path: Path, **options: Any) -> Examples:
        return read_vectors(path, **options)

    @property
    def phrase(self) -> str:
        return f"a vector of {counted(len(self.scaler.mean), 'number')}"

    def network(self, config: SummaryConfig, width: int, outputs: int) -> Module:
        return MLP(config, width, outputs)

    def sample(self, steps: int) -> Array:
        return np.ones(len(self.scaler.mean), self.dtype)


#: Name -> kind of input; a kind of one's own joins here.
INPUTS: Registry[type[Inputs]] = Registry(
    "inputs", {"text": TextInputs, "sequence": SequenceInputs, "vector": VectorInputs}
)
