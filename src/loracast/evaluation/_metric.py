"""What a metric is: one object that holds everything the package says or asks of it.

Knows no single metric; `_metrics` lists them. Scores, result schema, report and backtest read the
objects and keep no names of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from loracast.evaluation._crps import crps_from_samples

__all__ = ["Forecasts", "Metric"]


@dataclass(frozen=True)
class Forecasts:
    """Checked arrays to score; a NaN in the truth is left out of every score.

    Args:
        truth: (N, H, C) true values, NaN where unknown.
        point: (N, H, C) point forecasts.
        samples: (N, S, H, C) sampled paths, or None.
        contexts: N arrays (T_n, C), what was known, or None.
        seasonality: m of the naive forecast that scales MASE, for all series or for each.
    """

    truth: np.ndarray
    point: np.ndarray
    samples: np.ndarray | None = None
    contexts: Sequence[np.ndarray] | None = None
    seasonality: int | Sequence[int] = 1

    @cached_property
    def error(self) -> np.ndarray:
        """(N, H, C) absolute errors of the point forecasts."""
        return np.abs(self.point - self.truth)

    @cached_property
    def crps(self) -> np.ndarray | None:
        """(N, H, C) CRPS of each value."""
        return None if self.samples is None else crps_from_samples(self.truth, self.samples)


@dataclass(frozen=True)
class Metric:
    """One score of forecasts.

    Args:
        name: in files and options.
        label: in tables and sentences.
        compute: from forecasts to the score; None where it is not defined, for want of samples
            or contexts among other things, or floating point cannot hold it.
        meaning: what it is, to follow "is"; empty for what every reader knows.
        unit: of the values themselves, their square, percent, a share of 1, or none.
        better: a lower or a higher score, or one near to this number.
        columns: of the short table of a backtest: one for every horizon, one for the longest, or
            none.
    """

    name: str
    label: str
    compute: Callable[[Forecasts], float | None]
    meaning: str = ""
    unit: Literal["values", "squared values", "percent", "share", "none"] = "values"
    better: Literal["lower", "higher"] | float = "lower"
    columns: Literal["every horizon", "longest horizon", "none"] = "none"

    def best(self, scores: Sequence[float]) -> float | None:
        """The best of some scores; None where there are none."""
        if isinstance(self.better, float):
            target = self.better
            return min(scores, key=lambda score: abs(score - target), default=None)
        return (min if self.better == "lower" else max)(scores, default=None)
