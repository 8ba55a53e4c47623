"""The naive forecast and the seasonal naive forecast with each series' own best lag.

Both are exact copies of the past; their samples add the errors that the same rule made inside
the context.
"""

from __future__ import annotations

import numpy as np

from loracast.errors import DataError
from loracast.evaluation._method import Group, Method, Needs
from loracast.evaluation._prepare import Drawn, Prepared

__all__ = ["NAIVE", "SEASONAL_NAIVE", "best_lag"]


def _scaled(context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The context with each channel's largest magnitude 1, and those magnitudes (C,)."""
    scale = np.abs(context).max(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    return context / scale, scale


def _naive(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """The last value, for ever.

    Samples are random walks whose steps have the root mean square of the context's own steps
    (Hyndman and Athanasopoulos, Forecasting, section 5.5: variance grows with the step).

    Returns:
        point (N, H, C), samples (N, S, H, C), a note.
    """
    points, draws = [], []
    for context, rng in zip(prepared.contexts, rngs, strict=True):
        scaled, scale = _scaled(context)
        sigma = _rms(np.diff(scaled, axis=0))
        noise = rng.standard_normal((n_samples, horizon, scaled.shape[1])) * sigma
        points.append(np.repeat(context[-1:], horizon, axis=0))
        draws.append((scaled[-1] + np.cumsum(noise, axis=1)) * scale)
    return np.stack(points), np.stack(draws), ""


def best_lag(context: np.ndarray) -> int:
    """The lag whose repetition would have forecast the end of the context best.

    The last third of the context is held out and forecast by repeating the `lag` values before
    it, for every lag 1..T//2; the least mean absolute error wins. Every channel is divided by
    its standard deviation first, so that one lag serves all channels. (Measured on systems
    800..899 of the predator-prey data, error over 20 steps: 0.074 so, 0.149 with the least
    |x[t] - x[t - lag]| over the context, which takes lag 1 for slow cycles.)

    Args:
        context: (T, C) finite values.

    Returns:
        The lag; 1 for constant or very short contexts.
    """
    scaled, _ = _scaled(context)
    spread = scaled.std(axis=0)
    scaled = scaled / np.where(spread > 0, spread, 1.0)
    n_held = len(scaled) // 3
    if not n_held:
        return 1
    past, held = scaled[:-n_held], scaled[-n_held:]
    lags = range(1, min(len(scaled) // 2, len(past)) + 1)
    steps = np.arange(n_held)
    errors = [np.abs(past[-lag:][steps % lag] - held).mean() for lag in lags]
    return int(np.argmin(errors)) + 1


def _seasonal_naive(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """The values one season ago, repeated; without a season, those one best lag ago.

    Samples add normal errors with the root mean square of the in-context seasonal errors,
    summed from cycle to cycle.

    Returns:
        point (N, H, C), samples (N, S, H, C), a note with season and middle lag.

    Raises:
        DataError: a context shorter than its season.
    """
    points, draws, lags = [], [], []
    for n, (context, season, rng) in enumerate(
        zip(prepared.contexts, prepared.seasons, rngs, strict=True)
    ):
        if season is not None and len(context) < season:
            raise DataError(
                f"context {n} has {len(context)} steps; a season of {season} needs at least "
                f"{season}"
            )
        lag = best_lag(context) if season is None else season
        if season is None:
            lags.append(lag)
        scaled, scale = _scaled(context)
        sigma = _rms(scaled[lag:] - scaled[:-lag]) if len(scaled) > lag else np.zeros(len(scale))
        steps = np.arange(horizon)
        points.append(context[-lag:][steps % lag])
        noise = rng.standard_normal((n_samples, horizon, scaled.shape[1])) * sigma
        for step in range(lag, horizon):
            noise[:, step] += noise[:, step - lag]
        draws.append((scaled[-lag:][steps % lag] + noise) * scale)
    note = ""
    if lags:
        note = f"lag per series from 1 to half the context, median {int(np.median(lags))}"
    return np.stack(points), np.stack(draws), prepared.seasonal_note(note)


def _rms(errors: np.ndarray) -> np.ndarray:
    """(C,) root mean square; 0 where there is no error to look at."""
    if not len(errors):
        return np.zeros(errors.shape[1])
    return np.asarray(np.sqrt((errors**2).mean(axis=0)))


NAIVE = Method(
    name="naive",
    label="naive",
    spoken="naive (last value)",
    hint="last value repeated",
    group=Group.NAIVE,
    colour="#a4adb6",
    run=_naive,
)
SEASONAL_NAIVE = Method(
    name="seasonal_naive",
    label="seasonal naive",
    spoken="seasonal naive",
    hint="best lag of each series",
    group=Group.NAIVE,
    colour="#6b7785",
    needs=Needs(steps=2, seasonal=True),
    run=_seasonal_naive,
)
