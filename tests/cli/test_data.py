"""`loracast data`: what it writes can be read again, and what it says is true."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

REGIMES = ["oscillatory", "decaying", "growing", "stable"]


@pytest.mark.parametrize("suffix", [".h5", ".csv", ".parquet"])
@pytest.mark.parametrize("kind", ["lotka-volterra", "ou"])
def test_a_generated_file_is_as_asked_for(run: Any, tmp_path: Path, kind: str, suffix: str) -> None:
    out = tmp_path / f"made{suffix}"
    outcome = run("data", kind, "--n", 8, "--seed", 3, "--steps", 20, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    facts = json.loads(outcome.out)
    channels = ["prey", "predator"] if kind == "lotka-volterra" else ["y"]
    assert facts["n_series"] == 8
    assert facts["shortest_steps"] == facts["longest_steps"] == 20
    assert facts["channels"] == channels
    assert facts["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    if suffix == ".h5":
        with h5py.File(out) as file:
            assert file["trajectories"].shape == (8, 20, len(channels))
    else:
        frame = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
        assert list(frame.columns) == ["unique_id", "ds", *channels]
        assert (frame.groupby("unique_id").size() == 20).all()
    targets = ["--target-cols", ",".join(channels)]
    again = run("data", "info", out, *targets, "--json")
    assert json.loads(again.out) == facts
    assert sorted(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("kind", ["lotka-volterra", "ou"])
def test_the_seed_alone_decides_the_bytes(run: Any, tmp_path: Path, kind: str) -> None:
    def digest(name: str, seed: int) -> str:
        args = ("--n", 4, "--steps", 12, "--seed", seed, "--out", tmp_path / name)
        return str(json.loads(run("data", kind, *args, "--json").out)["sha256"])

    assert digest("a.h5", 1) == digest("b.h5", 1) != digest("c.h5", 2)


def test_info_counts_regimes_of_generated_systems(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "made.h5"
    facts = json.loads(run("data", "lotka-volterra", "--n", 16, "--out", out, "--json").out)
    assert list(facts["regimes"]) == REGIMES
    assert sum(facts["regimes"].values()) == 16
    assert set(facts["regimes"].values()) == {4}, "a quarter of each"
    text = run("data", "info", out).out
    assert "4 oscillatory, 4 decaying, 4 growing, 4 stable" in text
    assert "16" in text
    assert "100 each" in text


def test_info_of_ragged_series_with_holes_and_other_names(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text("shop,week,sold\na,1,5\na,2,\nb,1,7\nb,2,-8\nb,4,\n")
    outcome = run("data", "info", file, "--id-col", "shop", "--time-col", "week",
                  "--target-cols", "sold", "--json")  # fmt: skip
    assert json.loads(outcome.out) == {
        "file": str(file),
        "n_series": 2,
        "shortest_steps": 2,
        "longest_steps": 3,
        "total_steps": 5,
        "channels": ["sold"],
        "missing_values": 2,
        "regimes": None,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    message = run("data", "info", file, "--id-col", "store").message
    assert "'store' is not there; the columns are 'shop', 'week', 'sold'" in message


@pytest.mark.parametrize("spoiled", [-1.0, np.nan])
def test_no_regimes_without_positive_numbers(run: Any, tmp_path: Path, spoiled: float) -> None:
    values = np.full((2, 20, 2), 3.0)
    values[1, 4, 0] = spoiled
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["trajectories"] = values
    outcome = run("data", "info", tmp_path / "x.h5", "--json")
    assert json.loads(outcome.out)["regimes"] is None
    lines = run("data", "info", tmp_path / "x.h5").out.splitlines()
    assert not any(line.startswith("regimes") for line in lines)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--n", "0", "--out", "x.h5"], "got --n 0"),
        (["--steps", "1", "--out", "x.h5"], "got --steps 1"),
        (["--seed", "-1", "--out", "x.h5"], "got --seed -1"),
        (["--out", "x.json"], "got suffix '.json'"),
        (["--out", "nowhere/x.h5"], "no folder nowhere"),
        ([], "--out"),
    ],
)
@pytest.mark.parametrize("kind", ["lotka-volterra", "ou"])
def test_mistakes_are_one_line_and_write_nothing(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, args: list[str],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert message in run("data", kind, *args).message
    assert list(tmp_path.iterdir()) == []


def test_info_of_a_missing_file_is_one_line(run: Any, tmp_path: Path) -> None:
    assert "no such file" in run("data", "info", tmp_path / "gone.h5").message
