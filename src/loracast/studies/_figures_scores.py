"""Figures of how well the methods forecast, each a function from plain data to inline SVG.

Knows what scores and forecasts mean; how things look is `_drawing`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from loracast.evaluation import ADAPTED, METHODS, RANDOM_START, ZERO_SHOT
from loracast.studies._drawing import (
    INK,
    MUTED,
    direct_labels,
    format_value,
    log_axis,
    new_figure,
    svg_figure,
)
from loracast.studies._report_data import ExampleForecast, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "error_by_step_figure",
    "examples_figure",
    "label_of",
    "methods_figure",
    "series_figure",
]

CONTEXT_STEPS_SHOWN = 40


def label_of(method: str) -> str:
    """A method's short name."""
    return METHODS[method].label if method in METHODS else method


def colour_of(method: str) -> str:
    """A method's colour, the same in every figure."""
    return METHODS[method].colour if method in METHODS else MUTED


@svg_figure
def methods_figure(
    errors: Mapping[str, Mapping[int, float | None]], unit: str
) -> tuple[Figure, str] | None:
    """Every method's MAE at every horizon, one panel per horizon, best on top."""
    horizons = sorted({h for row in errors.values() for h in row})
    if not horizons:
        return None
    figure = new_figure(0.75 + 0.21 * len(errors))
    for k, horizon in enumerate(horizons):
        axes = figure.add_subplot(1, len(horizons), k + 1)
        ranked = sorted(
            (value, method)
            for method, row in errors.items()
            if (value := row.get(horizon)) is not None
        )
        for place, (value, method) in enumerate(ranked):
            own = method == ADAPTED.name
            axes.plot(value, place, "o", ms=7.5 if own else 5.5, color=colour_of(method), zorder=3)
            axes.annotate(
                format_value(value),
                (value, place),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.8,
                color=INK if own else MUTED,
                fontweight="bold" if own else "normal",
            )
            if own:
                axes.axhspan(place - 0.5, place + 0.5, color="#e8f2f9", zorder=0)
        axes.set_yticks(range(len(ranked)), [label_of(m) for _, m in ranked])
        for tick, (_, method) in zip(axes.get_yticklabels(), ranked, strict=True):
            tick.set_color(INK)
            tick.set_fontweight("bold" if method == ADAPTED.name else "normal")
        axes.set_ylim(len(ranked) - 0.5, -0.5)
        axes.set_title(f"{horizon} steps ahead")
        axes.set_xlabel(f"MAE ({unit}, log scale)")
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        if ranked and ranked[0][0] > 0:
            low, high = ranked[0][0], ranked[-1][0]
            span = max(high / low, 1.5)
            axes.set_xlim(low / span**0.08, high * span**0.32)
            log_axis(axes, "x")
    return figure, "MAE of every method at every horizon, best first"


@svg_figure
def examples_figure(examples: Sequence[ExampleForecast], unit: str) -> tuple[Figure, str] | None:
    """One row per series, one column per channel: context, truth, median and band."""
    if not examples:
        return None
    columns = max(len(e.channels) for e in examples)
    figure = new_figure(0.3 + 1.75 * len(examples))
    for r, example in enumerate(examples):
        for c, channel in enumerate(example.channels):
            axes = figure.add_subplot(len(examples), columns, r * columns + c + 1)
            _draw_example(axes, example, c)
            named = [example.regime, f"series {example.series_id}"] if c == 0 else []
            axes.set_title(" · ".join([*filter(None, named), channel]))
            if c == 0:
                axes.set_ylabel(unit)
            if r == len(examples) - 1:
                axes.set_xlabel("time steps from the start of the forecast")
    return figure, "Forecasts of one series per regime against the truth"


