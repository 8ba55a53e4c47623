"""Where one label ends and the next begins: shared by generators, rules and tests.

All bounds are shares of the series' range (highest less lowest observed value), so that a label
does not depend on the caller's units. "Clear" means at least 10 % of the width of the label's own
class away from every bound of that class.
"""

from __future__ import annotations

import math

__all__ = [
    "CLEAR_SHARE",
    "FLAT_SHARE",
    "NOISE_SHARES",
    "PUBLISHED_NOISE_SHARES",
    "noise_is_clear",
    "noise_label",
    "noise_soft_label",
    "position_is_clear",
    "trend_is_clear",
    "trend_label",
    "trend_soft_label",
]

# Assumption: a net change under a fifth of the range is no trend worth a word.
FLAT_SHARE = 0.2
# Assumption: 0.02 is the published bound of "low" (2 of 99 bins). The published bound of "high",
# 12 of 99, is beyond what most series can have (white noise alone has 0.19 at 128 points,
# Laplace noise alone 0.09 at 1,024); at 0.06 the noise fills a quarter of the picture's height.
NOISE_SHARES = (0.02, 0.06)
PUBLISHED_NOISE_SHARES = (0.02, 0.12)  # of the residual to a cubic: 2 and 12 of 99 bins
CLEAR_SHARE = 0.1
# How far beside a bound a label is still shared with the next: of the range, and of a logarithm.
# About what the best estimate from a hundred points is off by.
SOFT_TREND, SOFT_NOISE = 0.02, 0.1


def trend_label(net_share: float) -> str:
    """Label of a net change, given as a share of the range: flat within +-FLAT_SHARE."""
    if abs(net_share) < FLAT_SHARE:
        return "flat"
    return "increasing" if net_share > 0 else "decreasing"


def trend_is_clear(net_share: float) -> bool:
    """Whether a net change lies clear of +-FLAT_SHARE.

    Flat is 2 FLAT_SHARE wide, the others reach from FLAT_SHARE to 1.
    """
    size = abs(net_share)
    if size < FLAT_SHARE:
        return size <= FLAT_SHARE - CLEAR_SHARE * 2 * FLAT_SHARE
    return size >= FLAT_SHARE + CLEAR_SHARE * (1 - FLAT_SHARE)


def noise_label(sigma: float, bounds: tuple[float, float] = NOISE_SHARES) -> str:
    """Label of a noise's standard deviation, by default as a share of the range."""
    low, high = bounds
    return "low" if sigma < low else "high" if sigma > high else "medium"


def noise_is_clear(sigma: float, bounds: tuple[float, float] = NOISE_SHARES) -> bool:
    """Whether a standard deviation lies clear of both bounds.

    "Low" begins at 0; "high" has no end and counts as wide as "medium".
    """
    low, high = bounds
    wide = CLEAR_SHARE * (high - low)
    return (
        sigma <= (1 - CLEAR_SHARE) * low
        or low + wide <= sigma <= high - wide
        or (sigma >= high + wide)
    )


def trend_soft_label(net_share: float) -> dict[str, float]:
    """Label -> share: logistic in the distance of a net change from +-FLAT_SHARE."""
    up = _logistic((net_share - FLAT_SHARE) / SOFT_TREND)
    down = _logistic((-net_share - FLAT_SHARE) / SOFT_TREND)
    return {"increasing": up, "decreasing": down, "flat": 1.0 - up - down}


def noise_soft_label(sigma: float, bounds: tuple[float, float] = NOISE_SHARES) -> dict[str, float]:
    """Label -> share: logistic in the logarithm of a standard deviation over the bounds."""
    low, high = (math.log(max(sigma, 1e-9) / bound) / SOFT_NOISE for bound in bounds)
    below, above = _logistic(-low), _logistic(high)
    return {"low": below, "medium": 1.0 - below - above, "high": above}


def _logistic(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(x / 2))


def position_is_clear(index: int, length: int) -> bool:
    """Whether a position lies clear of the bounds of `region_of`, T/4 and 3T/4."""
    share = index / length
    outer, inner = CLEAR_SHARE / 4, CLEAR_SHARE / 2
    return share <= 0.25 - outer or 0.25 + inner <= share <= 0.75 - inner or share >= 0.75 + outer
