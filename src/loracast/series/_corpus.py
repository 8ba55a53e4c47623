"""A seeded stream of synthetic series for pretraining: wide in kind, never repeated.

Knows nothing of models or text. Why it exists: a small base has to meet many dynamics before it
can learn one in context. No predator-prey (Lotka-Volterra) system is in it: every vector field
below is mechanical, chemical, electrical or linear, and none has the form
d(log x_i)/dt = a_i + sum_j b_ij x_j.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["CORPUS_KINDS", "corpus_chunk"]

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _rk4(
    field: Field, state: np.ndarray, params: np.ndarray, dt: np.ndarray, steps: int, sub: int
) -> np.ndarray:
    """Integrate (n, D) states with fixed steps; returns (n, steps, D), NaN where it diverged."""
    out = np.empty((state.shape[0], steps, state.shape[1]))
    h = (dt / sub)[:, None]
    for t in range(steps):
        out[:, t] = state
        for _ in range(sub):
            k1 = field(state, params)
            k2 = field(state + h / 2 * k1, params)
            k3 = field(state + h / 2 * k2, params)
            k4 = field(state + h * k3, params)
            state = np.clip(state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), -1e6, 1e6)
    out[np.abs(out).max(axis=(1, 2)) > 1e5] = np.nan
    return out


def _van_der_pol(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    x, y = s.T
    return np.stack([y, (p[:, 0] * 4) * (1 - x**2) * y - x], 1)


def _duffing(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    x, y = s.T
    return np.stack([y, -0.3 * p[:, 0] * y - x - 2 * p[:, 1] * x**3], 1)


def _pendulum(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    x, y = s.T
    return np.stack([y, -0.3 * p[:, 0] * y - np.sin(x)], 1)


def _fitzhugh(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # FitzHugh 1961: an excitable membrane.
    x, y = s.T
    return np.stack(
        [
            x - x**3 / 3 - y + 0.3 + 0.5 * p[:, 0],
            (0.05 + 0.2 * p[:, 1]) * (x + 0.7 - 0.8 * y),
        ],
        1,
    )


def _brusselator(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Prigogine & Lefever 1968: an autocatalytic reaction.
    x, y = s.T
    a = 0.6 + p[:, 0]
    b = 0.6 + a**2 * (0.6 + 1.4 * p[:, 1])
    return np.stack([a + x**2 * y - (b + 1) * x, b * x - x**2 * y], 1)


def _selkov(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Sel'kov 1968: glycolysis.
    x, y = s.T
    a, b = 0.04 + 0.1 * p[:, 0], 0.4 + 0.5 * p[:, 1]
    return np.stack([-x + a * y + x**2 * y, b - a * y - x**2 * y], 1)


def _cubic_ring(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Stuart-Landau normal form of a Hopf bifurcation, with shear.
    x, y = s.T
    r2 = x**2 + y**2
    mu, shear = 0.6 * (p[:, 0] - 0.5), 1.5 * (p[:, 1] - 0.5)
    w = 1 + shear * r2
    return np.stack([mu * x - w * y - 0.3 * r2 * x, mu * y + w * x - 0.3 * r2 * y], 1)


_FIELDS: tuple[tuple[Field, float, bool], ...] = (
    # field, size of the initial state, states are concentrations (positive)
    (_van_der_pol, 2.0, False),
    (_duffing, 1.5, False),
    (_pendulum, 2.5, False),
    (_fitzhugh, 1.5, False),
    (_brusselator, 2.0, True),
    (_selkov, 1.5, True),
    (_cubic_ring, 1.5, False),
)


def _ode(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Planar oscillators of mechanics, chemistry and electronics, (n, steps, 2)."""
    field, size, positive = _FIELDS[rng.integers(len(_FIELDS))]
    start = rng.uniform(0.05 if positive else -1, 1, (n, 2)) * size
    # One period of these fields is about 2 pi; sample 8 to 60 points per turn.
    dt = 2 * np.pi / np.exp(rng.uniform(np.log(8), np.log(60), n))
    path = _rk4(field, start, rng.uniform(0, 1, (n, 2)), dt, steps, sub=6)
    if not positive and rng.random() < 0.5:
        scale = np.nanmax(np.abs(path), axis=(1, 2), keepdims=True) + 1e-9
        path = np.exp(path / scale * rng.uniform(0.3, 1.8, (n, 1, 1)))
    return path


