"""Stages as data: names that are read as they are written, the list of a recipe, old facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loracast.errors import StorageError
from loracast.studies import Recipe
from loracast.studies._facts import ForecastFacts, StageId, StepsFacts, TrainingFacts
from loracast.studies._stages import stages_of
from loracast.studies._workspace import Workspace

WORD = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
SETTING = st.from_regex(r"[a-z0-9=,]{0,6}(0\.[0-9]{1,3})?", fullmatch=True)


@given(WORD, SETTING, st.integers(0, 20))
def test_a_name_is_read_as_it_was_written(group: str, label: str, repeat: int) -> None:
    name = StageId(group, label, repeat if label else 0)
    assert StageId.read(str(name)) == name


def test_names_on_disk_are_those_of_earlier_studies() -> None:
    assert str(StageId("default")) == "default"
    assert str(StageId("grid", "lr=0.001,r=8", 1)) == "grid.lr=0.001,r=8,repeat=1"
    assert StageId.read("context.80,repeat=2") == StageId("context", "80", 2)


@pytest.mark.parametrize(
    ("update", "names"),
    [
        ({}, "classical zero_shot default grid context final test "
             "search_random_start random_start test_random_start"),
        ({"grid": None, "contexts": None, "random_start": False},
         "classical zero_shot default final test"),
        ({"grid": None, "full_fine_tuning": True, "test_contexts": [20]},
         "classical zero_shot default context final test test_context "
         "full_fine_tuning test_full_fine_tuning random_start test_random_start"),
    ],
)  # fmt: skip
def test_a_recipe_is_a_list_of_stages(update: dict[str, Any], names: str) -> None:
    recipe = Recipe.model_validate({"training": {"steps": 1}} | update)
    assert [stage.name for stage in stages_of(recipe)] == names.split()


def test_facts_of_an_earlier_study_are_read(tmp_path: Path) -> None:
    """As they were written before plans and validation forecasts were recorded."""
    space = Workspace(tmp_path, "f")
    old = {
        "config": {"adapter": {"rank": 2}, "training": {"steps": 3}, "window_steps": 30},
        "steps": 3,
        "train_loss": 1.5,
        "val_loss": float("nan"),
        "flops": 1e9,
        "seconds": 2.0,
        "status": "done",
        "history": [{"step": 1, "train_loss": 2.0, "lr": 0.1, "seconds": 0.5}],
        "validations": [{"step": 3, "val_loss": float("nan")}],
        "grad_norms": {"lora_A": [0.5]},
        "n_trainable": 7,
    }
    name = StageId("grid", "lr=0.01,r=2")
    path = space.folder(name) / "stage.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(old))
    facts = space.done(name, TrainingFacts)
    assert facts is not None
    assert (facts.config.adapter.rank, facts.config.training.steps) == (2, 3)
    assert (facts.val_mae, facts.config.precision, facts.history[0].step) == (None, None, 1)
    path.write_text(json.dumps({"flops": 1.0, "seconds": 2.0}))
    assert space.done(name, ForecastFacts) == ForecastFacts(flops=1.0, seconds=2.0)
    with pytest.raises(StorageError, match=r"stage\.json is not readable \(.*remove it to redo"):
        space.done(name, StepsFacts)
