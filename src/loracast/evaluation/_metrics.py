"""The registry of metrics, and their formulas on arrays; knows nothing of models, files or text.

Axes: N series, H horizon, C channels, S samples. Means are taken over series, steps and channels at
once, in original units. A new metric is one object, listed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from loracast.errors import DataError
from loracast.evaluation._metric import Forecasts, Metric
from loracast.evaluation._quantiles import resolves, sample_quantiles

__all__ = ["METRICS", "coverage", "naive_scales"]


def _mean(values: np.ndarray) -> float | None:
    """Mean of the entries that are not NaN, without overflow; None when there are none."""
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    top = float(np.abs(values).max())
    if top == 0.0 or not np.isfinite(top):
        return _finite(top)
    return _finite(top * float(np.mean(values / top)))


def _median_of_series(values: np.ndarray) -> float | None:
    """Median over series of each one's mean (N, H, C), so that one wild series decides nothing."""
    means = [mean for row in values if (mean := _mean(row)) is not None]
    return float(np.median(means)) if means else None


def _finite(value: float) -> float | None:
    """None for a score that floating point cannot hold."""
    return value if np.isfinite(value) else None


def coverage(truth: np.ndarray, samples: np.ndarray, level: float = 80.0) -> float | None:
    """Share of the truth inside the central interval of the samples.

    Args:
        truth: (N, H, C), NaN entries left out.
        samples: (N, S, H, C).
        level: size of the interval in percent; 80 lies between the 10 % and 90 % quantiles.

    Returns:
        A share from 0 to 1; None when no truth is known, or when S samples have no such interval
        (80 needs 9).
    """
    tail = (1 - level / 100) / 2
    known = ~np.isnan(truth)
    if not known.any() or not resolves(samples.shape[1], [tail]):
        return None
    low, high = sample_quantiles(samples, [tail, 1 - tail])
    inside = (truth >= low) & (truth <= high)
    return float(inside[known].mean())


def naive_scales(
    contexts: Sequence[np.ndarray], seasonality: int | Sequence[int] = 1
) -> np.ndarray:
    """In-sample mean absolute error of the (seasonal) naive forecast, the divisor of MASE.

    Args:
        contexts: N arrays (T_n, C).
        seasonality: m, for all series or for each; the naive forecast of step t is step t - m.

    Returns:
        (N, C); NaN where no pair of known values lies m steps apart.

    Raises:
        DataError: a seasonality below 1.
    """
    seasons = [seasonality] * len(contexts) if isinstance(seasonality, int) else list(seasonality)
    if len(seasons) != len(contexts) or min(seasons, default=1) < 1:
        raise DataError(
            f"got seasonality {seasonality}; expected at least 1, for all series or for each"
        )
    out = np.full((len(contexts), contexts[0].shape[1] if len(contexts) else 0), np.nan)
    for series, (context, season) in enumerate(zip(contexts, seasons, strict=True)):
        steps = np.abs(context[season:] - context[:-season])
        for channel in range(out.shape[1]):
            mean = _mean(steps[:, channel])
            out[series, channel] = np.nan if mean is None else mean
    return out


def _rmse(case: Forecasts) -> float | None:
    """Root of the mean over everything, without overflow of the squares."""
    error = case.error
    top = float(np.nanmax(error)) if (~np.isnan(error)).any() else 0.0
    relative = _mean((error / top) ** 2) if top > 0 else _mean(error)
    return None if relative is None else _finite(float(np.sqrt(relative)) * (top or 1.0))


def _mse(case: Forecasts) -> float | None:
    rmse = _rmse(case)
    return None if rmse is None else _finite(float(np.float64(rmse) ** 2))


def _mape(case: Forecasts) -> float | None:
    """In percent; steps whose truth is 0 are left out."""
    return _mean(np.where(case.truth == 0, np.nan, 100 * case.error / np.abs(case.truth)))


def _mase(case: Forecasts) -> float | None:
    """Hyndman and Koehler 2006: MAE over the scale, per series and channel, then averaged.

    Constant contexts (scale 0) have no MASE and are left out.
    """
    if case.contexts is None:
        return None
    scales = naive_scales(case.contexts, case.seasonality)
    scales = np.where(scales > 0, scales, np.nan)
    ratios = case.error / scales[:, None, :]
    known = ~np.isnan(ratios)
    counts = known.sum(axis=1)
    sums = np.where(known, ratios, 0.0).sum(axis=1)
    return _mean(sums[counts > 0] / counts[counts > 0])


def _crps(case: Forecasts) -> float | None:
    return None if case.crps is None else _mean(case.crps)


def _crps_median(case: Forecasts) -> float | None:
    return None if case.crps is None else _median_of_series(case.crps)


def _coverage80(case: Forecasts) -> float | None:
    return None if case.samples is None else coverage(case.truth, case.samples, 80.0)


_LISTED = (
    Metric("mae", "MAE", lambda case: _mean(case.error), columns="every horizon"),
    Metric(
        "mae_median",
        "MAE, median series",
        lambda case: _median_of_series(case.error),
        meaning="the median over series of their MAE",
    ),
    Metric("mse", "MSE", _mse, unit="squared values"),
    Metric("rmse", "RMSE", _rmse),
    Metric(
        "mape",
        "MAPE",
        _mape,
        meaning="the mean of |error| / |truth| in percent",
        unit="percent",
    ),
    Metric(
        "mase",
        "MASE",
        _mase,
        meaning="the MAE divided by the naive method's error within the context",
        unit="none",
        columns="longest horizon",
    ),
    Metric(
        "crps",
        "CRPS",
        _crps,
        meaning="the fair one of Ferro (2014), which does not depend on the number of samples",
        columns="longest horizon",
    ),
    Metric(
        "crps_median",
        "CRPS, median series",
        _crps_median,
        meaning="the median over series of their CRPS",
    ),
    Metric(
        "coverage80",
        "80 % coverage",
        _coverage80,
        meaning="the share of truths within the 80 % band",
        unit="share",
        better=0.8,
    ),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _LISTED}
