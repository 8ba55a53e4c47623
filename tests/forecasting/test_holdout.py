"""What a fit holds back, and that the validation loss sees unseen steps only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loracast.forecasting import Engine, FitPlan, Forecaster, ForecastTask, _fitting
from loracast.forecasting._holdout import hold_out, plan_for, validation_examples
from loracast.series import Panel
from loracast.training import IGNORED, Example


def panel_of(lengths: list[int]) -> Panel:
    rng = np.random.default_rng(0)
    return Panel(
        tuple(range(len(lengths))),
        tuple(rng.normal(size=(n, 1)) for n in lengths),
        tuple(np.arange(n) for n in lengths),
    )


@pytest.fixture(scope="module")
def engine(base: str) -> Engine:
    return Engine.open(base, {"name": "compact"})


@given(st.lists(st.integers(2, 30), min_size=10, max_size=40))
def test_from_ten_series_on_the_last_tenth_is_held_out(lengths: list[int]) -> None:
    panel = panel_of(lengths)
    held = hold_out(panel)
    n_held = max(1, len(lengths) // 10)
    assert held.kind == "series"
    assert held.train.ids == panel.ids[:-n_held]
    assert held.validation is not None
    assert held.validation.ids == panel.ids[-n_held:]


@given(st.lists(st.integers(2, 60), min_size=1, max_size=9))
def test_of_fewer_series_the_last_fifth_of_the_steps(lengths: list[int]) -> None:
    panel = panel_of(lengths)
    held = hold_out(panel)
    assert held.train.ids == panel.ids
    for n, train in zip(lengths, held.train.lengths, strict=True):
        assert train >= 2
        assert train == max(2, n - max(1, n // 5))
    if any(n > 2 for n in lengths):
        assert held.kind == "last steps"
    else:
        assert held.kind == "nothing"


@pytest.mark.parametrize(("length", "window"), [(40, 32), (40, 40), (100, 12), (3, 3), (9, 8)])
def test_the_loss_is_taken_on_unseen_steps_only(engine: Engine, length: int, window: int) -> None:
    """Oracle: walk over the labelled tokens and count the steps they belong to."""
    panel = panel_of([length])
    held = hold_out(panel)
    plan = FitPlan(window, 1, context_steps=max(2, window // 2))
    (example,) = validation_examples(engine, held, plan)
    width = engine.task.longest_step(1)
    shown = min(window, length)
    assert len(example) in (shown * width, shown * width + 1)
    head = len(example) - shown * width
    labelled = {
        length - shown + (i - head) // width
        for i in range(head, len(example))
        if example.labels[i] != IGNORED
    }
    unseen = range(int(held.train.lengths[0]), length)
    assert labelled == set(unseen[-shown:])


def test_windows_fit_the_model_and_the_series(engine: Engine) -> None:
    width = engine.task.longest_step(1)
    long = plan_for(engine, panel_of([5000, 10]))
    assert long.window_steps * width < 560 <= (long.window_steps + 1) * width + 1
    short = plan_for(engine, panel_of([7, 9]))
    assert short.window_steps == 9
    assert 1 <= short.stride <= short.window_steps


def test_a_series_without_known_values_gives_no_example(engine: Engine) -> None:
    panel = panel_of([20, 20])
    panel.values[0][:16] = np.nan
    held = hold_out(panel)
    assert len(validation_examples(engine, held, FitPlan(20, 5, context_steps=10))) == 1


RAGGED = [400, 90, 60, 200]


@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param(RAGGED, id="ragged"),
        pytest.param([40, 40, 40], id="few"),
        pytest.param([12, 5, 3, 2, 9], id="short"),
        pytest.param([300], id="one"),
        pytest.param([50] * 20, id="many"),
        pytest.param([*range(6, 90, 4)], id="many ragged"),
        pytest.param([6] * 12, id="many short"),
    ],
)
def test_no_calibration_truth_is_trained_on_or_chooses_the_checkpoint(
    base: str, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: every value of the panel is another number, so that each can be found again."""
    panel = panel_of(lengths)
    for i, values in enumerate(panel.values):
        values[:, 0] = 1000 * i + np.arange(len(values)) + np.sin(np.arange(len(values)))
    shown: set[float] = set()
    example = ForecastTask.example

    def spy(self: ForecastTask, window: np.ndarray, context_steps: int) -> Example:
        shown.update(window.ravel().tolist())
        return example(self, window, context_steps)

    truths: list[np.ndarray] = []

    def calibrate(
        _engine: Engine, series: list[np.ndarray], contexts: list[int], horizon: int, **_: object
    ) -> None:
        truths.extend(s[n : n + horizon] for s, n in zip(series, contexts, strict=True))
        assert all(n >= 2 for n in contexts)

    monkeypatch.setattr(ForecastTask, "example", spy)
    monkeypatch.setattr(_fitting, "calibrate_spread", calibrate)
    forecaster = Forecaster.from_pretrained(base, "continuous")
    forecaster.fit(panel, 1e12, max_steps=12, training={"batch_size": 4})
    report = forecaster.fit_report
    assert report is not None
    assert report.n_validation > 0
    unseen = {float(v) for truth in truths for v in truth.ravel()}
    assert unseen
    assert not unseen & shown
    # All that may be seen was looked at: the windows of training, whatever the order.
    engine = Engine.open(base, {"name": "continuous"})
    held = hold_out(panel, calibrate=True)
    trained = {float(v) for values in held.train.values for v in values.ravel()}
    assert not unseen & trained
    assert plan_for(engine, held.train).window_steps >= 2


def test_calibration_takes_a_tenth_or_half_of_the_held_steps() -> None:
    held = hold_out(panel_of([50] * 30), calibrate=True)
    assert held.calibration is not None
    assert held.validation is not None
    assert (len(held.train), len(held.validation), len(held.calibration)) == (24, 3, 3)
    held = hold_out(panel_of([100, 50]), calibrate=True)
    assert held.calibration is not None
    assert held.validation is not None
    assert held.train.lengths.tolist() == [80, 40]
    assert held.validation.lengths.tolist() == [90, 45]
    assert held.calibration.lengths.tolist() == [100, 50]
    assert (held.seen, held.shown) == ((80, 40), (90, 45))
    assert hold_out(panel_of([100, 50])).calibration is None