def _draw_example(axes: Axes, example: ExampleForecast, c: int) -> None:
    past = _column(example.context, c)[-CONTEXT_STEPS_SHOWN:]
    median = _column(example.median, c)
    before = np.arange(1 - len(past), 1)
    ahead = np.arange(1, len(median) + 1)
    axes.axvline(0.5, color="#c3cbd3", lw=0.9, ls=(0, (3, 2)))
    axes.plot(before, past, color=MUTED, lw=1.3)
    if example.lo is not None and example.hi is not None:
        band = (_column(example.lo, c), _column(example.hi, c))
        axes.fill_between(ahead, *band, color=ADAPTED.colour, alpha=0.18, lw=0)
    axes.plot(ahead, median, color=ADAPTED.colour, lw=1.7)
    if example.truth is not None:
        axes.plot(ahead, _column(example.truth, c), "o", ms=2.1, color=INK, mew=0)
    axes.margins(x=0.01)
    axes.locator_params(axis="y", nbins=4)


@svg_figure
def error_by_step_figure(
    errors: Mapping[str, Sequence[float | None]], unit: str
) -> tuple[Figure, str] | None:
    """MAE at each step ahead, one line per method."""
    lines = {m: np.array(v, dtype=float) for m, v in errors.items() if any(_positive(v))}
    if not lines:
        return None
    figure = new_figure(3.5)
    axes = figure.add_subplot()
    ends = []
    for method, values in lines.items():
        own = method == ADAPTED.name
        steps = np.arange(1, len(values) + 1)
        shown = np.where(values > 0, values, np.nan)
        axes.plot(
            steps,
            shown,
            color=colour_of(method),
            lw=2.6 if own else 1.3,
            ls=(0, (4, 1.6)) if method in (ZERO_SHOT.name, RANDOM_START.name) else "-",
            zorder=4 if own else 3,
        )
        ends.append((float(shown[np.isfinite(shown)][-1]), label_of(method), colour_of(method)))
    axes.set_xlim(1, max(len(v) for v in lines.values()))
    axes.set_xlabel("time steps ahead")
    axes.set_ylabel(f"MAE at that step ({unit}, log scale)")
    log_axis(axes, "y")
    direct_labels(axes, ends, bold=ADAPTED.label)
    return figure, "Mean absolute error at each step ahead, by method"


@svg_figure
def series_figure(
    errors: Mapping[str, Sequence[float | None]], unit: str
) -> tuple[Figure, str] | None:
    """How MAE spreads over series: a dot each; box: quartiles; bar: median."""
    rows = {m: np.array(_positive(v)) for m, v in errors.items()}
    rows = {m: v for m, v in rows.items() if len(v)}
    if not rows:
        return None
    ranked = sorted(rows, key=lambda m: float(np.median(rows[m])))
    figure = new_figure(0.75 + 0.33 * len(ranked))
    axes = figure.add_subplot()
    for place, method in enumerate(ranked):
        values, colour = rows[method], colour_of(method)
        jitter = np.random.default_rng(0).uniform(-0.24, 0.24, len(values))
        axes.scatter(values, place + jitter, s=6, color=colour, alpha=0.35, lw=0, zorder=2)
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        axes.barh(
            place, high - low, left=low, height=0.56, color=colour, alpha=0.22, lw=0, zorder=1
        )
        axes.plot([middle, middle], [place - 0.32, place + 0.32], color=colour, lw=2.4, zorder=4)
        axes.text(
            1.01,
            place,
            f"{format_value(float(middle))}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=7.8,
            color=INK if method == ADAPTED.name else MUTED,
            fontweight="bold" if method == ADAPTED.name else "normal",
        )
    axes.text(
        1.01, -0.75, "median", transform=axes.get_yaxis_transform(), fontsize=7.6, color=MUTED
    )
    axes.set_yticks(range(len(ranked)), [label_of(m) for m in ranked])
    for tick, method in zip(axes.get_yticklabels(), ranked, strict=True):
        tick.set_color(INK)
        tick.set_fontweight("bold" if method == ADAPTED.name else "normal")
    axes.set_ylim(len(ranked) - 0.5, -0.5)
    axes.set_xlabel(f"MAE of a series over the longest horizon ({unit}, log scale)")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    log_axis(axes, "x")
    return figure, "Distribution of MAE over series, by method"


def _positive(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None and v > 0]


def _column(matrix: Matrix, c: int) -> np.ndarray:
    """(steps,) one channel, NaN for null."""
    return np.array([row[c] for row in matrix], dtype=float)
