"""`result.json`: refuses what it does not know, comes back as it went, is never half-written.

The verdict is judged on tables whose outcome is plain to see.
"""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from loracast.errors import StorageError
from loracast.evaluation import METHODS
from loracast.studies._schema import (
    MethodResult,
    Scores,
    StageResult,
    StudyResult,
    make_verdict,
    read_result,
    write_result,
    write_text_atomically,
)
from loracast.studies._verdict import compare, verdict_lines


def content(**changes: Any) -> dict[str, Any]:
    """The smallest result, in the form that the design gives."""
    return {
        "schema_version": 1,
        "created": "2025-03-14T15:09:26Z",
        "versions": {"loracast": "0.1.0"},
        "seed": 3,
        "data": {
            "kind": "generated",
            "path": None,
            "generator": {"name": "lotka-volterra", "seed": 3},
            "sha256": "ab" * 32,
            "n_train": 8,
            "n_val": 1,
            "n_test": 1,
            "evaluated_on": "test",
        },
        "model": {"name": "embedded"},
        "budget": {
            "convention": "exact",
            "limit_flops": 1e12,
            "spent_flops": 3e11,
            "by_stage": {"final": 3e11},
            "by_kind": {"train": 3e11},
        },
        "stages": [{"name": "final", "config": {"lr": 0.001}, "flops": 3e11, "seconds": 1.5}],
        "test": {"adapted": {"h5": {"mae": 0.1}, "h20": {"mae": 0.2}, "flops": 1e9}},
        "verdict": "-",
    } | changes


def test_fields_are_those_of_the_design(tmp_path: Path) -> None:
    path = write_result(StudyResult.model_validate(content()), tmp_path / "result.json")
    written = json.loads(path.read_text())
    top = (
        "schema_version created versions machine seed data model budget stages test verdict details"
    )
    assert list(written) == top.split()
    assert {"path", "sha256", "n_train", "n_val", "n_test"} <= set(written["data"])
    budget = "convention limit_flops spent_flops by_stage by_kind repeated_flops"
    assert list(written["budget"]) == budget.split()
    stage = "name config train_loss val_loss val_mae metrics flops seconds status note"
    assert list(written["stages"][0]) == stage.split()
    scores = "mae mae_median mse rmse mape mase crps crps_median coverage80"
    assert list(written["test"]["adapted"]["h5"]) == scores.split()
    assert set(written["test"]["adapted"]) == {"h5", "h20", "flops", "seconds", "note"}


@given(
    mae=st.floats() | st.none(),
    seconds=st.floats(allow_nan=True),
    horizon=st.integers(1, 10_000),
    note=st.text(),
)
def test_any_numbers_and_notes_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    mae: float | None,
    seconds: float,
    horizon: int,
    note: str,
) -> None:
    note = note.encode("utf-8", "ignore").decode()
    row = {f"h{horizon}": {"mae": mae}, "seconds": seconds, "note": note}
    result = StudyResult.model_validate(content(test={"adapted": row}))
    path = tmp_path_factory.mktemp("any") / "result.json"
    write_result(result, path)
    assert read_result(path) == result
    got = result.test["adapted"].horizons[horizon].mae
    assert got == (mae if mae is not None and math.isfinite(mae) else None)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(path.read_text(), parse_constant=refuse)


def test_numpy_numbers_are_taken_and_what_is_not_finite_is_null() -> None:
    row = MethodResult.model_validate({"h5": {"mae": np.float32(0.5), "mse": np.nan}, "flops": 3})
    assert row.h5 == Scores(mae=0.5)
    assert row.flops == 3.0
    assert StageResult(name="x", val_loss=math.inf).val_loss is None


