"""Forecast and backtest frames: future times beside point forecasts and intervals.

Knows nothing of models; it gets arrays. Future times continue the spacing of the past.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from loracast.errors import DataError
from loracast.series._frames import _repeat_ids, build_frame
from loracast.series._panel import Panel

__all__ = ["backtest_frame", "forecast_frame", "future_times", "level_name"]

_NAME = "loracast"  # of the column of forecasts


def future_times(times: np.ndarray, horizon: int) -> np.ndarray:
    """The `horizon` times that follow a series.

    Integers and floats continue by the median step. Dates continue by the frequency that
    pandas infers; where rows are missing and none can be inferred, by whole months if every
    date is a month end or falls on the same day of the month, else by the median difference.

    Args:
        times: (T,) strictly increasing integers, floats or datetime64, T >= 2.
        horizon: H, number of times wanted.

    Returns:
        (H,) array of the same kind.

    Raises:
        DataError: fewer than two times, a horizon below 1, or times that end past what their
            type can hold.
    """
    if horizon < 1:
        raise DataError(f"got horizon {horizon}; expected at least 1")
    if len(times) < 2:
        raise DataError(
            f"got {len(times)} time{'s' * (len(times) != 1)}; "
            "the times that follow need at least two to know their spacing"
        )
    ahead = np.arange(1, horizon + 1)
    if np.issubdtype(times.dtype, np.datetime64):
        return _future_dates(times, horizon)
    steps = np.diff(times)
    if np.issubdtype(times.dtype, np.integer):
        # the lower of two middle steps, so that integers stay integers
        step = int(np.sort(steps)[(len(steps) - 1) // 2])
        return np.asarray(times[-1] + step * ahead)
    return np.asarray(times[-1] + float(np.median(steps)) * ahead)


def _future_dates(times: np.ndarray, horizon: int) -> np.ndarray:
    index = pd.DatetimeIndex(times)
    step = _date_step(index)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
            dates = pd.date_range(index[-1], periods=horizon + 1, freq=step)[1:]
    except (ValueError, OverflowError) as problem:
        raise DataError(
            f"the {horizon} dates after {index[-1]} cannot be written ({problem}); "
            "ask for a shorter horizon"
        ) from problem
    return dates.to_numpy().astype(times.dtype)


def _date_step(index: pd.DatetimeIndex) -> Any:
    """A pandas frequency or offset that leads from one date to the next."""
    if len(index) >= 3:
        inferred = pd.infer_freq(index)
        if inferred is not None:
            return inferred
    months = index.year.to_numpy() * 12 + index.month.to_numpy()
    steps = np.diff(months)
    whole_days = bool((index == index.normalize()).all())
    if (steps > 0).all():
        count = int(np.sort(steps)[(len(steps) - 1) // 2])
        if whole_days and bool(index.is_month_end.all()):
            return pd.offsets.MonthEnd(count)
        if len(set(index.day)) == 1 and len(set(index - index.normalize())) == 1:
            return pd.DateOffset(months=count)
    return pd.Timedelta(np.sort(np.diff(index.to_numpy()))[(len(index) - 2) // 2])


def level_name(level: float) -> str:
    """How a level in percent stands in a column name: 80 -> "80", 97.5 -> "97.5"."""
    return f"{level:g}"


def _check(panel: Panel, point: np.ndarray, intervals: Mapping[float, Any]) -> None:
    if point.ndim != 3 or point.shape[0] != len(panel) or point.shape[2] != panel.n_channels:
        raise DataError(
            f"got forecasts of shape {point.shape}; "
            f"expected (N={len(panel)}, H, C={panel.n_channels})"
        )
    for level, (low, high) in intervals.items():
        if not 0 < level < 100:
            raise DataError(f"got level {level}; expected a percentage between 0 and 100")
        if low.shape != point.shape or high.shape != point.shape:
            raise DataError(
                f"level {level_name(level)}: got bounds of shape {low.shape} and {high.shape}; "
                f"expected {point.shape} as the forecasts have"
            )


def forecast_frame(
    panel: Panel,
    point: np.ndarray,
    intervals: Mapping[float, tuple[np.ndarray, np.ndarray]] | None = None,
) -> Any:
    """A long frame of forecasts after the end of each series.

    One target gives `unique_id, ds, loracast, loracast-lo-80, loracast-hi-80`; several give
    `unique_id, ds, prey, prey-lo-80, prey-hi-80, predator, ...`.

    Args:
        panel: the N series that were forecast; the frame continues their times.
        point: (N, H, C) point forecasts.
        intervals: per level in percent, lower and upper bounds, each (N, H, C).

    Returns:
        A frame of N x H rows, of the kind that the panel was read from.

    Raises:
        DataError: shapes that do not agree, or series too short to continue.
    """
    intervals = intervals or {}
    _check(panel, point, intervals)
    horizon = point.shape[1]
    times = [future_times(t, horizon) for t in panel.times]
    columns = _keys(panel, times, horizon)
    heads = (_NAME,) if panel.n_channels == 1 else panel.channels
    columns.update(_forecast_columns(heads, point, intervals))
    return build_frame(columns, panel.meta.get("backend", "pandas"))  # type: ignore[arg-type]


def backtest_frame(
    panel: Panel,
    start: np.ndarray,
    point: np.ndarray,
    intervals: Mapping[float, tuple[np.ndarray, np.ndarray]] | None = None,
) -> Any:
    """A long frame of forecasts beside the truth: `unique_id, ds, cutoff, y, loracast, ...`.

    With several targets the truth keeps the channel's name and the forecast is called
    `<channel>-loracast`, for example `prey, prey-loracast, prey-loracast-lo-80`.

    Args:
        panel: the N full series.
        start: (N,) position of the first forecast step in each series; the step before it is
            the cutoff.
        point: (N, H, C) forecasts of the steps start..start+H-1.
        intervals: per level in percent, lower and upper bounds, each (N, H, C).

    Returns:
        A frame of N x H rows, of the kind that the panel was read from.

    Raises:
        DataError: shapes that do not agree, or steps outside a series.
    """
    intervals = intervals or {}
    _check(panel, point, intervals)
    horizon = point.shape[1]
    for series, first in enumerate(start):
        if first < 1 or first + horizon > len(panel.values[series]):
            raise DataError(
                f"series {panel.ids[series]!r}: got a forecast of steps {first}..."
                f"{first + horizon - 1} of {len(panel.values[series])}; expected them inside, "
                "with at least one step before"
            )
    rows = [slice(first, first + horizon) for first in start]
    times = [t[r] for t, r in zip(panel.times, rows, strict=True)]
    columns = _keys(panel, times, horizon)
    cutoffs = np.array([t[first - 1] for t, first in zip(panel.times, start, strict=True)])
    columns["cutoff"] = np.repeat(cutoffs, horizon)
    truth = np.stack([v[r] for v, r in zip(panel.values, rows, strict=True)])
    single = panel.n_channels == 1
    columns.update({c: truth[:, :, i].ravel() for i, c in enumerate(panel.channels)})
    heads = (_NAME,) if single else tuple(f"{c}-{_NAME}" for c in panel.channels)
    columns.update(_forecast_columns(heads, point, intervals))
    return build_frame(columns, panel.meta.get("backend", "pandas"))  # type: ignore[arg-type]


def _keys(panel: Panel, times: list[np.ndarray], horizon: int) -> dict[str, Any]:
    return {
        panel.id_col: _repeat_ids(panel.ids, np.full(len(panel), horizon)),
        panel.time_col: np.concatenate(times),
    }


def _forecast_columns(
    heads: tuple[str, ...],
    point: np.ndarray,
    intervals: Mapping[float, tuple[np.ndarray, np.ndarray]],
) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    for channel, head in enumerate(heads):
        columns[head] = point[:, :, channel].ravel()
        for level, (low, high) in intervals.items():
            columns[f"{head}-lo-{level_name(level)}"] = low[:, :, channel].ravel()
            columns[f"{head}-hi-{level_name(level)}"] = high[:, :, channel].ravel()
    return columns
