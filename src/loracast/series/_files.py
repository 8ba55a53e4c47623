"""Panels from and to files: CSV, Parquet and HDF5, told apart by the suffix.

Knows nothing of what the numbers mean. Every way a file can be unusable ends in one line.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pandas as pd

from loracast.errors import DataError
from loracast.files import sha256_of_file, write_whole
from loracast.series._frames import LONGEST_ID, panel_from_frame, panel_to_frame
from loracast.series._panel import Panel

__all__ = ["read_panel", "write_hdf5", "write_panel"]

CSV_SUFFIXES = (".csv",)
PARQUET_SUFFIXES = (".parquet", ".pq")
HDF5_SUFFIXES = (".h5", ".hdf5")
# What `meta` says of where a panel was read from; not stored again.
SOURCE_FACTS = ("path", "sha256", "backend", "notes", "skipped", "per_series")
SUFFIXES = CSV_SUFFIXES + PARQUET_SUFFIXES + HDF5_SUFFIXES


def read_panel(
    path: str | Path,
    *,
    id_col: str | None = None,
    time_col: str | None = None,
    target_cols: Sequence[str] | None = None,
    sort: bool = False,
    strict: bool = True,
) -> Panel:
    """Read a file of series.

    CSV (UTF-8, commas) and Parquet hold a long frame, see `panel_from_frame`. HDF5 holds
    `trajectories` (N, T, C), and optionally `time` (T,), else steps count from 0, and
    `system_id` (N,), else series count from 0; channels are named by the attribute `channels`
    of `trajectories`, else by `target_cols`, else prey and predator when C = 2, else y0, y1, ...

    Args:
        path: a file ending in .csv, .parquet, .pq, .h5 or .hdf5.
        id_col: name of the id column.
        time_col: name of the time column.
        target_cols: names of the C value columns (for HDF5: which channels, in which order).
        sort: put the rows of each series in time order instead of refusing them.
        strict: as in `panel_from_frame`.

    Returns:
        The panel, with `path` and `sha256` in `meta`.

    Raises:
        DataError: a missing, empty, truncated or otherwise unusable file, in one line.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: got suffix {suffix!r}; expected one of {', '.join(SUFFIXES)}")
    digest = _digest(path)
    try:
        if suffix in HDF5_SUFFIXES:
            panel = _read_hdf5(path, id_col, time_col, target_cols, strict)
        else:
            frame = _read_csv(path) if suffix in CSV_SUFFIXES else _read_parquet(path)
            panel = panel_from_frame(
                frame,
                id_col=id_col,
                time_col=time_col,
                target_cols=target_cols,
                sort=sort,
                strict=strict,
            )
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from problem
    panel.meta.update(path=str(path), sha256=digest)
    return panel


def _digest(path: Path) -> str:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; expected a file")
    try:
        return sha256_of_file(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror})") from problem


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:200]


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, encoding="utf-8-sig", float_precision="round_trip")
        if frame.shape[1] == 1:
            # pandas skips blank lines; in a file of one column a blank line is a missing value
            text = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
            frame = pd.read_csv(
                io.StringIO(text), float_precision="round_trip", skip_blank_lines=False
            )
    except UnicodeDecodeError as problem:
        raise DataError(
            f"is not UTF-8 (byte 0x{problem.object[problem.start]:02x}); "
            "expected a UTF-8 CSV: convert it, for example with iconv"
        ) from problem
    except pd.errors.EmptyDataError as problem:
        raise DataError("is empty; expected a header line and rows") from problem
    except (pd.errors.ParserError, ValueError, OSError) as problem:
        raise DataError(f"is no readable CSV ({_one_line(problem)})") from problem
    if frame.shape[1] == 1 and any(mark in str(frame.columns[0]) for mark in (";", "\t")):
        raise DataError("has one column with ';' or tabs in its header; expected commas between")
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError("has more fields in its rows than in its header; expected as many names")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError as problem:
        raise DataError("needs pyarrow to be read; pip install pyarrow") from problem
    except Exception as problem:  # pyarrow's errors share no base with a narrower meaning
        raise DataError(
            f"is no readable Parquet file ({_one_line(problem)}); is it truncated?"
        ) from problem


