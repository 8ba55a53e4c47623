"""Run a study: zero-shot -> default -> grid -> context -> final -> test, inside one budget.

Knows the order of stages and what one hands to the next. A study that is stopped, by a signal or
by its budget, keeps what it has and goes on from there when it is run again.
"""

from __future__ import annotations

import datetime as dt
import itertools
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from loracast.adapters import AdapterConfig
from loracast.api import Engine, baseline_rows, score_samples
from loracast.codec import make_codec
from loracast.errors import BudgetExceeded, ConfigError
from loracast.evaluation import GlobalMLP
from loracast.flops import Ledger, parse_flops
from loracast.studies._assemble import assemble
from loracast.studies._data import load_data
from loracast.studies._recipe import Recipe
from loracast.studies._report import write_report
from loracast.studies._schema import StudyResult
from loracast.studies._stages import (
    Quiet,
    Run,
    StudyProgress,
    calibration_flops,
    forecast_stage,
    train_stage,
)
from loracast.studies._workspace import Workspace

__all__ = ["Findings", "run_study"]

MLP_FILE = "global_mlp.safetensors"


@dataclass
class Findings:
    """What the stages found, for the result and the report.

    Args:
        stages: name -> facts, in the order they ran.
        rows: method -> scores and cost.
        points: method -> (N, H, C) point forecasts.
        samples: method -> (N, S, H, C).
        chosen: learning_rate, rank and window the search settled on.
        stopped: where and why the budget ended, or "".
    """

    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    points: dict[str, np.ndarray] = field(default_factory=dict)
    samples: dict[str, np.ndarray] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    stopped: str = ""


def _global_mlp(run: Run) -> GlobalMLP | None:
    """The trained global MLP, trained once and kept beside the study."""
    steps = run.recipe.global_mlp_steps
    if steps is None:
        return None
    path = run.workspace.out / MLP_FILE
    if path.exists():
        return GlobalMLP.load(path)
    mlp = GlobalMLP.fit(run.data.training_values, steps=steps, seed=run.recipe.seed)
    mlp.save(path)
    return mlp


def _classical(run: Run, found: Findings) -> None:
    """Score the classical methods; they cost seconds, not FLOPs of the budget."""
    recipe, data, space = run.recipe, run.data, run.workspace
    names = (*recipe.baselines, *(("global_mlp",) if recipe.global_mlp_steps else ()))
    done = space.done("classical")
    if done is None:
        run.progress.stage("classical methods", len(names))
        mlp = _global_mlp(run)
        rows = {}
        for name in names:
            row, points = baseline_rows(
                data.contexts,
                data.truth,
                [name],
                seed=recipe.seed,
                horizons=recipe.horizons,
                global_mlp=mlp,
            )
            rows.update(row)
            point = points[name]
            if point is not None:
                space.save_array(f"classical.{name}", point)
            run.progress.advance(1, name)
        done = space.finish("classical", {"rows": rows})
    found.rows.update(done["rows"])
    for name in names:
        if (space.folder(f"classical.{name}") / "forecast.npy").exists():
            found.points[name] = space.array(f"classical.{name}")


def _language_model(run: Run, found: Findings, method: str, stage: str, engine: Any) -> None:
    samples, facts = forecast_stage(run, stage, engine)
    scores = score_samples(run.data.truth, samples, run.data.contexts, run.recipe.horizons)
    found.samples[method] = samples
    found.points[method] = np.median(samples, axis=1)
    found.rows[method] = {
        **scores,
        "flops": facts["flops"],
        "seconds": facts["seconds"],
        "note": facts.get("note", ""),
    }
    found.stages[stage] = {**facts, "metrics": {h: s["mae"] for h, s in scores.items()}}


def _adapter(recipe: Recipe, rank: int) -> AdapterConfig:
    """The default adapter at another rank, its alpha in proportion."""
    share = recipe.adapter.alpha / recipe.adapter.rank
    return recipe.adapter.model_copy(update={"rank": rank, "alpha": share * rank})


def _search(run: Run, found: Findings) -> None:
    """Default, grid and context length; every choice by validation loss."""
    recipe = run.recipe
    best: dict[str, Any] = {
        "learning_rate": recipe.training.learning_rate,
        "rank": recipe.adapter.rank,
        "window": recipe.context + recipe.horizon,
    }
    found.chosen = best
    found.stages["default"] = train_stage(
        run, "default", adapter=recipe.adapter, training=run.training(recipe.default_steps)
    )
    if recipe.grid is not None:
        cells = {}
        for rate, rank in itertools.product(recipe.grid.learning_rate, recipe.grid.rank):
            name = f"grid.lr={rate:g},r={rank}"
            found.stages[name] = train_stage(
                run,
                name,
                adapter=_adapter(recipe, rank),
                training=run.training(recipe.grid.steps, rate),
            )
            cells[(rate, rank)] = found.stages[name]["val_loss"]
        best["learning_rate"], best["rank"] = min(cells, key=lambda c: cells[c])
    if recipe.contexts is not None:
        full = recipe.context + recipe.horizon
        losses = {}
        for window in sorted({*recipe.contexts.windows, full}):
            name = f"context.{window}"
            steps = round(recipe.contexts.steps * full / window)  # about equal FLOPs
            found.stages[name] = train_stage(
                run,
                name,
                adapter=_adapter(recipe, best["rank"]),
                training=run.training(steps, best["learning_rate"]),
                window_steps=window,
            )
            losses[window] = found.stages[name]["val_loss"]
        best["window"] = min(losses, key=lambda w: losses[w])


