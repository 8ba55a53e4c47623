"""Files that matter: written beside and renamed, so they are whole or not there; their digests.

Knows the differences between systems: Windows syncs a file only when it may be written, and opens
no folder; there the rename that follows is as durable as the file system makes it. What a process
that was killed leaves beside begins with a dot and ends in `.tmp`, or in `.tmp` and the suffix.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from loracast.errors import StorageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["sha256_of", "sha256_of_file", "whole_folder", "write_whole"]


def write_whole(
    path: str | Path,
    content: str | bytes | Callable[[Path], object],
    *,
    parents: bool = False,
    remedy: str = "",
) -> Path:
    """Write a file beside its place, sync and rename it: readers see the old file or the new one.

    A file that is replaced hands on its permissions. Any number of processes may write one path.

    Args:
        path: of the file.
        content: text (written in UTF-8), bytes, or what writes the file to the path it is given,
            which has the same suffix.
        parents: create the folders that are missing.
        remedy: what to do where it fails, for the message.

    Returns:
        The path.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    path = Path(path)
    work = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    blob = content.encode() if isinstance(content, str) else content
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        work.open("xb").close()
        if callable(blob):
            blob(work)
        else:
            work.write_bytes(blob)
        _sync([work])
        with suppress(FileNotFoundError):
            shutil.copymode(path, work)
        work.replace(path)
        _sync_names(path.parent)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise StorageError(
            f"{path}: cannot be written ({reason}){'; ' if remedy else ''}{remedy}"
        ) from error
    finally:
        with suppress(OSError):
            work.unlink(missing_ok=True)
    return path


@contextmanager
def whole_folder(folder: Path, *, mark: str = "", kind: str = "") -> Iterator[Path]:
    """A folder to fill beside its place; where the block ends well it is synced and renamed.

    Readers see the old folder or the new one. One process at a time may write a folder.

    Args:
        folder: its place, which may hold a folder of its kind already; parents are created.
        mark: the file that every folder of its kind holds; '' for a place within a folder of ours.
        kind: what a folder with this mark is, for the message.

    Raises:
        StorageError: the place holds files but not the mark.
        OSError: the disk is full or the place cannot be written; nothing is left behind.
    """
    if mark and folder.exists() and any(folder.iterdir()) and not (folder / mark).is_file():
        raise StorageError(
            f"{folder} exists and holds no {kind}; refusing to replace it: choose another folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    work, old = (folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp") for _ in range(2))
    work.mkdir()
    try:
        yield work
        _sync(path for path in work.rglob("*") if path.is_file())
        if folder.exists():
            folder.rename(old)
        try:
            work.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
        _sync_names(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sync(files: Iterable[Path]) -> None:
    """Wait until the content of these files is on the disk."""
    for path in files:
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _sync_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where a folder can be opened at all."""
    with suppress(OSError):  # Windows opens none, some network file systems sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_of(*parts: str | bytes | np.ndarray) -> str:
    """The SHA-256, in hexadecimal, of texts in UTF-8, bytes and arrays in C order, end to end."""
    digest = hashlib.sha256()
    for part in parts:
        plain = part.encode() if isinstance(part, str) else part
        digest.update(plain if isinstance(plain, bytes) else plain.tobytes())
    return digest.hexdigest()


def sha256_of_file(*paths: str | Path) -> str:
    """The SHA-256, in hexadecimal, of the bytes of a file, or of several end to end.

    Raises:
        OSError: one is missing, is a folder or cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
