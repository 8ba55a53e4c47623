"""The increasing map between code positions and scaled values: straight, then exponential.

Distances are in code steps from the centre. Up to `half` the map is the identity; beyond, the
t-th further code lies expm1(growth * t) / growth steps further out: the slope is 1 at the join
(so the map is C1) and each further step is exp(growth) times the one before. Knows no series.
"""

from __future__ import annotations

import numpy as np

__all__ = ["compress", "expand", "growth_for_reach"]


def growth_for_reach(n_codes: int, reach_steps: np.ndarray) -> np.ndarray:
    """The growth with which `n_codes` tail codes reach `reach_steps` steps beyond the join.

    Solves expm1(y) / y = reach / n for y = growth * n by Newton steps on the logarithm, which is
    increasing and nearly straight. A reach of n steps or fewer gives 0: a straight tail.

    Args:
        n_codes: codes in the tail, at least 1.
        reach_steps: (...) how far the last one must lie, in code steps.

    Returns:
        (...) growth per code, 0 or positive.
    """
    target = np.log(np.maximum(np.asarray(reach_steps, dtype=np.float64) / n_codes, 1.0))
    y = np.maximum(2.0 * target, 1e-9)
    for _ in range(60):
        value = y + np.log(-np.expm1(-y) / y)
        slope = 1.0 / -np.expm1(-y) - 1.0 / y
        step = (value - target) / np.maximum(slope, 1e-3)
        y = np.maximum(y - step, 1e-9)
        if np.all(np.abs(step) <= 1e-12 * y):
            break
    return np.where(target > 1e-9, y / n_codes, 0.0)


def expand(positions: np.ndarray, half: float, growth: np.ndarray) -> np.ndarray:
    """Distances in steps (...) of code positions (...) relative to the centre."""
    beyond = np.maximum(np.abs(positions) - half, 0.0)
    safe = np.where(growth > 0.0, growth, 1.0)
    tail = np.where(growth > 0.0, np.expm1(safe * beyond) / safe, beyond)
    return np.sign(positions) * (np.minimum(np.abs(positions), half) + tail)


def compress(steps: np.ndarray, half: float, growth: np.ndarray) -> np.ndarray:
    """Code positions (...) relative to the centre of distances (...): the inverse of `expand`."""
    beyond = np.maximum(np.abs(steps) - half, 0.0)
    safe = np.where(growth > 0.0, growth, 1.0)
    tail = np.where(growth > 0.0, np.log1p(safe * beyond) / safe, beyond)
    return np.sign(steps) * (np.minimum(np.abs(steps), half) + tail)
