"""The roles of a task: what stands in which, what a task has in which of its lives, how large a class may be."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

import tinyseq.train.tasks as tasks
from tinyseq.errors import DataError
from tinyseq.train.config.registry import find_task, task_names
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.tasks import Codec, Learning, Presentation, Task
from tinyseq.train.tasks.role import Prepared

SMALL = {
    "captioning": {"data": {"count": 40}},
    "classification": {},
    "forecasting": {},
    "language_model": {},
    "regression": {"data": {"source": "adding", "options": {"count": 40}}},
    "reservoir": {"model": {"hidden_size": 20}, "data": {"train": 600, "valid": 100, "test": 100}},
    "seq2seq": {"data": {"count": 40}},
    "tagging": {"data": {"count": 40}},
}
#: What a user gives each task in Python.
INPUT = {
    "captioning": np.zeros((16, 16, 3)),
    "classification": "a text",
    "forecasting": np.arange(60.0),
    "language_model": "import ",
    "regression": np.zeros((5, 2)),
    "reservoir": np.linspace(0.5, 1.0, 60),
    "seq2seq": "1 May 1999",
    "tagging": "Anna lives in Paris",
}
#: A page of a class; a task that outgrows this is cut along its roles.
LONGEST_CLASS = 210


def both_lives(name: str) -> tuple[Task, Task]:
    """A task that was prepared, and one that was restored of it, as a trained model brings it along."""
    config = parse_config({"task": name, **SMALL[name]})
    prepared, restored = find_task(name)(config), find_task(name)(config)
    prepared.prepare()
    restored.restore(json.loads(json.dumps(prepared.metadata())))
    return prepared, restored


def of_the_data(task: Task) -> list[str]:
    """The attributes that a task has of its data, each class's own and inherited."""
    return [name for cls in type(task).__mro__ for name, value in vars(cls).items() if isinstance(value, Prepared)]


def test_every_task_is_tried() -> None:
    assert set(SMALL) == set(INPUT) == set(task_names())


@pytest.mark.parametrize("name", SMALL)
def test_a_task_lives_by_its_data_or_by_what_a_run_kept(name: str) -> None:
    prepared, restored = both_lives(name)
    names = of_the_data(prepared)
    assert names
    for attribute in names:
        assert getattr(type(prepared), attribute).of(prepared) is not None
        assert getattr(type(restored), attribute).of(restored) is None
        with pytest.raises(DataError, match=f"(?s){name}.*has not read its data.*prepare.*{attribute}"):
            getattr(restored, attribute)
    assert len(prepared.part("test"))
    # Asked for what its data would tell, a restored task says so; it is no fault of Python's.
    for ask in (lambda: restored.part("test"), restored.baselines):
        with pytest.raises(DataError, match="has not read its data"):
            ask()


@pytest.mark.parametrize("name", SMALL)
def test_a_restored_task_needs_no_data_to_read_and_to_present(name: str) -> None:
    """All of the codec and the presentation, and of the learning what makes a model and a picture of it."""
    prepared, restored = both_lives(name)
    model, other = (task.build().cast(task.config.dtype).eval() for task in (prepared, restored))
    other.load_state_dict(model.state_dict())
    assert restored.metadata() == json.loads(json.dumps(prepared.metadata()))
    rows = [list(task.predict(m, task.records([INPUT[name]]))) for task, m in ((prepared, model), (restored, other))]
    assert rows[0] == rows[1] == json.loads(json.dumps(rows[0]))
    assert restored.as_text(rows[1][0]) == prepared.as_text(rows[0][0])
    assert restored.line(rows[1][0])
    assert [*restored.figures(other, [])] == [*prepared.figures(model, [])]
    assert np.isfinite(restored.example(other, 3).item())


def test_the_roles_are_apart() -> None:
    """Each method stands in one role, and no role knows another."""
    public = [
        {name for name, value in vars(role).items() if not name.startswith("_") and callable(value)}
        for role in (Learning, Codec, Presentation)
    ]
    assert all(public)
    assert sum(map(len, public)) == len(set.union(*public))
    roles = (Learning, Codec, Presentation)
    assert not any(issubclass(a, b) for a in roles for b in roles if a is not b)
    assert {"prepare", "loss", "evaluate_on"} <= public[0]
    assert {"metadata", "restore", "read", "records"} <= public[1]
    assert {"predict", "as_text", "figures", "leave"} <= public[2]


def test_a_task_without_parts_leaves_nothing(tmp_path: Path) -> None:
    class Partless(find_task("forecasting")):
        def part(self, split):
            raise NotImplementedError

        def leave(self, model, records, directory):
            raise AssertionError("there is nothing to show")

    task = Partless(parse_config({"task": "forecasting"}))
    assert task.write(None, tmp_path) == ""


def test_no_class_is_a_maze() -> None:
    files = sorted(Path(tasks.__file__).parent.rglob("*.py"))
    sizes = {
        f"{path.name}: {node.name}": node.end_lineno - node.lineno + 1
        for path in files
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    assert len(sizes) > 40
    assert {name: size for name, size in sizes.items() if size > LONGEST_CLASS} == {}
