"""The search of a whole tiny study: repeats, rivals at equal cost, and choices that say why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from loracast.backbone import build_embedded, embedded_config
from loracast.series import Panel, write_hdf5
from loracast.studies import Recipe, plan_study, read_result, run_study


def _recipe(home: Path, **update: object) -> Recipe:
    fields: dict[str, object] = {
        "budget": "3e11",
        "model": str(home / "base"),
        "codec": {"name": "continuous"},
        "data": {"path": str(home / "data.h5"), "train": 14, "validation": 3},
        "context": 25,
        "horizons": [2, 5],
        "samples": 3,
        "training": {
            "steps": 1,
            "batch_size": 2,
            "learning_rate": 1e-2,
            "eval_every": 5,
            "checkpoint_every": 5,
            "log_every": 1,
            "precision": "fp32",
            "optimizer": "muon",
        },
        "adapter": {"rank": 2, "alpha": 4},
        "default_steps": 2,
        "grid": {"steps": 6, "learning_rate": [1e-2, 3e-2], "rank": [2], "repeats": 2},
        "contexts": {"steps": 6, "windows": [20], "repeats": 2},
        "validation_forecasts": {"series": 2, "samples": 2},
        "calibration_series": 2,
        "random_start": True,
        "full_fine_tuning": True,
        "max_final_steps": 8,
        "baselines": ["naive"],
    }
    return Recipe.model_validate(fields | update)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    build_embedded(folder / "base", embedded_config(64, 1, 64), seed=3)
    rng = np.random.default_rng(0)
    turn = np.arange(40)[:, None] / 5 + np.array([0.0, 1.0])
    values = [2 + np.sin(turn + rng.uniform(0, 6)) * rng.uniform(0.3, 1) for _ in range(20)]
    panel = Panel(
        ids=tuple(range(20)),
        values=tuple(values),
        times=tuple(np.arange(40) for _ in values),
        channels=("prey", "predator"),
    )
    write_hdf5(panel, folder / "data.h5")
    run_study(_recipe(folder), folder / "out")
    return folder


def test_every_cell_is_trained_with_as_many_seeds_as_asked(home: Path) -> None:
    result = read_result(home / "out" / "result.json")
    cells = [s for s in result.stages if s.name.startswith("grid.")]
    assert [s.name for s in cells] == [
        "grid.lr=0.01,r=2",
        "grid.lr=0.01,r=2,repeat=1",
        "grid.lr=0.03,r=2",
        "grid.lr=0.03,r=2,repeat=1",
    ]
    assert [s.config["training"]["seed"] for s in cells] == [0, 1, 0, 1]
    assert len({s.val_loss for s in cells}) == 4  # another seed is another run


def test_the_choice_is_the_rule_applied_to_what_the_stages_measured(home: Path) -> None:
    result = read_result(home / "out" / "result.json")
    stages = json.loads((home / "out" / "report_data.json").read_text())
    maes = {}
    for stage in result.stages:
        if stage.name.startswith("grid."):
            facts = json.loads((home / "out" / "stages" / stage.name / "stage.json").read_text())
            maes.setdefault(stage.config["training"]["learning_rate"], []).append(
                np.log(facts["val_mae"])
            )
    means = {rate: np.mean(logs) for rate, logs in maes.items()}
    noise = np.sqrt(2 * np.mean([np.var(logs, ddof=1) for logs in maes.values()]) / 2)
    best = min(means, key=lambda rate: means[rate])
    expected = 0.01 if means[0.01] <= means[best] + noise else best
    assert result.details is not None
    assert result.details["chosen"]["learning_rate"] == expected
    assert result.details["choices"]["grid"]["noise"] == pytest.approx(noise)
    shown = {cell["lr"]: cell["val_mae"] for cell in stages["grid"]}
    assert shown[0.03] == pytest.approx(np.mean(np.exp(maes[0.03])))


def test_rivals_search_their_learning_rate_at_the_adapters_cost(home: Path) -> None:
    result = read_result(home / "out" / "result.json")
    by_stage = result.budget.by_stage
    searched = by_stage["grid"] + by_stage["context"]
    for rival in ("random_start", "full_fine_tuning"):
        spent = by_stage[f"search_{rival}"]
        each = [s for s in result.stages if s.name.startswith(f"search_{rival}.")]
        assert len(each) == 4
        assert {s.config["adapter"]["method"] for s in each} == {"full"}
        # Whole steps: what is left over is less than one step of each of the four trainings.
        step = max(s.flops / s.config["training"]["steps"] for s in each)
        assert searched - 4 * step <= spent <= searched
        final = next(s for s in result.stages if s.name == rival)
        label = result.details["choices"][f"search_{rival}"]["label"]
        assert f"lr={final.config['training']['learning_rate']:g}" == label


def test_the_plan_is_what_the_study_spends(home: Path) -> None:
    result = read_result(home / "out" / "result.json")
    study = plan_study(_recipe(home))
    chosen = result.details["chosen"]
    plan = next(
        p
        for c, p in study.plans.items()
        if (c.rank, c.window) == (chosen["rank"], chosen["window"])
    )
    assert plan.total_flops == pytest.approx(result.budget.spent_flops, rel=1e-3)
    assert {s.name.split(".")[0] for s in plan.stages} == set(result.budget.by_stage)


def test_the_report_says_how_it_was_chosen_and_what_pretraining_brought(home: Path) -> None:
    text = (home / "out" / "report.html").read_text()
    choices = read_result(home / "out" / "result.json").details["choices"]
    for choice in choices.values():
        said = choice["reason"]
        assert said[1:] in text.replace("&#39;", "'")
    assert "The effect of pretraining, with all weights trained alike" in text
