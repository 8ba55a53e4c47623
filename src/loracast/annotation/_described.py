"""Series whose description is known because they were built from it, for training and for tests.

Labels come from the latents that a series is made of, never from rules that read its numbers;
the place of the global maximum and minimum alone is read off the observed values, since that is
what the words mean.

Families. "ou" is the published Ornstein-Uhlenbeck generator: Euler, N = 128 points over T = 1,
theta = max(0.1, 0.7 + U(-0.5, 0.5)), mu = 0.5, sigma ~ U(0, 0.4), x0 ~ U(-2, 2), nothing missing.
"line", "bend", "logistic", "shift" and "hump" are shapes of the level, which may break in a step
on top of that, plus a season (half of the series), noise (Gaussian, AR(1), Laplace), single-point
outliers (a fifth), a bump and a dip placed independently of the trend, missing points (a fifth:
1 to 10 % of the points, single or as one gap), in units and with an offset of any size. Under 128
points steps, seasons and outliers are rarer in proportion.

Labels, with the series' range = highest less lowest observed value:

- trend: net change of the level (of the mean path x0 -> mu for "ou") over the range; flat under
  0.2 in size. Clear: flat up to 0.16, the others from 0.28 on. The same rule labels a segment by
  its own net change. The wandering of an "ou" path hides its mean; its trend is clear only if
  two standard deviations of the end of the path, too, fit between the latent and the bound.
- slope: net change a step.
- noise: sigma over the range; low under 0.02, high over 0.06. Clear: up to 0.018, from 0.024 to
  0.056, from 0.064 on. For "ou" sigma is the root mean square of path less mean path,
  as it came out, and the label is the published rule's: residual to a cubic over the range, low
  under 0.02, high over 0.12. (The published generator labels by its parameter, sigma per square
  root of time, whatever the range; that cannot be read off a picture without an axis, and agrees
  with the published rule on 60 % of series.)
- max, min: region of the first observed extremum (first quarter, middle half, last quarter).
  Clear: 2.5 % of T (outer quarters) or 5 % of T (middle) away from the bounds, and the extremum
  passes every value outside its region by at least 1 % of the range (the step of the published
  two digits).
- period, strength: of the season; strength is its variance over that of season and noise
  together (Hyndman and Athanasopoulos, Forecasting, section 4.3); under 0.1 the period is None.
- change points: first position after a step of the level of at least 10 % of the range, or after
  a break of the slope by at least 30 % of the range per length T.
- outliers: positions of the added single points that are not missing.

In a mix with "ou", whose classes are what they are, the others are drawn so that all labels
together are balanced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loracast.annotation import _described_parts as parts
from loracast.annotation._described_facts import Block, facts_of_block
from loracast.annotation._facts import SeriesFacts
from loracast.annotation._label_bounds import FLAT_SHARE, NOISE_SHARES, PUBLISHED_NOISE_SHARES
from loracast.errors import DataError

__all__ = ["FAMILIES", "DescribedSeries", "describe_chunk"]

FAMILIES = ("ou", *parts.SHAPES)
OU_STEPS = 128
SHORTEST = 16
LEAST_NOISE = 0.001  # of the range; low noise is log-uniform from here on
P_MISSING = 0.2
SPREAD_OF_EVENTS = 1.15  # measured: what a bump or a dip adds to a range that is full
# Measured on 20,000 "ou" series: shares of increasing, decreasing, flat; low, medium, high; and
# of the maximum and the minimum in the beginning, middle, end.
OU_SHARES = {
    "trend": (0.596, 0.337, 0.067),
    "noise": (0.16, 0.65, 0.19),
    "max": (0.316, 0.139, 0.545),
    "min": (0.572, 0.132, 0.296),
}


@dataclass(frozen=True)
class DescribedSeries:
    """One series and what is known about it.

    Args:
        values: (T,) float64, NaN where a point is missing.
        facts: labels and numbers from the latents.
        family: one of FAMILIES.
    """

    values: np.ndarray
    facts: SeriesFacts
    family: str


def describe_chunk(
    seed: int,
    index: int,
    n: int,
    *,
    lengths: tuple[int, int] = (32, 1024),
    families: Sequence[str] = FAMILIES,
) -> list[DescribedSeries]:
    """Chunk `index` of the endless stream of described series of `seed`.

    A pure function of its arguments. Up to 8 neighbouring series share their length, which is
    log-uniform; an "ou" series has 128 points, or a length from `lengths` where 128 is outside.

    Args:
        seed: of the stream, >= 0.
        index: of the chunk, >= 0.
        n: number of series, >= 1.
        lengths: shortest and longest T, both included.
        families: to choose from, each with the same probability.

    Returns:
        n series.

    Raises:
        DataError: arguments outside these bounds.
    """
    low, high = _checked(seed, index, n, lengths, families)
    rng = np.random.default_rng([seed, index])
    family = rng.integers(len(families), size=n)
    is_ou = np.array([name == "ou" for name in families])[family]
    out: list[DescribedSeries | None] = [None] * n

    def keep(rows: np.ndarray, block: Block) -> None:
        for row, values, facts in zip(rows, block.values, facts_of_block(block), strict=True):
            out[row] = DescribedSeries(values, facts, families[family[row]])

    rows = np.flatnonzero(is_ou)
    if len(rows):
        T = OU_STEPS if low <= OU_STEPS <= high else _draw_length(rng, low, high)
        keep(rows, _ou_block(rng, len(rows), T))
    composed = np.flatnonzero(~is_ou)
    ou_share = families.count("ou") / len(families)
    size = int(np.clip(n // 8, 1, 8))
    for start in range(0, len(composed), size):
        rows = composed[start : start + size]
        shapes = np.array([parts.SHAPES.index(families[k]) for k in family[rows]])
        keep(rows, _composed_block(rng, shapes, _draw_length(rng, low, high), ou_share))
    return [series for series in out if series is not None]


def _checked(
    seed: int, index: int, n: int, lengths: tuple[int, int], families: Sequence[str]
) -> tuple[int, int]:
    if seed < 0 or index < 0 or n < 1:
        raise DataError(
            f"got seed={seed}, index={index}, n={n}; expected seed >= 0, index >= 0, n >= 1"
        )
    low, high = lengths
    if not SHORTEST <= low <= high:
        raise DataError(f"got lengths={lengths}; expected {SHORTEST} <= shortest <= longest")
    unknown = [name for name in families if name not in FAMILIES]
    if unknown or not families:
        raise DataError(
            f"got families={tuple(families)}; expected one or more of {', '.join(FAMILIES)}"
        )
    return low, high


def _draw_length(rng: np.random.Generator, low: int, high: int) -> int:
    """Log-uniform, both ends included."""
    return min(int(low * ((high + 1) / low) ** rng.random()), high)


def _ou_block(rng: np.random.Generator, B: int, T: int) -> Block:
    """Paths of the published generator; with T points, the step is 1 / T."""
    theta = np.maximum(0.1, 0.7 + rng.uniform(-0.5, 0.5, B))
    sigma, start, mu = rng.uniform(0.0, 0.4, B), rng.uniform(-2.0, 2.0, B), 0.5
    dt = 1.0 / T
    keep = 1 - theta * dt
    shocks = rng.standard_normal((B, T)) * (sigma * np.sqrt(dt))[:, None]
    shocks[:, 0] = 0.0
    level = mu + (start - mu)[:, None] * keep[:, None] ** np.arange(T)
    values = level + parts.ar1(shocks, keep)
    # Variance of path less mean path: sigma^2 (1 - exp(-2 theta t)) / (2 theta).
    time = np.arange(T) * dt
    variance = sigma[:, None] ** 2 * -np.expm1(-2 * theta[:, None] * time)
    variance /= 2 * theta[:, None]
    return Block(
        values=values,
        level=level,
        season=np.zeros((B, T)),
        period=np.full(B, np.nan),
        # As realised: one path wanders much more or less than paths do on average.
        sigma=np.sqrt(((values - level) ** 2).mean(axis=1)),
        knots=[[] for _ in range(B)],
        outliers=[()] * B,
        noise_share=_cubic_residual(values),
        noise_bounds=PUBLISHED_NOISE_SHARES,
        slack=2 * np.sqrt(variance[:, -1]),
    )


def _cubic_residual(values: np.ndarray) -> np.ndarray:
    """(B,) root mean square distance from the best cubic, over the range: the published reading."""
    time = np.linspace(-1, 1, values.shape[1])
    basis, _ = np.linalg.qr(np.vander(time, 4))
    left = values - values @ basis @ basis.T
    return np.asarray(np.sqrt((left**2).mean(axis=1)) / np.ptp(values, axis=1))


def _classes(rng: np.random.Generator, B: int, field: str, ou_share: float) -> np.ndarray:
    """(B,) class numbers, such that with "ou" in the mix each class has a third of all."""
    if ou_share >= 1:
        raise AssertionError("a mix of ou alone draws no classes")
    odds = np.maximum(1 / 3 - ou_share * np.array(OU_SHARES[field]), 0.05)
    return np.searchsorted(np.cumsum(odds / odds.sum())[:2], rng.random(B), side="right")


def _composed_block(rng: np.random.Generator, shapes: np.ndarray, T: int, ou_share: float) -> Block:
    B = len(shapes)
    trend, amount = _classes(rng, B, "trend", ou_share), rng.random((B, 4))
    flat = (2 * amount[:, 0] - 1) * FLAT_SHARE
    net = np.choose(trend, [0.22 + 0.78 * amount[:, 0], -0.22 - 0.78 * amount[:, 0], flat])
    level, knots = parts.draw_level(rng, shapes, net, T)
    season, period = parts.draw_season(rng, net, T)
    noise = parts.draw_noise(rng, B, T)
    low, high = NOISE_SHARES
    highest = np.clip(0.8 / np.ptp(noise, axis=1), 1.25 * high, 0.2)
    sigma = np.choose(
        _classes(rng, B, "noise", ou_share),
        [
            low * (LEAST_NOISE / low) ** amount[:, 1],
            low * (high / low) ** amount[:, 1],
            high + (highest - high) * amount[:, 1],
        ],
    )
    # Where the parts already add up to a range over 1, the noise grows with it (the factor is for
    # the bump and the dip to come), so that its share of the range stays about as drawn.
    smooth = level + season
    drawn = sigma
    for _ in range(2):
        spread = np.ptp(smooth + sigma[:, None] * noise, axis=1)
        sigma = drawn * np.maximum(SPREAD_OF_EVENTS * spread, 1.0)
    spikes, outliers = parts.draw_outliers(rng, sigma, T)
    full = smooth + sigma[:, None] * noise + spikes
    regions = np.stack([_classes(rng, B, kind, ou_share) for kind in ("max", "min")], axis=1)
    full = parts.add_events(rng, full, regions)
    scale = 10 ** (4 * amount[:, 2] - 1)
    offset = scale * (6 * amount[:, 3] - 3)
    full = full * scale[:, None] + offset[:, None]
    return Block(
        values=np.where(_missing(rng, B, T), np.nan, full),
        level=level * scale[:, None],
        season=season * scale[:, None],
        period=period,
        sigma=sigma * scale,
        knots=knots,
        outliers=outliers,
    )


def _missing(rng: np.random.Generator, B: int, T: int) -> np.ndarray:
    """(B, T) true where a point is missing: single points, or one gap in 3 of 10 such series."""
    u, out = rng.random((B, 4)), np.zeros((B, T), dtype=bool)
    for row in np.flatnonzero(u[:, 0] < P_MISSING):
        count = max(1, int((0.01 + 0.09 * u[row, 1]) * T))
        if u[row, 2] < 0.3:
            start = int(u[row, 3] * (T - count + 1))
            out[row, start : start + count] = True
        else:
            out[row, rng.choice(T, size=count, replace=False)] = True
    return out
