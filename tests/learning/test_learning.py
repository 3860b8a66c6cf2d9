"""What the cells learn: the experiments of benchmarks/learning.py reach the values that are required of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    name = "tinyseq_benchmarks_learning"
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / "learning.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


learning = _load()
#: How many rows an experiment gives: one a model.
ROWS = {"adding": 4, "temporal_order": 2, "digits": 3, "translation": 2}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in learning.EXPERIMENTS if name not in learning.LONG])
def test_learns(name):
    if name == "digits":
        pytest.importorskip("sklearn")
    results = learning.run(name, seed=1)
    assert len(results) == ROWS.get(name, 1)
    for result in results:
        assert result.met, learning.row(result)


def test_the_table_has_every_experiment_and_misses_nothing():
    text = (ROOT / "docs" / "learning.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert all(len(row) == 7 for row in rows)
    names = [row[0].strip("| ") for row in rows]
    assert set(learning.EXPERIMENTS) - set(learning.LONG) <= set(names) <= set(learning.EXPERIMENTS)
    for name in names:
        assert names.count(name) == ROWS.get(name, 1)
    assert "(missed)" not in text


def test_a_part_of_the_table_is_made_anew(tmp_path):
    path = tmp_path / "learning.md"

    def result(name, value, met=True):
        return learning.Result(name, "a model", "error", value, "< 1", "a paper", met, "a note", 2.0)

    learning.write_table(path, {"narma": [result("narma", 0.1)], "adding": [result("adding", 0.2)]}, 1)
    learning.write_table(path, {"narma": [result("narma", 3.0, met=False)]}, 1)
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    assert lines == [
        "| adding | a model | error | 0.2 (a note) | < 1 | a paper | 2 |",
        "| narma | a model | error | 3 (missed) (a note) | < 1 | a paper | 2 |",
    ]


def test_the_baselines_that_numbers_are_compared_with():
    rng = learning.np.random.default_rng(0)
    series = rng.standard_normal(1000)
    assert learning.nrmse(series.mean() + 0 * series, series) == pytest.approx(1.0)
    assert learning.nrmse(series, series) == 0.0
    xs, lengths, ys = learning.encode([("a b j", "j b a"), ("c", "c")])
    assert xs.tolist() == [[0, 1, 9] + [learning.END] * 6, [2] + [learning.END] * 8]
    assert ys.tolist() == [[9, 1, 0] + [learning.END] * 6, [2] + [learning.END] * 8]
    assert lengths.tolist() == [4, 2]
