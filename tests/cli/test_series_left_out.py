"""A bad series of a panel is left out and named; `--strict` stops; a bad file is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

WAVE = np.sin(np.arange(40) / 3) + 3


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two good series, and six that cannot be used, each for a reason of its own."""
    t = np.arange(40)
    parts = {
        "good": (t, WAVE),
        "short": ([0], [1.0]),
        "infinite": (t, np.where(t == 7, np.inf, WAVE)),
        "hollow": (t, np.full(40, np.nan)),
        "back": ([0, 2, 1], [1.0, 2.0, 3.0]),
        "twice": ([0, 1, 1], [1.0, 2.0, 3.0]),
        "fine": (t, WAVE[::-1]),
    }
    frames = [pd.DataFrame({"unique_id": k, "ds": d, "y": y}) for k, (d, y) in parts.items()]
    file = tmp_path / "mixed.csv"
    pd.concat(frames).to_csv(file, index=False)
    return file


BAD = ["infinite", "back", "twice", "short", "hollow"]


def test_forecasts_of_the_good_ones_are_made(run: Any, base: str, mixed: Path) -> None:
    args = ["forecast", mixed, "--horizon", 2, "--samples", 9, "--model", base]
    outcome = run(*args)
    assert outcome.code == 0, outcome.err
    found = pd.read_csv(io.StringIO(outcome.out))
    assert found.unique_id.tolist() == ["good", "good", "fine", "fine"]
    assert "note: 5 of 7 series left out: series 'infinite' has inf in 'y'" in outcome.err
    facts = json.loads(run(*args, "--json").out)
    assert [one["id"] for one in facts["skipped"]] == BAD
    assert all(one["id"] in one["reason"] for one in facts["skipped"])
    assert run(*args, "--strict").message.startswith("error: ")


def test_a_backtest_scores_the_good_ones(run: Any, base: str, mixed: Path) -> None:
    args = ["backtest", mixed, "--context", 20, "--horizon", 5, "--methods", "naive"]
    outcome = run(*args, "--json")
    rows = json.loads(outcome.out)
    assert sorted(one["id"] for one in rows["about"]["skipped"]) == sorted(BAD)
    error = [np.abs(w[35:] - w[34]).mean() for w in (WAVE, WAVE[::-1])]
    assert rows["naive"]["h5"]["mae"] == pytest.approx(np.mean(error))
    assert "note: 5 of 7 series left out" in outcome.err
    run(*args, "--strict").message  # noqa: B018 - one line and exit code 2


def test_an_annotation_describes_the_good_ones(run: Any, base: str, mixed: Path) -> None:
    args = ["annotate", mixed, "--model", base]
    outcome = run(*args)
    assert outcome.code == 0, outcome.err
    assert [one["id"] for one in json.loads(outcome.out)] == ["good", "fine"]
    assert "note: 5 of 7 series left out" in outcome.err
    assert "Warning" not in outcome.err
    run(*args, "--strict").message  # noqa: B018


@pytest.mark.parametrize("command", ["forecast", "backtest", "annotate"])
def test_a_file_of_bad_series_is_refused(run: Any, base: str, tmp_path: Path, command: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("unique_id,ds,y\na,0,1\nb,0,2\nc,1,1\nc,0,1\n")
    args = {
        "forecast": ["--horizon", 1, "--model", base],
        "backtest": ["--horizon", 1, "--methods", "naive"],
        "annotate": ["--model", base],
    }[command]
    assert "series" in run(command, file, *args).message


def test_infinite_systems_of_hdf5_are_left_out(run: Any, base: str, tmp_path: Path) -> None:
    values = np.stack([WAVE, WAVE + 1, WAVE + 2])[:, :, None]
    values[1, 4] = np.inf
    file = tmp_path / "x.h5"
    with h5py.File(file, "w") as out:
        out["trajectories"] = values
        out["per_series/kind"] = [5, 6, 7]
    outcome = run("backtest", file, "--horizon", 5, "--methods", "naive", "--json")
    about = json.loads(outcome.out)["about"]
    assert about["n_series"] == 2
    assert about["skipped"] == [{"id": "1", "reason": "series 1 has infinite values"}]
    assert "inf" in run("backtest", file, "--horizon", 5, "--strict").message


def test_a_constant_series_is_forecast_as_it_is(run: Any, base: str, tmp_path: Path) -> None:
    file = tmp_path / "flat.csv"
    file.write_text("ds,y\n" + "".join(f"{t},250\n" for t in range(30)))
    outcome = run("forecast", file, "--horizon", 3, "--samples", 9, "--model", base, "--json")
    facts = json.loads(outcome.out)
    for row in facts["forecast"]:
        assert row["loracast"] == row["loracast-lo-80"] == row["loracast-hi-80"] == 250
    assert "without a band: 'series' at 250" in facts["notes"][0]
    assert "without a band" in outcome.err
