"""A plan beside what a small study then spends, stage by stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loracast.cli import main
from loracast.ledger import Ledger
from loracast.studies import Recipe, _search, plan_study
from loracast.studies._facts import TrainingFacts
from loracast.studies._pricing import training_flops, validation_count
from loracast.studies._training import Training, train
from loracast.training import TrainConfig

RECIPE: dict[str, Any] = {
    "name": "tiny",
    "budget": "8e9",
    "codec": {"name": "compact", "digits": 2, "headroom": 0.1},
    "data": {"generate": 12, "train": 8, "validation": 2},
    "context": 20,
    "horizons": [4],
    "samples": 2,
    "adapter": {"rank": 4, "alpha": 8, "targets": ["q", "v"]},
    "training": {"steps": 4, "batch_size": 2, "eval_every": 2, "checkpoint_every": 3},
    "default_steps": 3,
    "grid": {"steps": 3, "learning_rate": [0.001], "rank": [2, 8]},
    "contexts": {"steps": 3, "windows": [11]},
    "validation_forecasts": {"series": 1, "samples": 1},
    "max_final_steps": 5,
    "baselines": ["naive"],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Qwen2 of one layer."""
    from loracast.backbone import build_embedded, embedded_config

    folder = tmp_path_factory.mktemp("plan") / "base"
    build_embedded(folder, embedded_config(64, 1, 64), seed=3)
    return folder


def _recipe(base: Path, folder: Path, **update: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(RECIPE | {"model": str(base)} | update))  # JSON is YAML
    return path


