"""The stage that tests the adapted model with shorter contexts than the study's own."""

from __future__ import annotations

from dataclasses import dataclass

from loracast.adapters import AdapterConfig
from loracast.flops import PlannedStage
from loracast.forecasting import Engine, score_samples
from loracast.studies._facts import StageId
from loracast.studies._pricing import Pricer
from loracast.studies._recipe import Recipe
from loracast.studies._report_data import Column, ReportData, Table
from loracast.studies._schema import StageResult
from loracast.studies._stage import Contribution, Outlook, Stage
from loracast.studies._stage_forecasts import forecast
from loracast.studies._state import Findings, Run
from loracast.studies._training import FULL

__all__ = ["ContextTests"]


@dataclass(frozen=True)
class ContextTests(Stage):
    """The evaluated series forecast from their last steps alone.

    Args:
        steps: of the contexts; the study's own, where it is among them, costs nothing more.
        model: the stage that trained and saved the model.
        whole: the stage that tests it with the study's own context.
    """

    steps: tuple[int, ...]
    model: str
    whole: str
    name: str = "test_context"

    def _names(self, recipe: Recipe) -> dict[int, StageId]:
        own = {recipe.context: StageId(self.whole)}
        return {n: own.get(n, StageId(self.name, str(n))) for n in self.steps}

    def _forecasts(self, pricer: Pricer, adapter: AdapterConfig) -> list[PlannedStage]:
        return [
            pricer.forecast(str(name), adapter, contexts=[c[-n:] for c in pricer.data.contexts])
            for n, name in self._names(pricer.recipe).items()
            if name.group == self.name
        ]

    def price(self, outlook: Outlook) -> list[PlannedStage]:
        """A forecast for each context."""
        return self._forecasts(outlook.pricer, FULL)

    def set_aside(self, outlook: Outlook) -> float:
        """The same, as if the adapter were not merged."""
        adapter = outlook.recipe.adapter_at(outlook.settings.rank)
        return sum(planned.flops for planned in self._forecasts(outlook.pricer, adapter))

    def run(self, run: Run, found: Findings) -> None:
        """Forecast from each context, or read the forecast."""
        for n, name in self._names(run.recipe).items():
            if name.group == self.name:
                shown = [context[-n:] for context in run.data.contexts]
                found.forecasts[name] = forecast(
                    run, name, lambda: Engine.load(run.adapter(self.model)), shown
                )

    def report(self, run: Run, found: Findings) -> Contribution:
        """A line for each forecast, and a table of errors by context."""
        data, horizons = run.data, run.recipe.horizons
        lines, rows = [], []
        for n, name in self._names(run.recipe).items():
            made = found.forecasts.get(name)
            if made is None:
                continue
            shown = [context[-n:] for context in data.contexts]
            scores = score_samples(data.truth, made.samples, shown, horizons)
            errors = {h: score["mae"] for h, score in scores.items()}
            rows.append((str(n), *errors.values(), made.facts.flops))
            if name.group == self.name:
                lines.append(
                    StageResult(
                        name=str(name),
                        config=made.facts.config.model_dump(mode="json"),
                        metrics=errors,
                        flops=made.facts.flops,
                        seconds=made.facts.seconds,
                        note=made.facts.note,
                    )
                )
        if not rows:
            return Contribution()
        table = Table(
            title="The adapted model with shorter contexts",
            lead="Mean absolute error of the same forecasts, made from the last steps alone.",
            columns=(
                Column(title="Steps of context"),
                *(Column(title=f"MAE, {h} steps") for h in horizons),
                Column(title="FLOPs", unit="FLOPs"),
            ),
            rows=tuple(rows),
        )
        return Contribution(stages=tuple(lines), page=ReportData(tables=(table,)))
