"""Copies that run beside the computation, on a stand-in for CUDA's streams that does everything as oddly as it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from support.streams import Device, module
from tinyseq.backends import transfers
from tinyseq.backends.cupy import CupyBackend
from tinyseq.backends.transfers import LARGEST, ROOM

#: The copies as late as can be; the computing as late as can be; and all kinds of turns.
ORDERS: dict[str, Callable[[], Device]] = {
    "computes first": lambda: Device(min),
    "copies first": lambda: Device(max),
    "copies at once": lambda: Device(max, lambda: 99),
    **{f"seed {seed}": lambda seed=seed: Device.seeded(seed) for seed in range(12)},  # type: ignore[misc]
}


def backend_on(device: Device) -> Any:
    return CupyBackend(module(device))


@pytest.fixture(params=ORDERS)
def device(request: Any) -> Device:
    return ORDERS[request.param]()


def arrays(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    shapes = [(), (3,), (64, 100), (0, 2), (7, 5, 11), (300, 40)]
    kinds = [np.float32, np.float64, np.int64, np.bool_]
    found = []
    for i in range(count):
        made = np.asarray(rng.integers(0, 99, shapes[i % len(shapes)])).astype(kinds[i % len(kinds)])
        found.append(made.T if i % 3 else made)
    return found


def test_what_arrives_is_what_was_sent(device: Device, monkeypatch: Any) -> None:
    """Sets that are small against what passes through them, so that they are used again and again."""
    monkeypatch.setattr(transfers, "_FIRST", 1 << 10)
    backend = backend_on(device)
    sent = arrays(np.random.default_rng(0), 60)
    arrived = []
    for array in sent:
        given = array.copy()
        arrived.append(backend.from_host(given))
        given[...] = 0  # the host goes on with its own memory at once
    for got, wanted in zip(arrived, sent, strict=True):
        np.testing.assert_array_equal(got.now(), wanted)
        assert got.dtype == wanted.dtype


def test_what_is_fetched_is_as_it_was_then(device: Device) -> None:
    backend = backend_on(device)
    array = backend.from_host(np.zeros(5))
    waits = []
    for step in range(20):
        device.current.ask("compute", lambda: array.array.__iadd__(1.0))
        waits.append(backend.fetch(array))
        if step % 3 == 0:
            waits.pop()  # nobody wants it: a step that is taken back
    numbers = [float(wait()[0]) for wait in waits]
    assert numbers == [float(step + 1) for step in range(20) if step % 3]


def test_two_batches_are_on_their_way_while_the_device_computes() -> None:
    """Nothing of the current stream runs here at all, and yet the host is not made to wait, nor are the copies."""
    device = Device(max)
    backend = backend_on(device)
    backend.from_host(np.zeros(4))
    device.current.synchronize()
    device.current.queue.append((lambda: False, lambda: None))  # a long step
    batches = [(np.full((64, 100), i), np.full((64, 100), -i)) for i in range(2)]
    for batch in batches:
        for part in batch:
            backend.from_host(part)
    copying = device.streams[1]
    while copying.ready():
        device.step()
    assert not copying.queue
    assert len(device.current.queue) == 1 + 3 * 4  # a wait, a copy and an event each, behind the step


def test_the_order_of_a_batch() -> None:
    device = Device(min)
    backend = backend_on(device)
    backend.from_host(np.zeros(4))
    device.asked.clear()
    backend.from_host(np.zeros(4))
    assert device.asked == [(1, "send"), (1, "record"), (0, "wait"), (0, "copy"), (0, "record")]


def test_a_set_is_filled_again_only_when_it_was_read(monkeypatch: Any) -> None:
    monkeypatch.setattr(transfers, "_FIRST", 4 * 256)
    device = Device(max)
    backend = backend_on(device)

    def fill() -> None:
        for _ in range(4):
            backend.from_host(np.zeros(32))

    fill()
    fill()
    device.current.synchronize()
    device.current.queue.append((lambda: False, lambda: None))  # a long step
    fill()
    fill()
    copying = device.streams[1]
    while copying.ready():
        device.step()
    assert not copying.queue  # both sets have been sent, and neither is read
    device.asked.clear()
    backend.from_host(np.zeros(32))  # the first one again: the host goes on, the copy waits
    assert device.asked[:2] == [(1, "wait"), (1, "send")]
    while copying.ready():
        device.step()
    assert len(copying.queue) == 3


def test_sets_are_given_back_when_nothing_is_in_them() -> None:
    device = Device(min)
    backend = backend_on(device)
    first = np.arange(1000.0)
    arrived = backend.from_host(first)
    backend.from_host(np.zeros(1 << 20))  # too large for the sets
    np.testing.assert_array_equal(arrived.array, first)  # has come, though nobody waited for it


def test_large_arrays_are_no_batches() -> None:
    device = Device(min)
    backend = backend_on(device)
    backend.from_host(np.zeros(LARGEST + 1, np.uint8))
    assert device.asked == [(0, "array")]
    backend.from_host(np.zeros(LARGEST, np.uint8))
    assert sum(memory.nbytes for memory in device.pinned.values()) == 2 * ROOM * LARGEST


def test_where_there_is_no_room_for_sets_an_array_goes_the_plain_way(monkeypatch: Any) -> None:
    device = Device(min)
    backend = backend_on(device)
    backend.from_host(np.zeros(4))

    def full(nbytes: int, dtype: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(backend.xp, "zeros", full)
    monkeypatch.setattr(CupyBackend, "memory", lambda _: {})
    large = np.arange(1e6)
    device.asked.clear()
    np.testing.assert_array_equal(backend.from_host(large).now(), large)
    assert device.asked == [(0, "array")]
    np.testing.assert_array_equal(backend.from_host(large[:9]).now(), large[:9])  # those that there are still serve
    assert (1, "send") in device.asked


@pytest.mark.parametrize("broken", ["computing waits", "the stream waits", "the host waits", "fetched memory is held"])
def test_the_stand_in_sees_what_is_missing(monkeypatch: Any, broken: str) -> None:
    """Each wait is needed: without it some order gives wrong numbers."""
    from support.streams import Event, Stream

    wait_event = Stream.wait_event
    if broken == "computing waits":
        monkeypatch.setattr(Stream, "wait_event", lambda self, event: self.ptr and wait_event(self, event))
    elif broken == "the stream waits":
        monkeypatch.setattr(Stream, "wait_event", lambda self, event: self.ptr or wait_event(self, event))
    elif broken == "the host waits":
        monkeypatch.setattr(Event, "synchronize", lambda self: None)
    else:
        monkeypatch.setattr(Event, "done", True)
    wrong = 0
    for made in ORDERS.values():
        with monkeypatch.context() as patch:
            try:
                test_what_arrives_is_what_was_sent(made(), patch)
                test_what_is_fetched_is_as_it_was_then(made())
            except AssertionError:
                wrong += 1
    assert wrong