def _read_hdf5(
    path: Path,
    id_col: str | None,
    time_col: str | None,
    target_cols: Sequence[str] | None,
    strict: bool,
) -> Panel:
    try:
        with h5py.File(path, "r") as file:
            data = {key: _dataset(file, key) for key in ("trajectories", "time", "system_id")}
            values = data["trajectories"]
            names = None if values is None else file["trajectories"].attrs.get("channels")
            meta = _read_meta(file)
            keys = list(file.keys())
    except (OSError, RuntimeError, KeyError, ValueError) as problem:
        raise DataError(
            f"is no readable HDF5 file ({_one_line(problem)}); is it truncated?"
        ) from problem
    values, time, ids = data["trajectories"], data["time"], data["system_id"]
    if values is None:
        raise DataError(f"has no dataset 'trajectories' (N, T, C); it holds {keys}")
    if values.dtype.kind not in "fiu":
        raise DataError(f"has 'trajectories' of type {values.dtype}; expected numbers")
    if values.ndim != 3 or not values.size:
        raise DataError(
            f"has 'trajectories' of shape {values.shape}; expected (N, T, C), none of them 0"
        )
    n_series, n_steps, n_channels = values.shape
    time = np.arange(n_steps) if time is None else time
    ids = np.arange(n_series) if ids is None else ids
    if time.shape != (n_steps,) or time.dtype.kind not in "fiu":
        raise DataError(f"has 'time' of shape {time.shape}; expected ({n_steps},) numbers")
    if ids.shape != (n_series,):
        raise DataError(f"has 'system_id' of shape {ids.shape}; expected ({n_series},)")
    time = time.astype(np.float64 if time.dtype.kind == "f" else np.int64)
    channels = _channel_names(names, n_channels, target_cols)
    pick = list(range(n_channels))
    if target_cols is not None and names is not None:
        missing = [t for t in target_cols if t not in channels]
        if missing:
            raise DataError(f"has the channels {list(channels)} and no {missing[0]!r}")
        pick = [channels.index(t) for t in target_cols]
    values = values.astype(np.float64)[:, :, pick]
    named = tuple(i.decode() if isinstance(i, bytes) else i for i in ids.tolist())
    longest = max((len(name) for name in named if isinstance(name, str)), default=0)
    if longest > LONGEST_ID:
        raise DataError(
            f"has an id of {longest:,} characters in 'system_id'; expected at most "
            f"{LONGEST_ID:,}, as every row of a forecast repeats it"
        )
    bad = np.isinf(values).any(axis=(1, 2))
    if strict or bad.all():
        bad = np.zeros(n_series, dtype=bool)  # `Panel` refuses
    rows = np.flatnonzero(~bad)
    if bad.any():
        meta["skipped"] = tuple(
            (named[row], f"series {named[row]!r} has infinite values")
            for row in np.flatnonzero(bad)
        )
        facts = cast(dict[str, list[object]], meta.get("per_series", {}))
        meta["per_series"] = {key: [column[r] for r in rows] for key, column in facts.items()}
    return Panel(
        ids=tuple(named[row] for row in rows),
        values=tuple(values[rows]),
        times=(time,) * len(rows),
        channels=tuple(channels[p] for p in pick),
        id_col=id_col or "unique_id",
        time_col=time_col or "ds",
        meta=meta,
    )


def _channel_names(
    stored: Any, n_channels: int, target_cols: Sequence[str] | None
) -> tuple[str, ...]:
    if stored is not None:
        names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in np.atleast_1d(stored))
    elif target_cols is not None:
        names = tuple(target_cols)
    elif n_channels == 2:
        names = ("prey", "predator")
    else:
        names = ("y",) if n_channels == 1 else tuple(f"y{c}" for c in range(n_channels))
    if len(names) != n_channels or len(set(names)) != n_channels:
        raise DataError(f"has {n_channels} channels; got the names {list(names)} for them")
    return names


def _dataset(file: h5py.File, key: str) -> np.ndarray | None:
    node = _followed(file, key)
    return np.asarray(node[()]) if isinstance(node, h5py.Dataset) else None


