"""Choices against probabilities worked out apart, and streams that name what they are for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loracast.decoding._choose import choose, uniforms
from loracast.errors import ModelError


def rows(n: int, logits: list[float], legal: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    return np.tile(np.array(logits), (n, 1)), np.tile(np.array(legal), (n, 1))


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_frequencies_are_the_softmax_over_what_is_legal(temperature):
    n = 50_000
    logits, legal = [0.3, 9.0, -1.0, 1.2, 0.0], [True, False, True, True, True]
    weight = np.array([np.exp(x / temperature) * ok for x, ok in zip(logits, legal, strict=True)])
    weight /= weight.sum()
    found = choose(*rows(n, logits, legal), uniforms(1, "k", 0, n), temperature=temperature)
    counts = np.bincount(found, minlength=5)
    assert (counts[weight == 0] == 0).all()
    kept = weight > 0
    assert stats.chisquare(counts[kept], n * weight[kept]).pvalue > 1e-4


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0, 1.0, 50.0, 1e4]),
    uniform=st.sampled_from([0.0, 0.5, 1 - 2**-53, np.nextafter(0, 1)]),
)
def test_no_extreme_reaches_an_illegal_column(seed, scale, uniform):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(20, 9)) * scale
    legal = rng.random((20, 9)) < 0.3
    legal[np.arange(20), rng.integers(0, 9, 20)] = True
    logits[~legal] = np.inf  # whatever the model says of illegal tokens is not read
    found = choose(logits, legal, np.full(20, uniform))
    assert legal[np.arange(20), found].all()


def test_greedy_takes_the_best_legal_column():
    logits, legal = rows(3, [5.0, 1.0, 2.0], [False, True, True])
    assert choose(logits, legal, None).tolist() == [2, 2, 2]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_broken_logits_are_said_to_be_broken(broken):
    logits, legal = rows(2, [broken, 1.0], [True, False])
    with pytest.raises(ModelError, match="not finite"):
        choose(logits, legal, np.array([0.1, 0.2]))


def test_streams_differ_by_each_part_of_their_name_and_grow_at_the_end():
    base = uniforms(1, "a", 0, 8)
    np.testing.assert_array_equal(uniforms(1, "a", 0, 50)[:8], base)
    for other in ((2, "a", 0), (1, "b", 0), (1, "a", 1), (11, "a", 0), (1, "0:a", 0)):
        assert not np.isclose(uniforms(*other, 8), base).any()
    # Written down once, so that a release cannot change everyone's forecasts unnoticed.
    np.testing.assert_allclose(uniforms(0, "series", 0, 3), GOLDEN, rtol=0, atol=1e-15)


def test_streams_are_uniform_and_independent():
    many = np.stack([uniforms(0, f"s{i}", j, 40) for i in range(50) for j in range(10)])
    assert stats.kstest(many.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(many[:, 0], "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(many[:-1, 0], many[1:, 0])[0, 1]) < 0.15


GOLDEN = [0.1455750915987104, 0.29435930941751987, 0.7308804285307826]
