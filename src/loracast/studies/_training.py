"""One training of a study: priced, run or read, and judged on forecasts of validation series.

It knows how a training is begun, gone on with and measured; which trainings there are and what is
chosen by them is the stages' business.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loracast.adapters import AdapterConfig, check_adapter, lora_parameters
from loracast.errors import AdapterError, BudgetExceeded, DamageWarning
from loracast.flops import PlannedStage
from loracast.forecasting import Engine
from loracast.studies._facts import StageId, TrainingConfig, TrainingFacts
from loracast.studies._pricing import Pricer
from loracast.studies._report_data import LossCurve, LossPoint, ReportData
from loracast.studies._schema import StageResult
from loracast.studies._stage import Contribution
from loracast.studies._state import Findings, Run
from loracast.studies._validation import validation_forecasts
from loracast.training import Progress, TrainConfig

__all__ = ["FULL", "Keep", "Training", "train", "trainings_report"]

FULL = AdapterConfig(method="full")


@dataclass(frozen=True)
class Training:
    """What is trained, how, and on windows of how many time steps."""

    name: StageId
    adapter: AdapterConfig
    dials: TrainConfig
    window: int
    random_start: bool = False

    def price(self, pricer: Pricer) -> PlannedStage:
        """What it will cost; a repeat, which differs in its seed, costs what the first does."""
        dials = self.dials.model_copy(update={"seed": pricer.recipe.seed})
        return pricer.train(str(self.name), dials, self.window, self.adapter)


@dataclass(frozen=True)
class Keep:
    """A trained model that is kept.

    Args:
        folder: where it is saved.
        save: saves it, before its training is marked as done.
    """

    folder: Path
    save: Callable[[Engine, int, float], None]


def train(run: Run, training: Training, keep: Keep | None = None) -> TrainingFacts:
    """Run one training, or read that it has run.

    A finished one whose adapter is lost or damaged is gone on with from its checkpoints.

    Args:
        run: the study.
        training: what to train.
        keep: what is done with the model; `save` gets it, its steps and their FLOPs.

    Raises:
        BudgetExceeded: not one more step fits; checkpoints stay and the training is not done.
        StorageError: lost work does not fit into the budget a second time.

    Warns:
        DamageWarning: an adapter or checkpoints are lost or damaged.
    """
    name, dials = str(training.name), training.dials
    done = run.workspace.done(name, TrainingFacts)
    if done is not None and (keep is None or _whole(keep.folder, name)):
        return done
    engine = Engine.open(
        run.recipe.model,
        run.codec,
        random_start=dials.seed if training.random_start else None,
    )
    engine.model.attach(training.adapter, dials.seed)
    planned = run.pricer.train(name, dials, training.window, training.adapter).flops
    run.progress.stage(name, dials.steps)

    def tell(p: Progress) -> None:
        run.progress.advance(
            1, f"loss {p.loss:.3f}  {p.tokens_per_second:,.0f} tok/s  left {p.remaining_flops:.2e}"
        )

    result = engine.fit(
        run.data.train,
        run.pricer.validation,
        run.recipe.windows(training.window),
        dials,
        ledger=run.ledger,
        stage=name,
        folder=run.workspace.folder(name) / "checkpoints",
        progress=tell,
    )
    if result.stopped == "budget":
        raise BudgetExceeded(
            f"the budget ended in stage {name!r} after {result.steps} of {dials.steps} steps; "
            "what was done is kept: raise --budget and run again"
        )
    started = time.monotonic()
    val_mae, forecast_flops = _validation_mae(run, name, engine)
    facts = TrainingFacts.model_validate(
        {
            "config": TrainingConfig(
                adapter=training.adapter,
                training=dials,
                window_steps=training.window,
                precision=result.precision,
                planned_flops=planned,
            ),
            "steps": result.steps,
            "train_loss": result.history[-1]["train_loss"] if result.history else None,
            "val_loss": result.best_val_loss,
            "val_mae": val_mae,
            "best_step": result.best_step,
            "flops": result.flops + forecast_flops,
            "seconds": result.seconds + time.monotonic() - started,
            "history": result.history,
            "validations": result.validations,
            "grad_norms": result.grad_norms,
            "n_trainable": sum(p.numel() for p in lora_parameters(engine.backbone.model).values()),
        }
    )
    if keep is not None:
        keep.save(engine, result.steps, result.flops)
    return run.workspace.finish(name, facts)


def _whole(folder: Path, stage: str) -> bool:
    """Whether a finished stage's adapter is as it was written; says aloud where it is not."""
    try:
        check_adapter(folder)
    except AdapterError as error:
        warnings.warn(
            f"{error}; stage {stage!r} is gone on with from its checkpoints, to write it again",
            DamageWarning,
            stacklevel=3,
        )
        return False
    return True


def _validation_mae(run: Run, stage: str, engine: Engine) -> tuple[float | None, float]:
    """Forecast the validation series with a trained model.

    Returns:
        The mean absolute error of the median path over series, steps and channels, in original
        units; None where the recipe asks for none or the forecasts are no numbers. And the FLOPs,
        which the ledger charges under the stage as kind `validation`.
    """
    chosen, part = validation_forecasts(run.recipe, run.data), run.recipe.validation_forecasts
    if chosen is None or part is None:
        return None, 0.0
    horizon = run.recipe.horizon
    run.progress.stage(f"{stage}, validation", len(chosen.contexts) * part.samples * horizon)
    engine.backbone.model.eval()
    before = run.ledger.charged_flops
    samples = engine.sample(
        chosen.contexts,
        chosen.keys,
        horizon,
        samples=part.samples,
        seed=run.recipe.seed,
        temperature=run.recipe.temperature,
        ledger=run.ledger,
        stage=stage,
        kind="validation",
        progress=run.progress.advance,
        widen=False,  # the median is scored, and it stays where it is
    )
    with np.errstate(over="ignore", invalid="ignore"):
        mae = float(np.nanmean(np.abs(np.median(samples, axis=1) - chosen.truth)))
    spent = run.ledger.charged_flops - before
    return (mae if math.isfinite(mae) else None), spent


def trainings_report(found: Findings, group: str) -> Contribution:
    """The lines and curves of all trainings of a stage."""
    mine = {name: facts for name, facts in found.trained.items() if name.group == group}
    return Contribution(
        stages=tuple(
            StageResult(
                name=str(name),
                config=facts.config.model_dump(mode="json"),
                train_loss=facts.train_loss,
                val_loss=facts.val_loss,
                val_mae=facts.val_mae,
                flops=facts.flops,
                seconds=facts.seconds,
            )
            for name, facts in mine.items()
        ),
        page=ReportData(
            loss_curves=tuple(_curve(name, facts) for name, facts in mine.items() if facts.history)
        ),
    )


def _curve(name: StageId, facts: TrainingFacts) -> LossCurve:
    points: dict[int, dict[str, float]] = {
        h.step: {"train_loss": h.train_loss, "lr": h.lr} for h in facts.history
    }
    for v in facts.validations:
        points.setdefault(v.step, {})["val_loss"] = v.val_loss
    return LossCurve(
        stage=name.group,
        label=name.setting,
        points=tuple(LossPoint(step=step, **points[step]) for step in sorted(points)),
    )
