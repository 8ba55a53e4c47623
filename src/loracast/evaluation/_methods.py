"""The registry of methods, one object a method, and how one that needs no training is run.

A new method is one object in a file of its own, listed here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from loracast.errors import ConfigError, DataError
from loracast.evaluation._auto import AUTO_ARIMA, AUTO_ETS
from loracast.evaluation._global_mlp import GLOBAL_MLP
from loracast.evaluation._log_growth import QUADRATIC_GROWTH, VAR5_LOG
from loracast.evaluation._method import Method
from loracast.evaluation._models import ADAPTED, FULL_FINE_TUNING, RANDOM_START, ZERO_SHOT
from loracast.evaluation._naive import NAIVE, SEASONAL_NAIVE
from loracast.evaluation._ode_fit import ODE_FIT
from loracast.evaluation._prepare import BaselineForecast
from loracast.evaluation._season import find_season
from loracast.evaluation._theta import THETA

__all__ = ["BASELINES", "COMPARED", "METHODS", "run_baseline"]

_LISTED = (
    ADAPTED,
    ZERO_SHOT,
    RANDOM_START,
    FULL_FINE_TUNING,
    NAIVE,
    SEASONAL_NAIVE,
    VAR5_LOG,
    QUADRATIC_GROWTH,
    ODE_FIT,
    AUTO_ARIMA,
    AUTO_ETS,
    THETA,
    GLOBAL_MLP,
)
METHODS: Mapping[str, Method] = {method.name: method for method in _LISTED}
COMPARED = tuple(name for name, method in METHODS.items() if not method.study_only)
BASELINES = tuple(name for name, method in METHODS.items() if method.run is not None)


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
    method = METHODS.get(name)
    if method is None or method.run is None:
        raise ConfigError(f"got baseline {name!r}; expected one of {', '.join(BASELINES)}")
    if n_samples < 1:
        raise ConfigError(f"got {n_samples} samples; expected at least 1")
    started = time.process_time()
    prepared = method.needs.prepare(contexts, horizon, name)
    if method.needs.seasonal:
        prepared = replace(prepared, seasons=_seasons(prepared.contexts, season))
    rngs = [np.random.default_rng([seed, n]) for n in range(len(contexts))]
    point, samples, note = method.run(prepared, horizon, n_samples, rngs)
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
