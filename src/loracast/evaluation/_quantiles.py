"""Quantiles of S samples, without bias: the one place where all of them are made.

Of S draws x_(1) <= ... <= x_(S) and a truth from the same distribution, the truth lies below x_(i)
with probability i / (S + 1). So the p-quantile is read at position p (S + 1), linear between order
statistics (Weibull 1939; type 6 of Hyndman and Fan 1996): an 80 % band of 20 perfect draws holds
80 % of the truths, where numpy's default (type 7) holds 73 %. The extreme draws stand for
1 / (S + 1) and S / (S + 1); a quantile beyond them is not in the samples and is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from loracast.errors import ConfigError

__all__ = ["resolves", "sample_quantiles", "samples_needed"]

_HALF_RANGE = 2.0**1000  # above it, the difference of two values may not be finite
_SHRINK = 2.0**-40  # a power of two: scaling by it loses nothing
_ROUNDING = 1e-9  # 1 / (0.5 - 80 / 200) is 10 and a little


def samples_needed(share: float) -> int:
    """The fewest samples that have a quantile at this share: S >= 1 / min(p, 1 - p) - 1."""
    return max(1, math.ceil(1 / min(share, 1 - share) - 1 - _ROUNDING))


def resolves(n_samples: int, shares: Sequence[float]) -> bool:
    """Whether so many samples have a quantile at each of these shares."""
    return all(0 < p < 1 and n_samples >= samples_needed(p) for p in shares)


def sample_quantiles(samples: np.ndarray, shares: Sequence[float], axis: int = 1) -> np.ndarray:
    """Quantiles over the samples at positions p (S + 1), without overflow near 1e308.

    Args:
        samples: finite values with S samples along `axis`; 1 fits (N, S, H, C).
        shares: Q shares above 0 and below 1.
        axis: where the samples are.

    Returns:
        (Q, ...), the other axes of `samples` in their order.

    Raises:
        ConfigError: a share that S samples cannot resolve.
    """
    count = samples.shape[axis]
    for share in shares:
        if not resolves(count, [share]):
            needed = f"at least {samples_needed(share)} samples" if 0 < share < 1 else "0 < q < 1"
            raise ConfigError(
                f"got {count} samples for the quantile {share:g}; expected {needed}: draw more, or "
                "ask for one nearer the median"
            )
    if samples.size and float(np.abs(samples).max()) > _HALF_RANGE:
        shrunk = np.quantile(samples * _SHRINK, shares, axis=axis, method="weibull")
        return np.asarray(shrunk / _SHRINK)
    return np.asarray(np.quantile(samples, shares, axis=axis, method="weibull"))
