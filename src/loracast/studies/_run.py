"""Run a study: zero-shot -> default -> grid -> context -> final -> test, inside one budget.

Knows the order of stages and what one hands to the next. A study that is stopped, by a signal or
by its budget, keeps what it has and goes on from there when it is run again.
"""

from __future__ import annotations

import datetime as dt
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from loracast.codec import make_codec
from loracast.errors import BudgetExceeded, ConfigError, DataError
from loracast.evaluation import GlobalMLP
from loracast.flops import parse_flops
from loracast.forecasting import Engine, baseline_rows, missing_row, score_samples
from loracast.ledger import Ledger
from loracast.studies._assemble import assemble
from loracast.studies._data import load_data
from loracast.studies._recipe import Recipe
from loracast.studies._report import write_report
from loracast.studies._schema import StudyResult
from loracast.studies._search import (
    FULL,
    adapter_of,
    affordable_steps,
    decided,
    search,
    search_rival,
)
from loracast.studies._stages import calibration_flops, forecast_stage, train_stage
from loracast.studies._state import Findings, Run
from loracast.studies._workspace import Workspace
from loracast.training import Quiet, StudyProgress

__all__ = ["run_study"]

MLP_FILE = "global_mlp.safetensors"


def _global_mlp(run: Run) -> tuple[GlobalMLP | None, str]:
    """The global MLP, trained once and kept beside the study, or why these series train none."""
    steps = run.recipe.global_mlp_steps
    if steps is None:
        return None, ""
    path = run.workspace.out / MLP_FILE
    if path.exists():
        return GlobalMLP.load(path), ""
    try:
        mlp = GlobalMLP.fit(run.data.training_values, steps=steps, seed=run.recipe.seed)
    except DataError as problem:
        return None, f"does not apply: {problem}"
    mlp.save(path)
    return mlp, ""


def _classical(run: Run, found: Findings) -> None:
    """Score the classical methods; they cost seconds, not FLOPs of the budget."""
    recipe, data, space = run.recipe, run.data, run.workspace
    names = (*recipe.baselines, *(("global_mlp",) if recipe.global_mlp_steps else ()))
    done = space.done("classical")
    if done is None:
        run.progress.stage("classical methods", len(names))
        mlp, problem = _global_mlp(run)
        rows = {}
        for name in names:
            row, points = baseline_rows(
                data.contexts,
                data.truth,
                [name],
                seed=recipe.seed,
                horizons=recipe.horizons,
                trained={"global_mlp": mlp or problem},
            )
            if name == "global_mlp" and problem:
                row = {name: missing_row(recipe.horizons, problem)}
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


def _final(run: Run, found: Findings) -> None:
    """Spend what is left on the chosen configuration, and as much on each of its rivals."""
    recipe, best = run.recipe, found.chosen
    adapter = adapter_of(recipe, best["rank"])
    searched = sum(
        facts["flops"]
        for stage, facts in found.stages.items()
        if stage.split(".")[0] in ("grid", "context")
    )

    def set_aside() -> float:
        engine = run.open(adapter)
        once = engine.forecast_flops(run.data.contexts, recipe.horizon, recipe.samples)
        once += calibration_flops(run, engine)
        rivals_search = searched * len(recipe.rivals) if recipe.grid is not None else 0.0
        return once * (1 + len(recipe.rivals)) + rivals_search

    def final_steps() -> int:
        # As if nothing had run twice: a study that was killed ends with the adapter of one left
        # alone, or stops where what ran twice leaves no room.
        unspent = run.ledger.remaining_flops + run.ledger.repeated_flops
        share = (unspent - set_aside()) * recipe.final_share
        steps = affordable_steps(run, adapter, best["window"], share, random=False)
        if steps < 1:
            raise BudgetExceeded(
                f"{run.ledger.remaining_flops:.3g} FLOPs are left, and the forecasts that judge "
                "the final model and the search of its rivals need most of them; "
                "raise --budget and run again"
            )
        return min(steps, recipe.max_final_steps)

    steps = decided(run, "final", final_steps)
    mlp = run.workspace.out / MLP_FILE
    extra = {MLP_FILE: mlp} if mlp.exists() else None
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
        rate = search_rival(run, found, name, searched)
        steps = decided(
            run,
            name,
            lambda fresh=fresh: max(  # type: ignore[misc]
                1,
                affordable_steps(run, FULL, best["window"], float(final["flops"]), random=fresh),
            ),
        )
        folder = run.workspace.folder(name) / "model"
        found.stages[name] = train_stage(
            run,
            name,
            adapter=FULL,
            training=run.training(steps, rate),
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
            search(run, found)
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
