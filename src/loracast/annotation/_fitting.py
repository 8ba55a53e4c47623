"""Fitting an annotator within a budget: steps that it affords, validation, calibration.

Knows an engine, labelled series and prices; the loop itself is in `training`.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loracast.adapters import AdapterConfig, lora_parameters, read_sealed, write_sealed
from loracast.annotation._confidence import fit_scales, fit_temperatures
from loracast.annotation._described import describe_chunk
from loracast.annotation._engine import AnnotationEngine, Answer
from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import LIST_FIELDS
from loracast.annotation._rows import (
    POOL,
    DescribedRows,
    DescribedStream,
    LabelledSeries,
    labelled_examples,
    shortened,
    tells,
)
from loracast.annotation._score_lists import is_right
from loracast.decoding import plan_guided
from loracast.errors import AnnotationError, BudgetExceeded, LoracastError
from loracast.flops import format_flops
from loracast.ledger import Ledger
from loracast.model import (
    allowance,
    check_finished,
    claim_folder,
    planned_budget,
    validated,
    work_sha256,
)
from loracast.training import (
    BatchSource,
    Example,
    Machine,
    Progress,
    TrainConfig,
    TrainResult,
    machine_facts,
    train,
)

__all__ = ["AnnotatorReport", "fit_annotator", "generated_rows", "most_steps"]

# Seeds of generated series: each kind has its own million.
TRAIN_SEEDS, VALIDATION_SEEDS = 1_000_000, 2_000_000
VALIDATION_ROWS = 96  # of the loss
VALIDATIONS = 2
HELD_OUT = 10  # of rows, one in so many is for validation, once there are 200
LEAST_TO_HOLD_OUT = 200
# At equal series small batches learned better (docs/log.md).
BATCH_SIZE = 8
LEARNING_RATE = {"lora": 8e-4, "full": 1e-3}
ROWS_LEARNING_RATE = {"lora": 5e-4, "full": 2e-4}  # a few rows seen many times
ROWS_BATCH_SIZE = 8
MOST_STEPS, PASSES = 20_000, 8


@dataclass(frozen=True)
class AnnotatorReport:
    """What a fit did.

    Args:
        training: losses, gradient norms, best step.
        flops: spent on training, validation and calibration, in all runs of this fit.
        repeated_flops: of these, what ran again after an interruption.
        limit_flops: the budget.
        config: the dials of the loop.
        n_train: rows trained on; None for the generated stream.
        n_validation: rows that the temperatures were fitted on.
        temperatures: by label field.
        seconds: of wall time.
        machine: where; the precision is in `training`.
    """

    training: TrainResult
    flops: float
    repeated_flops: float
    limit_flops: float
    config: TrainConfig
    n_train: int | None
    n_validation: int
    temperatures: dict[str, float]
    seconds: float
    machine: Machine


def most_steps(n_rows: int | None) -> int:
    """Steps where nobody said how many: 8 passes over N rows, 20,000 of the stream (None)."""
    return MOST_STEPS if n_rows is None else max(1, PASSES * n_rows // ROWS_BATCH_SIZE)


def generated_rows(seed: int, n: int, lengths: tuple[int, int]) -> list[Any]:
    """N described series of a validation stream, never shown in training."""
    return list(describe_chunk(VALIDATION_SEEDS + seed, 0, n, lengths=lengths))


def fit_annotator(
    engine: AnnotationEngine,
    rows: Sequence[LabelledSeries] | None,
    *,
    budget_flops: float,
    adapter: AdapterConfig,
    training: Mapping[str, Any],
    max_steps: int,
    seed: int,
    lengths: tuple[int, int],
    calibration: int,
    folder: Path,
    ledger: Ledger | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> AnnotatorReport:
    """Train an engine, calibrate it and save the adapter in `folder/adapter`.

    Args:
        engine: a base, or one whose adapter is trained further; merged afterwards.
        rows: labelled series; None trains on the endless generated stream.
        budget_flops: for training, validation and calibration.
        adapter: how a base is adapted; an engine that is adapted already keeps its own.
        training: dials of `TrainConfig` that the caller chose.
        max_steps: the most steps, whatever the budget.
        seed: of weights, order and generated series.
        lengths: of generated series.
        calibration: generated series held out, where the stream is trained on.
        folder: for ledger, checkpoints and adapter; the same fit may come back to it.
        ledger: that grants the budget and is charged what was used of it, beside the fit's own.
        progress: called after every step.

    Raises:
        BudgetExceeded: not one step fits, or not all of them, after work that ran twice.
        AnnotationError, ConfigError, StorageError: see `Annotator.fit`.
    """
    started = time.monotonic()
    train_rows, held = _divided(rows, seed, lengths, calibration)
    learned = None if engine.adapter is None else _weights_sha256(engine)
    points = engine.settings.max_points
    examples = labelled_examples(engine.task, held[:VALIDATION_ROWS], points)
    if learned is None:
        engine.attach(adapter, seed)
    identity = json.loads(
        json.dumps(
            {
                "data": "generated" if train_rows is None else _sha256(train_rows),
                "base_sha256": engine.backbone.base_sha256,
                "settings": engine.settings.model_dump(mode="json"),
                "adapter": None
                if engine.adapter is None
                else engine.adapter.model_dump(mode="json"),
                "learned_sha256": learned,
                "training": dict(training),
                "max_steps": max_steps,
                "budget_flops": budget_flops,
                "seed": seed,
                "lengths": list(lengths),
                "calibration": calibration,
            }
        )
    )
    planned = planned_budget(folder, identity)
    try:
        config, source = _dials(engine, train_rows, training, max_steps, seed, lengths)
        config = _affordable(engine, config, source, examples, planned, len(held), training)
    except LoracastError:
        if learned is None:
            engine.detach()
        raise
    claim_folder(folder, identity | {"budget_flops": planned})
    name = work_sha256(identity | {"budget_flops": planned, "folder": str(folder.resolve())}, ())
    with (
        Ledger(folder / "ledger.sqlite", budget_flops) as own,
        allowance(ledger, f"annotations/{name}", own, "annotations"),
    ):
        result = train(
            engine.backbone.model,
            source,
            config,
            meter=engine.meter(own, "fit", examples, optimizer=config.optimizer),
            folder=folder / "checkpoints",
            validation=examples,
            progress=progress,
        )
        check_finished(result, own)
        if held:
            _calibrate(engine, held, own, folder / "calibration.json")
        temperatures = dict(engine.settings.temperatures)
        spent, again = own.spent_flops, own.repeated_flops
    shortest = lengths[0] if train_rows is None else min(len(r.values) for r in train_rows)
    least = max(2, min(engine.settings.min_points, shortest))
    engine.settings = engine.settings.model_copy(update={"min_points": least})
    engine.save(
        folder / "adapter",
        {"flops": spent - again, "steps": result.steps, "seed": seed, "data": identity["data"]}
        | {"best_val_loss": result.best_val_loss}
        | {"precision": result.precision, "machine": machine_facts()},
    )
    engine.merge()
    return AnnotatorReport(
        training=result,
        flops=spent,
        repeated_flops=again,
        limit_flops=budget_flops,
        config=config,
        n_train=None if train_rows is None else len(train_rows),
        n_validation=len(held),
        temperatures=temperatures,
        seconds=time.monotonic() - started,
        machine=machine_facts(),
    )


def _calibrate(
    engine: AnnotationEngine, held: Sequence[LabelledSeries], ledger: Ledger, kept: Path
) -> None:
    """Temperatures and scales from rows held out; read where a finished fit left them."""
    read = read_sealed(kept)
    if read is None:
        short = [shortened(r.values, r.facts, engine.settings.max_points) for r in held]
        answers = engine.answers([s for s, _ in short], ledger=ledger, stage="calibrate")
        truth = [f for _, f in short]
        fitted = fit_temperatures([a.probabilities for a in answers], truth)
        read = {"temperatures": fitted, "scales": _scales(answers, truth, held)}
        write_sealed(kept, read)
    update = {
        "temperatures": dict(engine.settings.temperatures) | read["temperatures"],
        "scales": {name: tuple(pair) for name, pair in read["scales"].items()},
    }
    engine.settings = engine.settings.model_copy(update=update)


def _divided(
    rows: Sequence[LabelledSeries] | None, seed: int, lengths: tuple[int, int], calibration: int
) -> tuple[list[LabelledSeries] | None, list[LabelledSeries]]:
    """Rows to train on (None: the stream) and rows held out."""
    if rows is None:
        return None, generated_rows(seed, calibration, lengths)
    rows = list(rows)
    if not rows:
        raise AnnotationError("got no rows to fit; expected at least one labelled series")
    if len(rows) < LEAST_TO_HOLD_OUT:
        return rows, []
    order = np.random.default_rng([seed, 5]).permutation(len(rows))
    cut = len(rows) // HELD_OUT
    return [rows[i] for i in order[cut:]], [rows[i] for i in order[:cut]]


def _dials(
    engine: AnnotationEngine,
    rows: list[LabelledSeries] | None,
    training: Mapping[str, Any],
    max_steps: int,
    seed: int,
    lengths: tuple[int, int],
) -> tuple[TrainConfig, BatchSource]:
    assert engine.adapter is not None
    points, method = engine.settings.max_points, engine.adapter.method
    few = rows is not None
    given: dict[str, Any] = {
        "steps": max_steps,
        "seed": seed,
        "batch_size": ROWS_BATCH_SIZE if few else BATCH_SIZE,
        "learning_rate": (ROWS_LEARNING_RATE if few else LEARNING_RATE)[method],
        "final_share": 0.0,
    }
    config = validated(TrainConfig, given | dict(training))
    if rows is None:
        return config, DescribedStream(
            engine.task, config.batch_size, TRAIN_SEEDS + seed, lengths, points
        )
    return config, DescribedRows(engine.task, rows, config.batch_size, seed, points)


def _affordable(
    engine: AnnotationEngine,
    config: TrainConfig,
    source: BatchSource,
    examples: Sequence[Example],
    budget_flops: float,
    n_held: int,
    training: Mapping[str, Any],
) -> TrainConfig:
    """The dials with as many steps as the budget holds beside validation and calibration."""
    with (
        tempfile.TemporaryDirectory(prefix="loracast-") as scratch,
        Ledger(Path(scratch) / "ledger.sqlite", budget_flops) as ledger,
    ):
        meter = engine.meter(ledger, "fit", examples, optimizer=config.optimizer)
        step = float(np.mean([meter.step_flops(source.batch(i)) for i in range(POOL)]))
        beside = VALIDATIONS * meter.validation_flops
    if n_held and examples:
        longest = [max(len(e) for e in examples)] * n_held
        beside += engine.work_flops(plan_guided(longest, engine.answer_bytes))
    steps = min(config.steps, int((budget_flops - beside) / step))
    if steps < 1:
        raise BudgetExceeded(
            f"one training step costs {format_flops(step)} and validation with calibration "
            f"{format_flops(beside)}, but the budget is {format_flops(budget_flops)}; give at "
            f"least {step + beside:.2e} (--budget)"
        )
    update: dict[str, Any] = {"steps": steps}
    if "eval_every" not in training:
        update["eval_every"] = math.ceil(steps / VALIDATIONS)
    if "warmup_steps" not in training:
        update["warmup_steps"] = min(config.warmup_steps, steps // 5)
    if "log_every" not in training:
        update["log_every"] = max(1, min(config.log_every, steps // 10))
    return config.model_copy(update=update)


def _scales(
    answers: Sequence[Answer], truth: Sequence[SeriesFacts], rows: Sequence[LabelledSeries]
) -> dict[str, tuple[float, float]]:
    """Of the fields that are numbers or lists, by the rows that tell them; none without any."""
    out: dict[str, tuple[float, float]] = {}
    for name in LIST_FIELDS:
        known = [
            ({name: a.likelihood[name]}, {name: is_right(name, t, a.facts)})
            for a, t, row in zip(answers, truth, rows, strict=True)
            if name in a.likelihood and tells(row, name)
        ]
        out |= fit_scales([p for p, _ in known], [right for _, right in known])
    return out


def _weights_sha256(engine: AnnotationEngine) -> str:
    """Of what an adapter has learned so far."""
    digest = hashlib.sha256()
    for name, weight in sorted(lora_parameters(engine.backbone.model).items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _sha256(rows: Sequence[LabelledSeries]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(np.ascontiguousarray(row.values, dtype=np.float64).tobytes())
        digest.update(repr(row.facts).encode())
    return digest.hexdigest()
