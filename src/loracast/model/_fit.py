"""A fit within a budget: what it affords, where it keeps its state, what it did.

Knows prices, folders and ledgers; neither series nor what a batch is made of. The loop itself is
in `training`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loracast.adapters import AdapterConfig, read_sealed, write_sealed
from loracast.errors import BudgetExceeded, LoracastError
from loracast.flops import format_flops
from loracast.ledger import Ledger
from loracast.model._adapted import AdaptedModel
from loracast.model._fit_folder import check_finished, claim_folder, planned_budget
from loracast.model._spending import allowance, work_sha256
from loracast.training import (
    BatchSource,
    Example,
    Machine,
    Progress,
    TrainConfig,
    TrainResult,
    machine_facts,
)

__all__ = ["BudgetShares", "FitRecord", "affordable", "fit_within_budget", "kept_once"]

STAGE = "fit"  # in the fit's own ledger


@dataclass(frozen=True)
class BudgetShares:
    """How a fit divides its budget.

    Args:
        validations: during the fit.
        priced_batches: how many of the first batches are priced.
        price: a step's price from theirs, `max` where all of them bound it.
        validation_share: of the budget, what the validations may cost; examples are dropped, in
            the end all of them, until they cost no more. None keeps them all, and a budget that
            they leave no step of is refused.
        checkpoints: during the fit, at least; None leaves the dial as it is.
    """

    validations: int
    priced_batches: int
    price: Callable[[Sequence[float]], float]
    validation_share: float | None = None
    checkpoints: int | None = None


@dataclass(frozen=True, kw_only=True)
class FitRecord:
    """What a fit did, whatever was fitted.

    Args:
        training: losses, gradient norms, best step.
        flops: spent on training, validation and calibration, in all runs of this fit.
        repeated_flops: of these, what ran again after an interruption.
        limit_flops: the budget.
        step_flops: what one optimiser step costs.
        config: the dials of the loop.
        n_examples: of the validation loss.
        seconds: of wall time.
        machine: where; the precision is in `training`.
    """

    training: TrainResult
    flops: float
    repeated_flops: float
    limit_flops: float
    step_flops: float
    config: TrainConfig
    n_examples: int
    seconds: float
    machine: Machine


def affordable(
    model: AdaptedModel,
    source: BatchSource,
    validation: Sequence[Example],
    wanted: TrainConfig,
    chosen: Mapping[str, Any],
    budget_flops: float,
    shares: BudgetShares,
    beside_flops: float = 0.0,
) -> tuple[TrainConfig, list[Example], float]:
    """How many optimiser steps a budget holds, and how much validation beside them.

    Args:
        model: with its adapter attached.
        source: batches by step.
        validation: examples; fewer are kept where the shares say so.
        wanted: the dials; `steps` is an upper bound.
        chosen: of these, the ones that the caller chose and that stay.
        budget_flops: of the whole fit.
        shares: how it is divided.
        beside_flops: of work that the fit ends with.

    Returns:
        The dials, the validation examples kept, and FLOPs a step.

    Raises:
        BudgetExceeded: not one step fits.
    """
    budget = float(math.ceil(budget_flops))
    pricer = model.pricer(optimizer=wanted.optimizer)
    batches = range(shares.priced_batches)
    step = float(shares.price([pricer.step_flops(source.batch(i)) for i in batches]))
    validation, times = list(validation), shares.validations
    most = math.inf if shares.validation_share is None else shares.validation_share * budget
    while validation and times * pricer.validation_flops(validation) > most:
        if len(validation) > 1:
            validation = validation[: (len(validation) + 1) // 2]
        elif times > 1:
            times = 1
        else:
            validation = []
    beside = beside_flops + times * pricer.validation_flops(validation)
    steps = min(wanted.steps, int((budget - beside) / step))
    if steps < 1 and shares.validation_share is not None:  # without them, perhaps
        validation, beside, steps = [], beside_flops, int((budget - beside_flops) / step >= 1)
    if steps < 1:
        also = f" and validation with calibration {format_flops(beside)}" if beside else ""
        raise BudgetExceeded(
            f"one training step costs {format_flops(step)}{also}, but the budget is "
            f"{format_flops(budget)}; give at least {step + beside:.2e} (--budget), or a smaller "
            "batch"
        )
    fitting = {
        "eval_every": math.ceil(steps / times),
        "warmup_steps": min(wanted.warmup_steps, steps // 5),
        "log_every": max(1, min(wanted.log_every, steps // 10)),
    }
    if shares.checkpoints is not None:
        every = math.ceil(steps / shares.checkpoints)
        fitting["checkpoint_every"] = min(wanted.checkpoint_every, every)
    update = {name: value for name, value in fitting.items() if name not in chosen}
    return wanted.model_copy(update=update | {"steps": steps}), validation, step


def fit_within_budget(
    model: AdaptedModel,
    source: BatchSource,
    validation: Sequence[Example],
    *,
    budget_flops: float,
    shares: BudgetShares,
    adapter: AdapterConfig,
    wanted: TrainConfig,
    chosen: Mapping[str, Any],
    seed: int,
    facts: Mapping[str, Any],
    folder: Path,
    name: str,
    finish: Callable[[Ledger], None],
    save: Callable[[TrainResult, float], None],
    beside_flops: Callable[[], float] = lambda: 0.0,
    ledger: Ledger | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> FitRecord:
    """Train an adapter for as many steps as a budget holds, and save it in `folder/adapter`.

    Args:
        model: a bare base, or one whose adapter is trained further; merged afterwards. What a
            budget refuses before it begins leaves a base bare.
        source: batches by step.
        validation: examples of the loss that chooses the checkpoint.
        budget_flops: for training, validation and what `finish` does.
        shares: how it is divided.
        adapter: how a base is adapted; a model that is adapted already keeps its own.
        wanted: the dials; `steps` is an upper bound.
        chosen: the dials that the caller chose.
        seed: of the adapter's first weights.
        facts: JSON facts that, beside those known here, decide the result.
        folder: for ledger, checkpoints and adapter; the same fit may come back to it.
        name: what such fits are called in the caller's ledger.
        finish: what follows the training, charged to the ledger it is given.
        save: writes the adapter, given the training and the FLOPs of what made it.
        beside_flops: the most that `finish` can cost, asked once the adapter is on.
        ledger: that grants the budget and is charged what was used of it, beside the fit's own.
        progress: called after every step.

    Raises:
        BudgetExceeded: not one step fits, or not all of them, after work that ran twice; or the
            ledger does not hold the budget.
        StorageError: the folder cannot be written, or belongs to another fit.
    """
    started = time.monotonic()
    bare = model.adapter is None
    known = {
        "base_sha256": model.backbone.base_sha256,
        "adapter": (model.adapter or adapter).model_dump(mode="json"),
        "training": dict(chosen),
        "budget_flops": budget_flops,
        "seed": seed,
    }
    identity = json.loads(json.dumps(known | dict(facts)))
    # A fit that goes on keeps its plan: a larger budget pays for what had to run twice.
    planned = planned_budget(folder, identity)
    if bare:
        model.attach(adapter, seed)
    try:
        config, examples, step_flops = affordable(
            model, source, validation, wanted, chosen, planned, shares, beside_flops()
        )
        # Only now: what could not begin leaves no folder behind.
        claim_folder(folder, identity | {"budget_flops": planned})
    except LoracastError:
        if bare:
            model.detach()
        raise
    this = work_sha256(identity | {"budget_flops": planned, "folder": str(folder.resolve())}, ())
    with (
        Ledger(folder / "ledger.sqlite", budget_flops) as own,
        allowance(ledger, this, own, name),
    ):
        result = model.train(
            source,
            config,
            ledger=own,
            stage=STAGE,
            folder=folder / "checkpoints",
            validation=examples,
            progress=progress,
        )
        check_finished(result, own)
        finish(own)
        spent, again = own.spent_flops, own.repeated_flops
    # Of what made it: the adapter of a fit that was killed is that of one left alone.
    save(result, spent - again)
    model.merge()  # as `load` does it: what is loaded then says the very same
    return FitRecord(
        training=result,
        flops=spent,
        repeated_flops=again,
        limit_flops=budget_flops,
        step_flops=step_flops,
        config=config,
        n_examples=len(examples),
        seconds=time.monotonic() - started,
        machine=machine_facts(),
    )


def kept_once(path: Path, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a finished fit left in a sealed file, or what is made now and kept there."""
    kept = read_sealed(path)
    if kept is None:
        kept = dict(make())
        write_sealed(path, kept)
    return kept
