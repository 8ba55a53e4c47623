"""Elementwise transforms before scaling: linear, log, asinh, safe from 1e-300 to 1e300.

Each works per channel with a width `s` > 0 (used by asinh alone). Knows no codes or symbols.
"""

from __future__ import annotations

import numpy as np

__all__ = ["HUGE", "TINY", "TRANSFORMS", "asinh_width", "forward", "inverse"]

TRANSFORMS = ("linear", "log", "asinh")
HUGE = float(np.finfo(np.float64).max)
TINY = float(np.finfo(np.float64).tiny)
_LOG_LIMIT = 700.0  # exp(700) = 1e304 is finite, exp(710) is not


def asinh_width(context: np.ndarray) -> np.ndarray:
    """Where asinh bends, per channel (C,): the median of |x| > 0, or 1 where all are 0."""
    widths = []
    for column in np.abs(context).T:
        nonzero = column[column > 0.0]  # NaN compares false
        # Of halves: the median of two 1e308 is their mean, and their sum is not finite.
        widths.append(max(2.0 * float(np.median(0.5 * nonzero)), TINY) if nonzero.size else 1.0)
    return np.array(widths)


def forward(x: np.ndarray, name: str, width: np.ndarray) -> np.ndarray:
    """Transformed values (..., C) of x (..., C); NaN stays NaN."""
    if name == "linear":
        return x
    if name == "log":
        return np.log(x)
    with np.errstate(over="ignore", divide="ignore"):
        ratio = np.abs(x) / width
        # asinh(r) = log(2 r) to double precision for r > 1e10, and log(2x) - log(s) cannot overflow
        far = np.log(np.abs(x)) - np.log(width) + np.log(2.0)
    near = np.arcsinh(np.minimum(ratio, 1e10))
    return np.sign(x) * np.where(ratio > 1e10, far, near)


def inverse(z: np.ndarray, name: str, width: np.ndarray) -> np.ndarray:
    """Finite values (..., C) of transformed z (..., C), cut at the ends of float64."""
    if name == "linear":
        return np.clip(z, -HUGE, HUGE)
    if name == "log":
        with np.errstate(over="ignore", under="ignore"):
            return np.clip(np.exp(z), 5e-324, HUGE)
    near = np.sinh(np.clip(z, -_LOG_LIMIT, _LOG_LIMIT))
    with np.errstate(over="ignore", under="ignore"):
        far = np.exp(np.abs(z) - np.log(2.0) + np.log(width))
        x = np.where(np.abs(z) > 20.0, np.sign(z) * far, near * width)
    return np.clip(x, -HUGE, HUGE)
