"""Folders of adapters: found where a fit or study put them, written and copied whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from loracast.errors import AdapterError, StorageError
from loracast.files import whole_folder

__all__ = ["MANIFEST", "adapter_folder", "copy_adapter", "new_adapter"]

MANIFEST = "loracast.json"


def adapter_folder(folder: str | Path) -> Path:
    """The folder of an adapter, given it or the folder of the fit or study that made it.

    Raises:
        AdapterError: neither.
    """
    folder = Path(folder)
    for place in (folder, folder / "adapter"):
        if (place / MANIFEST).is_file():
            return place
    missing = "" if folder.exists() else " (no such folder)"
    raise AdapterError(
        f"{folder} holds no adapter{missing}; expected a folder written by loracast fit or study"
    )


@contextmanager
def new_adapter(folder: Path) -> Iterator[Path]:
    """A folder to fill, which then stands at `folder` whole, or not at all.

    Raises:
        StorageError: the place cannot be written, or holds something else.
    """
    try:
        with whole_folder(folder, mark=MANIFEST, kind="adapter") as work:
            yield work
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"the adapter could not be written to {folder}: {reason}") from error


def copy_adapter(source: Path, folder: Path) -> None:
    """Copy an adapter; a finished folder appears, or none.

    Raises:
        StorageError: the folder cannot be written, or holds something else.
    """
    with new_adapter(folder) as work:
        for file in source.iterdir():
            shutil.copyfile(file, work / file.name)
