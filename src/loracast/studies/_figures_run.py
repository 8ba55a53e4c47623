"""Figures of how the study ran: losses, FLOPs and gradients, as inline SVG.

Knows what a training run and a ledger are; how things look is `_drawing`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from loracast.studies._drawing import (
    FALLBACK_COLOURS,
    INK,
    MUTED,
    direct_labels,
    format_amount,
    legend_above,
    log_axis,
    new_figure,
    svg_figure,
)
from loracast.studies._report_data import GradientNorms, LossCurve, SpentBlock

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["burn_down_figure", "gradients_figure", "loss_figure", "stages_figure"]


@svg_figure
def loss_figure(curves: Sequence[LossCurve]) -> tuple[Figure, str] | None:
    """Training (thin) and validation loss (bold, dots), one panel per stage."""
    stages = list(dict.fromkeys(c.stage for c in curves if c.points))
    if not stages:
        return None
    columns = min(3, len(stages))
    rows = math.ceil(len(stages) / columns)
    figure = new_figure(0.35 + 2.25 * rows)
    for k, stage in enumerate(stages):
        axes = figure.add_subplot(rows, columns, k + 1)
        members = [c for c in curves if c.stage == stage and c.points]
        ends = []
        for i, curve in enumerate(members):
            colour = FALLBACK_COLOURS[i % len(FALLBACK_COLOURS)]
            train = [(p.step, p.train_loss) for p in curve.points if p.train_loss is not None]
            val = [(p.step, p.val_loss) for p in curve.points if p.val_loss is not None]
            if train:
                axes.plot(*zip(*_thin(train), strict=True), color=colour, lw=0.8, alpha=0.45)
            if val:
                marker = "o" if len(val) <= 30 else ""
                axes.plot(
                    *zip(*_thin(val), strict=True), color=colour, lw=1.8, marker=marker, ms=3.2
                )
            if last := (val or train):
                ends.append((float(last[-1][1] or 0.0), curve.label, colour))
        axes.set_title(stage)
        axes.set_xlabel("optimiser step")
        if k % columns == 0:
            axes.set_ylabel("loss (nats per target)")
        if len(members) > 1:
            direct_labels(axes, ends, gap=0.085)
    return figure, "Training and validation loss over optimiser steps, by stage"


@svg_figure
def stages_figure(
    by_stage: Mapping[str, float], entries: Sequence[SpentBlock], limit_flops: float
) -> tuple[Figure, str] | None:
    """FLOPs of each stage as a bar, split by kind of work where the ledger's entries are known."""
    stages = [s for s, flops in by_stage.items() if flops > 0]
    if not stages:
        return None
    kinds = list(dict.fromkeys(e.kind for e in entries if e.stage in stages))
    figure = new_figure(1.05 + 0.3 * len(stages))
    axes = figure.add_subplot()
    top = max(by_stage[s] for s in stages)
    scale, unit = _scale(top)
    for place, stage in enumerate(stages):
        left, total = 0.0, by_stage[stage]
        for i, kind in enumerate(kinds):
            part = sum(e.flops for e in entries if e.stage == stage and e.kind == kind)
            colour = FALLBACK_COLOURS[i % len(FALLBACK_COLOURS)]
            axes.barh(place, part / scale, left=left / scale, height=0.6, color=colour, lw=0)
            left += part
        if left < total:
            rest = (total - left) / scale
            axes.barh(place, rest, left=left / scale, height=0.6, color="#9fb4c4", lw=0)
        share = f" · {100 * total / limit_flops:.1f} % of the limit" if limit_flops > 0 else ""
        axes.annotate(
            format_amount(total, "FLOPs") + share,
            (max(left, total) / scale, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.8,
            color=MUTED,
        )
    for i, kind in enumerate(kinds):
        axes.plot([], [], "s", color=FALLBACK_COLOURS[i % len(FALLBACK_COLOURS)], label=kind)
    if kinds:
        legend_above(axes)
    axes.set_yticks(range(len(stages)), stages)
    for tick in axes.get_yticklabels():
        tick.set_color(INK)
    axes.set_ylim(len(stages) - 0.5, -0.5)
    axes.set_xlim(0, 1.32 * top / scale)
    axes.set_xlabel(unit)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    return figure, "FLOPs spent by each stage"


@svg_figure
def burn_down_figure(
    entries: Sequence[SpentBlock], limit_flops: float
) -> tuple[Figure, str] | None:
    """What is left of the budget over wall time, coloured by stage."""
    if not entries or limit_flops <= 0:
        return None
    ordered = sorted(entries, key=lambda e: e.time)
    scale, unit = _scale(limit_flops)
    seconds = ordered[-1].time - ordered[0].time
    per, time_unit = (60.0, "minutes") if seconds > 120 else (1.0, "seconds")
    figure = new_figure(2.6)
    axes = figure.add_subplot()
    axes.axhline(limit_flops / scale, color=MUTED, lw=0.9, ls=(0, (3, 2)))
    order = list(dict.fromkeys(e.stage for e in ordered))
    colours = {s: FALLBACK_COLOURS[i % len(FALLBACK_COLOURS)] for i, s in enumerate(order)}
    for stage in order:
        axes.plot([], [], color=colours[stage], lw=2.4, label=stage)
    left, now = limit_flops / scale, 0.0
    for stage, members in groupby(ordered, key=lambda e: e.stage):
        run = list(members)
        times = np.array([now, *((e.time - ordered[0].time) / per for e in run)])
        lefts = left - np.cumsum([0.0, *(e.flops / scale for e in run)])
        axes.step(*_thin_arrays(times, lefts), where="post", color=colours[stage], lw=1.8)
        left, now = float(lefts[-1]), float(times[-1])
    legend_above(axes)
    axes.set_xlim(0, max(now, 1e-9) * 1.01)
    axes.set_ylim(min(0.0, left), 1.1 * limit_flops / scale)
    axes.set_xlabel(f"{time_unit} since the first entry")
    axes.set_ylabel(f"{unit} left")
    return figure, "FLOPs left in the budget over time"


@svg_figure
def gradients_figure(norms: GradientNorms) -> tuple[Figure, str] | None:
    """Gradient norms of every LoRA A and of every B, from the first layer (dark) to the last."""
    from matplotlib import colormaps

    parts = {
        part: {n: v for n, v in norms.norms.items() if part in n and any(x for x in v)}
        for part in ("lora_A", "lora_B")
    }
    if not any(parts.values()):
        return None
    figure = new_figure(2.9)
    panels = figure.subplots(1, 2, sharey=True)
    medians = []
    for axes, (part, members) in zip(panels, parts.items(), strict=True):
        axes.set_title(f"{part[-1]} matrices ({len(members)})")
        axes.set_xlabel("optimiser step")
        table = np.array([*members.values()], dtype=float).reshape(len(members), len(norms.steps))
        table[~(table > 0)] = np.nan  # a zero has no place on a log axis
        for i, row in enumerate(table):
            colour = colormaps["cividis"](0.85 * i / max(1, len(table) - 1))
            axes.plot(*_thin_arrays(norms.steps, row), color=colour, lw=0.8, alpha=0.55)
        if np.isfinite(table).any():
            seen = np.isfinite(table).any(axis=0)
            middle = np.nanmedian(table[:, seen], axis=0)
            steps = np.array(norms.steps)[seen]
            axes.plot(*_thin_arrays(steps, middle), color=FALLBACK_COLOURS[1], lw=2)
            medians.append((axes, (float(middle[-1]), "median", FALLBACK_COLOURS[1])))
    panels[0].set_ylabel("L2 norm of the gradient (log scale)")
    if medians:
        log_axis(panels[0], "y")
    for axes, median in medians:
        direct_labels(axes, [median])
    return figure, "Gradient norms of the LoRA matrices over optimiser steps"


def _scale(flops: float) -> tuple[float, str]:
    power = max(0, min(int(math.log10(flops)) // 3, 7)) if flops > 0 else 0
    return 10.0 ** (3 * power), f"{' kMGTPEZ'[power].strip()}FLOPs"


def _thin(
    points: Sequence[tuple[int, float | None]], most: int = 300
) -> list[tuple[int, float | None]]:
    """Every k-th point and the last, so that a long run does not make a heavy page."""
    every = math.ceil(len(points) / most)
    return [*points[: len(points) - 1 : every], points[-1]]


def _thin_arrays(
    steps: Sequence[int] | np.ndarray, values: np.ndarray, most: int = 150
) -> tuple[np.ndarray, np.ndarray]:
    """Every k-th step and the last, as `_thin`."""
    every = math.ceil(len(values) / most)
    kept = np.unique([*range(0, len(values), every), len(values) - 1])
    return np.asarray(steps)[kept], values[kept]