def _followed(group: h5py.Group, key: str) -> Any:
    """What stands under a name, None if nothing does.

    Raises:
        DataError: a link that leads nowhere.
    """
    node = group.get(key)
    if node is None and group.get(key, getlink=True) is not None:
        raise DataError(
            f"has a link {group.name.rstrip('/')}/{key} that leads nowhere; expected a dataset: "
            "write the file anew, or put the linked file beside it"
        )
    return node


def _read_meta(file: h5py.File) -> dict[str, object]:
    """What `write_hdf5` stored beside the numbers; files of others hold none of it."""
    text = file.attrs.get("loracast_meta")
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except json.JSONDecodeError:
        found = {}
    meta: dict[str, object] = found if isinstance(found, dict) else {}
    group = _followed(file, "per_series")
    if isinstance(group, h5py.Group):
        nodes = {key: _followed(group, key) for key in group}
        columns = {
            key: np.asarray(node.asstr()[()] if node.dtype.kind == "O" else node[()]).tolist()
            for key, node in nodes.items()
            if isinstance(node, h5py.Dataset)
        }
        n_series = len(file["trajectories"]) if "trajectories" in file else 0
        if all(isinstance(c, list) and len(c) == n_series for c in columns.values()):
            meta["per_series"] = columns
    return meta


def write_hdf5(panel: Panel, path: str | Path) -> Path:
    """Write series of one length and common times as HDF5, atomically.

    The layout is that of `read_panel`; `meta` goes along (`per_series` as datasets, the rest as
    JSON), without the path and hash of the file it was read from.

    Args:
        panel: N series of equal length.
        path: the file to write; an existing one is replaced only by a complete one.

    Returns:
        The path.

    Raises:
        DataError: lengths or times that differ, or dates as times.
        StorageError: the file cannot be written.
    """
    values = panel.stack()
    time = panel.times[0]
    if any(not np.array_equal(time, other) for other in panel.times[1:]):
        raise DataError("got series with different times; HDF5 holds one: write .parquet or .csv")
    if time.dtype.kind not in "fiu":
        raise DataError("got dates as times; HDF5 holds numbers: write .parquet or .csv")
    per_series = cast(dict[str, list[object]], panel.meta.get("per_series", {}))
    meta = {k: v for k, v in panel.meta.items() if k not in SOURCE_FACTS}
    ids = np.array(panel.ids)
    if ids.dtype.kind not in "fiu":
        ids = np.array([str(i) for i in panel.ids], dtype=h5py.string_dtype())

    def write(temporary: Path) -> None:
        with h5py.File(temporary, "w") as file:
            options = {"compression": "gzip", "shuffle": True, "track_times": False}
            node = file.create_dataset("trajectories", data=values, **options)
            node.attrs["channels"] = list(panel.channels)
            file.create_dataset("time", data=time, track_times=False)
            file.create_dataset("system_id", data=ids, track_times=False)
            for key, entries in per_series.items():
                column = np.asarray(entries)
                if column.dtype.kind not in "fiub":
                    column = np.array([str(e) for e in entries], dtype=h5py.string_dtype())
                file.create_dataset(f"per_series/{key}", data=column, track_times=False)
            if meta:
                file.attrs["loracast_meta"] = json.dumps(meta, default=_plain)

    return write_whole(path, write)


def write_panel(panel: Panel, path: str | Path) -> Path:
    """Write a panel as CSV, Parquet or HDF5, by the suffix, atomically.

    Raises:
        DataError: another suffix, or series that HDF5 cannot hold.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in HDF5_SUFFIXES:
        return write_hdf5(panel, path)
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: got suffix {suffix!r}; expected one of {', '.join(SUFFIXES)}")
    frame = panel_to_frame(panel, "pandas")
    if suffix in CSV_SUFFIXES:
        return write_whole(path, lambda to: frame.to_csv(to, index=False))
    return write_whole(path, lambda to: frame.to_parquet(to, index=False))


def _plain(item: object) -> object:
    if isinstance(item, np.ndarray | np.generic):
        return item.tolist()
    raise TypeError(f"{type(item).__name__} cannot be stored")
