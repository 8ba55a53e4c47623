"""Bands as wide as held-out series ask: coverage on fresh data, and what must stay as it was."""

from __future__ import annotations

import numpy as np
import pytest

from loracast.errors import ConfigError
from loracast.evaluation import coverage
from loracast.forecasting._spread import spread_factors, widened


def _world(n: int, seed: int, spread: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Samples whose spread is wrong by a factor that grows with the step."""
    rng = np.random.default_rng(seed)
    samples, truth = [], []
    for _ in range(n):
        centre = rng.normal(size=(1, 12, 2))
        samples.append(centre + 0.5 * rng.standard_normal((20, 12, 2)))
        grown = spread * (1 + np.arange(12)[:, None] / 4)
        truth.append(centre[0] + grown * rng.standard_normal((12, 2)))
    return samples, truth


def _coverage(samples: list[np.ndarray], truth: list[np.ndarray]) -> np.ndarray:
    inside = []
    for paths, known in zip(samples, truth, strict=True):
        low, high = np.quantile(paths, [0.1, 0.9], axis=0, method="weibull")
        inside.append((known >= low) & (known <= high))
    return np.mean(inside, axis=(0, 2))


def test_bands_that_were_too_narrow_or_too_wide_hold_80_percent_of_fresh_truths() -> None:
    for spread in (0.1, 1.0):
        factors = spread_factors(*_world(200, 1, spread))
        samples, truth = _world(400, 2, spread)
        before = _coverage(samples, truth)
        after = _coverage([widened(s, factors) for s in samples], truth)
        assert abs(before.mean() - 0.8) > 0.1
        assert (np.abs(after - 0.8) < 0.06).all(), after


@pytest.mark.parametrize("learnt_with", [20, 100])
def test_a_factor_learnt_with_few_samples_holds_for_any_number(learnt_with: int) -> None:
    """Oracle: perfect normal draws, whose 80 % band must hold 80 % at every S."""
    rng = np.random.default_rng(learnt_with)

    def perfect(n: int, count: int, steps: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        drawn = rng.standard_normal((n, count, steps, 2)).astype(np.float32)
        return list(drawn), list(rng.standard_normal((n, steps, 2)))

    factors = spread_factors(*perfect(3000, learnt_with, 1))
    # The 80 % quantile of n residuals is off by sqrt(0.16 / n) in coverage, n = 6000.
    assert abs(factors[0] - 1.0) < 0.06
    for count in (20, 100, 1000):
        paths, truth = perfect(2000, count, 1)
        found = coverage(np.stack(truth), np.stack([widened(p, factors) for p in paths]))
        assert found is not None
        binomial = np.sqrt(0.16 / 4000 + 0.16 / 6000)  # of these truths and of the factor's
        assert abs(found - 0.8) < 4 * binomial, (count, found)


@pytest.mark.parametrize("width", [0.5, 1.5])
def test_wrong_widths_are_mended_for_any_number_of_samples(width: float) -> None:
    """Three points: the median of 20 independent draws moves about, which no factor can mend."""
    rng = np.random.default_rng(8)
    learnt = list(width * rng.standard_normal((3000, 20, 1, 2)))
    factors = spread_factors(learnt, list(rng.standard_normal((3000, 1, 2))))
    for count in (20, 100, 1000):
        paths = width * rng.standard_normal((3000, count, 1, 2))
        found = coverage(
            rng.standard_normal((3000, 1, 2)), np.stack([widened(p, factors) for p in paths])
        )
        assert found is not None
        assert abs(found - 0.8) < 0.03, (count, found)


def test_too_few_samples_cannot_calibrate() -> None:
    with pytest.raises(ConfigError, match=r"got 8 samples .* at least 9"):
        spread_factors([np.zeros((8, 2, 1))], [np.zeros((2, 1))])


def test_the_median_stays_and_later_steps_take_the_last_factor() -> None:
    samples, _ = _world(1, 3, 1.0)
    wide = widened(samples[0], (2.0, 3.0))
    median = np.median(samples[0], axis=0)
    np.testing.assert_allclose(np.median(wide, axis=0), median, atol=1e-12)
    np.testing.assert_allclose(wide[:, 0] - median[0], 2 * (samples[0][:, 0] - median[0]))
    np.testing.assert_allclose(wide[:, 7] - median[7], 3 * (samples[0][:, 7] - median[7]))
    assert widened(samples[0], ()) is samples[0]
    alone = samples[0][:1]  # one path has no width
    np.testing.assert_array_equal(widened(alone, (2.0,)), alone)


def test_few_truths_change_nothing() -> None:
    samples, truth = _world(1, 4, 5.0)
    assert spread_factors(samples, truth) == (1.0,) * 12
    gaps = [np.full_like(t, np.nan) for t in _world(50, 5, 1.0)[1]]
    assert spread_factors(_world(50, 5, 1.0)[0], gaps) == (1.0,) * 12


def test_truths_may_be_shorter_than_the_forecast() -> None:
    samples, truth = _world(60, 6, 1.0)
    factors = spread_factors(samples, [t[:7] for t in truth])
    assert len(factors) == 7
    assert min(factors) > 1.0
