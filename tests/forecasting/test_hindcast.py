"""Bands are widened where the context shows that the model does not fit it, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loracast.adapters import AdapterConfig
from loracast.backbone import build_embedded, embedded_config
from loracast.errors import BudgetExceeded, ConfigError
from loracast.forecasting import Engine, calibrate_spread
from loracast.forecasting._hindcast import HINDCAST_STEPS, Hindcast, context_factors, hindcasts
from loracast.ledger import Ledger

CODEC = {"name": "continuous", "transform": "log"}


def _world(
    n: int, seed: int, size: float, spread: tuple[float, ...] = ()
) -> tuple[list[Hindcast], list[np.ndarray], list[np.ndarray]]:
    """Two hindcasts a series: errors are `size` times what the samples, once spread, say."""
    rng = np.random.default_rng(seed)
    each = np.array([spread[min(h, len(spread) - 1)] if spread else 1.0 for h in range(10)])
    made, paths, truth = [], [], []
    for row in range(n):
        for origin in (10, 20):
            made.append(Hindcast(row, f"{row}/{origin}", np.empty(0), np.empty(0)))
            centre = rng.normal(size=(HINDCAST_STEPS, 2))
            paths.append(centre + rng.standard_normal((10, HINDCAST_STEPS, 2)))
            truth.append(centre + size * each[:, None] * rng.standard_normal((HINDCAST_STEPS, 2)))
    return made, paths, truth


def _held(paths: np.ndarray, known: np.ndarray, factor: float) -> float:
    """Share of truths inside the 80 % band widened about the median, step by step."""
    inside = []
    for h in range(known.shape[0]):
        for c in range(known.shape[1]):
            draws = np.sort(paths[:, h, c])
            low = draws[0] + 0.1 * (draws[1] - draws[0])  # place 0.1 (S + 1) = 1.1 of ten
            high = draws[-1] - 0.1 * (draws[-1] - draws[-2])
            middle = (draws[4] + draws[5]) / 2
            side = high - middle if known[h, c] > middle else middle - low
            inside.append(abs(known[h, c] - middle) <= factor * side * (1 + 1e-9))
    return float(np.mean(inside))


@pytest.mark.parametrize("size", [3.0, 8.0])
def test_a_model_that_does_not_fit_gets_bands_that_would_have_held_what_is_known(
    size: float,
) -> None:
    made, paths, truth = _world(60, 1, size)
    factors = context_factors(60, made, paths, truth, ())
    for row in range(60):
        pair = [i for i, h in enumerate(made) if h.row == row]
        held = np.mean([_held(paths[i], truth[i], factors[row]) for i in pair])
        assert 30 <= round(40 * held) <= 34, "32 of the 40 known values, give or take two"
    # drawn from a world of another seed, the widened bands hold about what they promise
    _, fresh_paths, fresh_truth = _world(60, 2, size)
    typical = float(np.median(factors))
    held = np.mean([_held(p, t, typical) for p, t in zip(fresh_paths, fresh_truth, strict=True)])
    assert 0.74 < held < 0.86
    narrow = np.mean([_held(p, t, 1.0) for p, t in zip(fresh_paths, fresh_truth, strict=True)])
    assert narrow < 0.4


@pytest.mark.parametrize("size", [1e-6, 0.3, 1.0])
def test_a_model_that_fits_keeps_its_bands_exactly(size: float) -> None:
    factors = context_factors(100, *_world(100, 3, size), ())
    assert (factors == 1.0).mean() > (0.85 if size == 1.0 else 0.99)  # 40 values vary by chance
    assert factors.min() == 1.0, "never narrower than calibrated"


def test_the_calibrated_spread_is_what_errors_are_compared_with() -> None:
    spread = (4.0, 5.0, 6.0)
    made, paths, truth = _world(50, 4, 1.0, spread)
    assert (context_factors(50, made, paths, truth, spread) == 1.0).mean() > 0.85
    without = context_factors(50, made, paths, truth, ())
    assert 4.0 < np.median(without) < 7.5


def test_gaps_are_left_out_and_few_known_values_say_nothing() -> None:
    made, paths, truth = _world(1, 5, 6.0)
    whole = context_factors(1, made, paths, truth, ())[0]
    gappy = [np.where(np.arange(HINDCAST_STEPS)[:, None] < 3, np.nan, t) for t in truth]
    assert context_factors(1, made, paths, gappy, ())[0] == pytest.approx(whole, rel=0.5)
    few = [np.where(np.arange(HINDCAST_STEPS)[:, None] < 8, np.nan, t) for t in truth]
    assert context_factors(1, made, paths, few, ())[0] == 1.0
    assert context_factors(2, made, paths, truth, ())[1] == 1.0, "a series without hindcasts"


def test_samples_that_all_agree_do_not_widen_without_bound() -> None:
    made, paths, truth = _world(1, 6, 1.0)
    flat = [np.repeat(p[:1], 10, axis=0) for p in paths]
    assert context_factors(1, made, flat, truth, ())[0] == 100.0


def test_a_hindcast_is_not_shown_what_it_is_asked() -> None:
    context = np.arange(120, dtype=float).reshape(60, 2)
    first, second = hindcasts([context], ["a"])
    for made, end in ((first, 50), (second, 40)):
        np.testing.assert_array_equal(made.context, context[:end])
        np.testing.assert_array_equal(made.truth, context[end : end + 10])
    assert first.key != second.key
    assert hindcasts([context[:39]], ["a"]) == []
    late = context.copy()
    late[:45, 1] = np.nan  # a channel that begins after the earlier origin
    assert [len(h.context) for h in hindcasts([late], ["a"])] == [50]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    build_embedded(folder, embedded_config(64, 1, 96), seed=0)
    made = Engine.open(str(folder), CODEC)
    made.model.attach(AdapterConfig(rank=4), 0)
    made.backbone.model.eval()
    made.spread = (0.2, 0.3)  # too sure of itself
    return made


def _contexts(n: int = 4, steps: int = 48) -> list[np.ndarray]:
    turn = np.arange(steps)[:, None] / 4 + np.array([0.0, 1.0])
    return [np.exp(np.sin(turn + i)) for i in range(n)]


def _draw(engine: Engine, rows: list[int], **options: object) -> np.ndarray:
    contexts = _contexts()
    return engine.sample(
        [contexts[i] for i in rows], [f"s{i}" for i in rows], 6, samples=6, seed=1, **options
    )


def test_an_adapted_model_is_widened_by_default_and_its_median_stays(engine: Engine) -> None:
    plain, wide = _draw(engine, [0, 1, 2, 3], widen=False), _draw(engine, [0, 1, 2, 3])
    np.testing.assert_array_equal(_draw(engine, [0, 1, 2, 3], widen=True), wide)
    middle = [np.median(np.log(s), axis=1) for s in (plain, wide)]
    np.testing.assert_allclose(*middle, rtol=0, atol=1e-12)
    apart = [np.ptp(np.log(s), axis=1) for s in (plain, wide)]
    ratio = apart[1] / apart[0]
    assert (ratio > 2).all(), "the tiny model knows nothing of these waves"
    # one factor a series, for every step and channel
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-9)
    assert len(np.unique(ratio[:, 0, 0].round(6))) == 4


def test_a_series_is_widened_alike_in_any_order_and_company(engine: Engine) -> None:
    """To rounding: a batch of another shape may add in another order."""
    every = _draw(engine, [0, 1, 2, 3])
    np.testing.assert_allclose(_draw(engine, [3, 1, 0, 2])[[2, 1, 3, 0]], every, rtol=1e-4)
    np.testing.assert_allclose(_draw(engine, [2]), every[2:3], rtol=1e-4)
    np.testing.assert_array_equal(_draw(engine, [0, 1, 2, 3]), every)


def test_hindcasts_are_priced_before_and_charged(engine: Engine, tmp_path: Path) -> None:
    contexts = _contexts()
    plain = engine.forecast_flops(contexts, 6, 6, widen=False)
    whole = engine.forecast_flops(contexts, 6, 6)
    back = [c[:-origin] for c in contexts for origin in (10, 20)]
    assert whole - plain == pytest.approx(engine.forecast_flops(back, 10, 10, widen=False))
    with Ledger(tmp_path / "enough.sqlite", whole) as ledger:
        _draw(engine, [0, 1, 2, 3], ledger=ledger)
        assert ledger.spent_flops == pytest.approx(whole, rel=1e-9)
    with Ledger(tmp_path / "short.sqlite", (plain + whole) / 2) as ledger:
        with pytest.raises(BudgetExceeded):
            _draw(engine, [0, 1, 2, 3], ledger=ledger)
        assert ledger.spent_flops == 0
    short = [c[:30] for c in contexts]
    assert engine.forecast_flops(short, 6, 6) == engine.forecast_flops(short, 6, 6, widen=False)
    one = engine.forecast_flops(contexts, 6, 1)
    assert one == engine.forecast_flops(contexts, 6, 1, widen=False), "one path has no width"


def test_spreads_are_calibrated_without_hindcasts(engine: Engine, tmp_path: Path) -> None:
    series, before = _contexts(12, 54), engine.spread
    with Ledger(tmp_path / "ledger.sqlite", 1e12) as ledger:
        try:
            calibrate_spread(engine, series, 48, 6, samples=9, seed=0, ledger=ledger, stage="c")
            assert len(engine.spread) == 6
        finally:
            engine.spread = before
        wanted = engine.forecast_flops([s[:48] for s in series], 6, 9, widen=False)
        assert ledger.spent_flops == pytest.approx(wanted, rel=1e-9)


def test_a_bare_base_and_digits_are_left_alone(engine: Engine) -> None:
    contexts = _contexts()
    bare = Engine.open(engine.backbone.name, CODEC)
    assert bare.forecast_flops(contexts, 6, 6) == bare.forecast_flops(contexts, 6, 6, widen=False)
    assert bare.forecast_flops(contexts, 6, 6, widen=True) > bare.forecast_flops(contexts, 6, 6)
    digits = Engine.open(engine.backbone.name, {"name": "compact"})
    with pytest.raises(ConfigError, match=r"continuous"):
        digits.sample(contexts, list("abcd"), 2, samples=2, seed=0, widen=True)
