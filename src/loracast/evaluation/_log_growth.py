"""Two per-series fits on logarithms: a vector autoregression, and quadratic log-growth.

The second is close to the discrete form of the equations that predator-prey systems obey, which
`_ode_fit` solves as they are; both need positive values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from loracast.evaluation._method import Group, Method, Needs
from loracast.evaluation._prepare import Drawn, Prepared

__all__ = ["QUADRATIC_GROWTH", "VAR5_LOG", "log_bounds"]

VAR_LAGS = 5
VAR_RIDGE = 1e-4
QUADRATIC_RIDGE = 1e-6
# A rolled-out log may leave the range of the context by this many times that range (assumption).
ROOM = 1.0

Step = Callable[[np.ndarray], np.ndarray]


def _ridge(features: np.ndarray, targets: np.ndarray, ridge: float) -> Step:
    """Least squares on standardised features, the intercept free of the penalty.

    Minimises sum |y - b - z w|^2 + ridge |w|^2, z the features with mean 0 and variance 1;
    solved as an extended least-squares problem in float64, never through z'z.

    Args:
        features: (R, F).
        targets: (R, C).
        ridge: penalty of each squared weight.

    Returns:
        A function from features (..., F) to predictions (..., C).
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 1e-12 * (1 + np.abs(mean)), spread, np.inf)
    scaled = (features - mean) / spread
    offset = targets.mean(axis=0)
    count = scaled.shape[1]
    left = np.vstack([scaled, np.sqrt(ridge) * np.eye(count)])
    right = np.vstack([targets - offset, np.zeros((count, targets.shape[1]))])
    weights = np.linalg.lstsq(left, right, rcond=None)[0]
    return lambda new: np.asarray(offset + ((new - mean) / spread) @ weights)


def _roll(
    start: np.ndarray, horizon: int, step: Step, errors: np.ndarray, bounds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Iterate a one-step rule on logs, S paths at once, held inside bounds.

    Args:
        start: (P, C) last P logs.
        horizon: H.
        step: from the last logs (S, P, C) to the next ones (S, C).
        errors: (S, H, C) added to every step.
        bounds: (2, C) least and greatest log allowed.

    Returns:
        logs (S, H, C), and (S,) whether a path met a bound.
    """
    past = np.repeat(start[None], len(errors), axis=0)
    out = np.empty_like(errors)
    held = np.zeros(len(errors), dtype=bool)
    for h in range(horizon):
        free = step(past) + errors[:, h]
        out[:, h] = np.clip(free, bounds[0], bounds[1])
        held |= (out[:, h] != free).any(axis=1)
        past = np.concatenate([past[:, 1:], out[:, None, h]], axis=1)
    return out, held


def log_bounds(logs: np.ndarray) -> np.ndarray:
    """(2, C) least and greatest log that a forecast after the logs (T, C) may take."""
    low, high = logs.min(axis=0), logs.max(axis=0)
    room = ROOM * np.maximum(high - low, 1.0)
    # exp must stay inside float64
    return np.clip(np.stack([low - room, high + room]), -700.0, 700.0)


def _paths(
    prepared: Prepared,
    horizon: int,
    n_samples: int,
    rngs: list[np.random.Generator],
    fit: Callable[[np.ndarray], tuple[Step, np.ndarray, int]],
) -> Drawn:
    """Fit and roll out every series; samples redraw whole rows of the in-context residuals."""
    points, draws, n_held = [], [], 0
    for context, rng in zip(prepared.contexts, rngs, strict=True):
        logs = np.log(context)
        step, residuals, order = fit(logs)
        residuals = residuals - residuals.mean(axis=0)
        drawn = residuals[rng.integers(0, len(residuals), (n_samples, horizon))]
        errors = np.concatenate([np.zeros((1, horizon, logs.shape[1])), drawn])
        path, held = _roll(logs[-order:], horizon, step, errors, log_bounds(logs))
        n_held += bool(held[0])
        points.append(np.exp(path[0]))
        draws.append(np.exp(path[1:]))
    note = ""
    if n_held:
        note = (
            f"{n_held} of {len(points)} point forecasts ran away and were held at "
            "the range of their context's logs plus once that range"
        )
    return np.stack(points), np.stack(draws), note


def _var5_log(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """A VAR(5) on the logs of each series, ridge 1e-4, iterated.

    Returns:
        point (N, H, C), samples (N, S, H, C), a note when a forecast had to be held.
    """

    def fit(logs: np.ndarray) -> tuple[Step, np.ndarray, int]:
        n_steps, n_channels = logs.shape
        rows = np.stack([logs[t - VAR_LAGS : t].ravel() for t in range(VAR_LAGS, n_steps)])
        predict = _ridge(rows, logs[VAR_LAGS:], VAR_RIDGE)
        residuals = logs[VAR_LAGS:] - predict(rows)
        return (
            lambda past: predict(past.reshape(len(past), VAR_LAGS * n_channels)),
            residuals,
            VAR_LAGS,
        )

    return _paths(prepared, horizon, n_samples, rngs, fit)


def _quadratic_growth(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """A quadratic polynomial of x[t] for log x[t+1] - log x[t], per series, rolled out.

    The polynomial has 1, every channel, and every product of two; ridge 1e-6. For two species
    it is the discrete form of the Lotka-Volterra equations with room for second order.

    Returns:
        point (N, H, C), samples (N, S, H, C), a note when a forecast had to be held.
    """

    def fit(logs: np.ndarray) -> tuple[Step, np.ndarray, int]:
        centre = logs.mean(axis=0)  # species in units of their own typical size
        first, second = np.triu_indices(logs.shape[1])

        def features(last: np.ndarray) -> np.ndarray:
            level = np.exp(np.clip(last - centre, -300.0, 300.0))
            return np.concatenate([level, level[:, first] * level[:, second]], axis=1)

        growth = np.diff(logs, axis=0)
        rows = features(logs[:-1])
        predict = _ridge(rows, growth, QUADRATIC_RIDGE)
        residuals = growth - predict(rows)
        return lambda past: past[:, -1] + predict(features(past[:, -1])), residuals, 1

    return _paths(prepared, horizon, n_samples, rngs, fit)


VAR5_LOG = Method(
    name="var5_log",
    label="VAR(5) on logs",
    spoken="VAR(5) on logs",
    hint="per series, ridge",
    group=Group.CLASSICAL,
    colour="#009E73",
    needs=Needs(steps=VAR_LAGS + 2, positive=True),
    run=_var5_log,
)
QUADRATIC_GROWTH = Method(
    name="quadratic_growth",
    label="quadratic growth",
    spoken="quadratic log-growth",
    hint="per series: log-growth quadratic in the state",
    group=Group.CLASSICAL,
    colour="#D55E00",
    needs=Needs(steps=3, positive=True),
    run=_quadratic_growth,
)
