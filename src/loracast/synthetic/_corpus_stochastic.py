"""Gaussian processes, ARMA and ARIMA, seasons and bent trends for the pretraining stream.

Knows no vector fields. Why it exists: most recorded series are of this kind, short and noisy.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

__all__ = ["draw_arma", "draw_gaussian_process", "draw_seasonal", "draw_trends"]

_PERIODS = np.array([4, 5, 6, 7, 7, 8, 10, 12, 12, 12, 16, 20, 24, 24, 30, 36, 48, 52])


def _kernel(rng: np.random.Generator, steps: int, kinds: int = 5) -> np.ndarray:
    """One base kernel of unit variance on 0..steps-1, (steps, steps)."""
    lag = np.abs(np.arange(steps, dtype=float))
    length = np.exp(rng.uniform(np.log(3), np.log(80)))
    kind = rng.integers(0, kinds)
    if kind == 5:  # linear, never alone: a straight line
        t = np.linspace(-1, 1, steps) - rng.uniform(-1, 1)
        return np.outer(t, t)
    if kind == 0:  # RBF
        row = np.exp(-0.5 * (lag / length) ** 2)
    elif kind == 1:  # Matern 3/2 or 5/2, Rasmussen & Williams 2006, eq. 4.17
        scaled = np.sqrt(3) * lag / length
        row = (1 + scaled) * np.exp(-scaled)
        if rng.random() < 0.5:
            scaled = np.sqrt(5) * lag / length
            row = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    elif kind in (2, 3):  # periodic, MacKay 1998
        period = np.exp(rng.uniform(np.log(5), np.log(60)))
        row = np.exp(-2 * np.sin(np.pi * lag / period) ** 2 / rng.uniform(0.4, 1.5) ** 2)
    else:  # rational quadratic
        row = 1 / (1 + 0.5 * (lag / length) ** 2)
    index = np.arange(steps)
    kernel: np.ndarray = row[np.abs(index[:, None] - index[None, :])]
    return kernel


def draw_gaussian_process(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Draws of processes whose kernels are sums and products of base kernels, (n, steps, 1 to 3).

    Eight series share a kernel; the channels of a series are mixtures of as many draws.
    """
    channels = int(rng.choice([1, 1, 2, 2, 3]))
    out = np.empty((n, steps, channels))
    for first in range(0, n, 8):
        count = min(8, n - first)
        kernel = _kernel(rng, steps)
        for _ in range(int(rng.choice([0, 0, 1, 1, 2]))):
            other = _kernel(rng, steps, kinds=6)
            kernel = kernel + other * rng.uniform(0.2, 1) if rng.random() < 0.5 else kernel * other
        jitter = 1e-6 * (1 + np.trace(kernel) / steps)
        kernel[np.diag_indices(steps)] += jitter
        root = np.linalg.cholesky(kernel)
        drawn = (root @ rng.normal(0, 1, (steps, count * channels))).reshape(steps, count, channels)
        mix = np.eye(channels) + rng.normal(0, 0.7, (count, channels, channels)) * (channels > 1)
        out[first : first + count] = np.einsum("tnc,ndc->ntd", drawn, mix)
    if rng.random() < 0.25:
        spread = np.abs(out).max(axis=(1, 2), keepdims=True) + 1e-9
        out = np.exp(out / spread * rng.uniform(0.3, 2.0, (n, 1, 1)))
    return out


