"""How figures look and numbers read, in one place: colours, type, axes, formats, SVG.

Knows matplotlib and nothing of studies. Figures are SVG text that a page can hold inline; they
name no outside resource and use the page's own typeface.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FALLBACK_COLOURS",
    "INK",
    "MUTED",
    "direct_labels",
    "drawing_style",
    "format_amount",
    "format_value",
    "legend_above",
    "log_axis",
    "new_figure",
    "svg_figure",
    "to_svg",
]

P = ParamSpec("P")

INK, MUTED, GRID = "#1d2733", "#6b7785", "#e6eaee"
# Okabe & Ito (2008), told apart with any common colour blindness.
FALLBACK_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
WIDTH_INCHES = 9.6

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a series' name is a dollar sign
    "svg.fonttype": "none",
    "axes.edgecolor": "#c3cbd3",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.06,
}


@contextmanager
def drawing_style() -> Iterator[None]:
    """Draw in the report's style, and leave matplotlib's settings as they were."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The page's typeface draws the text; what the measuring one lacks does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(height_inches: float) -> Figure:
    """A figure as wide as the page's column, without pyplot's global state."""
    return Figure(figsize=(WIDTH_INCHES, height_inches))


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as inline SVG.

    Args:
        figure: drawn within `drawing_style`.
        name: distinct within a page, so that ids of several figures never collide.
        description: what it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="([^"]+)"', rf' id="{name}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    label = re.sub(r'[&<>"]', " ", description)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def svg_figure(
    draw: Callable[P, tuple[Figure, str] | None],
) -> Callable[Concatenate[str, P], str | None]:
    """Draw in the report's style and give SVG, or None where there is nothing to draw."""

    @wraps(draw)
    def drawn(name: str, /, *args: P.args, **kwargs: P.kwargs) -> str | None:
        with drawing_style():
            made = draw(*args, **kwargs)
            return None if made is None else to_svg(made[0], name, made[1])

    return drawn


def legend_above(axes: Axes) -> None:
    """The legend as one line over the axes, where it can hide nothing."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=8,
        fontsize=8.2,
        handletextpad=0.3,
        handlelength=1.1,
        columnspacing=1.4,
        borderpad=0.2,
    )


def log_axis(axis_of: Axes, which: str) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5, or at powers of ten when it is long."""
    getattr(axis_of, f"set_{which}scale")("log")
    axis = getattr(axis_of, f"{which}axis")
    low, high = getattr(axis_of, f"get_{which}lim")()
    decades = math.log10(high / low) if low > 0 else 3
    subs = (1.0, 2.0, 5.0) if decades < 1.7 else ((1.0, 3.0) if decades < 3.3 else (1.0,))
    box = axis_of.get_window_extent()
    inches = (box.width if which == "x" else box.height) / axis_of.figure.dpi
    apart = 0.6 if which == "x" else 0.25  # inches from one label to the next, so that none touch
    most = max(3, min(12, int(inches / apart)))
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=most))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))


def direct_labels(
    axes: Axes, ends: Sequence[tuple[float, str, str]], bold: str | None = None, gap: float = 0.055
) -> None:
    """Write each line's name at its right end, pushed apart where they would overlap.

    Args:
        axes: with its final limits.
        ends: (last y, text, colour) per line.
        bold: the text to stress.
        gap: smallest distance, as a share of the axes' height.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    x = axes.get_xlim()[1]
    placed = sorted((float(to_axes.transform((x, y))[1]), text, colour) for y, text, colour in ends)
    heights = [height for height, _, _ in placed]
    gap = min(gap, 1 / max(1, len(placed) - 1))
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    if heights and heights[-1] > 1:  # then push down from the top
        heights[-1] = 1.0
        for i in range(len(heights) - 2, -1, -1):
            heights[i] = min(heights[i], heights[i + 1] - gap)
    for height, (_, text, colour) in zip(heights, placed, strict=True):
        axes.text(
            1.012,
            height,
            text,
            transform=axes.transAxes,
            va="center",
            color=colour,
            fontweight="bold" if text == bold else "normal",
            fontsize=8.2,
        )


def format_value(value: float | None) -> str:
    """An error or a loss for people: about three significant digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e6 or size < 1e-4:
        return f"{value:.2e}"
    if size < 0.01:
        return f"{value:.{2 - math.floor(math.log10(size))}f}"
    decimals = 4 if size < 1 else 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    return f"{value:,.{decimals}f}"


def format_tick(value: float) -> str:
    """A tick's number: no more digits than it needs."""
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 1e-4):
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:g}"


def format_amount(value: float | None, unit: str) -> str:
    """A large amount with its prefix: 1.23e14, "FLOPs" -> "123 TFLOPs"."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return f"0 {unit}"
    power = max(0, min(int(f"{value:.2e}".split("e")[1]) // 3, 7))
    scaled = value / 10.0 ** (3 * power)
    digits = f"{scaled:.3g}" if scaled < 1000 else f"{scaled:,.0f}"
    return f"{digits} {'kMGTPEZ'[power - 1] if power else ''}{unit}"
