"""What is measured of a series, against known noise, slow loops and changes of units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loracast.annotation import measure
from loracast.annotation._measurements import NOISE_ESTIMATES
from loracast.errors import DataError


def _median(numbers: list[float]) -> float:
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _slow_mad(numbers: list[float]) -> float:
    known = [v for v in numbers if not math.isnan(v)]
    if not known:
        return 0.0
    centre = _median(known)
    return 1.4826 * _median([abs(v - centre) for v in known])


def slow(values: list[float]) -> dict[str, float]:
    """The estimates one number at a time; those of the periodogram by sines and cosines."""
    known = [v for v in values if not math.isnan(v)]
    low, high = min(known), max(known)
    s = [(v - low) / (high - low) for v in values]
    T = len(s)
    out = {}
    for lag in (1, 2, 4):
        out[f"lag_{lag}"] = _slow_mad([s[i] - s[i - lag] for i in range(lag, T)]) / math.sqrt(2)
    second = [s[i] - 2 * s[i - 1] + s[i - 2] for i in range(2, T)]
    first = [s[i] - s[i - 1] for i in range(1, T)]
    spread = {
        k: _slow_mad([first[i] - first[i - k] for i in range(k, T - 1)])
        for k in range(2, min(T // 3, 64) + 1)
    }
    season = min(spread, key=lambda k: spread[k])
    rest = [s[i] - s[i - season] for i in range(season, T)]
    for lag in (1, 2, 4):
        steps = [rest[i] - rest[i - lag] for i in range(lag, len(rest))]
        out[f"seasonal_{lag}"] = _slow_mad(steps) / 2
    one, two = out["seasonal_1"], out["seasonal_2"]
    phi = min(max((two / one) ** 2 - 1, 0.0), 0.75) if one else 0.0
    out["seasonal_ar"] = one / math.sqrt(1 - phi)
    there = [v for v in second if not math.isnan(v)]
    out["second_mad"] = _slow_mad(second) / math.sqrt(6)
    out["second_rms"] = math.sqrt(sum(v * v for v in there) / len(there) / 6) if there else 0.0
    time = [2 * i / (T - 1) - 1 for i in range(T)]
    pairs = [(t, v) for t, v in zip(time, s, strict=True) if not math.isnan(v)]
    cubic = np.polynomial.Polynomial.fit(*zip(*pairs, strict=True), 3, domain=[-1, 1])
    out["cubic"] = math.sqrt(sum((v - cubic(t)) ** 2 for t, v in pairs) / len(pairs))
    filled = np.interp(time, *zip(*pairs, strict=True))
    rest = filled - np.polynomial.Polynomial.fit(time, filled, 3, domain=[-1, 1])(np.array(time))
    power = []
    for k in range(1, T // 2 + 1):
        angle = [2 * math.pi * k * i / T for i in range(T)]
        re = sum(v * math.cos(a) for v, a in zip(rest, angle, strict=True))
        im = sum(v * math.sin(a) for v, a in zip(rest, angle, strict=True))
        power.append((re * re + im * im) / T)
    for name, a, b in (("band_4", 0.4, 0.6), ("band_6", 0.6, 0.8), ("band_8", 0.8, 1.0)):
        first = int(a * len(power))
        band = power[first : max(int(b * len(power)), first + 1)]
        out[name] = math.sqrt(_median(band) / math.log(2))
    return out


@pytest.mark.parametrize("T", [12, 33, 64])
@pytest.mark.parametrize("gaps", [False, True])
def test_the_estimates_are_what_slow_loops_give(T: int, gaps: bool) -> None:
    rng = np.random.default_rng(T)
    values = np.sin(np.arange(T) / 5) + 0.2 * rng.standard_normal(T)
    if gaps:
        values[[0, T // 2, T // 2 + 1, T - 1]] = np.nan
    found = measure(values)
    wanted = slow(values.tolist())
    assert set(found.noise) == set(NOISE_ESTIMATES) == set(wanted)
    for name, estimate in wanted.items():
        assert found.noise[name] == pytest.approx(estimate, rel=1e-6, abs=1e-9), name


def test_white_noise_is_measured_by_every_estimate() -> None:
    rng = np.random.default_rng(3)
    values = 0.5 * rng.standard_normal(4000)
    true = 0.5 / np.ptp(values)
    for name, estimate in measure(values).noise.items():
        assert estimate == pytest.approx(true, rel=0.08), name


def test_a_season_and_a_slope_are_no_noise_to_the_seasonal_estimate() -> None:
    rng = np.random.default_rng(4)
    season = np.array([0.0, 1.0, 0.4, 0.9, 0.1, 0.5, 0.2])
    values = np.tile(season, 40) + np.arange(280) / 100 + 0.01 * rng.standard_normal(280)
    noise, true = measure(values).noise, 0.01 / np.ptp(values)
    for name in ("seasonal_1", "seasonal_2", "seasonal_4", "seasonal_ar"):
        assert noise[name] == pytest.approx(true, rel=0.2), name
    assert noise["lag_1"] > 10 * true


@pytest.mark.parametrize("coefficient", [0.0, 0.3, 0.6])
def test_correlated_noise_is_measured_whole_by_the_estimate_for_it(coefficient: float) -> None:
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(6000)
    for i in range(1, len(noise)):
        noise[i] += coefficient * noise[i - 1]
    noise *= 0.1 / noise.std()
    values = np.tile([0.0, 1.0, 0.4, 0.9, 0.1, 0.5], 1000) + np.arange(6000) / 6000 + noise
    found, true = measure(values).noise, 0.1 / np.ptp(values)
    assert found["seasonal_ar"] == pytest.approx(true, rel=0.1)
    # Neighbours are alike, so their differences miss a part of the noise.
    assert found["seasonal_1"] == pytest.approx(true * math.sqrt(1 - coefficient), rel=0.1)


def test_places_and_net_changes() -> None:
    values = np.concatenate([np.zeros(40), np.full(60, 4.0)])
    values[[7, 90]] = -1.0, 9.0
    found = measure(values)
    assert (found.lowest, found.highest, found.length) == (7, 90, 100)
    assert found.net_change == pytest.approx(0.4)  # 4 of a range of 10, by medians
    assert found.ends_change == pytest.approx((4 * 19 + 9) / 20 / 10 + 1 / 20 / 10)
    flat = measure(np.array([0.0, 0, 0, 6.0, 0, 0]))
    assert flat.roughness == pytest.approx(np.array([0, 0, 1, 2, 1, 1]) / np.sqrt(6))


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40).filter(
        lambda v: max(v) - min(v) > 1e-3
    ),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_units_and_offset_change_nothing(values: list[float], scale: float, offset: float) -> None:
    x = np.array(values)
    one, other = measure(x), measure(x * scale + offset)
    for name in NOISE_ESTIMATES:
        assert other.noise[name] == pytest.approx(one.noise[name], abs=1e-4)
    assert other.net_change == pytest.approx(one.net_change, abs=1e-4)
    assert all(np.isfinite(v) for v in one.noise.values()) and len(one.roughness) == len(x)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((3, 2)), r"shape \(3, 2\)"),
        ([1.0, np.inf], "infinities"),
        ([np.nan, np.nan], "two different"),
        ([2.0, 2.0, np.nan], "two different"),
        ([], "two different"),
    ],
)
def test_what_cannot_be_measured_is_one_line(values, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        measure(np.asarray(values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("T", "period"), [(200, 50), (200, 64), (12, 4), (30, 10)])
def test_a_season_of_up_to_64_steps_and_a_third_of_the_length_is_no_noise(
    T: int, period: int
) -> None:
    season = np.random.default_rng(1).standard_normal(period)
    noise = measure(np.resize(season, T)).noise
    told = [estimate for name, estimate in noise.items() if name.startswith("seasonal")]
    assert told and max(told) < 1e-12 < noise["lag_1"]


def test_ends_of_a_short_series_are_its_halves_and_fifths_are_of_the_observed() -> None:
    values = np.array([0.0, 1, 2, 3, 4, 10, 6, 7, 8, 9])
    assert measure(values).ends_change == pytest.approx((40 - 10) / 5 / 10)
    gaps = np.full(50, np.nan)
    gaps[::2] = np.arange(25.0)  # 25 observed: medians of five at either end, 2 and 22
    assert measure(gaps).net_change == pytest.approx(20 / 24)


def test_the_first_of_equal_extrema_and_roughness_across_gaps() -> None:
    found = measure(np.array([1.0, 3, 0, 3, 0]))
    assert (found.highest, found.lowest) == (1, 2)
    # Bridged, of the range: 0 0.5 1 0; second differences 0 and -1.5.
    rough = measure(np.array([0.0, np.nan, 2, 0])).roughness
    assert rough == pytest.approx(np.array([0, 0, 1.5, 1.5]) / np.sqrt(6))


def test_a_range_that_is_not_finite_can_be_measured() -> None:
    x = np.random.default_rng(2).uniform(-1.0, 1.0, 50)
    x[[3, 9]] = -1.0, 1.0
    large, small = measure(1.7e308 * x), measure(x)
    assert large.net_change == pytest.approx(small.net_change)
    assert large.noise == pytest.approx(small.noise)


def test_noise_that_alternates_counts_as_uncorrelated() -> None:
    rng = np.random.default_rng(6)
    noise = measure(np.diff(rng.standard_normal(401))).noise
    assert noise["seasonal_2"] < noise["seasonal_1"] == noise["seasonal_ar"]


def test_under_six_points_no_season_is_looked_for() -> None:
    # Second differences -2, 6 and -8, of a range of 5: the median is -2, that of the distances 6.
    assert measure(np.array([0.0, 1, 0, 5, 2])).noise["seasonal_1"] == pytest.approx(
        1.4826 * 6 / 2 / 5
    )