def _waves(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Damped or growing harmonics seen through a nonlinear eye, (n, steps, 2)."""
    t = np.arange(steps)[None, :]
    period = np.exp(rng.uniform(np.log(4), np.log(70), (n, 1)))
    turn = 2 * np.pi * t / period + rng.uniform(0, 2 * np.pi, (n, 1))
    rate = rng.normal(0, 1, (n, 1)) * (rng.random((n, 1)) < 0.6) / 60
    envelope = np.exp(np.clip(rate * t, -6, 3))
    saturate = rng.random((n, 1)) < 0.5
    envelope = np.where(saturate, np.tanh(envelope), envelope)
    lag = rng.uniform(0.2, 3.0, (n, 1))
    skew = rng.uniform(0, 0.9, (n, 1))
    out = []
    for shift in (0.0, lag):
        wave = envelope * np.sin(turn - shift + skew * envelope * np.sin(turn - shift))
        gain = rng.uniform(0.2, 1.8, (n, 1))
        eye = rng.integers(0, 3, (n, 1))
        bent = np.where(eye == 0, wave, np.where(eye == 1, np.exp(gain * wave), 1 / (1.3 + wave)))
        out.append(np.where(np.abs(wave).max(1, keepdims=True) < 1.25, bent, np.exp(wave / 3)))
    return np.stack(out, -1)


def _spiral(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Discrete linear systems of two coupled channels, with and without noise, (n, steps, 2)."""
    radius = 1 - np.abs(rng.normal(0, 0.02, n)) * (rng.random(n) < 0.7)
    angle = 2 * np.pi / np.exp(rng.uniform(np.log(5), np.log(60), n))
    basis = rng.normal(0, 1, (n, 2, 2)) + 1.5 * np.eye(2)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1)
    turn = radius[:, None, None] * turn.reshape(n, 2, 2)
    noise = np.exp(rng.uniform(np.log(0.003), np.log(0.3), n)) * (rng.random(n) < 0.4)
    state = rng.normal(0, 1, (n, 2))
    out = np.empty((n, steps, 2))
    for k in range(steps):
        out[:, k] = np.einsum("nij,nj->ni", basis, state)
        state = np.einsum("nij,nj->ni", turn, state) + noise[:, None] * rng.normal(0, 1, (n, 2))
    if rng.random() < 0.5:
        scale = np.abs(out).max(axis=(1, 2), keepdims=True) + 1e-9
        out = np.exp(out / scale * rng.uniform(0.3, 2.0, (n, 1, 1)))
    return out


