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
        "forecast", data / "monthly.csv", "--horizon", 3, "--samples", 9, "--seed", 7,
        "--model", base, "--level", 60,
    )  # fmt: skip
    assert outcome.code == 0
    found = pd.read_csv(io.StringIO(outcome.out), parse_dates=["month"])
    forecaster = Forecaster.from_pretrained(base, seed=7, n_samples=9)
    frame = pd.read_csv(data / "monthly.csv", parse_dates=["month"])
    expected = forecaster.predict(3, [60], frame)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert found.month.dt.strftime("%Y-%m-%d").tolist() == [
        "2003-07-31", "2003-08-31", "2003-09-30",
    ]  # fmt: skip
    assert "1 series, 3 steps, 9 samples" in outcome.err
    assert "FLOPs" in outcome.err


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_hold_the_same_numbers(
    run: Any, base: str, data: Path, tmp_path: Path, suffix: str
) -> None:
    out, plot = tmp_path / f"f.{suffix}", tmp_path / "f.png"
    args = ["forecast", data / "pairs.h5", "--horizon", 2, "--samples", 9, "--model", base]
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
        "forecast", data / "monthly.csv", "--horizon", 2, "--samples", 9, "--model", base, "--json"
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
        "forecast", file, "--horizon", 1, "--samples", 9, "--model", base,
        "--id-col", "plant", "--time-col", "ds", "--target-cols", "kw",
    )  # fmt: skip
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].startswith("plant,ds,loracast,")
    assert "columns not used: 'noise'" in outcome.err


def test_several_commands_share_a_ledger(run: Any, base: str, data: Path, tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    args = ["forecast", data / "three.csv", "--horizon", 1, "--samples", 9, "--model", base]
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
    args = ["forecast", data / "three.csv", "--horizon", 1, "--samples", 9, "--model", base]
    assert run(*args).out == run(*args, "--budget", "1PF").out


def test_a_codec_that_the_base_was_never_shown_is_refused(
    run: Any, data: Path, tmp_path: Path
) -> None:
    args = ["forecast", data / "monthly.csv", "--horizon", 1, "--codec", "mao"]
    message = run(*args).message
    assert "never shown codec 'mao'" in message
    assert "--force" in message
    forced = run(*args, "--force", "--json")
    assert forced.code == 0
    assert "never shown codec 'mao'" in json.loads(forced.out)["notes"][0]
    assert "note: the base 'embedded' was never shown" in forced.err


def test_a_level_wants_enough_samples(run: Any, base: str, data: Path) -> None:
    args = ["forecast", data / "monthly.csv", "--horizon", 1, "--model", base]
    message = run(*args, "--level", 99, "--samples", 20).message
    assert "got level 99 with 20 samples; expected at least 199" in message
    assert "--samples 199" in message
    by_itself = run(*args, "--level", 95, "--json")
    assert json.loads(by_itself.out)["samples"] == 39
    assert json.loads(run(*args, "--json").out)["samples"] == 20
    assert "quantile 0.01" in run(*args, "--quantile", 0.01, "--samples", 98).message


def test_a_note_says_what_was_not_shown(run: Any, base: str, tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    rows = "".join(f"a,{t},{t % 7 + t / 10}\n" for t in range(400))
    file.write_text("unique_id,ds,y\n" + rows)
    args = ["forecast", file, "--horizon", 1, "--model", base]
    cut = run(*args)
    assert "note: the last 146 steps were shown of 1 of 1 series" in cut.err  # 440 / 3 tokens
    whole = run(*args, "--context", 400)
    assert "were shown" not in whole.err
    assert cut.out != whole.out
    long = tmp_path / "longer.csv"
    rows = "".join(f"a,{t},{t % 7}\n" for t in range(2000))
    long.write_text("unique_id,ds,y\n" + rows)
    args[1] = long
    assert "show at most 1364 steps" in run(*args, "--context", 2000).message  # 4093 / 3
