"""AutoARIMA and AutoETS of statsforecast, per series and channel; an optional extra.

Nothing of statsforecast is imported before one of them is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from loracast.errors import ConfigError
from loracast.evaluation._naive import Drawn, _scaled, best_lag
from loracast.evaluation._prepare import Prepared

__all__ = ["auto_arima", "auto_ets", "expected_seconds"]

# A season longer than this makes ETS unstable and ARIMA slow (statsforecast's own limit for ETS).
LONGEST_SEASON = 24
LEVEL_PERCENT = 80
# From here on AutoARIMA chooses its orders by conditional sums of squares (auto.arima's default,
# Hyndman and Khandakar 2008).
LONG_STEPS, LONG_SEASON = 150, 12


def usable_season(season: int | None, n_steps: int) -> int:
    """The season that both methods can take, 1 for none: at most 24 steps, seen at least twice."""
    if season is None or season > LONGEST_SEASON or n_steps < 2 * season:
        return 1
    return season


def expected_seconds(
    name: str, contexts: Sequence[np.ndarray], seasons: Sequence[int | None]
) -> float:
    """About how long a method takes, from the sizes alone; 0 for a method that is always quick.

    Fitted to times of statsforecast 2.1 on one core (contexts of 70 to 1,000 steps, seasons 1
    to 24); within a factor of three.

    Args:
        name: of a baseline.
        contexts: N arrays (T_n, C).
        seasons: N seasons, None for none.
    """
    if name not in ("auto_arima", "auto_ets"):
        return 0.0
    total = 0.0
    for context, wanted in zip(contexts, seasons, strict=True):
        steps, n_channels = context.shape
        season = usable_season(wanted, steps)
        if name == "auto_ets":  # without a season it takes a best lag, mostly one above 1
            each = 0.01 + 4e-5 * steps if wanted == 1 else 0.02 + 6e-4 * steps
        elif steps > LONG_STEPS or season > LONG_SEASON:
            each = 0.2 + 1.5e-4 * steps * season
        else:
            each = 0.3 + 8e-4 * steps * (season - 1)
        total += each * n_channels
    return total


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
    points, draws, n_failed, n_dropped = [], [], 0, 0
    for context, wanted, rng in zip(prepared.contexts, prepared.seasons, rngs, strict=True):
        scaled, scale = _scaled(context)
        n_channels = scaled.shape[1]
        point = np.empty((horizon, n_channels))
        sigma = np.zeros((horizon, n_channels))
        n_dropped += wanted not in (None, 1) and usable_season(wanted, len(context)) == 1
        for channel in range(n_channels):
            values = np.ascontiguousarray(scaled[:, channel])
            season = usable_season(wanted, len(values))
            if kind == "auto_ets":
                if wanted is None:
                    lag = best_lag(scaled[:, [channel]])
                    season = lag if lag <= min(LONGEST_SEASON, len(values) // 3) else 1
                model: Any = models.AutoETS(season_length=season)
            else:
                approximate = len(values) > LONG_STEPS or season > LONG_SEASON
                model = models.AutoARIMA(season_length=season, approximation=approximate)
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
    otherwise = "non-seasonal" if kind == "auto_arima" else "season: best lag, up to 24"
    notes = [prepared.seasonal_note(otherwise)]
    if n_dropped:
        notes.append(
            f"without it in {n_dropped}, where it is longer than {LONGEST_SEASON} or seen less "
            "than twice"
        )
    notes.append("samples are normal per step, from the 80 % interval, independent between steps")
    if n_failed:
        notes.append(f"{n_failed} fits failed and give the last value")
    return np.stack(points), np.stack(draws), "; ".join(text for text in notes if text)


def auto_arima(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """AutoARIMA on every channel, seasonal where there is a season of at most 24 steps."""
    return _run("auto_arima", prepared, horizon, n_samples, rngs)


def auto_ets(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """AutoETS on every channel, seasonal at the season, or at its best lag, up to 24 steps."""
    return _run("auto_ets", prepared, horizon, n_samples, rngs)
