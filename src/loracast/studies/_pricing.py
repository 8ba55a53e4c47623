"""What the stages of a study cost, from the very examples and prompts that they will use.

Lengths come from the task, forecasts from the decoding plan and prices from the meter, so a codec
or a formula that changes there changes here too. It knows no ledger and trains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from loracast.adapters import AdapterConfig
from loracast.codec import make_codec
from loracast.flops import Architecture, LoraSpec, PlannedStage
from loracast.forecasting import Engine
from loracast.studies._data import StudyData, load_data
from loracast.studies._recipe import Recipe
from loracast.studies._validation import validation_forecasts
from loracast.training import Example, StepPricer, TrainConfig

__all__ = ["CALIBRATION_SAMPLES", "Pricer", "training_flops", "validation_count"]

# Batches priced one by one; of a longer stage, so many spread over it. Rows of one length cost
# the same in every batch, so this matters to ragged series and codecs of varying width alone.
PRICED_BATCHES = 64
CALIBRATION_SAMPLES = 20  # paths a series when the width of bands is measured
# Batches that a study looks at when it decides how many steps a share of the budget buys.
DECIDING_BATCHES = 8


class Batches(Protocol):
    """Training examples by step."""

    def batch(self, step: int) -> list[Example]:
        """Those of step `step`, from 0."""
        ...


def validation_count(training: TrainConfig) -> int:
    """Validations of a stage: every `eval_every` steps, and after the last step."""
    every, steps = training.eval_every, training.steps
    return 1 if not every else steps // every + (steps % every > 0)


def training_flops(
    pricer: StepPricer, validation: Sequence[Example], source: Batches, training: TrainConfig
) -> float:
    """FLOPs of a training stage that runs to its end: its steps and its validations.

    Args:
        pricer: of the model and its adapter.
        validation: examples of one validation.
        source: its batches.
        training: its steps and how often it validates.
    """
    steps = training.steps
    priced = np.unique(np.linspace(0, steps - 1, min(steps, PRICED_BATCHES)).round().astype(int))
    each = np.mean([pricer.step_flops(source.batch(int(step))) for step in priced])
    once = pricer.validation_flops(validation)
    return float(steps * each + validation_count(training) * once)


@dataclass
class _Remembered:
    """Batches made once."""

    source: Batches
    made: dict[int, list[Example]] = field(default_factory=dict)

    def batch(self, step: int) -> list[Example]:
        if step not in self.made:
            self.made[step] = self.source.batch(step)
        return self.made[step]


class Pricer:
    """A recipe's data and its codec's tokens, priced on one architecture; reads no weights.

    Args:
        recipe: what will run.
        data: its series.
        engine: the bare base's; its weights are not looked at.
        own_model: whether the engine has the modules of the recipe's model, or only its shape.
    """

    def __init__(self, recipe: Recipe, data: StudyData, engine: Engine, own_model: bool) -> None:
        self.recipe, self.data, self.engine = recipe, data, engine
        self.architecture: Architecture = engine.model.architecture
        self._own_model = own_model
        self._sources: dict[tuple[int, int], Batches] = {}
        self._prices: dict[LoraSpec | None, StepPricer] = {}

    @classmethod
    def open(cls, recipe: Recipe) -> Pricer:
        """Read or generate the data and take the model's shape.

        Raises:
            LoracastError: data, codec or model cannot be used.
        """
        data = load_data(recipe)
        codec = make_codec(**recipe.codec).scaled_for(data.train.values).config()
        here = recipe.model == "embedded" or Path(recipe.model).exists()
        # The weights do not matter for the price, so none are read.
        engine = Engine.open(recipe.model if here else "embedded", codec, random_start=0)
        if not here:
            known = Architecture.known(recipe.model)
            engine.model.architecture = known.pruned(engine.model.architecture.vocab)
            engine.task.positions = None  # the embedded base's, not the model's
        return cls(recipe, data, engine, here)

    @cached_property
    def validation(self) -> list[Example]:
        """Validation examples: always the full window, so that stages can be compared."""
        windows = self.recipe.windows(self.recipe.full_window)
        return self.engine.validation_examples(self.data.validation, windows)

    def source(self, window: int, seed: int | None = None) -> Batches:
        """The training batches of windows of so many time steps; the seed is the recipe's."""
        recipe = self.recipe
        seed = recipe.seed if seed is None else seed
        if (window, seed) not in self._sources:
            rows = recipe.training.batch_size
            made = self.engine.windows(self.data.train, recipe.windows(window), rows, seed)
            self._sources[window, seed] = _Remembered(made)
        return self._sources[window, seed]

    def _lora(self, adapter: AdapterConfig) -> LoraSpec | None:
        """What an adapter costs; None for full training."""
        if self._own_model or adapter.method == "full":
            return adapter.spec(self.engine.backbone.model)
        names = ("all",) if adapter.targets == "all" else adapter.targets
        return LoraSpec(adapter.rank, self.architecture.resolve_targets(names), adapter.head_bias)

    @contextmanager
    def _with(self, adapter: AdapterConfig | None) -> Iterator[Engine]:
        """The engine as if it were adapted."""
        model = self.engine.model
        model.adapter = adapter
        model.lora = None if adapter is None else self._lora(adapter)
        try:
            yield self.engine
        finally:
            model.adapter = model.lora = None

    def _steps(self, adapter: AdapterConfig) -> StepPricer:
        """Prices of the steps that train this adapter."""
        with self._with(adapter) as engine:
            lora = engine.model.lora
            if lora not in self._prices:
                training = self.recipe.training
                self._prices[lora] = engine.model.pricer(self.recipe.convention, training.optimizer)
            return self._prices[lora]

    def train(
        self, name: str, training: TrainConfig, window: int, adapter: AdapterConfig
    ) -> PlannedStage:
        """A training stage, its validations included."""
        pricer = self._steps(adapter)
        source = self.source(window, training.seed)
        total = training_flops(pricer, self.validation, source, training)
        most, least = self._validation_forecast(adapter)
        once = pricer.validation_flops(self.validation)
        fixed = validation_count(training) * once + most
        return PlannedStage(
            name,
            "train",
            training.steps,
            total + most,
            fixed_flops=fixed,
            lowest_flops=total + least if least < most else None,
        )

    def _validation_forecast(self, adapter: AdapterConfig) -> tuple[float, float]:
        """The most and the least that the validation series' forecasts cost after a stage."""
        chosen = validation_forecasts(self.recipe, self.data)
        part = self.recipe.validation_forecasts
        if chosen is None or part is None:
            return 0.0, 0.0
        with self._with(adapter) as engine:
            return self._range(engine, chosen.contexts, part.samples, widen=False)

    def affordable(self, flops: float, window: int, adapter: AdapterConfig) -> int:
        """Steps that so many FLOPs buy, validations included; below 1 for none."""
        every, pricer = self.recipe.training.eval_every, self._steps(adapter)
        source = self.source(window)
        # Windows of equal length cost the same; of ragged ones this is an average.
        each = np.mean([pricer.step_flops(source.batch(i)) for i in range(DECIDING_BATCHES)])
        once = pricer.validation_flops(self.validation)
        left = flops - once - self._validation_forecast(adapter)[0]
        return int(left / float(each + (once / every if every else 0)))

    def calibration(self, name: str, adapter: AdapterConfig) -> PlannedStage:
        """The series kept back forecast once; nothing where the codec has no use for it."""
        recipe, kept = self.recipe, self.data.calibration
        total = 0.0
        if kept is not None and self.engine.task.widens:
            contexts = [v[: recipe.context] for v in kept.values if len(v) > recipe.context]
            with self._with(adapter) as engine:
                if contexts:
                    total = engine.forecast_flops(
                        contexts,
                        recipe.horizon,
                        CALIBRATION_SAMPLES,
                        recipe.convention,
                        widen=False,
                    )
        return PlannedStage(name, "generate", 1, total, lowest_flops=total)

    def forecast(
        self,
        name: str,
        adapter: AdapterConfig | None = None,
        *,
        contexts: Sequence[np.ndarray] | None = None,
    ) -> PlannedStage:
        """All evaluated series forecast once; a range where a step's tokens vary.

        Args:
            name: of the stage.
            adapter: of the model; None for the bare base. One that is merged into the weights
                costs what full training's model does.
            contexts: N arrays (T_n, C) that are shown; those of the study by default.
        """
        shown = self.data.contexts if contexts is None else contexts
        with self._with(adapter) as engine:
            most, least = self._range(engine, shown, self.recipe.samples)
        return PlannedStage(name, "generate", 1, most, scalable=False, lowest_flops=least)

    def _range(
        self,
        engine: Engine,
        contexts: Sequence[np.ndarray],
        samples: int,
        *,
        widen: bool | None = None,
    ) -> tuple[float, float]:
        """The most and the least that a forecast costs."""
        recipe = self.recipe
        most, least = (
            engine.forecast_flops(
                contexts, recipe.horizon, samples, recipe.convention, widen=widen, shortest=fewest
            )
            for fewest in (False, True)
        )
        return most, min(least, most)
