"""Run a study: its stages one after the other, inside one budget.

Knows no single stage. A study that is stopped, by a signal or by its budget, keeps what it has and
goes on from there when it is run again.
"""

from __future__ import annotations

import datetime as dt
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path

from loracast.codec import make_codec
from loracast.errors import BudgetExceeded, ConfigError
from loracast.flops import parse_flops
from loracast.forecasting import Engine
from loracast.ledger import Ledger
from loracast.studies._assemble import assemble
from loracast.studies._data import load_data
from loracast.studies._facts import Settings
from loracast.studies._pricing import Pricer
from loracast.studies._recipe import Recipe
from loracast.studies._report import write_report
from loracast.studies._schema import StudyResult
from loracast.studies._stages import stages_of
from loracast.studies._state import Findings, Run
from loracast.studies._workspace import Workspace
from loracast.training import Quiet, StudyProgress

__all__ = ["run_study"]


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
    codec = make_codec(**recipe.codec).scaled_for(data.train.values).config()
    base = Engine.open(recipe.model, codec)
    workspace = Workspace(out, recipe.fingerprint(data.info.sha256, base.backbone.base_sha256))
    limit = parse_flops(recipe.budget)
    with Ledger(out / "ledger.sqlite", limit, recipe.convention) as ledger:
        pricer = Pricer(recipe, data, base, own_model=True)
        run = Run(recipe, data, workspace, ledger, progress or Quiet(), codec, base, pricer)
        found, stages = Findings(Settings.of(recipe)), stages_of(recipe)
        try:
            for stage in stages:
                stage.run(run, found)
        except BudgetExceeded as error:
            if not found.forecasts:  # nothing that a report could show
                raise
            found.stopped = str(error)
            if again := ledger.repeated_flops:
                found.stopped += f"; {again:.3g} FLOPs went into work that ran twice"
        result = assemble(
            run,
            stages,
            found,
            versions=_versions(),
            created=dt.datetime.now(dt.UTC),
            seconds=time.monotonic() - started,
        )
    write_report(out)
    return result
