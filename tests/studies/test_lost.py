"""A study whose files are lost or damaged on the way ends as one left alone, or says why not."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from loracast.backbone import build_embedded, embedded_config
from loracast.errors import DamageWarning, StorageError
from loracast.ledger import Ledger
from loracast.series import Panel, write_hdf5
from loracast.studies import Recipe, read_result, run_study
from loracast.training import Quiet

WEIGHTS = Path("adapter") / "adapter_model.safetensors"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lost")
    build_embedded(folder / "base", embedded_config(64, 1, 64), seed=3)
    rng = np.random.default_rng(0)
    values = [2 + np.sin(np.arange(30)[:, None] / 4 + rng.uniform(0, 6)) for _ in range(9)]
    times = tuple(np.arange(30) for _ in values)
    write_hdf5(Panel(tuple(range(9)), tuple(values), times, ("y",)), folder / "data.h5")
    return folder


def _recipe(home: Path, budget: float = 1e12) -> Recipe:
    return Recipe.model_validate(
        {
            "budget": f"{budget:.0f}",
            "model": str(home / "base"),
            "data": {"path": str(home / "data.h5"), "train": 5, "validation": 2},
            "context": 20,
            "horizons": [3],
            "samples": 2,
            "training": {
                "steps": 1,
                "batch_size": 2,
                "learning_rate": 1e-2,
                "eval_every": 3,
                "checkpoint_every": 2,
                "log_every": 1,
                "precision": "fp32",
            },
            "adapter": {"rank": 2, "alpha": 4},
            "default_steps": 2,
            "grid": None,
            "contexts": None,
            "random_start": False,
            "max_final_steps": 7,
            "baselines": ["naive"],
        }
    )


class _Stops(Quiet):
    """Interrupts the stage `final` after so many steps."""

    def __init__(self, after: int) -> None:
        self.name, self.left = "", after

    def stage(self, name: str, total: int | None) -> None:
        self.name = name

    def advance(self, n: int, text: str = "") -> None:
        if self.name == "final":
            self.left -= n
            if not self.left:
                raise KeyboardInterrupt


@pytest.fixture(scope="module")
def undisturbed(home: Path) -> Path:
    run_study(_recipe(home), home / "whole")
    return home / "whole"


def _same_end(out: Path, undisturbed: Path) -> None:
    assert (out / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()
    ours, theirs = (read_result(f / "result.json") for f in (out, undisturbed))
    assert ours.test["adapted"].horizons == theirs.test["adapted"].horizons


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("after", [1, 4, 6])
@pytest.mark.parametrize("damage", ["delete", "flip the newest"])
def test_checkpoints_lost_on_the_way(
    home: Path, undisturbed: Path, tmp_path: Path, after: int, damage: str
) -> None:
    out = tmp_path / "s"
    with pytest.raises(KeyboardInterrupt):
        run_study(_recipe(home), out, _Stops(after))
    checkpoints = out / "stages" / "final" / "checkpoints"
    if damage == "delete":
        shutil.rmtree(checkpoints, ignore_errors=True)
    elif checkpoints.exists():
        _flip(max(checkpoints.iterdir()) / "weights.safetensors")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DamageWarning)
        run_study(_recipe(home), out)
    _same_end(out, undisturbed)
    told = any("trained again is charged again" in str(w.message) for w in said)
    assert told == (after > 2), "aloud, once a checkpoint was there to be lost"
    spent = [read_result(f / "result.json").budget.spent_flops for f in (out, undisturbed)]
    assert spent[0] > spent[1]


@pytest.mark.parametrize("damage", ["delete", "flip"])
def test_an_adapter_lost_after_the_study_is_written_again_without_training(
    home: Path, undisturbed: Path, tmp_path: Path, damage: str
) -> None:
    out = tmp_path / "s"
    shutil.copytree(undisturbed, out)
    if damage == "delete":
        shutil.rmtree(out / "adapter")
    else:
        _flip(out / WEIGHTS)
    with pytest.warns(DamageWarning, match="gone on with from its checkpoints"):
        run_study(_recipe(home), out)
    _same_end(out, undisturbed)
    with Ledger(out / "ledger.sqlite") as one, Ledger(undisturbed / "ledger.sqlite") as two:
        assert one.by_kind()["train"] == two.by_kind()["train"]
        # What is measured anew, the validation forecasts and the bands, is paid again and told.
        assert one.spent_flops == two.spent_flops + one.repeated_flops


def test_what_does_not_fit_again_is_refused_and_the_result_stays(
    home: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s"
    shutil.copytree(undisturbed, out)
    spent = read_result(out / "result.json").budget.spent_flops
    before = (out / "result.json").read_bytes()
    shutil.rmtree(out / "adapter")
    shutil.rmtree(out / "stages" / "final" / "checkpoints")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        with pytest.raises(StorageError, match="lost or damaged; training from there again costs"):
            run_study(_recipe(home, spent * 1.01), out)
        assert (out / "result.json").read_bytes() == before
        run_study(_recipe(home), out)
    _same_end(out, undisturbed)