def _affordable(run: Run, adapter: AdapterConfig, window: int, flops: float, random: bool) -> int:
    """Steps that a share of the budget buys, validations included."""
    engine = run.open(adapter, random)
    training = run.training(1)
    validation = run.validation(engine)
    meter = engine.meter(run.ledger, "price", validation, optimizer=training.optimizer)
    source = engine.windows(run.data.train, run.plan(window), training.batch_size, run.recipe.seed)
    # Windows of equal length cost the same; of ragged ones this is an average.
    step = float(np.mean([meter.step_flops(source.batch(i)) for i in range(8)]))
    per_step = step + (meter.validation_flops / training.eval_every if training.eval_every else 0)
    return int((flops - meter.validation_flops) / per_step)


def _decided(run: Run, name: str, decide: Callable[[], int]) -> int:
    """A number of steps that is decided once and then kept, so that a resumed study agrees."""
    stored = run.workspace.done(f"{name}.steps")
    if stored is None:
        stored = run.workspace.finish(f"{name}.steps", {"steps": decide()})
    return int(stored["steps"])


def _final(run: Run, found: Findings) -> None:
    """Spend what is left on the chosen configuration, and as much on each of its rivals."""
    recipe, best = run.recipe, found.chosen
    adapter = _adapter(recipe, best["rank"])
    full = AdapterConfig(method="full")

    def forecasts() -> float:
        engine = run.open(adapter)
        once = engine.forecast_flops(run.data.contexts, recipe.horizon, recipe.samples)
        once += calibration_flops(run, engine)
        return once * (1 + len(recipe.rivals))

    def final_steps() -> int:
        # As if nothing had run twice: a study that was killed ends with the adapter of one left
        # alone, or stops where what ran twice leaves no room.
        unspent = run.ledger.remaining_flops + run.ledger.repeated_flops
        left = unspent - forecasts()
        steps = _affordable(run, adapter, best["window"], left * recipe.final_share, False)
        if steps < 1:
            raise BudgetExceeded(
                f"{run.ledger.remaining_flops:.3g} FLOPs are left, and the forecasts that judge "
                "the final model need most of them; raise --budget and run again"
            )
        return min(steps, recipe.max_final_steps)

    steps = _decided(run, "final", final_steps)
    extra = {MLP_FILE: run.workspace.out / MLP_FILE} if recipe.global_mlp_steps else None
    final = train_stage(
        run,
        "final",
        adapter=adapter,
        training=run.training(steps, best["learning_rate"]),
        window_steps=best["window"],
        save_to=run.workspace.out / "adapter",
        extra_files=extra,
    )
    found.stages["final"] = final
    _language_model(
        run, found, "adapted", "test", lambda: Engine.load(run.workspace.out / "adapter")
    )
    for name in recipe.rivals:
        fresh = name == "random_start"
        steps = _decided(
            run,
            name,
            lambda fresh=fresh: max(  # type: ignore[misc]
                1, _affordable(run, full, best["window"], float(final["flops"]), fresh)
            ),
        )
        folder = run.workspace.folder(name) / "model"
        found.stages[name] = train_stage(
            run,
            name,
            adapter=full,
            training=run.training(steps),
            window_steps=best["window"],
            random_start=fresh,
            save_to=folder,
        )
        _language_model(run, found, name, f"test_{name}", lambda folder=folder: Engine.load(folder))


def _versions() -> dict[str, str]:
    names = ("loracast", "torch", "transformers", "peft", "numpy", "scipy")
    found = {name: metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def run_study(
    recipe: Recipe,
    out: Path,
    progress: StudyProgress | None = None,
    *,
    fresh: bool = False,
) -> StudyResult:
    """Run a study, or go on with it; `out` gets result.json, report.html and the adapter.

    Args:
        recipe: what to do.
        out: the study's folder.
        progress: told what happens.
        fresh: start over; what stands in `out` is removed.

    Returns:
        The result as written. When the budget ended before the study did, its first stage note
        says where, and running again with a larger budget goes on from there.

    Raises:
        LoracastError: data, recipe, model or folder cannot be used.
        BudgetExceeded: not even the zero-shot forecast fits.
    """
    out = Path(out)
    if fresh and out.exists():
        if any(out.iterdir()) and not (out / "study.json").exists():
            raise ConfigError(f"{out} holds something else than a study; refusing to remove it")
        shutil.rmtree(out)
    started = time.monotonic()
    data = load_data(recipe)
    codec = make_codec(**recipe.codec).calibrate(data.train.values).config()
    base = Engine.open(recipe.model, codec)
    fingerprint = recipe.fingerprint(data.info.sha256, base.backbone.base_sha256)
    workspace = Workspace(out, fingerprint)
    limit = parse_flops(recipe.budget)
    with Ledger(out / "ledger.sqlite", limit, recipe.convention) as ledger:
        run = Run(recipe, data, workspace, ledger, progress or Quiet(), codec)
        found = Findings()
        _classical(run, found)
        _language_model(run, found, "zero_shot", "zero_shot", lambda: base)
        try:
            _search(run, found)
            _final(run, found)
        except BudgetExceeded as error:
            found.stopped = str(error)
            if again := ledger.repeated_flops:
                found.stopped += f"; {again:.3g} FLOPs went into work that ran twice"
        result = assemble(
            run,
            base,
            found,
            versions=_versions(),
            created=dt.datetime.now(dt.UTC),
            seconds=time.monotonic() - started,
        )
    write_report(out)
    return result
