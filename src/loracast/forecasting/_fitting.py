"""A fit within a budget: what it affords, where it keeps its state, what it did.

Knows panels, plans and prices; the loop itself is in `training`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loracast.adapters import AdapterConfig, read_sealed, write_sealed
from loracast.errors import BudgetExceeded
from loracast.flops import format_flops
from loracast.forecasting._calibration import calibrate_spread
from loracast.forecasting._engine import Engine, FitPlan, calibrated
from loracast.forecasting._holdout import (
    HoldOut,
    calibration_series,
    hold_out,
    plan_for,
    validation_examples,
)
from loracast.ledger import Ledger
from loracast.model import (
    allowance,
    check_finished,
    claim_folder,
    planned_budget,
    validated,
    work_sha256,
)
from loracast.series import Panel, data_sha256, seen_record
from loracast.training import Example, Machine, Progress, TrainConfig, TrainResult, machine_facts

__all__ = ["FitReport", "run_fit"]

VALIDATIONS = 4  # during a fit
VALIDATION_SHARE = 0.2  # of the budget, at most (assumption)
PRICED_BATCHES = 4
CALIBRATION_SAMPLES = 20  # paths a series


@dataclass(frozen=True)
class FitReport:
    """What a fit did.

    Args:
        training: losses, gradient norms, best step.
        flops: spent on training, validation and calibration, in all runs of this fit.
        repeated_flops: of these, what ran again after an interruption.
        limit_flops: the budget.
        step_flops: what one optimiser step costs.
        n_train: series trained on.
        n_validation: series that the validation loss is taken on.
        held_out: "series", "last steps" or "nothing".
        n_calibration: series that the widths of bands are taken on, none of whose values were
            trained on or chose the checkpoint; 0 where bands stay as sampled.
        plan: which windows.
        config: the dials of the loop.
        data_sha256: of the series' ids and values.
        seconds: of wall time.
        machine: where; the precision is in `training`.
    """

    training: TrainResult
    flops: float
    repeated_flops: float
    limit_flops: float
    step_flops: float
    n_train: int
    n_validation: int
    held_out: str
    plan: FitPlan
    config: TrainConfig
    data_sha256: str
    seconds: float
    machine: Machine
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
    started = time.monotonic()
    held = hold_out(panel, calibrate=engine.task.continuous)
    engine = calibrated(engine, held.train.values)
    plan = plan_for(engine, held.train)
    digest = data_sha256(panel)
    identity = {
        "data_sha256": digest,
        "base_sha256": engine.backbone.base_sha256,
        "codec": engine.codec.config(),
        "adapter": adapter.model_dump(mode="json"),
        "training": dict(training),
        "max_steps": max_steps,
        "budget_flops": budget_flops,
        "seed": seed,
    }
    # A fit that goes on keeps its plan: a larger budget pays for what had to run twice.
    planned = planned_budget(folder, identity)
    engine.model.attach(adapter, seed)
    dials, validation, step_flops = _affordable(
        engine,
        held.train,
        plan,
        validation_examples(engine, held, plan),
        training,
        budget=float(math.ceil(planned)),
        seed=seed,
        max_steps=max_steps,
    )
    # Only now: what could not begin leaves no folder behind.
    claim_folder(folder, identity | {"budget_flops": planned})
    name = work_sha256(identity | {"budget_flops": planned, "folder": str(folder.resolve())}, ())
    with (
        Ledger(folder / "ledger.sqlite", budget_flops) as own,
        allowance(ledger, name, own, "fit"),
    ):
        result = engine.fit(
            held.train,
            validation,
            plan,
            dials,
            ledger=own,
            stage="fit",
            folder=folder / "checkpoints",
            progress=progress,
        )
        check_finished(result, own)
        kept = read_sealed(folder / "spread.json")
        if kept is not None:  # this fit was finished before
            engine.spread = tuple(kept["spread"])
        elif held.calibration is not None and own.remaining_flops > 0:
            _calibrate(engine, held, plan, seed, own)
        write_sealed(folder / "spread.json", {"spread": engine.spread})
        spent, again = own.spent_flops, own.repeated_flops
    # Of what made it: the adapter of a fit that was killed is that of one left alone.
    known: dict[str, Any] = {"data_sha256": digest, "flops": spent - again, "steps": result.steps}
    known |= {"precision": result.precision, "machine": machine_facts()}
    known["seen"] = seen_record(panel)  # for a backtest, which must not score these
    engine.save(
        folder / "adapter",
        context_steps=plan.context_steps,
        n_channels=panel.n_channels,
        training=known | {"best_val_loss": result.best_val_loss, "seed": seed} | dict(facts),
    )
    # Merged, as `load` does it: a loaded forecaster then gives the very same samples.
    if adapter.method == "lora":
        engine.backbone.model = engine.backbone.model.merge_and_unload()
        engine.backbone.model.eval()
        engine.model.lora = None
    report = FitReport(
        training=result,
        flops=spent,
        repeated_flops=again,
        limit_flops=budget_flops,
        step_flops=step_flops,
        n_train=len(held.train),
        n_validation=len(validation),
        held_out=held.kind if validation else "nothing",
        plan=plan,
        config=dials,
        data_sha256=digest,
        seconds=time.monotonic() - started,
        machine=machine_facts(),
        n_calibration=0 if held.calibration is None or not engine.spread else len(held.calibration),
    )
    return engine, report


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


def _affordable(
    engine: Engine,
    train: Panel,
    plan: FitPlan,
    validation: list[Example],
    overrides: Mapping[str, Any],
    *,
    budget: float,
    seed: int,
    max_steps: int,
) -> tuple[TrainConfig, list[Example], float]:
    """How many optimiser steps the budget holds, and how much validation beside them.

    Args:
        engine: the model with its adapter attached.
        train: series to train on.
        plan: which windows.
        validation: examples; fewer are kept where they would cost too much.
        overrides: dials that the caller chose; `steps` is an upper bound.
        budget: FLOPs.
        seed: of order and dropout.
        max_steps: the most steps, whatever the budget.

    Returns:
        The dials, the validation examples kept, and FLOPs per step.

    Raises:
        BudgetExceeded: not one step fits.
        ConfigError: a dial that does not exist or cannot have that value.
    """
    wanted = validated(TrainConfig, {"steps": max_steps, "seed": seed} | dict(overrides))
    if "batch_size" not in overrides:
        n_windows = len(engine.windows(train, plan, 1, wanted.seed))
        wanted = wanted.model_copy(update={"batch_size": min(wanted.batch_size, n_windows)})
    source = engine.windows(train, plan, wanted.batch_size, wanted.seed)
    pricer = engine.model.pricer(optimizer=wanted.optimizer)
    step = max(pricer.step_flops(source.batch(i)) for i in range(PRICED_BATCHES))
    if step > budget:
        raise BudgetExceeded(
            f"one training step costs {format_flops(step)}, but the budget is "
            f"{format_flops(budget)}; give at least {step:.2e} (--budget), or a smaller batch"
        )

    times = VALIDATIONS
    while validation and times * pricer.validation_flops(validation) > VALIDATION_SHARE * budget:
        if len(validation) > 1:
            validation = validation[: (len(validation) + 1) // 2]
        elif times > 1:
            times = 1
        else:
            validation = []
    spare = budget - times * pricer.validation_flops(validation) if validation else budget
    steps = min(wanted.steps, max_steps, int(spare / step))
    if steps < 1:
        validation, steps = [], 1
    update: dict[str, Any] = {"steps": steps}
    if "eval_every" not in overrides:
        update["eval_every"] = math.ceil(steps / times)
    if "checkpoint_every" not in overrides:
        update["checkpoint_every"] = min(wanted.checkpoint_every, math.ceil(steps / VALIDATIONS))
    if "warmup_steps" not in overrides:
        update["warmup_steps"] = min(wanted.warmup_steps, steps // 5)
    if "log_every" not in overrides:
        update["log_every"] = max(1, min(wanted.log_every, steps // 10))
    return wanted.model_copy(update=update), validation, step
