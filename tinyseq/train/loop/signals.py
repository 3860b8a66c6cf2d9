"""Being asked to stop: once, and the step is finished and saved; twice, and the run stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

#: What asks a run to stop: Ctrl-C, a scheduler, a terminal that was closed (not there on Windows).
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class StoppedError(KeyboardInterrupt):
    """The run was asked to stop by a signal. ``exit_code`` is the shell's: 128 and the signal's number.

    It is a KeyboardInterrupt, so that nothing takes it for an error of the program and goes on.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Stop:
    """Whether the run was asked to stop, and by what."""

    def __init__(self) -> None:
        self.number: int | None = None
        #: Whether it was asked again, and no longer waits for anything.
        self.at_once = False
        #: Whether another rank of the run was asked.
        self.asked_elsewhere = False

    @property
    def asked(self) -> bool:
        return self.number is not None

    def error(self) -> StoppedError:
        """Return what ends the command, once asked."""
        assert self.asked or self.asked_elsewhere
        return StoppedError(signal.SIGTERM if self.number is None else self.number)


@contextmanager
def stop_on_signals(tell: Callable[[str], None]) -> Iterator[Stop]:
    """Note signals that ask to stop inside the ``with`` block; the second one raises ``StoppedError`` where it arrives.

    Outside of the main thread, where Python takes no signals, and for signals that the caller ignores (``nohup``) or
    handles itself, all stays as it is.
    """
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            stop.at_once = True
            raise StoppedError(number)
        stop.number = number
        with suppress(RuntimeError):  # the signal came in the middle of another message
            tell(f"{signal.Signals(number).name}: finishing this step and saving; once more stops at once")

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
