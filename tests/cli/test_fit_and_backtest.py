"""From a file to an adapter to a table, through the commands alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loracast.cli._backtest import conclusion, table_of
from loracast.evaluation import BASELINES, GlobalMLP
from loracast.series import read_panel

METHODS = ["adapted", "zero_shot", *BASELINES, "global_mlp"]


@pytest.fixture(scope="module")
def fitted(base: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from loracast.cli import main

    out = tmp_path_factory.mktemp("fit") / "out"
    args = ["fit", data / "pairs.h5", "--out", out, "--budget", "20GF", "--max-steps", "2"]
    assert main([*map(str, args), "--batch-size", "1", "--rank", "4", "--model", base]) == 0
    return out


def test_the_same_fit_again_is_done_at_once(run: Any, base: str, data: Path, fitted: Path) -> None:
    before = (fitted / "adapter" / "adapter_model.safetensors").read_bytes()
    args = ["fit", data / "pairs.h5", "--out", fitted, "--budget", "20GF", "--max-steps", 2]
    same = [*args, "--batch-size", 1, "--rank", 4, "--model", base]
    outcome = run(*same, "--json")
    found = json.loads(outcome.out)
    assert found["steps"] == 2
    assert 0 < found["flops"] <= found["limit_flops"] == 2e10
    assert found["held_out"] == "last steps"
    assert (fitted / "adapter" / "adapter_model.safetensors").read_bytes() == before
    assert "holds a fit with other data" in run(*same, "--seed", 9).message


def test_an_adapter_is_inspected_merged_and_used(
    run: Any, data: Path, fitted: Path, tmp_path: Path
) -> None:
    facts = json.loads(run("adapters", "inspect", fitted, "--json").out)
    assert facts["adapter"]["rank"] == 4
    assert facts["adapter"]["alpha"] == 8
    assert facts["n_channels"] == 2
    assert "rank=4" in run("adapters", "inspect", fitted / "adapter").out
    args = ["forecast", data / "pairs.h5", "--horizon", 2, "--samples", 9]
    adapted = run(*args, "--adapter", fitted)
    assert adapted.code == 0
    assert run(*args, "--adapter", fitted, "--seed", 1).out != adapted.out
    merged = tmp_path / "merged"
    assert run("adapters", "merge", fitted, "--out", merged, "--json").code == 0
    assert run(*args, "--model", merged).out == adapted.out
    assert "choose a new folder" in run("adapters", "merge", fitted, "--out", merged).message
    assert "holds no adapter" in run("adapters", "inspect", tmp_path).message


def test_the_backtest_table_as_json(
    run: Any, data: Path, fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the naive row by hand, from the file."""
    monkeypatch.setattr("loracast.forecasting._backtest.UNASKED_SECONDS", 0.0)
    args = ["backtest", data / "pairs.h5", "--context", 30, "--horizon", 6, "--samples", 2]
    outcome = run(*args, "--adapter", fitted, "--json")
    rows = json.loads(outcome.out)
    assert list(rows) == [*METHODS, "about"]
    values = np.stack(read_panel(data / "pairs.h5").values)
    for horizon in (5, 6):
        error = np.abs(values[:, 34 : 34 + horizon] - values[:, 33:34])
        assert rows["naive"][f"h{horizon}"]["mae"] == pytest.approx(error.mean())
    assert rows["global_mlp"]["h5"]["mae"] is None
    assert "--train-data" in rows["global_mlp"]["note"]
    assert "left out: 8 fits would take" in rows["auto_arima"]["note"]
    assert rows["adapted"]["flops"] == rows["zero_shot"]["flops"] > 0
    fewer = run(
        *args, "--adapter", fitted, "--no-zero-shot", "--methods", "zero_shot,adapted,naive"
    )
    assert "adapted" in fewer.out
    assert "zero_shot" not in fewer.out
    assert "Lowest MAE" in fewer.out
    assert "…" not in fewer.out


