"""The stage that trains the recipe's own settings for a few steps."""

from __future__ import annotations

from dataclasses import dataclass

from loracast.flops import PlannedStage
from loracast.studies._facts import StageId
from loracast.studies._recipe import Recipe
from loracast.studies._stage import Contribution, Outlook, Stage
from loracast.studies._state import Findings, Run
from loracast.studies._training import Training, train, trainings_report

__all__ = ["DefaultTraining"]


@dataclass(frozen=True)
class DefaultTraining(Stage):
    """One training of the default adapter on full windows."""

    name: str = "default"

    def _training(self, recipe: Recipe) -> Training:
        dials = recipe.dials(recipe.default_steps)
        return Training(StageId(self.name), recipe.adapter, dials, recipe.full_window)

    def price(self, outlook: Outlook) -> list[PlannedStage]:
        """That training."""
        return [self._training(outlook.recipe).price(outlook.pricer)]

    def run(self, run: Run, found: Findings) -> None:
        """Train it."""
        training = self._training(run.recipe)
        found.trained[training.name] = train(run, training)

    def report(self, run: Run, found: Findings) -> Contribution:
        """Its line and its curve."""
        del run
        return trainings_report(found, self.name)
