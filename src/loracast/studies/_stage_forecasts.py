"""The stage that forecasts the evaluated series with a model and scores it as a method."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from loracast.flops import PlannedStage
from loracast.forecasting import Engine, model_notes, score_samples
from loracast.studies._facts import Forecast, ForecastConfig, ForecastFacts, StageId
from loracast.studies._schema import MethodResult, StageResult
from loracast.studies._stage import Contribution, Outlook, Stage
from loracast.studies._state import Findings, Run
from loracast.studies._training import FULL

__all__ = ["ModelForecasts", "forecast"]


@dataclass(frozen=True)
class ModelForecasts(Stage):
    """Forecasts of all evaluated series.

    Args:
        name: of the stage.
        method: as result and report call it.
        model: the stage that trained and saved the model; "" takes the bare base.
    """

    name: str
    method: str
    model: str = ""

    def price(self, outlook: Outlook) -> list[PlannedStage]:
        """One forecast; a saved adapter is merged, so it costs what full training's model does."""
        adapter = FULL if self.model else None
        return [outlook.pricer.forecast(self.name, adapter)]

    def set_aside(self, outlook: Outlook) -> float:
        """One forecast, as if the adapter were not merged."""
        adapter = outlook.recipe.adapter_at(outlook.settings.rank)
        return outlook.pricer.forecast(self.name, adapter).flops

    def run(self, run: Run, found: Findings) -> None:
        """Forecast, or read the forecast."""
        name = StageId(self.name)

        def engine() -> Engine:
            return Engine.load(run.adapter(self.model)) if self.model else run.base

        found.forecasts[name] = forecast(run, name, engine, run.data.contexts)

    def report(self, run: Run, found: Findings) -> Contribution:
        """A method's scores, and a line in the list of stages."""
        made = found.forecasts.get(StageId(self.name))
        if made is None:
            return Contribution()
        data, facts = run.data, made.facts
        scores = score_samples(data.truth, made.samples, data.contexts, run.recipe.horizons)
        row = {**scores, "flops": facts.flops, "seconds": facts.seconds, "note": facts.note}
        return Contribution(
            stages=(
                StageResult(
                    name=self.name,
                    config=facts.config.model_dump(mode="json"),
                    metrics={h: s["mae"] for h, s in scores.items()},
                    flops=facts.flops,
                    seconds=facts.seconds,
                ),
            ),
            methods={self.method: MethodResult.model_validate(row)},
            points={self.method: np.median(made.samples, axis=1)},
        )


def forecast(
    run: Run, name: StageId, open_engine: Callable[[], Engine], contexts: Sequence[np.ndarray]
) -> Forecast:
    """Forecast the evaluated series from these contexts, or read the forecast.

    Args:
        run: the study.
        name: of the work.
        open_engine: gives the engine; called only where there is work to do.
        contexts: N arrays (T_n, C).

    Raises:
        BudgetExceeded: it does not fit.
    """
    done = run.workspace.done(name, ForecastFacts)
    if done is not None:
        return Forecast(done, run.workspace.array(name))
    engine = open_engine()
    recipe, data = run.recipe, run.data
    planned = engine.forecast_flops(contexts, recipe.horizon, recipe.samples, recipe.convention)
    run.progress.stage(str(name), len(contexts) * recipe.samples * recipe.horizon)
    started, before = time.monotonic(), run.ledger.charged_flops
    samples = engine.sample(
        contexts,
        data.keys,
        recipe.horizon,
        samples=recipe.samples,
        seed=recipe.seed,
        temperature=recipe.temperature,
        ledger=run.ledger,
        stage=str(name),
        progress=run.progress.advance,
    )
    run.workspace.save_array(name, samples)
    notes = model_notes(engine, data.truth.shape[2], len(contexts) * recipe.samples)
    facts = ForecastFacts(
        config=ForecastConfig(planned_flops=planned),
        flops=run.ledger.charged_flops - before,
        seconds=time.monotonic() - started,
        note="; ".join(notes),
    )
    return Forecast(run.workspace.finish(name, facts), samples)
