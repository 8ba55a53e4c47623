"""What the stages of a study cost, from the very examples and prompts that they will use.

Lengths come from the task, forecasts from the decoding plan and prices from the meter, so a codec
or a formula that changes there changes here too. It knows no ledger and trains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from loracast.adapters import AdapterConfig
from loracast.codec import Grammar, make_codec
from loracast.decoding import TokenAutomaton, plan_work
from loracast.flops import Architecture, LoraSpec, PlannedStage
from loracast.forecasting import Engine, FitPlan
from loracast.studies._data import StudyData, load_data
from loracast.studies._recipe import Recipe
from loracast.studies._validation import validation_forecasts
from loracast.training import Example, StepPricer, TrainConfig

__all__ = ["CALIBRATION_SAMPLES", "Pricer", "shortest", "training_flops", "validation_count"]

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


def shortest(grammar: Grammar) -> Grammar:
    """The grammar left with the shortest ways through a time step, where widths vary."""
    legal = grammar.next_state >= 0
    distance = np.full(len(legal), np.inf)
    for _ in range(len(legal)):
        beyond = np.where(grammar.ends_step, 0.0, distance[grammar.next_state])
        distance = np.where(legal, 1 + beyond, np.inf).min(axis=1)
    beyond = np.where(grammar.ends_step, 0.0, distance[grammar.next_state])
    kept = legal & (1 + beyond == distance[:, None])
    width = int(distance[grammar.start])
    # States off the shortest way are reached no more; only the way from the start counts.
    return Grammar(
        np.where(kept, grammar.next_state, -1).astype(grammar.next_state.dtype),
        grammar.ends_step & kept,
        grammar.start,
        width,
    )


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
        engine: its task; the weights are not looked at.
        own_model: whether the engine has the modules of the recipe's model, or only its shape.
    """

    def __init__(self, recipe: Recipe, data: StudyData, engine: Engine, own_model: bool) -> None:
        self.recipe, self.data, self.engine = recipe, data, engine
        self.architecture: Architecture = engine.model.architecture
        self.full_window = recipe.context + recipe.horizon
        self._own_model = own_model
        self._validation = engine.validation_examples(data.validation, self._fit(self.full_window))
        self._sources: dict[int, Batches] = {}
        self._prices: dict[LoraSpec | None, StepPricer] = {}

    @classmethod
    def open(cls, recipe: Recipe) -> Pricer:
        """Read or generate the data and take the model's shape.

        Raises:
            LoracastError: data, codec or model cannot be used.
        """
        data = load_data(recipe)
        codec = make_codec(**recipe.codec).calibrate(data.train.values).config()
        here = recipe.model == "embedded" or Path(recipe.model).exists()
        # The weights do not matter for the price, so none are read.
        engine = Engine.open(recipe.model if here else "embedded", codec, random_start=0)
        if not here:
            known = Architecture.known(recipe.model)
            engine.model.architecture = known.pruned(engine.model.architecture.vocab)
            engine.task.positions = None  # the embedded base's, not the model's
        return cls(recipe, data, engine, here)

    def _fit(self, window: int) -> FitPlan:
        recipe = self.recipe
        return FitPlan(
            window_steps=window,
            stride=min(recipe.stride, window),
            context_range=recipe.context_range,
            context_steps=recipe.context,
        )

    def lora(self, rank: int) -> LoraSpec | None:
        """What the recipe's adapter costs at a rank; None for full training."""
        adapter: AdapterConfig = self.recipe.adapter.model_copy(update={"rank": rank})
        if self._own_model or adapter.method == "full":
            return adapter.spec(self.engine.backbone.model)
        names = ("all",) if adapter.targets == "all" else adapter.targets
        return LoraSpec(rank, self.architecture.resolve_targets(names), adapter.head_bias)

    def source(self, window: int) -> Batches:
        """The training batches of windows of so many time steps."""
        if window not in self._sources:
            recipe = self.recipe
            rows = recipe.training.batch_size
            made = self.engine.windows(self.data.train, self._fit(window), rows, recipe.seed)
            self._sources[window] = _Remembered(made)
        return self._sources[window]

    def _pricer(self, lora: LoraSpec | None) -> StepPricer:
        if lora not in self._prices:
            self.engine.model.lora = lora
            self._prices[lora] = self.engine.model.pricer(
                self.recipe.convention, self.recipe.training.optimizer
            )
            self.engine.model.lora = None
        return self._prices[lora]

    def train(self, name: str, steps: int, window: int, lora: LoraSpec | None) -> PlannedStage:
        """A training stage, its validations included."""
        training = self.recipe.training.model_copy(update={"steps": steps})
        pricer = self._pricer(lora)
        total = training_flops(pricer, self._validation, self.source(window), training)
        most, least = self._validation_forecast(lora)
        once = pricer.validation_flops(self._validation)
        fixed = validation_count(training) * once + most
        return PlannedStage(
            name,
            "train",
            steps,
            total + most,
            fixed_flops=fixed,
            lowest_flops=total + least if least < most else None,
        )

    def _validation_forecast(self, lora: LoraSpec | None) -> tuple[float, float]:
        """The most and the least that the validation series' forecasts cost after a stage."""
        chosen, part = (
            validation_forecasts(self.recipe, self.data),
            self.recipe.validation_forecasts,
        )
        if chosen is None or part is None:
            return 0.0, 0.0
        return self._forecast_range(chosen.contexts, part.samples, lora)

    def affordable(self, flops: float, window: int, lora: LoraSpec | None) -> int:
        """Steps that so many FLOPs buy, decided as a study decides it; below 1 for none."""
        every, pricer, source = (
            self.recipe.training.eval_every,
            self._pricer(lora),
            self.source(window),
        )
        each = np.mean([pricer.step_flops(source.batch(i)) for i in range(DECIDING_BATCHES)])
        once = pricer.validation_flops(self._validation)
        left = flops - once - self._validation_forecast(lora)[0]
        return int(left / float(each + (once / every if every else 0)))

    def calibration(self, name: str, lora: LoraSpec | None = None) -> PlannedStage:
        """The series kept back forecast once; nothing where the codec has no use for it."""
        recipe, engine, kept = self.recipe, self.engine, self.data.calibration
        total = 0.0
        if kept is not None and engine.task.continuous:
            contexts = [v[: recipe.context] for v in kept.values if len(v) > recipe.context]
            engine.model.lora = lora
            if contexts:
                total = engine.forecast_flops(
                    contexts,
                    recipe.horizon,
                    CALIBRATION_SAMPLES,
                    recipe.convention,
                    widen=False,
                )
            engine.model.lora = None
        return PlannedStage(name, "generate", 1, total, lowest_flops=total)

    def forecast(self, name: str, lora: LoraSpec | None = None) -> PlannedStage:
        """All evaluated series forecast once; a range where a step's tokens vary."""
        # The engine that prices has no adapter; the one that forecasts has, but for zero-shot.
        widen = name != "zero_shot" and self.engine.task.continuous
        most, least = self._forecast_range(
            self.data.contexts, self.recipe.samples, lora, widen=widen
        )
        return PlannedStage(name, "generate", 1, most, scalable=False, lowest_flops=least)

    def _forecast_range(
        self,
        contexts: list[np.ndarray],
        samples: int,
        lora: LoraSpec | None,
        *,
        widen: bool = False,
    ) -> tuple[float, float]:
        """The most and the least that a forecast costs."""
        recipe, engine = self.recipe, self.engine
        engine.model.lora = lora
        most = least = engine.forecast_flops(
            contexts, recipe.horizon, samples, recipe.convention, widen=widen
        )
        grammar = engine.task.grammar(self.data.evaluated.n_channels)
        short = shortest(grammar)
        if short.max_symbols_per_step < grammar.max_symbols_per_step:
            work = plan_work(
                [len(prompt.ids) for prompt in engine.prompts(contexts)],
                TokenAutomaton.from_grammar(
                    short, engine.task.token_ids, len(engine.backbone.vocabulary.kept)
                ),
                recipe.horizon,
                n_samples=samples,
            )
            least = engine.work_flops(work, recipe.convention)
        engine.model.lora = None
        return most, min(least, most)
