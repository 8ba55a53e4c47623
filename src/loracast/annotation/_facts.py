"""What can be said about a series, as plain facts: the common ground of generators and rules.

Known latents of a generator, rules that read the numbers, and models that answer in JSON all end
in one `SeriesFacts`, so that each can be scored against each. Indices count positions of the
series, from 0, whatever the caller's own index is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "EXTREMUM_REGIONS",
    "NOISE_LEVELS",
    "TREND_LABELS",
    "UNKNOWN_INDEX",
    "Extremum",
    "SeriesFacts",
    "TrendSegment",
    "region_of",
]

TREND_LABELS = ("increasing", "decreasing", "flat")
NOISE_LEVELS = ("low", "medium", "high")
EXTREMUM_REGIONS = ("beginning", "middle", "end")
# `Extremum.index` of a source that names the region only, such as the published sentences.
UNKNOWN_INDEX = -1


def region_of(index: int, length: int) -> str:
    """First quarter, middle half or last quarter of a series of `length` points.

    At length 128 this is the published rule: below 32 beginning, above 96 end.
    """
    if index < length / 4:
        return "beginning"
    return "end" if index > length * 3 / 4 else "middle"


@dataclass(frozen=True)
class TrendSegment:
    """A stretch [start, end] of positions, both inside it, and its slope in value units a step."""

    start: int
    end: int
    label: str
    slope: float


@dataclass(frozen=True)
class Extremum:
    """The highest ("max") or lowest ("min") point: position, value in the series' own units.

    Where a source names the region alone, index is UNKNOWN_INDEX and value NaN.
    """

    kind: str
    index: int
    value: float
    region: str


@dataclass(frozen=True)
class SeriesFacts:
    """Facts of one series of T points; None or empty where a source says nothing about it.

    Args:
        length: T.
        trend: one of TREND_LABELS; slope in value units a step; segments in order.
        noise: one of NOISE_LEVELS; sigma is the noise's standard deviation over the range of
            the series (max - min), a share.
        extrema: the global maximum and the global minimum.
        period: of the season, in steps, None for none; strength 0..1 (share of the variance
            that the season explains after the trend is removed).
        change_points: positions where level or slope break.
        outliers: positions of single points far off.
        correlation: of two channels, -1..1, None for one channel.
        clear: names of the label fields ("trend", "noise", "max", "min") whose latent lies at
            least 10 % of the class width away from every class boundary.
        soft_labels: field -> label -> share, of the fields whose latent is known: nearly 1 for
            the label itself, and shared with the next one near their bound.
    """

    length: int
    trend: str | None = None
    slope: float | None = None
    segments: tuple[TrendSegment, ...] = ()
    noise: str | None = None
    sigma: float | None = None
    extrema: tuple[Extremum, ...] = ()
    period: float | None = None
    strength: float | None = None
    change_points: tuple[int, ...] = ()
    outliers: tuple[int, ...] = ()
    correlation: float | None = None
    clear: frozenset[str] = frozenset()
    soft_labels: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
