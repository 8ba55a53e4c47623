"""What the swings of a predator-prey system do: go on, shrink, widen or die out.

Looks at the values alone, never at parameters. Works on logarithms, where a swing of a small
and of a large population count alike.
"""

from __future__ import annotations

import numpy as np

from loracast.errors import DataError

__all__ = ["classify_regime"]

SHORTEST = 12
# A system is stable when its values end within this span of logs (about 10 %; assumption).
SETTLED_SPAN = 0.10
END_SHARE = 0.25
# Log change of the swing from the start of the record to its end that counts as a change
# (assumption, the middle between the generator's regimes).
CHANGE = 0.45
# Swings of logs below this are rounding or the last of a decay, and do not tell a rate.
SMALLEST_SWING = 1e-3


def classify_regime(values: np.ndarray) -> str:
    """Name the regime of one system.

    `stable`: over the last quarter every channel stays within 10 %. Otherwise the logs of the
    swings (from each extremum to the next, in logs) are fitted by a line in time; a rise over
    the record by more than 0.45 is `growing`, a fall by more `decaying`, else `oscillatory`.

    Args:
        values: (T, C) positive values, usually prey and predator.

    Returns:
        "oscillatory", "decaying", "growing" or "stable".

    Raises:
        DataError: fewer than 12 steps, or values that are not positive numbers.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) < SHORTEST:
        raise DataError(
            f"got values of shape {values.shape}; a regime needs (T, C) with T >= {SHORTEST}"
        )
    if not (np.isfinite(values) & (values > 0)).all():
        raise DataError("a regime is told from logarithms; expected positive numbers, none missing")
    logs = np.log(values)
    last = logs[-max(int(len(logs) * END_SHARE), 3) :]
    if (np.ptp(last, axis=0) < SETTLED_SPAN).all():
        return "stable"
    changes = [c for c in map(_swing_change, logs.T) if c is not None]
    change = float(np.mean(changes)) if changes else _spread_change(logs)
    if change > CHANGE:
        return "growing"
    return "decaying" if change < -CHANGE else "oscillatory"


def _swing_change(log: np.ndarray) -> float | None:
    """Log change of the swing over the record of one channel (T,); None for under 3 swings."""
    steps = np.diff(log)
    turns = np.flatnonzero(steps[:-1] * steps[1:] < 0) + 1
    if len(turns) < 4:
        return None
    # the extremum of the parabola through the three points around each turn
    left, middle, right = log[turns - 1], log[turns], log[turns + 1]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend
    height = middle - 0.25 * (left - right) * shift
    swings = np.abs(np.diff(height))
    times = 0.5 * ((turns + shift)[1:] + (turns + shift)[:-1])
    clear = swings > SMALLEST_SWING
    if clear.sum() < 3:
        return None
    slope = np.polyfit(times[clear], np.log(swings[clear]), 1)[0]
    return float(slope * (len(log) - 1))


def _spread_change(logs: np.ndarray) -> float:
    """The same from the spread of the two halves, for records of few swings."""
    half = len(logs) // 2
    first, second = logs[:half].std(axis=0), logs[-half:].std(axis=0)
    tiny = np.finfo(np.float64).tiny
    return float(np.mean(2 * np.log(np.maximum(second, tiny) / np.maximum(first, tiny))))
