"""The pretraining stream: reproducible, varied, and free of predator-prey systems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from loracast.series import _corpus
from loracast.series._corpus import CORPUS_KINDS, ODE_FAMILIES, corpus_chunk
from loracast.series._corpus_guard import is_predator_prey, predator_prey_misfit
from loracast.series._corpus_rk4 import Density, Systems, alone, integrate

Field = Callable[[np.ndarray], np.ndarray]


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


@pytest.mark.parametrize("n", [1, 7, 300])
def test_series_have_the_length_asked_for_and_no_infinities(n: int) -> None:
    chunk = corpus_chunk(0, 0, n, 80)
    assert len(chunk) == n
    assert all(v.shape[0] == 80 and v.dtype == np.float64 for v in chunk)
    assert not any(np.isinf(v).any() for v in chunk)
    assert all(np.nanmax(np.nanmax(v, 0) - np.nanmin(v, 0)) > 0 for v in chunk)
    if n == 300:
        assert {v.shape[1] for v in chunk} == {1, 2, 3, 4}
        assert any(np.isnan(v).any() for v in chunk), "some series have missing values"


@pytest.mark.parametrize("kind", list(CORPUS_KINDS))
def test_every_kind_gives_usable_series(kind: str) -> None:
    rng = np.random.default_rng(1)
    with np.errstate(all="ignore"):
        found = [s for _ in range(3) for s in _corpus._block(kind, rng, 20, 60)]
    assert len(found) > 45
    shapes = Counter(v.shape[1] for v in found)
    assert max(shapes) > 1 or kind in ("seasonal", "arma", "trends")


def _one(family: str, seed: int) -> Systems:
    rng = np.random.default_rng([9, seed])
    return ODE_FAMILIES[family](rng, 1, Density(np.array([30.0]), 2), 160)


def _lotka_volterra(u: np.ndarray) -> np.ndarray:
    return np.stack([1 - 0.1 * np.exp(u[:, 0]) - np.exp(u[:, 1]), 0.7 * np.exp(u[:, 0]) - 0.5], 1)


def test_the_guard_knows_a_predator_prey_system() -> None:
    assert is_predator_prey(_lotka_volterra, 2, logs=True)


@pytest.mark.parametrize("seed", range(100))
def test_log_growth_is_no_predator_prey_system(seed: int) -> None:
    field, dimension = alone(_one("log-growth", seed))
    assert predator_prey_misfit(field, dimension, logs=True, seed=seed) > 2e-3


def test_paths_agree_with_an_adaptive_solver() -> None:
    for family in ("log-growth", "polynomial", "Brusselator"):
        system = _one(family, 3)
        dt = system.period / 30
        path = integrate(system, dt, 60, 2)[0]
        reference = solve_ivp(
            lambda _, y, s=system: s.field(y[None])[0],
            (0, 59 * dt[0]),
            system.start[0],
            t_eval=np.arange(60) * dt[0],
            rtol=1e-9,
            atol=1e-11,
        ).y.T
        assert np.abs(path - reference).max() < 2e-3 * np.ptp(reference)
