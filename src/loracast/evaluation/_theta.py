"""The Theta method of statsforecast, per series and channel; an optional extra.

A straight line through the deseasonalised series and exponential smoothing of its local curvature,
in equal parts (Assimakopoulos and Nikolopoulos 2000), the best of the M3 competition.
"""

from __future__ import annotations

import numpy as np

from loracast.evaluation._auto import STATSFORECAST, each_channel, usable_season
from loracast.evaluation._method import Group, Method
from loracast.evaluation._prepare import Drawn, Prepared

__all__ = ["THETA"]


def _theta(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """Standard Theta on every channel, seasonal where there is a season of at most 24 steps."""
    from statsforecast.models import Theta

    def model_for(values: np.ndarray, wanted: int | None) -> Theta:
        return Theta(season_length=usable_season(wanted, len(values)))

    return each_channel(prepared, horizon, n_samples, rngs, model_for, "non-seasonal")


def _seconds(n_steps: int, _: int | None) -> float:
    """Measured: statsforecast 2.1, one core, contexts of 70 to 1,000 steps, seasons 1 to 24."""
    return 0.001 + 1.7e-5 * n_steps


THETA = Method(
    name="theta",
    label="Theta",
    spoken="Theta",
    hint="per series and channel: a line and exponential smoothing",
    group=Group.CLASSICAL,
    colour="#1b7f8c",
    needs=STATSFORECAST,
    run=_theta,
    seconds_per_fit=_seconds,
)
