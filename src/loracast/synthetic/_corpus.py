"""A seeded stream of synthetic series for pretraining: wide in kind, never repeated.

Knows nothing of models or text. Why it exists: a small base has to meet many dynamics before it
can learn one in context. No predator-prey (Lotka-Volterra) system of two or more coupled channels
is in it, plain, rescaled, in powers or in logs; single-channel logistic growth, which couples
nothing, is. `tests/synthetic/predator_prey.py` judges every vector field.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from loracast.synthetic._corpus_growth import draw_log_growth
from loracast.synthetic._corpus_oscillators import OSCILLATORS, draw_oscillator
from loracast.synthetic._corpus_polynomial import draw_polynomial
from loracast.synthetic._corpus_rk4 import Systems, draw_density, integrate
from loracast.synthetic._corpus_stochastic import (
    draw_arma,
    draw_gaussian_process,
    draw_seasonal,
    draw_trends,
)
from loracast.synthetic._corpus_waves import draw_maps, draw_spirals, draw_waves

__all__ = ["CORPUS_CHANNELS", "CORPUS_KINDS", "ODE_FAMILIES", "corpus_chunk"]

CORPUS_CHANNELS = 4  # the most channels of a series

# Families with a vector field: n systems from (rng, n, density, steps).
ODE_FAMILIES: dict[str, Callable[..., Systems]] = {
    "log-growth": draw_log_growth,
    "polynomial": draw_polynomial,
}
for _name in OSCILLATORS:
    ODE_FAMILIES[_name] = lambda rng, n, _density, _steps, name=_name: draw_oscillator(rng, n, name)

# Shares of the stream.
CORPUS_KINDS: dict[str, float] = {
    "log-growth": 0.27,
    "polynomial": 0.10,
    "oscillator": 0.14,
    "waves": 0.10,
    "spiral": 0.09,
    "maps": 0.03,
    "gaussian process": 0.10,
    "seasonal": 0.09,
    "arma": 0.05,
    "trends": 0.03,
}
_CLOSED: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "waves": draw_waves,
    "spiral": draw_spirals,
    "maps": draw_maps,
    "gaussian process": draw_gaussian_process,
    "seasonal": draw_seasonal,
    "arma": draw_arma,
    "trends": draw_trends,
}
_ODE_LIKE = ("log-growth", "polynomial", "oscillator", "waves", "spiral", "maps")


def _paths(family: str, rng: np.random.Generator, n: int, steps: int) -> list[np.ndarray]:
    """Noise-free paths (steps, C) of one family of systems, fewer than n where some diverged."""
    burn = int(rng.integers(10, 60)) if rng.random() < 0.2 else 0
    density = draw_density(rng, n)
    systems = ODE_FAMILIES[family](rng, n, density, steps + burn)
    dt = systems.period / density.points
    states = integrate(systems, dt, steps + burn, density.sub)[:, burn:]
    view, power = rng.random(n), np.exp(rng.uniform(-0.7, 0.7, n))
    paths = []
    for i, state in enumerate(states):
        if not np.isfinite(state[0, 0]):
            continue
        count = int(systems.channels[i])
        shown = list(systems.observed[:count] if count == state.shape[1] else range(count))
        if count > 1 and rng.random() < 0.1:
            keep = int(rng.integers(1, count))
            shown = shown[:keep]
        path = state[:, shown]
        if systems.logs:
            # Mostly the quantities themselves, some in powers, a few as logs.
            path = path if view[i] < 0.1 else np.exp(path * (power[i] if view[i] < 0.35 else 1.0))
        elif view[i] < 0.35:
            path = np.exp(path * (power[i] / (np.abs(path).max() + 1e-9)))
        paths.append(path)
    return paths


def _draw(kind: str, rng: np.random.Generator, n: int, steps: int) -> list[np.ndarray]:
    """About n series of one kind as its generator gives them."""
    if kind in _CLOSED:
        return list(_CLOSED[kind](rng, n, steps))
    # What diverges or stands still is left out: measured, 45 % of log-growth and 20 % of others.
    more = 2 * n + 2 if kind == "log-growth" else n + n // 3 + 2
    if kind != "oscillator":
        return _paths(kind, rng, more, steps)
    names = rng.choice(list(OSCILLATORS), 2, replace=False)
    halves = (more - more // 2, more // 2)
    return [p for name, m in zip(names, halves, strict=True) for p in _paths(name, rng, m, steps)]


def _finish(kind: str, values: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Scale, offset, noise and gaps of one series; None where it does not move."""
    largest = np.abs(values).max()
    if not np.isfinite(largest):
        return None
    span = np.ptp(values, axis=0)
    if span.min() < 1e-3 * largest or span.min() < 1e-9:
        return None
    steps, channels = values.shape
    if kind in _ODE_LIKE and (np.ptp(values[steps // 3 :], axis=0) < 0.02 * span).all():
        return None  # settled at once
    values = values * np.exp(rng.uniform(-2, 2, channels))
    span = np.ptp(values, axis=0)
    if rng.random() < (0.08 if kind == "log-growth" else 0.35):
        values = values + rng.normal(0, 3, channels) * span
    if kind in _ODE_LIKE and rng.random() < 0.3:
        level = np.exp(rng.uniform(np.log(0.002), np.log(0.25)))
        shocks = rng.normal(0, 1, (steps, channels))
        if values.min() > 0 and rng.random() < 0.5:
            values = values * np.exp(level * shocks)
        else:
            values = values + level * span / 3 * shocks
    if rng.random() < 0.04:
        values[rng.random(steps) < rng.uniform(0.02, 0.2)] = np.nan
        if channels > 1 and rng.random() < 0.5:
            values[rng.random(values.shape) < 0.05] = np.nan
    return values


def _block(kind: str, rng: np.random.Generator, n: int, steps: int) -> list[np.ndarray]:
    """Up to n finished series of one kind."""
    finished = (_finish(kind, values, rng) for values in _draw(kind, rng, n, steps))
    return [values for values in finished if values is not None][:n]


def corpus_chunk(seed: int, index: int, n: int, steps: int) -> list[np.ndarray]:
    """The `index`-th chunk of the stream: n series of (steps, C), C 1 to 4, float64.

    A function of its arguments alone, so a stream can be resumed at any place; different
    indices never share random numbers. The number of BLAS threads moves the last digits of the
    Gaussian processes (1e-9 of a series' size, measured) and nothing else. NaN marks missing
    values. Speed comes from blocks: ask
    for a few hundred at once.

    Args:
        seed: of the whole stream.
        index: which chunk, from 0.
        n: series in the chunk.
        steps: T, length of each.
    """
    rng = np.random.default_rng([seed, index])
    names = list(CORPUS_KINDS)
    shares = np.array(list(CORPUS_KINDS.values()))
    shares = shares / shares.sum()
    wanted = np.floor(shares * n).astype(int)
    if wanted.sum() < n:
        rest = shares * n - wanted
        wanted += rng.multinomial(n - wanted.sum(), rest / rest.sum())
    series: list[np.ndarray] = []
    with np.errstate(all="ignore"):
        for name, count in zip(names, wanted, strict=True):
            if count:
                series.extend(_block(name, rng, int(count), steps))
        while len(series) < n:  # what diverged or stood still is made up for by waves
            series.extend(_block("waves", rng, n - len(series), steps))
    return [series[i] for i in rng.permutation(n)]
