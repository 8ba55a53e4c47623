"""Score forecasts by every metric, over one horizon or several.

Axes: N series, H horizon, C channels, S samples. A NaN in the truth is left out of every score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loracast.errors import DataError
from loracast.evaluation._metric import Forecasts
from loracast.evaluation._metrics import METRICS

__all__ = ["running_rmse", "score", "score_horizons"]

Scores = dict[str, float | None]


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
        samples: (N, S, H, C) sampled paths; None leaves the scores of samples None.
        contexts: N arrays (T_n, C), what was known; None leaves `mase` None.
        seasonality: m of the naive forecast that scales MASE, for all series or for each.

    Returns:
        A score for every name in `METRICS`; None where it is not defined or floating point cannot
        hold it.

    Raises:
        DataError: shapes that do not agree, or forecasts that are no finite numbers.
    """
    truth, point = np.asarray(truth, np.float64), np.asarray(point, np.float64)
    samples = None if samples is None else np.asarray(samples, np.float64)
    _check(truth, point, samples)
    if contexts is not None and len(contexts) != len(truth):
        raise DataError(f"got {len(contexts)} contexts for {len(truth)} series; expected as many")
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        case = Forecasts(truth, point, samples, contexts, seasonality)
        return {name: metric.compute(case) for name, metric in METRICS.items()}


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
