"""The baselines by name, each timed and noted in the same way.

Every forecast uses its own context alone; `GlobalMLP`, which trains on other series first, is
kept apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from loracast.errors import ConfigError, DataError
from loracast.evaluation._auto import auto_arima, auto_ets
from loracast.evaluation._log_growth import VAR_LAGS, quadratic_growth, var5_log
from loracast.evaluation._naive import Drawn, naive, seasonal_naive
from loracast.evaluation._ode_fit import ODE_FIT_STEPS, ode_fit
from loracast.evaluation._prepare import BaselineForecast, Prepared, prepare
from loracast.evaluation._season import find_season

__all__ = ["BASELINES", "run_baseline"]

Method = Callable[[Prepared, int, int, list[np.random.Generator]], Drawn]

# name -> (method, steps that its context must have)
_METHODS: dict[str, tuple[Method, int]] = {
    "naive": (naive, 1),
    "seasonal_naive": (seasonal_naive, 2),
    "var5_log": (var5_log, VAR_LAGS + 2),
    "quadratic_growth": (quadratic_growth, 3),
    "ode_fit": (ode_fit, ODE_FIT_STEPS),
    "auto_arima": (auto_arima, 4),
    "auto_ets": (auto_ets, 4),
}
BASELINES = tuple(_METHODS)
SEASONAL = ("seasonal_naive", "auto_arima", "auto_ets")  # methods that have a use for a season


def run_baseline(
    name: str,
    contexts: Sequence[np.ndarray],
    horizon: int,
    *,
    seed: int,
    n_samples: int = 100,
    season: int | Sequence[int | None] | None = None,
) -> BaselineForecast:
    """Forecast every series by a named method.

    Args:
        name: one of `BASELINES`.
        contexts: N arrays (T_n, C); missing values are interpolated, and the note says so.
        horizon: H, steps to forecast.
        seed: of the sampled paths; series n draws from the stream (seed, n).
        n_samples: S, sampled paths per series.
        season: m, steps of a season, for all series or for each of the N; None finds it per
            series (`find_season`). A season of 1 means none.

    Returns:
        point (N, H, C), samples (N, S, H, C), CPU seconds and a note.

    Raises:
        ConfigError: an unknown name, or a method whose package is not installed.
        DataError: contexts the method cannot take; the message says why it does not apply.
    """
    if name not in _METHODS:
        raise ConfigError(f"got baseline {name!r}; expected one of {', '.join(BASELINES)}")
    if n_samples < 1:
        raise ConfigError(f"got {n_samples} samples; expected at least 1")
    method, least = _METHODS[name]
    started = time.process_time()
    prepared = prepare(contexts, horizon, least, name)
    if name in SEASONAL:
        prepared = replace(prepared, seasons=_seasons(prepared.contexts, season))
    rngs = [np.random.default_rng([seed, n]) for n in range(len(contexts))]
    point, samples, note = method(prepared, horizon, n_samples, rngs)
    seconds = time.process_time() - started
    return BaselineForecast(point, samples, seconds, prepared.notes(note))


def _seasons(
    contexts: Sequence[np.ndarray], season: int | Sequence[int | None] | None
) -> tuple[int | None, ...]:
    if season is None:
        return tuple(find_season(context) for context in contexts)
    wanted = [season] * len(contexts) if isinstance(season, int) else list(season)
    if len(wanted) != len(contexts):
        raise DataError(f"got {len(wanted)} seasons for {len(contexts)} series; expected as many")
    for m in wanted:
        if m is not None and m < 1:
            raise ConfigError(f"got season {m}; expected at least 1 step")
    return tuple(wanted)
