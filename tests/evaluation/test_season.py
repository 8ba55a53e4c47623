"""Seasons of contexts: found where they are plain and only there, and what methods do with them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from loracast.errors import ConfigError, DataError
from loracast.evaluation import METHODS, find_season, run_baseline
from loracast.evaluation._metrics import naive_scales
from loracast.evaluation._naive import best_lag
from loracast.evaluation._score import score


@pytest.mark.parametrize("n_steps", [36, 60, 96, 120, 144])
def test_the_airline_passengers_have_years(airline: np.ndarray, n_steps: int) -> None:
    assert find_season(airline[:n_steps, None]) == 12


@pytest.mark.parametrize("months", [60, 160, 300])
def test_carbon_dioxide_has_years_and_sunspots_have_not(months: int) -> None:
    datasets = pytest.importorskip("statsmodels.datasets")
    weekly = datasets.co2.load_pandas().data.co2
    monthly = weekly.resample("MS").mean().to_numpy()[-months:]
    assert np.isnan(datasets.co2.load_pandas().data.co2).any()  # holes are interpolated
    assert find_season(monthly[:, None]) == 12
    sunspots = datasets.sunspots.load_pandas().data.SUNACTIVITY.to_numpy()[-months:]
    assert find_season(sunspots[:, None]) is None  # some eleven years are no calendar's season


@pytest.mark.parametrize("season", [4, 7, 12, 24])
@pytest.mark.parametrize("trend", [0.0, 0.3])
def test_a_planted_season_is_found_in_noise(season: int, trend: float) -> None:
    rng = np.random.default_rng(season)
    steps = np.arange(10 * season)
    shape = rng.normal(size=season)
    values = shape[steps % season] + trend * steps + 0.2 * rng.normal(size=len(steps))
    assert find_season(values[:, None]) == season
    assert find_season(np.stack([values, 1e6 - 1e3 * values], axis=1)) == season
    holed = values.copy()
    holed[5::17] = np.nan
    assert find_season(holed[:, None]) == season


@pytest.mark.parametrize("n_steps", [40, 70, 160])
def test_noise_and_walks_have_none(n_steps: int) -> None:
    """At most 1 in 50 of each; measured, 1 in 300 or fewer."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(100, n_steps, 1))
    for series in (noise, noise.cumsum(axis=1)):
        assert sum(find_season(values) is not None for values in series) <= 2


def test_what_holds_nothing_has_none() -> None:
    for values in (np.ones((50, 1)), np.zeros((50, 2)), np.arange(50.0)[:, None], np.ones((3, 1))):
        assert find_season(values) is None
    assert find_season(np.full((30, 1), np.nan)) is None


def test_smooth_swings_of_any_period_are_left_to_the_best_lag(shared_dir) -> None:
    """So that the seasonal naive forecast of the predator-prey systems stays what it was."""
    from loracast.series import read_panel

    values = read_panel(shared_dir / "data" / "lotka_volterra_dev.h5").stack()[800:, :70]
    assert sum(find_season(context) is not None for context in values) == 0


def test_the_lag_of_the_airline_is_a_year(airline: np.ndarray) -> None:
    """The lag chosen by a hold-out is 1 here: the trend hides the season from it."""
    context, truth = airline[:120, None], airline[120:, None]
    assert best_lag(context) == 1
    found = run_baseline("seasonal_naive", [context], 24, seed=0, n_samples=2)
    expected = np.abs(truth - np.tile(context[-12:], (2, 1))).mean()
    assert np.abs(found.point[0] - truth).mean() == pytest.approx(expected)
    assert found.note == "season 12"
    crippled = run_baseline("seasonal_naive", [context], 24, seed=0, season=1)
    assert np.array_equal(crippled.point[0], np.repeat(context[-1:], 24, axis=0))


