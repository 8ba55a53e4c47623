"""Every kind of bad input: one clear line, exit code 2, nothing half-written.

And its counterpart: values that look wild but are legal give finite forecasts.
"""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

HEADER = "unique_id,ds,y\n"


def rows(*values: object, name: str = "a") -> str:
    return HEADER + "".join(f"{name},{t},{v}\n" for t, v in enumerate(values))


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "no header or rows": ("", "is empty"),
    "no rows": (HEADER, "empty frame"),
    "wrong columns": ("name,color,size\nx,red,1\ny,blue,2\n", "cannot tell ids, times and values"),
    "one point": (rows(1.0), "series 'a' has 1 step; a forecast needs at least 2"),
    "infinite": (rows(1, "inf", 3), "series 'a' has inf in 'y'"),
    "minus infinite": (rows(1, "-inf", 3), "expected finite numbers"),
    "beyond float64": (rows(1, "1e400", 3), "expected numbers"),
    "only holes": (rows("", "", ""), "series 'a' has no known value in 'y'"),
    "text among numbers": (rows(1, "two", 3), "'two' in row 2"),
    "duplicate times": (HEADER + "a,0,1\na,1,2\na,1,3\n", "has ds 1 twice"),
    "unsorted times": (HEADER + "a,1,1\na,0,2\na,2,3\n", "after 1; expected times in order"),
    "time missing": (HEADER + "a,0,1\na,,2\n", "in row 2"),
    "id missing": (HEADER + "a,0,1\n,1,2\n", "id column 'unique_id' is empty in row 2"),
    "not UTF-8": (HEADER.encode() + b"caf\xe9,0,1\ncaf\xe9,1,2\n", "is not UTF-8 (byte 0xe9)"),
    "binary": (b"\x00\x01\x02\xff" * 40, "b.csv:"),
    "more fields than names": (HEADER + "a,0,1,9\na,1,2,9\n", "more fields"),
    "time zone": (
        HEADER + "a,2024-01-01T00:00:00+02:00,1\na,2024-01-01T01:00:00+02:00,2\n",
        "time column 'ds' has the time zone +02:00",
    ),
    "semicolons": ("unique_id;ds;y\na;0;1\na;1;2\n", "expected commas"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("command", ["forecast", "fit", "backtest"])
def test_bad_files_are_one_line(
    run: Any, base: str, tmp_path: Path, kind: str, command: str
) -> None:
    content, message = BAD_FILES[kind]
    file = tmp_path / "b.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out.csv"
    args = {
        "forecast": ["--horizon", 2, "--out", out],
        "fit": ["--out", tmp_path / "fit"],
        "backtest": ["--context", 2, "--horizon", 1, "--methods", "zero_shot"],
    }[command]
    outcome = run(command, file, "--model", base, *args)
    if command == "forecast" or "step" not in message:
        assert message in outcome.message
    else:
        assert "step" in outcome.message
    assert outcome.out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.csv"]


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([7.0] * 10, "constant"),
        ([0.0] * 10, "zero"),
        ([1e300, 3e300, 2e300, 1.7e308], "1e300"),
        ([1e-300, 3e-300, 2e-300, 5e-324], "1e-300"),
        ([-5.0, -1.0, -7.5, 2.0], "negative"),
        ([1.0, "", 3.0, "", 5.0, 4.0], "holes"),
        ([1.0, "NaN", 3.0, 2.0], "NaN as text"),
        ([1, 2], "two points"),
    ],
)
def test_wild_but_legal_values_are_forecast(
    run: Any, base: str, tmp_path: Path, values: list[object], name: str
) -> None:
    file = tmp_path / "wild.csv"
    # Ragged on purpose: a second series of another length beside it.
    file.write_text(rows(*values) + "".join(f"b,{t},{t * t}\n" for t in range(17)))
    outcome = run(
        "forecast", file, "--horizon", 3, "--samples", 9, "--model", base,
        "--level", 80, "--level", 60.5, "--quantile", 0.25,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    frame = pd.read_csv(io.StringIO(outcome.out))
    assert len(frame) == 6
    assert list(frame.columns) == [
        "unique_id", "ds", "loracast", "loracast-lo-60.5", "loracast-hi-60.5",
        "loracast-lo-80", "loracast-hi-80", "loracast-q-25",
    ]  # fmt: skip
    assert np.isfinite(frame.drop(columns=["unique_id"]).to_numpy(float)).all(), name


def test_unsorted_times_are_sorted_when_asked(run: Any, base: str, tmp_path: Path) -> None:
    file = tmp_path / "mixed.csv"
    file.write_text(HEADER + "a,2,3\na,0,1\na,1,2\n")
    outcome = run("forecast", file, "--horizon", 1, "--samples", 9, "--model", base, "--sort")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1].startswith("a,3,")
    assert "rows were sorted by time" in outcome.err


