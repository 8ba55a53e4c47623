"""How wide the bands of a forecast should be: measured on series that were held out.

Sampled steps are drawn one after the other, each with noise of its own, while the errors of a
model of smooth dynamics hang together over the whole horizon, so bands of sampled paths are too
narrow far out. For every step of the horizon one factor widens (or narrows) the samples about their
median, in the codec's scaled units, such that the 80 % band holds 80 % of held-out truths: split
conformal prediction with normalised residuals (Papadopoulos et al. 2008; Romano et al. 2019).
The median, and so the point forecast, stays where it was.

A residual is measured in widths of its own side of the very band that will be shown, with quantiles
at unbiased positions. Of perfect draws 80 % of the residuals are below 1 whatever S is, so the
factor says how wrong the model is and nothing of how many samples it was learnt with.
"""

from __future__ import annotations

import numpy as np

from loracast.errors import ConfigError
from loracast.evaluation import sample_quantiles, samples_needed

__all__ = ["SPREAD_COVERAGE", "spread_factors", "widened"]

SPREAD_COVERAGE = 0.8
_NEIGHBOURS = 2  # steps on either side that share their residuals
_RANGE = (0.2, 10.0)
_FEWEST = 20  # residuals below which a step keeps its samples as they are


def spread_factors(samples: list[np.ndarray], truth: list[np.ndarray]) -> tuple[float, ...]:
    """One factor for each step.

    Args:
        samples: N arrays (S, H, C) in scaled units.
        truth: N arrays (H_n, C) in scaled units, H_n <= H, NaN where unknown.

    Returns:
        (H,) factors; 1 where fewer than 20 truths are known.

    Raises:
        ConfigError: fewer samples than an 80 % band wants.
    """
    tail = (1 - SPREAD_COVERAGE) / 2
    if (count := min(len(paths) for paths in samples)) < samples_needed(tail):
        raise ConfigError(
            f"got {count} samples to calibrate bands with; expected at least {samples_needed(tail)}"
        )
    horizon = max(len(t) for t in truth)
    ratios: list[list[float]] = [[] for _ in range(horizon)]
    for paths, known in zip(samples, truth, strict=True):
        paths = paths[:, : len(known)]
        low, middle, high = sample_quantiles(paths, [tail, 0.5, 1 - tail], axis=0)
        side = np.where(known > middle, high - middle, middle - low)
        ratio = np.abs(known - middle) / np.maximum(side, 1e-9)
        for step, row in enumerate(ratio):
            ratios[step].extend(float(r) for r in row if np.isfinite(r))
    factors = []
    for step in range(horizon):
        # As many steps on one side as on the other: the needed width grows with the step.
        reach = min(_NEIGHBOURS, step, horizon - 1 - step)
        near = [r for s in ratios[step - reach : step + reach + 1] for r in s]
        if len(near) < _FEWEST:
            factors.append(1.0)
            continue
        rank = min(1.0, np.ceil((len(near) + 1) * SPREAD_COVERAGE) / len(near))
        factors.append(float(np.clip(np.quantile(near, rank, method="higher"), *_RANGE)))
    return tuple(factors)


def widened(samples: np.ndarray, factors: tuple[float, ...]) -> np.ndarray:
    """Samples (S, H, C) drawn apart about their median; later steps take the last factor."""
    if not factors or len(samples) < 2:
        return samples
    horizon = samples.shape[1]
    each = np.array([factors[min(h, len(factors) - 1)] for h in range(horizon)])[:, None]
    median = np.median(samples, axis=0)
    return np.asarray(median + each * (samples - median))
