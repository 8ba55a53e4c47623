"""The season of a context that has no dates: strong autocorrelation at a lag that people use.

Knows arrays alone. It would rather find no season than a wrong one.
"""

from __future__ import annotations

import numpy as np

__all__ = ["USEFUL_SEASONS", "find_season"]

# The prior: quarters, days of a week, months, hours, half-hours, weeks, quarters of an hour, ten
# minutes, hours of a week, five minutes, half-hours of a week, days of a year.
USEFUL_SEASONS = (4, 7, 12, 24, 48, 52, 96, 144, 168, 288, 336, 365)
LEAST_CORRELATION = 0.3  # assumption; of white noise and random walks, 1 in 300 passes (measured)
Z99 = 2.576  # two-sided 99 % of the normal: many lags are looked at
NEARLY = 0.9  # of the strongest peak: the shortest lag that does so well is the season


def find_season(context: np.ndarray) -> int | None:
    """The season of a context, where it is one that people use and plain to see.

    The autocorrelation of the first differences, which no trend and no slow cycle fills, averaged
    over channels, is looked through for peaks. A peak counts when at least two cycles are known,
    and it lies above 0.3 and above Bartlett's bound for lags beyond m - 1 (Box and Jenkins). The
    shortest peak within a tenth of the strongest one is the season, if it is one of
    `USEFUL_SEASONS`; a cycle of another length is no season, so that a smooth oscillation whose
    period is near 12 is not taken for months.

    Args:
        context: (T, C); missing values are interpolated.

    Returns:
        m, or None.
    """
    n_lags = min(len(context) - 2, max(USEFUL_SEASONS) + 1)
    if n_lags < 2 * min(USEFUL_SEASONS):
        return None
    found, bounds = [], []
    for channel in context.T:
        known = np.flatnonzero(np.isfinite(channel))
        if not len(known):
            continue
        values = np.interp(np.arange(len(channel)), known, channel[known])
        largest = np.abs(values).max()
        if largest == 0:
            continue
        steps = np.diff(values / largest)
        if (top := np.abs(steps).max()) <= 1e-12:  # constant
            continue
        correlation = _autocorrelation(steps / top, n_lags)
        sums = np.concatenate([[0.0], np.cumsum(correlation[1:-1] ** 2)])
        found.append(correlation)
        bounds.append(np.concatenate([[0.0], Z99 * np.sqrt((1 + 2 * sums) / len(steps))]))
    if not found:
        return None
    correlation, bound = np.mean(found, axis=0), np.mean(bounds, axis=0)
    peaks = [
        m
        for m in range(2, n_lags)
        if 2 * m <= len(context)
        and correlation[m] >= max(correlation[m - 1], correlation[m + 1])
        and correlation[m] >= max(LEAST_CORRELATION, bound[m])
    ]
    if not peaks:
        return None
    strongest = max(correlation[m] for m in peaks)
    first = next(m for m in peaks if correlation[m] >= NEARLY * strongest)
    return first if first in USEFUL_SEASONS else None


def _autocorrelation(x: np.ndarray, n_lags: int) -> np.ndarray:
    """(n_lags + 1,) sample autocorrelations, all divided by the variance of the whole."""
    x = x - x.mean()
    total = float(x @ x)
    if total <= 0:
        return np.concatenate([[1.0], np.zeros(n_lags)])
    return np.array([1.0] + [float(x[m:] @ x[:-m]) / total for m in range(1, n_lags + 1)])
