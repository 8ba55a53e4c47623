"""Random quadratic and cubic systems dx/dt = J x + quadratic + cubic, of 1 to 4 channels.

Knows only the vector field. A fixed point lies at the origin, and J's leading mode there is
chosen; paths that leave every bound are dropped by the integrator. A draw of this form is a
predator-prey system with probability zero: its equations do not vanish where a channel does.
With one channel it includes logistic growth, which couples nothing and is allowed.
"""

from __future__ import annotations

import numpy as np

from loracast.synthetic._corpus_growth import spectral_shift
from loracast.synthetic._corpus_rk4 import Density, Systems

__all__ = ["draw_polynomial"]

_D = 4
_TERMS = _D + _D * _D + 2 * _D  # x_j, x_j x_k, x_j^3, x_j |x|^2


def draw_polynomial(rng: np.random.Generator, n: int, density: Density, steps: int) -> Systems:
    """Systems, n of them, half of them held together by a cubic term.

    Args:
        rng: source.
        n: how many.
        density: points per turn, for the damping.
        steps: T of the series.
    """
    channels = rng.choice([1, 2, 2, 2, 2, 2, 3, 3, 4, 4], n)
    used = np.arange(_D)[None, :] < channels[:, None]
    both = used[:, :, None] & used[:, None, :]
    weight = rng.normal(0, 1, (n, _D, _D))
    turned = weight - weight.transpose(0, 2, 1)
    jacobian = np.where(rng.random((n, 1, 1)) < 0.6, turned + 0.3 * weight, weight)
    jacobian = jacobian * both
    shift, period = spectral_shift(rng, jacobian, used, density, steps)
    jacobian = jacobian + shift[:, None, None] * (np.eye(_D) * used[:, :, None])
    fast = (2 * np.pi / period)[:, None, None]
    quadratic = rng.normal(0, 1, (n, _D, _D, _D)) * rng.uniform(0, 0.5, (n, 1, 1, 1))
    quadratic = quadratic * (rng.random((n, _D, _D, _D)) < 0.6) * both[:, :, :, None]
    quadratic = quadratic * used[:, None, None, :] * fast[:, :, :, None]
    cubic = rng.normal(0, 0.1, (n, _D, _D)) * both * (rng.random((n, 1, 1)) < 0.3) * fast
    hold = rng.uniform(0.05, 0.6, n) * (rng.random(n) < 0.6)
    held = -(hold[:, None, None] * fast) * (np.eye(_D) * used[:, :, None])
    coef = np.concatenate([jacobian, quadratic.reshape(n, _D, _D * _D), cubic, held], axis=2)

    def field(state: np.ndarray) -> np.ndarray:
        count = len(state)
        terms = np.empty((count, _TERMS))
        terms[:, :4] = state
        np.multiply(state[:, :, None], state[:, None, :], out=terms[:, 4:20].reshape(-1, _D, _D))
        squares = state * state
        np.multiply(squares, state, out=terms[:, 20:24])
        np.multiply(squares.sum(1, keepdims=True), state, out=terms[:, 24:])
        rates: np.ndarray = np.matmul(coef, terms[:, :, None])[:, :, 0]
        return rates

    start = rng.normal(0, 1, (n, _D)) * rng.uniform(0.2, 1.3, (n, 1)) * used
    return Systems(field, start, period, channels, bound=30.0)
