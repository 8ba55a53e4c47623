"""Scores against slow loops, closed forms and utilsforecast."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import utilsforecast.losses as peer
from hypothesis import given
from hypothesis import strategies as st

from loracast.errors import DataError
from loracast.evaluation import METRICS, coverage, score_horizons
from loracast.evaluation._crps import crps_from_samples
from loracast.evaluation._metrics import naive_scales
from loracast.evaluation._score import running_rmse, score


def _case(n_series=4, n_samples=17, horizon=6, n_channels=2, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 1, (n_series, horizon, n_channels))
    point = truth + rng.normal(0, 0.5, truth.shape)
    samples = truth[:, None] + rng.normal(0, 0.7, (n_series, n_samples, horizon, n_channels))
    contexts = [rng.normal(3, 1, (10 + i, n_channels)) for i in range(n_series)]
    return truth, point, samples, contexts


def _slow_crps(truth, samples):
    total = 0.0
    for a in samples:
        total += abs(a - truth) / len(samples)
        for b in samples:
            total -= abs(a - b) / (2 * len(samples) * (len(samples) - 1))
    return total


def test_crps_equals_the_double_loop():
    truth, _, samples, _ = _case()
    fast = crps_from_samples(truth, samples)
    for where in np.ndindex(truth.shape):
        n, h, c = where
        assert fast[where] == pytest.approx(_slow_crps(truth[where], samples[n, :, h, c]))


@pytest.mark.parametrize("truth", [-1.0, 0.0, 0.3, 2.0])
def test_crps_of_two_points_in_closed_form(truth):
    # E|x - y| is 1/2 inside [0, 1] and one more per unit outside; E|x - x'| of the law that gave
    # two different points is estimated by their distance, 1, and half of it is taken off.
    outside = max(-truth, truth - 1, 0.0)
    found = crps_from_samples(np.array(truth), np.array([0.0, 1.0]), axis=0)
    assert found == pytest.approx(outside)


@pytest.mark.parametrize("count", [2, 5, 20, 100])
def test_the_expected_crps_does_not_depend_on_the_number_of_samples(count):
    """Oracle: a perfect normal forecast has CRPS 1 / sqrt(pi); the biased form adds 1 / (S ...)."""
    rng = np.random.default_rng(count)
    truth, samples = rng.standard_normal(20_000), rng.standard_normal((20_000, count))
    found = crps_from_samples(truth, samples)
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - 1 / np.sqrt(np.pi)) < 4 * error
    # Ferro 2014: the usual form is larger by E|x - x'| / (2 S) = 1 / (S sqrt(pi)).
    assert 1 / (count * np.sqrt(np.pi)) > 4 * error or count == 100


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    st.floats(-1e6, 1e6),
)
def test_crps_is_never_above_the_mean_error(samples, truth):
    values = np.array(samples)
    found = float(crps_from_samples(np.array(truth), values, axis=0))
    assert found <= np.abs(values - truth).mean() + 1e-6


@pytest.mark.parametrize("count", [9, 20, 100])
def test_the_80_percent_band_of_perfect_draws_holds_80_percent(count):
    rng = np.random.default_rng(count)
    truth = rng.standard_normal((200, 100, 1))
    samples = rng.standard_normal((200, count, 100, 1))
    found = coverage(truth, samples)
    assert abs(found - 0.8) < 4 * np.sqrt(0.8 * 0.2 / truth.size)


def test_a_band_that_the_samples_do_not_hold_has_no_coverage():
    truth, samples = np.zeros((1, 2, 1)), np.zeros((1, 8, 2, 1))
    assert coverage(truth, samples) is None
    assert coverage(truth, samples, 50) == 1.0


def test_one_wild_series_moves_the_mean_and_not_the_median():
    truth = np.zeros((5, 4, 1))
    samples = np.arange(1.0, 4.0)[None, :, None, None] * np.ones((5, 3, 4, 1))
    plain = score(truth, np.median(samples, axis=1), samples)
    samples[2] *= 1e20
    wild = score(truth, np.median(samples, axis=1), samples)
    assert wild["mae"] > 1e19 < wild["crps"]
    assert wild["mae_median"] == plain["mae_median"] == plain["mae"] == 2.0
    assert wild["crps_median"] == pytest.approx(plain["crps"])


def test_crps_of_one_sample_is_the_absolute_error():
    truth, point, _, _ = _case()
    assert np.allclose(crps_from_samples(truth, point[:, None]), np.abs(truth - point))


def test_scores_equal_utilsforecast():
    truth, point, samples, contexts = _case(n_channels=1)
    n_series, horizon, _ = truth.shape
    ids = np.repeat(np.arange(n_series), horizon)
    low, high = np.quantile(samples, [0.1, 0.9], axis=1, method="weibull")
    frame = pd.DataFrame(
        {
            "unique_id": ids,
            "ds": np.tile(np.arange(100, 100 + horizon), n_series),
            "y": truth.ravel(),
            "m": point.ravel(),
            "m-lo-80": low.ravel(),
            "m-hi-80": high.ravel(),
        }
    )
    train = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(n_series), [len(c) for c in contexts]),
            "ds": np.concatenate([np.arange(len(c)) for c in contexts]),
            "y": np.concatenate(contexts).ravel(),
        }
    )
    found = score(truth, point, samples, contexts)
    assert list(found) == list(METRICS)
    assert found["mae"] == pytest.approx(peer.mae(frame, ["m"])["m"].mean())
    assert found["mse"] == pytest.approx(peer.mse(frame, ["m"])["m"].mean())
    assert found["rmse"] == pytest.approx(np.sqrt(peer.mse(frame, ["m"])["m"].mean()))
    assert found["mape"] == pytest.approx(100 * peer.mape(frame, ["m"])["m"].mean())
    assert found["coverage80"] == pytest.approx(peer.coverage(frame, ["m"], 80)["m"].mean())
    for season in (1, 3):
        expected = peer.mase(frame, ["m"], season, train)["m"].mean()
        again = score(truth, point, samples, contexts, seasonality=season)
        assert again["mase"] == pytest.approx(expected)


def test_mase_of_many_channels_is_the_mean_over_series_and_channels():
    truth, point, _, contexts = _case()
    slow = []
    for n, context in enumerate(contexts):
        for c in range(2):
            steps = [abs(context[t, c] - context[t - 1, c]) for t in range(1, len(context))]
            scale = np.mean(steps)
            slow.append(np.mean(np.abs(truth[n, :, c] - point[n, :, c])) / scale)
    assert score(truth, point, None, contexts)["mase"] == pytest.approx(np.mean(slow))


def test_missing_truth_is_left_out():
    truth, point, samples, contexts = _case()
    truth[1, 2:, 0] = np.nan
    known = ~np.isnan(truth)
    found = score(truth, point, samples, contexts)
    assert found["mae"] == pytest.approx(np.abs(truth - point)[known].mean())
    assert found["rmse"] == pytest.approx(np.sqrt(((truth - point)[known] ** 2).mean()))
    inside = []
    for n, h, c in np.argwhere(known):
        low, high = np.quantile(samples[n, :, h, c], [0.1, 0.9], method="weibull")
        inside.append(low <= truth[n, h, c] <= high)
    assert found["coverage80"] == pytest.approx(np.mean(inside))
    assert found["crps"] == pytest.approx(crps_from_samples(truth, samples)[known].mean())


def test_nothing_known_gives_none_and_no_warning():
    truth, point, samples, contexts = _case()
    found = score(np.full_like(truth, np.nan), point, samples, contexts)
    assert found == dict.fromkeys(METRICS)


def test_constant_contexts_and_zero_truth_have_no_relative_score():
    truth, point = np.zeros((1, 3, 1)), np.ones((1, 3, 1))
    found = score(truth, point, None, [np.ones((5, 1))])
    assert found["mase"] is None
    assert found["mape"] is None
    assert found["mae"] == found["rmse"] == 1.0


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_extreme_sizes_stay_finite_or_none(size):
    truth, point, samples, contexts = _case()
    found = score(truth * size, point * size, samples * size, [c * size for c in contexts])
    plain = score(truth, point, samples, contexts)
    for name, power in (("mae", 1), ("rmse", 1), ("crps", 1), ("mape", 0), ("mase", 0)):
        assert found[name] == pytest.approx(plain[name] * size**power)
    assert found["mse"] is None if size > 1 else found["mse"] == 0.0


def test_horizons_score_the_first_steps():
    truth, point, samples, contexts = _case()
    found = score_horizons(truth, point, samples, contexts, horizons=(2, 6))
    assert list(found) == ["h2", "h6"]
    assert found["h2"] == score(truth[:, :2], point[:, :2], samples[:, :, :2], contexts)
    with pytest.raises(DataError, match="got horizon 7 to score; expected 1 to 6"):
        score_horizons(truth, point, horizons=(7,))


def test_running_rmse_equals_the_loop():
    truth, point, _, _ = _case()
    truth[:, 0] = np.nan
    truth[0, 3, 1] = np.nan
    found = running_rmse(truth, point)
    assert np.isnan(found[0])
    for h in range(2, truth.shape[1] + 1):
        errors = (truth - point)[:, :h]
        assert found[h - 1] == pytest.approx(np.sqrt(np.nanmean(errors**2)))


def test_coverage_of_a_known_case():
    # The 10 % quantile of 19 draws is the second of them (0.1 x 20), the 90 % one the 18th.
    samples = np.arange(19.0).reshape(1, 19, 1, 1) / 2 + 0.5
    for value, inside in ((1.0, 1.0), (9.0, 1.0), (0.9, 0.0), (9.1, 0.0)):
        assert coverage(np.full((1, 1, 1), value), samples) == inside


def test_scales_need_known_pairs():
    context = np.array([[1.0], [np.nan], [4.0], [np.nan], [9.0]])
    assert np.isnan(naive_scales([context], 1)).all()
    assert naive_scales([context], 2)[0, 0] == pytest.approx(4.0)


def test_wrong_arrays_are_refused():
    truth, point, samples, contexts = _case()
    with pytest.raises(DataError, match=r"expected both \(N, H, C\)"):
        score(truth, point[:, :2])
    with pytest.raises(DataError, match="samples of shape"):
        score(truth, point, samples[:, 0])
    with pytest.raises(DataError, match="3 contexts for 4 series"):
        score(truth, point, samples, contexts[:3])
    point[2, 0, 0] = np.nan
    with pytest.raises(DataError, match="series at position 2"):
        score(truth, point)
