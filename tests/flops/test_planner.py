"""A plan's arithmetic, and that what it proposes fits and could not be larger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loracast.errors import BudgetExceeded, ConfigError
from loracast.flops import Plan, PlannedStage

STAGES = (
    PlannedStage("zero_shot", "generate", 1, 10.0, scalable=False),
    PlannedStage("default", "train", 10, 25.0, fixed_flops=5.0),
    PlannedStage("final", "train", 30, 65.0, fixed_flops=5.0),
)


def test_totals_shares_and_seconds() -> None:
    plan = Plan(STAGES, 200)
    assert (plan.total_flops, plan.left_flops, plan.fits, plan.unfit()) == (100, 100, True, [])
    assert plan.shares() == {"zero_shot": 0.05, "default": 0.125, "final": 0.325}
    assert plan.seconds(10) == {"zero_shot": 1, "default": 2.5, "final": 6.5}
    assert plan.seconds({"generate": 1, "train": 5})["zero_shot"] == 10
    assert plan.largest_fit() is plan


def test_what_does_not_fit_is_named_and_cut() -> None:
    plan = Plan(STAGES, 60)
    assert plan.unfit() == ["final"]
    cut = plan.largest_fit()
    assert cut.fits
    assert [s.steps for s in cut.stages] == [1, 5, 15]
    assert cut.stages[0] == STAGES[0]
    with pytest.raises(BudgetExceeded, match="one step of every stage needs 24 FLOPs"):
        Plan(STAGES, 23).largest_fit()


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 50)), min_size=1, max_size=6),
    st.integers(1, 100),
)
def test_the_largest_plan_fits_and_is_nearly_full(
    rows: list[tuple[int, int]], percent: int
) -> None:
    stages = [
        PlannedStage(str(i), "train", steps, float(steps * price))
        for i, (steps, price) in enumerate(rows)
    ]
    full = sum(s.flops for s in stages)
    least = sum(price for _, price in rows)
    limit = max(least, full * percent / 100)
    cut = Plan(stages, limit).largest_fit()
    assert cut.fits
    # Rounding down wastes less than one step of every stage.
    assert cut.total_flops > limit - least - 1e-6 * full or cut.total_flops == full


def test_impossible_stages() -> None:
    for bad in ({"steps": 0}, {"flops": -1.0}, {"fixed_flops": 2.0}):
        with pytest.raises(ConfigError, match="expected steps"):
            PlannedStage(**({"name": "a", "kind": "train", "steps": 1, "flops": 1.0} | bad))


def test_fewer_steps_leave_the_unsure_part_as_it_is() -> None:
    stage = PlannedStage("grid", "train", 10, 100.0, fixed_flops=20.0, lowest_flops=95.0)
    assert stage.with_steps(1).range_flops == pytest.approx((23.0, 28.0))
    assert stage.with_steps(20).range_flops == pytest.approx((175.0, 180.0))
