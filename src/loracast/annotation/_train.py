"""Train an annotator on generated series and say how right it is: one call, one folder.

OUT/ledger.sqlite, OUT/checkpoints, OUT/adapter (what `Annotator.load` reads), OUT/result.json.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from loracast.annotation._annotator import Annotator
from loracast.annotation._engine import AnnotationEngine
from loracast.annotation._fields import LABEL_FIELDS
from loracast.annotation._label_files import read_labelled
from loracast.annotation._rules import robust_rules
from loracast.annotation._unseen import CLEAR_TARGET, best_rules, score_unseen, unseen_series
from loracast.errors import ConfigError
from loracast.files import write_whole
from loracast.ledger import Ledger
from loracast.training import Progress, StudyProgress

__all__ = ["DEFAULT_BUDGET", "TrainWatcher", "train_annotator", "verdict_of"]

PACKAGES = ("torch", "transformers", "peft", "llguidance", "numpy")
EVALUATION_SEEDS = (0, 1, 2)
TESTED = 1000
DEFAULT_BUDGET = "5e13"
DEFAULT_STEPS = 2780  # of the generated stream: 22,240 series (docs/log.md)


class TrainWatcher(StudyProgress, Protocol):
    """Who is told how far it is."""

    def trained(self, progress: Progress) -> None:
        """A training step was done."""


def train_annotator(
    out: Path,
    *,
    model: str | None = None,
    numbers: str | None = None,
    fields: Sequence[str] | None = None,
    method: str | None = None,
    budget: str | float = DEFAULT_BUDGET,
    max_steps: int | None = None,
    data: Path | None = None,
    adapter: Path | None = None,
    seed: int = 0,
    lengths: tuple[int, int] = (32, 1024),
    calibration: int = 512,
    n_test: int = TESTED,
    seeds: Sequence[int] = EVALUATION_SEEDS,
    baselines: bool = True,
    training: Mapping[str, Any] | None = None,
    ledger: Ledger | None = None,
    watcher: TrainWatcher | None = None,
) -> dict[str, Any]:
    """Train on the endless generated stream, calibrate, and score on unseen series.

    The same call goes on where a killed one stopped.

    Args:
        out: work folder.
        model: the base: 'embedded' (None), a local folder, or a hub id; beside an `adapter`,
            where its base is now, if it moved.
        numbers: how a series enters: "measured" (None), "continuous" or "digits".
        fields: of an annotation; None is the four labels.
        method: "lora" (None), or "full" to train every weight.
        budget: FLOPs for training and calibration; the evaluation is counted beside.
        max_steps: optimiser steps at most; None is 2,780, or 8 passes over `data`.
        data: labelled rows to train on, in any format that `read_labelled` knows; None is the
            generated stream.
        adapter: folder of an annotator that learns on; it keeps its own numbers, fields and
            method. None starts from the base.
        seed: of weights and of the training stream.
        lengths: shortest and longest series, of training and test.
        calibration: generated series kept back to calibrate confidences on.
        n_test: N unseen series of each evaluation seed.
        seeds: of the test sets.
        baselines: also score the rules, the untuned base and a few-shot prompt.
        training: dials of `TrainConfig`.
        ledger: that grants the budget, and is charged for training and evaluation; without one
            the evaluation is counted by ledgers that are thrown away.
        watcher: told how far it is.

    Returns:
        What `OUT/result.json` holds; see `docs/annotation.md`.

    Raises:
        ConfigError: an option out of range, or a library that a baseline needs is missing.
        BudgetExceeded: the budget does not hold one step, or the ledger not the budget or not
            the evaluation.
        StorageError: `out` cannot be written, or belongs to another run.
        ModelError: the model cannot be loaded.
        AnnotationError: `data` cannot be used.
        AdapterError: `adapter` is no annotator.
    """
    if n_test < 1 or not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ConfigError(
            f"got {n_test} series to test and the seeds {list(seeds)}; expected at least one "
            "series, and distinct seeds of 0 or more"
        )
    if baselines:
        robust_rules(np.arange(16.0))  # says now, not after the training, if a library is missing
    own = {"numbers": numbers, "fields": fields, "method": method}
    given = [f"--{name}" for name, value in own.items() if value is not None]
    if adapter is not None and given:
        raise ConfigError(
            f"got {', '.join(given)} beside --adapter; an annotator that learns on keeps its own: "
            "leave them out, or start from the base"
        )
    started = time.monotonic()
    rows = None if data is None else read_labelled(data)
    if max_steps is None and rows is None:
        max_steps = DEFAULT_STEPS
    if adapter is None:
        annotator = Annotator.from_pretrained(
            model or "embedded",
            numbers=numbers or "measured",
            fields=LABEL_FIELDS if fields is None else fields,
            seed=seed,
            bare=True,
        )
    else:
        annotator = Annotator.load(adapter, model=model)
        annotator.seed = seed
    settings = annotator.engine.settings
    model, numbers = annotator.engine.backbone.name, settings.numbers
    annotator.fit(
        rows,
        budget=budget,
        adapter={"method": method or "lora"} if adapter is None else None,
        max_steps=max_steps,
        lengths=lengths,
        calibration=calibration,
        out=out,
        training=training,
        ledger=ledger,
        progress=None if watcher is None else watcher.trained,
    )
    report = annotator.fit_report
    assert report is not None
    engine = annotator.engine
    train_seconds = time.monotonic() - started
    sets = [unseen_series(s, n_test, lengths) for s in seeds]
    # The bare base has never seen measurements.
    untuned = "continuous" if numbers == "measured" else numbers
    base = AnnotationEngine.open(model, engine.untuned_settings(untuned)) if baselines else None
    shots = AnnotationEngine.open(model, engine.untuned_settings("digits")) if baselines else None
    methods = score_unseen(engine, base, shots, sets, watcher, ledger)
    result = {
        "schema_version": 1,
        "task": "annotation",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "machine": {"precision": report.training.precision, **report.machine},
        "seed": seed,
        "model": model,
        "base_sha256": engine.backbone.base_sha256,
        "numbers": numbers,
        "method": None if engine.model.adapter is None else engine.model.adapter.method,
        "data": None if rows is None else {"path": str(data), "n": len(rows)},
        "learned_on_from": None if adapter is None else str(adapter),
        "fields": list(engine.settings.fields),
        "lengths": list(lengths),
        "max_points": engine.settings.max_points,
        "budget": {
            "limit_flops": report.limit_flops,
            "spent_flops": report.flops,
            "repeated_flops": report.repeated_flops,
            "evaluation_flops": sum(m["flops"] or 0.0 for m in methods.values()),
        },
        "training": {
            "config": report.config.model_dump(mode="json"),
            "steps": report.training.steps,
            "stopped": report.training.stopped,
            "best_step": report.training.best_step,
            "best_val_loss": report.training.best_val_loss,
            "history": report.training.history,
            "validations": report.training.validations,
            "calibration_rows": report.n_validation,
            "temperatures": report.temperatures,
            "seconds": train_seconds,
        },
        "test": {"n": n_test, "seeds": list(seeds), "methods": methods},
        "verdict": verdict_of(methods),
        "seconds": time.monotonic() - started,
    }
    write_whole(out / "result.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


def verdict_of(methods: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for and what is not there yet.

    Args:
        methods: of `score_unseen`.

    Returns:
        `{"valid_json": bool, "no_contradictions": bool, "reached": [field ..], "not_yet":
        {field: reason}}`; a field is reached with at least 95 % on clear rows and, on all rows,
        at least what the best rule engine has.
    """
    ours = methods["annotator"]
    reached, not_yet = [], {}
    for name in LABEL_FIELDS:
        if name not in ours["fields"]:
            not_yet[name] = "not asked for"
            continue
        got, reasons = ours["fields"][name], []
        if got["clear"] is not None and got["clear"] < CLEAR_TARGET:
            reasons.append(f"{got['clear']:.3f} on clear rows, below {CLEAR_TARGET}")
        rules = best_rules(methods, name)
        if rules is not None and got["accuracy"] < rules:
            reasons.append(f"{got['accuracy']:.3f} on all rows, below the rules' {rules:.3f}")
        if reasons:
            not_yet[name] = "; ".join(reasons)
        else:
            reached.append(name)
    return {
        "valid_json": ours["valid_json"] == 1.0,
        "no_contradictions": ours["contradictions"] == 0,
        "reached": reached,
        "not_yet": not_yet,
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("loracast", *PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