def test_without_an_adapter_the_base_stands_alone(
    run: Any, base: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loracast.forecasting._backtest.UNASKED_SECONDS", 0.0)
    outcome = run(
        "backtest", data / "pairs.h5", "--context", 30, "--horizon", 2, "--samples", 2,
        "--model", base, "--json",
    )  # fmt: skip
    assert list(json.loads(outcome.out)) == [*METHODS[1:], "about"]


def test_the_network_is_trained_on_other_series(
    run: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    fit = GlobalMLP.fit

    def short(values: Any, *, seed: int, on_step: Any) -> GlobalMLP:
        seen["n"], seen["seed"] = len(values), seed
        return fit(values, steps=2, seed=seed, on_step=on_step)

    monkeypatch.setattr(GlobalMLP, "fit", short)
    outcome = run(
        "backtest", data / "pairs.h5", "--context", 30, "--horizon", 2, "--seed", 4, "--json",
        "--methods", "global_mlp", "--train-data", data / "pairs.h5",
    )  # fmt: skip
    assert json.loads(outcome.out)["global_mlp"]["h2"]["mae"] > 0
    assert seen == {"n": 4, "seed": 4}


def row(mae5: float | None, mae9: float | None) -> dict[str, Any]:
    cells = {"crps": None, "mase": mae9}
    return {
        "h5": cells | {"mae": mae5}, "h9": cells | {"mae": mae9},
        "flops": None, "seconds": None, "note": "",
    }  # fmt: skip


def test_the_sentence_names_winners_and_losses() -> None:
    rows = {"adapted": row(0.2, 0.3), "naive": row(0.1, 0.5), "var5_log": row(None, None)}
    text = conclusion(rows)
    assert text == (
        "Lowest MAE: naive (h5); adapted (h9); at h9 the adapted model beats 1 of 1 other methods. "
        "Not scored: var5_log."
    )
    assert conclusion(rows, True).endswith("trained on what is scored: this is no test of it.")
    assert conclusion({"naive": row(0.1, 0.5)}) == "Lowest MAE: naive (h5, h9)."
    assert conclusion({"naive": row(None, None)}) == "No method could be scored."


def test_the_table_of_the_published_horizons_fits_eighty_columns() -> None:
    from rich.console import Console

    cells = {"mae": 0.003214, "crps": 0.001234, "mase": 0.012345}
    widest = {f"h{h}": cells for h in (5, 20, 30)} | {"flops": 3.7e15, "seconds": 154.2, "note": ""}
    table = table_of({"quadratic_growth": widest}, "t")
    text = "".join(piece.text for piece in Console(width=80).render(table))
    assert "0.00321" in text
    assert "…" not in text


def test_the_best_of_a_column_is_bold() -> None:
    table = table_of({"adapted": row(0.2, 0.3), "naive": row(0.1, 0.5)}, "t")
    first, second = (list(table.columns[i].cells) for i in (1, 2))
    assert first == ["0.2", "[bold]0.1[/bold]"]
    assert second == ["[bold]0.3[/bold]", "0.5"]
    assert [r.style for r in table.rows] == ["cyan", None]


def test_a_backtest_of_the_training_file_says_so(run: Any, data: Path, fitted: Path) -> None:
    args = ["backtest", data / "pairs.h5", "--context", 30, "--horizon", 2, "--methods", "naive"]
    outcome = run(*args, "--adapter", fitted)
    assert "ON SERIES THE ADAPTER WAS TRAINED ON" in outcome.out
    assert "note: the adapter was trained on the scored steps of 4 of these 4" in outcome.err
    assert (
        "steps of 4 of 4 forecasts" in run(*args, "--adapter", fitted, "--seen", "refuse").message
    )
    facts = json.loads(run(*args, "--adapter", fitted, "--json").out)["about"]
    assert facts["seen"]["scored_on_training_data"]
    assert "digests of 4 series" in run("adapters", "inspect", fitted).out
    assert "got --seen 'never'" in run(*args, "--adapter", fitted, "--seen", "never").message


def test_the_season_of_monthly_dates_is_a_year(
    run: Any, tmp_path: Path, airline: np.ndarray
) -> None:
    file = tmp_path / "air.csv"
    months = np.array("1949-01", dtype="datetime64[M]") + np.arange(144)
    lines = [f"{month}-01,{value:g}" for month, value in zip(months, airline, strict=True)]
    file.write_text("month,passengers\n" + "\n".join(lines) + "\n")
    args = ["backtest", file, "--horizon", 12, "--methods", "naive,seasonal_naive"]
    outcome = run(*args)
    assert "season 12 (dates)" in outcome.out
    assert "MASE h12" in outcome.out
    rows = json.loads(run(*args, "--season", 6, "--windows", 2, "--step-size", 3, "--json").out)
    assert rows["about"]["season"] == {"steps": [6], "from": "given", "n_forecasts": 2}
    errors = [
        np.abs(airline[start : start + 12] - np.tile(airline[start - 6 : start], 2)).mean()
        for start in (129, 132)
    ]
    assert rows["seasonal_naive"]["h12"]["mae"] == pytest.approx(np.mean(errors))
