"""The adapted model tested with shorter contexts: planned, charged, scored and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loracast.backbone import build_embedded, embedded_config
from loracast.errors import ConfigError
from loracast.forecasting import Engine
from loracast.ledger import Ledger
from loracast.series import Panel, write_hdf5
from loracast.studies import (
    Recipe,
    changed_recipe,
    plan_study,
    read_report_data,
    read_result,
    run_study,
)
from loracast.studies._drawing import format_amount, format_value

CONTEXT, HORIZON, N_TEST = 16, 4, 3
FINGERPRINT = "126e1f4f65a316552bb70344bf02d37a67748369426a83ae3560f9e8b0813b2f"


def _recipe(home: Path, **update: Any) -> Recipe:
    fields: dict[str, Any] = {
        "budget": "1e10",
        "model": str(home / "base"),
        "codec": {"name": "continuous"},
        "data": {"path": str(home / "data.h5"), "train": 6, "validation": 2},
        "context": CONTEXT,
        "horizons": [2, HORIZON],
        "samples": 3,
        "training": {"steps": 1, "batch_size": 2, "learning_rate": 1e-2, "precision": "fp32"},
        "adapter": {"rank": 2, "alpha": 4},
        "default_steps": 1,
        "grid": None,
        "contexts": None,
        "validation_forecasts": {"series": 1, "samples": 1},
        "calibration_series": 1,
        "random_start": False,
        "max_final_steps": 3,
        "baselines": ["naive"],
        "test_contexts": [6, 10, CONTEXT],
    }
    return Recipe.model_validate(fields | update)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contexts")
    build_embedded(folder / "base", embedded_config(64, 1, 64), seed=3)
    rng = np.random.default_rng(0)
    values = [2 + np.sin(np.arange(24)[:, None] / 4 + rng.uniform(0, 6)) for _ in range(11)]
    times = tuple(np.arange(24) for _ in values)
    write_hdf5(Panel(tuple(range(11)), tuple(values), times, ("y",)), folder / "data.h5")
    run_study(_recipe(folder), folder / "out")
    return folder


def _by_hand(home: Path, steps: int) -> list[float]:
    """The saved adapter asked from the last steps; a loop takes the errors of both horizons."""
    import h5py

    with h5py.File(home / "data.h5") as file:
        values = np.asarray(file["trajectories"], dtype=np.float64).reshape(11, 24, 1)[8:]
    engine = Engine.load(home / "out" / "adapter")
    samples = engine.sample(
        [v[CONTEXT - steps : CONTEXT] for v in values],
        ["8", "9", "10"],
        HORIZON,
        samples=3,
        seed=0,
    )
    return [
        float(
            np.mean(
                [
                    abs(float(np.median(samples[n, :, t, 0])) - values[n, CONTEXT + t, 0])
                    for n in range(N_TEST)
                    for t in range(horizon)
                ]
            )
        )
        for horizon in (2, HORIZON)
    ]


def test_errors_are_those_of_the_saved_model_asked_from_the_last_steps(home: Path) -> None:
    (table,) = read_report_data(home / "out" / "report_data.json").tables
    assert [row[0] for row in table.rows] == ["6", "10", "16"]
    for row in table.rows:
        assert list(row[1:3]) == pytest.approx(_by_hand(home, int(str(row[0]))), rel=1e-6)
    result = read_result(home / "out" / "result.json")
    adapted = result.test["adapted"].horizons
    assert table.rows[2][1:3] == (adapted[2].mae, adapted[HORIZON].mae)
    assert set(result.test) == {"naive", "zero_shot", "adapted"}  # no method of its own
    stages = {s.name: s for s in result.stages}
    assert list(stages)[-3:] == ["test", "test_context.6", "test_context.10"]
    assert stages["test_context.6"].metrics == {"h2": table.rows[0][1], "h4": table.rows[0][2]}


def test_it_is_planned_set_aside_and_charged(home: Path) -> None:
    planned = {s.name: s.flops for s in plan_study(_recipe(home)).plan.stages}
    with Ledger(home / "out" / "ledger.sqlite") as ledger:
        spent = ledger.by_stage()
    assert list(planned) == list(spent)
    for name in ("test_context.6", "test_context.10"):
        assert spent[name] == pytest.approx(planned[name])
    assert spent["test_context.6"] < spent["test_context.10"] < spent["test"]
    # Where the final stage takes all that is left, its tests still fit.
    budget = planned["zero_shot"] + planned["default"] + 2 * planned["final"]
    greedy = {"budget": f"{budget:.0f}", "final_share": 1.0, "max_final_steps": 10_000}
    plan = plan_study(_recipe(home, **greedy)).plan
    assert plan.fits
    per_step = next(s.flops_per_step for s in plan.stages if s.name == "final")
    assert plan.left_flops < per_step + 0.05 * budget


def test_the_page_shows_the_table_and_a_study_run_again_spends_nothing(home: Path) -> None:
    before = read_result(home / "out" / "result.json")
    after = run_study(_recipe(home), home / "out")
    assert after.budget.spent_flops == before.budget.spent_flops
    assert [(s.name, s.metrics) for s in after.stages] == [
        (s.name, s.metrics) for s in before.stages
    ]
    page = (home / "out" / "report.html").read_text(encoding="utf-8")
    section = page[page.index("The adapted model with shorter contexts") :].partition("</table>")[0]
    for stage in after.stages[-2:]:
        assert f">{format_value(stage.metrics['h4'])}<" in section  # type: ignore[arg-type]
        assert f">{format_amount(stage.flops, 'FLOPs')}<" in section


def test_a_recipe_without_it_is_the_study_that_it_was(home: Path) -> None:
    without = _recipe(home, test_contexts=())
    assert "test_contexts" not in without.model_dump()
    assert "test_contexts" not in without.model_dump(mode="json")
    asked = changed_recipe(without, {"test_contexts": [6]})
    assert asked.model_dump()["test_contexts"] == (6,)
    assert asked.fingerprint("d", "b") != without.fingerprint("d", "b")
    # As it was before the field came.
    assert Recipe.model_validate({"training": {"steps": 1}}).fingerprint("d", "b") == FINGERPRINT


def test_a_context_longer_than_the_studys_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="expected steps up to the context, 16"):
        _recipe(home, test_contexts=[20])
    with pytest.raises(ConfigError, match="test_contexts"):
        changed_recipe(_recipe(home), {"test_contexts": [1]})
