"""A trained model, loaded to be used: ``ts.load``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq import given
from tinyseq.backends import load as load_backend
from tinyseq.backends import use
from tinyseq.errors import BackendError, DataError, TinyseqError
from tinyseq.threads import blas_threads
from tinyseq.train.analysis import pictures
from tinyseq.train.analysis.report import Model, write_report
from tinyseq.train.config.overrides import Overrides
from tinyseq.train.config.registry import find_task
from tinyseq.train.config.run_config import load_config
from tinyseq.train.loop.budget import refuse_too_large
from tinyseq.train.loop.planned import PlannedModel
from tinyseq.train.running import prepared
from tinyseq.train.storage.run_directory import METADATA, WEIGHTS, RunDirectory
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.presentation import WritesText

log = logging.getLogger("tinyseq.compiler")

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Trained:
    """The model of a run, with the task that it was trained for.

    ``model`` is the module, ``config`` the resolved config, ``task`` what reads files and judges. It is
    used on the run's backend, or where that is not to be had, on the best one that is.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.config = directory.config()
        self.backend = _backend(self.config.backend)
        with self._running():
            self.task: Task[Any] = find_task(self.config.task)(self.config)
            metadata, weights = directory.metadata(), directory.weights()
            self.model: Any = self._built(metadata)
            self.model.load_state_dict(weights)
            _refuse_nonfinite(self.model, directory)
            self.model.eval()
        #: The model as it is judged: on batch after batch of one size.
        self._planned = PlannedModel(self.model) if self.config.compile and self.task.compilable else self.model

    def _built(self, metadata: dict[str, Any]) -> Any:
        """Return the model that the weights are of, its task restored."""
        try:
            self.task.restore(metadata)
            refuse_too_large(self.task, training=False)
            return self.task.build().cast(self.config.dtype)
        except TinyseqError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise DataError(
                "the run's model cannot be built",
                required=f"the metadata that a run of the task {self.config.task} leaves",
                got=f"{type(error).__name__}: {error}".splitlines()[0],
                where=str(self.directory.path / METADATA),
            ) from error

    def predict(self, inputs: str | Path | Iterable[Any], *, batch_size: int | None = None) -> list[dict[str, Any]]:
        """Return a prediction for each input, in their order.

        Args:
            inputs: a path to a file in the task's format (targets may be missing), or inputs as the task takes them:
                a list of texts, of lists of words, of arrays. A ``str`` is a path.
            batch_size: how many are computed at once; it changes no more than the last bits.

        Raises:
            DataError: the file or an input is not of the task's form.
        """
        return list(self.predictions(inputs, batch_size=batch_size))

    def predictions(
        self, inputs: str | Path | Iterable[Any], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield what ``predict`` returns, one by one.

        Backend and threads are the run's only while a prediction is made, not while the caller has it.
        """
        size = None if batch_size is None else given.whole("batch_size", batch_size, 1)
        with self._running():
            records = self._records(inputs, targets=False)
            predictions = self.task.predict(self.model, records, batch_size=size)
        while True:
            with self._running():
                prediction = next(predictions, None)
            if prediction is None:
                return
            yield prediction

    def _records(self, inputs: str | Path | Iterable[Any], *, targets: bool) -> Sequence[Any]:
        """Return the records of a file, or of what Python gives.

        Raises:
            DataError: an input is not of the task's form.
        """
        if isinstance(inputs, str | Path):
            return self.task.read(given.path("inputs", inputs), targets=targets)
        try:
            return self.task.records(inputs)
        except TinyseqError:
            raise
        except (TypeError, ValueError, OverflowError, LookupError, AttributeError) as error:
            raise DataError(
                f"not inputs of the task {self.config.task!r}",
                required="a path, or a list of inputs",
                got=f"{given.shown(inputs)}: {str(error)[:200]}",
            ) from None

    def sample(
        self,
        prime: str | None = None,
        *,
        length: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        seed: int = 0,
    ) -> str:
        """Return a text that the model writes, the prime first; what is None is as in the run's config.

        Args:
            prime: the text to go on from.
            length: how many tokens.
            temperature: 1 as learned, lower is bolder, 0 takes the likeliest token each time.
            top_k: only so many tokens may follow, the likeliest ones; 0 for all.
            seed: same seed and backend, same text.

        Raises:
            DataError: the task writes no text, or the prime is empty or has tokens that the model does not know.
        """
        if not isinstance(self.task, WritesText):
            raise DataError(
                f"the task {self.config.task} does not write text",
                required="a run of a language model",
                got=str(self.directory.path),
            )
        with self._running():
            begun, text = self.task.sample(
                self.model,
                prime=None if prime is None else given.text("prime", prime),
                length=None if length is None else given.whole("length", length),
                temperature=None if temperature is None else given.real("temperature", temperature),
                top_k=None if top_k is None else given.whole("top_k", top_k),
                seed=given.whole("seed", seed, most=2**63 - 1),
            )
        return begun + text

    def evaluate(self, path: str | Path | None = None, *, batch_size: int | None = None) -> dict[str, float]:
        """Return the task's metrics on a file with targets, or on the test part of the data of the run.

        Raises:
            DataError: the file is not of the task's form, or the run's data is not as it was.
        """
        size = None if batch_size is None else given.whole("batch_size", batch_size, 1)
        with self._running():
            return self.task.evaluate_on(self._planned, self.judged(path), batch_size=size)

    def details(self, path: str | Path | None = None, *, batch_size: int | None = None) -> dict[str, Any]:
        """Return what the task tells beyond the metrics, such as a confusion matrix."""
        size = None if batch_size is None else given.whole("batch_size", batch_size, 1)
        with self._running():
            return self.task.details(self.model, self.judged(path), batch_size=size)

    def judged(self, path: str | Path | None) -> Sequence[Any]:
        """Return the records of a file with targets, or of the test part of the run's data."""
        if path is not None:
            return self.task.read(given.path("the file", path))
        fresh: Task[Any] = find_task(self.config.task)(self.config)
        fresh.prepare()
        if _plain(fresh.metadata()) != self.directory.metadata():
            raise DataError(
                "the data of the run is not as it was in training",
                required="data that gives the same vocabularies and sizes",
                where=str(self.directory.path),
                fix="name a file to evaluate on",
            )
        return fresh.part("test")

    def figures(self) -> list[str]:
        """Return the names of the figures that there are of this run."""
        return pictures.names(self.task, self.model)

    def figure(
        self,
        name: str,
        inputs: str | Path | Iterable[Any] | None = None,
        *,
        layer: str | None = None,
        units: int | None = None,
        steps: int = pictures.FLOW_STEPS,
    ) -> Figure:
        """Return a figure of the run, for a notebook or ``tinyseq.figures.save``.

        Args:
            name: one of ``figures()``.
            inputs: what it is drawn of, as ``predict`` takes it; by default the test part of the run's data.
            layer: of activations, whose; by default those of the first layer.
            units: of activations, only so many units, those that vary most; by default all.
            steps: over how many steps gradients are followed.

        Raises:
            DataError: there is no such figure of this run, or of such inputs.
        """

        def records() -> Sequence[Any]:
            if inputs is None:
                return self.judged(None)
            return self._records(inputs, targets=name in pictures.JUDGING)

        given.text("name of a figure", name)
        layer = None if layer is None else given.text("layer", layer)
        units = None if units is None else given.whole("units", units, 1)
        steps = given.whole("steps", steps, 1)
        if name == "curves":
            return pictures.curves(self.directory)
        with self._running():
            return pictures.draw(name, self.task, self.model, records, layer=layer, units=units, steps=steps)

    def report(self, path: str | Path) -> None:
        """Write the run as one HTML page that needs nothing else: results, figures, predictions, graph, config."""
        test: list[Sequence[Any]] = []

        def records() -> Sequence[Any]:
            if not test:
                test.append(self.judged(None))
            return test[0]

        with self._running():
            write_report(self.directory, Path(path), Model(self.task, self.model, records))

    @contextmanager
    def _running(self) -> Iterator[None]:
        with use(self.backend), blas_threads(self.config.threads), np.errstate(all="ignore"):
            yield

    def __repr__(self) -> str:
        return f"Trained({str(self.directory.path)!r}, {self.config.task}, {self.model.num_parameters():,} parameters)"


def _refuse_nonfinite(model: Any, directory: RunDirectory) -> None:
    """Refuse weights that give no numbers: what was damaged, or does not fit into the config's dtype."""
    for name, value in model.named_parameters():
        if wrong := int(value.size - np.isfinite(value.numpy()).sum()):
            raise DataError(
                "the weights are not finite numbers",
                required="finite numbers",
                got=f"{name}: {wrong:,} of {value.size:,} are not, as {value.dtype}",
                where=str(directory.path / WEIGHTS),
            )


def load(run: str | Path) -> Trained:
    """Return the trained model of a run directory, or of the newest in a folder of them.

    ``ts.load("runs/classify").predict(["some text"])``

    Raises:
        DataError: it is no run directory, or it is damaged.

    tinyseq's own.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "text.txt").write_text("to be or not to be, " * 50)
    >>> data, model = {"path": str(folder / "text.txt")}, {"hidden_size": 4}
    >>> config = {"task": "language_model", "data": data, "model": model, "train": {"batch_size": 2}}
    >>> result = ts.run(config, steps=2, output=folder)
    >>> len(ts.load(result.directory).sample(length=5, prime="to "))
    8
    """
    return Trained(RunDirectory.find(given.path("run", run)))


def report(run: str | Path, path: str | Path) -> None:
    """Write a run as ``Trained.report`` does; of a run without a usable model, what there is.

    Raises:
        DataError: it is no run directory.
    """
    directory, page = RunDirectory.find(given.path("run", run)), given.path("page", path)
    try:
        trained = Trained(directory)
    except TinyseqError as error:
        write_report(directory, page, None, str(error))
        return
    trained.report(page)


@contextmanager
def model_of(what: str | Path, overrides: Overrides | None = None) -> Iterator[tuple[Task[Any], Any]]:
    """Give the task and the model of a run, trained, or of a config, fresh, with ``overrides`` as in ``load_config``.

    Raises:
        ConfigError: the config is wrong.
        DataError: it is a folder, but no run directory.
    """
    path = Path(what)
    if path.is_dir():
        trained = load(path)
        with trained._running():
            yield trained.task, trained.model
    else:
        with prepared(load_config(path, overrides)) as (task, model):
            yield task, model


def _backend(name: str) -> str:
    """Return the name of the run's backend, or of the best one where it is not to be had here."""
    try:
        return load_backend(name).name
    except BackendError as error:
        found = load_backend("auto").name
        log.info("the run's backend %s is not to be had, %s instead: %s", name, found, error.what)
        return found


def _plain(metadata: Any) -> Any:
    return json.loads(json.dumps(metadata))
