"""What is shown acts on no terminal, fits every encoding, and fails nothing."""

from __future__ import annotations

import io
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyseq.terminal import fitting, printable, tell
from tinyseq.train.loop.progress import LiveProgress, PlainProgress, SilentProgress, choose


@given(st.text(alphabet=st.characters(), max_size=40))
def test_nothing_that_is_shown_acts_on_a_terminal(text):
    shown = printable(text)
    kinds = {unicodedata.category(char) for char in shown if char not in "\n\t\u200c\u200d"}
    assert kinds.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    assert printable(shown) == shown


def test_what_is_harmless_stays():
    for text in ("plain", "日本語 é – “x”", "a\tb\n", "می\u200cخواهم", "a\u00a0b\u3000c"):
        assert printable(text) == text
    assert printable("\x1b]0;t\x07\u202e\x9b\r\0\ud800") == "\\x1b]0;t\\x07\\u202e\\x9b\\r\\x00\\ud800"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
@given(text=st.text(alphabet=st.characters(), max_size=20))
def test_no_encoding_loses_a_text(encoding, text):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert tell(text, stream)
    stream.seek(0)
    assert fitting(text, stream).encode(encoding) + "\n".encode(encoding).removeprefix("".encode(encoding)) == (
        stream.buffer.getvalue()
    )


class Broken(io.StringIO):
    """A stream that fails as real ones do."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error

    def isatty(self):
        raise self.error


ERRORS = [OSError(28, "No space left"), BrokenPipeError(32, "x"), ValueError("closed file"), RuntimeError("reentrant")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_display_whose_stream_fails_fails_nothing(error, monkeypatch):
    assert not tell("x", Broken(error))
    live = LiveProgress()
    live.console._force_terminal = True
    monkeypatch.setattr(sys, "stderr", Broken(error))
    for display in (choose(), PlainProgress(), SilentProgress(), live):
        display.start(3)
        display.step(1, {"loss": 1.0}, 2.0)
        display.evaluated(1, {"loss": 1.0}, True)
        display.note("a note")
        display.stop()


def test_without_a_stream_nothing_is_shown(monkeypatch):
    """As with ``pythonw``."""
    monkeypatch.setattr(sys, "stderr", None)
    display = choose()
    assert isinstance(display, PlainProgress)
    display.note("a note")
    assert tell("x", None)


def test_notes_are_escaped():
    stream = io.StringIO()
    PlainProgress(stream).note("label \x1b[2J")
    assert stream.getvalue() == "label \\x1b[2J\n"
