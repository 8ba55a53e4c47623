"""What all stages of a study share, and what they found so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from loracast.adapters import AdapterConfig
from loracast.forecasting import Engine, FitPlan
from loracast.ledger import Ledger
from loracast.studies._data import StudyData
from loracast.studies._recipe import Recipe
from loracast.studies._workspace import Workspace
from loracast.training import StudyProgress, TrainConfig

__all__ = ["Findings", "Run"]


@dataclass
class Run:
    """What all stages share."""

    recipe: Recipe
    data: StudyData
    workspace: Workspace
    ledger: Ledger
    progress: StudyProgress
    codec: dict[str, Any] = field(default_factory=dict)  # calibrated on the training series

    def plan(self, window_steps: int | None = None) -> FitPlan:
        """Windows for training; the default is context + longest horizon."""
        recipe = self.recipe
        window = window_steps or recipe.context + recipe.horizon
        return FitPlan(
            window_steps=window,
            stride=min(recipe.stride, window),
            context_range=recipe.context_range,
            context_steps=recipe.context,
        )

    def training(
        self, steps: int, learning_rate: float | None = None, seed: int | None = None
    ) -> TrainConfig:
        """The recipe's dials for a stage of so many steps; the seed is the recipe's by default."""
        update: dict[str, Any] = {
            "steps": steps,
            "seed": self.recipe.seed if seed is None else seed,
        }
        if learning_rate is not None:
            update["learning_rate"] = learning_rate
        update["warmup_steps"] = min(self.recipe.training.warmup_steps, max(1, steps // 10))
        return self.recipe.training.model_copy(update=update)

    def open(
        self, adapter: AdapterConfig, random_start: bool = False, seed: int | None = None
    ) -> Engine:
        """The base with fresh trainable weights, drawn with the recipe's seed or another."""
        drawn = self.recipe.seed if seed is None else seed
        engine = Engine.open(
            self.recipe.model, self.codec, random_start=drawn if random_start else None
        )
        engine.model.attach(adapter, drawn)
        return engine

    def validation(self, engine: Engine) -> Any:
        """Validation examples: always the full window, so that stages can be compared."""
        return engine.validation_examples(self.data.validation, self.plan())


@dataclass
class Findings:
    """What the stages found, for the result and the report.

    Args:
        stages: name -> facts, in the order they ran.
        rows: method -> scores and cost.
        points: method -> (N, H, C) point forecasts.
        samples: method -> (N, S, H, C).
        chosen: learning_rate, rank and window the search settled on.
        choices: part of the search -> how its choice was made, see `Choice`.
        stopped: where and why the budget ended, or "".
    """

    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    points: dict[str, np.ndarray] = field(default_factory=dict)
    samples: dict[str, np.ndarray] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: str = ""
