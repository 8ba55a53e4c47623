"""Random log-growth systems, d log x_i / dt = f_i(x), of 2 to 4 positive channels.

Knows only the vector field; `_corpus_rk4` integrates it. Why it exists: most positive quantities
that interact are of this kind, and a base has to learn their turning, damped and growing motion.

None is a predator-prey (Lotka-Volterra) system: that form, in any powers of its channels, adds up
one power of each channel, the same one in every equation. Here every equation has a sizeable term
that no power gives (a product of two channels, a sine of a log, or a saturation), and what couples
the channels is drawn anew for every pair.
"""

from __future__ import annotations

import numpy as np

from loracast.synthetic._corpus_rk4 import Density, Systems

__all__ = ["draw_log_growth", "spectral_shift"]

_D = 4
# Columns of the table of terms, per channel j: y, sqrt y, log y, y / (K + y), sin(w log y); then
# the products y_j y_k.
_PLAIN, _ROOT, _LOG, _SATURATED, _SINE = range(5)
_TERMS = 1 + 5 * _D + _D * _D


def spectral_shift(
    rng: np.random.Generator, jacobian: np.ndarray, used: np.ndarray, density: Density, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """How much to add to the diagonal so that the fastest-growing mode does what is wanted.

    Wanted: nearly neutral, damped by a factor within the series, or growing by one.

    Args:
        rng: source.
        jacobian: (n, D, D) at the fixed point.
        used: (n, D) channels that exist.
        density: points per turn.
        steps: T of the series, which sets the damping.

    Returns:
        (n,) shift and (n,) period of the turn (of the slowest decay where nothing turns).
    """
    n = len(jacobian)
    values = np.linalg.eigvals(jacobian)
    # The eigenvalues of missing channels are zero: put them out of the way.
    missing = ~used
    real = np.where(np.abs(values) < 1e-9, -np.inf, values.real)
    real = np.where(missing.any(1, keepdims=True), real, values.real)
    lead = real.argmax(1)
    turning = np.abs(values.imag[np.arange(n), lead])
    turning = np.where(turning > 1e-3, turning, np.abs(values.imag).max(1))
    turning = np.where(turning > 1e-3, turning, np.abs(values).max(1) + 1e-3)
    turns = steps / density.points
    kind = rng.random(n)
    decades = np.select(
        [kind < 0.4, kind < 0.7],
        [rng.normal(0, 0.15, n), -np.exp(rng.uniform(np.log(0.3), np.log(6), n))],
        rng.uniform(0.2, 5.0, n),
    )
    wanted = decades * turning / (2 * np.pi * turns)
    return wanted - real[np.arange(n), lead], 2 * np.pi / turning


def _couplings(rng: np.random.Generator, used: np.ndarray) -> np.ndarray:
    """Jacobian weights (n, D, D) between different channels, three in four of them turning."""
    n = len(used)
    weight = np.exp(rng.normal(0, 0.5, (n, _D, _D))) * rng.choice([-1.0, 1.0], (n, _D, _D))
    upper = np.triu(np.ones((_D, _D)), 1)
    mirrored = weight * upper
    opposed = -np.exp(rng.normal(0, 0.4, (n, _D, _D))) * mirrored
    turned = mirrored + opposed.transpose(0, 2, 1)
    weight = np.where(rng.random((n, 1, 1)) < 0.75, turned, weight)
    # With three or four channels some pairs do not meet.
    many = used.sum(1)[:, None, None] > 2
    weight = np.where(many & (rng.random((n, _D, _D)) < 0.25), 0.1 * weight, weight)
    return weight * used[:, :, None] * used[:, None, :] * (1 - np.eye(_D))


def draw_log_growth(rng: np.random.Generator, n: int, density: Density, steps: int) -> Systems:
    """Systems, n of them, with a chosen fixed point and leading mode, in log coordinates.

    Channels are measured in units of the fixed point (a per-channel rescaling loses nothing).

    Args:
        rng: source.
        n: how many.
        density: points per turn, for the damping.
        steps: T of the series.
    """
    channels = rng.choice([2, 2, 2, 3, 4], n)
    used = np.arange(_D)[None, :] < channels[:, None]
    weight = _couplings(rng, used)
    half = np.exp(rng.uniform(-1.2, 1.2, (n, _D)))  # K of the saturations
    speed = rng.uniform(0.8, 2.0, (n, _D))  # w of the sines
    ones = np.ones((n, _D))
    slope = np.stack([ones, 0.5 * ones, ones, half / (1 + half) ** 2, speed], 1)
    level = np.stack([ones, ones, 0 * ones, 1 / (1 + half), 0 * ones], 1)

    coef = np.zeros((n, _D, _TERMS))
    alone = coef[:, :, 1 : 1 + 5 * _D].reshape(n, _D, 5, _D)  # a copy: written back below
    pairs = np.zeros((n, _D, _D, _D))
    kind = rng.choice(6, (n, _D, _D), p=[0.06, 0.14, 0.16, 0.2, 0.14, 0.3])
    # The strongest coupling of every equation is of a kind that no power of a channel gives.
    strongest = np.abs(weight).argmax(2)
    i_n, i_d = np.ogrid[:n, :_D]
    kind[i_n, i_d, strongest] = rng.choice([_SATURATED, _SINE, 5, 5], (n, _D))
    for k in range(5):
        alone[:, :, k] = np.where(kind == k, weight, 0.0) / slope[:, k][:, None, :]
    # A product of channel j with another, possibly the equation's own.
    partner = np.where(
        rng.random((n, _D, _D)) < 0.6,
        np.arange(_D)[None, :, None],
        rng.integers(0, 1 << 30, (n, _D, _D)) % channels[:, None, None],
    )
    product = np.where(kind == 5, weight, 0.0)
    own_channel = np.broadcast_to(np.arange(_D)[None, :, None], partner.shape)
    # A square would be a power of one channel.
    partner = np.where(partner == np.arange(_D), own_channel, partner)
    for j in range(_D):
        np.put_along_axis(pairs[:, :, j], partner[:, :, j, None], product[:, :, j, None], axis=2)
    jacobian = (alone * slope[:, None]).sum(2) + pairs.sum(3) + pairs.sum(2)
    shift, period = spectral_shift(rng, jacobian, used, density, steps)
    own = rng.choice([_PLAIN, _ROOT, _LOG, _SATURATED], (n, _D), p=[0.2, 0.2, 0.4, 0.2])
    own = np.where(shift[:, None] > 0, _SATURATED, own)
    for k in range(4):
        add = np.where((own == k) & used, shift[:, None] / slope[:, k], 0.0)
        alone[:, np.arange(_D), k, np.arange(_D)] += add
    coef[:, :, 1 : 1 + 5 * _D] = alone.reshape(n, _D, 5 * _D)
    coef[:, :, 1 + 5 * _D :] = pairs.reshape(n, _D, _D * _D)
    coef[:, :, 0] = -(alone * level[:, None]).sum((2, 3)) - pairs.sum((2, 3))

    def field(logs: np.ndarray) -> np.ndarray:
        count = len(logs)
        terms = np.empty((count, _TERMS))
        terms[:, 0] = 1.0
        root = np.exp(0.5 * logs, out=terms[:, 5:9])
        y = np.multiply(root, root, out=terms[:, 1:5])
        terms[:, 9:13] = logs
        np.divide(y, half + y, out=terms[:, 13:17])
        np.sin(speed * logs, out=terms[:, 17:21])
        np.multiply(y[:, :, None], y[:, None, :], out=terms[:, 21:].reshape(count, _D, _D))
        rates: np.ndarray = np.matmul(coef, terms[:, :, None])[:, :, 0]
        return rates

    size = np.exp(rng.uniform(np.log(0.2), np.log(1.5), (n, 1)))
    start = rng.normal(0, 1, (n, _D)) * size * used
    return Systems(field, start, period, channels, logs=True, bound=7.0)
