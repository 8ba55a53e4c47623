"""Which column is the id, which the time, which the values.

Looks at names and kinds of columns alone and never at what the numbers mean. A choice that
could go two ways is refused with the names of the options that settle it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loracast.errors import DataError

__all__ = ["ColumnInfo", "Roles", "assign_roles"]

# Names that Nixtla's and AutoGluon's long frames use.
ID_NAMES = ("unique_id", "item_id")
TIME_NAMES = ("ds", "timestamp")
TARGET_NAMES = ("y", "target")
# Usual headers of a time column, compared in lower case (assumption, from common data files).
COMMON_TIME_NAMES = frozenset(
    ["date", "datetime", "time", "year", "month", "quarter", "week", "day", "hour", "period"]
) | {"step", "t"}
FLAGS = "--id-col, --time-col and --target-cols"


@dataclass(frozen=True)
class ColumnInfo:
    """A column's name and kind.

    Args:
        name: the header.
        kind: "number", "date" (also text that reads as dates), "text" or "other".
        row_numbers: whether it only counts the rows, as an index written to a file does.
    """

    name: str
    kind: str
    row_numbers: bool = False


@dataclass(frozen=True)
class Roles:
    """The part each column plays. `None` for an id means one series, for a time row numbers."""

    id_col: str | None
    time_col: str | None
    target_cols: tuple[str, ...]
    ignored: tuple[str, ...]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f", ... ({len(names)} in all)" if len(names) > 12 else "")


def _check_named(
    names: Sequence[str], id_col: str | None, time_col: str | None, targets: Sequence[str] | None
) -> None:
    wanted = [
        (flag, name)
        for flag, name in (
            ("--id-col", id_col),
            ("--time-col", time_col),
            *(("--target-cols", target) for target in targets or ()),
        )
        if name is not None
    ]
    for flag, name in wanted:
        if name not in names:
            raise DataError(
                f"column {name!r} is not there; the columns are {_listed(names)}; mend {flag}"
            )
    chosen = [name for _, name in wanted]
    for name in chosen:
        if chosen.count(name) > 1:
            raise DataError(
                f"column {name!r} is named twice among {FLAGS}; expected each column once"
            )
    if targets is not None and not targets:
        raise DataError("got no target column; name at least one with --target-cols")


def assign_roles(
    columns: Sequence[ColumnInfo],
    *,
    id_col: str | None = None,
    time_col: str | None = None,
    target_cols: Sequence[str] | None = None,
) -> Roles:
    """Give each column its part.

    Named columns win; then `unique_id/ds/y` and `item_id/timestamp/target`; then the only
    column that can be a time (dates, or a header such as `Year`); the numeric rest are values.

    Args:
        columns: the columns in the order of the source.
        id_col: the id column, when its name is none of the usual ones.
        time_col: the time column, likewise.
        target_cols: the value columns, likewise.

    Returns:
        The part of every column.

    Raises:
        DataError: a named column is missing, or the choice could go two ways.
    """
    names = [c.name for c in columns]
    if isinstance(target_cols, str):
        target_cols = [target_cols]
    _check_named(names, id_col, time_col, target_cols)
    named = {n for n in (id_col, time_col, *(target_cols or ())) if n is not None}
    index = next((c.name for c in columns if c.row_numbers and c.name not in named), None)
    if len(columns) == 1:
        index = None
    rest = [c for c in columns if c.name not in named and c.name != index]

    def take(wanted: Sequence[str]) -> str | None:
        for want in wanted:
            for column in rest:
                if column.name == want:
                    rest.remove(column)
                    return want
        return None

    if id_col is None:
        id_col = take(ID_NAMES)
    if time_col is None:
        time_col = take(TIME_NAMES)
    if target_cols is None:
        found = take(TARGET_NAMES)
        target_cols = None if found is None else [found]
    if time_col is None:
        time_col = _find_time(rest, names)
        rest = [c for c in rest if c.name != time_col]
    ignored = () if index is None else (index,)
    if target_cols is None:
        if not rest or any(c.kind != "number" for c in rest):
            raise DataError(
                f"cannot tell ids, times and values apart in the columns {_listed(names)}; "
                f"expected unique_id, ds, y, or name them with {FLAGS}"
            )
        if time_col is None and len(rest) > 1:
            raise DataError(
                f"cannot tell which of the columns {_listed(names)} is the time; "
                f"expected unique_id, ds, y, or name them with {FLAGS}"
            )
        target_cols = [c.name for c in rest]
        rest = []
    if id_col is None and any(c.kind in ("text", "other") for c in rest):
        maybe = next(c.name for c in rest if c.kind in ("text", "other"))
        raise DataError(
            f"column {maybe!r} may hold the ids of several series; "
            f"say so with --id-col {maybe}, or leave the column out"
        )
    if time_col is None and (rest or id_col is not None):
        raise DataError(
            f"found no time column among {_listed(names)}; expected ds or timestamp, "
            "or name it with --time-col"
        )
    return Roles(id_col, time_col, tuple(target_cols), ignored + tuple(c.name for c in rest))


def _find_time(rest: Sequence[ColumnInfo], names: Sequence[str]) -> str | None:
    """The one column that dates or a usual header mark as the time, if any."""
    dates = [c.name for c in rest if c.kind == "date"]
    candidates = dates or [
        c.name for c in rest if c.kind == "number" and c.name.strip().lower() in COMMON_TIME_NAMES
    ]
    if len(candidates) > 1:
        raise DataError(
            f"columns {_listed(candidates)} could each be the time (of {_listed(names)}); "
            "name one with --time-col"
        )
    return candidates[0] if candidates else None
