"""What the stages of a study leave behind, as records: their names, settings, facts and choices.

Facts are kept as JSON beside each stage and read from there when a study goes on. They know no
engine and no folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from loracast.adapters import AdapterConfig
from loracast.studies._recipe import Recipe
from loracast.studies._schema import MethodResult
from loracast.training import TrainConfig

__all__ = [
    "ClassicalFacts",
    "Facts",
    "Forecast",
    "ForecastConfig",
    "ForecastFacts",
    "LossRecord",
    "Settings",
    "StageId",
    "StepsFacts",
    "TrainingConfig",
    "TrainingFacts",
    "ValidationRecord",
]

_REPEAT = ",repeat="


@dataclass(frozen=True)
class StageId:
    """The name of one piece of work: "default", "grid.lr=0.001,r=8,repeat=1".

    Folders, ledger and result hold it as text, which only `str` and `read` know how to write and
    to read.

    Args:
        group: the stage it belongs to.
        label: the setting that was tried; "" where there is one.
        repeat: which of the trainings of that setting, from 0; each has another seed.
    """

    group: str
    label: str = ""
    repeat: int = 0

    @classmethod
    def read(cls, text: str) -> StageId:
        """From text as in a ledger."""
        group, _, setting = text.partition(".")
        label, _, repeat = setting.partition(_REPEAT)
        return cls(group, label, int(repeat or 0))

    @property
    def setting(self) -> str:
        """What sets it apart in its group: "lr=0.001,r=8,repeat=1"."""
        return self.label + (f"{_REPEAT}{self.repeat}" if self.repeat else "")

    def __str__(self) -> str:
        return f"{self.group}.{self.setting}" if self.setting else self.group


@dataclass(frozen=True)
class Settings:
    """What the search has settled on so far, at first the recipe's own.

    Args:
        learning_rate, rank, window: of the adapter's training; the window in time steps.
        rival_rates: rival -> its own learning rate, once it is searched.
    """

    learning_rate: float
    rank: int
    window: int
    rival_rates: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Recipe) -> Settings:
        """Those of a recipe."""
        return cls(recipe.training.learning_rate, recipe.adapter.rank, recipe.full_window)

    @property
    def chosen(self) -> dict[str, Any]:
        """As the result names it."""
        return {"learning_rate": self.learning_rate, "rank": self.rank, "window": self.window}


class Facts(BaseModel):
    """Kept beside a finished stage; fields of other versions are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TrainingConfig(Facts):
    """How a training ran: `planned_flops` was priced before it began."""

    adapter: AdapterConfig
    training: TrainConfig
    window_steps: int
    precision: str | None = None
    planned_flops: float | None = None


class LossRecord(Facts):
    """A logged step; the loss in nats per target."""

    step: int
    train_loss: float
    lr: float
    seconds: float


class ValidationRecord(Facts):
    """The validation loss after so many steps."""

    step: int
    val_loss: float


class TrainingFacts(Facts):
    """One finished training.

    Args:
        val_loss: of the best checkpoint, in nats per target, at `best_step`.
        val_mae: of forecasts of validation series, in original units.
        flops, seconds: validations and those forecasts included.
        grad_norms: parameter -> L2 norms at the steps of `history`.
    """

    config: TrainingConfig
    steps: int
    train_loss: float | None
    val_loss: float | None
    val_mae: float | None = None
    best_step: int | None = None
    flops: float
    seconds: float
    history: tuple[LossRecord, ...] = ()
    validations: tuple[ValidationRecord, ...] = ()
    grad_norms: dict[str, tuple[float | None, ...]] = {}
    n_trainable: int | None = None


class ForecastConfig(Facts):
    """`planned_flops`: the most that a forecast could cost."""

    planned_flops: float | None = None


class ForecastFacts(Facts):
    """One finished forecast of the evaluated series."""

    config: ForecastConfig = ForecastConfig()
    flops: float
    seconds: float
    note: str = ""


class ClassicalFacts(Facts):
    """Scores of the classical methods."""

    rows: dict[str, MethodResult]


class StepsFacts(Facts):
    """A number of steps, decided once."""

    steps: int


@dataclass(frozen=True)
class Forecast:
    """A forecast and what it cost; samples are (N, S, H, C)."""

    facts: ForecastFacts
    samples: np.ndarray
