"""The stage that trains what the study is about: the adapter, or a rival with as many FLOPs.

The trained model is calibrated and saved before the stage is marked as done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from loracast.adapters import AdapterConfig
from loracast.errors import BudgetExceeded
from loracast.flops import PlannedStage
from loracast.forecasting import Engine, calibrate_spread
from loracast.studies._facts import StageId
from loracast.studies._pricing import CALIBRATION_SAMPLES
from loracast.studies._report_data import GradientNorms
from loracast.studies._stage import Contribution, Outlook, Stage
from loracast.studies._stage_classical import MLP_FILE
from loracast.studies._state import Findings, Run
from loracast.studies._training import Keep, Training, train, trainings_report

__all__ = ["FinalTraining"]


@dataclass(frozen=True)
class FinalTraining(Stage):
    """A training whose steps the budget decides.

    Args:
        name: of the stage.
        adapter: what is trained; None takes the recipe's adapter, its rank and rate as chosen.
        random_start: from random weights.
        equals: the stage whose FLOPs it gets; "" takes the recipe's share of all that is left.
        later: the stages that follow, whose cost is set aside first.
    """

    name: str = "final"
    adapter: AdapterConfig | None = None
    random_start: bool = False
    equals: str = ""
    later: tuple[Stage, ...] = ()

    @property
    def takes_what_is_left(self) -> bool:
        """Whether it takes a share, and no stage's FLOPs."""
        return not self.equals

    def _adapter(self, outlook: Outlook) -> AdapterConfig:
        return self.adapter or outlook.recipe.adapter_at(outlook.settings.rank)

    def _affordable(self, outlook: Outlook) -> int:
        """Below 1 where the share buys no step."""
        recipe, window = outlook.recipe, outlook.settings.window
        adapter = self._adapter(outlook)
        if self.equals:
            flops = outlook.spent_by(self.equals)
            return max(1, outlook.pricer.affordable(flops, window, adapter))
        kept = sum(stage.set_aside(outlook) for stage in (self, *self.later))
        share = (outlook.left_flops - kept) * recipe.final_share
        return min(outlook.pricer.affordable(share, window, adapter), recipe.max_final_steps)

    def _training(self, outlook: Outlook, steps: int) -> Training:
        recipe, settings = outlook.recipe, outlook.settings
        own = recipe.training.learning_rate
        rate = settings.rival_rates.get(self.name, own) if self.adapter else settings.learning_rate
        return Training(
            StageId(self.name),
            self._adapter(outlook),
            recipe.dials(steps, rate),
            settings.window,
            self.random_start,
        )

    def price(self, outlook: Outlook) -> list[PlannedStage]:
        """The training and its calibration."""
        steps = self._affordable(outlook)
        planned = self._training(outlook, max(1, steps)).price(outlook.pricer)
        if steps < 1:  # the study refuses to begin it: what it would have to find for one step
            flops = planned.flops / outlook.recipe.final_share
            planned = PlannedStage(self.name, "train", 1, flops, planned.fixed_flops)
        calibration = outlook.pricer.calibration(f"calibrate_{self.name}", self._adapter(outlook))
        return [planned, calibration]

    def set_aside(self, outlook: Outlook) -> float:
        """Its calibration; its training is paid from what the share leaves."""
        adapter = outlook.recipe.adapter_at(outlook.settings.rank)
        return outlook.pricer.calibration("", adapter).flops

    def run(self, run: Run, found: Findings) -> None:
        """Train, calibrate and save."""
        outlook = Outlook.of(run, found)

        def affordable() -> int:
            steps = self._affordable(outlook)
            if steps < 1:
                raise BudgetExceeded(
                    f"{run.ledger.remaining_flops:.3g} FLOPs are left, and the forecasts that "
                    "judge the final model and the search of its rivals need most of them; "
                    "raise --budget and run again"
                )
            return steps

        training = self._training(outlook, run.decided(self.name, affordable))
        keep = Keep(run.adapter(self.name), lambda *trained: self._save(run, *trained))
        found.trained[training.name] = train(run, training, keep)

    def _save(self, run: Run, engine: Engine, steps: int, flops: float) -> None:
        self._calibrate(run, engine)
        mlp = run.workspace.out / MLP_FILE
        engine.save(
            run.adapter(self.name),
            context_steps=run.recipe.context,
            n_channels=run.data.train.n_channels,
            training={
                "stage": self.name,
                "steps": steps,
                "flops": flops,
                "seed": run.recipe.seed,
                "data_sha256": run.data.info.sha256,
                "seen": run.data.seen,
            },
            extra_files={MLP_FILE: mlp} if mlp.exists() and not self.adapter else None,
        )

    def _calibrate(self, run: Run, engine: Engine) -> None:
        """Measure the widths of bands on the series kept back, as stage `calibrate_NAME`."""
        if run.data.calibration is None:
            return
        recipe, name = run.recipe, f"calibrate_{self.name}"
        run.progress.stage(name, None)
        engine.backbone.model.eval()
        calibrate_spread(
            engine,
            run.data.calibration.values,
            recipe.context,
            recipe.horizon,
            samples=CALIBRATION_SAMPLES,
            seed=recipe.seed,
            ledger=run.ledger,
            stage=name,
        )

    def report(self, run: Run, found: Findings) -> Contribution:
        """Its line and its curve; of the adapter the norms of its gradients too."""
        del run
        told = trainings_report(found, self.name)
        final = found.trained.get(StageId(self.name))
        if final is None or not final.grad_norms or self.adapter:
            return told
        steps = tuple(record.step for record in final.history)
        norms = {name: v for name, v in final.grad_norms.items() if len(v) == len(steps)}
        shown = GradientNorms(stage=self.name, steps=steps, norms=norms)
        page = told.page.model_copy(update={"gradient_norms": (shown,)})
        return replace(told, page=page)
