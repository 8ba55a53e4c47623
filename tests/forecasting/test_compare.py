"""Methods side by side: the same truth, the same scores, notes instead of gaps."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from loracast import Forecaster
from loracast.errors import BudgetExceeded, ConfigError, DataError
from loracast.evaluation import BASELINES, METRICS, GlobalMLP
from loracast.forecasting import baseline_rows, score_samples
from loracast.forecasting._backtest import compare_methods
from loracast.forecasting._compare import scored_horizons
from loracast.series import Panel


@pytest.mark.parametrize(
    ("horizon", "expected"), [(3, (3,)), (5, (5,)), (24, (5, 20, 24)), (40, (5, 20, 30, 40))]
)
def test_horizons_are_the_published_ones_and_the_whole(
    horizon: int, expected: tuple[int, ...]
) -> None:
    assert scored_horizons(horizon) == expected


def test_naive_is_scored_as_by_hand(positive_panel: Panel) -> None:
    past = positive_panel.steps(None, 40)
    truth = np.stack(positive_panel.steps(40, 48).values)
    rows, points = baseline_rows(past.values, truth, ["naive"], seed=0, horizons=(5, 8))
    total, count = 0.0, 0
    for n in range(4):
        for h in range(5):
            for c in range(2):
                total += abs(truth[n, h, c] - past.values[n][-1, c])
                count += 1
    assert rows["naive"]["h5"]["mae"] == pytest.approx(total / count)
    assert list(rows["naive"]["h8"]) == list(METRICS)
    assert rows["naive"]["flops"] is None
    assert points["naive"] is not None
    assert points["naive"].shape == (4, 8, 2)


def test_what_does_not_apply_is_kept_with_its_reason() -> None:
    contexts = [np.array([[-1.0], [2.0], [3.0]] * 5)]
    truth = np.ones((1, 5, 1))
    rows, points = baseline_rows(
        contexts, truth, ["var5_log", "global_mlp", "naive"], seed=0, horizons=(5,)
    )
    assert "logarithms" in rows["var5_log"]["note"]
    assert "not available" in rows["global_mlp"]["note"]
    for name in ("var5_log", "global_mlp"):
        assert points[name] is None
        assert rows[name]["h5"] == dict.fromkeys(METRICS)
        assert (rows[name]["flops"], rows[name]["seconds"]) == (None, None)
    assert rows["naive"]["h5"]["mae"] is not None
    with pytest.raises(ConfigError, match="'oracle'"):
        baseline_rows(contexts, truth, ["oracle"], seed=0, horizons=(5,))


def test_samples_are_scored_by_their_median() -> None:
    truth = np.zeros((1, 2, 1))
    samples = np.array([1.0, 2.0, 9.0]).reshape(1, 3, 1, 1) * np.ones((1, 3, 2, 1))
    row = score_samples(truth, samples, [np.arange(4.0)[:, None]], (2,))
    assert row["h2"]["mae"] == 2.0
    assert row["h2"]["mase"] == 2.0


@pytest.fixture(scope="module")
def adapter(base: str, positive_panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pair") / "out"
    forecaster = Forecaster.from_pretrained(base)
    forecaster.fit(positive_panel, 1e10, max_steps=2, training={"batch_size": 1}, out=out)
    return out


def test_a_backtest_holds_the_adapter_against_its_base(
    adapter: Path, positive_panel: Panel, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the same forecasts through `Forecaster`, scored with numpy."""
    monkeypatch.setattr("loracast.forecasting._backtest.UNASKED_SECONDS", 0.0)
    rows = compare_methods(
        positive_panel, context=40, horizon=6, adapter=adapter, samples=3, seed=5
    )
    assert list(rows) == [
        "adapted", "zero_shot", *BASELINES, "global_mlp",
    ]  # fmt: skip
    assert all(set(row) == {"h5", "h6", "flops", "seconds", "note"} for row in rows.values())
    past = positive_panel.steps(2, 42)  # the last 40 steps before the last 6
    truth = np.stack(positive_panel.steps(42, 48).values)
    adapted = Forecaster.load(adapter)
    adapted.seed = 5
    bare = Forecaster.from_pretrained(base, seed=5)
    for name, forecaster in (("adapted", adapted), ("zero_shot", bare)):
        samples = forecaster.sample(6, past, n_samples=3)
        error = np.abs(np.median(samples, axis=1) - truth)
        assert rows[name]["h6"]["mae"] == pytest.approx(error.mean())
        assert rows[name]["h5"]["mae"] == pytest.approx(error[:, :5].mean())
        assert forecaster.forecast_report is not None
        assert rows[name]["flops"] == forecaster.forecast_report.flops > 0
    assert rows["adapted"]["h6"]["mae"] != rows["zero_shot"]["h6"]["mae"]
    assert "train" in rows["global_mlp"]["note"]


def test_a_fitted_network_beside_the_adapter_is_used(
    adapter: Path, positive_panel: Panel, tmp_path: Path
) -> None:
    mlp = GlobalMLP.fit(positive_panel.values, steps=2, seed=0)
    copy = tmp_path / "out"
    shutil.copytree(adapter, copy)
    mlp.save(copy / "adapter" / "global_mlp.safetensors")
    rows = compare_methods(
        positive_panel, context=40, horizon=3, adapter=copy, methods=["global_mlp"]
    )
    expected = mlp.forecast(positive_panel.steps(5, 45).values, 3).point
    truth = np.stack(positive_panel.steps(45, 48).values)
    assert rows["global_mlp"]["h3"]["mae"] == pytest.approx(np.abs(expected - truth).mean())


def test_a_network_that_cannot_be_trained_is_a_note(positive_panel: Panel) -> None:
    rows = compare_methods(
        positive_panel,
        context=40,
        horizon=3,
        methods=["global_mlp"],
        train=positive_panel.steps(None, 5),
    )
    assert rows["global_mlp"]["note"].startswith("does not apply")
    assert rows["global_mlp"]["h3"]["mae"] is None


def test_short_series_are_counted(positive_panel: Panel) -> None:
    with pytest.raises(DataError, match=r"at least 60 \(4 of 4 series"):
        compare_methods(positive_panel, context=40, horizon=20)


def test_what_cannot_run_is_refused(positive_panel: Panel, base: str) -> None:
    with pytest.raises(ConfigError, match="without an adapter"):
        compare_methods(positive_panel, context=40, horizon=3, methods=["adapted"])
    with pytest.raises(ConfigError, match="'wizard'"):
        compare_methods(positive_panel, context=40, horizon=3, methods=["wizard"])
    with pytest.raises(DataError, match="context 1"):
        compare_methods(positive_panel, context=1, horizon=3)
    with pytest.raises(BudgetExceeded):
        compare_methods(
            positive_panel, context=40, horizon=3, model=base, methods=["zero_shot"], budget=5
        )
