"""Showing how a run goes: a live line on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol, TextIO

from tinyseq.terminal import FAILURES, is_terminal, printable, tell


class Progress(Protocol):
    """What the loop and the run report to."""

    def start(self, steps: int, done: int = 0) -> None:
        """The loop begins; so many steps were done before."""

    def step(self, step: int, metrics: Mapping[str, float], rate: float) -> None:
        """A step is done; ``rate`` is in tokens a second."""

    def evaluated(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        """The validation part was looked at."""

    def info(self, message: str) -> None:
        """What a run says of itself: what it reads, where it goes, what would be faster."""

    def note(self, message: str) -> None:
        """What went otherwise than was asked for, such as a warning."""

    def stop(self) -> None:
        """The loop ended, in whatever way."""


def choose(*, quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Return the display that fits: silent, live on a terminal, else plain lines."""
    stream = stream or sys.stderr
    if quiet:
        return SilentProgress(stream)
    live = is_terminal(stream) and os.environ.get("TERM") not in ("dumb", "unknown")
    return LiveProgress() if live else PlainProgress(stream)


def figures(metrics: Mapping[str, float]) -> str:
    """Return ``loss 1.234  bpc 1.780`` for the metrics that are worth a place on a line; counts are not."""
    shown = (
        f"{key} {value:.3f}" for key, value in metrics.items() if key != "perplexity" and not isinstance(value, int)
    )
    return "  ".join(shown)


def duration(seconds: float) -> str:
    """Return ``1:05`` or ``2:00:09``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class SilentProgress:
    """Says nothing but notes: what went wrong is not progress. Without a stream (``pythonw``), not even these."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr

    def start(self, steps: int, done: int = 0) -> None: ...

    def step(self, step: int, metrics: Mapping[str, float], rate: float) -> None: ...

    def evaluated(self, step: int, metrics: Mapping[str, float], best: bool) -> None: ...

    def info(self, message: str) -> None: ...

    def note(self, message: str) -> None:
        # Whoever read the messages may be gone (`| head`, a closed terminal): no reason for a run to end.
        tell(printable(message), self.stream)

    def stop(self) -> None: ...


class NoProgress(SilentProgress):
    """Says nothing at all: the progress of ranks that another one speaks for."""

    def note(self, message: str) -> None: ...


class PlainProgress(SilentProgress):
    """A line every few seconds, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None, interval: float = 5.0) -> None:
        super().__init__(stream)
        self.interval, self.steps, self.done, self.began, self.shown = interval, 0, 0, 0.0, 0.0

    def info(self, message: str) -> None:
        self.note(message)

    def start(self, steps: int, done: int = 0) -> None:
        self.steps, self.done, self.began, self.shown = steps, done, time.monotonic(), 0.0

    def step(self, step: int, metrics: Mapping[str, float], rate: float) -> None:
        now = time.monotonic()
        if now - self.shown < self.interval and step < self.steps:
            return
        self.shown = now
        left = (now - self.began) / max(step - self.done, 1) * (self.steps - step)
        self.note(f"step {step}/{self.steps}  {figures(metrics)}  {rate:,.0f} tokens/s  {duration(left)} left")

    def evaluated(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        self.note(f"step {step}/{self.steps}  validation: {figures(metrics)}{'  (best so far)' if best else ''}")


def _console() -> Any:
    from rich.console import Console

    class Unbroken(Console):
        """A console on stderr that ends no process when nobody reads it."""

        def on_broken_pipe(self) -> None:
            self.quiet = True

    return Unbroken(stderr=True, highlight=False)


class LiveProgress:
    """A bar with loss, tokens a second and time left; validation results stay above it."""

    def __init__(self) -> None:
        self.console = _console()
        self.bar: Any = None
        self.task: Any = None
        self.total = 0

    def start(self, steps: int, done: int = 0) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.total = steps
        self.bar = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            TextColumn("{task.fields[rate]} tokens/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task("train", total=steps, completed=done, figures="", rate="?")
        with suppress(*FAILURES):
            self.bar.start()

    def step(self, step: int, metrics: Mapping[str, float], rate: float) -> None:
        self.bar.update(self.task, completed=step, figures=figures(metrics), rate=f"{rate:,.0f}")

    def evaluated(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        self.note(f"step {step}/{self.total}  validation: {figures(metrics)}{'  (best so far)' if best else ''}")

    def info(self, message: str) -> None:
        self.note(message)

    def note(self, message: str) -> None:
        with suppress(*FAILURES):
            self.console.print(printable(message), markup=False, soft_wrap=True)

    def stop(self) -> None:
        if self.bar is not None:
            with suppress(*FAILURES):
                self.bar.stop()