def _plan(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["plan", *map(str, arguments), "--no-measure", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("rank", "window", "update"),
    [
        (2, 11, {}),  # neither the largest rank nor the full window, and a capped final stage
        # Tokens of a step vary: lengths differ from row to row, and forecasts are a range.
        (
            4,
            11,
            {
                "codec": {"name": "llmtime"},
                "budget": "1.1e10",
                "grid": None,
                "max_final_steps": 10**6,
            },
        ),
    ],
)
def test_a_study_spends_what_was_planned_for_its_choices(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    base: Path,
    tmp_path: Path,
    rank: int,
    window: int,
    update: dict[str, Any],
) -> None:
    def judged(run: Any, training: Training) -> TrainingFacts:
        facts = train(run, training)
        if str(training.name).endswith((f",r={rank}", f"context.{window}")):
            # The choice is the test's, not that of three noisy steps.
            return facts.model_copy(update={"val_mae": 1e-9})
        return facts

    monkeypatch.setattr(_search, "train", judged)
    recipe = _recipe(base, tmp_path, **update)
    planned = _plan(capsys, recipe)
    assert planned["fits"]
    assert main(["study", "run", str(recipe), "--out", str(tmp_path / "out")]) == 0
    with Ledger(tmp_path / "out" / "ledger.sqlite") as ledger:
        spent, by_stage = ledger.spent_flops, ledger.by_stage()
        assert ledger.reserved_flops == 0
        # What a training stage's validation forecast could have cost, and did not.
        unused = {
            e.stage: e.reserved_flops - (e.settled_flops or 0)
            for e in ledger.entries()
            if "/generate/" in e.key and e.kind == "validation"
        }

    result = json.loads((tmp_path / "out" / "result.json").read_text())
    chosen = result["details"]["chosen"]
    assert (chosen["rank"], chosen["window"]) == (rank, window)
    mine = next(c for c in planned["choices"] if (c["rank"], c["window"]) == (rank, window))
    assert list(mine["stages"]) == [s["name"] for s in planned["stages"]] == list(by_stage)
    before = {s["name"]: s["config"]["planned_flops"] for s in result["stages"]}
    varied = "codec" in update
    for stage in planned["stages"]:
        name, cost = stage["name"], by_stage[stage["name"]]
        assert 0.999 * stage["lowest_flops"] <= cost <= 1.001 * stage["highest_flops"], name
        if not (varied and stage["kind"] == "generate"):
            assert before[name] - unused.get(name, 0) == pytest.approx(cost, rel=0.02), name
            # What the forecasts do not use is the final stage's, so it is a range as they are.
            if not (varied and name in ("final", "random_start")):
                most = mine["stages"][name]["flops"]
                assert most - unused.get(name, 0) == pytest.approx(cost, rel=0.02), name
        else:
            assert stage["lowest_flops"] < cost < before[name] == stage["highest_flops"]
    low, high = planned["total_range_flops"]
    assert 0.999 * low <= spent <= 1.001 * high
    assert any(unused.values()) == varied
    if not varied:
        assert mine["total_flops"] == pytest.approx(spent, rel=0.02)


def test_a_shape_without_weights_and_a_budget_that_is_too_small(
    capsys: pytest.CaptureFixture[str], base: Path, tmp_path: Path
) -> None:
    recipe = _recipe(base, tmp_path)
    big = _plan(capsys, recipe, "--budget", "1e17", "--model", "Qwen/Qwen2.5-0.5B-Instruct")
    assert big["fits"]
    recipe = _recipe(base, tmp_path, random_start=False)
    whole = _plan(capsys, recipe)
    search = sum(s["flops"] for s in whole["stages"][:6])  # what is left is the final stage's
    small = _plan(capsys, recipe, "--budget", f"{0.95 * search:.0f}")
    assert not small["fits"]
    assert small["unfit"][0] == "context.24"
    assert small["largest_fit"]["fits"]
    assert small["largest_fit"]["total_flops"] <= 0.95 * search
    none = _plan(capsys, recipe, "--budget", "1e6")
    assert none["largest_fit"] is None
    assert "one step of every stage" in str(none["note"])
    assert main(["plan", str(recipe), "--budget", "lots"]) == 2
    assert main(["plan", str(recipe), "--no-measure"]) == 0
    text = capsys.readouterr().out
    assert "at least" in text
    assert "assumed: rank 8 and a window of 24 steps" in text


def test_a_final_stage_that_gets_no_step_does_not_fit(base: Path) -> None:
    recipe = Recipe.model_validate(RECIPE | {"model": str(base), "final_share": 0.25})
    stages = {s.name: s.flops for s in plan_study(recipe).plan.stages}
    search = sum(f for n, f in stages.items() if n.split(".")[0] in ("default", "grid", "context"))
    # Half a final step is left of the share, though a whole one would fit the limit.
    limit = search + 3 * stages["zero_shot"] + stages["final"] * 0.5
    tight = plan_study(recipe.model_copy(update={"budget": f"{limit:.0f}"})).plan
    final = next(s for s in tight.stages if s.name == "final")
    assert final.steps == 1
    assert tight.unfit()[0] == "final"


class _Source:
    """Rows whose length is the step's number."""

    def batch(self, step: int) -> list[Any]:
        return [range(step)]


class _Pricer:
    def validation_flops(self, examples: list[Any]) -> float:
        return 1000.0 * len(examples)

    def step_flops(self, examples: list[Any]) -> float:
        return float(len(examples[0]))


@pytest.mark.parametrize(("steps", "every"), [(1, 0), (6, 3), (7, 3), (2, 5), (60, 1)])
def test_a_stage_is_the_sum_of_its_steps_and_validations(steps: int, every: int) -> None:
    config = TrainConfig(steps=steps, eval_every=every)
    times = sum(step == steps or (every > 0 and step % every == 0) for step in range(1, steps + 1))
    assert validation_count(config) == times
    assert training_flops(_Pricer(), [0], _Source(), config) == pytest.approx(  # type: ignore[arg-type]
        sum(range(steps)) + 1000 * times
    )


def test_a_long_stage_is_priced_from_steps_spread_over_it() -> None:
    config = TrainConfig(steps=5000, eval_every=0)
    total = training_flops(_Pricer(), [0], _Source(), config)  # type: ignore[arg-type]
    assert total == pytest.approx(sum(range(5000)) + 1000, rel=0.001)
