"""Pictures of annotated series: what an annotation says, drawn on the numbers it speaks about."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loracast.annotation._prose import prose
from loracast.annotation._schema import Annotation
from loracast.errors import AnnotationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["check_caption_font", "draw_annotations", "plot_annotations"]

SUFFIXES = (".png", ".svg")
_SERIES, _CHANGE, _OUTLIER = "#555555", "#222222", "#b03a9e"
_TREND = {"increasing": "#2a7f3f", "decreasing": "#c0392b", "flat": "#2f6fb0"}
_CAPTION_COLUMNS = 96  # characters that fit under axes six inches wide
_CAPTION_LINE = 0.155  # inches
_LEGEND = (*_TREND, "change point", "outlier", "maximum", "minimum")
# The words of titles and legend; the captions are prose.
_WORDS: dict[str, dict[str, str]] = {
    "fr": {
        "increasing": "à la hausse", "decreasing": "à la baisse", "flat": "stable",
        "low noise": "bruit faible", "medium noise": "bruit moyen", "high noise": "bruit élevé",
        "change point": "point de rupture", "outlier": "valeur aberrante", "series": "série",
    },
    "zh": {
        "increasing": "上升", "decreasing": "下降", "flat": "平稳",
        "low noise": "低噪声", "medium noise": "中等噪声", "high noise": "高噪声",
        "change point": "变点", "outlier": "异常点", "maximum": "最大值", "minimum": "最小值",
        "series": "序列",
    },
}  # fmt: skip
_CENTRE = {"beginning": 0.125, "middle": 0.5, "end": 0.875}  # of the length
_CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "Microsoft YaHei", "SimHei",
)  # fmt: skip


def plot_annotations(
    series: Sequence[np.ndarray],
    annotations: Sequence[Annotation],
    path: str | Path,
    *,
    index: Sequence[np.ndarray] | None = None,
    language: str = "en",
) -> None:
    """Write a picture of N annotated series, PNG or SVG after the ending of its name.

    Args:
        series: N arrays (T,), NaN where missing.
        annotations: N, one for each.
        path: of the picture.
        index: N arrays (T,) for the horizontal axis, e.g. timestamps; None counts positions.
        language: of title, legend and caption, the prose of the annotation.

    Raises:
        AnnotationError: nothing to draw, numbers that do not fit each other, another ending, a
            path that cannot be written, or a Chinese caption without a font for it.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise AnnotationError(
            f"got {Path(path).name!r} for a picture; expected a name in {' or '.join(SUFFIXES)}"
        )
    figure = draw_annotations(series, annotations, index=index, language=language)
    try:
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be written ({error})") from error


