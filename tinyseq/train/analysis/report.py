"""A run as one HTML page that needs nothing else: no network, no scripts, its figures within it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tinyseq import files, nn
from tinyseq.drawing import draw
from tinyseq.drawing.shared.text import clean
from tinyseq.errors import DataError
from tinyseq.figures.style import rendered
from tinyseq.train.analysis import pictures
from tinyseq.train.storage.run_directory import CONFIG, RESOLVED, RunDirectory
from tinyseq.train.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: How many predictions are shown, and over how many steps the graph.
_PREDICTIONS, _GRAPH_STEPS = 12, 3
#: The most layers whose states and gates are shown.
_LAYERS: Final = 4
#: Rows of a table of validations; of more, some are left out evenly.
_ROWS: Final = 40
#: Characters that are shown of a file, and of a line of a prediction.
_CHARACTERS: Final = 20_000
_LINE: Final = 400


@dataclass
class ReportPart:
    """A piece of a section: text, table, code, folded, or figure (base64 of an SVG)."""

    kind: str
    value: Any
    caption: str = ""
    numbers: bool = True
    ours: str = ""


@dataclass
class ReportSection:
    """A part of the page under a heading; ``notes`` say what is missing from it, and why."""

    key: str
    name: str
    parts: list[ReportPart] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def attempt(self, what: str, make: Callable[[], ReportPart | None]) -> None:
        """Add what ``make`` gives; where it fails, the page says so and goes on: the rest is worth having."""
        try:
            part = make()
        except Exception as error:
            reason = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            self.notes.append(f"{what}: {reason}")
            return
        if part is not None:
            self.parts.append(part)


@dataclass(frozen=True)
class Model:
    """A run's task and trained model, and what gives the test part of its data."""

    task: Task[Any]
    model: nn.Module
    test: Callable[[], Sequence[Any]]


