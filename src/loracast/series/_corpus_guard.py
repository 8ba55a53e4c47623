"""Whether a vector field is a predator-prey (Lotka-Volterra) system, in any of its disguises.

Knows fields as callables only. Why it exists: the systems a study is judged on must not be in
what the base has learnt from, and a list of names cannot show that.

A system is of the form d log x_i / dt = a_i + sum_j b_ij x_j with some b_ij, i != j, not zero.
Per-channel rescaling and time scaling keep that form; powers z = x^p turn x_j into z_j^(1/p_j);
logs turn it into exp. A group of two or more channels that is such a system by itself counts
too. One channel by itself, logistic growth, couples nothing and does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product

import numpy as np

__all__ = ["is_predator_prey", "predator_prey_misfit"]

# Powers that a disguise may have used; others show through their neighbours (see the misfit).
POWERS = (-3.0, -2.0, -1.5, -1.0, -2 / 3, -0.5, -1 / 3, 1 / 3, 0.5, 2 / 3, 1.0, 1.5, 2.0, 3.0)
MISFIT = 0.01  # share of a rate's variance that the form leaves unexplained
COUPLING = 1e-3  # smallest share of a rate's variance that counts as an interaction
SAMPLES = 400


def _combinations(size: int) -> np.ndarray:
    """Which power each channel of a group has: all for a pair, one or two kinds for more."""
    count = range(len(POWERS))
    if size == 2:
        return np.array(list(product(count, repeat=2)))
    rows = {(k,) * size for k in count}
    for one, other in product(count, repeat=2):
        rows |= set(product((one, other), repeat=size))
    return np.array(sorted(rows))


_ROWS = {size: _combinations(size) for size in (2, 3, 4)}


def predator_prey_misfit(
    field: Callable[[np.ndarray], np.ndarray],
    dimension: int,
    *,
    logs: bool,
    seed: int = 0,
    spread: float = 1.0,
) -> float:
    """Smallest unexplained variance share of any group of channels, over all disguises.

    Args:
        field: rates (M, D) of states (M, D).
        dimension: D, 1 to 4.
        logs: the states are logs of the quantities; else they are the quantities themselves,
            and positive ones are tried.
        seed: of the sampled states.
        spread: standard deviation of the sampled logs.

    Returns:
        The largest 1 - R^2 over the equations of the group that fits best; 1 where no group of
        two or more channels interacts.
    """
    rng = np.random.default_rng(seed)
    u = rng.normal(0, spread, (SAMPLES, dimension))
    rates = field(u) if logs else field(np.exp(u)) / np.exp(u)
    keep = np.isfinite(rates).all(axis=1)
    u, rates = u[keep], rates[keep]
    total = ((rates - rates.mean(0)) ** 2).mean(0)
    size = np.abs(rates).max() ** 2 + 1e-300
    # Standardised powers of every channel: (M, D, P).
    powers = np.exp(np.clip(u[:, :, None] * np.array(POWERS), -30, 30))
    powers = (powers - powers.mean(0)) / powers.std(0)
    centred = rates - rates.mean(0)
    flat = powers.reshape(len(u), -1)
    gram = flat.T @ flat / len(u)
    cross = flat.T @ centred / len(u)
    best = 1.0
    for group in (g for k in range(2, dimension + 1) for g in combinations(range(dimension), k)):
        columns = _ROWS[len(group)] + np.array(group) * len(POWERS)
        design = gram[columns[:, :, None], columns[:, None, :]]
        right = cross[columns][:, :, list(group)]
        weights = np.linalg.solve(design, right)  # (R, channels, equations)
        explained = (weights * right).sum(1)
        spread_of = total[list(group)]
        constant = spread_of < 1e-12 * size
        unexplained = 1 - explained / np.where(constant, 1.0, spread_of)
        unexplained = np.where(constant, 0.0, unexplained)
        share = weights**2 / np.where(constant, 1.0, spread_of)
        share = np.where(constant, 0.0, share) * (1 - np.eye(len(group)))
        coupled = share.max(axis=(1, 2)) > COUPLING
        worst = np.where(coupled, unexplained.max(axis=1), 1.0)
        best = min(best, float(max(worst.min(), 0.0)))
    return best


def is_predator_prey(
    field: Callable[[np.ndarray], np.ndarray],
    dimension: int,
    *,
    logs: bool = False,
    seed: int = 0,
    spread: float = 1.0,
) -> bool:
    """Whether the field is of predator-prey form, as quantities or (`logs`) as their logs.

    Args:
        field: rates (M, D) of states (M, D).
        dimension: D, 1 to 4.
        logs: the states are logs.
        seed: of the sampled states.
        spread: standard deviation of the sampled logs.
    """
    misfit = predator_prey_misfit(field, dimension, logs=logs, seed=seed, spread=spread)
    return misfit < MISFIT
