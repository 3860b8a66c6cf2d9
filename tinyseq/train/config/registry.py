"""Names that a config may use: tasks, cells, optimisers. Adding one is a line here, or a ``register_*`` call.

A cell may also be a user's own: ``path/to/file.py:ClassName`` or ``package.module:ClassName``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import numbers
import sys
import threading
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tinyseq import nn, optim
from tinyseq.backends import use
from tinyseq.creation import zeros
from tinyseq.data.bounds import Bounds
from tinyseq.errors import ConfigError, did_you_mean
from tinyseq.machine import free_memory, limited
from tinyseq.nn.cells.registry import CELLS
from tinyseq.nn.zoo import ZOO
from tinyseq.random import generator
from tinyseq.registry import Registry, unknown
from tinyseq.train.config.source import Problem, kind

T = TypeVar("T")
CellFactory = Callable[..., nn.Cell]
#: Held while a user's file runs: its module is there already, and what it defines is not.
_importing = threading.RLock()

#: Name -> ``module:Class``, imported when it is first asked for.
TASKS: Registry[Any] = Registry(
    "task",
    {
        "captioning": "tinyseq.train.tasks.captioning:Captioning",
        "classification": "tinyseq.train.tasks.classification:Classification",
        "forecasting": "tinyseq.train.tasks.forecasting:Forecasting",
        "language_model": "tinyseq.train.tasks.language_model:LanguageModel",
        "regression": "tinyseq.train.tasks.regression:Regression",
        "reservoir": "tinyseq.train.tasks.reservoir:Reservoir",
        "seq2seq": "tinyseq.train.tasks.seq2seq:Seq2Seq",
        "tagging": "tinyseq.train.tasks.tagging:Tagging",
    },
)
#: Name -> (parameters, lr, **options) -> optimiser.
OPTIMIZERS: Registry[Callable[..., optim.Optimizer]] = Registry(
    "optimizer",
    {
        "sgd": optim.SGD,
        "momentum": partial(optim.SGD, momentum=0.9),
        "nesterov": partial(optim.SGD, momentum=0.9, nesterov=True),
        "rmsprop": optim.RMSprop,
        "adam": optim.Adam,
        "adamw": optim.AdamW,
    },
)


def register_task(name: str, target: str) -> None:
    """Make a task known to ``task:``; the target is ``module:Class``."""
    TASKS.register(name, target)


def register_cell(name: str, factory: CellFactory) -> None:
    """Make a cell known to ``model.cell:``; ``factory(input_size, hidden_size, **options)`` returns it."""
    nn.CELLS.register(name, factory)


def register_optimizer(name: str, factory: Callable[..., optim.Optimizer]) -> None:
    """Make an optimiser known to ``train.optimizer.name:``."""
    OPTIMIZERS.register(name, factory)


def task_names() -> tuple[str, ...]:
    """Return the names that ``task:`` takes."""
    return TASKS.names()


def _cells() -> Registry[Callable[..., nn.Cell]]:
    return CELLS.over(ZOO)


def cell_names() -> tuple[str, ...]:
    """Return the names that ``model.cell:`` takes."""
    return _cells().names()


def optimizer_names() -> tuple[str, ...]:
    """Return the names that ``train.optimizer.name:`` takes."""
    return OPTIMIZERS.names()


def find_task(name: str) -> Any:
    """Return a task's class, a subclass of ``tinyseq.train.tasks.base.Task`` (which lives higher up).

    Raises:
        ConfigError: no task has that name.
    """
    return _known(name, TASKS)


def find_optimizer(name: str) -> Callable[..., optim.Optimizer]:
    """Return what makes an optimiser.

    Raises:
        ConfigError: no optimiser has that name.
    """
    return _known(name, OPTIMIZERS)


def find_cell(name: str) -> CellFactory:
    """Return what makes a cell, by its name or by where a user's own class is.

    Raises:
        ConfigError: no cell has that name; or the file, the module or the class is not there, or is no ``nn.Cell``.
    """
    if ":" not in name:
        return _known(name, _cells(), hint="; your own: path/to/file.py:ClassName")
    source, _, attribute = name.rpartition(":")
    module = _module_of_file(Path(source)) if source.endswith(".py") else _module_of_name(source)
    cell = getattr(module, attribute, None)
    if cell is None:
        classes = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, nn.Cell)]
        raise ConfigError(f"{source} has no class {attribute!r}; {did_you_mean(attribute, classes)}")
    if not (inspect.isclass(cell) and issubclass(cell, nn.Cell)):
        raise ConfigError(f"{attribute} in {source} is not a cell; required a subclass of tinyseq.nn.Cell")
    return cell


def _known(name: str, table: Registry[T], hint: str = "") -> T:
    if name not in table:
        raise ConfigError(f"{unknown(table.what, name, table)}{hint}")
    return table[name]


def _module_of_file(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    # The time of the last change is part of the name, so that a notebook sees an edited file.
    name = f"tinyseq_user_{path.stem}_{abs(hash((str(path.resolve()), path.stat().st_mtime_ns))):x}"
    with _importing:
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # whatever the user's file raises is the user's message
            del sys.modules[name]
            raise ConfigError(f"{path} cannot be imported: {_brief(error)}") from error
        return module


def _module_of_name(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"the module {name!r} cannot be imported: {_brief(error)}") from error


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def option_problems(
    factory: Callable[..., Any], options: Mapping[str, Any], args: tuple[Any, ...], *, label: str | None = None
) -> Iterator[Problem]:
    """Yield a problem for each keyword option that a factory does not take; ``label`` is what messages call it.

    Where all names are right the factory is called once, with ``args`` small, so that it judges the values itself.
    """
    parameters = inspect.signature(factory).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        known = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
        known = [name for index, name in enumerate(known) if index >= len(args)]
        unknown = [name for name in options if name not in known]
        for name in unknown:
            near = did_you_mean(name, known) if known else "it takes none"
            yield Problem((name,), f"unknown option of {label or _name_of(factory)}; {near}", at_key=True)
        if unknown:
            return
    problem = None
    before = generator.state()
    try:
        factory(*args, **options)
    except Exception as error:
        problem = Problem((), "; ".join(line.strip() for line in str(error).splitlines()) or type(error).__name__)
    finally:
        generator.restore(before)  # trying out must not change the numbers of the run
    if problem is not None:
        yield problem


#: What a value of an option may be annotated as, and what it is in words.
_TYPES: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def value_problems(factory: Callable[..., Any], options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each option whose value is not as the factory's annotation says: type and ``Bounds``."""
    hints = typing.get_type_hints(factory, include_extras=True) if inspect.isroutine(factory) else {}
    for name, value in options.items():
        hint = hints.get(name)
        type_ = getattr(hint, "__origin__", hint)
        if type_ not in _TYPES:
            continue
        wanted: Any = int | float if type_ is float else type_
        if not isinstance(value, wanted) or (isinstance(value, bool) and type_ is not bool):
            shown = f" ({value!s:.40})" if isinstance(value, str | int | float | bool) else ""
            yield Problem((name,), f"required {_TYPES[type_]}, got {kind(value)}{shown}")
            continue
        bounds = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Bounds)), None)
        if bounds is not None and not bounds.least <= value <= bounds.most:
            side = "at most" if value > bounds.most else "at least"
            limit = bounds.most if value > bounds.most else bounds.least
            yield Problem((name,), f"required {side} {limit:,}, got {value!s:.40}")
        elif isinstance(value, float) and not math.isfinite(value):
            yield Problem((name,), f"required a finite number, got {value}")


