"""A plan beside what a small study then spends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loracast.cli import main
from loracast.flops import Ledger

RECIPE = """
name: tiny
budget: 8e11
codec: {name: compact, digits: 2, headroom: 0.1}
data: {generate: 12, train: 8, validation: 2}
context: 20
horizons: [4]
samples: 2
adapter: {rank: 4, alpha: 8, targets: [q, v]}
training: {steps: 4, batch_size: 2, eval_every: 2, checkpoint_every: 3}
default_steps: 3
grid: {steps: 3, learning_rate: [0.001], rank: [2, 4]}
contexts: {steps: 2, windows: [24]}
max_final_steps: 5
baselines: [naive]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def _plan(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["plan", *arguments, "--no-calibrate", "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.slow
def test_a_study_spends_what_was_planned(
    capsys: pytest.CaptureFixture[str], recipe: Path, tmp_path: Path
) -> None:
    planned = _plan(capsys, str(recipe))
    assert planned["fits"]
    assert main(["study", "run", str(recipe), "--out", str(tmp_path / "out")]) == 0
    with Ledger(tmp_path / "out" / "ledger.sqlite") as ledger:
        spent, by_stage = ledger.spent_flops, ledger.by_stage()
        assert ledger.reserved_flops == 0
    assert planned["total_flops"] == pytest.approx(spent, rel=0.02)
    stages = planned["stages"]
    assert isinstance(stages, list)
    assert [s["name"] for s in stages] == list(by_stage)
    for stage in stages:
        assert stage["flops"] == pytest.approx(by_stage[stage["name"]], rel=0.05), stage["name"]


def test_a_shape_without_weights_and_a_budget_that_is_too_small(
    capsys: pytest.CaptureFixture[str], recipe: Path
) -> None:
    big = _plan(capsys, str(recipe), "--budget", "1e17", "--model", "Qwen/Qwen2.5-0.5B-Instruct")
    assert big["fits"]
    small = _plan(capsys, str(recipe), "--budget", "4e10")
    assert not small["fits"]
    assert small["unfit"]
    largest = small["largest_fit"]
    assert isinstance(largest, dict)
    assert largest["fits"]
    assert largest["total_flops"] <= 4e10
    none = _plan(capsys, str(recipe), "--budget", "1e9")
    assert none["largest_fit"] is None
    assert "one step of every stage" in str(none["note"])
    assert main(["plan", str(recipe), "--budget", "lots"]) == 2
