"""The validation series that every trained stage forecasts, for its error in original units.

Knows which series; what their forecasts cost and say is others' business. The same series, paths
and random streams serve every stage, so that stages compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loracast.errors import DataError
from loracast.studies._data import StudyData
from loracast.studies._recipe import Recipe

__all__ = ["ValidationForecasts", "validation_forecasts"]


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
