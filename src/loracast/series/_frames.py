"""Long frames to panels and back, for pandas and polars through narwhals.

Knows nothing of files or forecasts. Missing rows stay missing and NaN stays NaN; times that go
back are an error unless sorting was asked for, and repeated times always are.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, Literal, cast

import narwhals as nw
import numpy as np
import pandas as pd

from loracast.errors import ConfigError, DataError
from loracast.series._columns import ColumnInfo, Roles, assign_roles
from loracast.series._panel import Panel

__all__ = ["Backend", "build_frame", "panel_from_frame", "panel_to_frame"]

Backend = Literal["pandas", "polars"]
SINGLE_ID = "series"
LONGEST_ID = 1_000  # characters
INDEX_NAMES = ("", "rownames", "Unnamed: 0")
DATE_PROBE_ROWS = 50
# A time of day and what follows it: Z, or an offset from UTC.
_ZONED = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d.*?(Z|[+-]\d\d(?::?\d\d)?)", re.IGNORECASE)


def panel_from_frame(
    frame: Any,
    *,
    id_col: str | None = None,
    time_col: str | None = None,
    target_cols: Sequence[str] | None = None,
    sort: bool = False,
    strict: bool = True,
) -> Panel:
    """Read a long frame, one row per series and time.

    A frame without an id column is one series named `series`; a frame of one numeric column
    has its rows counted from 0. Series come in the order in which they first appear.

    Args:
        frame: a pandas or polars frame (or a pandas Series with its times as index).
        id_col: name of the id column (default `unique_id` or `item_id`).
        time_col: name of the time column (default `ds` or `timestamp`): integers, floats,
            dates, or text that reads as dates. Times in UTC lose their zone, others are refused.
        target_cols: names of the C value columns (default `y` or `target`).
        sort: put the rows of each series in time order instead of refusing them.
        strict: refuse the frame where one of several series has unordered times or an infinite
            value; else such series are left out, and `meta["skipped"]` holds pairs of id and
            reason.

    Returns:
        The panel; `meta["backend"]` is "pandas" or "polars", `meta["notes"]` says what was
        left out or sorted.

    Raises:
        DataError: columns, times or values that cannot be used, each in one line.
    """
    frame = _with_index_as_column(frame)
    try:
        table = nw.from_native(frame, eager_only=True)
        names = list(table.columns)
    except Exception as problem:  # narwhals has many error classes, all meaning the same here
        raise DataError(
            f"got {type(frame).__name__} that is no usable frame ({_first_line(problem)}); "
            "expected a pandas or polars frame with distinct column names"
        ) from problem
    if not len(table) or not names:
        raise DataError(
            f"got an empty frame ({len(table)} rows, {len(names)} columns); "
            "expected one row per series and time"
        )
    roles = assign_roles(
        [_describe(table.get_column(name)) for name in names],
        id_col=id_col,
        time_col=time_col,
        target_cols=target_cols,
    )
    targets = [_target_values(table.get_column(name)) for name in roles.target_cols]
    times = (
        np.arange(len(table))
        if roles.time_col is None
        else _time_values(table.get_column(roles.time_col))
    )
    codes, ids = _id_codes(table, roles)
    order = np.argsort(codes, kind="stable")
    notes = []
    if roles.ignored:
        notes.append("columns not used: " + ", ".join(repr(n) for n in roles.ignored))
    if sort:
        by_time = np.lexsort((times, codes))
        if not (by_time == order).all():
            notes.append("rows were sorted by time")
        order = by_time
    codes, times = codes[order], times[order]
    values = np.stack(targets, axis=1)[order]
    bad = {} if strict else _bad_series(values, codes, times, ids, roles)
    if len(bad) in (0, len(ids)):
        bad = {}
        _check_order(codes, times, ids, roles)
        _check_infinite(values, codes, times, ids, roles)
    else:
        keep = ~np.isin(codes, list(bad))
        codes, times, values = codes[keep], times[keep], values[keep]
    cuts = np.flatnonzero(np.diff(codes)) + 1
    return Panel(
        ids=tuple(name for code, name in enumerate(ids) if code not in bad),
        values=tuple(np.split(values, cuts)),
        times=tuple(np.split(times, cuts)),
        channels=roles.target_cols,
        id_col=roles.id_col or "unique_id",
        time_col=roles.time_col or "ds",
        meta={"backend": _backend_of(table), "notes": tuple(notes)}
        | ({"skipped": tuple((ids[code], reason) for code, reason in bad.items())} if bad else {}),
    )


def panel_to_frame(panel: Panel, backend: Backend | None = None) -> Any:
    """Write a panel as a long frame with the column names it came with.

    Args:
        panel: N series.
        backend: "pandas" or "polars"; by default the kind the panel was read from.

    Returns:
        A frame with the id column, the time column and C value columns.
    """
    backend = backend or cast(Backend, panel.meta.get("backend", "pandas"))
    columns: dict[str, Any] = {
        panel.id_col: _repeat_ids(panel.ids, panel.lengths),
        panel.time_col: np.concatenate(panel.times) if len(panel) else np.array([]),
    }
    values = np.concatenate(panel.values) if len(panel) else np.empty((0, panel.n_channels))
    columns.update({name: values[:, c] for c, name in enumerate(panel.channels)})
    return build_frame(columns, backend)


def build_frame(columns: dict[str, Any], backend: Backend) -> Any:
    """A native frame of the named kind from columns of one length.

    Raises:
        ConfigError: another backend, or one that is not installed.
    """
    if backend not in ("pandas", "polars"):
        raise ConfigError(f"got backend {backend!r}; expected 'pandas' or 'polars'")
    try:
        return nw.from_dict(columns, backend=backend).to_native()
    except ImportError as problem:
        raise ConfigError(
            f"backend {backend!r} is not installed; pip install {backend}"
        ) from problem


def _repeat_ids(ids: Sequence[Any], counts: np.ndarray) -> Any:
    """The ids as a column, each as often as its series has rows."""
    array = np.array(ids, dtype=object)
    if all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
        array = np.array(ids, dtype=np.int64)
        return np.repeat(array, counts)
    return np.repeat(array, counts).tolist()


def _with_index_as_column(frame: Any) -> Any:
    """A pandas index that carries ids or times becomes ordinary columns."""
    if isinstance(frame, pd.Series):
        frame = frame.to_frame("y" if frame.name is None else str(frame.name))
    if not isinstance(frame, pd.DataFrame):
        return frame
    index = frame.index
    timed = isinstance(index, pd.DatetimeIndex | pd.PeriodIndex)
    if timed and index.name is None:
        frame = frame.rename_axis("ds")
    if timed or any(name is not None for name in index.names):
        fresh = frame.index.names
        if any(name in frame.columns for name in fresh):
            return frame
        frame = frame.reset_index()
    if any(not isinstance(name, str) for name in frame.columns):
        frame = frame.rename(columns=str)
    return frame


def _backend_of(table: nw.DataFrame[Any]) -> Backend:
    return "polars" if table.implementation.is_polars() else "pandas"


def _first_line(problem: BaseException) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__


def _describe(column: nw.Series[Any]) -> ColumnInfo:
    dtype = column.dtype
    if dtype.is_numeric():
        counts = False
        if column.name in INDEX_NAMES and dtype.is_integer() and not column.is_null().any():
            numbers = column.to_numpy()
            counts = any((numbers == np.arange(s, s + len(numbers))).all() for s in (0, 1))
        return ColumnInfo(column.name, "number", counts)
    if dtype.is_temporal():
        return ColumnInfo(column.name, "date")
    if _is_period(column):
        return ColumnInfo(column.name, "date")
    if dtype in (nw.String, nw.Categorical, nw.Object):
        probe = column.drop_nulls().head(DATE_PROBE_ROWS).to_list()
        if probe and all(isinstance(text, str) for text in probe):
            is_date = bool(_zones(probe)) or _parse_dates(probe) is not None
            return ColumnInfo(column.name, "date" if is_date else "text")
        if not probe:
            return ColumnInfo(column.name, "number")  # nothing but missing values
        if all(isinstance(x, int | float) and not isinstance(x, bool) for x in probe):
            return ColumnInfo(column.name, "number")
    return ColumnInfo(column.name, "other")


def _is_period(column: nw.Series[Any]) -> bool:
    return isinstance(getattr(column.to_native(), "dtype", None), pd.PeriodDtype)


def _parse_dates(texts: Sequence[Any]) -> pd.DatetimeIndex | None:
    """The texts as times, with their zone where they share one; None where they are no times."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas: 'could not infer format'
        warnings.simplefilter("ignore", FutureWarning)  # pandas: zones that differ
        try:
            return pd.DatetimeIndex(pd.to_datetime(list(texts)))
        except (ValueError, TypeError, OverflowError):
            return None