def test_a_season_is_taken_for_all_or_for_each(airline: np.ndarray) -> None:
    contexts = [airline[:120, None], np.tile([1.0, 5.0, 2.0], 20)[:, None]]
    found = run_baseline("seasonal_naive", contexts, 6, seed=0, season=[12, None])
    assert np.array_equal(found.point[0, :, 0], airline[108:114])
    assert found.point[1, :, 0].tolist() == [1.0, 5.0, 2.0] * 2
    assert found.note.startswith("season 12 in 1 of 2, else lag per series")
    with pytest.raises(DataError, match="context 1 has 60 steps; a season of 70"):
        run_baseline("seasonal_naive", contexts, 6, seed=0, season=70)
    with pytest.raises(ConfigError, match="got season 0"):
        run_baseline("seasonal_naive", contexts, 6, seed=0, season=0)
    with pytest.raises(DataError, match="1 seasons for 2 series"):
        run_baseline("seasonal_naive", contexts, 6, seed=0, season=[12])


@pytest.mark.parametrize("name", ["auto_ets", "auto_arima"])
def test_automatic_methods_know_the_year(name: str, airline: np.ndarray) -> None:
    """Oracle: the library itself, told the season."""
    models = pytest.importorskip("statsforecast.models")
    context = airline[:96]
    found = run_baseline(name, [context[:, None]], 12, seed=0, n_samples=2)
    make = models.AutoETS if name == "auto_ets" else models.AutoARIMA
    expected = make(season_length=12).forecast(context / context.max(), 12)["mean"]
    # the same library on the same numbers; the order of its sums may differ by machine
    assert found.point[0, :, 0] == pytest.approx(expected * context.max(), rel=1e-4)
    plain = run_baseline(name, [context[:, None]], 12, seed=0, n_samples=2, season=1)
    truth = airline[96:108]
    year = np.abs(found.point[0, :, 0] - truth).mean()
    assert year < 0.7 * np.abs(plain.point[0, :, 0] - truth).mean()
    assert "season 12" in found.note
    weeks = run_baseline(name, [context[:30, None]], 3, seed=0, n_samples=2, season=52)
    assert "without it in 1" in weeks.note


def test_slow_methods_are_priced_by_their_sizes() -> None:
    small = [np.ones((70, 2))] * 5
    assert METHODS["naive"].expected_seconds(small, [None] * 5) == 0
    for name in ("auto_ets", "auto_arima"):
        one = METHODS[name].expected_seconds(small, [None] * 5)
        assert 0 < one < 10
        assert METHODS[name].expected_seconds(small * 4, [None] * 20) == pytest.approx(4 * one)
        assert METHODS[name].expected_seconds(small, [12] * 5) > METHODS[name].expected_seconds(
            small, [1] * 5
        )


def test_mase_is_scaled_by_each_series_own_season(airline: np.ndarray) -> None:
    contexts = [airline[:120, None], np.arange(40.0)[:, None] ** 2]
    truth = np.ones((2, 3, 1)) * 10
    found = score(truth, truth + 2, contexts=contexts, seasonality=[12, 1])["mase"]
    by_hand = [
        np.mean([abs(airline[t] - airline[t - 12]) for t in range(12, 120)]),
        np.mean([t**2 - (t - 1) ** 2 for t in range(1, 40)]),
    ]
    assert naive_scales(contexts, [12, 1])[:, 0] == pytest.approx(by_hand)
    assert found == pytest.approx(np.mean([2 / scale for scale in by_hand]))
    with pytest.raises(DataError, match="for all series or for each"):
        naive_scales(contexts, [12])


def test_without_the_extra_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from loracast.forecasting import baseline_rows

    monkeypatch.setitem(sys.modules, "statsforecast", None)
    rows, _ = baseline_rows(
        [np.ones((9, 1))], np.ones((1, 2, 1)), ["auto_ets"], seed=0, horizons=[2]
    )
    assert "pip install 'loracast[baselines]'" in rows["auto_ets"]["note"]
    assert rows["auto_ets"]["h2"]["mae"] is None
