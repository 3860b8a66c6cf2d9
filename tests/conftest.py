"""What every test shares: Hypothesis's profile, devices, and the rule that CI lets no parity test be skipped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import tinyseq as ts
from tinyseq.modes import mode
from tinyseq.random import generator

# The same examples at every run of CI, so that a change is judged by what it changed; elsewhere new ones each time.
settings.register_profile(
    "tinyseq", deadline=None, max_examples=40, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("tinyseq")

# Under nohup, and in the background of some shells, signals are ignored, by every child too: tests want them back.
_USUAL = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}
for _name, _handler in _USUAL.items():
    _number = getattr(signal, _name, None)
    if _number is not None and signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)

#: Set by `.ci/run`, which installs the extra `parity`: there, a comparison that does not run is a failure.
REQUIRE_PARITY = os.environ.get("TINYSEQ_REQUIRE_PARITY") == "1"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite runs on all cores; what is asked for by path, or with ``-n``, as asked.

    Who is done takes tests from who is not: with a file on one core, one of two was idle for the last minutes.
    """
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    worker = hasattr(config, "workerinput")  # which is asked like the whole, and would start workers of its own
    if whole and not worker and getattr(config.option, "numprocesses", 0) is None and not config.option.usepdb:
        config.option.numprocesses = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )
        config.option.dist = "worksteal"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The object code of the tests goes to a folder of their own, one for all that run side by side."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "objects"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYSEQ_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def _auto_is_numpy() -> Iterator[None]:
    """What does not name its backend runs on the reference, whatever is installed; the other tests name theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYSEQ_BACKEND", "numpy")
        yield


@pytest.fixture(autouse=True)
def _fresh_seed() -> Iterator[None]:
    """Each test starts from the same random numbers, whatever ran before it, and leaves no tracing behind."""
    ts.seed(0)
    yield
    left, mode.tracing, generator.counter = (mode.tracing, generator.counter), None, None
    assert left == (None, None), "tracing was left on"


def _missing_device() -> str:
    try:
        with ts.backend("cupy"):
            return ""
    except ts.TinyseqError as error:
        return str(error).splitlines()[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` where there is no CUDA device, and say why."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    reason = _missing_device() if marked else ""
    if reason:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def _refuse_skip(report: pytest.CollectReport | pytest.TestReport) -> None:
    if REQUIRE_PARITY and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"TINYSEQ_REQUIRE_PARITY=1, and a parity test would be skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    """A parity module that skips itself (``pytest.importorskip``) fails where parity is required."""
    report = yield
    path = Path(collector.path)
    if report.skipped and path.suffix == ".py" and "mark.parity" in path.read_text(encoding="utf-8"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """A single parity test that skips itself fails where parity is required."""
    report = yield
    if item.get_closest_marker("parity"):
        _refuse_skip(report)
    return report
