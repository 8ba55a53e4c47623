"""One process at a time on a file, on any system; the lock goes with the process that held it.

POSIX locks the file itself. Where there is no `fcntl` (Windows), SQLite locks a small database
beside it, by whatever means that system has.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, BinaryIO

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["FileLock"]


class FileLock:
    """Held from the moment it is made until `release` or the end of the process.

    Args:
        file: open for writing.
        path: where it lies.

    Raises:
        BlockingIOError: another process, or another lock of this one, holds it.
        OSError: it cannot be locked.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._beside: sqlite3.Connection | None = None
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes when the file is closed
            return
        place = path.with_name(f".{path.name}.lock")
        try:
            self._beside = sqlite3.connect(place, timeout=0, isolation_level=None)
            self._beside.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            self.release()
            if "locked" in str(error):
                raise BlockingIOError(f"{place} is locked") from error
            raise OSError(f"{place}: {error}") from error

    def release(self) -> None:
        """Let another process have the file; a POSIX lock goes when the file is closed."""
        if self._beside is not None:
            self._beside.close()
            self._beside = None
