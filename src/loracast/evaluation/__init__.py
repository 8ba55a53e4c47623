"""Scores on arrays and the classical methods a language model has to beat.

Gets arrays, never a model: truth and forecasts -> scores; contexts -> baseline forecasts.
"""

from __future__ import annotations

from loracast.evaluation._auto import expected_seconds
from loracast.evaluation._baselines import BASELINES, run_baseline
from loracast.evaluation._global_mlp import GlobalMLP
from loracast.evaluation._metrics import METRICS, coverage, score_horizons
from loracast.evaluation._quantiles import resolves, sample_quantiles, samples_needed
from loracast.evaluation._season import find_season

__all__ = [
    "BASELINES",
    "METRICS",
    "GlobalMLP",
    "coverage",
    "expected_seconds",
    "find_season",
    "resolves",
    "run_baseline",
    "sample_quantiles",
    "samples_needed",
    "score_horizons",
]
