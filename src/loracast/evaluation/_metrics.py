"""Scores of forecasts, on arrays alone; knows nothing of models, files or text.

Axes: N series, H horizon, C channels, S samples. A NaN in the truth is left out of every
score. Means are taken over series, steps and channels at once, in original units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loracast.errors import DataError
from loracast.evaluation._quantiles import resolves, sample_quantiles

__all__ = [
    "METRICS",
    "coverage",
    "crps_from_samples",
    "naive_scales",
    "running_rmse",
    "score",
    "score_horizons",
]

METRICS = (
    "mae", "mae_median", "mse", "rmse", "mape", "mase", "crps", "crps_median", "coverage80",
)  # fmt: skip
Scores = dict[str, float | None]


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


def _check(truth: np.ndarray, point: np.ndarray, samples: np.ndarray | None) -> None:
    if truth.ndim != 3 or point.shape != truth.shape:
        raise DataError(
            f"got truth of shape {truth.shape} and forecasts of shape {point.shape}; "
            "expected both (N, H, C)"
        )
    known = ~np.isnan(truth)
    if not np.isfinite(point[known]).all():
        series = int(np.argwhere(known & ~np.isfinite(point))[0][0])
        raise DataError(
            f"got a forecast that is no finite number (series at position {series}); "
            "expected one wherever the truth is known"
        )
    if samples is None:
        return
    expected = (truth.shape[0], samples.shape[1] if samples.ndim == 4 else 0, *truth.shape[1:])
    if samples.ndim != 4 or samples.shape != expected or samples.shape[1] < 1:
        raise DataError(
            f"got samples of shape {samples.shape}; expected (N, S, H, C) with (N, H, C) = "
            f"{truth.shape} and S >= 1"
        )
    if not np.isfinite(samples[np.broadcast_to(known[:, None], samples.shape)]).all():
        raise DataError("got samples that are no finite numbers where the truth is known")


def crps_from_samples(truth: np.ndarray, samples: np.ndarray, axis: int = 1) -> np.ndarray:
    """Continuous ranked probability score of the distribution that the samples were drawn from.

    The fair form, whose expectation does not depend on S, so that methods with different numbers
    of samples can be compared: mean_i |x_i - y| - 1/(2 S (S - 1)) sum_ij |x_i - x_j| (Ferro 2014,
    eq. 10; with 1/S^2 in place of 1/(S (S - 1)) it is that of the samples themselves, Gneiting and
    Raftery 2007, eq. 21, larger at small S). The double sum is taken from the sorted samples. In
    the unit of the data, smaller is better; a single value may fall below 0; with S = 1 it is the
    absolute error.

    Args:
        truth: array of the shape of `samples` without the sample axis.
        samples: array with S samples along `axis`, drawn independently.
        axis: where the samples are; 1 fits (N, S, H, C).

    Returns:
        Array of the shape of `truth`, NaN where the truth is NaN.
    """
    ordered = np.sort(np.moveaxis(samples, axis, -1), axis=-1)
    count = ordered.shape[-1]
    error = np.abs(ordered - np.asarray(truth)[..., None]).mean(axis=-1)
    # sum_ij |x_i - x_j| / 2 = sum_i (2 i - S + 1) x_(i), i from 0
    weights = (2 * np.arange(count) - count + 1) / (count * max(1, count - 1))
    spread: np.ndarray = (ordered - ordered[..., :1]) @ weights
    return np.asarray(error - spread)


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


def _mase(error: np.ndarray, scales: np.ndarray) -> float | None:
    """Hyndman and Koehler 2006: MAE over the scale, per series and channel, then averaged.

    Constant contexts (scale 0) have no MASE and are left out.
    """
    scales = np.where(scales > 0, scales, np.nan)
    ratios = error / scales[:, None, :]
    known = ~np.isnan(ratios)
    counts = known.sum(axis=1)
    sums = np.where(known, ratios, 0.0).sum(axis=1)
    return _mean(sums[counts > 0] / counts[counts > 0])


def score(
    truth: np.ndarray,
    point: np.ndarray,
    samples: np.ndarray | None = None,
    contexts: Sequence[np.ndarray] | None = None,
    *,
    seasonality: int | Sequence[int] = 1,
) -> Scores:
    """All scores of one set of forecasts.

    Args:
        truth: (N, H, C) true values, NaN where unknown.
        point: (N, H, C) point forecasts.
        samples: (N, S, H, C) sampled paths; None leaves `crps` and `coverage80` None.
        contexts: N arrays (T_n, C), what was known; None leaves `mase` None.
        seasonality: m of the naive forecast that scales MASE, for all series or for each.

    Returns:
        `mae`, `mse`, `rmse` (root of the mean over everything), `mape` in percent (steps whose
        truth is 0 left out), `mase`, `crps` (fair, unit of the data), `coverage80` (0 to 1), and
        `mae_median` and `crps_median`, the median over series in place of the mean. None where a
        score is not defined or floating point cannot hold it.

    Raises:
        DataError: shapes that do not agree, or forecasts that are no finite numbers.
    """
    truth, point = np.asarray(truth, np.float64), np.asarray(point, np.float64)
    samples = None if samples is None else np.asarray(samples, np.float64)
    _check(truth, point, samples)
    if contexts is not None and len(contexts) != len(truth):
        raise DataError(f"got {len(contexts)} contexts for {len(truth)} series; expected as many")
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        error = np.abs(point - truth)
        top = float(np.nanmax(error)) if (~np.isnan(error)).any() else 0.0
        relative = _mean((error / top) ** 2) if top > 0 else _mean(error)
        rmse = None if relative is None else _finite(float(np.sqrt(relative)) * (top or 1.0))
        mse = None if rmse is None else _finite(float(np.float64(rmse) ** 2))
        percent = np.where(truth == 0, np.nan, 100 * error / np.abs(truth))
        mape = _mean(percent)
        mase = None if contexts is None else _mase(error, naive_scales(contexts, seasonality))
        crps = None if samples is None else crps_from_samples(truth, samples)
    return {
        "mae": _mean(error),
        "mae_median": _median_of_series(error),
        "mse": mse,
        "rmse": rmse,
        "mape": mape,
        "mase": mase,
        "crps": None if crps is None else _mean(crps),
        "crps_median": None if crps is None else _median_of_series(crps),
        "coverage80": None if samples is None else coverage(truth, samples, 80.0),
    }


def score_horizons(
    truth: np.ndarray,
    point: np.ndarray,
    samples: np.ndarray | None = None,
    contexts: Sequence[np.ndarray] | None = None,
    *,
    horizons: Sequence[int] = (5, 20, 30),
    seasonality: int | Sequence[int] = 1,
) -> dict[str, Scores]:
    """Scores over the first steps of a forecast, for several horizons.

    Args:
        truth: (N, H, C).
        point: (N, H, C).
        samples: (N, S, H, C) or None.
        contexts: N arrays (T_n, C) or None.
        horizons: each from 1 to H; `h5` scores the steps 1..5.
        seasonality: m of the naive forecast that scales MASE, for all series or for each.

    Returns:
        `{"h5": {"mae": ..., ...}, ...}`, see `score`.

    Raises:
        DataError: a horizon outside 1..H, or arrays that `score` refuses.
    """
    out = {}
    for horizon in horizons:
        if not 1 <= horizon <= truth.shape[1]:
            raise DataError(
                f"got horizon {horizon} to score; expected 1 to {truth.shape[1]}, "
                "the number of steps that were forecast"
            )
        out[f"h{horizon}"] = score(
            truth[:, :horizon],
            point[:, :horizon],
            None if samples is None else samples[:, :, :horizon],
            contexts,
            seasonality=seasonality,
        )
    return out


def running_rmse(truth: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Root mean squared error of the steps 1..h, for every h.

    Args:
        truth: (N, H, C), NaN entries left out.
        point: (N, H, C).

    Returns:
        (H,) over all series and channels; NaN before the first known step. Pass one series or
        channel alone for its own curve.
    """
    truth, point = np.asarray(truth, np.float64), np.asarray(point, np.float64)
    _check(truth, point, None)
    error = np.abs(point - truth)
    known = ~np.isnan(error)
    top = float(error[known].max()) if known.any() else 0.0
    scale = top if top > 0 else 1.0
    squares = np.where(known, error / scale, 0.0) ** 2
    counts = np.cumsum(known.sum(axis=(0, 2))).astype(np.float64)
    sums = np.cumsum(squares.sum(axis=(0, 2)))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(sums / np.where(counts > 0, counts, np.nan)) * scale)
