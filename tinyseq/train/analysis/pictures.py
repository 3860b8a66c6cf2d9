"""The figures of a run: which there are, and how each is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tinyseq import nn
from tinyseq.errors import DataError, did_you_mean
from tinyseq.figures import SweepPoint, Track, activations, formulas, gradient_flow, learning_curves, sweep_trials
from tinyseq.modes import enable_grad
from tinyseq.nn.latex import equations_within
from tinyseq.train.analysis.gradflow import measure
from tinyseq.train.config.registry import find_task
from tinyseq.train.storage.run_directory import RunDirectory
from tinyseq.train.sweeps import described, trials_of
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.presentation import Presentation, Reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Name -> what a figure shows.
FIGURES: Final[dict[str, str]] = {
    "curves": "loss and measure over the steps of training",
    "gradients": "how far gradients reach back through time",
    "activations": "states and gates of a cell at each step of an input",
    "equations": "what a cell computes at each step",
    "attention": "what the model looks at in an input",
    "confusion": "which class was taken for which",
    "forecast": "the truth, and forecasts beside it",
    "scatter": "predicted numbers against true ones",
}
#: Of these, those that set predictions beside the truth.
JUDGING: Final = frozenset(("confusion", "forecast", "scatter"))
#: Over how many steps the flow of gradients is measured.
FLOW_STEPS = 32
#: The ending of the name of a cell that reads from the end.
_BACKWARDS = "_reverse"


def curves(directory: RunDirectory) -> Figure:
    """Return the learning curves of a run, from what it wrote down.

    Raises:
        DataError: a file of it is missing or damaged.
    """
    try:
        result = directory.result()
    except DataError:  # the run did not come to its end
        result = {}
    config = directory.config()
    task = find_task(config.task)(config)
    with suppress(DataError):  # an unfinished run has left nothing; what judges it may depend on its data
        task.restore(directory.metadata())
    judged = task.measure
    tested = result.get("test", {}).get(judged.key)
    size = [f"{result['parameters']:,} parameters"] if "parameters" in result else []
    return learning_curves(
        directory.rows(),
        judged.key,
        judged.label,
        lower_is_better=judged.lower_is_better,
        baselines=result.get("baselines", {}),
        test=None if tested is None else (result["best_step"], tested),
        title=": ".join([" ".join(directory.path.absolute().parts[-2:]), ", ".join([config.task, *size])]),
    )


def sweep(folder: str | Path) -> Figure:
    """Return the trials of a sweep, from what it wrote down.

    Raises:
        DataError: a file of it is missing or damaged, or no trial has been measured.
    """
    facts, trials = described(folder), trials_of(folder)
    points = [SweepPoint(t.number, t.value, t.state == "done", t.values) for t in trials if t.value is not None]
    if not points:
        raise DataError("no figure of this sweep", required="a trial with a measure", got=f"{len(trials)} without")
    title = f"{Path(folder).name}: {len(trials)} trials"
    return sweep_trials(points, facts["label"], lower_is_better=facts["lower_is_better"], title=title)


def names(task: Presentation[Any], model: nn.Module) -> list[str]:
    """Return the names of the figures that there are of a trained model, the learning curves first."""
    of_cells = ["gradients", "activations", "equations"] if has_cells(model) else []
    return ["curves", *of_cells, *task.figures(model, [])]


def has_cells(module: nn.Module) -> bool:
    """Return whether there is a cell in a model, so that it has states."""
    return isinstance(module, nn.Cell) or any(has_cells(child) for _, child in module.children())


def draw(
    name: str,
    task: Task[Any],
    model: nn.Module,
    records: Callable[[], Sequence[Any]],
    *,
    layer: str | None = None,
    units: int | None = None,
    steps: int = FLOW_STEPS,
) -> Figure:
    """Return a figure of a trained model.

    Args:
        name: one of ``names``, but ``curves``, which need no model.
        task: its task.
        model: the model.
        records: gives what it is drawn of, where it is drawn of records.
        layer: of activations, whose; by default those of the first layer.
        units: of activations, only so many units, those that vary most.
        steps: over how many steps gradients are followed.

    Raises:
        DataError: there is no such figure of this task or model, or no such layer.
    """
    known = names(task, model)
    if name not in known:
        what = f"the run of task {task.config.task!r} has no figure {name!r}"
        raise DataError(what, required=f"one of: {', '.join(known)}", fix=_near(name, known))
    if name == "gradients":
        with enable_grad():
            return gradient_flow([measure(task, model, steps, task.config.task)])
    if name == "equations":
        return formulas(equations_within(model))
    chosen = records()
    if not chosen:
        raise DataError(f"the figure {name!r}", required="at least one input", got="none")
    if name != "activations":
        return task.figures(model, chosen)[name]()
    groups = layers(task, model, chosen, units)
    if layer is None:
        return next(iter(groups.values()))()
    if layer not in groups:
        raise DataError(f"no layer {layer!r} in this model", required=f"one of: {', '.join(groups)}")
    return groups[layer]()


def _near(name: str, known: Sequence[str]) -> str:
    guess = did_you_mean(name, known)
    return "" if guess.startswith("one of") else guess


def layers(
    task: Presentation[Any], model: nn.Module, records: Sequence[Any], units: int | None = None
) -> dict[str, Callable[[], Figure]]:
    """Return, by layer, what draws its states and gates on the first record that has steps; two directions are a layer.

    Raises:
        DataError: no record has steps in which a cell could be watched.
    """
    figures: dict[str, Callable[[], Figure]] = {}
    for record in records:
        for reading in task.readings(model, record):
            if len(reading.tokens) > 1:
                figures.update(_layers(reading, units))
        if figures:
            return figures
    raise DataError("states and gates over time", required="an input of at least two steps", got="none")


def _layers(reading: Reading, units: int | None) -> Iterator[tuple[str, Callable[[], Figure]]]:
    groups: dict[str, list[nn.Activations]] = {}
    for watched in nn.activations(reading.run):
        # Cells that run over something else, such as the letters of each word, have other steps and rows.
        steps = min(map(len, watched.values.values()), default=0)
        if watched.batch == 1 and steps >= len(reading.tokens):
            groups.setdefault(watched.scope.removesuffix(_BACKWARDS), []).append(watched)

    for name, cells in groups.items():

        def figure(name: str = name, cells: list[nn.Activations] = cells) -> Figure:
            note = "; ".join(dict.fromkeys(cell.note for cell in cells if cell.note))
            tracks = [Track(cell.scope if len(cells) > 1 else "", cell.values, cell.ranges) for cell in cells]
            title = "\n".join(part for part in ("" if len(cells) > 1 else name, note) if part)
            return activations(tracks, reading.tokens, title, times=reading.times, units=units)

        yield name, figure
