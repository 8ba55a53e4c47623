"""The search stage that tries lengths of training windows at about equal FLOPs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from loracast.studies._facts import Settings, StageId, TrainingFacts
from loracast.studies._recipe import ContextPart, Recipe
from loracast.studies._report_data import ContextRow, ReportData
from loracast.studies._search import Option, Search, Tried
from loracast.studies._stage import Outlook
from loracast.studies._state import Findings, Run
from loracast.studies._training import Training

__all__ = ["ContextSearch"]


@dataclass(frozen=True)
class ContextSearch(Search):
    """The recipe's windows and the full one, with the rate and rank that stand."""

    part: ContextPart
    name: str = "context"

    @property
    def repeats(self) -> int:
        """Trainings of each window."""
        return self.part.repeats

    def _windows(self, recipe: Recipe) -> list[int]:
        return sorted({*self.part.windows, recipe.full_window})

    def options(self, outlook: Outlook) -> list[Option]:
        """The windows, shortest first."""
        recipe, settings = outlook.recipe, outlook.settings
        full = recipe.full_window
        return [
            Option(
                Training(
                    StageId(self.name, str(window)),
                    recipe.adapter_at(settings.rank),
                    recipe.dials(round(self.part.steps * full / window), settings.learning_rate),
                    window,
                ),
                replace(settings, window=window),
                window == full,
            )
            for window in self._windows(recipe)
        ]

    def outcomes(self, recipe: Recipe, settings: Settings) -> list[Settings]:
        """Any window."""
        return [replace(settings, window=window) for window in self._windows(recipe)[::-1]]

    def table(self, run: Run, found: Findings, tried: Sequence[Tried]) -> ReportData:
        """The windows as they did."""
        rows = []
        for option in tried:
            first = option.trainings[0]
            window = first.config.window_steps
            rows.append(
                ContextRow(
                    context=window,
                    tokens=_window_tokens(run, first),
                    seconds=sum(facts.seconds for facts in option.trainings),
                    chosen=window == found.settings.window,
                    **option.record(),
                )
            )
        return ReportData(contexts=tuple(rows))


def _window_tokens(run: Run, facts: TrainingFacts) -> int:
    """Tokens of a training example: the mean over all that it was trained on."""
    dials = facts.config.training
    source = run.pricer.source(facts.config.window_steps, dials.seed)
    examples = (example for step in range(dials.steps) for example in source.batch(step))
    return round(float(np.mean([len(example) for example in examples])))
