"""A fit keeps to its budget, resumes exactly, and leaves nothing half-done."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from loracast import Forecaster
from loracast.errors import BudgetExceeded, ConfigError, DataError, StorageError
from loracast.ledger import Ledger


def digest(folder: Path) -> str:
    return hashlib.sha256(
        (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    ).hexdigest()


def test_the_report_says_what_was_done(fitted: tuple[Forecaster, Path]) -> None:
    forecaster, out = fitted
    report = forecaster.fit_report
    assert report is not None
    assert (report.n_train, report.n_validation, report.held_out) == (11, 1, "series")
    assert report.training.steps == 4
    assert report.training.best_val_loss is not None
    with Ledger(out / "ledger.sqlite") as ledger:
        assert ledger.spent_flops == report.flops <= report.limit_flops
        assert ledger.reserved_flops == 0
        train = ledger.by_kind()["train"]
    assert train == pytest.approx(4 * report.step_flops, rel=1e-9)


@pytest.mark.parametrize("budget", [4e8, 2e9, 7e9])
def test_steps_are_what_the_budget_affords(base: str, few: pd.DataFrame, budget: float) -> None:
    """Oracle: the steps taken fit, and one more with the validations would not."""
    forecaster = Forecaster.from_pretrained(base)
    forecaster.fit(few, budget=budget, max_steps=6, training={"batch_size": 1})
    report = forecaster.fit_report
    assert report is not None
    assert report.flops <= budget
    assert report.held_out == "last steps"
    steps = report.training.steps
    assert steps == 6 or 0.8 * budget < (steps + 1) * report.step_flops


def test_too_small_a_budget_leaves_no_trace(base: str, few: pd.DataFrame, tmp_path: Path) -> None:
    forecaster = Forecaster.from_pretrained(base, n_samples=9)
    before = forecaster.predict(2, frame=few)
    with pytest.raises(BudgetExceeded, match=r"one training step costs .* but the budget is"):
        forecaster.fit(few, budget=1e3, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    pd.testing.assert_frame_equal(forecaster.predict(2, frame=few), before)
    assert forecaster.fit_report is None


class Killed(BaseException):
    """Stands for a process that ends at once."""


def test_a_killed_fit_resumes_to_the_same_bytes_and_pays_what_ran_twice(
    base: str, few: pd.DataFrame, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "budget": 1e10,
        "max_steps": 6,
        "training": {"batch_size": 1, "checkpoint_every": 2},
    }
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    Forecaster.from_pretrained(base).fit(few, out=whole, **options)

    def kill(progress: Any) -> None:
        if progress.step == 5:
            raise Killed

    with pytest.raises(Killed):
        Forecaster.from_pretrained(base).fit(few, out=broken, progress=kill, **options)
    assert not (broken / "adapter").exists()
    seen = []
    again = Forecaster.from_pretrained(base)
    again.fit(few, out=broken, progress=lambda p: seen.append(p.step), **options)
    assert seen == [5, 6]
    for file in (whole / "adapter").iterdir():
        assert file.read_bytes() == (broken / "adapter" / file.name).read_bytes(), file.name
    report = again.fit_report
    assert report is not None
    with Ledger(whole / "ledger.sqlite") as a, Ledger(broken / "ledger.sqlite") as b:
        assert b.spent_flops == a.spent_flops + report.step_flops  # step 5 ran twice
        assert b.spent_flops == report.flops
        assert b.repeated_flops == report.repeated_flops == report.step_flops
        assert b.reserved_flops == 0
    # Once finished, nothing runs again.
    again.fit(few, out=broken, progress=lambda p: seen.append(p.step), **options)
    assert seen == [5, 6]
    assert again.fit_report is not None
    assert again.fit_report.flops == report.flops
    assert digest(whole) == digest(broken)
    with pytest.raises(StorageError, match="other data or settings"):
        again.fit(few[few.unique_id != "s0"], out=broken, **options)


def test_a_killed_fit_without_room_for_what_ran_twice_says_so_and_goes_on_with_more(
    base: str, few: pd.DataFrame, tmp_path: Path
) -> None:
    training = {"batch_size": 1, "checkpoint_every": 2, "eval_every": 0}
    options: dict[str, Any] = {"max_steps": 500, "training": training}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    left_alone = Forecaster.from_pretrained(base).fit(few, 7e8, out=whole, **options)
    assert left_alone.fit_report is not None
    planned = left_alone.fit_report.training.steps
    assert 4 < planned < 20  # the budget decides

    def kill(progress: Any) -> None:
        if progress.step == 4:
            raise Killed

    with pytest.raises(Killed):
        Forecaster.from_pretrained(base).fit(few, 7e8, out=broken, progress=kill, **options)
    again = Forecaster.from_pretrained(base)
    for _ in range(2):  # it stays refused, and does not pretend to be finished
        with pytest.raises(BudgetExceeded, match="ran again after an interruption") as caught:
            again.fit(few, 7e8, out=broken, **options)
    assert "\n" not in str(caught.value)
    assert not (broken / "adapter").exists()
    with Ledger(broken / "ledger.sqlite") as ledger:
        assert ledger.spent_flops <= 7e8
    again.fit(few, 9e8, out=broken, **options)
    assert again.fit_report is not None
    assert again.fit_report.training.steps == planned
    assert digest(whole) == digest(broken)
    with pytest.raises(StorageError, match="other data or settings"):
        again.fit(few, 5e8, out=broken, **options)


def test_a_second_fit_starts_from_the_base(base: str, few: pd.DataFrame) -> None:
    options: dict[str, Any] = {"budget": 1e10, "max_steps": 2, "training": {"batch_size": 1}}
    once = Forecaster.from_pretrained(base, n_samples=9)
    once.fit(few, **options)
    expected = once.predict(2)
    once.fit(few[few.unique_id == "s1"], **options)
    once.fit(few, **options)
    pd.testing.assert_frame_equal(once.predict(2), expected)


def test_columns_are_remembered(base: str, few: pd.DataFrame) -> None:
    odd = few.rename(columns={"unique_id": "plant", "ds": "n", "y": "power"})
    names = {"id_col": "plant", "time_col": "n", "target_cols": ["power"]}
    forecaster = Forecaster.from_pretrained(base, n_samples=9)
    forecaster.fit(odd, budget=1e10, max_steps=1, training={"batch_size": 1}, **names)
    frame = forecaster.predict(2, frame=odd)
    assert list(frame.columns)[:3] == ["plant", "n", "loracast"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"budget": "much"}, ConfigError, "got 'much'"),
        ({"budget": -1}, ConfigError, "positive"),
        ({"max_steps": 0}, ConfigError, "max_steps=0"),
        ({"adapter": {"rank": 0}}, ConfigError, "AdapterConfig.rank"),
        ({"adapter": {"ranks": 4}}, ConfigError, "known are"),
        ({"training": {"learning_rate": "fast"}}, ConfigError, "TrainConfig.learning_rate"),
        ({"training": {"epochs": 3}}, ConfigError, "known are"),
    ],
)
def test_impossible_dials_are_one_line(
    base: str, few: pd.DataFrame, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        Forecaster.from_pretrained(base).fit(few, **options)
    assert "\n" not in str(caught.value)


def test_series_without_enough_values_are_refused_by_name(base: str) -> None:
    forecaster = Forecaster.from_pretrained(base)
    frame = pd.DataFrame({"unique_id": ["a", "a", "b"], "ds": [0, 1, 0], "y": [1.0, 2.0, 3.0]})
    with pytest.raises(DataError, match="series 'b' has 1 step; training needs at least 2"):
        forecaster.fit(frame)
    hollow = pd.DataFrame({"unique_id": "a", "ds": range(5), "y": np.nan})
    with pytest.raises(DataError, match="series 'a' has no known value"):
        forecaster.fit(hollow)
