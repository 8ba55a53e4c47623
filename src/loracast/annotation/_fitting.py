"""Fitting an annotator within a budget: steps that it affords, validation, calibration.

Knows an engine, labelled series and prices; the loop itself is in `training`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from loracast.adapters import AdapterConfig
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
from loracast.errors import AnnotationError
from loracast.files import sha256_of
from loracast.ledger import Ledger
from loracast.model import BudgetShares, FitRecord, fit_within_budget, kept_once, validated
from loracast.training import (
    BatchSource,
    Progress,
    TrainConfig,
    TrainResult,
    machine_facts,
)

__all__ = ["AnnotatorReport", "fit_annotator", "generated_rows", "most_steps"]

# Seeds of generated series: each kind has its own million.
TRAIN_SEEDS, VALIDATION_SEEDS = 1_000_000, 2_000_000
VALIDATION_ROWS = 96  # of the loss
HELD_OUT = 10  # of rows, one in so many is for validation, once there are 200
LEAST_TO_HOLD_OUT = 200
# At equal series small batches learned better (docs/log.md).
BATCH_SIZE = 8
LEARNING_RATE = {"lora": 8e-4, "full": 1e-3}
ROWS_LEARNING_RATE = {"lora": 5e-4, "full": 2e-4}  # a few rows seen many times
ROWS_BATCH_SIZE = 8
MOST_STEPS, PASSES = 20_000, 8
# Lengths vary within a pool of batches, so a step costs what those of one pool cost on average.
SHARES = BudgetShares(
    validations=2, priced_batches=POOL, price=lambda prices: float(np.mean(prices))
)


@dataclass(frozen=True, kw_only=True)
class AnnotatorReport(FitRecord):
    """What the fit of an annotator did, beside what every `FitRecord` holds.

    Args:
        n_train: rows trained on; None for the generated stream.
        n_validation: rows that the temperatures were fitted on.
        temperatures: by label field.
    """

    n_train: int | None
    n_validation: int
    temperatures: dict[str, float]


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
) -> tuple[AnnotationEngine, AnnotatorReport]:
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

    Returns:
        The engine with the adapter merged, and the report.

    Raises:
        BudgetExceeded: not one step fits, or not all of them, after work that ran twice.
        AnnotationError, ConfigError, StorageError: see `Annotator.fit`.
    """
    model, settings = engine.model, engine.settings
    train_rows, held = _divided(rows, seed, lengths, calibration)
    examples = labelled_examples(engine.task, held[:VALIDATION_ROWS], settings.max_points)
    wanted, source = _dials(
        engine, train_rows, training, max_steps, seed, lengths, model.adapter or adapter
    )
    data = "generated" if train_rows is None else _sha256(train_rows)
    facts = {
        "data": data,
        "settings": settings.model_dump(mode="json"),
        "learned_sha256": model.learned_sha256(),
        "max_steps": max_steps,
        "lengths": list(lengths),
        "calibration": calibration,
    }

    def calibration_flops() -> float:
        longest = [max(map(len, examples), default=0)] * (len(held) if examples else 0)
        return engine.work_flops(plan_guided(longest, engine.answer_bytes)) if longest else 0.0

    def finish(own: Ledger) -> None:
        if held:
            _calibrate(engine, held, own, folder / "calibration.json")

    def save(result: TrainResult, flops: float) -> None:
        shortest = lengths[0] if train_rows is None else min(len(r.values) for r in train_rows)
        least = max(2, min(engine.settings.min_points, shortest))
        engine.settings = engine.settings.model_copy(update={"min_points": least})
        engine.save(
            folder / "adapter",
            {"flops": flops, "steps": result.steps, "seed": seed, "data": data}
            | {"best_val_loss": result.best_val_loss}
            | {"precision": result.precision, "machine": machine_facts()},
        )

    record = fit_within_budget(
        model,
        source,
        examples,
        budget_flops=budget_flops,
        shares=SHARES,
        adapter=adapter,
        wanted=wanted,
        chosen=training,
        seed=seed,
        facts=facts,
        folder=folder,
        name="annotations",
        finish=finish,
        save=save,
        beside_flops=calibration_flops,
        ledger=ledger,
        progress=progress,
    )
    return engine, AnnotatorReport(
        **vars(record),
        n_train=None if train_rows is None else len(train_rows),
        n_validation=len(held),
        temperatures=dict(engine.settings.temperatures),
    )


def _calibrate(
    engine: AnnotationEngine, held: Sequence[LabelledSeries], ledger: Ledger, kept: Path
) -> None:
    """Temperatures and scales from rows held out; read where a finished fit left them."""

    def fitted() -> dict[str, Any]:
        short = [shortened(r.values, r.facts, engine.settings.max_points) for r in held]
        answers = engine.answers([s for s, _ in short], ledger=ledger, stage="calibrate")
        truth = [f for _, f in short]
        temperatures = fit_temperatures([a.probabilities for a in answers], truth)
        return {"temperatures": temperatures, "scales": _scales(answers, truth, held)}

    read = kept_once(kept, fitted)
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
    adapter: AdapterConfig,
) -> tuple[TrainConfig, BatchSource]:
    points, method = engine.settings.max_points, adapter.method
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


def _sha256(rows: Sequence[LabelledSeries]) -> str:
    parts: list[str | np.ndarray] = []
    for row in rows:
        # Every process writes a set in an order of its own; a fit that goes on must know its rows.
        told = repr(replace(row.facts, clear=frozenset()))
        names = ", ".join(map(repr, sorted(row.facts.clear)))
        whole = f"clear=frozenset({{{names}}})" if names else "clear=frozenset()"
        parts += [np.asarray(row.values, dtype=np.float64)]
        parts += [told.replace("clear=frozenset()", whole)]
    return sha256_of(*parts)
