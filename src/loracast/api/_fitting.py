"""A fit within a budget: what it affords, where it keeps its state, what it did.

Knows panels, plans and prices; the loop itself is in `training`.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from loracast.adapters import AdapterConfig, read_sealed, write_sealed
from loracast.api._calibration import calibrate_spread
from loracast.api._engine import Engine, FitPlan
from loracast.api._holdout import (
    HoldOut,
    calibration_series,
    hold_out,
    plan_for,
    validation_examples,
)
from loracast.api._inputs import calibrated
from loracast.api._spending import allowance, work_sha256
from loracast.errors import BudgetExceeded, ConfigError, StorageError
from loracast.flops import Ledger, format_flops
from loracast.series import Panel, seen_record
from loracast.tasks import Example
from loracast.training import Machine, Progress, TrainConfig, TrainResult, machine_facts

__all__ = ["FitReport", "data_sha256", "run_fit", "validated"]

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
    engine.attach(adapter, seed)
    with (
        tempfile.TemporaryDirectory(prefix="loracast-") as scratch,
        Ledger(Path(scratch) / "ledger.sqlite", planned) as untouched,
    ):
        dials, validation, step_flops = _affordable(
            engine,
            held.train,
            plan,
            validation_examples(engine, held, plan),
            training,
            ledger=untouched,
            stage="fit",
            seed=seed,
            max_steps=max_steps,
        )
    # Only now: what could not begin leaves no folder behind.
    _claim_folder(folder, identity | {"budget_flops": planned})
    name = work_sha256(identity | {"budget_flops": planned, "folder": str(folder.resolve())}, ())
    with (
        Ledger(folder / "ledger.sqlite", budget_flops) as own,
        allowance(ledger, f"fit/{name}", own, "fit"),
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
        engine.lora = None
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
    ledger: Ledger,
    stage: str,
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
        ledger: an untouched one, so that a resumed fit plans as the first one did.
        stage: its name there.
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
    meter = engine.meter(ledger, stage, optimizer=wanted.optimizer)
    step = max(meter.step_flops(source.batch(i)) for i in range(PRICED_BATCHES))
    budget = ledger.remaining_flops
    if step > budget:
        raise BudgetExceeded(
            f"one training step costs {format_flops(step)}, but the budget is "
            f"{format_flops(budget)}; give at least {step:.2e} (--budget), or a smaller batch"
        )

    def price(rows: list[Example]) -> float:
        return engine.meter(ledger, stage, rows).validation_flops

    times = VALIDATIONS
    while validation and times * price(validation) > VALIDATION_SHARE * budget:
        if len(validation) > 1:
            validation = validation[: (len(validation) + 1) // 2]
        elif times > 1:
            times = 1
        else:
            validation = []
    spare = budget - times * price(validation) if validation else budget
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


def data_sha256(panel: Panel) -> str:
    """Of the ids, channels and values of a panel, as they are in memory."""
    digest = hashlib.sha256(json.dumps([list(map(str, panel.ids)), panel.channels]).encode())
    for values in panel.values:
        digest.update(str(values.shape).encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def check_finished(result: TrainResult, ledger: Ledger) -> None:
    """Refuse a training that was cut short because some of it had to run twice.

    A fit plans its steps for its budget, so that is all that can cut it.

    Raises:
        BudgetExceeded: it was.
    """
    again = ledger.repeated_flops
    if result.stopped == "budget" and again:
        raise BudgetExceeded(
            f"{format_flops(again)} of the budget went into work that ran again after an "
            f"interruption, and step {result.steps + 1} does not fit any more; the same command "
            f"with a budget of {ledger.limit_flops + 1.1 * again:.2e} (--budget) goes on and ends "
            "with the adapter that was planned"
        )


def planned_budget(folder: Path, identity: Mapping[str, Any]) -> float:
    """The budget that the steps of a fit are planned for: that of its first run in this folder."""
    try:
        found = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        begun = float(found["budget_flops"])
    except (OSError, ValueError, KeyError, TypeError):
        return float(identity["budget_flops"])
    same = {**found, "budget_flops": None} == {**identity, "budget_flops": None}
    given = float(identity["budget_flops"])
    return begun if same and begun <= given else given


def _claim_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Take a folder for one fit; the same fit may come back to it, another one may not.

    Args:
        folder: created where it does not exist.
        identity: JSON facts that decide the result.

    Raises:
        StorageError: it cannot be written, or belongs to another fit.
    """
    path = folder / "fit.json"
    text = json.dumps(identity, indent=1, sort_keys=True) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if path.read_text(encoding="utf-8") != text:
                raise StorageError(
                    f"{folder} holds a fit with other data or settings; choose another folder, "
                    "or remove it"
                )
            return
        temporary = path.with_name(".fit.json.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise StorageError(f"{folder} cannot be used for a fit: {reason}") from error


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """A pydantic model, or one line that says what does not fit.

    Raises:
        ConfigError: unknown field or impossible value.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or model.__name__
        got = "" if first["type"] == "missing" else f" (got {first['input']!r})"
        known = ", ".join(model.model_fields)
        hint = f"; known are {known}" if first["type"] == "extra_forbidden" else ""
        message = " ".join(first["msg"].split())
        raise ConfigError(f"{model.__name__}.{where}: {message}{got}{hint}") from error
