"""Whether an adapter fits the very series it is asked about: hindcasts inside the context.

The widths learnt on held-out series (`_spread`) hold for series like those. A context of another
kind shows it: its own last steps, forecast from before them, lie outside of the calibrated band
more often than they should. Where they clearly do, the band is drawn apart by as much as would
have held 80 % of them; never together. The median stays where it is.

Knows contexts and sampled paths as arrays, not the model. Measured in docs/log.md, where the
constants were chosen: two origins of ten steps each; one origin holds fewer truths of series of
another kind, and without a threshold the bands of series of the same kind grow for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loracast.evaluation import sample_quantiles
from loracast.forecasting._spread import SPREAD_COVERAGE

__all__ = ["HINDCAST_SAMPLES", "HINDCAST_STEPS", "Hindcast", "context_factors", "hindcasts"]

HINDCAST_STEPS = 10
HINDCAST_SAMPLES = 10  # the fewest whose 10 % quantile lies inside of them
ORIGINS = (10, 20)  # steps before the context's end
SHORTEST = 40  # a shorter context leaves too little before the earlier origin (assumption)
CLEAR = 1.25  # less may be chance; of series like the held-out ones a third have more (measured)
LARGEST = 100.0  # the most that a band is widened; beyond it nothing is learnt (assumption)
_FEWEST = 10  # known values below which nothing is said


@dataclass(frozen=True)
class Hindcast:
    """A forecast of what is known already.

    Args:
        row: of the series among those to forecast.
        key: names its draws.
        context: (T - origin, C).
        truth: (HINDCAST_STEPS, C), NaN where a value is missing.
    """

    row: int
    key: str
    context: np.ndarray
    truth: np.ndarray


def hindcasts(contexts: Sequence[np.ndarray], keys: Sequence[str]) -> list[Hindcast]:
    """Two for each context of 40 steps or more, none for a shorter one.

    Args:
        contexts: N arrays (T_n, C).
        keys: N names; a hindcast's draws depend on its own series' name alone.
    """
    return [
        Hindcast(
            row,
            f"{key}@-{origin}",
            context[:-origin],
            context[len(context) - origin :][:HINDCAST_STEPS],
        )
        for row, (context, key) in enumerate(zip(contexts, keys, strict=True))
        for origin in ORIGINS
        if len(context) >= SHORTEST and np.isfinite(context[:-origin]).any(axis=0).all()
    ]


def context_factors(
    n_series: int,
    made: Sequence[Hindcast],
    paths: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    spread: tuple[float, ...],
) -> np.ndarray:
    """By how much each series' samples are to be drawn apart, beside the calibrated spread.

    A ratio is the distance of a known value from the hindcast's median over the width of the
    calibrated 80 % band on that side, as in `spread_factors`; the factor is the 80 %
    quantile of a series' ratios where that is above 1.25, else 1.

    Args:
        n_series: N.
        made: M hindcasts, of any of the series.
        paths: M arrays (S, HINDCAST_STEPS, C) of samples in scaled units.
        truth: M arrays (HINDCAST_STEPS, C) in the same units.
        spread: calibrated factors by step, () where there are none.

    Returns:
        (N,) factors of 1 or more.
    """
    tail = (1 - SPREAD_COVERAGE) / 2
    steps = np.minimum(np.arange(HINDCAST_STEPS), len(spread) - 1)
    calibrated = np.array(spread)[steps, None] if spread else 1.0
    ratios: list[list[np.ndarray]] = [[] for _ in range(n_series)]
    for hindcast, sampled, known in zip(made, paths, truth, strict=True):
        low, middle, high = sample_quantiles(sampled, [tail, 0.5, 1 - tail], axis=0)
        side = np.where(known > middle, high - middle, middle - low)
        ratio = np.abs(known - middle) / np.maximum(calibrated * side, 1e-9)
        ratios[hindcast.row].append(ratio[np.isfinite(ratio)])
    factors = np.ones(n_series)
    for row, found in enumerate(ratios):
        known = np.concatenate(found) if found else np.empty(0)
        if len(known) >= _FEWEST:
            needed = np.quantile(known, SPREAD_COVERAGE)
            factors[row] = min(needed, LARGEST) if needed > CLEAR else 1.0
    return factors
