"""Facts of a block of generated series from the latents that they were built from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loracast.annotation._described_parts import Knot
from loracast.annotation._facts import (
    EXTREMUM_REGIONS,
    Extremum,
    SeriesFacts,
    TrendSegment,
    region_of,
)
from loracast.annotation._label_bounds import (
    NOISE_SHARES,
    noise_is_clear,
    noise_label,
    noise_soft_label,
    position_is_clear,
    trend_is_clear,
    trend_label,
    trend_soft_label,
)

__all__ = ["Block", "facts_of_block"]

LEAST_STEP = 0.1  # of the range: a smaller step of the level is not a change point
LEAST_BEND = 0.3  # of the range per length T: a smaller break of the slope is none either
LEAST_STRENGTH = 0.1  # a weaker season is reported as none
CLEAR_LEAD = 0.01  # of the range: the extremum's lead over the values outside its region


@dataclass(frozen=True)
class Block:
    """B series of one length T and their latents, all in the series' own units.

    Args:
        values: (B, T), NaN where missing.
        level: (B, T) trend component.
        season: (B, T); period (B,) in steps, NaN for none.
        sigma: (B,) standard deviation of the noise.
        knots: per series, where the level breaks.
        outliers: per series, positions.
        noise_share: (B,) what the noise label is read from with `noise_bounds`; None for sigma
            over the range with the usual bounds.
        slack: (B,) uncertainty of the net change that has to fit before a trend is clear.
    """

    values: np.ndarray
    level: np.ndarray
    season: np.ndarray
    period: np.ndarray
    sigma: np.ndarray
    knots: list[list[Knot]]
    outliers: list[tuple[int, ...]]
    noise_share: np.ndarray | None = None
    noise_bounds: tuple[float, float] = NOISE_SHARES
    slack: np.ndarray | None = None


def facts_of_block(block: Block) -> list[SeriesFacts]:
    """The facts of each series of a block."""
    B, T = block.values.shape
    filled_low = np.where(np.isnan(block.values), -np.inf, block.values)
    filled_high = np.where(np.isnan(block.values), np.inf, block.values)
    top, bottom = filled_low.max(axis=1), filled_high.min(axis=1)
    spread = np.maximum(top - bottom, np.finfo(float).tiny)
    net = (block.level[:, -1] - block.level[:, 0]) / spread
    power = block.season.var(axis=1)
    strength = power / np.maximum(power + block.sigma**2, np.finfo(float).tiny)
    sigma = block.sigma / spread
    leads = _leads(filled_low, T) / spread, _leads(-filled_high, T) / spread
    where = filled_low.argmax(axis=1), filled_high.argmin(axis=1)
    slack = np.zeros(B) if block.slack is None else block.slack / spread
    out = []
    for row in range(B):
        share, noise = float(net[row]), float(sigma[row])
        clear = set()
        if _trend_is_clear(share, float(slack[row])):
            clear.add("trend")
        extrema = []
        for kind, index, lead in zip(("max", "min"), where, leads, strict=True):
            k = int(index[row])
            extrema.append(Extremum(kind, k, float(block.values[row, k]), region_of(k, T)))
            if position_is_clear(k, T) and lead[row] >= CLEAR_LEAD:
                clear.add(kind)
        read = noise if block.noise_share is None else float(block.noise_share[row])
        if noise_is_clear(read, block.noise_bounds):
            clear.add("noise")
        seasonal = strength[row] >= LEAST_STRENGTH and not np.isnan(block.period[row])
        values = block.values[row]
        out.append(
            SeriesFacts(
                length=T,
                trend=trend_label(share),
                slope=share * float(spread[row]) / (T - 1),
                segments=_segments(block.level[row], block.knots[row], float(spread[row])),
                noise=noise_label(read, block.noise_bounds),
                sigma=noise,
                extrema=tuple(extrema),
                period=float(block.period[row]) if seasonal else None,
                strength=float(strength[row]),
                change_points=_changes(block.level[row], block.knots[row], float(spread[row])),
                outliers=tuple(k for k in block.outliers[row] if values[k] == values[k]),
                clear=frozenset(clear),
                soft_labels={
                    "trend": trend_soft_label(share),
                    "noise": noise_soft_label(read, block.noise_bounds),
                },
            )
        )
    return out


def _trend_is_clear(share: float, slack: float) -> bool:
    """Clear where it lies, and still the same label, and clear, `slack` to either side."""
    return all(
        trend_is_clear(share + move) and trend_label(share + move) == trend_label(share)
        for move in ((0.0, -slack, slack) if slack else (0.0,))
    )


def _leads(values: np.ndarray, T: int) -> np.ndarray:
    """(B,) lead of the best region's maximum over that of the next region."""
    first, last = int(np.ceil(T / 4)), int(np.floor(T * 3 / 4)) + 1
    best = np.stack(
        [values[:, a:b].max(axis=1) for a, b in ((0, first), (first, last), (last, T))], axis=1
    )
    assert best.shape[1] == len(EXTREMUM_REGIONS)
    best.sort(axis=1)
    return np.asarray(best[:, 2] - best[:, 1])


def _segments(level: np.ndarray, knots: list[Knot], spread: float) -> tuple[TrendSegment, ...]:
    T = len(level)
    starts = sorted({0, *(k for k, _ in knots if 0 < k < T)})
    out = []
    for start, after in zip(starts, [*starts[1:], T], strict=True):
        end = after - 1
        net = float(level[end] - level[start])
        slope = net / (end - start) if end > start else 0.0
        out.append(TrendSegment(start, end, trend_label(net / spread), slope))
    return tuple(out)


def _changes(level: np.ndarray, knots: list[Knot], spread: float) -> tuple[int, ...]:
    T, found = len(level), set()
    for k, kind in knots:
        if kind == "soft" or not 0 < k < T:
            continue
        step = level[k] - level[k - 1]
        if kind == "level" and abs(step) >= LEAST_STEP * spread:
            found.add(k)
        if kind == "slope" and 2 <= k < T - 1:
            bend = (level[k + 1] - level[k]) - (level[k - 1] - level[k - 2])
            if abs(bend) * T >= LEAST_BEND * spread:
                found.add(k)
    return tuple(sorted(found))