def _zones(texts: Sequence[Any]) -> list[str]:
    """Z and the offsets that the texts name, without repetitions; "" for texts without, if any."""
    found = {m[1].upper() if (m := _ZONED.fullmatch(str(t).strip())) else "" for t in texts}
    return [] if found == {""} else sorted(found)


def _zone_error(name: str, zones: Sequence[str]) -> DataError:
    named = [zone for zone in zones if zone]
    got = f"zone {named[0]}" if len(named) == 1 else f"zones {' and '.join(named[:3])}"
    some = " in some rows only" if "" in zones else ""
    return DataError(
        f"time column {name!r} has the time {got}{some}; expected times without a zone, or all "
        "in UTC: convert to one zone and drop it"
    )


def _time_values(column: nw.Series[Any]) -> np.ndarray:
    """(R,) integers, floats or datetime64 of a time column."""
    name, dtype = column.name, column.dtype
    native = column.to_native()
    if _is_period(column):
        return np.asarray(cast(pd.Series, native).dt.to_timestamp())
    if column.is_null().any():
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise DataError(f"time column {name!r} is empty in row {row + 1}; expected a time per row")
    zone = getattr(dtype, "time_zone", None)
    if zone == "UTC":
        column = column.dt.replace_time_zone(None)
    elif zone:
        raise _zone_error(name, [zone])
    if dtype.is_integer():
        return np.asarray(column.to_numpy()).astype(np.int64)
    if dtype.is_numeric():
        numbers = np.asarray(column.to_numpy(), dtype=np.float64)
        if not np.isfinite(numbers).all():
            row = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise DataError(
                f"time column {name!r} is {numbers[row]} in row {row + 1}; expected a finite time"
            )
        return numbers
    if dtype in (nw.Datetime, nw.Date):
        return np.asarray(column.to_numpy())
    texts = column.to_list()
    parsed = _parse_dates(texts)
    if parsed is None and len(zones := _zones(texts)) > 1:
        raise _zone_error(name, zones)
    if parsed is None or parsed.hasnans:
        bad = next((t for t in texts if _bad_date(t)), texts[0])
        raise DataError(
            f"time column {name!r} holds {bad!r}; expected integers, or dates such as 2024-01-31"
        )
    if parsed.tz is not None and str(parsed.tz) != "UTC":
        raise _zone_error(name, _zones(texts) or [str(parsed.tz)])
    return parsed.tz_localize(None).to_numpy()