OPTIONS: dict[str, tuple[list[object], str]] = {
    "horizon 0": (["--horizon", 0], "got --horizon 0"),
    "horizon negative": (["--horizon", -3], "--horizon"),
    "horizon no number": (["--horizon", "many"], "--horizon"),
    "no horizon": ([], "--horizon"),
    "unknown option": (["--horizon", 2, "--colour", "red"], "--colour"),
    "no samples": (["--horizon", 2, "--samples", 0], "--samples 0"),
    "level": (["--horizon", 2, "--level", 100], "level 100"),
    "quantile": (["--horizon", 2, "--quantile", 1.5], "quantile 1.5"),
    "seed": (["--horizon", 2, "--seed", -1], "--seed -1"),
    "context": (["--horizon", 2, "--context", 1], "context of 1"),
    "budget too small": (["--horizon", 2, "--budget", 100], "100 FLOPs"),
    "budget no amount": (["--horizon", 2, "--budget", "lots"], "got 'lots'"),
    "codec": (["--horizon", 2, "--codec", "morse"], "got codec 'morse'"),
    "missing column": (["--horizon", 2, "--target-cols", "z"], "column 'z' is not there"),
    "empty column name": (["--horizon", 2, "--target-cols", "y,"], "'y,'"),
    "out suffix": (["--horizon", 2, "--out", "x.txt"], "got suffix '.txt'"),
    "out nowhere": (["--horizon", 2, "--out", "no/such/folder/x.csv"], "no folder no/such/folder"),
    "plot suffix": (["--horizon", 2, "--plot", "x.gif"], "got suffix '.gif'"),
    "adapter": (["--horizon", 2, "--adapter", "nowhere"], "nowhere holds no adapter"),
    "adapter and codec": (
        ["--horizon", 2, "--adapter", "nowhere", "--codec", "mao"],
        "drop one",
    ),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_bad_options_are_one_line(run: Any, base: str, data: Path, kind: str) -> None:
    args, message = OPTIONS[kind]
    outcome = run("forecast", data / "three.csv", "--model", base, *args)
    assert message in outcome.message
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.csv", "no such file"),
        (".", "got suffix ''"),
        ("data.xlsx", "got suffix '.xlsx'"),
        ("missing.h5", "no such file"),
    ],
)
def test_missing_files(run: Any, tmp_path: Path, file: str, message: str) -> None:
    assert message in run("forecast", tmp_path / file, "--horizon", 1).message


