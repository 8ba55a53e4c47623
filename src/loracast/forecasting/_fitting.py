"""A forecaster's fit: what it trains on, what it holds back, and how its bands are calibrated.

Knows panels and plans; steps, folders and ledgers are `fit_within_budget`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loracast.adapters import AdapterConfig
from loracast.errors import BudgetExceeded
from loracast.forecasting._calibration import calibrate_spread
from loracast.forecasting._engine import Engine, FitPlan, scaled_for
from loracast.forecasting._holdout import (
    HoldOut,
    calibration_series,
    hold_out,
    plan_for,
    validation_examples,
)
from loracast.ledger import Ledger
from loracast.model import BudgetShares, FitRecord, fit_within_budget, kept_once, validated
from loracast.series import Panel, data_sha256, seen_record
from loracast.training import Progress, TrainConfig, TrainResult, machine_facts

__all__ = ["FitReport", "run_fit"]

# The dearest of the first batches bounds the others; a share of 0.2 is an assumption.
SHARES = BudgetShares(
    validations=4, priced_batches=4, price=max, validation_share=0.2, checkpoints=4
)
CALIBRATION_SAMPLES = 20  # paths a series


@dataclass(frozen=True, kw_only=True)
class FitReport(FitRecord):
    """What the fit of a forecaster did, beside what every `FitRecord` holds.

    Args:
        n_train: series trained on.
        n_validation: series that the validation loss is taken on.
        held_out: "series", "last steps" or "nothing".
        n_calibration: series that the widths of bands are taken on, none of whose values were
            trained on or chose the checkpoint; 0 where bands stay as sampled.
        plan: which windows.
        data_sha256: of the series' ids and values.
    """

    n_train: int
    n_validation: int
    held_out: str
    plan: FitPlan
    data_sha256: str
    n_calibration: int = 0


def run_fit(
    engine: Engine,
    panel: Panel,
    *,
    budget_flops: float,
    adapter: AdapterConfig,
    training: Mapping[str, Any],
    max_steps: int,
    seed: int,
    folder: Path,
    facts: Mapping[str, Any],
    ledger: Ledger | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Engine, FitReport]:
    """Adapt a bare base to a panel and save the adapter in `folder/adapter`.

    Args:
        engine: a base without an adapter; its weights are changed.
        panel: N series of at least two steps.
        budget_flops: for training and validation.
        adapter: how the model is adapted.
        training: dials of `TrainConfig` that the caller chose.
        max_steps: the most steps, whatever the budget.
        seed: of weights and order.
        folder: for ledger, checkpoints and adapter; the same fit may come back to it.
        facts: written into the adapter's manifest.
        ledger: that grants the budget and is charged what was used of it, beside the fit's own.
        progress: called after every step.

    Returns:
        The engine with the adapter merged, as `Engine.load` gives it, and the report.

    Raises:
        BudgetExceeded: not one step fits, or not all of them, after work that ran twice.
        ConfigError, DataError, StorageError: see `Forecaster.fit`.
    """
    held = hold_out(panel, calibrate=engine.task.widens)
    engine = scaled_for(engine, held.train.values)
    plan = plan_for(engine, held.train)
    digest = data_sha256(panel)
    wanted = validated(TrainConfig, {"steps": max_steps, "seed": seed} | dict(training))
    wanted = wanted.model_copy(update={"steps": min(wanted.steps, max_steps)})
    if "batch_size" not in training:
        n_windows = len(engine.windows(held.train, plan, 1, wanted.seed))
        wanted = wanted.model_copy(update={"batch_size": min(wanted.batch_size, n_windows)})

    def finish(own: Ledger) -> None:
        def spread() -> dict[str, Any]:
            if held.calibration is not None and own.remaining_flops > 0:
                _calibrate(engine, held, plan, seed, own)
            return {"spread": engine.spread}

        engine.spread = tuple(kept_once(folder / "spread.json", spread)["spread"])

    def save(result: TrainResult, flops: float) -> None:
        known: dict[str, Any] = {"data_sha256": digest, "flops": flops, "steps": result.steps}
        known |= {"precision": result.precision, "machine": machine_facts()}
        known["seen"] = seen_record(panel)  # for a backtest, which must not score these
        known |= {"best_val_loss": result.best_val_loss, "seed": seed} | dict(facts)
        engine.save(
            folder / "adapter",
            context_steps=plan.context_steps,
            n_channels=panel.n_channels,
            training=known,
        )

    record = fit_within_budget(
        engine.model,
        engine.windows(held.train, plan, wanted.batch_size, wanted.seed),
        validation_examples(engine, held, plan),
        budget_flops=budget_flops,
        shares=SHARES,
        adapter=adapter,
        wanted=wanted,
        chosen=training,
        seed=seed,
        facts={"data_sha256": digest, "codec": engine.codec.config(), "max_steps": max_steps},
        folder=folder,
        name="fit",
        finish=finish,
        save=save,
        ledger=ledger,
        progress=progress,
    )
    return engine, FitReport(
        **vars(record),
        n_train=len(held.train),
        n_validation=record.n_examples,
        held_out=held.kind if record.n_examples else "nothing",
        plan=plan,
        data_sha256=digest,
        n_calibration=0 if held.calibration is None or not engine.spread else len(held.calibration),
    )


def _calibrate(engine: Engine, held: HoldOut, plan: FitPlan, seed: int, ledger: Ledger) -> None:
    """Widths of bands from what was held out, as far as the rest of the budget goes."""
    series, contexts, horizon = calibration_series(engine, held, plan)
    try:
        calibrate_spread(
            engine,
            series,
            contexts,
            horizon,
            samples=CALIBRATION_SAMPLES,
            seed=seed,
            ledger=ledger,
            stage="fit",
        )
    except BudgetExceeded:
        return  # the bands stay as sampled; the manifest's empty spread says so
