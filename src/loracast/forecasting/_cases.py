"""The forecasts that a backtest scores: contexts before rolling origins, and what came after."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from loracast.errors import DataError
from loracast.evaluation import find_season
from loracast.series import Panel, Skipped, rolling_origins, season_of_times, series_keys, unusable

__all__ = ["Cases", "cut_cases", "seasons_of"]


@dataclass(frozen=True)
class Cases:
    """N forecasts to score, oldest origins first.

    Args:
        contexts: N arrays (T_n, C).
        truth: (N, H, C).
        keys: N distinct names, for random streams.
        series: (N,) position of each forecast's series in the panel.
        starts: (N,) first step that is forecast.
    """

    contexts: list[np.ndarray]
    truth: np.ndarray
    keys: list[str]
    series: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.contexts)

    def where(self, keep: np.ndarray) -> Cases:
        """Those that are kept (N,)."""
        rows = np.flatnonzero(keep)
        return Cases(
            [self.contexts[i] for i in rows],
            self.truth[rows],
            [self.keys[i] for i in rows],
            self.series[rows],
            self.starts[rows],
        )


def cut_cases(
    panel: Panel,
    horizon: int,
    *,
    context: int | None,
    most: int | None,
    n_windows: int,
    step: int | None,
    strict: bool,
) -> tuple[Cases, tuple[Skipped, ...], int]:
    """Cut every series at its rolling origins.

    Args:
        panel: N series.
        horizon: H.
        context: steps before each origin, exactly; None takes all there are, up to `most`.
        most: steps that a context has at most; None sets no limit.
        n_windows: K, forecasts of each series, the last one ending with it.
        step: steps between origins; None takes H.
        strict: stop at a series that cannot be used, or not at all its origins.

    Returns:
        The forecasts; the series none of whose origins can be used; and how many origins of the
        others are left out.

    Raises:
        DataError: no series can be used, or, where `strict`, one cannot.
    """
    origins = rolling_origins(panel.lengths, horizon, n_windows, step)
    least = 2 if context is None else context
    purpose = (
        f"a backtest with {'any context' if context is None else f'context {context}'} and "
        f"horizon {horizon}"
    )
    if strict:
        back = int(panel.lengths[0] - origins[0, 0]) if len(panel) else horizon
        windows = "" if n_windows == 1 else f" in {n_windows} windows"
        panel.require_length(least + back, purpose + windows)
    keys = series_keys(panel.ids)
    taken: list[tuple[int, int]] = []
    reasons: dict[int, str] = {}
    for n in np.ndindex(origins.shape):
        window, row = n
        start = int(origins[window, row])
        first = start - context if context is not None else max(0, start - (most or start))
        shown = slice(first, start) if start >= least else slice(None)
        reason = unusable(panel, row, least + horizon, shown, purpose)
        if reason and strict:
            raise DataError(reason)
        if reason:
            reasons[row] = reason
        elif start >= least:  # else it is long enough for a later origin
            taken.append((row, start))
    if not taken:
        panel.require_length(least + horizon, purpose)
        raise DataError(f"{next(iter(reasons.values()))} (none of the {len(panel)} can be used)")
    used = {row for row, _ in taken}
    skipped = tuple(
        Skipped(panel.ids[row], reason) for row, reason in reasons.items() if row not in used
    )
    missing = n_windows * len(used) - len(taken)
    contexts, truth, names = [], [], []
    for row, start in taken:
        first = start - context if context is not None else max(0, start - (most or start))
        contexts.append(panel.values[row][first:start])
        truth.append(panel.values[row][start : start + horizon])
        behind = int(panel.lengths[row]) - start - horizon
        names.append(keys[row] if not behind else f"{keys[row]} until {behind} before its end")
    cases = Cases(
        contexts,
        np.stack(truth),
        names,
        np.array([row for row, _ in taken]),
        np.array([start for _, start in taken]),
    )
    return cases, skipped, missing


def seasons_of(
    panel: Panel, cases: Cases, season: int | None
) -> tuple[list[int | None], dict[str, object]]:
    """The season of every forecast: as asked for, by the dates, or found in its context.

    Args:
        panel: N series, for their times.
        cases: what is forecast.
        season: steps for all; None looks at the dates, and where there are none, or where the
            context is shorter than the season, at the context.

    Returns:
        A season or None for every forecast, and JSON facts: `steps` (each that occurs), `from`
        and `n_forecasts` that have one.
    """
    if season is not None:
        found: list[int | None] = [season] * len(cases)
        return found, {"steps": [season], "from": "given", "n_forecasts": len(cases)}
    by_date: dict[Hashable, int | None] = {
        int(row): season_of_times(panel.times[row]) for row in np.unique(cases.series)
    }
    found, sources = [], set()
    for context, row in zip(cases.contexts, cases.series, strict=True):
        m = by_date[int(row)]
        if m is not None and len(context) >= m:
            sources.add("dates")
        else:
            m = find_season(context)
            if m is not None:
                sources.add("autocorrelation")
        found.append(m)
    known = [m for m in found if m is not None]
    return found, {
        "steps": sorted(set(known)),
        "from": " and ".join(sorted(sources, reverse=True)) or None,
        "n_forecasts": len(known),
    }
