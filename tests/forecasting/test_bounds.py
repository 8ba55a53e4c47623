"""Paths that run away are held, those that grow are not, and one path decides no score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loracast import Forecaster
from loracast.backbone import build_embedded, embedded_config, numeric_head_of
from loracast.forecasting import Engine, model_notes, score_samples
from loracast.forecasting._bounds import FAR, ROOM, hold, path_limits
from loracast.series import Panel


def test_a_still_context_and_a_moving_one_by_hand() -> None:
    context = np.array([[0.0, -3.0], [1.0, -3.0], [0.5, -3.0], [0.25, -3.0]])
    low, high = path_limits(context, 2)
    assert (ROOM, FAR) == (2.0, 20.0)
    np.testing.assert_allclose(low, [-2.0, -9.0])
    np.testing.assert_allclose(high, [3.0, 3.0])
    low, high = path_limits(context, 8)  # twice as far as the context is long
    np.testing.assert_allclose(low, [-4.0, -15.0])


def test_logs_have_a_range_of_factors() -> None:
    context = np.array([[1.0], [np.e], [1.0], [1.0]])
    low, high = path_limits(context, 4, logs=True)
    assert low[0] == pytest.approx(np.exp(-2))
    assert high[0] == pytest.approx(np.exp(3))
    wild = np.array([[1e-3], [1e3], [1e-3], [1e-3]])
    assert path_limits(wild, 4, logs=True)[1, 0] == pytest.approx(1e3 * (1 + FAR), rel=1e-5)


@pytest.mark.parametrize("logs", [False, True])
@pytest.mark.parametrize(("steps", "horizon"), [(30, 30), (70, 30), (20, 60)])
def test_growth_of_a_context_may_go_on(logs: bool, steps: int, horizon: int) -> None:
    """Exponential, linear and accelerating growth, and their mirror images, go on untouched."""
    t = np.arange(steps + horizon)
    ways = [np.exp(0.23 * t), np.exp(-0.23 * t), 5 + t, 1000.0 - t, 1.0 + t**1.5]
    if not logs:
        ways += [-5.0 - t, np.sin(t / 3) * t]
    for values in ways:
        context, future = values[:steps, None], values[steps:, None]
        _, touched = hold(future[None], path_limits(context, horizon, logs=logs))
        assert not touched.any(), values


def test_random_walks_are_not_held() -> None:
    """Of 400 walks at most 1 %, over a horizon half as long as the context."""
    walks = np.random.default_rng(0).standard_normal((400, 60, 1)).cumsum(axis=1)
    met = [hold(w[None, 40:], path_limits(w[:40], 20))[1][0] for w in walks]
    assert np.mean(met) < 0.01


@pytest.mark.parametrize(
    "context", [[-1.7e308, 1.7e308], [5e-324, 1e-300], [0.0, 0.0], [3, np.nan]]
)
def test_ends_of_float64_have_limits(context: list[float]) -> None:
    limits = path_limits(np.array(context)[:, None], 5)
    assert not np.isnan(limits).any()
    assert limits[0, 0] < limits[1, 0]


@pytest.fixture
def wild(tmp_path: Path) -> Engine:
    """A base whose every step adds many typical steps."""
    build_embedded(tmp_path / "base", embedded_config(64, 1, 96), seed=0)
    engine = Engine.open(str(tmp_path / "base"), {"name": "continuous", "transform": "log"})
    interface: Any = numeric_head_of(engine.backbone.model)
    k = interface.shape.components
    with torch.no_grad():
        out = interface.head_out.bias.view(-1, 3 * k)
        out[:, :k] = 5.0  # log of a component's scale, in typical steps
    return engine


def wave(n: int) -> np.ndarray:
    return (2 + np.sin(np.arange(n) / 3))[:, None]


def test_a_path_that_runs_away_is_held_before_it_is_fed_back(wild: Engine) -> None:
    contexts, keys = [wave(40), 10 * wave(40)], ["a", "b"]
    samples = wild.sample(contexts, keys, 20, samples=10, seed=0)
    for context, paths in zip(contexts, samples, strict=True):
        limits = path_limits(context, 20, logs=True)
        assert (paths >= limits[0] * (1 - 1e-4)).all()  # float32 in between
        assert (paths <= limits[1] * (1 + 1e-4)).all()
    assert 0 < wild.held_paths <= 20
    (note,) = model_notes(wild, 1, 20)
    assert note.startswith(f"{wild.held_paths} of 20 sampled paths ran away and were held at 2")


def test_a_calm_base_is_not_touched(tmp_path: Path) -> None:
    build_embedded(tmp_path / "base", embedded_config(64, 1, 96), seed=0)
    engine = Engine.open(str(tmp_path / "base"), {"name": "continuous"})
    engine.sample([wave(40)], ["a"], 10, samples=10, seed=0)
    assert engine.held_paths == 0
    assert model_notes(engine, 1, 10) == []


def test_widened_paths_are_held_too(tmp_path: Path) -> None:
    build_embedded(tmp_path / "base", embedded_config(64, 1, 96), seed=0)
    engine = Engine.open(str(tmp_path / "base"), {"name": "continuous", "transform": "linear"})
    engine.spread = (1e4,)
    samples = engine.sample([wave(40)], ["a"], 10, samples=10, seed=0)
    low, high = path_limits(wave(40), 10)
    assert samples.min() >= low - 1e-4
    assert samples.max() <= high + 1e-4
    assert engine.held_paths == 10


@pytest.mark.parametrize("codec", ["compact", "mao", "fung", "miller", "llmtime"])
def test_digits_are_held_once_they_are_read(base: str, codec: str) -> None:
    """An untrained base writes any digits: up to a thousand ranges, or six digits, away."""
    t = np.arange(40)
    panel = Panel(("a",), (wave(40),), (t,), ("y",))
    forecaster = Forecaster.from_pretrained(base, codec, n_samples=20)
    samples = forecaster.sample(4, panel)
    low, high = path_limits(wave(40), 4)
    assert (samples >= low).all()
    assert (samples <= high).all()
    report = forecaster.forecast_report
    assert report is not None
    assert 0 < report.held_paths <= 20
    assert any(f"{report.held_paths} of 20 sampled paths" in note for note in report.notes)


def test_a_held_path_leaves_the_mean_usable() -> None:
    """Two paths of 20 that explode in one of 100 series: a mean of 1e21 before, 3 % after."""
    rng = np.random.default_rng(0)
    contexts = [wave(40) for _ in range(100)]
    truth = np.stack([wave(60)[40:]] * 100)
    samples = truth[:, None] + 0.5 * rng.standard_normal((100, 20, 20, 1))
    calm = score_samples(truth, samples, contexts, (20,))["h20"]
    samples[7, 3:5] = 1e26
    free = score_samples(truth, samples, contexts, (20,))["h20"]
    limits = path_limits(wave(40), 20)
    held = np.stack([hold(paths, limits)[0] for paths in samples])
    after = score_samples(truth, held, contexts, (20,))["h20"]
    assert free["crps"] > 1e21
    assert after["crps"] == pytest.approx(calm["crps"], rel=0.03)
    assert free["crps_median"] == pytest.approx(calm["crps_median"], rel=0.03)