def _bad_date(text: Any) -> bool:
    parsed = _parse_dates([text])
    return parsed is None or bool(parsed.hasnans)


def _target_values(column: nw.Series[Any]) -> np.ndarray:
    """(R,) float64 of a value column, NaN where it is empty."""
    dtype = column.dtype
    if dtype.is_numeric():
        return np.asarray(column.cast(nw.Float64).to_numpy(), dtype=np.float64)
    items = column.to_list()
    out = np.full(len(items), np.nan)
    text = None
    for row, item in enumerate(items):
        if item is None or item is pd.NA or item is pd.NaT:
            continue
        if isinstance(item, int | float | np.number) and not isinstance(item, bool):
            out[row] = float(item)
        elif isinstance(item, str) and _is_number(item):
            text = row if text is None else text
        else:
            raise DataError(
                f"value column {column.name!r} holds {item!r} in row {row + 1}; "
                "expected numbers (empty for missing), or other columns in --target-cols"
            )
    if text is not None:
        raise DataError(
            f"value column {column.name!r} holds the text {items[text]!r} in row {text + 1}; "
            "expected numbers: convert the column"
        )
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _id_codes(table: nw.DataFrame[Any], roles: Roles) -> tuple[np.ndarray, list[Any]]:
    """(R,) position of each row's series, and the ids in order of appearance."""
    if roles.id_col is None:
        return np.zeros(len(table), dtype=np.int64), [SINGLE_ID]
    column = table.get_column(roles.id_col)
    empty = column.is_null().to_numpy() | np.array([x != x for x in column.to_list()], dtype=bool)
    if empty.any():
        row = int(np.flatnonzero(empty)[0])
        raise DataError(f"id column {roles.id_col!r} is empty in row {row + 1}; expected an id")
    codes, uniques = pd.factorize(np.array(column.to_list(), dtype=object))
    longest = max((name for name in uniques if isinstance(name, str)), key=len, default="")
    if len(longest) > LONGEST_ID:
        raise DataError(
            f"id column {roles.id_col!r} holds an id of {len(longest):,} characters "
            f"({longest[:20]!r}...); expected at most {LONGEST_ID:,}, as every row of a forecast "
            "repeats it"
        )
    return codes, list(uniques)


