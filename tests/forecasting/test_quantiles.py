"""Quantiles of samples, against their definition, order statistics and the statistics module."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loracast.errors import ConfigError
from loracast.forecasting._quantiles import (
    check_levels,
    check_quantiles,
    enough_samples,
    intervals,
    sample_quantiles,
)

ANY = st.floats(-1.7e308, 1.7e308)


@given(arrays(np.float64, (2, 5, 3, 1), elements=ANY))
def test_the_median_is_the_middle_sample_at_any_size(samples: np.ndarray) -> None:
    found = sample_quantiles(samples, [0.5])[0]
    for n, h in np.ndindex(2, 3):
        expected = statistics.median(samples[n, :, h, 0].tolist())
        assert found[n, h, 0] == pytest.approx(expected, rel=1e-12, abs=1e-290)
    assert np.isfinite(found).all()


@given(arrays(np.float64, (2, 9, 2, 2), elements=st.floats(-1e6, 1e6)))
def test_quantiles_are_order_statistics_at_unbiased_positions(samples: np.ndarray) -> None:
    """By hand, S = 9: the 10 % quantile is the smallest, 25 % lies between second and third."""
    found = sample_quantiles(samples, [0.1, 0.25, 0.5, 0.9])
    for n, h, c in np.ndindex(2, 2, 2):
        x = sorted(samples[n, :, h, c])
        expected = [x[0], 0.5 * x[1] + 0.5 * x[2], x[4], x[8]]
        np.testing.assert_allclose(found[:, n, h, c], expected, rtol=1e-9, atol=1e-9)


@given(arrays(np.float64, (1, 25, 2, 1), elements=ANY), st.floats(1, 92), st.floats(1, 92))
def test_a_wider_interval_holds_a_narrower_one(samples: np.ndarray, a: float, b: float) -> None:
    narrow, wide = sorted((a, b))
    bands = intervals(samples, [narrow, wide])
    slack = 1e-9 * np.abs(samples).max() if samples.size else 0.0
    assert (bands[wide][0] <= bands[narrow][0] + slack).all()
    assert (bands[narrow][1] <= bands[wide][1] + slack).all()
    assert all(np.isfinite(side).all() for band in bands.values() for side in band)


def test_an_interval_of_80_lies_between_the_tenths() -> None:
    samples = np.arange(20.0).reshape(1, 20, 1, 1)
    low, high = intervals(samples, [80])[80]
    # Position 0.1 x 21 = 2.1 from below: a tenth of the way from the second to the third.
    assert (low.item(), high.item()) == pytest.approx((1.1, 17.9))
    assert intervals(samples, []) == {}


@pytest.mark.parametrize(("level", "least"), [(50, 3), (80, 9), (90, 19), (95, 39), (99, 199)])
def test_a_level_wants_as_many_samples_as_it_takes(level: float, least: int) -> None:
    """Oracle: the tail (1 - level) / 2 must be at least 1 / (S + 1), the outermost draw's share."""
    assert (100 - level) * (least + 1) >= 200 > (100 - level) * least
    assert enough_samples(least, [level]) == least
    assert enough_samples(None, [level]) == max(20, least)
    said = rf"got level {level} with {least - 1} samples; expected at least {least} samples"
    with pytest.raises(ConfigError, match=said) as caught:
        enough_samples(least - 1, [level])
    assert f"--samples {least}" in str(caught.value)
    with pytest.raises(ConfigError, match=f"at least {least} samples"):
        intervals(np.zeros((1, least - 1, 1, 1)), [level])


def test_quantiles_want_samples_too() -> None:
    assert enough_samples(None, [], [0.01]) == 99
    with pytest.raises(ConfigError, match=r"got quantile 0.995 with 20 samples; .* at least 199"):
        enough_samples(20, [80], [0.5, 0.995])
    with pytest.raises(ConfigError, match=r"got 1 samples for the quantile 0.4"):
        sample_quantiles(np.zeros((1, 1, 1, 1)), [0.4])


@pytest.mark.parametrize("level", [0, 100, -5, 120, float("nan")])
def test_impossible_levels_are_refused(level: float) -> None:
    with pytest.raises(ConfigError, match="level"):
        check_levels([level])
    with pytest.raises(ConfigError, match="quantile"):
        check_quantiles([level / 100])


def test_levels_come_sorted_and_once() -> None:
    assert check_levels([95, 80, 80]) == [80.0, 95.0]
    assert check_quantiles([0.9, 0.1]) == [0.1, 0.9]


def test_the_whole_of_float64_does_not_overflow() -> None:
    """numpy's own answer here is -inf: the difference of the two middle values is not finite."""
    samples = np.array([-1.7e308, -1.7e308, 1.5e308, 1.7e308]).reshape(1, 4, 1, 1)
    low, middle, high = sample_quantiles(samples, [0.2, 0.5, 0.8]).ravel()
    assert (low, high) == (-1.7e308, 1.7e308)
    assert middle == pytest.approx(-0.1e308)
