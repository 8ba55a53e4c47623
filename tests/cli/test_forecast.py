"""`loracast forecast` beside the Python interface, and what it writes where."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from loracast import Forecaster


def test_the_command_prints_what_python_predicts(run: Any, base: str, data: Path) -> None:
    outcome = run(
        "forecast", data / "monthly.csv", "--horizon", 3, "--samples", 4, "--seed", 7,
        "--model", base, "--level", 90,
    )  # fmt: skip
    assert outcome.code == 0
    found = pd.read_csv(io.StringIO(outcome.out), parse_dates=["month"])
    forecaster = Forecaster.from_pretrained(base, seed=7, n_samples=4)
    frame = pd.read_csv(data / "monthly.csv", parse_dates=["month"])
    expected = forecaster.predict(3, [90], frame)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert found.month.dt.strftime("%Y-%m-%d").tolist() == [
        "2003-07-31", "2003-08-31", "2003-09-30",
    ]  # fmt: skip
    assert "1 series, 3 steps, 4 samples" in outcome.err
    assert "FLOPs" in outcome.err


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_hold_the_same_numbers(
    run: Any, base: str, data: Path, tmp_path: Path, suffix: str
) -> None:
    out, plot = tmp_path / f"f.{suffix}", tmp_path / "f.png"
    args = ["forecast", data / "pairs.h5", "--horizon", 2, "--samples", 2, "--model", base]
    printed = run(*args)
    written = run(*args, "--out", out, "--plot", plot)
    assert (printed.code, written.code) == (0, 0)
    assert written.out == ""
    read = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    pd.testing.assert_frame_equal(read, pd.read_csv(io.StringIO(printed.out)))
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([out.name, plot.name])


def test_json_is_pure_and_complete(run: Any, base: str, data: Path) -> None:
    outcome = run(
        "forecast", data / "monthly.csv", "--horizon", 2, "--samples", 2, "--model", base, "--json"
    )
    found = json.loads(outcome.out)
    assert [row["month"][:10] for row in found["forecast"]] == ["2003-07-31", "2003-08-31"]
    assert found["flops"] > 0
    assert (found["n_series"], found["horizon"], found["codec"]) == (1, 2, "compact")


def test_one_channel_and_odd_columns(run: Any, base: str, data: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(data / "three.csv").rename(columns={"unique_id": "plant", "y": "kw"})
    file = tmp_path / "odd.csv"
    frame.assign(noise=1.0).to_csv(file, index=False)
    outcome = run(
        "forecast", file, "--horizon", 1, "--samples", 2, "--model", base,
        "--id-col", "plant", "--time-col", "ds", "--target-cols", "kw",
    )  # fmt: skip
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].startswith("plant,ds,loracast,")
    assert "columns not used: 'noise'" in outcome.err


def test_several_commands_share_a_ledger(run: Any, base: str, data: Path, tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    args = ["forecast", data / "three.csv", "--horizon", 1, "--samples", 2, "--model", base]
    assert "no file" in run(*args, "--ledger", place).message
    assert run("ledger", "open", place, "--limit", "1e15", "--name", "team").code == 0
    assert "no ledger named 'default'" in run(*args, "--ledger", place).message
    named = ["--ledger", place, "--ledger-name", "team"]
    plain, charged = run(*args, "--json"), run(*args, *named, "--json")
    cost = json.loads(charged.out)["flops"]
    assert json.loads(charged.out)["forecast"] == json.loads(plain.out)["forecast"]
    described = run("annotate", data / "three.csv", "--model", base, *named)
    assert described.code == 0, described.err
    shown = json.loads(run("ledger", "show", place, "--name", "team", "--json").out)
    assert shown["by_stage"]["forecast"] == cost > 0
    assert shown["by_stage"]["annotate"] > 0
    assert "drop one" in run(*args, *named, "--budget", "1PF").message
    left = shown["remaining_flops"]
    assert (
        run("ledger", "open", place, "--limit", f"{1e15 - left + 10:.0f}", "--name", "team").code
        == 0
    )
    assert "'forecast/generate/" in run(*args, *named).message


def test_a_budget_that_is_enough_changes_nothing(run: Any, base: str, data: Path) -> None:
    args = ["forecast", data / "three.csv", "--horizon", 1, "--samples", 2, "--model", base]
    assert run(*args).out == run(*args, "--budget", "1PF").out
