"""Folders of adapters: found where a fit or study put them, and copied whole."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from loracast.errors import AdapterError, StorageError
from loracast.files import sync_files

__all__ = ["adapter_folder", "copy_adapter"]

_MANIFEST = "loracast.json"


def adapter_folder(folder: str | Path) -> Path:
    """The folder of an adapter, given it or the folder of the fit or study that made it.

    Raises:
        AdapterError: neither.
    """
    folder = Path(folder)
    for place in (folder, folder / "adapter"):
        if (place / _MANIFEST).is_file():
            return place
    missing = "" if folder.exists() else " (no such folder)"
    raise AdapterError(
        f"{folder} holds no adapter{missing}; expected a folder written by loracast fit or study"
    )


def copy_adapter(source: Path, folder: Path) -> None:
    """Copy an adapter; a finished folder appears, or none.

    Raises:
        StorageError: the folder cannot be written, or holds something else.
    """
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / _MANIFEST).is_file():
            raise StorageError(
                f"{folder} exists and holds no adapter; refusing to replace it: choose another "
                "folder"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        try:
            for file in sorted(source.iterdir()):
                shutil.copyfile(file, work / file.name)
            sync_files(work.iterdir())
            work.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"the adapter could not be written to {folder}: {error.strerror or error}"
        ) from error
