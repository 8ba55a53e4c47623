"""Generated descriptions, judged by slow loops, by rebuilding and by counting."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from loracast.annotation import describe_chunk, region_of, trend_label
from loracast.annotation._described import FAMILIES as DESCRIBED_FAMILIES
from loracast.annotation._described import DescribedSeries
from loracast.annotation._described_parts import ar1, draw_level, draw_noise
from loracast.annotation._facts import SeriesFacts
from loracast.annotation._label_bounds import (
    noise_is_clear,
    noise_label,
    noise_soft_label,
    position_is_clear,
    trend_is_clear,
    trend_soft_label,
)
from loracast.errors import DataError


@pytest.fixture(scope="module")
def many() -> list[DescribedSeries]:
    return [series for index in range(10) for series in describe_chunk(3, index, 256)]


def composed(many: list[DescribedSeries]) -> list[DescribedSeries]:
    return [series for series in many if series.family != "ou"]


def regions(facts: SeriesFacts) -> tuple[str, str]:
    return facts.extrema[0].region, facts.extrema[1].region


def test_a_chunk_is_a_pure_function_of_its_arguments() -> None:
    first, again = describe_chunk(5, 2, 24), describe_chunk(5, 2, 24)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.values, two.values)
        assert one.facts == two.facts and one.family == two.family
    for other in (describe_chunk(6, 2, 24), describe_chunk(5, 3, 24)):
        assert not any(
            one.values.shape == two.values.shape
            and np.array_equal(one.values, two.values, equal_nan=True)
            for one, two in zip(first, other, strict=True)
        )


def test_lengths_and_families_are_those_asked_for(many: list[DescribedSeries]) -> None:
    lengths = [series.facts.length for series in many]
    assert min(lengths) >= 32 and max(lengths) <= 1024 and len(set(lengths)) > 120
    assert {series.family for series in many} == set(DESCRIBED_FAMILIES)
    some = describe_chunk(0, 0, 40, lengths=(40, 40), families=("line", "hump"))
    assert {series.facts.length for series in some} == {40}
    assert {series.family for series in some} == {"line", "hump"}
    assert {s.facts.length for s in describe_chunk(0, 0, 9, families=("ou",))} == {128}
    assert {len(s.values) for s in describe_chunk(0, 0, 9, lengths=(16, 16))} == {16}
    assert len(describe_chunk(0, 0, 1)) == 1


def test_extrema_are_those_of_the_observed_values(many: list[DescribedSeries]) -> None:
    for series in many[:250]:
        values, facts = series.values, series.facts
        assert values.dtype == np.float64 and values.shape == (facts.length,)
        best: dict[str, int] = {}
        for k, value in enumerate(values):  # a slow loop, NaN compares false
            if np.isnan(value):
                continue
            if "max" not in best or value > values[best["max"]]:
                best["max"] = k
            if "min" not in best or value < values[best["min"]]:
                best["min"] = k
        assert [item.kind for item in facts.extrema] == ["max", "min"]
        for item in facts.extrema:
            assert item.index == best[item.kind] and item.value == values[item.index]
            assert item.region == region_of(item.index, facts.length)


def test_clear_extrema_keep_their_distance_and_their_lead(many: list[DescribedSeries]) -> None:
    for series in many[:250]:
        values, facts = series.values, series.facts
        T, spread = facts.length, np.nanmax(values) - np.nanmin(values)
        for item in facts.extrema:
            sign = 1 if item.kind == "max" else -1
            lead = min(
                sign * (item.value - value)
                for k, value in enumerate(values)
                if not np.isnan(value) and region_of(k, T) != item.region
            )
            width = T / 2 if item.region == "middle" else T / 4
            bounds = {"beginning": [T / 4], "middle": [T / 4, 3 * T / 4], "end": [3 * T / 4]}
            far = min(abs(item.index - bound) for bound in bounds[item.region])
            if abs(lead / spread - 0.01) > 1e-9 and abs(far - 0.1 * width) > 1e-9:
                expected = lead >= 0.01 * spread and far >= 0.1 * width
                assert (item.kind in facts.clear) == expected


def test_trend_follows_from_the_slope_and_the_range(many: list[DescribedSeries]) -> None:
    for series in many:
        facts = series.facts
        assert facts.slope is not None and facts.trend is not None
        share = facts.slope * (facts.length - 1) / np.ptp(series.values[~np.isnan(series.values)])
        expected = "flat" if abs(share) < 0.2 else "increasing" if share > 0 else "decreasing"
        assert facts.trend == expected
        if series.family != "ou":
            assert ("trend" in facts.clear) == (abs(share) <= 0.16 or abs(share) >= 0.28)
        elif "trend" in facts.clear:  # clear even after the wandering of the path
            assert abs(share) >= 0.28


def test_the_level_starts_at_zero_and_ends_at_the_net_change() -> None:
    rng = np.random.default_rng(0)
    shapes = np.repeat(np.arange(5), 200)
    net = rng.uniform(-1, 1, len(shapes))
    level, knots = draw_level(rng, shapes, net, 60)
    np.testing.assert_allclose(level[:, 0], 0.0, atol=1e-12)
    np.testing.assert_allclose(level[:, -1], net, atol=1e-12)
    # Between knots at which something breaks, second differences are small (straight or smooth).
    for row, found in enumerate(knots):
        bends = np.abs(np.diff(level[row], 2))
        for k, kind in found:
            if kind != "soft":
                bends[max(k - 2, 0) : k + 1] = 0
        assert bends.max() < 0.1


def test_noise_has_the_latent_sigma_and_the_season_its_period() -> None:
    """Everything but noise and season is taken away by what the facts say; the rest must fit."""
    close = []
    for index in range(3):
        for series in describe_chunk(4, index, 128, lengths=(300, 400), families=("line",)):
            facts, values = series.facts, series.values
            assert facts.sigma is not None and facts.slope is not None
            plain = not facts.outliers and not facts.change_points and len(facts.segments) == 1
            if not plain or np.isnan(values).any():
                continue
            T = facts.length
            time = np.arange(T)
            waves = [np.ones(T), time]
            if facts.period is not None:
                angle = 2 * np.pi * time / facts.period
                waves += [f(k * angle) for k in range(1, 16) for f in (np.cos, np.sin)]
            keep = np.ones(T, dtype=bool)  # bump and dip are within 4 standard deviations
            for item in facts.extrema:
                keep[np.abs(time - item.index) < 0.1 * T + 4] = False
            design = np.stack(waves, axis=1)[keep]
            fit, *_ = np.linalg.lstsq(design, values[keep], rcond=None)
            spread = np.ptp(values)
            sigma = np.sqrt(((values[keep] - design @ fit) ** 2).sum() / (keep.sum() - len(waves)))
            # A season under the reported strength stays in the rest, and so does a bump that
            # another component hides from the extrema: nearly all is asked for, not all.
            close.append(
                abs(sigma / spread - facts.sigma) <= 0.25 * facts.sigma
                and abs(fit[1] - facts.slope) <= 0.3 * spread / T
            )
    assert len(close) > 80 and np.mean(close) > 0.9


def test_noise_labels(many: list[DescribedSeries]) -> None:
    for series in composed(many):
        sigma = series.facts.sigma
        assert sigma is not None
        expected = "low" if sigma < 0.02 else "high" if sigma > 0.06 else "medium"
        assert series.facts.noise == expected
        clear = sigma <= 0.018 or 0.024 <= sigma <= 0.056 or sigma >= 0.064
        assert ("noise" in series.facts.clear) == clear


def test_drawn_noise_has_mean_zero_and_unit_deviation() -> None:
    noise = draw_noise(np.random.default_rng(1), 300, 64)
    np.testing.assert_allclose(noise.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(noise.std(axis=1), 1, rtol=1e-12)
    first = (noise[:, 1:] * noise[:, :-1]).mean(axis=1)
    assert np.mean(first > 0.25) > 0.15  # the autocorrelated third


def test_ar1_is_the_recursion() -> None:
    rng = np.random.default_rng(2)
    shocks, keep = rng.standard_normal((7, 130)), np.linspace(-0.9, 0.999, 7)
    expected = shocks.copy()
    for t in range(1, 130):
        expected[:, t] += keep * expected[:, t - 1]
    np.testing.assert_allclose(ar1(shocks, keep), expected, rtol=1e-9, atol=1e-9)


def test_ou_is_the_published_generator() -> None:
    """By moments: start uniform on (-2, 2); the step's size gives back sigma."""
    series = [s for i in range(6) for s in describe_chunk(8, i, 300, families=("ou",))]
    starts = np.array([s.values[0] for s in series])
    assert starts.min() >= -2 and starts.max() <= 2
    assert starts.var() == pytest.approx(16 / 12, rel=0.08)
    sigma = np.array([np.diff(s.values).std() for s in series]) * np.sqrt(128)
    assert sigma.mean() == pytest.approx(0.2, rel=0.05) and sigma.max() < 0.5
    for one in series:
        # The mean path again, from where the facts say that it ends.
        start, slope = one.values[0], one.facts.slope
        assert slope is not None and one.facts.sigma is not None
        kept = (start + slope * 127 - 0.5) / (start - 0.5)
        path = 0.5 + (start - 0.5) * kept ** (np.arange(128) / 127)
        share = np.sqrt(np.mean((one.values - path) ** 2)) / np.ptp(one.values)
        assert one.facts.sigma == pytest.approx(share, rel=1e-6)
        time = np.arange(128)
        left = one.values - np.polyval(np.polyfit(time, one.values, 3), time)
        read = np.sqrt(np.mean(left**2)) / np.ptp(one.values)
        assert one.facts.noise == ("low" if read < 0.02 else "high" if read > 0.12 else "medium")
    # The mean path: from x0 towards 0.5, by 1 - exp(-theta) of the way, theta 0.2 to 1.2.
    moved = [s.facts.slope * 127 / (0.5 - s.values[0]) for s in series if s.facts.slope]
    assert min(moved) > 0.17 and max(moved) < 0.71
    expected = 1 - (np.exp(-0.2) - np.exp(-1.2))  # mean of 1 - exp(-theta)
    assert np.mean(moved) == pytest.approx(expected, abs=0.02)
    assert not any(np.isnan(s.values).any() for s in series)


