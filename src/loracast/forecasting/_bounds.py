"""How far a sampled path may go: a generous multiple of what its context spans.

One path of twenty that runs away (a mixture's tail, fed back step after step) would make every mean
over samples worthless. So each value of a path is held inside limits taken from the context alone:

    the context's range, widened on both sides by ROOM times that range, and by more in proportion
    where the horizon H is longer than the context T. Where the model is shown logs, the range is
    that of the logs, and above it lie at most FAR ranges in original units.
    Growth may go on: a positive context that grew by the factor g a step may go on to ROOM times
    as many steps of it, last x g^(ROOM H), whatever the range says.

Numbers are held before they are fed back, digits once they are read. What was held is counted.
Both constants are choices; on predator-prey systems 800..899 the untuned base met the limits in 8
paths of 2,000, and no point forecast's error moved by 0.1 %.
"""

from __future__ import annotations

import numpy as np

__all__ = ["FAR", "ROOM", "hold", "path_limits"]

ROOM = 2.0
FAR = 20.0


def path_limits(context: np.ndarray, horizon: int, *, logs: bool = False) -> np.ndarray:
    """The lowest and the highest value a path may take, (2, C) in original units.

    Args:
        context: (T, C), NaN where a value is missing, at least one known value a channel.
        horizon: H steps ahead.
        logs: whether the context is shown in logs; it is positive then.
    """
    low, high = np.nanmin(context, axis=0), np.nanmax(context, axis=0)
    room = ROOM * max(1.0, horizon / len(context))
    with np.errstate(over="ignore", under="ignore"):
        # A channel that does not move is measured against its own size.
        size = np.where(high == 0, 1.0, np.abs(high))
        span = np.where(high > low, high - low, size)
        if logs:
            ratio = np.where(high > low, np.log(high) - np.log(low), 1.0)
            bottom = low * np.exp(-room * ratio)
            far = FAR / ROOM * room * span
            top = np.minimum(
                high * np.exp(room * ratio), np.maximum(high + far, _grown(context, horizon))
            )
        else:
            bottom = low - room * span
            top = np.maximum(high + room * span, _grown(context, horizon))
    return np.stack([bottom, top])


def _grown(context: np.ndarray, horizon: int) -> np.ndarray:
    """(C,) where the mean growth of a positive context leads in ROOM x H steps; else -inf."""
    ends = np.full(context.shape[1], -np.inf)
    for c, values in enumerate(context.T):
        known = np.flatnonzero(np.isfinite(values))
        if len(known) < 2 or np.nanmin(values) <= 0:
            continue
        first, last = known[0], known[-1]
        rise = (np.log(values[last]) - np.log(values[first])) / (last - first)
        with np.errstate(over="ignore"):
            ends[c] = values[last] * np.exp(max(0.0, rise) * ROOM * horizon)
    return ends


def hold(paths: np.ndarray, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paths (S, H, C) inside their limits (2, C), and (S,) whether one was touched."""
    held = np.clip(paths, limits[0], limits[1])
    return held, (held != paths).any(axis=(1, 2))
