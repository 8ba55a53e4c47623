"""One picture of a forecast: the past, the median and the bands, a row of axes per channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from loracast.forecasting._quantiles import intervals, sample_quantiles
from loracast.series import Panel, future_times

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_forecast"]

_INK, _PAST = "#1f5fa8", "#444444"


def draw_forecast(panel: Panel, samples: np.ndarray, levels: Sequence[float]) -> Figure:
    """A figure of one series and its forecast.

    Args:
        panel: the one series, as much of its past as is to be drawn.
        samples: (S, H, C) sampled futures.
        levels: bands in percent.
    """
    from matplotlib.figure import Figure

    times: Any = panel.times[0]
    ahead: Any = future_times(times, samples.shape[1])
    point = sample_quantiles(samples[None], [0.5])[0, 0]
    bands = intervals(samples[None], levels)
    n_channels = panel.n_channels
    figure = Figure(figsize=(8, 1.2 + 2.2 * n_channels), layout="constrained")
    axes = figure.subplots(n_channels, 1, sharex=True, squeeze=False)[:, 0]
    for c, (axis, channel) in enumerate(zip(axes, panel.channels, strict=True)):
        axis.plot(times, panel.values[0][:, c], color=_PAST, linewidth=1.2, label="observed")
        for level in sorted(bands, reverse=True):
            low, high = bands[level]
            axis.fill_between(
                ahead, low[0, :, c], high[0, :, c], color=_INK, alpha=0.18, linewidth=0,
                label=f"{level:g} % interval",
            )  # fmt: skip
        axis.plot(ahead, point[:, c], color=_INK, linewidth=1.6, label="median forecast")
        axis.set_ylabel(channel)
        axis.grid(alpha=0.25)
    axes[0].set_title(f"{panel.ids[0]}: {len(point)} steps ahead", loc="left")
    axes[0].legend(loc="upper left", frameon=False, fontsize="small")
    if np.issubdtype(np.asarray(times).dtype, np.datetime64):
        figure.autofmt_xdate()
    return figure
