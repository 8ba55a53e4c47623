"""What comes in from outside: frames, names of series, folders of adapters."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loracast.adapters import sync_files
from loracast.api._engine import Engine
from loracast.errors import AdapterError, DataError, StorageError
from loracast.series import Panel, panel_from_frame

__all__ = [
    "adapter_folder",
    "as_panel",
    "calibrated",
    "copy_adapter",
    "require_known",
    "series_keys",
]

_MANIFEST = "loracast.json"


def as_panel(
    frame: Any,
    id_col: str | None = None,
    time_col: str | None = None,
    target_cols: Sequence[str] | None = None,
    sort: bool = False,
    strict: bool = True,
) -> Panel:
    """A panel as it is, or the panel of a frame.

    Without `strict`, series of the frame that cannot be used are left out; `meta["skipped"]` has
    their ids and reasons.

    Raises:
        DataError: a frame that cannot be used.
    """
    if isinstance(frame, Panel):
        return frame
    return panel_from_frame(
        frame,
        id_col=id_col,
        time_col=time_col,
        target_cols=target_cols,
        sort=sort,
        strict=strict,
    )


def series_keys(ids: Sequence[Hashable]) -> list[str]:
    """One distinct text per id: the name of its random stream."""
    keys = [str(i) for i in ids]
    return keys if len(set(keys)) == len(keys) else [repr(i) for i in ids]


def require_known(panel: Panel, last: Sequence[int] | None, purpose: str) -> None:
    """Refuse series without any known value among those that will be looked at.

    Args:
        panel: N series.
        last: how many of the last steps of each are looked at; None for all.
        purpose: what needs them, as the subject of a sentence ("a forecast").

    Raises:
        DataError: such a series, by name.
    """
    counts = panel.lengths if last is None else last
    for name, values, count in zip(panel.ids, panel.values, counts, strict=True):
        seen = np.isfinite(values[-count:]).any(axis=0)
        if not seen.all():
            channel = panel.channels[int(np.argmin(seen))]
            where = "" if count >= len(values) else f" in its last {count} steps"
            raise DataError(
                f"series {name!r} has no known value in {channel!r}{where}; {purpose} needs at "
                "least one: fill it, or leave the series out"
            )


def calibrated(engine: Engine, values: Sequence[np.ndarray]) -> Engine:
    """The engine with a codec that knows the scale of these values, where it needs one."""
    codec = engine.codec.calibrate(values)
    if codec is engine.codec:
        return engine
    return Engine(engine.backbone, codec, engine.adapter, engine.lora)


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
