"""A stage of the search: settings tried in short trainings, repeated over seeds, and a choice.

Knows how candidates are trained, compared and reported; which ones there are, each kind of search
says for itself.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from loracast.flops import PlannedStage
from loracast.studies._choice import Candidate, choose
from loracast.studies._facts import Settings, TrainingFacts
from loracast.studies._recipe import Recipe
from loracast.studies._report_data import ReportData
from loracast.studies._stage import Contribution, Outlook, Stage
from loracast.studies._state import Findings, Run
from loracast.studies._training import Training, train, trainings_report

__all__ = ["Option", "Search", "Tried"]


@dataclass(frozen=True)
class Option:
    """One setting that is tried.

    Args:
        training: with the recipe's seed; repeats take the seeds after it.
        settings: what stands when it is chosen.
        default: whether it is the recipe's own.
    """

    training: Training
    settings: Settings
    default: bool

    def repeats(self, count: int) -> list[Training]:
        """Its trainings."""
        name, dials = self.training.name, self.training.dials
        return [
            replace(
                self.training,
                name=replace(name, repeat=i),
                dials=dials.model_copy(update={"seed": dials.seed + i}),
            )
            for i in range(count)
        ]


@dataclass(frozen=True)
class Tried:
    """The trainings of one setting: errors are means over the repeats, costs their sums."""

    label: str
    trainings: Sequence[TrainingFacts]

    def mean(self, name: str) -> float | None:
        """None where one is missing: a mean of fewer runs is another figure."""
        known = [value for f in self.trainings if (value := getattr(f, name)) is not None]
        return float(np.mean(known)) if len(known) == len(self.trainings) else None

    def record(self) -> dict[str, Any]:
        """What every table of the report shows of it."""
        return {
            "repeats": len(self.trainings),
            "val_mae": self.mean("val_mae"),
            "val_loss": self.mean("val_loss"),
            "flops": sum(f.flops for f in self.trainings),
        }


class Search(Stage):
    """Trains every option with every seed, and takes one."""

    @property
    @abstractmethod
    def repeats(self) -> int:
        """Trainings of each option."""

    @abstractmethod
    def options(self, outlook: Outlook) -> list[Option]:
        """What is tried, in order."""

    def price(self, outlook: Outlook) -> list[PlannedStage]:
        """All trainings of all options."""
        return [
            training.price(outlook.pricer)
            for option in self.options(outlook)
            for training in option.repeats(self.repeats)
        ]

    def run(self, run: Run, found: Findings) -> None:
        """Train them all and choose; the choice is among the findings."""
        candidates, options = [], self.options(Outlook.of(run, found))
        for option in options:
            facts = []
            for training in option.repeats(self.repeats):
                found.trained[training.name] = train(run, training)
                facts.append(found.trained[training.name])
            candidates.append(
                Candidate(
                    option.training.name.label,
                    tuple(_judged(run.recipe, fact) for fact in facts),
                    sum(fact.flops for fact in facts),
                    option.default,
                )
            )
        taken = choose(candidates, "in log MAE" if run.recipe.select == "val_mae" else "nats")
        found.choices[self.name] = taken
        found.settings = options[taken.index].settings

    def report(self, run: Run, found: Findings) -> Contribution:
        """Lines, curves, the reason of the choice, and the table of this kind of search."""
        told = trainings_report(found, self.name)
        groups: dict[str, list[TrainingFacts]] = {}
        for name, facts in found.trained.items():
            if name.group == self.name:
                groups.setdefault(name.label, []).append(facts)
        table = self.table(run, found, [Tried(label, facts) for label, facts in groups.items()])
        choice = found.choices.get(self.name)
        reasons = (f"{self.name.replace('_', ' ')}: {choice.reason}",) if choice else ()
        page = table.model_copy(update={"loss_curves": told.page.loss_curves, "reasons": reasons})
        return Contribution(stages=told.stages, page=page)

    def table(self, run: Run, found: Findings, tried: Sequence[Tried]) -> ReportData:
        """Its own part of the report; by default none."""
        del run, found, tried
        return ReportData()


def _judged(recipe: Recipe, facts: TrainingFacts) -> float:
    """What a training is chosen by, lower is better; infinite where it diverged.

    Errors are compared in logs, where seeds scatter alike whatever the size of the error.
    """
    value: float | None = getattr(facts, recipe.select)
    if value is None or not math.isfinite(value):
        return math.inf
    if recipe.select == "val_mae":
        return math.log(value) if value > 0 else -math.inf
    return value
