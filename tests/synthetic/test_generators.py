"""Generators against a second solver and closed forms; the classifier against both."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import root

from loracast.errors import DataError
from loracast.series import Panel, classify_regime, read_panel
from loracast.synthetic import REGIMES, generate_lotka_volterra, generate_ou

PARAMETERS = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon_prey",
    "epsilon_predator",
    "saturation",
)


@pytest.fixture(scope="module")
def systems() -> Panel:
    return generate_lotka_volterra(200, seed=11)


def facts(panel: Panel) -> dict[str, Any]:
    found = panel.meta["per_series"]
    assert isinstance(found, dict)
    return found


def field_of(systems: Panel, row: int) -> Callable[[float, np.ndarray], list[float]]:
    """The equations of one system in populations, written out once more."""
    a, b, c, d, own_prey, own_predator, h = (facts(systems)[name][row] for name in PARAMETERS)

    def field(_: float, state: np.ndarray) -> list[float]:
        x, y = state
        met = x * y / (1 + h * x)
        return [x * (a - own_prey * x) - b * met, y * (-c - own_predator * y) + d * met]

    return field


@pytest.mark.parametrize("row", range(8))  # each regime twice, six saturating
def test_systems_solve_their_equations(systems: Panel, row: int) -> None:
    """Another method, in populations instead of logarithms, at a tight tolerance."""
    values, times = systems.values[row], systems.times[row]
    truth = solve_ivp(
        field_of(systems, row),
        (0, 200),
        values[0],
        method="LSODA",
        t_eval=times,
        rtol=1e-11,
        atol=1e-13,
    ).y.T
    # Worst relative difference measured over these eight: 3.7e-8.
    assert np.abs(values / truth - 1).max() < 1e-6


def test_both_laws_take_part(systems: Panel) -> None:
    saturated = np.array(facts(systems)["saturation"]) > 0
    assert 0.35 < saturated.mean() < 0.65
    assert 0 < saturated[:8].sum() < 8, "the solver's test above is to see both"


def test_the_textbook_systems_keep_their_invariant(systems: Panel) -> None:
    """Volterra 1926: delta x - gamma log x + beta y - alpha log y does not change."""
    found = facts(systems)
    rows = [
        i
        for i, name in enumerate(found["regime"])
        if name == "oscillatory" and not found["saturation"][i]
    ]
    assert len(rows) > 15
    for i in rows:
        assert found["epsilon_prey"][i] == found["epsilon_predator"][i] == 0
        x, y = systems.values[i].T
        kept = found["delta"][i] * x - found["gamma"][i] * np.log(x)
        kept = kept + found["beta"][i] * y - found["alpha"][i] * np.log(y)
        assert np.ptp(kept) < 1e-7


def test_what_grows_leaves_its_fixed_point_and_what_is_stable_returns(systems: Panel) -> None:
    """Of the saturating systems, by the eigenvalues of the equations where nothing changes."""
    found = facts(systems)
    seen = Counter[str]()
    for i, name in enumerate(found["regime"]):
        if not found["saturation"][i] or name not in ("growing", "stable"):
            continue
        field = field_of(systems, i)
        guess = systems.values[i].mean(axis=0)
        # a closed loop's mean is near its fixed point; what died out returns to the prey's own
        point = root(lambda s, field=field: np.array(field(0.0, s)) / s, guess).x
        if point.min() <= 0:
            continue
        step = 1e-6 * point
        columns = [
            (np.array(field(0.0, point + e)) - np.array(field(0.0, point - e))) / (2 * e.sum())
            for e in np.diag(step)
        ]
        rate = np.linalg.eigvals(np.stack(columns, axis=1)).real.max()
        assert (rate > 0) == (name == "growing"), (i, name, rate)
        seen[name] += 1
    assert min(seen["growing"], seen["stable"]) > 15


# Of the public set's systems 0..799: the 1 %, 50 % and 99 % quantiles of the figures below.
PUBLISHED = {
    "start": ((0.8039, 0.9958, 1.197), (0.8022, 0.9966, 1.195)),
    "least": ((0.01806, 0.5029, 1.148), (0.005406, 0.1658, 0.8342)),
    "greatest": ((1.08, 2.961, 9.741), (0.819, 1.137, 2.928)),
    "mean": ((0.4167, 1.425, 5.933), (0.1396, 0.5293, 1.242)),
    "span of logs": ((0.4134, 1.906, 5.133), (0.3116, 1.962, 5.509)),
    "typical step of logs": ((0.03167, 0.1462, 0.4231), (0.02473, 0.1518, 0.3742)),
    "growth not linear in the populations": (
        (0.0004734, 0.007035, 0.06951),
        (0.000376, 0.008473, 0.06165),
    ),
}


def figures(values: np.ndarray) -> dict[str, np.ndarray]:
    """What systems (N, T, 2) look like: each figure (N, 2) for prey and predator."""
    logs = np.log(values)
    growth = np.diff(logs, axis=1)
    middle = (values[:, 1:] + values[:, :-1]) / 2
    rows = np.concatenate([np.ones_like(middle[..., :1]), middle], axis=2)
    left = [g - r @ np.linalg.lstsq(r, g, rcond=None)[0] for r, g in zip(rows, growth, strict=True)]
    return {
        "start": values[:, 0],
        "least": values.min(axis=1),
        "greatest": values.max(axis=1),
        "mean": values.mean(axis=1),
        "span of logs": np.ptp(logs, axis=1),
        "typical step of logs": np.sqrt((growth**2).mean(axis=1)),
        "growth not linear in the populations": np.sqrt((np.stack(left) ** 2).mean(axis=1)),
    }


def outside(found: dict[str, np.ndarray], quantiles: dict[str, np.ndarray]) -> list[str]:
    """Figures of which a published quantile (3, 2) lies outside of the generated ones."""
    return [
        f"{name}, channel {c}: {quantiles[name][:, c]} not in {low[c]:.4f}..{high[c]:.4f}"
        for name, values in found.items()
        for low, high in [(values.min(axis=0), values.max(axis=0))]
        for c in range(2)
        if not (low[c] < quantiles[name][:, c]).all() or not (quantiles[name][:, c] < high[c]).all()
    ]


@pytest.fixture(scope="module")
def generated() -> dict[str, np.ndarray]:
    return figures(generate_lotka_volterra(600, seed=4).stack())


def test_the_published_set_lies_within_by_its_stated_figures(
    generated: dict[str, np.ndarray],
) -> None:
    stated = {name: np.array(pair).T for name, pair in PUBLISHED.items()}
    assert outside(generated, stated) == []


def test_the_published_set_lies_within(generated: dict[str, np.ndarray], shared_dir: Path) -> None:
    published = read_panel(shared_dir / "data" / "lotka_volterra_dev.h5").stack()[:800]
    seen = {k: np.quantile(v, [0.01, 0.5, 0.99], axis=0) for k, v in figures(published).items()}
    for name, pair in PUBLISHED.items():
        np.testing.assert_allclose(seen[name].T, pair, rtol=5e-3, err_msg=name)
    assert outside(generated, seen) == []


def test_regimes_are_balanced_and_numbers_positive(systems: Panel) -> None:
    assert Counter(facts(systems)["regime"]) == dict.fromkeys(REGIMES, 50)
    values = systems.stack()
    assert values.shape == (200, 100, 2)
    assert values.min() > 0
    np.testing.assert_allclose(systems.times[0], np.linspace(0, 200, 100), rtol=1e-12)
    assert (values[:, 0] >= 0.8).all()
    assert (values[:, 0] <= 1.2).all()


def test_the_classifier_finds_the_regime_that_was_generated(systems: Panel) -> None:
    """Measured on this seed: 200 of 200."""
    found = [classify_regime(values) for values in systems.values]
    agreed = sum(a == b for a, b in zip(found, facts(systems)["regime"], strict=True))
    assert agreed >= 190


def test_lotka_volterra_depends_on_the_seed_alone() -> None:
    first, again, more, other = (
        generate_lotka_volterra(n, seed, 15) for n, seed in ((3, 5), (3, 5), (70, 5), (3, 6))
    )
    assert np.array_equal(first.stack(), again.stack())
    assert facts(first) == facts(again)
    assert np.array_equal(first.stack(), more.stack()[:3])
    assert not np.array_equal(first.stack(), other.stack())


@pytest.mark.parametrize(
    ("rate", "regime"), [(0.0, "oscillatory"), (-0.01, "decaying"), (0.005, "growing")]
)
def test_regimes_of_waves_of_known_damping(rate: float, regime: str) -> None:
    t = np.linspace(0, 200, 100)
    wave = np.exp(rate * t)[:, None] * np.sin(t[:, None] * 0.3 + [0.0, 1.5]) * 0.8
    assert classify_regime(np.exp(wave)) == regime
    assert classify_regime(1e-6 * np.exp(wave)) == regime, "scale does not matter"


def test_what_has_settled_is_stable() -> None:
    t = np.linspace(0, 200, 100)
    settled = np.exp(np.exp(-0.05 * t)[:, None] * np.sin(t[:, None] + [0.0, 1.5]))
    assert classify_regime(settled) == "stable"
    assert classify_regime(np.full((12, 2), 3.0)) == "stable"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((11, 2)), "T >= 12"),
        (np.ones(20), "T >= 12"),
        (np.full((20, 2), np.nan), "expected positive numbers"),
        (np.zeros((20, 2)), "expected positive numbers"),
    ],
)
def test_a_regime_needs_enough_positive_numbers(values: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        classify_regime(values)


def test_published_systems_have_their_published_regimes(shared_dir: Path) -> None:
    panel = read_panel(shared_dir / "data" / "lotka_volterra_dev.h5")
    found = {i: classify_regime(panel.values[panel.ids.index(i)]) for i in (506, 20, 654)}
    assert found == {506: "decaying", 20: "growing", 654: "stable"}


OU = {"theta": 0.8, "mu": 3.0, "sigma": 0.6, "dt": 0.25}


def test_ou_has_the_moments_of_the_closed_form() -> None:
    """Of the scheme: mean mu, variance sigma^2 dt / (1 - k^2), autocorrelation k^lag."""
    n, steps = 2000, 40
    values = generate_ou(n, 4, steps, **OU).stack()[:, :, 0]
    keep = 1 - OU["theta"] * OU["dt"]
    variance = OU["sigma"] ** 2 * OU["dt"] / (1 - keep**2)
    # as near as 5 standard errors of n independent paths, at every step, the first included
    assert np.abs(values.mean(0) - OU["mu"]).max() < 5 * math.sqrt(variance / n)
    assert np.abs(values.var(0) / variance - 1).max() < 5 * math.sqrt(2 / n)
    for lag in (1, 3, 10):
        pair = np.corrcoef(values[:, 5], values[:, 5 + lag])[0, 1]
        assert abs(pair - keep**lag) < 5 / math.sqrt(n)
    # and the scheme's own variance nears that of the process as the steps get small
    fine = generate_ou(n, 4, 2, **(OU | {"dt": 1e-3})).stack()
    assert abs(fine.var() / (OU["sigma"] ** 2 / (2 * OU["theta"])) - 1) < 5 * math.sqrt(2 / n)


def test_ou_without_noise_stays_at_the_mean() -> None:
    assert (generate_ou(2, 0, 5, mu=2.5, sigma=0.0).stack() == 2.5).all()


def test_ou_depends_on_the_seed_alone() -> None:
    first, again, more, other = (
        generate_ou(n, seed, 15).stack() for n, seed in ((3, 5), (3, 5), (9, 5), (3, 6))
    )
    assert np.array_equal(first, again)
    assert np.array_equal(first, more[:3])
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("bad", [{"theta": 0.0}, {"dt": 5.0}, {"sigma": -1.0}, {"mu": np.inf}])
def test_ou_refuses_settings_that_diverge(bad: dict[str, float]) -> None:
    with pytest.raises(DataError, match="expected"):
        generate_ou(1, 0, 5, **bad)


@pytest.mark.parametrize(("n", "seed", "steps"), [(0, 0, 5), (1, -1, 5), (1, 0, 1)])
def test_counts_and_seeds_are_checked(n: int, seed: int, steps: int) -> None:
    for generate in (generate_ou, generate_lotka_volterra):
        with pytest.raises(DataError, match=r"expected|or more"):
            generate(n, seed, steps)
