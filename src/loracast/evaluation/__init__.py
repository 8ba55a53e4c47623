"""Scores on arrays and the classical methods a language model has to beat.

Gets arrays, never a model: truth and forecasts -> scores; contexts -> baseline forecasts. `METHODS`
and `METRICS` say all that tables, figures and sentences need to know of each.
"""

from __future__ import annotations

from loracast.evaluation._global_mlp import GlobalMLP
from loracast.evaluation._method import Group, Trained
from loracast.evaluation._methods import BASELINES, COMPARED, METHODS, run_baseline
from loracast.evaluation._metric import Metric
from loracast.evaluation._metrics import METRICS, coverage
from loracast.evaluation._models import ADAPTED, FULL_FINE_TUNING, RANDOM_START, ZERO_SHOT
from loracast.evaluation._quantiles import resolves, sample_quantiles, samples_needed
from loracast.evaluation._score import score_horizons
from loracast.evaluation._season import find_season

__all__ = [
    "ADAPTED",
    "BASELINES",
    "COMPARED",
    "FULL_FINE_TUNING",
    "METHODS",
    "METRICS",
    "RANDOM_START",
    "ZERO_SHOT",
    "GlobalMLP",
    "Group",
    "Metric",
    "Trained",
    "coverage",
    "find_season",
    "resolves",
    "run_baseline",
    "sample_quantiles",
    "samples_needed",
    "score_horizons",
]