def test_horizons_are_in_order_of_length() -> None:
    row = MethodResult.model_validate({"h100": {}, "h5": {}, "h20": {}})
    assert list(row.horizons) == [5, 20, 100]


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"schema_version": 2},
        {"created": "2025-03-14T15:09:26"},  # no time zone
        {"data": content()["data"] | {"sha256": "abc"}},
        {"data": content()["data"] | {"n_val": -1}},
        {"data": content()["data"] | {"evaluated_on": "training"}},
        {"budget": content()["budget"] | {"spent_flops": math.nan}},
        {"budget": content()["budget"] | {"spent_flops": -1}},
        {"stages": [{"name": "final", "status": "perhaps"}]},
        {"test": {"adapted": {"h0": {"mae": 1}}}},
        {"test": {"adapted": {"mae": {"mae": 1}}}},
        {"test": {"adapted": {"h5": {"mae": "0.1x"}}}},
        {"test": {"adapted": {"h5": {"accuracy": 1}}}},
        {"test": {"adapted": {"h5": 0.1}}},
    ],
)
def test_what_the_schema_does_not_know_is_refused(changes: dict[str, Any]) -> None:
    StudyResult.model_validate(content())
    with pytest.raises(ValidationError):
        StudyResult.model_validate(content(**changes))


