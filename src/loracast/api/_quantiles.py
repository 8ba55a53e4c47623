"""Sampled paths to point forecasts, intervals and quantiles, without overflow near 1e308."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loracast.errors import ConfigError

__all__ = ["check_levels", "check_quantiles", "intervals", "sample_quantiles"]

_HALF_RANGE = 2.0**1000  # above it, the difference of two values may not be finite
_SHRINK = 2.0**-40  # a power of two: scaling by it loses nothing


def check_levels(levels: Sequence[float]) -> list[float]:
    """Interval levels in percent, each between 0 and 100.

    Raises:
        ConfigError: another number.
    """
    for level in levels:
        if not 0 < level < 100:
            raise ConfigError(f"got level {level:g}; expected a percentage between 0 and 100")
    return sorted(set(map(float, levels)))


def check_quantiles(quantiles: Sequence[float]) -> list[float]:
    """Quantiles as shares, each between 0 and 1.

    Raises:
        ConfigError: another number.
    """
    for share in quantiles:
        if not 0 < share < 1:
            raise ConfigError(f"got quantile {share:g}; expected a share between 0 and 1")
    return sorted(set(map(float, quantiles)))


def sample_quantiles(samples: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Quantiles over the samples, linear between order statistics (numpy's default).

    Args:
        samples: (N, S, H, C) finite values.
        shares: Q shares from 0 to 1.

    Returns:
        (Q, N, H, C).
    """
    if samples.size and np.abs(samples).max() > _HALF_RANGE:
        return np.asarray(np.quantile(samples * _SHRINK, shares, axis=1) / _SHRINK)
    return np.asarray(np.quantile(samples, shares, axis=1))


def intervals(
    samples: np.ndarray, levels: Sequence[float]
) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    """Central intervals by level in percent: 80 lies between the 10 % and the 90 % quantile.

    Args:
        samples: (N, S, H, C).
        levels: percentages.

    Returns:
        level -> lower and upper bounds, each (N, H, C).
    """
    shares = [s for level in levels for s in (0.5 - level / 200, 0.5 + level / 200)]
    found = sample_quantiles(samples, shares) if shares else np.empty((0,))
    return {level: (found[2 * i], found[2 * i + 1]) for i, level in enumerate(levels)}