@pytest.mark.parametrize("suffix", ["h5", "parquet"])
def test_truncated_files(run: Any, data: Path, tmp_path: Path, suffix: str) -> None:
    whole = data / "pairs.h5"
    if suffix == "parquet":
        whole = tmp_path / "whole.parquet"
        pd.read_csv(data / "three.csv").to_parquet(whole)
    broken = tmp_path / f"broken.{suffix}"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "truncated" in run("forecast", broken, "--horizon", 1).message


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nonesuch", "not a folder here and not a hub id"),
        ("nobody/nothing-at-all", "could not be fetched"),
        ("empty", "no config.json"),
        ("file.txt", "expected a folder or a hub id"),
        ("pickled", "pickled weights are never loaded"),
        ("nonsense", "could not be loaded"),
    ],
)
def test_unknown_models(
    run: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "pickled", "nonsense"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "pickled" / "config.json").write_text('{"model_type": "qwen2"}')
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"\x80")
    (tmp_path / "nonsense" / "config.json").write_text('{"model_type": "abacus"}')
    (tmp_path / "nonsense" / "model.safetensors").write_bytes(b"\x00" * 16)
    if model == "empty" or "/" not in model:
        model = f"./{model}" if model in ("empty", "pickled", "nonsense", "file.txt") else model
    outcome = run("forecast", data / "three.csv", "--horizon", 1, "--model", model)
    assert message in outcome.message


def test_a_budget_too_small_for_one_step(run: Any, base: str, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "fit"
    outcome = run("fit", data / "three.csv", "--out", out, "--budget", "1e4", "--model", base)
    assert "one training step costs" in outcome.message
    assert "1.00e4 FLOPs" in outcome.message
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--context", 35, "--horizon", 10], "(4 of 4 series are too short"),
        (["--context", 1], "got --context 1"),
        (["--horizon", 0, "--context", 5], "got --horizon 0"),
        (["--context", 5, "--horizon", 3, "--methods", "crystal_ball"], "'crystal_ball'"),
        (["--context", 5, "--horizon", 3, "--methods", "adapted"], "--adapter"),
        (["--context", 5, "--horizon", 3, "--train-data", "gone.h5"], "gone.h5: no such file"),
    ],
)
def test_impossible_backtests(run: Any, data: Path, args: list[object], message: str) -> None:
    assert message in run("backtest", data / "pairs.h5", *args).message


def full_disk(*_args: object, **_kwargs: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("how", ["while writing", "at the rename"])
def test_a_full_disk_leaves_the_old_file_or_none(
    run: Any,
    base: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    existing: bool,
    how: str,
) -> None:
    out = tmp_path / "forecast.csv"
    if existing:
        out.write_text("older\n")

    def half(_frame: object, path: Path, **_kwargs: object) -> None:
        Path(path).write_text("unique_id,ds,lora")
        full_disk()

    if how == "while writing":
        monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    else:
        monkeypatch.setattr(Path, "replace", full_disk)
    outcome = run(
        "forecast", data / "monthly.csv", "--horizon", 2, "--samples", 9, "--model", base,
        "--out", out,
    )  # fmt: skip
    assert "No space left on device" in outcome.message
    assert [p.name for p in tmp_path.iterdir()] == (["forecast.csv"] if existing else [])
    if existing:
        assert out.read_text() == "older\n"


def test_a_full_disk_during_a_fit(
    run: Any, base: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loracast.training._checkpoint.save_file", full_disk)
    out = tmp_path / "fit"
    outcome = run(
        "fit", data / "three.csv", "--out", out, "--budget", "1e10", "--max-steps", 1,
        "--batch-size", 1, "--model", base,
    )  # fmt: skip
    assert "No space left on device" in outcome.message
    assert not (out / "adapter").exists()
    assert not list((out / "checkpoints").iterdir())


@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_a_fit_into_an_unusable_place(
    run: Any, base: str, data: Path, tmp_path: Path, where: str
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    out = file if where == "a file" else file / "fit"
    outcome = run(
        "fit", data / "three.csv", "--out", out, "--budget", "1e10", "--max-steps", 1,
        "--batch-size", 1, "--model", base,
    )  # fmt: skip
    assert str(out) in outcome.message
    assert file.read_text() == "x"


def test_out_must_be_a_plain_file(run: Any, data: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    outcome = run("forecast", data / "three.csv", "--horizon", 1, "--out", tmp_path / "folder.csv")
    assert "no plain file" in outcome.message
