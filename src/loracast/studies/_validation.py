"""The validation error of a trained stage: some validation series forecast, in original units.

Knows which series, what they cost and how they are scored; what is chosen by it is the search's
business. The same series, paths and random streams serve every stage, so that stages compare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from loracast.errors import DataError
from loracast.forecasting import Engine
from loracast.studies._data import StudyData
from loracast.studies._recipe import Recipe

if TYPE_CHECKING:
    from loracast.studies._state import Run

__all__ = [
    "ValidationForecasts",
    "validation_forecast_flops",
    "validation_forecasts",
    "validation_mae",
]


@dataclass(frozen=True)
class ValidationForecasts:
    """The validation series that every trained stage forecasts.

    Args:
        contexts: N arrays (context, C).
        truth: (N, H, C) what followed, H the recipe's longest horizon.
        keys: N names, for random streams.
    """

    contexts: list[np.ndarray]
    truth: np.ndarray
    keys: list[str]


def validation_forecasts(recipe: Recipe, data: StudyData) -> ValidationForecasts | None:
    """The series to forecast: drawn once by the recipe's seed from those that are long enough.

    Returns:
        None where the recipe asks for none.

    Raises:
        DataError: the recipe chooses by them and no validation series is long enough.
    """
    part = recipe.validation_forecasts
    if part is None:
        return None
    need = recipe.context + recipe.horizon
    panel = data.validation
    usable = [
        i
        for i, values in enumerate(panel.values)
        if len(values) >= need
        and np.isfinite(values[: recipe.context]).any(axis=0).all()
        and np.isfinite(values[recipe.context : need]).any()
    ]
    if not usable:
        if recipe.select == "val_mae":
            raise DataError(
                f"got no validation series of context + horizon = {need} steps with known values; "
                "shorten them in the recipe, or choose by the loss (select: val_loss, "
                "validation_forecasts: null)"
            )
        return None
    count = min(part.series, len(usable))
    drawn = np.random.default_rng(recipe.seed).choice(len(usable), count, replace=False)
    rows = [usable[i] for i in sorted(drawn)]
    return ValidationForecasts(
        contexts=[panel.values[i][: recipe.context] for i in rows],
        truth=np.stack([panel.values[i][recipe.context : need] for i in rows]),
        keys=[f"validation-{panel.ids[i]}" for i in rows],
    )


def validation_forecast_flops(run: Run, engine: Engine) -> float:
    """The most that `validation_mae` costs."""
    chosen, part = validation_forecasts(run.recipe, run.data), run.recipe.validation_forecasts
    if chosen is None or part is None:
        return 0.0
    return engine.forecast_flops(
        chosen.contexts, run.recipe.horizon, part.samples, run.recipe.convention, widen=False
    )


def validation_mae(run: Run, stage: str, engine: Engine) -> tuple[float | None, float]:
    """Forecast the validation series with a stage's trained model.

    Args:
        run: the study; its ledger is charged under the stage, kind `validation`.
        stage: the stage's name.
        engine: its model, as training left it.

    Returns:
        The mean absolute error of the median path over series, steps and channels, in original
        units; None where the recipe asks for none or the forecasts are no numbers. And the FLOPs.

    Raises:
        BudgetExceeded: it does not fit.
    """
    chosen, part = validation_forecasts(run.recipe, run.data), run.recipe.validation_forecasts
    if chosen is None or part is None:
        return None, 0.0
    horizon = run.recipe.horizon
    run.progress.stage(f"{stage}, validation", len(chosen.contexts) * part.samples * horizon)
    engine.backbone.model.eval()
    before = run.ledger.charged_flops
    samples = engine.sample(
        chosen.contexts,
        chosen.keys,
        horizon,
        samples=part.samples,
        seed=run.recipe.seed,
        temperature=run.recipe.temperature,
        ledger=run.ledger,
        stage=stage,
        kind="validation",
        progress=run.progress.advance,
        widen=False,  # the median is scored, and it stays where it is
    )
    with np.errstate(over="ignore", invalid="ignore"):
        mae = float(np.nanmean(np.abs(np.median(samples, axis=1) - chosen.truth)))
    spent = run.ledger.charged_flops - before
    return (mae if math.isfinite(mae) else None), spent
