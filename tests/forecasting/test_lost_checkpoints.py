"""A fit that comes back to lost or damaged checkpoints: the same adapter, or a clear refusal."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from loracast import Forecaster
from loracast.annotation import Annotator
from loracast.errors import DamageWarning, StorageError
from loracast.ledger import Ledger

WEIGHTS = Path("adapter") / "adapter_model.safetensors"
MANIFEST = Path("adapter") / "loracast.json"


def _forecaster(base: str, many: pd.DataFrame, out: Path, budget: float) -> None:
    made = Forecaster.from_pretrained(base, seed=3, n_samples=6)
    made.fit(many, budget=budget, max_steps=4, out=out, training={"batch_size": 2})


def _annotator(base: str, many: pd.DataFrame, out: Path, budget: float) -> None:
    Annotator.from_pretrained(base, seed=5).fit(
        budget=budget,
        max_steps=3,
        lengths=(20, 40),
        out=out,
        calibration=1,
        training={"batch_size": 2, "checkpoint_every": 1},
    )


@pytest.fixture(params=[_forecaster, _annotator], ids=["forecaster", "annotator"])
def fit(request: Any, base: str, many: pd.DataFrame) -> Callable[[Path, float], None]:
    return lambda out, budget: request.param(base, many, out, budget)


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_fit_comes_back_to_lost_checkpoints(
    fit: Callable[[Path, float], None], tmp_path: Path
) -> None:
    fit(tmp_path / "a", 1e12)
    whole = (tmp_path / "a" / WEIGHTS).read_bytes()
    checkpoints = tmp_path / "a" / "checkpoints"

    # the adapter alone: from its checkpoints and its calibration, for nothing
    with Ledger(tmp_path / "a" / "ledger.sqlite") as ledger:
        spent = ledger.spent_flops
    shutil.rmtree(tmp_path / "a" / "adapter")
    fit(tmp_path / "a", 1e12)
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == whole
    with Ledger(tmp_path / "a" / "ledger.sqlite") as ledger:
        assert ledger.spent_flops == spent

    for damage in ("flip the newest", "flip all", "delete"):
        if damage == "delete":
            shutil.rmtree(checkpoints)
        for path in sorted(checkpoints.glob("step-*"))[-1 if damage == "flip the newest" else 0 :]:
            _flip(path / "weights.safetensors")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", DamageWarning)
            fit(tmp_path / "a", 1e12)
        assert any("charged again" in str(w.message) for w in said)
        assert (tmp_path / "a" / WEIGHTS).read_bytes() == whole, damage
        with Ledger(tmp_path / "a" / "ledger.sqlite") as ledger:
            assert ledger.spent_flops > spent
            assert ledger.reserved_flops == 0
            spent = ledger.spent_flops


def test_a_fit_that_cannot_pay_twice_refuses_and_keeps_the_adapter(
    fit: Callable[[Path, float], None], tmp_path: Path
) -> None:
    fit(tmp_path / "a", 1e12)
    with Ledger(tmp_path / "a" / "ledger.sqlite") as ledger:
        trained = ledger.by_kind()["train"]
        spent = ledger.spent_flops
    budget = spent + trained / 2  # the forecaster has room for it once, and for half of it again
    fit(tmp_path / "b", budget)
    before = [(tmp_path / "b" / name).read_bytes() for name in (WEIGHTS, MANIFEST)]
    for _ in range(20):  # the annotator keeps more room for its calibration than that takes
        shutil.rmtree(tmp_path / "b" / "checkpoints")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DamageWarning)
                fit(tmp_path / "b", budget)
        except StorageError as error:
            assert "lost or damaged; training from there again costs" in str(error)
            break
        assert (tmp_path / "b" / WEIGHTS).read_bytes() == before[0]
        before[1] = (tmp_path / "b" / MANIFEST).read_bytes()
    else:
        pytest.fail("the budget never ended")
    assert [(tmp_path / "b" / name).read_bytes() for name in (WEIGHTS, MANIFEST)] == before


def test_a_damaged_calibration_is_made_again(
    fit: Callable[[Path, float], None], tmp_path: Path
) -> None:
    """Of an annotator and of a forecaster, beside their checkpoints."""
    fit(tmp_path / "a", 1e12)
    (kept,) = [
        path
        for name in ("spread.json", "calibration.json")
        if (path := tmp_path / "a" / name).exists()
    ]
    whole, adapter = kept.read_text(), (tmp_path / "a" / WEIGHTS).read_bytes()
    assert '"sha256"' in whole
    changed = whole.replace('"sha256": "', '"sha256": "0')
    for text in ("[NaN]", "[1.0, 2.0]", changed, whole[:-9]):
        kept.write_text(text)
        with pytest.warns(DamageWarning, match="is damaged and made again"):
            fit(tmp_path / "a", 1e12)
        assert kept.read_text() == whole
        assert (tmp_path / "a" / WEIGHTS).read_bytes() == adapter
    fit(tmp_path / "a", 1e12)  # and nothing is said of a whole one
