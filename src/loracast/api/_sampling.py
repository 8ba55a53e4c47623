"""Forecasts of a panel: checked, metered, and turned into frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np

from loracast.api._engine import Engine
from loracast.api._inputs import calibrated, require_known, series_keys, shown_steps
from loracast.api._quantiles import intervals, sample_quantiles
from loracast.api._spending import UNLIMITED_FLOPS, spending
from loracast.errors import ConfigError, DataError
from loracast.flops import Ledger
from loracast.series import Panel, forecast_frame

__all__ = ["UNLIMITED_FLOPS", "ForecastReport", "frame_of_samples", "panel_flops", "sample_panel"]


@dataclass(frozen=True)
class ForecastReport:
    """What the last forecast cost.

    Args:
        flops: of the language model.
        seconds: of wall time.
        n_series: N.
        horizon: H.
        n_samples: S.
    """

    flops: float
    seconds: float
    n_series: int
    horizon: int
    n_samples: int


def sample_panel(
    engine: Engine,
    panel: Panel,
    horizon: int,
    *,
    n_samples: int,
    seed: int,
    context: int | None = None,
    budget: str | float | None = None,
    ledger: Ledger | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, ForecastReport]:
    """Sampled futures of every series of a panel.

    Args:
        engine: the model, adapted or not.
        panel: N series of at least two steps.
        horizon: H.
        n_samples: S.
        seed: of the draws.
        context: last steps to show; None shows as many as the model reads.
        budget: FLOPs it may cost; None sets no limit.
        ledger: to charge in place of a budget.
        progress: called with the number of steps just sampled, N x S x H in all.

    Returns:
        (N, S, H, C) in original units, and what it cost.

    Raises:
        DataError: series that cannot be used, or a horizon below 1.
        ConfigError: an impossible context, budget or number of samples, or budget and ledger.
        BudgetExceeded: it does not fit.
    """
    started = time.monotonic()
    engine, panel = _shown(engine, panel, horizon, context)
    with spending(ledger, budget) as paying:
        before = paying.charged_flops
        samples = engine.sample(
            panel.values,
            series_keys(panel.ids),
            horizon,
            samples=n_samples,
            seed=seed,
            ledger=paying,
            progress=progress,
        )
        flops = paying.charged_flops - before
    seconds = time.monotonic() - started
    return samples, ForecastReport(flops, seconds, len(panel), horizon, n_samples)


def panel_flops(
    engine: Engine,
    panel: Panel,
    horizon: int,
    *,
    n_samples: int,
    context: int | None = None,
    convention: str = "exact",
) -> float:
    """The most that `sample_panel` can cost with the same arguments, in FLOPs of a convention."""
    engine, panel = _shown(engine, panel, horizon, context)
    return engine.forecast_flops(panel.values, horizon, n_samples, convention)


def _shown(engine: Engine, panel: Panel, horizon: int, context: int | None) -> tuple[Engine, Panel]:
    """The engine, its codec fitted where it has no adapter, and the series as it is shown them."""
    if horizon < 1:
        raise DataError(f"got horizon {horizon}; expected at least 1 step")
    if context is not None and context < 2:
        raise ConfigError(f"got a context of {context} steps; expected at least 2")
    panel.require_length(2, "a forecast")
    if context is not None:
        panel = panel.steps(-context, None)
    require_known(panel, shown_steps(engine, panel.n_channels), "a forecast")
    if engine.adapter is None:
        engine = calibrated(engine, panel.values)
    return engine, panel


def frame_of_samples(
    panel: Panel, samples: np.ndarray, levels: Sequence[float], quantiles: Sequence[float] = ()
) -> Any:
    """The forecast frame of sampled paths (N, S, H, C), of the kind the panel was read from."""
    point = sample_quantiles(samples, [0.5])[0]
    frame = forecast_frame(panel, point, intervals(samples, levels))
    if not quantiles:
        return frame
    table = nw.from_native(frame, eager_only=True)
    found = sample_quantiles(samples, quantiles)
    heads = ("loracast",) if panel.n_channels == 1 else panel.channels
    more = [
        nw.new_series(
            f"{head}-q-{100 * share:g}",
            found[q, :, :, c].ravel(),
            nw.Float64(),
            backend=table.implementation,
        )
        for c, head in enumerate(heads)
        for q, share in enumerate(quantiles)
    ]
    return table.with_columns(*more).to_native()