def test_segments_tile_the_series(many: list[DescribedSeries]) -> None:
    for series in many:
        parts = series.facts.segments
        assert parts[0].start == 0 and parts[-1].end == series.facts.length - 1
        for one, two in pairwise(parts):
            assert one.start <= one.end == two.start - 1
        spread = np.nanmax(series.values) - np.nanmin(series.values)
        for part in parts:
            assert part.label == trend_label(part.slope * (part.end - part.start) / spread)


def test_steps_and_outliers_are_where_the_facts_say() -> None:
    steps: list[float] = []
    outliers: list[bool] = []
    for index in range(6):
        for series in describe_chunk(9, index, 128, lengths=(200, 400), families=("shift",)):
            facts, values = series.facts, series.values
            assert facts.sigma is not None
            spread = np.nanmax(values) - np.nanmin(values)
            if facts.sigma > 0.01 or facts.strength:
                continue
            for k in facts.change_points:
                steps.append(abs(values[k] - values[k - 1]) / spread)
            off = np.abs(np.diff(values, 2)) / spread  # off[k - 1] belongs to point k
            for k in facts.outliers:
                if 2 <= k <= facts.length - 3:
                    outliers.append(off[k - 1] > 0.1 and off[k - 1] == off[k - 2 : k + 1].max())
    steps = [x for x in steps if x == x]
    assert len(steps) > 40 and np.mean(np.array(steps) > 0.06) > 0.95
    assert len(outliers) > 10 and np.mean(outliers) > 0.8