def test_a_result_cannot_be_changed() -> None:
    result = StudyResult.model_validate(content())
    with pytest.raises(ValidationError, match="frozen"):
        result.verdict = "better"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        result.budget.spent_flops = 0.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at the whole file: Invalid JSON"),
        ("not json", "at the whole file: Invalid JSON"),
        ("[]", "at the whole file: Input should be an object"),
        ('{"schema_version": 1}', r"at created: Field required \(and 8 more\)"),
        (json.dumps(content(seed="x")), "at seed: Input should be a valid integer"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(StorageError, match=message) as caught:
        read_result(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert "loracast study run" in str(caught.value)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="got no such file"):
        read_result(tmp_path / "result.json")


def test_a_folder_in_place_of_the_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        read_result(tmp_path)


def test_a_full_disk_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text_atomically(tmp_path / "result.json", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot be written \(No space left"):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_the_folder_should_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text_atomically(tmp_path / "out" / "result.json", "x")


# --- the verdict


def table(adapted: float | None, **others: float | None) -> dict[str, dict[int, float | None]]:
    return {"adapted": {5: adapted}, **{m: {5: e} for m, e in others.items()}}


def test_a_loss_is_said_first_with_every_method_that_wins() -> None:
    lines = verdict_lines(
        {
            "adapted": {5: 0.2, 20: 0.4},
            "zero_shot": {5: 0.4, 20: 1.6},
            "naive": {5: 1.0, 20: 1.0},
            "var5_log": {5: 0.1, 20: 0.8},
            "quadratic_growth": {5: 0.01, 20: 0.02},
        }
    )
    assert lines == [
        "The adapted model loses to 2 of the 4 methods compared: VAR(5) on logs "
        "(MAE 100 % higher at 5 steps); quadratic log-growth (MAE 1,900 % higher at 5 steps, "
        "1,900 % at 20).",
        "Against the model without adaptation: beats its zero-shot self "
        "(MAE 50 % lower at 5 steps, 75 % at 20).",
        "Against the naive methods: beats naive (last value) "
        "(MAE 80 % lower at 5 steps, 60 % at 20).",
        "Against the classical methods: beats VAR(5) on logs (MAE 50 % lower at 20 steps); "
        "loses to it at 5 steps; beats quadratic log-growth at no horizon.",
    ]


def test_a_win_over_all_is_said_so() -> None:
    lines = verdict_lines(table(0.1, zero_shot=0.2, global_mlp=0.4, mystery=0.125))
    assert lines[0] == (
        "The adapted model has a lower MAE than each of the 3 methods compared, at every horizon."
    )
    assert lines[-1] == "Against other methods: beats mystery (MAE 20 % lower at 5 steps)."
    assert not any("loses" in line for line in lines)


def test_a_tie_is_no_win() -> None:
    lines = verdict_lines(table(1.0, naive=1.005, seasonal_naive=0.995))
    assert lines == [
        "The adapted model loses to none of the 2 methods compared.",
        "Against the naive methods: ties with naive (last value) at 5 steps (within 1 %); "
        "ties with seasonal naive at 5 steps (within 1 %).",
    ]


def test_missing_scores_are_named_and_never_count_as_wins() -> None:
    errors = {"adapted": {5: 1.0, 20: 1.0}, "naive": {5: 2.0, 20: None}, "auto_ets": {}}
    lines = verdict_lines(errors)
    assert lines[0].startswith("The adapted model has a lower MAE than the one method compared,")
    assert lines[-1] == (
        "Not compared, for want of a score: naive (last value) at 20 steps; AutoETS."
    )
    notes = {"auto_ets": "does not apply: it is not installed", "naive": "a remark on scores"}
    assert verdict_lines(errors, notes=notes)[-1] == (
        "Not compared, for want of a score: naive (last value) at 20 steps; "
        "AutoETS (it is not installed)."
    )


def test_the_headline_says_what_was_scored_unless_it_is_a_test_set() -> None:
    said = "Scored on the validation series, which also chose settings and checkpoint: "
    for errors in (table(0.1, naive=0.2), table(0.3, naive=0.2), table(0.2, naive=0.2)):
        plain, labelled = verdict_lines(errors), verdict_lines(errors, evaluated_on="validation")
        assert plain[0].startswith("The adapted model")
        assert labelled[0] == f"{said}the{plain[0].removeprefix('The')}"
        assert labelled[1:] == plain[1:]


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ({}, "No verdict: the adapted model has no scores."),
        ({"naive": {5: 1.0}}, "No verdict: the adapted model has no scores."),
        (table(None, naive=1.0), "No verdict: the adapted model has no scores."),
        (table(math.nan, naive=1.0), "No verdict: the adapted model has no scores."),
        (table(1.0), "No verdict: there is no scored method to hold the adapted model against."),
    ],
)
def test_no_scores_no_verdict(errors: dict[str, dict[int, float | None]], message: str) -> None:
    assert verdict_lines(errors) == [message]


def test_an_exact_rival_is_named_and_an_exact_pair_ties() -> None:
    assert "it is exact at 5 steps" in verdict_lines(table(0.1, quadratic_growth=0.0))[0]
    assert compare(table(0.0, quadratic_growth=0.0))[0].outcome == "ties"


def test_nearly_all_is_not_all() -> None:
    assert "99.9 % lower" in verdict_lines(table(1e-9, naive=1.0))[1]


@given(
    st.dictionaries(
        st.sampled_from(sorted(METHODS.keys() - {"adapted"})), st.floats(1e-6, 1e6), min_size=1
    )
)
def test_every_method_is_placed_once_and_on_the_right_side(rivals: dict[str, float]) -> None:
    ours = 1.0
    text = "\n".join(verdict_lines(table(ours, **rivals)))
    head = text.split("\n")[0]
    for method, theirs in rivals.items():
        percent = 100 * (ours / theirs - 1)
        name = METHODS[method].spoken
        assert (f"{name} (MAE" in head) == (percent >= 1), (method, theirs, head)
        assert (f"beats {name} (MAE" in text) == (percent <= -1)
        assert (f"ties with {name}" in text) == (abs(percent) < 1)


def test_make_verdict_takes_models_and_plain_dicts_alike() -> None:
    plain = {
        "adapted": {"h5": {"mae": 0.2, "rmse": 3.0}, "seconds": 1.0},
        "naive": {"h5": {"mae": 0.1, "rmse": 6.0}, "note": "x"},
    }
    models = {m: MethodResult.model_validate(row) for m, row in plain.items()}
    assert make_verdict(plain) == make_verdict(models)
    assert make_verdict(plain).startswith("The adapted model loses to 1 of the 1 methods compared")
    assert "RMSE 50 % lower" in make_verdict(plain, metric="rmse")
    with pytest.raises(ValueError, match="expected an error such as mae"):
        make_verdict(plain, metric="coverage80")


def test_created_keeps_its_zone() -> None:
    result = StudyResult.model_validate(content(created=datetime(2025, 1, 1, tzinfo=UTC)))
    assert json.loads(result.model_dump_json())["created"] == "2025-01-01T00:00:00Z"


def test_a_method_that_is_all_but_exact_is_not_beaten_by_a_ten_digit_percentage() -> None:
    lines = verdict_lines({"adapted": {5: 0.01}, "ode_fit": {5: 1e-10}})
    assert "over 100,000 % higher at 5 steps" in lines[0]
