"""AutoARIMA and AutoETS of statsforecast, per series and channel; an optional extra.

Nothing of statsforecast is imported before one of them is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from loracast.evaluation._method import Group, Method, Needs
from loracast.evaluation._naive import _scaled, best_lag
from loracast.evaluation._prepare import Drawn, Prepared

__all__ = ["AUTO_ARIMA", "AUTO_ETS", "STATSFORECAST", "each_channel", "usable_season"]

STATSFORECAST = Needs(steps=4, seasonal=True, package="statsforecast", extra="baselines")
# A season longer than this makes ETS unstable and ARIMA slow (statsforecast's own limit for ETS).
LONGEST_SEASON = 24
LEVEL_PERCENT = 80
# From here on AutoARIMA chooses its orders by conditional sums of squares (auto.arima's default,
# Hyndman and Khandakar 2008).
LONG_STEPS, LONG_SEASON = 150, 12


def usable_season(season: int | None, n_steps: int) -> int:
    """The season that a method can take, 1 for none: at most 24 steps, seen at least twice."""
    if season is None or season > LONGEST_SEASON or n_steps < 2 * season:
        return 1
    return season


def each_channel(
    prepared: Prepared,
    horizon: int,
    n_samples: int,
    rngs: list[np.random.Generator],
    model_for: Callable[[np.ndarray, int | None], Any],
    otherwise: str,
) -> Drawn:
    """Fit a model of statsforecast to every channel of every series, scaled to at most 1.

    Args:
        prepared: N contexts (T_n, C) and their seasons.
        horizon: H.
        n_samples: S, normal and independent between steps, as wide as the model's interval.
        rngs: a generator for each series.
        model_for: from the values (T,) of a channel and the season looked for to a model.
        otherwise: what is done with series without a season, for the note.
    """
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
            model = model_for(values, wanted)
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


def _auto_arima(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """AutoARIMA on every channel, seasonal where there is a season of at most 24 steps."""
    from statsforecast.models import AutoARIMA

    def model_for(values: np.ndarray, wanted: int | None) -> Any:
        season = usable_season(wanted, len(values))
        approximate = len(values) > LONG_STEPS or season > LONG_SEASON
        return AutoARIMA(season_length=season, approximation=approximate)

    return each_channel(prepared, horizon, n_samples, rngs, model_for, "non-seasonal")


def _auto_ets(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """AutoETS on every channel, seasonal at the season, or at its best lag, up to 24 steps."""
    from statsforecast.models import AutoETS

    def model_for(values: np.ndarray, wanted: int | None) -> Any:
        season = usable_season(wanted, len(values))
        if wanted is None:
            lag = best_lag(values[:, None])
            season = lag if lag <= min(LONGEST_SEASON, len(values) // 3) else 1
        return AutoETS(season_length=season)

    otherwise = "season: best lag, up to 24"
    return each_channel(prepared, horizon, n_samples, rngs, model_for, otherwise)


# Seconds of a fit: fitted to times of statsforecast 2.1 on one core (contexts of 70 to 1,000 steps,
# seasons 1 to 24); within a factor of three.
def _arima_seconds(n_steps: int, wanted: int | None) -> float:
    season = usable_season(wanted, n_steps)
    if n_steps > LONG_STEPS or season > LONG_SEASON:
        return 0.2 + 1.5e-4 * n_steps * season
    return 0.3 + 8e-4 * n_steps * (season - 1)


def _ets_seconds(n_steps: int, wanted: int | None) -> float:
    # without a season it takes a best lag, mostly one above 1
    return 0.01 + 4e-5 * n_steps if wanted == 1 else 0.02 + 6e-4 * n_steps


AUTO_ARIMA = Method(
    name="auto_arima",
    label="AutoARIMA",
    spoken="AutoARIMA",
    hint="per series and channel",
    group=Group.CLASSICAL,
    colour="#7a5195",
    needs=STATSFORECAST,
    run=_auto_arima,
    seconds_per_fit=_arima_seconds,
)
AUTO_ETS = Method(
    name="auto_ets",
    label="AutoETS",
    spoken="AutoETS",
    hint="per series and channel",
    group=Group.CLASSICAL,
    colour="#8c6d46",
    needs=STATSFORECAST,
    run=_auto_ets,
    seconds_per_fit=_ets_seconds,
)
