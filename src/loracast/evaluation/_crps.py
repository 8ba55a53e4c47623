"""The continuous ranked probability score of sampled forecasts, on arrays alone."""

from __future__ import annotations

import numpy as np

__all__ = ["crps_from_samples"]


def crps_from_samples(truth: np.ndarray, samples: np.ndarray, axis: int = 1) -> np.ndarray:
    """Continuous ranked probability score of the distribution that the samples were drawn from.

    The fair form, whose expectation does not depend on S, so that methods with different numbers
    of samples can be compared: mean_i |x_i - y| - 1/(2 S (S - 1)) sum_ij |x_i - x_j| (Ferro 2014,
    eq. 10; with 1/S^2 in place of 1/(S (S - 1)) it is that of the samples themselves, Gneiting and
    Raftery 2007, eq. 21, larger at small S). The double sum is taken from the sorted samples. In
    the unit of the data, smaller is better; a single value may fall below 0; with S = 1 it is the
    absolute error.

    Args:
        truth: array of the shape of `samples` without the sample axis.
        samples: array with S samples along `axis`, drawn independently.
        axis: where the samples are; 1 fits (N, S, H, C).

    Returns:
        Array of the shape of `truth`, NaN where the truth is NaN.
    """
    ordered = np.sort(np.moveaxis(samples, axis, -1), axis=-1)
    count = ordered.shape[-1]
    error = np.abs(ordered - np.asarray(truth)[..., None]).mean(axis=-1)
    # sum_ij |x_i - x_j| / 2 = sum_i (2 i - S + 1) x_(i), i from 0
    weights = (2 * np.arange(count) - count + 1) / (count * max(1, count - 1))
    spread: np.ndarray = (ordered - ordered[..., :1]) @ weights
    return np.asarray(error - spread)
