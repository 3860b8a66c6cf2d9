"""Files are there whole or not at all, and no more of them is read than expected."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import tinyseq as ts
from tinyseq import figures, files
from tinyseq.drawing import DrawingError


def test_durable_write_replaces_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    files.write(path, b"old")
    order = []
    for name in ("fsync", "replace"):
        real = getattr(files.os, name)
        monkeypatch.setattr(files.os, name, lambda *a, n=name, r=real: (order.append(n), r(*a))[1])
    files.write(path, b"new" * 100)
    assert path.read_bytes() == b"new" * 100
    assert order == ["fsync", "replace", "fsync"], "the file, its name, its folder"
    assert list(tmp_path.iterdir()) == [path]


def test_drafts_move_up_when_finished_and_not_when_they_fail(tmp_path: Path) -> None:
    with files.drafts(tmp_path) as place:
        (place / "a.txt").write_text("a")
    with pytest.raises(ZeroDivisionError), files.drafts(tmp_path) as place:
        (place / "b.txt").write_text(str(1 // 0) if (place / "b.txt").write_text("b") else "")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_read_bytes_counts_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, and at most 4"):
        files.read_bytes(path, 4)
    with pytest.raises(OSError, match="null"):
        files.read_bytes(Path("a\0b"))


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And names the file, not its draft. The system takes some bytes first, as a full disk does."""
    path, real = tmp_path / "f", os.write
    path.write_bytes(b"old")

    def full(handle: int, content: bytes) -> int:
        if len(content) > 10:
            return real(handle, content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for durable in (True, False):
        with pytest.raises(OSError, match="No space left") as caught:
            files.write(path, b"new" * 5, durable=durable)
        assert caught.value.filename == str(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("what", ["picture", "figure"])
def test_pictures_and_figures_that_cannot_be_written_leave_what_was_there(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.svg"
    path.write_text("old")

    def full(handle: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    if what == "picture":
        with pytest.raises(DrawingError, match=r"old\.svg: No space left"):
            ts.draw(ts.tensor([1.0], requires_grad=True) * 2.0, path)
    else:
        with pytest.raises(OSError, match="No space left"):
            figures.save(figures.formulas([("LSTM", ["y_t = h_t"])]), path)
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
@pytest.mark.parametrize(
    ("umask", "mode", "expected"), [(0o022, 0o666, 0o644), (0, 0o600, 0o600), (0o077, 0o666, 0o600)]
)
def test_the_umask_takes_its_part_of_the_mode(umask: int, mode: int, expected: int, tmp_path: Path) -> None:
    """In a process of its own: the umask is the process's."""
    program = (
        f"import os; from pathlib import Path; from tinyseq import files; os.umask({umask}); "
        f"files.write(Path({str(tmp_path / 'f')!r}), b'x', mode={mode})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == expected


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    files.write(path, b"x")
    assert path.read_bytes() == b"x"


def test_many_may_write_one_file_at_once(tmp_path: Path) -> None:
    """Whoever reads finds one writer's content whole."""
    path, broken = tmp_path / "f", []
    files.write(path, bytes(50_000))

    def write(number: int) -> None:
        for _ in range(40):
            files.write(path, bytes([number]) * 50_000, durable=False)
            content = path.read_bytes()
            if len(content) != 50_000 or len(set(content)) != 1:
                broken.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert list(tmp_path.iterdir()) == [path]
