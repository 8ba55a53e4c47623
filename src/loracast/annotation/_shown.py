"""A series as the model is shown it: numbers at positions, and measurements told beside them.

    values (T,) --> z (n, C), statics (C, 4), n = T, or fewer where a long series is thinned out

Form "continuous", two channels: the values, and a ramp that says where in the series a point is.
Form "measured", eight: those two, the roughness around the point, and what arithmetic reads off
the whole series, the same at every position. Told are the region of the highest and of the lowest
point, the length, two net changes and thirteen estimates of the noise. The model judges; it need
not learn to count and to add first (docs/log.md has what that brings).
"""

from __future__ import annotations

import numpy as np

from loracast.annotation._facts import EXTREMUM_REGIONS, region_of
from loracast.annotation._label_bounds import FLAT_SHARE, NOISE_SHARES, PUBLISHED_NOISE_SHARES
from loracast.annotation._measurements import Measurements, measure
from loracast.codec import VALUE_STATICS, ContinuousCodec

__all__ = ["POSITIONS", "continuous_form", "measured_form"]

POSITIONS = 128  # that a measured series takes at most
# A told number is 2.5 where it stands at the bound of a label, and 0 in the middle between bounds,
# so that small differences near a bound are plain. A region is certain, hence louder.
_LOUD, _LOUD_REGION, _LOUDEST = 2.5, 6.0, 10.0
# Estimates told twice, each time squashed around one bound: `_NEAR` of its logarithm off, plainly.
_SHARPLY, _NEAR = ("seasonal_ar", "cubic"), 0.5
_USUAL_LENGTH, _OCTAVES = 128, 1.5
_FLOOR = 1e-5  # of a noise estimate, before its logarithm
_SMOOTHEST, _MIDDLE = 3e-4, 1e-2  # of the range: roughness is told as log10 around these


def continuous_form(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and ramp: z (T, 2), statics (2, 4).

    Args:
        values: (T,), NaN where missing.
    """
    T = len(values)
    codec = ContinuousCodec("linear")
    ramp = np.linspace(-1.0, 1.0, T) if T > 1 else np.zeros(1)
    both = np.column_stack([values, ramp])
    state = codec.fit(both)
    return codec.forward(both, state), codec.statics(state).array()


def measured_form(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values, ramp, roughness and measurements: z (n, 8), statics (8, 4), n = min(T, POSITIONS).

    A longer series is shown at the positions floor(j T / n) as they are, with the largest
    roughness between one of them and the next; the measurements are of all T points.

    Args:
        values: (T,), NaN where missing.

    Raises:
        DataError: fewer than two different observed values.
    """
    found = measure(values)
    T = found.length
    n = min(T, POSITIONS)
    starts = np.arange(n) * T // n
    shown, fixed = continuous_form(_with_a_value(values, starts))
    rough = np.maximum.reduceat(found.roughness, starts)
    rough = np.log10(rough + _SMOOTHEST) - np.log10(_MIDDLE)
    told = _told(found)
    z = np.column_stack([shown, rough, np.zeros((n, len(told)))])
    statics = np.concatenate([fixed, np.zeros((1, VALUE_STATICS)), told])
    return z.astype(np.float32), statics.astype(np.float32)


def _told(found: Measurements) -> np.ndarray:
    """(5, 4): the measurements as the statics of channels whose values are 0."""
    T = found.length
    numbers = [
        _LOUD_REGION * (EXTREMUM_REGIONS.index(region_of(k, T)) - 1)
        for k in (found.highest, found.lowest)
    ]
    numbers += [
        np.log2(T / _USUAL_LENGTH) / _OCTAVES,
        _LOUD * found.net_change / FLAT_SHARE,
        _LOUD * found.ends_change / FLAT_SHARE,
    ]
    for name, estimate in found.noise.items():
        bounds = PUBLISHED_NOISE_SHARES if name == "cubic" else NOISE_SHARES
        level, (low, high) = np.log(max(estimate, _FLOOR)), np.log(bounds)
        if name in _SHARPLY:
            numbers += [_LOUD * np.tanh((level - bound) / _NEAR) for bound in (low, high)]
        else:
            numbers.append(_LOUD * (2 * level - low - high) / (high - low))
    return np.clip(numbers, -_LOUDEST, _LOUDEST).reshape(-1, VALUE_STATICS)


def _with_a_value(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The values at `starts`; where all of those are missing or equal, the extremes stand in."""
    shown = np.array(values, dtype=np.float64)[starts]
    seen = shown[np.isfinite(shown)]
    if not len(seen) or seen.min() == seen.max():
        highest, lowest = int(np.nanargmax(values)), int(np.nanargmin(values))
        slot, other = np.searchsorted(starts, [highest, lowest], side="right") - 1
        if slot == other:
            other += 1 if slot == 0 else -1
        shown[slot], shown[other] = values[highest], values[lowest]
    return shown
