"""What all stages of a study share while it runs, and what they found so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loracast.forecasting import Engine
from loracast.ledger import Ledger
from loracast.studies._choice import Choice
from loracast.studies._data import StudyData
from loracast.studies._facts import (
    ClassicalFacts,
    Forecast,
    Settings,
    StageId,
    StepsFacts,
    TrainingFacts,
)
from loracast.studies._pricing import Pricer
from loracast.studies._recipe import Recipe
from loracast.studies._workspace import Workspace
from loracast.training import StudyProgress

__all__ = ["Findings", "Run"]


@dataclass(frozen=True)
class Run:
    """What all stages share.

    Args:
        recipe, data, workspace, ledger, progress: of the study.
        codec: name and options, calibrated on the training series.
        base: the model, not adapted.
        pricer: of the recipe's work on that model.
    """

    recipe: Recipe
    data: StudyData
    workspace: Workspace
    ledger: Ledger
    progress: StudyProgress
    codec: dict[str, Any]
    base: Engine
    pricer: Pricer

    def adapter(self, stage: str) -> Path:
        """Where the model that a stage trained is saved."""
        if stage == "final":
            return self.workspace.out / "adapter"
        return self.workspace.folder(stage) / "model"

    def decided(self, stage: str, decide: Callable[[], int]) -> int:
        """A number of steps that is decided once and then kept, so that a resumed study agrees."""
        stored = self.workspace.done(f"{stage}.steps", StepsFacts)
        if stored is None:
            stored = self.workspace.finish(f"{stage}.steps", StepsFacts(steps=decide()))
        return stored.steps


@dataclass
class Findings:
    """What the stages found, for one another, the result and the report.

    Args:
        settings: what the search has settled on.
        classical: scores of the classical methods.
        trained, forecasts: finished work, in the order it ran.
        choices: stage of the search -> how it chose.
        stopped: where and why the budget ended, or "".
    """

    settings: Settings
    classical: ClassicalFacts = field(default_factory=lambda: ClassicalFacts(rows={}))
    trained: dict[StageId, TrainingFacts] = field(default_factory=dict)
    forecasts: dict[StageId, Forecast] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    stopped: str = ""
