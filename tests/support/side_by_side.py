"""Threads of a test: what they return, what they raise, and points where one waits for another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

#: Seconds after which a thread that is waited for has died.
LIMIT = 600


def side_by_side(*functions: Callable[[], Any]) -> list[Any]:
    """Call each function in a thread of its own; return what they return, or raise what the first of them raised."""
    found: list[Any] = [None] * len(functions)
    failed: list[BaseException | None] = [None] * len(functions)

    def work(number: int) -> None:
        try:
            found[number] = functions[number]()
        except BaseException as error:
            failed[number] = error

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "a thread waits for ever"
    for error in failed:
        if error is not None:
            raise error
    return found


def wait(event: threading.Event) -> None:
    """Wait for another thread."""
    assert event.wait(LIMIT), "the other thread did not come so far"


class Turns:
    """Threads that take turns, in the order in which they are named, until they leave."""

    def __init__(self, *names: Any) -> None:
        self.names = deque(names)
        self.changed = threading.Condition()

    def take(self, name: Any) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.names[0] == name, LIMIT), "the other thread did not pass on"

    def pass_on(self) -> None:
        with self.changed:
            self.names.rotate(-1)
            self.changed.notify_all()

    def leave(self, name: Any) -> None:
        with self.changed:
            if name in self.names:
                self.names.remove(name)
            self.changed.notify_all()
