"""What may be asked of sampled paths: levels and quantiles that their number can resolve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loracast.errors import ConfigError
from loracast.evaluation import resolves, sample_quantiles, samples_needed

__all__ = [
    "DEFAULT_SAMPLES",
    "check_levels",
    "check_quantiles",
    "enough_samples",
    "intervals",
    "sample_quantiles",
]

DEFAULT_SAMPLES = 20  # paths a series where nobody asked for a number; enough for 90 %


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


def enough_samples(
    n_samples: int | None, levels: Sequence[float], quantiles: Sequence[float] = ()
) -> int:
    """How many paths to draw so that every level and quantile is one of them.

    Args:
        n_samples: as asked for; None draws 20, or more where a level wants more.
        levels: percentages; L needs S >= 2 / (1 - L / 100) - 1, so 80 needs 9 and 99 needs 199.
        quantiles: shares.

    Raises:
        ConfigError: a number that was asked for and is too small.
    """
    asked = [(f"level {level:g}", (1 - level / 100) / 2) for level in levels]
    asked += [(f"quantile {share:g}", share) for share in quantiles]
    for name, share in asked:
        if n_samples is not None and not resolves(n_samples, [share]):
            least = samples_needed(share)
            raise ConfigError(
                f"got {name} with {n_samples} samples; expected at least {least} samples for it: "
                f"give n_samples={least} (--samples {least}) or leave the number out"
            )
    if n_samples is not None:
        return n_samples
    return max([DEFAULT_SAMPLES, *(samples_needed(share) for _, share in asked)])


def intervals(
    samples: np.ndarray, levels: Sequence[float]
) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    """Central intervals by level in percent: 80 lies between the 10 % and the 90 % quantile.

    Args:
        samples: (N, S, H, C).
        levels: percentages.

    Returns:
        level -> lower and upper bounds, each (N, H, C).

    Raises:
        ConfigError: a level that S samples cannot resolve.
    """
    enough_samples(samples.shape[1], levels)
    shares = [s for level in levels for s in (0.5 - level / 200, 0.5 + level / 200)]
    found = sample_quantiles(samples, shares) if shares else np.empty((0,))
    return {level: (found[2 * i], found[2 * i + 1]) for i, level in enumerate(levels)}
