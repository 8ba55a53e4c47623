"""AutoARIMA and AutoETS of statsforecast, per series and channel; an optional extra.

Nothing of statsforecast is imported before one of them is asked for.
"""

from __future__ import annotations

import warnings
from statistics import NormalDist
from typing import Any

import numpy as np

from loracast.errors import ConfigError
from loracast.evaluation._naive import Drawn, _scaled, best_lag
from loracast.evaluation._prepare import Prepared

__all__ = ["auto_arima", "auto_ets"]

# A season longer than this makes ETS unstable and ARIMA slow (statsforecast's own limit for ETS).
LONGEST_SEASON = 24
LEVEL_PERCENT = 80


def _run(
    kind: str, prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    try:
        from statsforecast import models
    except ImportError as problem:
        raise ConfigError(
            f"{kind} needs statsforecast, which is not installed; pip install 'loracast[baselines]'"
        ) from problem
    z80 = NormalDist().inv_cdf(0.5 + LEVEL_PERCENT / 200)
    points, draws, n_failed = [], [], 0
    for context, rng in zip(prepared.contexts, rngs, strict=True):
        scaled, scale = _scaled(context)
        n_channels = scaled.shape[1]
        point = np.empty((horizon, n_channels))
        sigma = np.zeros((horizon, n_channels))
        for channel in range(n_channels):
            values = np.ascontiguousarray(scaled[:, channel])
            if kind == "auto_ets":
                lag = best_lag(scaled[:, [channel]])
                season = lag if lag <= min(LONGEST_SEASON, len(values) // 3) else 1
                model: Any = models.AutoETS(season_length=season)
            else:
                model = models.AutoARIMA(season_length=1)
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    found = model.forecast(values, horizon, level=[LEVEL_PERCENT])
                mean = np.asarray(found["mean"], dtype=np.float64)
                high = np.asarray(found[f"hi-{LEVEL_PERCENT}"], dtype=np.float64)
                if not (np.isfinite(mean).all() and np.isfinite(high).all()):
                    raise ValueError("no finite forecast")
            except (ValueError, ArithmeticError, IndexError, RuntimeError, np.linalg.LinAlgError):
                mean, high = np.full(horizon, values[-1]), np.full(horizon, values[-1])
                n_failed += 1
            point[:, channel] = mean
            sigma[:, channel] = np.maximum(high - mean, 0) / z80
        noise = rng.standard_normal((n_samples, horizon, n_channels))
        points.append(point * scale)
        draws.append((point + sigma * noise) * scale)
    note = "samples are normal per step, from the 80 % interval, independent between steps"
    if n_failed:
        note += f"; {n_failed} fits failed and give the last value"
    return np.stack(points), np.stack(draws), note


def auto_arima(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """Non-seasonal AutoARIMA on every channel."""
    return _run("auto_arima", prepared, horizon, n_samples, rngs)


def auto_ets(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """AutoETS on every channel, seasonal at the channel's best lag when that is at most 24."""
    return _run("auto_ets", prepared, horizon, n_samples, rngs)
