"""A choice that noise does not make: of candidates that repeats cannot tell apart, the default.

Knows errors, costs and which candidate is the default; it does not know what was trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Candidate", "Choice", "choose"]


@dataclass(frozen=True)
class Candidate:
    """One setting and how it did.

    Args:
        label: as the report names it.
        errors: R, one for each repeat (another seed), lower is better; infinite where it diverged.
        flops: what all its repeats cost.
        default: whether it is the recipe's own setting.
    """

    label: str
    errors: tuple[float, ...]
    flops: float
    default: bool = False

    @property
    def mean(self) -> float:
        """Over the repeats."""
        return float(np.mean(self.errors))


@dataclass(frozen=True)
class Choice:
    """What was chosen and why.

    Args:
        index: of the candidate.
        noise: differences of means below it are not told apart; None where nothing was repeated.
        tied: how many candidates lie within it of the best, the best among them.
        reason: in words.
        label: of the candidate.
    """

    index: int
    noise: float | None
    tied: int
    reason: str
    label: str


def _noise(candidates: Sequence[Candidate]) -> float | None:
    """One standard error of the difference of two means over R repeats.

    The variance between repeats is pooled over the candidates that did not diverge: seeds differ
    for every candidate alike (assumption), and two or three repeats of one tell too little of it.
    """
    rows = [c.errors for c in candidates if len(c.errors) > 1 and math.isfinite(c.mean)]
    if not rows:
        return None
    pooled = float(np.mean([np.var(row, ddof=1) for row in rows]))
    repeats = min(len(row) for row in rows)
    return math.sqrt(2 * pooled / repeats)


def choose(candidates: Sequence[Candidate], unit: str = "") -> Choice:
    """The best candidate, unless the default or a cheaper one is as good within the noise.

    Candidates whose mean error lies within one standard error (of a difference of two means) of
    the lowest one are tied. Of those the default is taken, else the cheapest, else the better;
    this is the one-standard-error rule of Breiman et al. (1984), with repeats for folds.

    Args:
        candidates: at least one, in the recipe's order.
        unit: of the errors, for the reason.
    """
    means = [c.mean for c in candidates]
    lowest = min(means)
    noise = _noise(candidates)
    reach = lowest + (noise or 0.0)
    tied = [i for i, mean in enumerate(means) if mean <= reach]
    if not tied:  # not even one that is a number: all diverged to NaN
        tied = list(range(len(candidates)))
    best = min(tied, key=lambda i: means[i])
    defaults = [i for i in tied if candidates[i].default]
    index = defaults[0] if defaults else min(tied, key=lambda i: (candidates[i].flops, means[i]))
    reason = _reason(candidates, index, best, noise, unit)
    return Choice(index, noise, len(tied), reason, candidates[index].label)


def _reason(
    candidates: Sequence[Candidate], index: int, best: int, noise: float | None, unit: str
) -> str:
    chosen = candidates[index]
    if not math.isfinite(chosen.mean):
        return f"no candidate ended with a number; {chosen.label} is kept"
    measured = (
        "one run each, so nothing is known of the noise between seeds"
        if noise is None
        else f"means over {len(chosen.errors)} seeds, noise {noise:.2g} {unit}".rstrip()
    )
    if index == best:
        return f"{chosen.label} was the best ({measured})"
    kind = "the default" if chosen.default else "the cheapest"
    rival = candidates[best].label
    return f"{chosen.label}, {kind}, cannot be told from the best, {rival} ({measured})"
