"""Forecasts of a panel: checked, metered, and turned into frames."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np

from loracast.api._engine import Engine
from loracast.api._inputs import calibrated, require_known, series_keys, shown_steps
from loracast.api._quantiles import intervals, sample_quantiles
from loracast.api._skipping import NAMED, Skipped
from loracast.errors import ConfigError, DataError
from loracast.flops import Ledger, parse_flops
from loracast.series import Panel, forecast_frame
from loracast.tasks import constant_values

__all__ = [
    "UNLIMITED_FLOPS",
    "ForecastReport",
    "check_size",
    "constant_notes",
    "frame_of_samples",
    "sample_panel",
]

# Numbers of all sampled paths together: 1.6 GB, and as much again while they are sorted.
MOST_NUMBERS = 200_000_000
UNLIMITED_FLOPS = 1e30  # a ledger wants a limit; no forecast comes near this one


@dataclass(frozen=True)
class ForecastReport:
    """What the last forecast cost.

    Args:
        flops: of the language model.
        seconds: of wall time.
        n_series: N.
        horizon: H.
        n_samples: S.
        skipped: series that could not be used and were left out, with their reasons.
        notes: what a reader of the forecast should know, in a line each.
    """

    flops: float
    seconds: float
    n_series: int
    horizon: int
    n_samples: int
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


def sample_panel(
    engine: Engine,
    panel: Panel,
    horizon: int,
    *,
    n_samples: int,
    seed: int,
    context: int | None = None,
    budget: str | float | None = None,
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
        progress: called with the number of steps just sampled, N x S x H in all.

    Returns:
        (N, S, H, C) in original units, and what it cost.

    Raises:
        DataError: series that cannot be used, or a horizon below 1.
        ConfigError: an impossible context, budget or number of samples.
        BudgetExceeded: it does not fit.
    """
    if horizon < 1:
        raise DataError(f"got horizon {horizon}; expected at least 1 step")
    if context is not None and context < 2:
        raise ConfigError(f"got a context of {context} steps; expected at least 2")
    check_size(len(panel), n_samples, horizon, panel.n_channels)
    limit = UNLIMITED_FLOPS if budget is None else parse_flops(budget)
    panel.require_length(2, "a forecast")
    if context is not None:
        panel = panel.steps(-context, None)
    require_known(panel, shown_steps(engine, panel.n_channels), "a forecast")
    if engine.adapter is None:
        engine = calibrated(engine, panel.values)
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="loracast-") as folder,
        Ledger(Path(folder) / "ledger.sqlite", limit) as ledger,
    ):
        samples = engine.sample(
            panel.values,
            series_keys(panel.ids),
            horizon,
            samples=n_samples,
            seed=seed,
            ledger=ledger,
            progress=progress,
        )
        flops = ledger.spent_flops
    seconds = time.monotonic() - started
    last = shown_steps(engine, panel.n_channels)
    notes = constant_notes(panel.ids, [values[-last:] for values in panel.values])
    return samples, ForecastReport(flops, seconds, len(panel), horizon, n_samples, notes=notes)


def check_size(n_series: int, samples: int, horizon: int, n_channels: int) -> None:
    """Refuse a forecast that could not be held in memory, before anything is loaded for it.

    Raises:
        ConfigError: more than 2e8 numbers.
    """
    count = n_series * samples * horizon * n_channels
    if count > MOST_NUMBERS:
        raise ConfigError(
            f"got {n_series} series x {samples} samples x {horizon} steps x {n_channels} channels "
            f"= {count:.1e} numbers; expected at most {MOST_NUMBERS:.0e}, which is what "
            f"{8 * MOST_NUMBERS / 1e9:.1f} GB hold: ask for fewer steps or samples, or give fewer "
            "series at a time"
        )


def constant_notes(ids: Sequence[Hashable], shown: Sequence[np.ndarray]) -> tuple[str, ...]:
    """A remark on the series that never move in what is shown: their forecast is that value.

    Args:
        ids: N names.
        shown: N arrays (T_n, C).
    """
    found = [
        f"{name!r} at {value:g}"
        for name, values in zip(ids, shown, strict=True)
        for value in constant_values(values)
        if np.isfinite(value)
    ]
    if not found:
        return ()
    some = ", ".join(found[:NAMED]) + (", ..." if len(found) > NAMED else "")
    return (f"constant as far as is shown, so forecast as that value without a band: {some}",)


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