def _bad_series(
    values: np.ndarray, codes: np.ndarray, times: np.ndarray, ids: Sequence[Any], roles: Roles
) -> dict[int, str]:
    """Code -> reason of each series whose times or values cannot be used."""
    same = codes[1:] == codes[:-1]
    unordered = codes[1:][same & (times[1:] <= times[:-1])]
    infinite = codes[np.isinf(values).any(axis=1)]
    found = {}
    for code in np.unique(np.concatenate([unordered, infinite])):
        rows = codes == code
        try:
            _check_order(codes[rows], times[rows], ids, roles)
            _check_infinite(values[rows], codes[rows], times[rows], ids, roles)
        except DataError as problem:
            found[int(code)] = str(problem)
    return found


def _check_order(codes: np.ndarray, times: np.ndarray, ids: Sequence[Any], roles: Roles) -> None:
    same = codes[1:] == codes[:-1]
    hint = (
        ""
        if roles.id_col is not None
        else "; if these are several series, name their id column with --id-col"
    )
    back = same & (times[1:] < times[:-1])
    twice = same & (times[1:] == times[:-1])
    if twice.any():
        at = int(np.flatnonzero(twice)[0])
        raise DataError(
            f"series {ids[codes[at]]!r} has {roles.time_col} {times[at]} twice; "
            f"expected each time once per series{hint}"
        )
    if back.any():
        at = int(np.flatnonzero(back)[0])
        raise DataError(
            f"series {ids[codes[at]]!r} has {roles.time_col} {times[at + 1]} after {times[at]}; "
            f"expected times in order: sort the rows, or have it done with --sort (sort=True){hint}"
        )


def _check_infinite(
    values: np.ndarray, codes: np.ndarray, times: np.ndarray, ids: Sequence[Any], roles: Roles
) -> None:
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, channel = infinite[0]
        raise DataError(
            f"series {ids[codes[row]]!r} has {values[row, channel]} in "
            f"{roles.target_cols[channel]!r} at {roles.time_col or 'row'} {times[row]}; "
            "expected finite numbers, or empty for missing"
        )