def _name_of(factory: Callable[..., Any]) -> str:
    factory = factory.func if isinstance(factory, partial) else factory
    return str(getattr(factory, "__name__", factory))


def cell_problems(name: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for what is wrong with a cell's options; one's own is tried in what memory is free."""
    factory = find_cell(name)
    if ":" not in name:
        yield from option_problems(factory, options, (2, 2))
        return
    with use("numpy"), limited(free_memory()):
        problems = list(option_problems(factory, options, (2, 2)))
        problems = problems or list(_method_problems(factory)) or list(_size_problems(factory, options))
    yield from problems


def _size_problems(cell: Any, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each size that a fresh cell has and that is none."""
    before = generator.state()
    made = cell(2, 2, **options)
    generator.restore(before)
    for name in ("input_size", "hidden_size", "output_size"):
        size = getattr(made, name, 1)
        if isinstance(size, bool) or not isinstance(size, numbers.Integral) or not 1 <= int(size) < 1 << 31:
            yield Problem((), f"{cell.__name__}.{name}: required a whole number of at least 1, got {size!r:.40}")


def _method_problems(cell: Any) -> Iterator[Problem]:
    """Yield a problem for what of a cell cannot be called as cells are."""
    for name, wanted in (("step", ("x", "state")), ("initial_state", ("batch",))):
        if isinstance(inspect.getattr_static(cell, name, None), staticmethod | classmethod):
            continue
        method = getattr(cell, name, None)
        try:
            inspect.signature(method).bind(cell, *wanted)  # type: ignore[arg-type]
        except TypeError as error:
            required = f"a method {name}(self, {', '.join(wanted)})"
            yield Problem((), f"{cell.__name__}.{name}: required {required}, got {error}")


def optimizer_problems(name: str, lr: float, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for what is wrong with an optimiser's options."""
    yield from option_problems(find_optimizer(name), options, ([zeros(1, requires_grad=True)], lr))


def build_recurrent(
    cell_name: str,
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.0,
    residual: bool = False,
    options: Mapping[str, Any] | None = None,
) -> nn.Recurrent:
    """Return layers of a registered cell, or of a user's own; arguments as in ``nn.Recurrent``.

    Args:
        cell_name: a registered name, ``path/to/file.py:ClassName`` or ``package.module:ClassName``.
        input_size: features of the input.
        hidden_size: features of each cell's output.
        num_layers: how many layers.
        bidirectional: a second cell a layer, which reads from the end.
        dropout: between layers, in training.
        residual: add a layer's input to its output.
        options: keyword arguments of the cell.

    Raises:
        ConfigError: the cell is not found.
    """
    stack = nn.Recurrent(
        partial(find_cell(cell_name), **(options or {})),
        input_size,
        hidden_size,
        num_layers=num_layers,
        bidirectional=bidirectional,
        dropout=dropout,
        residual=residual,
    )
    label = cell_name.rpartition(":")[2].lower()
    for depth, cells in enumerate(stack.layers):
        for cell, suffix in zip(cells, ("", "_reverse"), strict=False):
            cell.name = f"{label}{depth}{suffix}"  # what pictures and messages call it
    return stack
