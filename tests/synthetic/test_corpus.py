"""The pretraining stream: reproducible, varied, and free of predator-prey systems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from loracast.synthetic import _corpus
from loracast.synthetic._corpus import CORPUS_KINDS, ODE_FAMILIES, corpus_chunk
from loracast.synthetic._corpus_oscillators import OSCILLATORS
from loracast.synthetic._corpus_rk4 import Density, Systems, alone, integrate

from .predator_prey import is_predator_prey, predator_prey_misfit

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


def _predator_prey_draws(families: dict[str, Callable[..., Systems]], draws: int) -> list[str]:
    """Families of which a random draw is a predator-prey system, as quantities or as logs."""
    found = []
    for name, draw in families.items():
        for seed in range(draws):
            system = draw(np.random.default_rng([9, seed]), 1, Density(np.full(1, 30.0), 2), 160)
            field, dimension = alone(system)
            if dimension == 1:
                continue
            # Log-growth states are logs; any other may be quantities or logs of quantities.
            for logs in (True,) if system.logs else (True, False):
                with np.errstate(all="ignore"):
                    if is_predator_prey(field, dimension, logs=logs, seed=seed):
                        found.append(name)
    return found


@pytest.mark.parametrize(
    ("families", "draws"),
    [(["log-growth", "polynomial"], 100), (list(OSCILLATORS), 3)],
    ids=["random", "named"],
)
def test_no_vector_field_is_a_predator_prey_system(families: list[str], draws: int) -> None:
    assert _predator_prey_draws({name: ODE_FAMILIES[name] for name in families}, draws) == []


def test_every_family_that_is_integrated_is_judged() -> None:
    assert set(ODE_FAMILIES) == {"log-growth", "polynomial", *OSCILLATORS}


@pytest.mark.parametrize("family", list(ODE_FAMILIES))
def test_the_systems_of_a_block_do_not_touch(family: str) -> None:
    # The guard judges blocks of one, the stream integrates blocks of many.
    rng = np.random.default_rng(4)
    system = ODE_FAMILIES[family](rng, 6, Density(np.full(6, 30.0), 2), 160)
    rates = system.field(system.start)
    assert rates.shape == system.start.shape
    moved = system.start.copy()
    moved[2, 0] += 0.1
    changed = (system.field(moved) != rates).any(axis=1)
    assert changed.tolist() == [False, False, True, False, False, False]
    beyond = np.arange(rates.shape[1])[None, :] >= system.channels[:, None]
    assert np.all(rates[beyond] == 0), "channels that do not exist stay at zero"


def _lotka_volterra(u: np.ndarray) -> np.ndarray:
    x = np.exp(u)
    return np.stack([1 - 0.1 * x[:, 0] - x[:, 1], 0.7 * x[:, 0] - 0.5], 1)


def _as_quantities(s: np.ndarray) -> np.ndarray:
    x, y = s.T
    return np.stack([x * (1 - 0.1 * x - y), y * (0.7 * x - 0.5)], 1)


def _in_powers(p: float, q: float) -> Field:
    """z = x^p, y^q: dz/dt = p z f(z^(1/p))."""

    def field(z: np.ndarray) -> np.ndarray:
        powers = np.array([p, q])
        return powers * z * _lotka_volterra(np.log(z) / powers)

    return field


def _affine(scale: list[float], offset: list[float]) -> Field:
    """z = scale * x + offset."""
    a, b = np.array(scale), np.array(offset)
    return lambda z: a * _as_quantities((z - b) / a)


def _affine_logs(scale: list[float], offset: list[float]) -> Field:
    """z = scale * log x + offset."""
    a, b = np.array(scale), np.array(offset)
    return lambda z: a * _lotka_volterra((z - b) / a)


def _food_chain(u: np.ndarray) -> np.ndarray:
    x, y, z = np.exp(u).T
    return np.stack([1 - 0.2 * x - y, x - 0.4 - z, 0.8 * y - 0.5], 1)


def _pair_among_others(s: np.ndarray) -> np.ndarray:
    """Channels 1 and 3 are predator and prey, 0 and 2 follow them nonlinearly."""
    pair = _lotka_volterra(s[:, [3, 1]])
    return np.stack([np.sin(s[:, 1]) - s[:, 0], pair[:, 1], s[:, 3] * s[:, 0], pair[:, 0]], 1)


PLANTED: dict[str, tuple[Field, int, bool]] = {
    "plain": (_affine([1, 1], [0, 0]), 2, False),
    "rescaled": (_affine([30.0, 0.02], [0, 0]), 2, False),
    "sign flipped": (_affine([1.0, -1.0], [0, 0]), 2, False),
    "shifted": (_affine([1.0, 2.0], [-0.7, 1.3]), 2, False),
    "slower": (lambda s: 0.03 * _affine([1, 1], [0, 0])(s), 2, False),
    "permuted": (lambda s: _affine([1, 1], [0, 0])(s[:, ::-1])[:, ::-1], 2, False),
    "squared": (_in_powers(2, 2), 2, False),
    "inverse root": (_in_powers(-0.5, 0.5), 2, False),
    "odd powers": (_in_powers(1.37, 0.83), 2, False),
    "logs": (_lotka_volterra, 2, True),
    "affine logs": (_affine_logs([0.6, 1.7], [0.3, -0.2]), 2, True),
    "food chain": (_food_chain, 3, True),
    "pair among others": (_pair_among_others, 4, True),
}


@pytest.mark.parametrize("disguise", list(PLANTED))
def test_a_planted_predator_prey_system_is_found(disguise: str) -> None:
    field, dimension, logs = PLANTED[disguise]

    def draw(rng: np.random.Generator, n: int, *_: object) -> Systems:
        start = rng.normal(0, 1, (n, dimension))
        return Systems(field, start, np.ones(n), np.full(n, dimension), logs=logs)

    assert set(_predator_prey_draws({"planted": draw}, 3)) == {"planted"}


def _decoupled_logistic(u: np.ndarray) -> np.ndarray:
    return 1 - np.exp(u) * np.array([0.5, 2.0])


def _log_linear(u: np.ndarray) -> np.ndarray:
    return u @ np.array([[-0.1, 1.0], [-1.0, -0.1]])


def _with_a_product(u: np.ndarray) -> np.ndarray:
    return _lotka_volterra(u) - 0.3 * np.exp(u.sum(1, keepdims=True))


@pytest.mark.parametrize("field", [_decoupled_logistic, _log_linear, _with_a_product])
def test_the_guard_lets_other_systems_pass(field: Field) -> None:
    assert predator_prey_misfit(field, 2, logs=True) > 5e-3


def test_more_than_half_of_what_a_law_governs_is_free_of_noise() -> None:
    # Scale and offset are all that happens to a noise-free path: a line through it fits.
    rng = np.random.default_rng(2)
    path = 3 + np.sin(np.arange(90) / 5)[:, None]
    misfits = []
    for _ in range(400):
        shown = _corpus._finish("log-growth", path.copy(), rng)
        assert shown is not None
        seen = np.isfinite(shown[:, 0])
        design = np.column_stack([np.ones(seen.sum()), path[seen]])
        fitted = design @ np.linalg.lstsq(design, shown[seen, 0], rcond=None)[0]
        misfits.append(np.std(shown[seen, 0] - fitted) / np.std(fitted))
    noisy = np.array(misfits) > 1e-9
    assert 0.2 < noisy.mean() < 0.45
    faint, heavy = np.quantile(np.array(misfits)[noisy], [0.05, 0.95])
    assert faint < 0.01
    assert heavy > 0.2


def test_log_growth_turns_in_a_good_part() -> None:
    rng = np.random.default_rng(3)
    with np.errstate(all="ignore"):
        paths = _corpus._paths("log-growth", rng, 150, 160)
    rises = [np.diff(p[:, 0]) for p in paths]
    turns = np.array([int((r[1:] * r[:-1] < 0).sum()) for r in rises])
    assert (turns >= 4).mean() > 0.4
    assert (turns <= 1).mean() > 0.05


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
