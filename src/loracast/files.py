"""Files that matter: bytes that survive a power cut, and the digests that tell them apart.

Knows the differences between systems: Windows syncs a file only when it may be written, and opens
no folder; there the rename that follows is as durable as the file system makes it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from loracast.errors import DataError

__all__ = ["check_file", "sha256_of_file", "sync_files", "sync_folder"]


def sync_files(files: Iterable[Path]) -> None:
    """Wait until the content of these files is on the disk.

    Raises:
        OSError: one of them cannot be.
    """
    for path in files:
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where a folder can be opened at all."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems do not sync folders
    finally:
        os.close(descriptor)


def check_file(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        DataError: a folder, or nothing of that name.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder; expected a file")
    if not path.exists():
        raise DataError(f"{path}: no such file")


def sha256_of_file(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    check_file(Path(path))
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror})") from problem
