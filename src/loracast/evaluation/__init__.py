"""Scores on arrays and the classical methods a language model has to beat.

Gets arrays, never a model: truth and forecasts -> scores; contexts -> baseline forecasts.
"""

from __future__ import annotations

from loracast.evaluation._annotation_lists import LIST_FIELDS, is_right, score_lists
from loracast.evaluation._annotation_rules import published_rules, robust_rules
from loracast.evaluation._annotation_scores import (
    ANNOTATION_FIELDS,
    majority_baseline,
    score_annotations,
    trend_only_baseline,
)
from loracast.evaluation._auto import expected_seconds
from loracast.evaluation._baselines import BASELINES, run_baseline
from loracast.evaluation._global_mlp import GlobalMLP
from loracast.evaluation._metrics import (
    METRICS,
    coverage,
    crps_from_samples,
    naive_scales,
    running_rmse,
    score,
    score_horizons,
)
from loracast.evaluation._naive import best_lag
from loracast.evaluation._prepare import BaselineForecast
from loracast.evaluation._quantiles import resolves, sample_quantiles, samples_needed
from loracast.evaluation._season import find_season

__all__ = [
    "ANNOTATION_FIELDS",
    "BASELINES",
    "LIST_FIELDS",
    "METRICS",
    "BaselineForecast",
    "GlobalMLP",
    "best_lag",
    "coverage",
    "crps_from_samples",
    "expected_seconds",
    "find_season",
    "is_right",
    "majority_baseline",
    "naive_scales",
    "published_rules",
    "resolves",
    "robust_rules",
    "run_baseline",
    "running_rmse",
    "sample_quantiles",
    "samples_needed",
    "score",
    "score_annotations",
    "score_horizons",
    "score_lists",
    "trend_only_baseline",
]
