"""Who pays: budgets that are kept in all, ledgers of the caller's, keys of their own work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from loracast import Forecaster
from loracast.annotation import AnnotationEngine, Annotator, describe_chunk
from loracast.errors import BudgetExceeded, ConfigError
from loracast.forecasting import Engine
from loracast.ledger import Ledger
from loracast.model._spending import allowance

CODEC = {"name": "compact"}
CONTEXTS = [np.sin(np.arange(30) / (2 + i))[:, None] for i in range(2)]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite", 1e12) as made:
        yield made
        assert made.verify() == []


@pytest.fixture(scope="module")
def forecaster(base: str) -> Forecaster:
    return Forecaster.from_pretrained(base, n_samples=9)


@pytest.fixture(scope="module")
def series() -> list[np.ndarray]:
    return [row.values for row in describe_chunk(3, 0, 3, lengths=(20, 40))]


def _sample(engine: Engine, ledger: Ledger, **changes: Any) -> np.ndarray:
    options: dict[str, Any] = {"horizon": 4, "samples": 3, "seed": 1} | changes
    contexts = options.pop("contexts", CONTEXTS)
    names = [f"k{i}" for i in range(len(contexts))]
    horizon = options.pop("horizon")
    return engine.sample(contexts, names, horizon, ledger=ledger, stage="test", **options)


def test_a_cross_validation_keeps_to_its_budget_in_all(
    forecaster: Forecaster, few: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecaster.cross_validation(4, n_windows=3, frame=few)
    assert forecaster.forecast_report is not None
    whole = forecaster.forecast_report.flops
    forecaster.cross_validation(4, n_windows=3, frame=few, budget=1.5 * whole)
    ran = []
    real = Engine.sample
    monkeypatch.setattr(Engine, "sample", lambda *a, **k: ran.append(1) or real(*a, **k))
    with pytest.raises(BudgetExceeded, match="3 windows can cost") as caught:
        forecaster.cross_validation(4, n_windows=3, frame=few, budget=0.6 * whole)
    assert "\n" not in str(caught.value)
    assert not ran  # refused before it begins


def test_forecasts_charge_the_ledger_they_are_given(
    forecaster: Forecaster, few: pd.DataFrame, ledger: Ledger
) -> None:
    alone = forecaster.predict(4, frame=few)
    cost = forecaster.forecast_report.flops  # type: ignore[union-attr]
    pd.testing.assert_frame_equal(forecaster.predict(4, frame=few, ledger=ledger), alone)
    assert ledger.spent_flops == cost == forecaster.forecast_report.flops  # type: ignore[union-attr]
    forecaster.predict(4, frame=few, ledger=ledger)  # the same again is work again
    assert ledger.spent_flops == 2 * cost
    assert forecaster.forecast_report.flops == cost  # type: ignore[union-attr]
    forecaster.cross_validation(4, n_windows=2, frame=few, ledger=ledger)
    assert ledger.spent_flops == 2 * cost + forecaster.forecast_report.flops  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="drop one"):
        forecaster.predict(4, frame=few, ledger=ledger, budget=1e9)
    with (
        Ledger(Path(ledger.location).with_name("small.sqlite"), cost / 2) as small,
        pytest.raises(BudgetExceeded),
    ):
        forecaster.predict(4, frame=few, ledger=small)


def test_annotations_charge_the_ledger_they_are_given(
    base: str, series: list[np.ndarray], ledger: Ledger
) -> None:
    annotator = Annotator.from_pretrained(base)
    alone = annotator.annotate(series)
    cost = annotator.annotation_report.flops  # type: ignore[union-attr]
    assert annotator.annotate(series, ledger=ledger) == alone
    assert annotator.annotation_report.flops == ledger.spent_flops == cost  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="drop one"):
        annotator.annotate(series, ledger=ledger, budget=1e9)
    _, counted = annotator.engine.counted_answers(series, series, ledger=ledger, stage="score")
    assert ledger.by_stage() == {"annotate": cost, "score": counted}


def test_a_key_names_its_work(base: str, ledger: Ledger) -> None:
    """Another horizon, seed, context or model never takes over an older entry."""
    engine = Engine.open(base, CODEC)
    _sample(engine, ledger, horizon=12)
    long = ledger.spent_flops
    _sample(engine, ledger)
    short = ledger.spent_flops - long
    assert 0 < short < long
    assert short == pytest.approx(engine.forecast_flops(CONTEXTS, 4, 3), rel=1e-9)
    _sample(engine, ledger, seed=2)
    _sample(engine, ledger, contexts=[c + 1 for c in CONTEXTS])
    _sample(engine, ledger, temperature=0.5)
    _sample(Engine.open(base, CODEC, random_start=5), ledger)
    rows = ledger.entries()
    assert len({e.key for e in rows}) == 6
    assert all(e.attempts == 1 for e in rows)
    assert ledger.repeated_flops == 0
    _sample(engine, ledger)
    assert ledger.repeated_flops == short


class _Dearer:
    """Plans half of what the work then costs."""

    def __init__(self, real: Any) -> None:
        self.real, self.calls = real, 0

    def __call__(self, *arguments: Any) -> float:
        self.calls += 1
        return float(self.real(*arguments)) * (0.5 if self.calls % 2 else 1.0)


def test_an_underestimate_is_charged_as_what_it_was(
    base: str, series: list[np.ndarray], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine.open(base, CODEC)
    true = engine.forecast_flops(CONTEXTS, 4, 3)
    monkeypatch.setattr(engine, "work_flops", _Dearer(engine.work_flops))
    _sample(engine, ledger)
    (entry,) = ledger.entries()
    assert entry.settled_flops == pytest.approx(true, rel=1e-9)
    assert entry.reserved_flops == pytest.approx(true / 2, rel=1e-9)

    asked = Annotator.from_pretrained(base).engine
    _, cost = asked.counted_answers(series, series)
    planned = asked.work_flops
    calls = iter((1.0, 2 * cost))  # a plan of one FLOP, and twice the true cost
    monkeypatch.setattr(asked, "work_flops", lambda *_: next(calls))
    before = ledger.spent_flops
    asked.answers(series, ledger=ledger)
    assert ledger.spent_flops - before == pytest.approx(2 * cost, rel=1e-9)
    assert callable(planned)


def test_an_underestimate_that_does_not_fit_overdraws_and_ends_all(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine.open(base, CODEC)
    true = engine.forecast_flops(CONTEXTS, 4, 3)
    monkeypatch.setattr(engine, "work_flops", _Dearer(engine.work_flops))
    with Ledger(tmp_path / "tight.sqlite", 0.8 * true) as tight:
        _sample(engine, tight)
        assert tight.spent_flops == pytest.approx(true, rel=1e-9)
        assert tight.overdraft_flops == pytest.approx(0.2 * true, rel=1e-6)
        with pytest.raises(BudgetExceeded):
            tight.reserve("more", 1, "s", "train")
        assert tight.verify() == []


def test_a_fit_takes_its_budget_from_a_ledger_and_hands_back_the_rest(
    base: str, few: pd.DataFrame, ledger: Ledger, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"max_steps": 3, "training": {"batch_size": 1}, "ledger": ledger}
    seen: list[float] = []
    forecaster = Forecaster.from_pretrained(base)
    forecaster.fit(few, 1e11, progress=lambda _: seen.append(ledger.reserved_flops), **options)
    assert forecaster.fit_report is not None
    assert seen == [1e11] * 3
    assert ledger.spent_flops == forecaster.fit_report.flops < 1e11
    assert ledger.reserved_flops == 0
    with pytest.raises(BudgetExceeded, match="fit/"):
        Forecaster.from_pretrained(base).fit(few, 1e12, **options)

    class Killed(BaseException):
        pass

    def kill(_: Any) -> None:
        raise Killed

    before = ledger.spent_flops
    out = tmp_path / "out"
    with pytest.raises(Killed):
        Forecaster.from_pretrained(base).fit(few, 1e11, out=out, progress=kill, **options)
    for _ in range(2):  # goes on, and then finds nothing to do
        again = Forecaster.from_pretrained(base).fit(few, 1e11, out=out, **options)
        assert again.fit_report is not None
        assert again.fit_report.repeated_flops > 0
        assert ledger.spent_flops - before == again.fit_report.flops


def test_an_allowance_of_a_killed_process_is_found_again(tmp_path: Path, ledger: Ledger) -> None:
    with Ledger(tmp_path / "own.sqlite", 1e11) as own:
        ledger.begin("fit/x", 1e11, "fit", "allowance")  # and dies
        with own.charge("a", 6e10, "fit", "train"):
            pass
        with allowance(ledger, "x", own, "fit"):
            assert ledger.reserved_flops == 1e11
        assert ledger.spent_flops == 6e10
        with allowance(ledger, "x", own, "fit"):
            assert ledger.reserved_flops == 4e10
            with own.charge("b", 1e10, "fit", "train"):
                pass
        assert ledger.spent_flops == 7e10
    with (
        Ledger(tmp_path / "mao.sqlite", 1e11, "mao2025") as other,
        pytest.raises(ConfigError, match="convention"),
        allowance(ledger, "y", other, "fit"),
    ):
        pass


def test_what_is_not_given_a_ledger_is_counted_all_the_same(
    base: str, series: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    charged: list[float] = []
    real = Ledger.settle

    def noted(self: Ledger, key: str, flops: float | None = None) -> Any:
        charged.append(flops or 0.0)
        return real(self, key, flops)

    monkeypatch.setattr(Ledger, "settle", noted)
    Engine.open(base, CODEC).sample(CONTEXTS, ["a", "b"], 2, samples=2, seed=0)
    AnnotationEngine.open(base, Annotator.from_pretrained(base).engine.settings).answers(series)
    assert len(charged) == 2
    assert min(charged) > 0
