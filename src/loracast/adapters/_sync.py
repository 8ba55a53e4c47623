"""Bytes that shall survive a power cut: files and folders synced, as far as a system can.

Knows the differences between systems: Windows syncs a file only when it may be written, and opens
no folder; there the rename that follows is as durable as the file system makes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["sync_files", "sync_folder"]


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