def write_report(directory: RunDirectory, path: Path, model: Model | None, missing: str = "") -> None:
    """Write the page.

    Args:
        directory: the run.
        path: where to.
        model: its task and model; None where they cannot be loaded.
        missing: then, why.
    """
    title = f"{directory.path.absolute().parent.name} {directory.path.absolute().name}"
    result = _optional(directory.result)
    environment = _optional(lambda: directory.json("env.json"))
    sections = [
        _results(directory, result),
        _figures(directory, model, missing),
        _predictions(directory, model),
        _network(model),
        _config(directory),
        _environment(environment),
    ]
    config = directory.config()
    facts = [
        config.task,
        f"status: {result['status']}" if "status" in result else "did not come to its end",
        f"{result['parameters']:,} parameters" if "parameters" in result else "",
        f"{result['steps']:,} steps in {result['seconds']:,.0f} s" if {"steps", "seconds"} <= result.keys() else "",
        str(environment.get("time", "")),
    ]
    page = _template().render(
        title=clean(title, 120),
        subtitle=clean(" · ".join(fact for fact in facts if fact), 300),
        sections=[section for section in sections if section.parts or section.notes],
    )
    files.write(path, page.encode("utf-8"), durable=False)


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["plain"] = lambda text: "\n".join(map(clean, str(text).splitlines()))
    return environment.from_string(Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8"))


def _optional(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except DataError:
        return {}


def _results(directory: RunDirectory, result: Mapping[str, Any]) -> ReportSection:
    section = ReportSection("results", "Results")
    if result.get("error"):
        section.notes.append(str(result["error"]))
    test, baselines = result.get("test", {}), result.get("baselines", {})
    valid = result.get("valid", {})
    keys = list(test or valid)
    rows: dict[str, Mapping[str, Any]] = {}
    if test:
        rows["this run, test"] = test
    if valid:
        rows[f"this run, validation at step {result.get('best_step', '?')}"] = valid
    rows |= {f"{name}, test": values for name, values in baselines.items()}
    if rows:
        cells = [[clean(name, 60), *(_number(values.get(key)) for key in keys)] for name, values in rows.items()]
        section.parts.append(ReportPart("table", [["", *keys], *cells], ours="this run, test"))
        section.parts.append(ReportPart("text", f"Judged by {result.get('measure', '')}."))
    section.attempt("looks at the validation part", lambda: _validations(directory))
    return section


def _validations(directory: RunDirectory) -> ReportPart | None:
    rows = [row for row in directory.rows() if row["split"] == "valid"]
    if not rows:
        return None
    shown = rows[:: -(-len(rows) // _ROWS)]
    keys = [key for key in rows[0] if key not in ("step", "split")]
    cells = [[f"{row['step']:,}", *(_number(row.get(key)) for key in keys)] for row in shown]
    return ReportPart("folded", [["step", *keys], *cells], f"Each look at the validation part ({len(rows)})")


def _figures(directory: RunDirectory, model: Model | None, missing: str) -> ReportSection:
    section = ReportSection("figures", "Figures")
    section.attempt("curves", lambda: _figure(pictures.curves(directory), "curves"))
    if model is None:
        section.notes.append(f"The model cannot be used, so there are no other figures: {missing}")
        return section
    for name in pictures.names(model.task, model.model):
        if name == "activations":
            _activations(section, model)
        elif name not in ("curves", "equations"):
            section.attempt(name, partial(_drawn, model, name))
    return section


def _activations(section: ReportSection, model: Model) -> None:
    try:
        layers = pictures.layers(model.task, model.model, model.test())
    except DataError as error:
        section.notes.append(f"activations: {error}")
        return
    for layer, make in list(layers.items())[:_LAYERS]:
        section.attempt(f"activations of {layer}", partial(_made, make, layer))


def _made(make: Callable[[], Figure], layer: str) -> ReportPart:
    return _figure(make(), "activations", layer)


def _drawn(model: Model, name: str) -> ReportPart:
    return _figure(pictures.draw(name, model.task, model.model, model.test), name)


def _figure(figure: Figure, name: str, of: str = "") -> ReportPart:
    caption = pictures.FIGURES.get(name, name)
    return _image(rendered(figure, "svg"), f"{name}: {caption}{f' ({of})' if of else ''}")


def _image(svg: bytes, caption: str) -> ReportPart:
    return ReportPart("figure", base64.b64encode(svg).decode("ascii"), clean(caption, 200))


def _predictions(directory: RunDirectory, model: Model | None) -> ReportSection:
    section = ReportSection("predictions", "Samples and predictions")
    samples = directory.path / "samples.txt"
    if samples.is_file():
        section.attempt("samples", lambda: ReportPart("code", _head(samples)))
    if model is not None:
        section.attempt("predictions", lambda: ReportPart("code", "\n".join(_told(model))))
    return section


def _told(model: Model) -> Iterator[str]:
    records = model.test()[:_PREDICTIONS]
    for prediction in model.task.predict(model.model, records):
        yield "\n".join(clean(line, _LINE) for line in model.task.line(prediction).splitlines())


def _network(model: Model | None) -> ReportSection:
    section = ReportSection("model", "Model")
    if model is None:
        return section
    section.parts.append(ReportPart("code", repr(model.model)))
    if "equations" in pictures.names(model.task, model.model):
        section.attempt("equations", partial(_drawn, model, "equations"))
    section.attempt("graph", lambda: _graph(model))
    return section


def _graph(model: Model) -> ReportPart:
    model.model.eval()
    picture = draw(model.task.example(model.model, _GRAPH_STEPS), level="cell")
    return _image(
        picture.svg.encode("utf-8"), f"The graph from input to loss, a box a cell and step, over {_GRAPH_STEPS} steps"
    )


def _config(directory: RunDirectory) -> ReportSection:
    section = ReportSection("config", "Config")
    section.attempt(CONFIG, lambda: ReportPart("code", _head(directory.path / CONFIG)))
    section.attempt(
        RESOLVED, lambda: ReportPart("folded", _head(directory.path / RESOLVED), "As resolved, defaults included")
    )
    return section


def _head(path: Path) -> str:
    with open(files.open_regular(path, os.O_RDONLY), "rb") as file:
        text = file.read(4 * _CHARACTERS).decode("utf-8", "replace")[: _CHARACTERS + 1]
        size = os.fstat(file.fileno()).st_size
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}\n... ({size:,} bytes in all)"


def _environment(environment: Mapping[str, Any]) -> ReportSection:
    section = ReportSection("environment", "Environment and data")
    rows = [[clean(key, 60), clean(value, 400)] for key, value in _flat(environment)]
    if rows:
        section.parts.append(ReportPart("table", [["", ""], *rows], numbers=False))
    return section


def _flat(data: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested mappings: (``backend.name``, ``numpy``)."""
    for key, value in data.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, here)
        elif value is not None:
            yield here, " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
