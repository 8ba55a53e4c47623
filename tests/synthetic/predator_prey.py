"""Whether a vector field is a predator-prey (Lotka-Volterra) system, in any of its disguises.

Knows fields as callables only. Why it exists: the systems a study is judged on must not be in
what the base has learnt from, and a list of names cannot show that.

A system is of the form d log x_i / dt = a_i + sum_j b_ij x_j with some b_ij, i != j, not zero.
Rescaled channels, changed signs, another unit of time and another order of channels keep that
form; powers z = x^p turn x_j into z_j^(1/p_j); logs turn it into exp(y_j / p_j); an offset moves
the line where a rate vanishes. All of these are searched. A group of two or more channels that is
such a system by itself counts too. One channel by itself, logistic growth, couples nothing and
does not count. Mixtures of channels are not searched.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product

import numpy as np
from scipy.optimize import minimize, minimize_scalar

__all__ = ["is_predator_prey", "predator_prey_misfit"]

Field = Callable[[np.ndarray], np.ndarray]

# Powers the search starts from; it then moves them freely within the bounds. Below the lower
# one a power is a log in all but name, and log-linear coupling is no predator-prey system.
POWERS = np.array([-3.0, -2, -1.5, -1, -2 / 3, -0.5, -1 / 3, 1 / 3, 0.5, 2 / 3, 1, 1.5, 2, 3])
LOWEST, HIGHEST = 0.25, 5.0
NEAR = 0.1  # misfit from which moving the powers is worth trying
MISFIT = 1e-3  # share of a rate's variance that the form leaves unexplained
COUPLING = 1e-3  # smallest share of a rate's variance that counts as an interaction
SAMPLES = 400
OFFSETS = np.linspace(-5, 5, 101)


def _combinations(size: int) -> np.ndarray:
    """Which power each channel of a group has: all for a pair, up to two kinds for more."""
    count = range(len(POWERS))
    if size == 2:
        return np.array(list(product(count, repeat=2)))
    rows = {row for pair in combinations(count, 2) for row in product(pair, repeat=size)}
    return np.array(sorted(rows))


_ROWS = {size: _combinations(size) for size in (2, 3, 4)}


class _Fit:
    """Weighted least squares of every rate on powers of the channels of a group.

    Rows are weighted by 1 / sqrt(1 + (rate / median rate)^2), so that a few large rates do not
    hide the others; an exact form stays exact under any weights.
    """

    def __init__(self, u: np.ndarray, rates: np.ndarray) -> None:
        self.u, self.rates = u, rates
        typical = np.median(np.abs(rates), axis=0) + 1e-300
        self.weights = 1 / (1 + (rates / typical) ** 2)  # (M, D), squared
        self.weights /= self.weights.sum(0)
        mean = (self.weights * rates).sum(0)
        self.centred = rates - mean
        self.total = (self.weights * self.centred**2).sum(0)
        self.constant = self.total < 1e-16 * (np.abs(rates).max() ** 2 + 1e-300)

    def moments(self, columns: np.ndarray, equation: int) -> tuple[np.ndarray, np.ndarray]:
        """Covariance of columns (M, K) of unit size, and with the equation's rate."""
        weights = self.weights[:, equation, None]
        columns = columns - (weights * columns).sum(0)
        columns = columns / np.sqrt((weights * columns**2).sum(0))
        weighted = weights * columns
        return weighted.T @ columns, weighted.T @ self.centred[:, equation]

    def judge(
        self, design: np.ndarray, right: np.ndarray, equation: int, own: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Misfit (R,) and largest coupling share (R,) of R choices of powers."""
        if self.constant[equation]:
            return np.zeros(len(design)), np.zeros(len(design))
        weights = np.linalg.solve(design, right[:, :, None])[:, :, 0]
        misfit = 1 - (weights * right).sum(1) / self.total[equation]
        share = np.delete(weights**2, own, axis=1).max(axis=1) / self.total[equation]
        return np.maximum(misfit, 0.0), share

    def table(self, group: tuple[int, ...]) -> tuple[float, np.ndarray]:
        """Least misfit over the table of powers, and the powers it has."""
        rows = _ROWS[len(group)]
        at = rows + np.arange(len(group)) * len(POWERS)
        columns = np.exp(self.u[:, list(group), None] * POWERS).reshape(len(self.u), -1)
        worst, coupled = np.zeros(len(rows)), np.zeros(len(rows))
        for own, equation in enumerate(group):
            gram, cross = self.moments(columns, equation)
            misfit, share = self.judge(gram[at[:, :, None], at[:, None]], cross[at], equation, own)
            worst, coupled = np.maximum(worst, misfit), np.maximum(coupled, share)
        worst = np.where(coupled > COUPLING, worst, 1.0)
        best = int(worst.argmin())
        return float(worst[best]), POWERS[rows[best]]

    def refined(self, group: tuple[int, ...], powers: np.ndarray) -> float:
        """Least misfit near these powers, each moved by itself."""
        signs = np.sign(powers)

        def misfit(log_sizes: np.ndarray) -> float:
            sizes = np.clip(np.exp(log_sizes), LOWEST, HIGHEST)
            columns = np.exp(self.u[:, list(group)] * signs * sizes)
            worst = coupled = 0.0
            for own, equation in enumerate(group):
                gram, cross = self.moments(columns, equation)
                one, share = self.judge(gram[None], cross[None], equation, own)
                worst, coupled = max(worst, float(one[0])), max(coupled, float(share[0]))
            return worst if coupled > COUPLING else 1.0

        found = minimize(
            misfit, np.log(np.abs(powers)), method="Nelder-Mead", options={"maxfev": 300}
        )
        return float(found.fun)


def _offsets(field: Field, dimension: int, rng: np.random.Generator) -> np.ndarray:
    """For every channel, the value (D,) at which its rate comes nearest to vanishing for good.

    0 where the rate vanishes nowhere: such a channel is no predator or prey.
    """
    others = rng.uniform(0.1, 2.5, (64, dimension))
    found = np.zeros(dimension)
    for i in range(dimension):

        def squared(values: np.ndarray | float, i: int = i) -> np.ndarray:
            """Mean squared rate for every value; infinite where there is no rate."""
            values = np.atleast_1d(values)
            states = np.tile(others, (len(values), 1))
            states[:, i] = np.repeat(values, len(others))
            sizes = (field(states)[:, i] ** 2).reshape(len(values), -1).mean(axis=1)
            return np.where(np.isfinite(sizes), sizes, np.inf)

        sizes = squared(OFFSETS)
        # Powers have no rate on one side of zero.
        usual = np.median(sizes[np.isfinite(sizes)])
        near = OFFSETS[sizes.argmin()]
        if squared(0.0)[0] <= 1e-12 * usual or sizes.min() > 0.05 * usual:
            continue
        best = minimize_scalar(
            lambda value: float(squared(value)[0]),
            bounds=(near - 0.1, near + 0.1),
            options={"xatol": 1e-9},
        )
        if best.fun < 1e-6 * usual:
            found[i] = best.x
    return found


def predator_prey_misfit(
    field: Field, dimension: int, *, logs: bool = False, seed: int = 0
) -> float:
    """Smallest unexplained variance share of any group of channels, over all disguises.

    Args:
        field: rates (M, D) of states (M, D).
        dimension: D, 1 to 4.
        logs: the states are logs of the quantities (times anything, plus anything); else they
            are the quantities themselves, perhaps with an offset.
        seed: of the sampled states.

    Returns:
        The largest 1 - R^2 over the equations of the group that fits best; 1 where no group of
        two or more channels interacts.
    """
    rng = np.random.default_rng(seed)
    u = rng.normal(0, 1, (SAMPLES, dimension))
    with np.errstate(all="ignore"):
        if logs:
            rates = field(u)
        else:
            x = np.exp(u)
            rates = field(x + _offsets(field, dimension, rng)) / x
    keep = np.isfinite(rates).all(axis=1)
    fit = _Fit(u[keep], rates[keep])
    best = 1.0
    for size in range(2, dimension + 1):
        for group in combinations(range(dimension), size):
            misfit, powers = fit.table(group)
            if misfit < NEAR:
                misfit = min(misfit, fit.refined(group, powers))
            best = min(best, misfit)
    return best


def is_predator_prey(field: Field, dimension: int, *, logs: bool = False, seed: int = 0) -> bool:
    """Whether the field is of predator-prey form, as quantities or (`logs`) as their logs.

    Args:
        field: rates (M, D) of states (M, D).
        dimension: D, 1 to 4.
        logs: the states are logs.
        seed: of the sampled states.
    """
    return predator_prey_misfit(field, dimension, logs=logs, seed=seed) < MISFIT
