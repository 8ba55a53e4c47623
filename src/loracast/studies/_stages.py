"""The stages that cost FLOPs: train one adapter, or forecast the evaluated series.

Each is a function of (recipe, data, engine settings); the workspace remembers what is done.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from loracast.adapters import AdapterConfig, check_adapter, lora_parameters
from loracast.errors import AdapterError, BudgetExceeded, DamageWarning
from loracast.forecasting import Engine, calibrate_spread, model_notes
from loracast.studies._pricing import CALIBRATION_SAMPLES, training_flops
from loracast.studies._state import Run
from loracast.studies._validation import validation_forecast_flops, validation_mae
from loracast.training import Progress, TrainConfig

__all__ = [
    "calibration_flops",
    "forecast_stage",
    "train_stage",
]


def train_stage(
    run: Run,
    name: str,
    *,
    adapter: AdapterConfig,
    training: TrainConfig,
    window_steps: int | None = None,
    random_start: bool = False,
    save_to: Path | None = None,
    extra_files: dict[str, Path] | None = None,
) -> dict[str, Any]:
    """Train one adapter, or read that it was trained.

    A finished stage whose adapter is lost or damaged is gone on with from its checkpoints.

    Returns:
        JSON facts: config (with `planned_flops`, priced before it began), train_loss, val_loss,
        val_mae, flops, seconds, status, history, validations, grad_norms, precision, n_trainable.

    Raises:
        BudgetExceeded: not one more step fits; checkpoints stay and the stage is not done.
        StorageError: lost work does not fit into the budget a second time.

    Warns:
        DamageWarning: an adapter or checkpoints are lost or damaged.
    """
    done = run.workspace.done(name)
    if done is not None and (save_to is None or _whole(save_to, name)):
        return done
    engine = run.open(adapter, random_start, training.seed)
    plan = run.plan(window_steps)
    validation = run.validation(engine)
    planned = training_flops(
        engine.model.pricer(run.ledger.convention, training.optimizer),
        validation,
        engine.windows(run.data.train, plan, training.batch_size, training.seed),
        training,
    )
    planned += validation_forecast_flops(run, engine)
    run.progress.stage(name, training.steps)

    def tell(p: Progress) -> None:
        run.progress.advance(
            1, f"loss {p.loss:.3f}  {p.tokens_per_second:,.0f} tok/s  left {p.remaining_flops:.2e}"
        )

    result = engine.fit(
        run.data.train,
        validation,
        plan,
        training,
        ledger=run.ledger,
        stage=name,
        folder=run.workspace.folder(name) / "checkpoints",
        progress=tell,
    )
    if result.stopped == "budget":
        raise BudgetExceeded(
            f"the budget ended in stage {name!r} after {result.steps} of {training.steps} steps; "
            "what was done is kept: raise --budget and run again"
        )
    started = time.monotonic()
    val_mae, forecast_flops = validation_mae(run, name, engine)
    facts = {
        "config": {
            "adapter": adapter.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "window_steps": plan.window_steps,
            "precision": result.precision,
            "planned_flops": planned,
        },
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
    if save_to is not None:
        calibrate(run, name, engine)
        engine.save(
            save_to,
            context_steps=run.recipe.context,
            n_channels=run.data.train.n_channels,
            training={
                "stage": name,
                "steps": result.steps,
                "flops": result.flops,
                "seed": run.recipe.seed,
                "data_sha256": run.data.info.sha256,
                "seen": run.data.seen,
            },
            extra_files=extra_files,
        )
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


def calibrate(run: Run, name: str, engine: Engine) -> None:
    """Measure the widths of bands on the series kept back, as stage `calibrate_NAME`.

    Raises:
        BudgetExceeded: it does not fit.
    """
    if run.data.calibration is None:
        return
    recipe = run.recipe
    run.progress.stage(f"calibrate_{name}", None)
    engine.backbone.model.eval()
    calibrate_spread(
        engine,
        run.data.calibration.values,
        recipe.context,
        recipe.horizon,
        samples=CALIBRATION_SAMPLES,
        seed=recipe.seed,
        ledger=run.ledger,
        stage=f"calibrate_{name}",
    )


def calibration_flops(run: Run, engine: Engine) -> float:
    """What `calibrate` costs."""
    kept = run.data.calibration
    if kept is None or not engine.task.continuous:
        return 0.0
    contexts = [v[: run.recipe.context] for v in kept.values if len(v) > run.recipe.context]
    if not contexts:
        return 0.0
    return engine.forecast_flops(contexts, run.recipe.horizon, CALIBRATION_SAMPLES, widen=False)


def forecast_stage(run: Run, name: str, engine_from: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Forecast the evaluated series, or read the forecast.

    Args:
        run: the study.
        name: of the stage.
        engine_from: a function that gives the engine, called only when there is work to do.

    Returns:
        Samples (N, S, H, C), and JSON facts: config (with `planned_flops`, the most it could
        cost), flops, seconds, note.

    Raises:
        BudgetExceeded: it does not fit.
    """
    done = run.workspace.done(name)
    if done is not None:
        return run.workspace.array(name), done
    engine: Engine = engine_from()
    recipe, data = run.recipe, run.data
    planned = engine.forecast_flops(
        data.contexts, recipe.horizon, recipe.samples, recipe.convention
    )
    run.progress.stage(name, len(data.contexts) * recipe.samples * recipe.horizon)
    started, before = time.monotonic(), run.ledger.charged_flops
    samples = engine.sample(
        data.contexts,
        data.keys,
        recipe.horizon,
        samples=recipe.samples,
        seed=recipe.seed,
        temperature=recipe.temperature,
        ledger=run.ledger,
        stage=name,
        progress=lambda n: run.progress.advance(n),
    )
    run.workspace.save_array(name, samples)
    facts = {
        "config": {"planned_flops": planned},
        "flops": run.ledger.charged_flops - before,
        "seconds": time.monotonic() - started,
        "note": "; ".join(
            model_notes(engine, data.truth.shape[2], len(data.contexts) * recipe.samples)
        ),
    }
    return samples, run.workspace.finish(name, facts)
