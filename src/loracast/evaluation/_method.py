"""What a method is: one object that holds everything the package says or asks of it.

Knows no single method; each one's own module makes its object, and `_methods` lists them. Verdict,
report, backtest and command line read the objects and keep no names of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from loracast.errors import ConfigError
from loracast.evaluation._prepare import (
    BaselineForecast,
    Drawn,
    Prepared,
    prepare,
    require_positive,
)

__all__ = ["Group", "Method", "Needs", "Trained"]

Run = Callable[[Prepared, int, int, list[np.random.Generator]], Drawn]


class Group(StrEnum):
    """What a method is compared as, in the verdict's words and in the order of its lines."""

    ADAPTED = "the adapted model"
    ZERO_SHOT = "the model without adaptation"
    RANDOM_START = "the model without pretraining, all weights trained"
    FULL_FINE_TUNING = "full fine-tuning"
    NAIVE = "the naive methods"
    CLASSICAL = "the classical methods"
    NEURAL = "the neural network trained from scratch"


@dataclass(frozen=True)
class Needs:
    """What a method asks of its contexts and of the installation.

    Args:
        steps: the fewest steps of a context.
        seasonal: it has a use for a season; otherwise none is looked for.
        positive: all values must be above 0.
        package: what it imports and the core does not bring.
        extra: the optional extra of this package that brings `package`.
    """

    steps: int = 1
    seasonal: bool = False
    positive: bool = False
    package: str = ""
    extra: str = ""

    def prepare(self, contexts: Sequence[np.ndarray], horizon: int, method: str) -> Prepared:
        """Contexts (T_n, C) that meet the needs, their holes filled.

        Args:
            contexts: N arrays (T_n, C), NaN where a value is missing.
            horizon: H, steps to forecast.
            method: its name, for messages.

        Raises:
            DataError: contexts that the method cannot take.
            ConfigError: its package is not installed.
        """
        prepared = prepare(contexts, horizon, self.steps, method)
        if self.positive:
            require_positive(prepared.contexts, method)
        if self.package:
            try:
                import_module(self.package)
            except ImportError as problem:
                raise ConfigError(
                    f"{method} needs {self.package}, which is not installed; "
                    f"pip install 'loracast[{self.extra}]'"
                ) from problem
        return prepared


class Trained(Protocol):
    """A method that is trained on other series first, and then forecasts any context."""

    @classmethod
    def fit(
        cls,
        train_values: Sequence[np.ndarray] | np.ndarray,
        *,
        seed: int = 0,
        on_step: Callable[[int, int, float], None] | None = None,
    ) -> Self:
        """Train on N arrays (T_n, C); `on_step` gets (steps done, steps in all, loss)."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote."""

    def save(self, path: str | Path) -> Path:
        """Write one file."""

    def forecast(self, contexts: Sequence[np.ndarray], horizon: int) -> BaselineForecast:
        """Forecast H steps after each of N contexts (T_n, C)."""


@dataclass(frozen=True)
class Method:
    """One row of a comparison.

    Args:
        name: in files and options.
        label: in tables and figures.
        spoken: within a sentence.
        hint: what it does, in a few words.
        group: what it is compared as.
        colour: the same in every figure.
        needs: what its contexts must be.
        run: a function from (prepared contexts, H, S, a generator for each series) to point
            (N, H, C), samples (N, S, H, C) and a note; each forecast sees its own context alone.
        trained: the class of a method that is trained on other series first; a fitted one is kept
            in `file`. With neither `run` nor `trained`, the language model makes the row.
        study_only: a study alone trains what it takes; a backtest cannot make the row.
        seconds_per_fit: for a slow method, about what one channel of T steps at a season of m
            takes; None where it is always quick.
    """

    name: str
    label: str
    spoken: str
    hint: str
    group: Group
    colour: str
    needs: Needs = Needs()
    run: Run | None = None
    trained: type[Trained] | None = None
    study_only: bool = False
    seconds_per_fit: Callable[[int, int | None], float] | None = None

    @property
    def of_model(self) -> bool:
        """Whether the language model makes the row."""
        return self.run is None and self.trained is None

    @property
    def file(self) -> str:
        """Where a trained one lies, beside an adapter."""
        return f"{self.name}.safetensors"

    def expected_seconds(
        self, contexts: Sequence[np.ndarray], seasons: Sequence[int | None]
    ) -> float:
        """About how long it takes, from the sizes alone; 0 for a method that is always quick.

        Args:
            contexts: N arrays (T_n, C).
            seasons: N seasons, None for none.
        """
        if self.seconds_per_fit is None:
            return 0.0
        total = 0.0
        for context, season in zip(contexts, seasons, strict=True):
            n_steps, n_channels = context.shape
            total += self.seconds_per_fit(n_steps, season) * n_channels
        return total