def _smooth(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Gaussian-process draws by random Fourier features (Rahimi & Recht 2007), (n, steps, 2)."""
    features = 24
    length = np.exp(rng.uniform(np.log(3), np.log(60), (n, 1, 1)))
    omega = rng.standard_t(4, (n, features, 1)) / length
    phase = rng.uniform(0, 2 * np.pi, (n, features, 1))
    basis = np.cos(omega * np.arange(steps)[None, None, :] + phase)
    mix = rng.normal(0, 1, (n, 2, features)) / np.sqrt(features)
    out = np.einsum("ncf,nft->ntc", mix, basis)
    trend = rng.normal(0, 1, (n, 1, 2)) * (rng.random((n, 1, 1)) < 0.3)
    return out + trend * np.linspace(-1, 1, steps)[None, :, None]


def _seasonal(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Repeated shapes with trend, level shifts and noise, (n, steps, 1)."""
    t = np.arange(steps)
    out = np.empty((n, steps, 1))
    for i in range(n):
        period = int(rng.choice([4, 5, 6, 7, 8, 10, 12, 12, 12, 16, 20, 24, 24, 30]))
        shape = rng.normal(0, 1, period)
        if rng.random() < 0.6:
            shape = np.convolve(np.tile(shape, 3), np.ones(3) / 3, "same")[period : 2 * period]
        trend = rng.normal(0, 2) * t / steps * (rng.random() < 0.6)
        level = 1 + 0.8 * rng.random() * t / steps * (rng.random() < 0.4)
        base = level * shape[(t + rng.integers(period)) % period] + trend
        base = base + rng.normal(0, 1) * (t >= rng.integers(steps)) * (rng.random() < 0.15)
        out[i, :, 0] = base + rng.normal(0, 1, steps) * np.exp(rng.uniform(-5, -0.5))
    return out


def _stochastic(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """AR(2), random walks, white noise and mean reversion, (n, steps, 1)."""
    kind = rng.integers(0, 4, n)
    radius, angle = rng.uniform(0.3, 0.99, n), rng.uniform(0.05, 1.5, n)
    a1 = np.select(
        [kind == 0, kind == 1, kind == 2], [2 * radius * np.cos(angle), 1.0, 0.0], radius
    )
    a2 = np.where(kind == 0, -(radius**2), 0.0)
    noise = rng.normal(0, 1, (n, steps))
    drift = rng.normal(0, 0.15, n) * (kind == 1)
    out = np.zeros((n, steps))
    for t in range(steps):
        past1 = out[:, t - 1] if t else rng.normal(0, 1, n)
        past2 = out[:, t - 2] if t > 1 else 0.0
        out[:, t] = a1 * past1 + a2 * past2 + noise[:, t] + drift
    if rng.random() < 0.2:
        out = np.exp(out / (np.abs(out).max(1, keepdims=True) + 1e-9))
    return out[:, :, None]


def _growth(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Exponentials, saturations, powers and bent lines, (n, steps, 1)."""
    t = np.linspace(0, 1, steps)[None, :]
    rate, mid = rng.normal(0, 3, (n, 1)), rng.uniform(0.1, 0.9, (n, 1))
    kind = rng.integers(0, 4, (n, 1))
    line = rng.normal(0, 1, (n, 1)) * t + rng.normal(0, 2, (n, 1)) * np.maximum(t - mid, 0)
    out = np.select(
        [kind == 0, kind == 1, kind == 2],
        [
            np.exp(rate * t),
            1 / (1 + np.exp(-(4 + np.abs(rate) * 6) * (t - mid) * np.sign(rate))),
            np.sign(rate) * t ** np.exp(rate / 4),
        ],
        line,
    )
    noise = np.exp(rng.uniform(np.log(0.003), np.log(0.1), (n, 1))) * (rng.random((n, 1)) < 0.5)
    return (out + noise * rng.normal(0, 1, (n, steps)))[:, :, None]


# name -> (generator, share of the stream)
CORPUS_KINDS: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "ode": (_ode, 0.34),
    "waves": (_waves, 0.20),
    "spiral": (_spiral, 0.16),
    "smooth": (_smooth, 0.12),
    "seasonal": (_seasonal, 0.09),
    "stochastic": (_stochastic, 0.05),
    "growth": (_growth, 0.04),
}


def _one_block(kind: str, rng: np.random.Generator, n: int, steps: int) -> list[np.ndarray]:
    burn = int(rng.integers(0, 40)) if kind == "ode" else 0
    block = CORPUS_KINDS[kind][0](rng, n, steps + burn)[:, burn:]
    series = []
    for values in block:
        span = np.ptp(values, axis=0) if np.isfinite(values).all() else np.zeros(1)
        if span.min() < 1e-6 * (1 + np.abs(values).max(initial=0.0)):
            continue
        if values.shape[1] == 2 and rng.random() < 0.15:
            values = values[:, :1]
        values = values * np.exp(rng.uniform(-2, 2, values.shape[1]))
        values = values + (rng.random() < 0.4) * rng.normal(0, 3, values.shape[1]) * span.max()
        if rng.random() < 0.25:
            level = np.exp(rng.uniform(np.log(0.002), np.log(0.15)))
            values = values + level * np.ptp(values, axis=0) * rng.normal(0, 1, values.shape)
        if rng.random() < 0.04:
            values = values.copy()
            values[rng.random(len(values)) < rng.uniform(0.02, 0.2)] = np.nan
        series.append(values)
    return series


def corpus_chunk(seed: int, index: int, n: int, steps: int) -> list[np.ndarray]:
    """The `index`-th chunk of the stream: n series of (steps, C), C 1 or 2, float64.

    A function of its arguments alone, so a stream can be resumed at any place; different
    indices never share random numbers. NaN marks missing values.

    Args:
        seed: of the whole stream.
        index: which chunk, from 0.
        n: series in the chunk.
        steps: T, length of each.
    """
    rng = np.random.default_rng([seed, index])
    names = list(CORPUS_KINDS)
    shares = np.array([CORPUS_KINDS[k][1] for k in names])
    series: list[np.ndarray] = []
    while len(series) < n:
        kind = names[rng.choice(len(names), p=shares / shares.sum())]
        with np.errstate(all="ignore"):
            series.extend(_one_block(kind, rng, 16, steps))
    order = rng.permutation(len(series))[:n]
    return [series[i] for i in order]
