"""A stage of a study: what it costs, what it does and what it tells, in one object.

A recipe becomes a list of stages (`_stages.stages_of`); plan, run and report walk that list and
know nothing of any single one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from loracast.flops import PlannedStage
from loracast.studies._facts import Settings, StageId
from loracast.studies._pricing import Pricer
from loracast.studies._recipe import Recipe
from loracast.studies._report_data import ReportData
from loracast.studies._schema import MethodResult, StageResult
from loracast.studies._state import Findings, Run

__all__ = ["Contribution", "Outlook", "Stage"]


@dataclass(frozen=True)
class Outlook:
    """What a stage knows when it is priced, in a plan and when its turn comes.

    Args:
        pricer: of the recipe's data on its model.
        settings: what the search chose, or may choose.
        costs: earlier work -> its FLOPs, planned or as they were spent.
        left_flops: of the budget.
        decided: keeps a number of steps under a stage's name; a plan decides anew.
    """

    pricer: Pricer
    settings: Settings
    costs: Mapping[StageId, float]
    left_flops: float
    decided: Callable[[str, Callable[[], int]], int] = lambda _, decide: decide()

    @classmethod
    def of(cls, run: Run, found: Findings) -> Outlook:
        """That of a study that has come so far.

        What ran twice counts as left: a study that was killed ends with the adapter of one left
        alone, or stops where what ran twice leaves no room.
        """
        return cls(
            run.pricer,
            found.settings,
            {name: facts.flops for name, facts in found.trained.items()},
            run.ledger.remaining_flops + run.ledger.repeated_flops,
            run.decided,
        )

    @property
    def recipe(self) -> Recipe:
        """Of the study."""
        return self.pricer.recipe

    def spent_by(self, *groups: str) -> float:
        """FLOPs of these stages, all their trainings together."""
        return sum(flops for name, flops in self.costs.items() if name.group in groups)


@dataclass(frozen=True)
class Contribution:
    """What a stage adds to the result and the report.

    Args:
        stages: its lines in the list of stages.
        methods: method -> scores and cost.
        points: method -> (N, H, C) point forecasts.
        page: its parts of the report, all others left out.
    """

    stages: tuple[StageResult, ...] = ()
    methods: Mapping[str, MethodResult] = field(default_factory=dict)
    points: Mapping[str, np.ndarray] = field(default_factory=dict)
    page: ReportData = field(default_factory=ReportData)


class Stage(ABC):
    """One entry of the list that a recipe asks for."""

    name: str

    @property
    def takes_what_is_left(self) -> bool:
        """Whether it spends a share of what the stages before it leave."""
        return False

    @abstractmethod
    def price(self, outlook: Outlook) -> list[PlannedStage]:
        """What it will cost, from shapes alone, entry by entry as the ledger will name them."""

    def set_aside(self, outlook: Outlook) -> float:
        """FLOPs that the final training leaves for this later stage, at the adapter's prices.

        A stage that is not named here is paid from what the share of the final training leaves.
        """
        del outlook
        return 0.0

    def outcomes(self, recipe: Recipe, settings: Settings) -> list[Settings]:
        """The settings that may stand after it, as far as costs depend on them; largest first."""
        del recipe
        return [settings]

    @abstractmethod
    def run(self, run: Run, found: Findings) -> None:
        """Do its work, or read that it is done, and add it to the findings.

        Raises:
            BudgetExceeded: it does not fit; what was done is kept.
        """

    @abstractmethod
    def report(self, run: Run, found: Findings) -> Contribution:
        """What it has to tell, of a study that stopped within it too."""
