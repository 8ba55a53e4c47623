"""Put methods side by side on the same contexts and the same truth.

Knows arrays, names of baselines and an `Engine`; it knows neither files nor tables. Why it
exists: a backtest and a study must score in the same way, by the same code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from loracast.errors import ConfigError, DataError
from loracast.evaluation import METHODS, METRICS, Trained, run_baseline, score_horizons
from loracast.forecasting._engine import Engine
from loracast.forecasting._sampling import model_notes
from loracast.ledger import Ledger

__all__ = [
    "baseline_rows",
    "check_methods",
    "missing_row",
    "model_row",
    "score_samples",
    "scored_horizons",
]

Row = dict[str, Any]

STANDARD_HORIZONS = (5, 20, 30)  # of the published studies


def scored_horizons(horizon: int, wanted: Sequence[int] = STANDARD_HORIZONS) -> tuple[int, ...]:
    """The horizons to score: those wanted that fit, and the whole forecast."""
    return tuple(sorted({h for h in wanted if h <= horizon} | {horizon}))


def check_methods(names: Sequence[str]) -> None:
    """Refuse names that are no baseline.

    Raises:
        ConfigError: an unknown name.
    """
    known = [name for name, method in METHODS.items() if not method.of_model]
    for name in names:
        if name not in known:
            raise ConfigError(f"got method {name!r}; expected some of {', '.join(known)}")


def missing_row(horizons: Sequence[int], note: str) -> Row:
    """The row of a method that has no scores, with the reason."""
    empty: Row = {f"h{h}": dict.fromkeys(METRICS) for h in horizons}
    return empty | {"flops": None, "seconds": None, "note": note}


def score_samples(
    truth: np.ndarray,
    samples: np.ndarray,
    contexts: Sequence[np.ndarray],
    horizons: Sequence[int],
    seasons: Sequence[int | None] | None = None,
) -> Row:
    """Scores of sampled paths; the point forecast is their median.

    Args:
        truth: (N, H, C).
        samples: (N, S, H, C).
        contexts: N arrays (T_n, C).
        horizons: each from 1 to H.
        seasons: of each series, for MASE; None, or None for one, is 1.

    Returns:
        `{"h5": {"mae": ..., ...}, ...}`.

    Raises:
        DataError: shapes that do not agree.
    """
    point = np.median(samples, axis=1)
    scores = score_horizons(
        truth, point, samples, contexts, horizons=horizons, seasonality=_steps(seasons)
    )
    return dict(scores)


def _steps(seasons: Sequence[int | None] | None) -> int | list[int]:
    """Seasons as MASE wants them."""
    return 1 if seasons is None else [m or 1 for m in seasons]


def baseline_rows(
    contexts: Sequence[np.ndarray],
    truth: np.ndarray,
    names: Sequence[str],
    *,
    seed: int,
    horizons: Sequence[int],
    trained: Mapping[str, Trained | str] | None = None,
    seasons: Sequence[int | None] | None = None,
) -> tuple[dict[str, Row], dict[str, np.ndarray | None]]:
    """Forecast and score every named baseline.

    A method that does not apply to these series is kept, with null scores and the reason.

    Args:
        contexts: N arrays (T_n, C).
        truth: (N, H, C) what came after.
        names: some of `evaluation.METHODS`, but not those of a language model.
        seed: of sampled paths.
        horizons: each from 1 to H.
        trained: of methods that are trained on other series first, the fitted one by name, or
            why there is none.
        seasons: N steps of a season, None where none is known, for methods that have a use for
            it and for MASE; None lets the methods look for it, and MASE takes 1.

    Returns:
        rows, name -> `{"h5": {...}, ..., "flops": None, "seconds": s, "note": text}`, and points,
        name -> (N, H, C) or None.

    Raises:
        ConfigError: a name that is no baseline.
    """
    check_methods(names)
    rows: dict[str, Row] = {}
    points: dict[str, np.ndarray | None] = {}
    for name in names:
        try:
            row, points[name] = _baseline(
                name, contexts, truth, seed, horizons, (trained or {}).get(name), seasons
            )
        except (ConfigError, DataError) as problem:
            row, points[name] = missing_row(horizons, f"does not apply: {problem}"), None
        rows[name] = row
    return rows, points


def _baseline(
    name: str,
    contexts: Sequence[np.ndarray],
    truth: np.ndarray,
    seed: int,
    horizons: Sequence[int],
    fitted: Trained | str | None,
    seasons: Sequence[int | None] | None,
) -> tuple[Row, np.ndarray | None]:
    horizon = truth.shape[1]
    if METHODS[name].trained is None:
        found = run_baseline(name, contexts, horizon, seed=seed, season=seasons)
    elif fitted is None or isinstance(fitted, str):
        note = fitted or "not available: it needs other series to train on, or a fitted one"
        return missing_row(horizons, note), None
    else:
        found = fitted.forecast(contexts, horizon)
    row: Row = dict(
        score_horizons(
            truth,
            found.point,
            found.samples,
            contexts,
            horizons=horizons,
            seasonality=_steps(seasons),
        )
    )
    return row | {"flops": None, "seconds": found.seconds, "note": found.note}, found.point


def model_row(
    engine: Engine,
    contexts: Sequence[np.ndarray],
    keys: Sequence[str],
    truth: np.ndarray,
    horizons: Sequence[int],
    *,
    samples: int,
    seed: int,
    ledger: Ledger,
    stage: str,
    note: str = "",
    progress: Callable[[int], None] | None = None,
    seasons: Sequence[int | None] | None = None,
) -> tuple[Row, np.ndarray]:
    """Forecast with a language model and score it.

    Args:
        engine: the model, adapted or not.
        contexts: N arrays (T_n, C).
        keys: N stable names of the series.
        truth: (N, H, C).
        horizons: each from 1 to H.
        samples: S paths a series.
        seed: of the draws.
        ledger: charged before the work starts.
        stage: its name there, of this forecast alone.
        note: goes into the row.
        progress: called with the number of steps just completed, N x S x H in all.
        seasons: as in `baseline_rows`, for MASE.

    Returns:
        The row, and the samples (N, S, H, C).

    Raises:
        BudgetExceeded: the ledger refuses.
        DataError: unusable contexts.
    """
    started, before = time.perf_counter(), ledger.charged_flops
    drawn = engine.sample(
        contexts,
        keys,
        truth.shape[1],
        samples=samples,
        seed=seed,
        ledger=ledger,
        stage=stage,
        progress=progress,
    )
    seconds = time.perf_counter() - started
    row = score_samples(truth, drawn, contexts, horizons, seasons)
    flops = ledger.charged_flops - before
    notes = [note, *model_notes(engine, truth.shape[2], drawn.shape[0] * samples)]
    note = "; ".join(filter(None, notes))
    return row | {"flops": flops, "seconds": seconds, "note": note}, drawn
