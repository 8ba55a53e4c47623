"""Splits by series, windows and origins in time; positions only, the numbers are not looked at."""

from __future__ import annotations

import numpy as np

from loracast.errors import DataError
from loracast.series._panel import Panel

__all__ = ["rolling_origins", "sliding_windows", "split_panel"]


def split_panel(panel: Panel, n_train: int, n_val: int) -> tuple[Panel, Panel, Panel]:
    """Divide the series, in their order, into train, validation and test (all that are left).

    Args:
        panel: N series.
        n_train: number of series to train on.
        n_val: number of series to validate on.

    Returns:
        Three panels without a common series.

    Raises:
        DataError: more series wanted than there are, or a negative count.
    """
    if min(n_train, n_val) < 0:
        raise DataError(f"got {n_train}/{n_val} series to split; expected counts >= 0")
    if n_train + n_val > len(panel):
        raise DataError(
            f"got {len(panel)} series; {n_train} to train and {n_val} to validate need "
            f"{n_train + n_val}"
        )
    train, validation, test = np.split(np.arange(len(panel)), [n_train, n_train + n_val])
    return panel.select(train), panel.select(validation), panel.select(test)


def rolling_origins(
    lengths: np.ndarray, horizon: int, n_windows: int = 1, step: int | None = None
) -> np.ndarray:
    """Where forecasts begin that are scored on the ends of series.

    The last forecast ends with its series, each earlier one begins `step` steps before the next;
    every series counts from its own end.

    Args:
        lengths: (N,) steps of each series.
        horizon: H, steps of each forecast.
        n_windows: K, forecasts of each series.
        step: steps from one origin to the next; None takes H, so that no step is scored twice.

    Returns:
        (K, N) position of the first forecast step, oldest window first; below 1 where a series is
        too short for that window.

    Raises:
        DataError: a horizon, a number of windows or a step below 1, or more windows than the
            longest series holds.
    """
    step = horizon if step is None else step
    if horizon < 1 or n_windows < 1 or step < 1:
        raise DataError(
            f"got horizon {horizon}, {n_windows} windows and a step of {step} between them; "
            "expected each at least 1"
        )
    longest = int(max(lengths, default=0))
    if n_windows > 1 and horizon + step * (n_windows - 1) >= longest:
        fitting = max(0, (longest - 1 - horizon) // step + 1)
        raise DataError(
            f"got {n_windows} windows of {horizon} steps, {step} apart; the longest series has "
            f"{longest} steps, which hold {fitting}"
        )
    behind = horizon + step * np.arange(n_windows - 1, -1, -1)
    return np.asarray(lengths)[None, :] - behind[:, None]


def sliding_windows(panel: Panel, length: int, stride: int) -> list[tuple[int, int]]:
    """Where the windows of a panel begin; every step of every series lies in one.

    Windows begin at 0, stride, 2 stride, ...; a last one that ends with the series is added
    when the stride leaves a rest. A series shorter than `length` is one window, all of it.

    Args:
        panel: N series of any lengths.
        length: steps per window.
        stride: steps from one window to the next, at most `length` so that none is skipped.

    Returns:
        Pairs (position of the series, first step), series by series.

    Raises:
        DataError: a length below 1, or a stride outside 1..length.
    """
    if length < 1 or not 1 <= stride <= length:
        raise DataError(
            f"got windows of length {length} and stride {stride}; expected length >= 1 and "
            "a stride from 1 to length, so that no step is lost"
        )
    windows: list[tuple[int, int]] = []
    for series, n_steps in enumerate(panel.lengths):
        if n_steps == 0:
            continue
        last = max(int(n_steps) - length, 0)
        starts = list(range(0, last + 1, stride))
        if starts[-1] != last:
            starts.append(last)
        windows.extend((series, start) for start in starts)
    return windows