def draw_arma(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """ARIMA(2, d, 1) with d 0 or 1, heavy or Gaussian shocks, (n, steps, 1).

    The autoregression is stable by its poles: two real ones or a turning pair.
    """
    warm = 60
    heavy = rng.random((n, 1)) < 0.25
    shape = (n, steps + warm)
    shocks = np.where(heavy, rng.standard_t(3, shape), rng.normal(0, 1, shape))
    radius, angle = rng.uniform(0.3, 0.99, n), 2 * np.pi / np.exp(rng.uniform(1.2, 3.8, n))
    low, turning = rng.uniform(-0.5, 0.8, n), rng.random(n) < 0.5
    a1 = np.where(turning, 2 * radius * np.cos(angle), radius + low)
    a2 = np.where(turning, -(radius**2), -radius * low)
    moving = rng.uniform(-0.7, 0.7, n) * (rng.random(n) < 0.5)
    white = rng.random(n) < 0.08
    a1, a2 = np.where(white, 0.0, a1), np.where(white, 0.0, a2)
    out = np.empty((n, steps, 1))
    for i in range(n):
        path = lfilter([1.0, moving[i]], [1.0, -a1[i], -a2[i]], shocks[i])[warm:]
        if rng.random() < 0.3:
            path = np.cumsum(path) + rng.normal(0, 0.3) * path.std() * np.arange(steps)
        if rng.random() < 0.2:
            path = np.exp(path / (np.abs(path).max() + 1e-9) * rng.uniform(0.3, 2.5))
        out[i, :, 0] = path
    return out


def draw_seasonal(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Repeated shapes of one or two periods with trend, level shifts and noise, (n, steps, 1)."""
    t = np.arange(steps)
    out = np.empty((n, steps, 1))
    for i in range(n):
        period = int(rng.choice(_PERIODS))
        shape = rng.normal(0, 1, period)
        if rng.random() < 0.6:
            shape = np.convolve(np.tile(shape, 3), np.ones(3) / 3, "same")[period : 2 * period]
        base = shape[(t + rng.integers(period)) % period]
        if rng.random() < 0.25:
            longer = period * int(rng.choice([2, 3, 4, 7]))
            other = np.sin(2 * np.pi * (t / longer + rng.random()))
            base = base + rng.uniform(0.3, 1.5) * other
        trend = rng.normal(0, 2) * t / steps * (rng.random() < 0.6)
        if rng.random() < 0.3:
            trend = np.cumsum(rng.normal(0, 1, steps)) * rng.uniform(0.02, 0.2)
        level = 1 + rng.uniform(-0.5, 1.5) * t / steps * (rng.random() < 0.4)
        base = level * base + trend
        base = base + rng.normal(0, 1.5) * (t >= rng.integers(steps)) * (rng.random() < 0.15)
        base = base + rng.normal(0, 1, steps) * np.exp(rng.uniform(-5, 0))
        if rng.random() < 0.3:
            base = np.exp(base / (np.abs(base).max() + 1e-9) * rng.uniform(0.3, 2.0))
        out[i, :, 0] = base
    return out


def draw_trends(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Exponentials, saturations, powers and lines with up to three breaks, (n, steps, 1).

    A saturation is single-channel logistic or Gompertz growth.
    """
    t = np.linspace(0, 1, steps)[None, :]
    rate, mid = rng.normal(0, 3, (n, 1)), rng.uniform(0.1, 0.9, (n, 1))
    kind = rng.integers(0, 5, (n, 1))
    line = rng.normal(0, 1, (n, 1)) * t
    for _ in range(3):
        place, use = rng.uniform(0.05, 0.95, (n, 1)), rng.random((n, 1)) < 0.4
        line = line + use * rng.normal(0, 2, (n, 1)) * np.maximum(t - place, 0)
        line = line + (use & (rng.random((n, 1)) < 0.3)) * rng.normal(0, 0.5, (n, 1)) * (t > place)
    steep = (4 + np.abs(rate) * 6) * (t - mid)
    out = np.select(
        [kind == 0, kind == 1, kind == 2, kind == 3],
        [
            np.exp(rate * t),
            1 / (1 + np.exp(-steep * np.sign(rate))),
            np.exp(-np.exp(-np.clip(steep, -30, 30))),
            np.sign(rate) * t ** np.exp(rate / 4),
        ],
        line,
    )
    noise = np.exp(rng.uniform(np.log(0.003), np.log(0.2), (n, 1))) * (rng.random((n, 1)) < 0.6)
    series: np.ndarray = (out + noise * rng.normal(0, 1, (n, steps)))[:, :, None]
    return series
