"""`loracast study` and `loracast pretrain` hand over what was asked; the work has its own tests."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loracast.errors import BudgetExceeded
from loracast.studies import load_recipe
from loracast.training import TrainResult


class Result(SimpleNamespace):
    """What a study gives back, as far as the command looks."""

    def model_dump(self, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return {"verdict": self.verdict, "loss": float("nan")}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []

    def study(recipe: Any, out: Path, progress: Any, *, fresh: bool) -> Result:
        progress.stage("zero_shot", 3)
        progress.advance(3, "text")
        seen.append((recipe, out, fresh))
        return Result(verdict="The adapted model loses to none.")

    monkeypatch.setattr("loracast.studies.run_study", study)
    return seen


def test_without_arguments_the_shipped_study_runs(run: Any, calls: list[Any]) -> None:
    outcome = run("study", "run")
    assert outcome.code == 0
    assert calls == [(load_recipe(None), Path("out/study"), False)]
    assert outcome.out.splitlines()[0] == "The adapted model loses to none."
    assert "out/study/report.html" in outcome.out


def test_options_override_the_recipe_and_nothing_else(
    run: Any, calls: list[Any], tmp_path: Path
) -> None:
    outcome = run(
        "study", "run", "--data", "x.h5", "--budget", "3PF", "--model", "m", "--seed", 5,
        "--fresh", "--out", tmp_path, "--json",
    )  # fmt: skip
    assert json.loads(outcome.out) == {"verdict": "The adapted model loses to none.", "loss": None}
    recipe, out, fresh = calls[0]
    assert (recipe.data.path, recipe.budget, recipe.model, recipe.seed) == ("x.h5", "3PF", "m", 5)
    assert (out, fresh) == (tmp_path, True)
    same = recipe.model_copy(
        update={
            name: getattr(load_recipe(None), name) for name in ("data", "budget", "model", "seed")
        }
    )
    assert same == load_recipe(None)


def test_a_budget_that_does_not_fit_is_one_line(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def study(*_args: object, **_kwargs: object) -> None:
        raise BudgetExceeded("zero_shot wants 5 FLOPs,\nbut 3 are left")

    monkeypatch.setattr("loracast.studies.run_study", study)
    assert run("study", "run").message == "error: zero_shot wants 5 FLOPs, but 3 are left"


def test_pretrain_hands_over_recipe_and_folder(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from loracast.pretraining import load_pretrain_recipe

    seen: list[Any] = []

    def work(recipe: Any, out: Path, progress: Any) -> TrainResult:
        seen.append((recipe, out, callable(progress)))
        return TrainResult(steps=4, best_val_loss=1.5, flops=2e9)

    monkeypatch.setattr("loracast.pretraining.pretrain", work)
    recipe = Path(__file__).parents[2] / "recipes" / "pretrain.yaml"
    found = json.loads(run("pretrain", recipe, "--out", tmp_path, "--json").out)
    assert seen == [(load_pretrain_recipe(recipe), tmp_path, True)]
    assert (found["steps"], found["val_loss"], found["flops"]) == (4, 1.5, 2e9)
    assert "4 steps, validation loss 1.5000" in run("pretrain", recipe, "--out", tmp_path).out
