"""The stage that scores the classical methods; they cost seconds, not FLOPs of the budget."""

from __future__ import annotations

from dataclasses import dataclass

from loracast.errors import DataError
from loracast.evaluation import GlobalMLP
from loracast.flops import PlannedStage
from loracast.forecasting import baseline_rows
from loracast.studies._facts import ClassicalFacts
from loracast.studies._schema import MethodResult
from loracast.studies._stage import Contribution, Outlook, Stage
from loracast.studies._state import Findings, Run

__all__ = ["MLP_FILE", "Classical"]

MLP_FILE = "global_mlp.safetensors"


@dataclass(frozen=True)
class Classical(Stage):
    """Forecasts of methods by name, the global MLP trained first where it is among them."""

    methods: tuple[str, ...]
    name: str = "classical"

    def price(self, outlook: Outlook) -> list[PlannedStage]:
        """Nothing."""
        del outlook
        return []

    def run(self, run: Run, found: Findings) -> None:
        """Score every method once."""
        recipe, data, space = run.recipe, run.data, run.workspace
        done = space.done(self.name, ClassicalFacts)
        if done is None:
            run.progress.stage("classical methods", len(self.methods))
            mlp, problem = _global_mlp(run)
            rows = {}
            for method in self.methods:
                row, points = baseline_rows(
                    data.contexts,
                    data.truth,
                    [method],
                    seed=recipe.seed,
                    horizons=recipe.horizons,
                    trained={"global_mlp": mlp or problem},
                )
                rows[method] = MethodResult.model_validate(row[method])
                point = points[method]
                if point is not None:
                    space.save_array(f"{self.name}.{method}", point)
                run.progress.advance(1, method)
            done = space.finish(self.name, ClassicalFacts(rows=rows))
        found.classical = done

    def report(self, run: Run, found: Findings) -> Contribution:
        """Scores, and the forecasts of those that apply to these series."""
        points = {m: run.workspace.stored_array(f"{self.name}.{m}") for m in self.methods}
        return Contribution(
            methods=found.classical.rows,
            points={method: point for method, point in points.items() if point is not None},
        )


def _global_mlp(run: Run) -> tuple[GlobalMLP | None, str]:
    """The global MLP, trained once and kept beside the study, or why these series train none."""
    steps = run.recipe.global_mlp_steps
    if steps is None:
        return None, ""
    path = run.workspace.out / MLP_FILE
    if path.exists():
        return GlobalMLP.load(path), ""
    try:
        mlp = GlobalMLP.fit(run.data.training_values, steps=steps, seed=run.recipe.seed)
    except DataError as problem:
        return None, f"does not apply: {problem}"
    mlp.save(path)
    return mlp, ""
