"""The pretraining stream: reproducible, varied, and free of predator-prey systems."""

from __future__ import annotations

import numpy as np
import pytest

from loracast.series import _corpus
from loracast.series._corpus import CORPUS_KINDS, Field, corpus_chunk


def test_a_chunk_is_a_function_of_seed_and_index_alone() -> None:
    first = corpus_chunk(3, 5, 20, 60)
    corpus_chunk(3, 6, 20, 60)
    again = corpus_chunk(3, 5, 20, 60)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True))
    for seed, index in ((3, 6), (4, 5)):
        other = corpus_chunk(seed, index, 20, 60)
        assert not any(
            a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
            for a in first
            for b in other
        )


def test_series_have_the_length_asked_for_and_no_infinities() -> None:
    chunk = corpus_chunk(0, 0, 200, 80)
    assert len(chunk) == 200
    assert {v.shape[1] for v in chunk} == {1, 2}
    assert all(v.shape[0] == 80 for v in chunk)
    assert not any(np.isinf(v).any() for v in chunk)
    assert any(np.isnan(v).any() for v in chunk), "some series have missing values"
    assert all(np.nanmax(np.ptp(np.nan_to_num(v), axis=0)) > 0 for v in chunk)


@pytest.mark.parametrize("kind", list(CORPUS_KINDS))
def test_every_kind_gives_usable_series(kind: str) -> None:
    rng = np.random.default_rng(1)
    found = [s for _ in range(4) for s in _corpus._one_block(kind, rng, 16, 50)]
    assert len(found) > 32


def _distance_from_predator_prey(field: Field, positive: bool, seed: int) -> float:
    """Residual of the best fit dx_i/dt = x_i (a_i + b_i x_1 + c_i x_2), relative to dx_i/dt.

    The largest over both equations: a predator-prey field has 0 in each.
    """
    rng = np.random.default_rng(seed)
    params = np.repeat(rng.uniform(0, 1, (1, 2)), 400, axis=0)
    states = rng.uniform(0.1 if positive else -2, 2, (400, 2))
    rates = field(states, params)
    worst = 0.0
    for i in range(2):
        design = states[:, [i]] * np.column_stack([np.ones(400), states])
        fitted = design @ np.linalg.lstsq(design, rates[:, i], rcond=None)[0]
        worst = max(
            worst, float(np.linalg.norm(rates[:, i] - fitted) / np.linalg.norm(rates[:, i]))
        )
    return worst


def _lotka_volterra(states: np.ndarray, params: np.ndarray) -> np.ndarray:
    x, y = states.T
    return np.stack([x * (1 - 0.1 * x - params[:, 0] * y), y * (params[:, 1] * x - 0.7)], 1)


def test_no_vector_field_is_a_predator_prey_system() -> None:
    planted = max(_distance_from_predator_prey(_lotka_volterra, True, s) for s in range(10))
    assert planted < 1e-10, "the check must recognise one"
    for field, _, positive in _corpus._FIELDS:
        closest = min(_distance_from_predator_prey(field, positive, s) for s in range(50))
        assert closest > 0.05, field.__name__
