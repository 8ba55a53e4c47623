"""Blocks of autonomous systems integrated together, for the pretraining stream.

Knows no family of systems. Why it exists: a stream of thousands of series a second needs fixed
steps over a whole block at once, and the decontamination test needs every vector field by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Density", "Systems", "alone", "draw_density", "integrate"]


@dataclass(frozen=True)
class Systems:
    """n systems of one form, ready to integrate.

    Attributes:
        field: rates (M, D) of states (M, D); one system's field takes any M.
        start: (n, D) initial states.
        period: (n,) typical time of one turn.
        channels: (n,) how many leading state variables exist; the others stay at zero.
        logs: the states are logs of positive quantities.
        observed: (D,) state variables that may be shown.
        bound: absolute states beyond it count as diverged.
    """

    field: Callable[[np.ndarray], np.ndarray]
    start: np.ndarray
    period: np.ndarray
    channels: np.ndarray
    logs: bool = False
    observed: tuple[int, ...] = (0, 1, 2, 3)
    bound: float = 1e3


@dataclass(frozen=True)
class Density:
    """Sampling of a block: points per turn (n,), and steps of the solver per point."""

    points: np.ndarray
    sub: int


def draw_density(rng: np.random.Generator, n: int) -> Density:
    """Between 8 and 64 points per turn, at least 32 solver steps per turn.

    The number of solver steps belongs to the block, so that the whole block advances together.
    """
    low, high, sub = (8, 20, 4) if rng.random() < 0.25 else (16, 64, 2)
    return Density(np.exp(rng.uniform(np.log(low), np.log(high), n)), sub)


def integrate(systems: Systems, dt: np.ndarray, steps: int, sub: int) -> np.ndarray:
    """Fourth-order Runge-Kutta with `sub` steps per sample.

    Args:
        systems: n of them.
        dt: (n,) time between samples.
        steps: T.
        sub: solver steps per sample.

    Returns:
        (n, T, D); NaN throughout a path that left its bound or that the steps do not resolve
        (more turning points than every second sample).
    """
    field, state = systems.field, systems.start
    out = np.empty((steps, *state.shape))
    h = (dt / sub)[:, None]
    half, sixth = h / 2, h / 6
    limit = 10 * systems.bound
    for t in range(steps):
        out[t] = state
        for _ in range(sub):
            k1 = field(state)
            k2 = field(state + half * k1)
            k3 = field(state + half * k2)
            k4 = field(state + h * k3)
            k2 += k3
            k2 *= 2
            k2 += k1
            k2 += k4
            state = state + sixth * k2
        np.minimum(np.maximum(state, -limit, out=state), limit, out=state)
    path = np.ascontiguousarray(out.transpose(1, 0, 2))
    lost = ~(np.abs(path).max(axis=(1, 2)) <= systems.bound)
    rise = np.diff(path, axis=1)
    turns = (rise[:, 1:] * rise[:, :-1] < 0).mean(axis=1).max(axis=1)
    path[lost | (turns > 0.5)] = np.nan
    return path


def alone(systems: Systems) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """The field of a block of one system on its existing channels only, and their number."""
    if len(systems.start) != 1:
        raise ValueError(f"got a block of {len(systems.start)} systems, expected one")
    existing, width = int(systems.channels[0]), systems.start.shape[1]

    def field(state: np.ndarray) -> np.ndarray:
        padded = np.zeros((len(state), width))
        padded[:, :existing] = state
        return systems.field(padded)[:, :existing]

    return field, existing
