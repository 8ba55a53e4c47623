"""Backtests score the ends of series, leave out what an adapter has seen, and name what is bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loracast import Forecaster
from loracast.errors import ConfigError, DataError, LoracastWarning
from loracast.forecasting import backtest_panel
from loracast.forecasting._backtest import compare_methods
from loracast.series import Panel, read_panel, write_panel

QUICK = ["naive", "seasonal_naive"]


def panel_of(*values: np.ndarray, names: str = "abcdefghijkl") -> Panel:
    columns = [np.asarray(v, dtype=float) for v in values]
    columns = [v if v.ndim == 2 else v[:, None] for v in columns]
    return Panel(
        tuple(names[: len(columns)]),
        tuple(columns),
        tuple(np.arange(len(v)) for v in columns),
        tuple(f"y{c}" for c in range(columns[0].shape[1])),
    )


def walks(*lengths: int) -> Panel:
    rng = np.random.default_rng(7)
    return panel_of(*(rng.normal(size=n).cumsum() + 50 for n in lengths))


def test_what_stands_at_the_end_decides_the_scores() -> None:
    panel = walks(400, 400)
    zeroed = panel_of(*(np.where(np.arange(400) < 100, v[:, 0], 0.0) for v in panel.values))
    for options in ({}, {"context": 70}, {"context": 70, "windows": 3}):
        rows = compare_methods(panel, horizon=30, methods=QUICK, **options)
        changed = compare_methods(zeroed, horizon=30, methods=QUICK, **options)
        for name in QUICK:
            assert changed[name]["h30"]["mae"] == 0.0
            assert rows[name]["h30"]["mae"] > 0.1


def test_the_published_protocol_is_the_end_of_a_hundred_steps() -> None:
    panel = walks(100, 100)
    found = backtest_panel(panel, context=70, horizon=30, methods=["naive"])
    error = np.abs(np.stack(panel.values)[:, 70:] - np.stack(panel.values)[:, 69:70])
    assert found.rows["naive"]["h30"]["mae"] == pytest.approx(error.mean())


@pytest.mark.parametrize(
    ("windows", "step", "context"), [(1, None, None), (3, None, 10), (4, 2, None), (2, 7, 5)]
)
def test_ragged_series_each_count_from_their_own_end(
    windows: int, step: int | None, context: int | None
) -> None:
    """Oracle: a slow loop over series and origins with the last value repeated."""
    panel, horizon = walks(40, 60, 33), 6
    found = backtest_panel(
        panel, horizon=horizon, windows=windows, step=step, context=context, methods=["naive"]
    )
    errors, scaled = [], []
    for values in panel.values:
        for back in range(windows):
            start = len(values) - horizon - back * (step or horizon)
            context_values = values[:start] if context is None else values[start - context : start]
            error = [abs(values[start + h, 0] - values[start - 1, 0]) for h in range(horizon)]
            errors += error
            scaled.append(np.mean(error) / np.abs(np.diff(context_values[:, 0])).mean())
    assert found.rows["naive"]["h6"]["mae"] == pytest.approx(np.mean(errors))
    assert found.rows["naive"]["h6"]["mase"] == pytest.approx(np.mean(scaled))
    assert found.facts["n_forecasts"] == 3 * windows
    assert found.facts["step"] == (step or horizon)


def test_a_model_and_the_baselines_are_given_the_same_steps(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loracast.forecasting import Engine, _backtest

    seen: dict[str, list[np.ndarray]] = {}
    inner, sample = _backtest.baseline_rows, Engine.sample

    def rows(contexts: Any, *args: Any, **kwargs: Any) -> Any:
        seen["naive"] = list(contexts)
        return inner(contexts, *args, **kwargs)

    def drawn(self: Any, contexts: Any, *args: Any, **kwargs: Any) -> Any:
        seen["model"] = list(contexts)
        return sample(self, contexts, *args, **kwargs)

    monkeypatch.setattr(_backtest, "baseline_rows", rows)
    monkeypatch.setattr(Engine, "sample", drawn)
    panel = walks(30, 1000)
    found = backtest_panel(
        panel, horizon=2, windows=2, model=base, methods=["zero_shot", "naive"], samples=2
    )
    most = found.facts["most_context"]
    assert most < 900
    assert [len(c) for c in seen["model"]] == [26, most, 28, most]
    for a, b in zip(seen["model"], seen["naive"], strict=True):
        assert np.array_equal(a, b)
    # without a model, all that is known
    found = backtest_panel(panel, horizon=2, methods=["naive"])
    assert [len(c) for c in seen["naive"]] == [28, 998]
    assert found.facts["most_context"] is None


def test_the_season_is_given_by_dates_or_found(airline: np.ndarray) -> None:
    dates = np.array("1949-01", dtype="datetime64[M]") + np.arange(144)
    dated = Panel(("air",), (airline[:, None],), (dates.astype("datetime64[ns]"),))
    counted = panel_of(airline)
    expected = np.abs(airline[120:] - np.tile(airline[108:120], 2)).mean()
    for panel, source in ((dated, "dates"), (counted, "autocorrelation")):
        found = backtest_panel(panel, horizon=24, methods=QUICK)
        assert found.rows["seasonal_naive"]["h24"]["mae"] == pytest.approx(expected)
        assert found.facts["season"] == {"steps": [12], "from": source, "n_forecasts": 1}
        scale = np.abs(airline[12:120] - airline[:108]).mean()
        assert found.rows["seasonal_naive"]["h24"]["mase"] == pytest.approx(expected / scale)
    quarters = backtest_panel(dated, horizon=24, methods=QUICK, season=3)
    assert quarters.facts["season"]["from"] == "given"
    by_hand = np.abs(airline[120:] - np.tile(airline[117:120], 8)).mean()
    assert quarters.rows["seasonal_naive"]["h24"]["mae"] == pytest.approx(by_hand)
    short = backtest_panel(dated, horizon=24, context=10, methods=QUICK)  # less than a year
    assert short.facts["season"]["steps"] == []
    with pytest.raises(ConfigError, match="got season 0"):
        backtest_panel(dated, horizon=24, season=0)


def test_all_methods_run_unless_they_would_take_minutes(airline: np.ndarray) -> None:
    pytest.importorskip("statsforecast")
    others = ["zero_shot", "var5_log", "quadratic_growth", "global_mlp"]
    rows = compare_methods(panel_of(airline), horizon=12, without=others)
    assert rows["auto_ets"]["h12"]["mae"] < rows["naive"]["h12"]["mae"]
    assert rows["auto_arima"]["h12"]["mae"] < rows["naive"]["h12"]["mae"]
    many = walks(*[40] * 12).select(np.arange(12))
    many = Panel(
        tuple(range(1200)), many.values * 100, many.times * 100
    )  # twelve series, a hundred times
    rows = compare_methods(many, horizon=12, without=[*others, "auto_ets", "seasonal_naive"])
    assert rows["auto_arima"]["h12"]["mae"] is None
    assert rows["auto_arima"]["note"].startswith("left out: 1200 fits would take about")
    assert "--methods auto_arima" in rows["auto_arima"]["note"]


def test_what_cannot_be_used_is_left_out_and_named() -> None:
    panel = walks(40, 5, 40)
    hollow = panel_of(panel.values[0], panel.values[1], np.full(40, np.nan), panel.values[2])
    found = backtest_panel(hollow, context=20, horizon=6, methods=["naive"])
    only = backtest_panel(hollow.select([0, 3]), context=20, horizon=6, methods=["naive"])
    assert found.rows["naive"]["h6"] == only.rows["naive"]["h6"]
    assert [one["id"] for one in found.facts["skipped"]] == ["b", "c"]
    assert "2 of 4 series left out: series 'b' has 5 steps" in found.facts["notes"][0]
    for strict in (hollow, panel):
        with pytest.raises(DataError, match="series 'b' has 5 steps"):
            backtest_panel(strict, context=20, horizon=6, methods=["naive"], strict=True)
    with pytest.raises(DataError, match=r"at least 50 \(3 of 3"):
        backtest_panel(panel, context=30, horizon=20, methods=["naive"])
    windows = backtest_panel(walks(40, 30), context=20, horizon=6, windows=3, methods=["naive"])
    assert windows.facts["n_forecasts"] == 3 + 1
    assert "2 of 6 forecasts left out" in windows.facts["notes"][0]


@pytest.fixture(scope="module")
def trained(base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Panel, Path]:
    """Ten walks of 60 steps, and an adapter that was fitted on the first six."""
    panel, out = walks(*[60] * 10), tmp_path_factory.mktemp("seen") / "fit"
    forecaster = Forecaster.from_pretrained(base)
    forecaster.fit(panel.select(range(6)), 2e10, max_steps=1, training={"batch_size": 1}, out=out)
    return panel, out


def scored(panel: Panel, folder: Path, **options: Any) -> Any:
    return backtest_panel(
        panel, context=20, horizon=6, adapter=folder, methods=["naive"], **options
    )


def test_series_of_the_training_are_left_out_while_others_are_left(
    trained: tuple[Panel, Path],
) -> None:
    panel, folder = trained
    found = scored(panel, folder)
    alone = backtest_panel(panel.select(range(6, 10)), context=20, horizon=6, methods=["naive"])
    assert found.rows["naive"]["h6"] == alone.rows["naive"]["h6"]
    assert found.facts["seen"] == {
        "rule": "auto", "n_seen": 6, "n_scored": 4, "scored_on_training_data": False,
    }  # fmt: skip
    assert "the 4 of 10 forecasts whose steps the adapter has not seen" in found.facts["notes"][0]
    labelled = scored(panel, folder, seen="label")
    assert labelled.facts["seen"]["n_scored"] == 10
    assert labelled.facts["seen"]["scored_on_training_data"]
    assert "no test of it" in labelled.facts["notes"][0]
    with pytest.raises(DataError, match="scored steps of 6 of 10 forecasts"):
        scored(panel, folder, seen="refuse")
    with pytest.raises(ConfigError, match="expected one of auto, label, drop, refuse"):
        scored(panel, folder, seen="no")


def test_where_all_were_seen_the_table_is_labelled(
    trained: tuple[Panel, Path], tmp_path: Path
) -> None:
    panel, folder = trained
    part = read_panel(write_panel(panel.select([4, 2]), tmp_path / "part.csv"))
    found = scored(part, folder)
    assert found.facts["seen"]["scored_on_training_data"]
    assert found.facts["n_forecasts"] == 2
    with pytest.raises(DataError, match="leaves nothing"):
        scored(part, folder, seen="drop")


def test_new_steps_of_a_known_series_are_a_test(trained: tuple[Panel, Path]) -> None:
    panel, folder = trained
    longer = panel_of(np.concatenate([panel.values[0][:, 0], np.arange(12.0)]))
    found = scored(longer, folder, windows=3)
    # 72 steps, of which 60 were known: the origins 66 and 60 are new, 54 is not.
    assert found.facts["seen"]["n_seen"] == 1
    assert found.facts["n_forecasts"] == 2


def test_an_adapter_without_digests_is_judged_by_the_hash_of_its_data(
    trained: tuple[Panel, Path], tmp_path: Path
) -> None:
    import shutil

    panel, folder = trained
    old = tmp_path / "old"
    shutil.copytree(folder / "adapter", old)
    manifest = json.loads((old / "loracast.json").read_text())
    del manifest["training"]["seen"]
    manifest["format_version"] = 1  # before anything was sealed
    del manifest["files"], manifest["sha256"]
    (old / "loracast.json").write_text(json.dumps(manifest))
    assert scored(panel.select(range(6)), old).facts["seen"]["n_seen"] == 6
    assert scored(panel, old).facts["seen"]["n_seen"] == 0
    file = read_panel(write_panel(panel, tmp_path / "all.csv"))  # a study keeps the file's hash
    manifest["training"]["data_sha256"] = file.meta["sha256"]
    (old / "loracast.json").write_text(json.dumps(manifest))
    assert scored(file, old).facts["seen"]["n_seen"] == 10
    del manifest["training"]["data_sha256"]
    (old / "loracast.json").write_text(json.dumps(manifest))
    assert "does not say which series" in scored(panel, old).facts["notes"][0]


def test_a_forecast_leaves_out_what_is_bad_with_a_warning(base: str) -> None:
    import pandas as pd

    forecaster = Forecaster.from_pretrained(base, n_samples=9)
    rows = [("a", t, np.sin(t)) for t in range(20)] + [("b", 0, 1.0)]
    rows += [("c", 1, 1.0), ("c", 0, 2.0), ("c", 2, 2.0)] + [("d", t, np.inf) for t in range(3)]
    frame = pd.DataFrame(rows, columns=["unique_id", "ds", "y"])
    with pytest.warns(LoracastWarning, match="3 of 4 series left out: series 'c' has ds 0 after 1"):
        found = forecaster.predict(2, frame=frame)
    assert found.unique_id.tolist() == ["a", "a"]
    assert forecaster.forecast_report is not None
    assert [one.id for one in forecaster.forecast_report.skipped] == ["c", "d", "b"]
    pd.testing.assert_frame_equal(found, forecaster.predict(2, frame=frame[frame.unique_id == "a"]))
    with pytest.warns(LoracastWarning, match="3 of 4 series left out"):
        windows = forecaster.cross_validation(2, n_windows=2, frame=frame)
    assert len(windows) == 4
    for method in (forecaster.predict, forecaster.cross_validation):
        with pytest.raises(DataError, match="series 'c' has ds 0 after 1"):
            method(2, frame=frame, strict=True)
    with pytest.raises(DataError, match="series 'b' has 1 step"):
        forecaster.predict(2, frame=frame[frame.unique_id == "b"])


@pytest.mark.parametrize("codec", ["continuous", "compact"])
@pytest.mark.parametrize("level", [0.0, 7.0, -3e5])
def test_a_series_that_never_moved_stays(base: str, codec: str, level: float) -> None:
    """Beside a channel that moves, whose forecast is not touched."""
    forecaster = Forecaster.from_pretrained(
        "embedded" if codec == "continuous" else base, codec, n_samples=5
    )
    wave = np.sin(np.arange(30))
    flat = np.full(30, level)
    flat[[3, 7]] = np.nan
    both = panel_of(np.stack([flat, wave], axis=1), np.stack([wave, wave[::-1]], axis=1))
    drawn = forecaster.sample(4, both)
    assert (drawn[0, :, :, 0] == level).all()
    assert drawn[0, :, :, 1].std() > 0
    assert (drawn[1].std(axis=0) > 0).all()
    assert forecaster.forecast_report is not None
    # An untrained base may let the other channel run away; of the constant there is one note.
    assert forecaster.forecast_report.notes[-1] == (
        f"constant as far as is shown, so forecast as that value without a band: 'a' at {level:g}"
    )


@pytest.mark.parametrize("method", ["predict", "sample", "cross_validation", "plot"])
def test_unknown_keywords_name_the_nearest(base: str, method: str) -> None:
    forecaster = Forecaster.from_pretrained(base)
    call = getattr(forecaster, method)
    with pytest.raises(ConfigError, match="'n_sample'; did you mean n_samples"):
        call(h=2, frame=walks(20), n_sample=5)
    with pytest.raises(ConfigError, match="'colour'; expected some of"):
        call(h=2, frame=walks(20), colour="red")
    with pytest.raises(ConfigError, match="'id_column'; did you mean id_col"):
        forecaster.fit(walks(20), id_column="plant")
