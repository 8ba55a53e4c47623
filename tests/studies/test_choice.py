"""The choice between candidates: oracles are a slow reading of the rule, and simulated noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loracast.studies._choice import Candidate, choose


def test_one_run_each_takes_the_lowest_and_says_that_noise_is_unknown() -> None:
    taken = choose([Candidate("a", (2.0,), 1.0, True), Candidate("b", (1.9,), 1.0)])
    assert taken.index == 1
    assert taken.noise is None
    assert "nothing is known of the noise" in taken.reason


def test_equal_errors_go_to_the_default_then_to_the_cheaper() -> None:
    one = [Candidate("a", (1.0,), 1.0), Candidate("b", (1.0,), 5.0, True)]
    assert choose(one).index == 1
    two = [Candidate("a", (1.0,), 5.0), Candidate("b", (1.0,), 1.0)]
    assert choose(two).index == 1


def test_a_difference_within_one_standard_error_is_no_reason_to_leave_the_default() -> None:
    # Within each: standard deviation sqrt(0.02); error of a difference of means of two, 0.1414.
    near = [Candidate("a", (1.0, 1.2), 1.0), Candidate("b", (1.1, 1.3), 1.0, True)]
    taken = choose(near)
    assert taken.noise == pytest.approx(math.sqrt(2 * 0.02 / 2))
    assert (taken.index, taken.tied) == (1, 2)
    assert "cannot be told from the best, a" in taken.reason
    far = [Candidate("a", (1.0, 1.2), 1.0), Candidate("b", (1.3, 1.5), 1.0, True)]
    assert choose(far).index == 0


def test_a_diverged_candidate_is_never_taken_and_gives_no_noise() -> None:
    rows = [Candidate("a", (math.inf, math.inf), 1.0, True), Candidate("b", (1.0, 1.1), 9.0)]
    taken = choose(rows)
    assert taken.index == 1
    assert taken.noise == pytest.approx(math.sqrt(0.005))


def test_where_all_diverged_the_default_is_kept_and_said() -> None:
    rows = [Candidate("a", (math.inf,), 1.0), Candidate("b", (math.inf,), 1.0, True)]
    taken = choose(rows)
    assert taken.index == 1
    assert "no candidate ended with a number" in taken.reason


def test_pure_noise_seldom_leaves_the_default_and_a_real_gain_is_found() -> None:
    rng = np.random.default_rng(0)

    def left(gain: float, rounds: int = 400) -> float:
        count = 0
        for _ in range(rounds):
            noise = rng.normal(0, 0.1, (4, 3))
            noise[3] -= gain
            rows = [Candidate(str(i), tuple(r), 1.0, i == 0) for i, r in enumerate(noise)]
            count += choose(rows).index != 0
        return count / rounds

    lowest = np.mean([np.argmin(rng.normal(0, 0.1, (4, 3)).mean(1)) != 0 for _ in range(4000)])
    assert left(0.0) < 0.65 * lowest  # the plain minimum leaves it three times in four
    assert left(0.5) > 0.97


@given(
    st.lists(
        st.tuples(st.lists(st.floats(-5, 5), min_size=2, max_size=2), st.integers(1, 3)),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 4),
)
def test_the_rule_read_slowly(rows: list[tuple[list[float], int]], default: int) -> None:
    candidates = [
        Candidate(str(i), tuple(errors), float(cost), i == default)
        for i, (errors, cost) in enumerate(rows)
    ]
    variances = [(a - b) ** 2 / 2 for (a, b), _ in rows]
    band = math.sqrt(sum(variances) / len(variances))
    means = [sum(errors) / 2 for errors, _ in rows]
    # Float dust may decide exactly at the band's edge, which no reader of the rule cares for.
    if any(0 < abs(m - min(means) - band) < 1e-9 for m in means):
        return
    tied = [i for i, m in enumerate(means) if m <= min(means) + band]
    if default in tied:
        assert choose(candidates).index == default
    else:
        cheapest = min(rows[i][1] for i in tied)
        best = min(means[i] for i in tied if rows[i][1] == cheapest)
        index = choose(candidates).index
        assert index in tied
        assert rows[index][1] == cheapest
        assert means[index] == pytest.approx(best)