def test_classes_are_balanced(many: list[DescribedSeries]) -> None:
    n = len(many)
    for field in ("trend", "noise"):
        counts = Counter(getattr(series.facts, field) for series in many)
        assert len(counts) == 3
        assert min(counts.values()) > 0.25 * n and max(counts.values()) < 0.42 * n
    for which in (0, 1):
        counts = Counter(regions(series.facts)[which] for series in many)
        assert min(counts.values()) > 0.28 * n and max(counts.values()) < 0.40 * n


def test_trend_says_little_about_the_extrema(many: list[DescribedSeries]) -> None:
    """0.78 of the published rows are right by trend alone; 1/9 would be chance."""

    def best_guess(rows: list[DescribedSeries]) -> float:
        pairs: dict[str | None, Counter[tuple[str, str]]] = {}
        for series in rows:
            pairs.setdefault(series.facts.trend, Counter())[regions(series.facts)] += 1
        return sum(max(counts.values()) for counts in pairs.values()) / len(rows)

    assert best_guess(composed(many)) < 0.20
    assert best_guess(many) < 0.30


def test_some_points_are_missing_but_never_many(many: list[DescribedSeries]) -> None:
    shares = np.array([np.isnan(series.values).mean() for series in composed(many)])
    assert 0.15 < np.mean(shares > 0) < 0.25
    assert shares.max() <= 0.1
    for series in many:
        assert all(not np.isnan(series.values[k]) for k in series.facts.outliers)


