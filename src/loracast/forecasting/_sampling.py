"""Forecasts of a panel: checked, metered, and turned into frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np

from loracast.errors import ConfigError, DataError
from loracast.forecasting._bounds import ROOM
from loracast.forecasting._engine import Engine, scaled_for
from loracast.forecasting._quantiles import intervals, sample_quantiles
from loracast.forecasting._task import constant_values
from loracast.ledger import Ledger
from loracast.model import spending
from loracast.series import NAMED, Panel, Skipped, forecast_frame, require_known, series_keys

__all__ = [
    "ForecastReport",
    "check_size",
    "constant_notes",
    "frame_of_samples",
    "model_notes",
    "panel_flops",
    "sample_panel",
]

# Numbers of all sampled paths together: 1.6 GB, and as much again while they are sorted.
MOST_NUMBERS = 200_000_000


@dataclass(frozen=True)
class ForecastReport:
    """What the last forecast cost.

    Args:
        flops: of the language model.
        seconds: of wall time.
        n_series: N.
        horizon: H.
        n_samples: S.
        notes: what a reader of the forecast should know: history that was not shown, channels
            forecast apart, paths that were held, constants. Empty where there is nothing.
        held_paths: how many of the N x S paths met the limits of `_bounds`.
        skipped: series that could not be used and were left out, with their reasons.
    """

    flops: float
    seconds: float
    n_series: int
    horizon: int
    n_samples: int
    notes: tuple[str, ...] = ()
    held_paths: int = 0
    skipped: tuple[Skipped, ...] = ()


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
    force: bool = False,
    widen: bool | None = None,
) -> tuple[np.ndarray, ForecastReport]:
    """Sampled futures of every series of a panel.

    Args:
        engine: the model, adapted or not.
        panel: N series of at least two steps.
        horizon: H.
        n_samples: S.
        seed: of the draws.
        context: last steps to show, exactly so many where a series has them; None shows what
            `Engine.default_context` says, and a note tells what was left out.
        budget: FLOPs it may cost; None sets no limit.
        ledger: to charge in place of a budget.
        progress: called with the number of steps just sampled, N x S x H in all.
        force: forecast also where the base was never shown the codec.
        widen: as in `Engine.sample`.

    Returns:
        (N, S, H, C) in original units, and what it cost.

    Raises:
        DataError: series that cannot be used, a horizon below 1, or a context that with its
            forecast is longer than the model's positions.
        ConfigError: an impossible context, budget or number of samples, budget and ledger, or a
            codec that the bare base was never shown.
        BudgetExceeded: it does not fit.
    """
    check_size(len(panel), n_samples, horizon, panel.n_channels)
    started = time.monotonic()
    engine, contexts = _shown(engine, panel, horizon, context, force)
    with spending(ledger, budget) as paying:
        before = paying.charged_flops
        samples = engine.sample(
            contexts,
            series_keys(panel.ids),
            horizon,
            samples=n_samples,
            seed=seed,
            ledger=paying,
            progress=progress,
            widen=widen,
        )
        flops = paying.charged_flops - before
    seconds = time.monotonic() - started
    shown = [len(c) for c in contexts]
    notes = (
        *_notes(engine, panel, shown, context, len(panel) * n_samples),
        *constant_notes(panel.ids, contexts),
    )
    return samples, ForecastReport(
        flops, seconds, len(panel), horizon, n_samples, notes, engine.held_paths
    )


def _notes(
    engine: Engine, panel: Panel, shown: Sequence[int], context: int | None, n_paths: int
) -> tuple[str, ...]:
    """What was done that nobody asked for."""
    notes = []
    cut = [n for n, length in zip(shown, panel.lengths, strict=True) if n < length]
    if cut and context is None:
        steps = f"{min(cut)}" if min(cut) == max(cut) else f"{min(cut)} to {max(cut)}"
        notes.append(
            f"the last {steps} steps were shown of {len(cut)} of {len(panel)} series, which are "
            "longer; context=N (--context N) shows the last N"
        )
    short = sum(n < context for n in shown) if context is not None else 0
    if short:
        notes.append(
            f"{short} of {len(panel)} series are shorter than the context of {context} steps and "
            "were shown whole"
        )
    return (*notes, *model_notes(engine, panel.n_channels, n_paths))


def model_notes(engine: Engine, n_channels: int, n_paths: int) -> list[str]:
    """What a reader of an engine's last forecast should know, [] where there is nothing.

    Args:
        engine: after `sample`.
        n_channels: C of the series.
        n_paths: N x S that were drawn.
    """
    notes = [engine.misfit] if engine.misfit else []
    if len(engine.channel_groups(n_channels)) > 1:
        notes.append(
            f"the {n_channels} channels were forecast one by one, since the model has never seen "
            "so many together; an adapter fitted on them forecasts them together"
        )
    if engine.held_paths:
        notes.append(
            f"{engine.held_paths} of {n_paths} sampled paths ran away and were held at {ROOM:g} "
            "times their context's range beyond it"
        )
    return notes


def panel_flops(
    engine: Engine,
    panel: Panel,
    horizon: int,
    *,
    n_samples: int,
    context: int | None = None,
    convention: str = "exact",
    force: bool = False,
    widen: bool | None = None,
) -> float:
    """The most that `sample_panel` can cost with the same arguments, in FLOPs of a convention."""
    engine, contexts = _shown(engine, panel, horizon, context, force)
    return engine.forecast_flops(contexts, horizon, n_samples, convention, widen=widen)


def _shown(
    engine: Engine, panel: Panel, horizon: int, context: int | None, force: bool
) -> tuple[Engine, list[np.ndarray]]:
    """The engine, its codec fitted where it has no adapter, and what it is shown of each series."""
    if horizon < 1:
        raise DataError(f"got horizon {horizon}; expected at least 1 step")
    if context is not None and context < 2:
        raise ConfigError(f"got a context of {context} steps; expected at least 2")
    panel.require_length(2, "a forecast")
    if engine.misfit and not force:
        raise ConfigError(
            f"{engine.misfit}: leave the codec out, fit it first (loracast fit), or force it "
            "(force=True, --force)"
        )
    if context is not None:
        panel = panel.steps(-context, None)
    require_known(panel, None, "a forecast")
    if engine.model.adapter is None:
        engine = scaled_for(engine, panel.values)
    shown = [len(v) if context else engine.default_context(v) for v in panel.values]
    require_known(panel, shown, "a forecast")
    return engine, [v[-n:] for v, n in zip(panel.values, shown, strict=True)]


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
