"""Ornstein-Uhlenbeck series by the Euler-Maruyama scheme: noise that is pulled back to a mean."""

from __future__ import annotations

import numpy as np

from loracast.errors import DataError
from loracast.series import Panel

__all__ = ["generate_ou"]


def generate_ou(
    n: int,
    seed: int,
    n_steps: int = 100,
    *,
    theta: float = 0.5,
    mu: float = 0.0,
    sigma: float = 0.3,
    dt: float = 0.1,
) -> Panel:
    """Paths of dX = theta (mu - X) dt + sigma dW, by X += theta (mu - X) dt + sigma sqrt(dt) e.

    Each path starts in the stationary distribution of the scheme, a normal of mean mu and
    variance sigma^2 dt / (1 - (1 - theta dt)^2). Series k draws from the stream (seed, k), so
    the first series do not depend on `n`.

    Args:
        n: N, number of series.
        seed: of all noise.
        n_steps: T, steps of length dt.
        theta: rate of the pull, per unit of time.
        mu: mean.
        sigma: noise per square root of a unit of time.
        dt: time between steps; theta dt must lie between 0 and 2, else the scheme diverges.

    Returns:
        A panel of one channel `y`, with times 0, dt, 2 dt, ...

    Raises:
        DataError: settings outside these bounds.
    """
    if n < 1 or n_steps < 2 or seed < 0:
        raise DataError(
            f"got n={n}, n_steps={n_steps}, seed={seed}; expected n >= 1, n_steps >= 2, seed >= 0"
        )
    if not (np.isfinite([theta, mu, sigma, dt]).all() and sigma >= 0 and dt > 0):
        raise DataError(
            f"got theta={theta}, mu={mu}, sigma={sigma}, dt={dt}; "
            "expected finite numbers, sigma >= 0 and dt > 0"
        )
    keep = 1.0 - theta * dt
    if not -1.0 < keep < 1.0:
        raise DataError(f"got theta * dt = {theta * dt:g}; expected it between 0 and 2")
    noise = np.stack([np.random.default_rng([seed, k]).standard_normal(n_steps) for k in range(n)])
    noise *= sigma * np.sqrt(dt)
    values = np.empty((n, n_steps, 1))
    state = noise[:, 0] / np.sqrt(1.0 - keep**2)
    values[:, 0, 0] = state
    for step in range(1, n_steps):
        state = keep * state + noise[:, step]
        values[:, step, 0] = state
    values += mu
    facts = {"theta": theta, "mu": mu, "sigma": sigma, "dt": dt}
    return Panel(
        ids=tuple(range(n)),
        values=tuple(values),
        times=(dt * np.arange(n_steps),) * n,
        meta={"generator": "ou", "seed": seed, "n_steps": n_steps, **facts},
    )
