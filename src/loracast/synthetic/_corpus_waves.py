"""Closed-form waves, discrete linear systems and coupled chaotic maps for the pretraining stream.

Knows no vector fields: what turns, damps and folds here does so by formula or by iteration.
"""

from __future__ import annotations

import numpy as np

__all__ = ["draw_maps", "draw_spirals", "draw_waves"]


def draw_waves(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Damped or growing harmonics seen through a nonlinear eye, (n, steps, 1 to 3)."""
    t = np.arange(steps)[None, :]
    period = np.exp(rng.uniform(np.log(4), np.log(70), (n, 1)))
    turn = 2 * np.pi * t / period + rng.uniform(0, 2 * np.pi, (n, 1))
    rate = rng.normal(0, 1, (n, 1)) * (rng.random((n, 1)) < 0.6) / 60
    envelope = np.exp(np.clip(rate * t, -6, 3))
    envelope = np.where(rng.random((n, 1)) < 0.5, np.tanh(envelope), envelope)
    skew = rng.uniform(0, 0.9, (n, 1))
    # Every third block adds a second frequency to all channels.
    beat = rng.uniform(0.1, 0.8, (n, 1)) * (rng.random() < 0.33)
    second = 2 * np.pi * t / np.exp(rng.uniform(np.log(4), np.log(70), (n, 1)))
    channels = int(rng.choice([1, 2, 2, 2, 3]))
    out = []
    for channel in range(channels):
        shift = rng.uniform(0.2, 3.0, (n, 1)) * (channel > 0)
        sine = np.sin(turn - shift)
        wave = envelope * np.sin(turn - shift + skew * envelope * sine)
        wave = (wave + beat * np.sin(second - shift)) / (1 + beat)
        gain = rng.uniform(0.2, 1.8, (n, 1))
        eye = rng.integers(0, 3, (n, 1))
        bent = np.where(eye == 0, wave, np.where(eye == 1, np.exp(gain * wave), 1 / (1.3 + wave)))
        out.append(np.where(np.abs(wave).max(1, keepdims=True) < 1.25, bent, np.exp(wave / 3)))
    return np.stack(out, -1)


def draw_spirals(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Discrete linear systems of one or two turning pairs, some noisy, (n, steps, 1 to 4).

    x_t = basis @ z_t with z_{t+1} = radius * rotation @ z_t + noise; half of the blocks are shown
    through an exponential.
    """
    pairs = 2 if rng.random() < 0.35 else 1
    size = 2 * pairs
    radius = 1 - np.abs(rng.normal(0, 0.02, (n, pairs))) * (rng.random((n, pairs)) < 0.7)
    angle = 2 * np.pi / np.exp(rng.uniform(np.log(5), np.log(60), (n, pairs)))
    factor = radius * np.exp(1j * angle)
    noise = np.exp(rng.uniform(np.log(0.003), np.log(0.3), (n, 1))) * (rng.random((n, 1)) < 0.4)
    state = rng.normal(0, 1, (n, pairs)) + 1j * rng.normal(0, 1, (n, pairs))
    shocks = rng.normal(0, 1, (steps, n, pairs)) + 1j * rng.normal(0, 1, (steps, n, pairs))
    shocks *= noise
    inner = np.empty((steps, n, pairs), dtype=complex)
    for k in range(steps):
        inner[k] = state
        state = factor * state + shocks[k]
    channels = int(rng.choice([1, 2, 2])) if pairs == 1 else int(rng.integers(1, 5))
    basis = rng.normal(0, 1, (n, channels, size)) + 1.5 * np.eye(channels, size)
    parts = np.concatenate([inner.real, inner.imag], axis=2).transpose(1, 2, 0)
    out: np.ndarray = np.matmul(basis, parts).transpose(0, 2, 1)
    if rng.random() < 0.5:
        scale = np.abs(out).max(axis=(1, 2), keepdims=True) + 1e-9
        out = np.exp(out / scale * rng.uniform(0.3, 2.0, (n, 1, 1)))
    return out


def draw_maps(rng: np.random.Generator, n: int, steps: int) -> np.ndarray:
    """Coupled logistic maps and rotated Henon maps (Henon 1976), (n, steps, 2).

    From settled to chaotic; every orbit that leaves its basin is NaN.
    """
    out = np.empty((steps, n, 2))
    if rng.random() < 0.5:
        rate = rng.uniform(2.6, 3.95, (n, 2))
        tie = rng.uniform(0, 0.35, (n, 1)) * (rng.random((n, 1)) < 0.8)
        state = rng.uniform(0.1, 0.9, (n, 2))
        for t in range(steps):
            out[t] = state
            mapped = rate * state * (1 - state)
            state = (1 - tie) * mapped + tie * mapped[:, ::-1]
    else:
        a, b = rng.uniform(0.3, 1.35, n), rng.uniform(0.1, 0.3, n)
        # Some are the area-preserving map, which rotates about a fixed point.
        keep = rng.random() < 0.6
        angle = 2 * np.pi / np.exp(rng.uniform(np.log(4.5), np.log(30), n))
        cosine, sine = np.cos(angle), np.sin(angle)
        state = rng.uniform(-0.25, 0.25, (n, 2))
        for t in range(steps):
            out[t] = state
            x, y = np.clip(state, -1e3, 1e3).T
            if keep:  # Henon 1969
                bent = y - x * x
                state = np.stack([x * cosine - bent * sine, x * sine + bent * cosine], 1)
            else:
                state = np.stack([1 - a * x * x + y, b * x], 1)
        turn = rng.uniform(0, 2 * np.pi, n)
        turned = np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], 1)
        out = np.einsum("nij,tnj->tni", turned.reshape(n, 2, 2), out)
    path = np.ascontiguousarray(out.transpose(1, 0, 2))
    path[~(np.abs(path).max(axis=(1, 2)) < 50)] = np.nan
    return path
