"""Scores on arrays and the classical methods a language model has to beat.

Gets arrays, never a model: truth and forecasts -> scores; contexts -> baseline forecasts.
"""

from __future__ import annotations

from loracast.evaluation._metrics import (
    METRICS,
    coverage,
    crps_from_samples,
    naive_scales,
    running_rmse,
    score,
    score_horizons,
)

__all__ = [
    "METRICS",
    "coverage",
    "crps_from_samples",
    "naive_scales",
    "running_rmse",
    "score",
    "score_horizons",
]