def draw_annotations(
    series: Sequence[np.ndarray],
    annotations: Sequence[Annotation],
    *,
    index: Sequence[np.ndarray] | None = None,
    language: str = "en",
) -> Figure:
    """The same as a matplotlib figure; arguments and errors as `plot_annotations`."""
    from matplotlib.figure import Figure

    count = len(series)
    times = [np.arange(len(s)) for s in series] if index is None else list(index)
    if not count or not count == len(annotations) == len(times):
        raise AnnotationError(
            f"got {count} series, {len(annotations)} annotations and {len(times)} indices; "
            "expected the same number of each, at least one"
        )
    for values, annotation, at in zip(series, annotations, times, strict=True):
        if not np.shape(values) == np.shape(at) == (annotation.length,):
            raise AnnotationError(
                f"got a series of shape {np.shape(values)} and an index of {np.shape(at)} for an "
                f"annotation of {annotation.length} points; expected ({annotation.length},)"
            )
    chosen = check_caption_font(language)
    font = {"fontfamily": chosen} if chosen else {}
    # A dollar in a unit or a name is a dollar, not the start of a formula.
    text: dict[str, Any] = {"loc": "left", "parse_math": False, **font}
    columns = min(2, count)
    rows = -(-count // columns)
    captions = [_caption(prose(a, language), language) for a in annotations]
    lines = max(text.count("\n") for text in captions) + 1
    height = 2.7 + _CAPTION_LINE * lines
    figure = Figure(figsize=(6.2 * columns, height * rows + 0.35), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_axis_off()
    shown: dict[str, Any] = {}
    for number, (axis, caption) in enumerate(zip(axes[:count], captions, strict=True)):
        _draw(axis, np.asarray(series[number]), np.asarray(times[number]), annotations[number])
        dated = np.issubdtype(np.asarray(times[number]).dtype, np.datetime64)
        pad = 18 if dated else 6  # below the year that a date axis writes at its right end
        axis.set_xlabel(caption, fontsize=8, linespacing=1.3, labelpad=pad, **text)
        axis.set_title(_title(annotations[number], number, language), fontsize=10, **text)
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            shown.setdefault(name, handle)
    names = [name for name in _LEGEND if name in shown]
    if names:
        figure.legend(
            [shown[name] for name in names], [_word(name, language) for name in names],
            loc="outside upper center", ncols=len(names), frameon=False,
            prop={"family": chosen, "size": 8},
        )  # fmt: skip
    return figure


def _word(english: str, language: str) -> str:
    return _WORDS.get(language, {}).get(english, english)


def _title(annotation: Annotation, number: int, language: str) -> str:
    trend = annotation.trend.label if annotation.trend else None
    noise = annotation.noise.level if annotation.noise else None
    told = [trend, f"{noise} noise" if noise else None]
    name = annotation.id or f"{_word('series', language)} {number}"
    words = ", ".join(_word(t, language) for t in told if t)
    return f"{name}: {words}" if words else name


def check_caption_font(language: str) -> str | None:
    """The font that captions of a language need; None where any will do.

    Raises:
        AnnotationError: Chinese, and no font for it is installed.
    """
    if language != "zh":
        return None
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    for name in _CHINESE_FONTS:
        if name in installed:
            return name
    raise AnnotationError(
        f"got no font for a Chinese caption; install one of {', '.join(_CHINESE_FONTS[:3])}, or "
        "choose another language"
    )


def _caption(text: str, language: str) -> str:
    # An ideograph is as wide as two letters, and lines of them break anywhere.
    if language == "zh":
        width = _CAPTION_COLUMNS // 2
        return "\n".join(text[i : i + width] for i in range(0, len(text), width))
    return textwrap.fill(text, _CAPTION_COLUMNS)


def _draw(axis: Axes, values: np.ndarray, at: np.ndarray, annotation: Annotation) -> None:
    if np.issubdtype(at.dtype, np.datetime64):
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator()
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.plot(at, values, color=_SERIES, linewidth=0.9, zorder=2)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    room = (high - low) * 0.16 or 1.0
    axis.set_ylim(low - room, high + room)
    for segment in annotation.trend.segments if annotation.trend else ():
        start, end, colour = segment.start_position, segment.end_position, _TREND[segment.label]
        axis.axvspan(
            at[start], at[end], 0.0, 0.035, color=colour, alpha=0.9, linewidth=0, zorder=4,
            label=segment.label,
        )  # fmt: skip
        line = _line(values[start : end + 1], segment.slope)
        if line is not None:
            axis.plot(at[start : end + 1], line, color=colour, linewidth=2.0, alpha=0.8, zorder=3)
    for number, point in enumerate(annotation.change_points or ()):
        axis.axvline(
            at[point.position], color=_CHANGE, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1,
            label=None if number else "change point",
        )  # fmt: skip
    for number, point in enumerate(annotation.outliers or ()):
        axis.plot(
            at[point.position], values[point.position], "o", markersize=10, fillstyle="none",
            color=_OUTLIER, markeredgewidth=1.5, zorder=4, label=None if number else "outlier",
        )  # fmt: skip
    for extremum in annotation.extrema:
        marker, name = ("^", "maximum") if extremum.kind == "max" else ("v", "minimum")
        if extremum.position is None:  # known by its region: hollow, in the middle of it
            x = at[int(_CENTRE[extremum.region] * len(at))]
            y = high + room / 2 if extremum.kind == "max" else low - room / 2
        else:
            x, y = at[extremum.position], values[extremum.position]
        axis.plot(
            x, y, marker, markersize=8, color="black", zorder=5, label=name, linestyle="none",
            markerfacecolor="white" if extremum.position is None else "#f2b134",
        )  # fmt: skip
    if annotation.value_unit:
        axis.set_ylabel(annotation.value_unit, parse_math=False)
    axis.grid(alpha=0.2)
    axis.margins(x=0.02)
    axis.spines[["top", "right"]].set_visible(False)


def _line(values: np.ndarray, slope: float | None) -> np.ndarray | None:
    """(T,) the line of the stated slope through a stretch; None where no slope is stated."""
    rise = np.arange(len(values)) * (slope or 0.0)
    if slope is None or len(values) < 2 or not np.isfinite(values).any():
        return None
    return np.asarray(rise + np.nanmedian(values - rise))
