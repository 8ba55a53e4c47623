"""Splits by series and windows in time; positions only, the numbers are not looked at."""

from __future__ import annotations

import numpy as np

from loracast.errors import DataError
from loracast.series._panel import Panel

__all__ = ["sliding_windows", "split_panel"]


def split_panel(
    panel: Panel,
    n_train: int,
    n_val: int,
    n_test: int | None = None,
    shuffle_seed: int | None = None,
) -> tuple[Panel, Panel, Panel]:
    """Divide the series into train, validation and test.

    Args:
        panel: N series.
        n_train: number of series to train on.
        n_val: number of series to validate on.
        n_test: number of series to test on; None takes all that are left.
        shuffle_seed: None keeps the order of the file; a seed draws a random order first.

    Returns:
        Three panels without a common series.

    Raises:
        DataError: more series wanted than there are, or a negative count.
    """
    wanted = n_train + n_val + (n_test or 0)
    if min(n_train, n_val, n_test or 0) < 0:
        raise DataError(f"got {n_train}/{n_val}/{n_test} series to split; expected counts >= 0")
    if wanted > len(panel):
        raise DataError(
            f"got {len(panel)} series; {n_train} to train, {n_val} to validate and "
            f"{n_test or 0} to test need {wanted}"
        )
    order = np.arange(len(panel))
    if shuffle_seed is not None:
        order = np.random.default_rng(shuffle_seed).permutation(len(panel))
    stop = len(panel) if n_test is None else wanted
    return (
        panel.select(order[:n_train]),
        panel.select(order[n_train : n_train + n_val]),
        panel.select(order[n_train + n_val : stop]),
    )


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
