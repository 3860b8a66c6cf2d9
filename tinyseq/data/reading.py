"""Reading a file whole, but never more of it than expected: sizes are checked before memory is taken."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

#: The largest data file that is read, 2 GiB: a text takes many times its size once it is tokens.
LARGEST: Final = 1 << 31
_CHUNK: Final = 1 << 20


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """Return the bytes of a file, or of a pipe, of at most ``largest`` bytes.

    Raises:
        OSError: it is larger (EFBIG), or a device (EINVAL), or cannot be read; ``strerror`` says it in words.
    """
    try:
        with open(path, "rb") as file:
            if path.is_char_device() or path.is_block_device():
                raise OSError(errno.EINVAL, "a device, and no file", str(path))
            size = path.stat().st_size
            parts: list[bytes] = []
            total = 0
            # A pipe has no size, and a file may grow while it is read: what comes is counted as well.
            while size <= largest and total <= largest and (part := file.read(min(_CHUNK, largest + 1 - total))):
                parts.append(part)
                total += len(part)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if max(size, total) > largest:
        raise OSError(errno.EFBIG, f"{max(size, total):,} bytes, and at most {largest:,} are read", str(path))
    return b"".join(parts)