def test_a_soft_label_is_even_at_a_bound_and_follows_the_logistic_law() -> None:
    assert noise_soft_label(0.02)["low"] == pytest.approx(0.5)
    assert noise_soft_label(0.12, (0.02, 0.12))["high"] == pytest.approx(0.5)
    assert trend_soft_label(-0.2)["decreasing"] == pytest.approx(0.5)
    # ten per cent over the bound: log odds of log(1.1) / 0.1; 0.01 over it: of 0.5
    low = noise_soft_label(0.022)
    assert np.log(low["medium"] / low["low"]) == pytest.approx(np.log(1.1) / 0.1, rel=1e-3)
    up = trend_soft_label(0.21)
    assert np.log(up["increasing"] / up["flat"]) == pytest.approx(0.5, rel=1e-3)
    assert noise_soft_label(0.0) == {"low": 1.0, "medium": 0.0, "high": 0.0}


def test_the_label_is_the_largest_share(many: list[DescribedSeries]) -> None:
    for series in many:
        facts = series.facts
        for name, label in (("trend", facts.trend), ("noise", facts.noise)):
            shares = facts.soft_labels[name]
            assert sum(shares.values()) == pytest.approx(1.0) and min(shares.values()) >= 0
            assert max(shares, key=lambda known: shares[known]) == label
            if name in facts.clear:
                assert shares[label] > 0.6


def test_bounds_and_their_margins() -> None:
    assert [trend_label(x) for x in (-0.2, -0.19, 0.0, 0.19, 0.2)] == [
        "decreasing",
        "flat",
        "flat",
        "flat",
        "increasing",
    ]
    assert [trend_is_clear(x) for x in (0.0, -0.159, 0.17, 0.21, -0.27, 0.281)] == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    assert [noise_label(x) for x in (0.0, 0.0199, 0.02, 0.06, 0.0601)] == [
        "low",
        "low",
        "medium",
        "medium",
        "high",
    ]
    assert [noise_is_clear(x) for x in (0.0179, 0.019, 0.023, 0.025, 0.057, 0.063, 0.065)] == [
        True,
        False,
        False,
        True,
        False,
        False,
        True,
    ]
    assert [position_is_clear(k, 100) for k in (0, 22, 23, 29, 30, 70, 71, 77, 78, 99)] == [
        True,
        True,
        False,
        False,
        True,
        True,
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 0}, "n=0"),
        ({"seed": -1}, "seed=-1"),
        ({"index": -1}, "index=-1"),
        ({"lengths": (8, 20)}, "lengths"),
        ({"lengths": (40, 20)}, "lengths"),
        ({"families": ()}, "families"),
        ({"families": ("ou", "spiral")}, "spiral"),
    ],
)
def test_impossible_requests_are_one_line(change: dict, words: str) -> None:
    with pytest.raises(DataError, match=words) as problem:
        describe_chunk(**{"seed": 0, "index": 0, "n": 4, **change})
    assert "\n" not in str(problem.value) and "expected" in str(problem.value)
