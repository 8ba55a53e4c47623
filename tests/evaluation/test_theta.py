"""Theta on series whose continuation is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from loracast.evaluation import run_baseline

pytest.importorskip("statsforecast")


def test_a_line_goes_on_with_half_its_slope() -> None:
    """Oracle: Hyndman and Billah 2003: simple exponential smoothing with half the trend as drift.

    On an exact line the smoothing takes the last value whole.
    """
    t = np.arange(40.0)
    context = np.stack([3 + 0.5 * t, 30 - 0.5 * t], axis=1)
    found = run_baseline("theta", [context], 4, seed=0, n_samples=5)
    ahead = 0.25 * np.arange(1, 5)
    expected = context[-1] + np.stack([ahead, -ahead], axis=1)
    # the smoothing weight stops short of 1, at 0.99: measured 2.5e-3 of a slope of 0.5
    assert np.abs(found.point[0] - expected).max() < 0.01
    assert "non-seasonal" in found.note


@pytest.mark.parametrize("offset", [0.0, -3.0])  # all positive, and of both signs
def test_an_exact_cycle_goes_on_exactly(offset: float) -> None:
    cycle = np.array([1.0, 2, 4, 3, 5, 2, 1, 6, 7, 3, 2, 1]) + offset
    context = np.tile(cycle, 5)[:, None]
    found = run_baseline("theta", [context], 12, seed=0, n_samples=5, season=12)
    assert np.allclose(found.point[0, :, 0], cycle, atol=1e-9)
    assert "season 12" in found.note


def test_the_band_of_a_random_walk_widens() -> None:
    walk = np.random.default_rng(0).standard_normal((200, 1)).cumsum(axis=0)
    found = run_baseline("theta", [walk], 16, seed=0, n_samples=4000, season=1)
    assert found.samples is not None
    spread = found.samples[0, :, :, 0].std(axis=0)
    assert spread[0] == pytest.approx(1.0, rel=0.15)
    assert spread[15] == pytest.approx(4.0, rel=0.3)
