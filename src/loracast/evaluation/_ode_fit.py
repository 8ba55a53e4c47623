"""Differential equations of predator and prey fitted to every series by least squares.

The law of the generated systems is among them, so that no method can beat this one there; on
series of another law it is one more curve. Takes two positive channels, prey first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares

from loracast.errors import DataError
from loracast.evaluation._log_growth import log_bounds
from loracast.evaluation._method import Group, Method, Needs
from loracast.evaluation._prepare import Drawn, Prepared

__all__ = ["ODE_FIT"]

N_PARAMETERS = 7  # alpha, beta, gamma, delta, epsilon_prey, epsilon_predator, saturation
N_UNKNOWNS = 9  # and the two starting logs
LEAST_STEPS = 8  # so that 2 numbers a step are well more than the unknowns
# rtol and atol of the solver, in logs. Measured on 40 generated systems: the coarse fit leaves
# 1e-6 (its own error), the fine one 2e-9; a series that leaves more gains nothing by it.
COARSE, FINE = (1e-5, 1e-7), (1e-8, 1e-10)
WORTH_A_FINE_FIT = 3e-5  # root mean square residual below which the solver's error is left
POOR = (
    0.1  # residual above which a second start is tried, and of which the note speaks (assumption)
)
MOST_FITS = 40  # trajectories of a fit; measured: four on the average
# Calls of the field for a trajectory, and for a series; measured: 3,302 and 10,714 at most.
MOST_CALLS, MOST_CALLS_OF_A_SERIES = 6000, 20_000
GIVEN_UP = 1e3  # residual, in logs, of a trajectory that could not be solved
LOG_LIMIT = 50.0  # of a state about its mean: e^50 times a series' size is past all sense
LEAST_SHARE = 0.05  # 1 + saturation x stays above it, so that no rate has a pole
SATURATIONS = (0.0, *np.geomspace(0.01, 3.0, 12))  # tried for the first guess (assumption)
QUADRATURE = np.polynomial.legendre.leggauss(4)


class _GaveUpError(Exception):
    """A trajectory that cannot be solved within the calls allowed."""


def _field(state: np.ndarray, unknowns: np.ndarray) -> np.ndarray:
    """Rates of change of two logs, and of their derivatives by the 9 unknowns, (20,)."""
    alpha, beta, gamma, delta, own_prey, own_predator, saturation = unknowns[:N_PARAMETERS]
    prey, predator = np.exp(np.clip(state[:2], -LOG_LIMIT, LOG_LIMIT))
    share = 1 / max(1 + saturation * prey, LEAST_SHARE)
    rates = np.empty(2 + 2 * N_UNKNOWNS)
    rates[0] = alpha - beta * predator * share - own_prey * prey
    rates[1] = -gamma + delta * prey * share - own_predator * predator
    first, second = state[2 : 2 + N_UNKNOWNS], state[2 + N_UNKNOWNS :]
    by_first, by_second = rates[2 : 2 + N_UNKNOWNS], rates[2 + N_UNKNOWNS :]
    squared = prey * share * share
    np.multiply(first, beta * predator * saturation * squared - own_prey * prey, out=by_first)
    by_first -= beta * predator * share * second
    np.multiply(second, -own_predator * predator, out=by_second)
    by_second += delta * squared * first
    by_first[0] += 1.0
    by_first[1] -= predator * share
    by_first[4] -= prey
    by_first[6] += beta * predator * squared
    by_second[2] -= 1.0
    by_second[3] += prey * share
    by_second[5] -= predator
    by_second[6] -= delta * prey * squared
    return rates


@dataclass
class _Solver:
    """Trajectories from one series' unknowns, within the calls that a series may cost."""

    calls_left: int = MOST_CALLS_OF_A_SERIES

    def solve(
        self,
        unknowns: np.ndarray,
        n_steps: int,
        tolerance: tuple[float, float],
        bounds: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logs (T, 2) at the steps 0..T-1, and their derivatives (T, 2, 9).

        Args:
            unknowns: (9,).
            n_steps: T.
            tolerance: rtol and atol.
            bounds: (2, 2) least and greatest logs; a trajectory that leaves them by more than 1
                ends there, and T is smaller.

        Raises:
            _GaveUpError: too many calls, or the solver stopped for another reason.
        """
        last = max(self.calls_left - MOST_CALLS, 0)

        def field(_: float, state: np.ndarray) -> np.ndarray:
            self.calls_left -= 1
            if self.calls_left < last or not np.isfinite(state).all():
                raise _GaveUpError
            return _field(state, unknowns)

        def leaves(_: float, state: np.ndarray) -> float:
            assert bounds is not None
            return float(min((bounds[1] + 1 - state[:2]).min(), (state[:2] - bounds[0] + 1).min()))

        leaves.terminal = True  # type: ignore[attr-defined]
        start = np.zeros(2 + 2 * N_UNKNOWNS)
        start[:2] = unknowns[N_PARAMETERS:]
        start[2 + N_PARAMETERS] = start[-1] = 1.0
        with np.errstate(all="ignore"):
            found = solve_ivp(
                field,
                (0.0, n_steps - 1.0),
                start,
                method="DOP853",
                t_eval=np.arange(n_steps, dtype=float),
                rtol=tolerance[0],
                atol=tolerance[1],
                events=None if bounds is None else leaves,
            )
        whole = found.y.shape[1] == n_steps or found.status == 1
        if not found.success or not whole or not np.isfinite(found.y).all():
            raise _GaveUpError
        return found.y[:2].T, found.y[2:].T.reshape(-1, 2, N_UNKNOWNS)


@dataclass(frozen=True)
class _Fit:
    """The unknowns (9,) of a series, and the root mean square residual that they leave, in logs."""

    unknowns: np.ndarray
    rms: float


def _first_guess(logs: np.ndarray) -> np.ndarray:
    """The unknowns (9,) from the integrated equations, which are linear but for the saturation.

    log x[t+1] - log x[t] = alpha - beta I[y / (1 + h x)] - epsilon I[x], with the integrals over a
    step of a cubic spline through the logs (Gauss-Legendre, 4 points); after Dattner and Klaassen
    2015, Electronic Journal of Statistics 9, 1939-1973.
    """
    n_steps = len(logs)
    spline = CubicSpline(np.arange(n_steps), logs)
    nodes, weights = (QUADRATURE[0] + 1) / 2, QUADRATURE[1] / 2
    inner = spline(np.arange(n_steps - 1)[:, None] + nodes)
    prey, predator = np.moveaxis(np.exp(np.clip(inner, -LOG_LIMIT, LOG_LIMIT)), -1, 0)
    growth, one = np.diff(logs, axis=0), np.ones(n_steps - 1)
    best, guess = np.inf, np.zeros(N_UNKNOWNS)
    for saturation in SATURATIONS:
        share = 1 / (1 + saturation * prey)
        met, eaten = (predator * share) @ weights, (prey * share) @ weights
        rows = (
            np.stack([one, -met, -(prey @ weights)], 1),
            np.stack([-one, eaten, -(predator @ weights)], 1),
        )
        first, second = (
            np.linalg.lstsq(r, growth[:, c], rcond=1e-10)[0] for c, r in enumerate(rows)
        )
        error = sum(
            float(np.sum((growth[:, c] - rows[c] @ w) ** 2)) for c, w in enumerate((first, second))
        )
        if error < best:
            best = error
            guess = np.array([*first[:2], *second[:2], first[2], second[2], saturation, *logs[0]])
    return guess


def _fit(
    solver: _Solver, logs: np.ndarray, guess: np.ndarray, tolerance: tuple[float, float]
) -> _Fit:
    """Least squares on the logs (T, 2), from a first guess."""
    best = _Fit(guess, np.inf)
    asked, answer = b"", (np.empty(0), np.empty((0, N_UNKNOWNS)))

    def trajectory(unknowns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal asked, answer, best
        if unknowns.tobytes() != asked:
            asked = unknowns.tobytes()
            try:
                found, slopes = solver.solve(unknowns, len(logs), tolerance)
                answer = (found - logs).ravel(), slopes.reshape(-1, N_UNKNOWNS)
            except _GaveUpError:
                answer = np.full(logs.size, GIVEN_UP), np.zeros((logs.size, N_UNKNOWNS))
            rms = float(np.sqrt(np.mean(answer[0] ** 2)))
            if rms < min(best.rms, GIVEN_UP):
                best = _Fit(unknowns.copy(), rms)
        return answer

    trajectory(guess)
    if best.rms == np.inf:
        return best
    with np.errstate(all="ignore"):
        least_squares(
            lambda u: trajectory(u)[0],
            guess,
            jac=lambda u: trajectory(u)[1],
            x_scale="jac",
            max_nfev=MOST_FITS,
            ftol=1e-10,
            xtol=1e-10,
            gtol=1e-14,
        )
    return best


def _fit_series(solver: _Solver, logs: np.ndarray) -> _Fit:
    """The best of a few fits to centred logs (T, 2); a constant where none can be solved."""
    guess = _first_guess(logs)
    fit = _fit(solver, logs, guess, COARSE)
    if fit.rms > POOR:  # what shoots past the end may still hold over the first steps
        third = max(LEAST_STEPS, len(logs) // 3)
        early = _fit(solver, logs[:third], _first_guess(logs[:third]), COARSE)
        again = _fit(solver, logs, early.unknowns, COARSE)
        fit = min(fit, again, key=lambda f: f.rms)
    if fit.rms < WORTH_A_FINE_FIT:
        fine = _fit(solver, logs, fit.unknowns, FINE)
        fit = fine if np.isfinite(fine.rms) else fit
    still = np.concatenate([np.zeros(N_PARAMETERS), logs[-1]])
    return fit if np.isfinite(fit.rms) else _Fit(still, np.inf)


def _forecast(
    solver: _Solver, fit: _Fit, logs: np.ndarray, horizon: int, bounds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Logs (H, 2) after the context, how they move with the unknowns, and whether they ran away.

    The second, (H, 2, 9), times nine standard normal numbers is a draw from the linearised
    distribution of the fitted unknowns, with covariance sigma^2 (J'J)^-1.
    """
    n_steps = len(logs)
    tolerance = FINE if fit.rms < WORTH_A_FINE_FIT else COARSE
    solver.calls_left += MOST_CALLS  # the last one is always affordable
    try:
        found, slopes = solver.solve(fit.unknowns, n_steps + horizon, tolerance, bounds)
    except _GaveUpError:  # the last known value stands still
        found, slopes = logs, np.zeros((n_steps, 2, N_UNKNOWNS))
    missing = n_steps + horizon - len(found)
    if missing:  # no surer than at its last step
        ends = np.where(found[-1:] > logs.mean(axis=0), np.inf, -np.inf)
        left = (found[-1:] > bounds[1] - 1) | (found[-1:] < bounds[0] + 1)
        found = np.concatenate([found, np.repeat(np.where(left, ends, found[-1:]), missing, 0)])
        slopes = np.concatenate([slopes, np.repeat(slopes[-1:], missing, 0)])
    jacobian = slopes[:n_steps].reshape(-1, N_UNKNOWNS)
    residuals = (found[:n_steps] - logs).ravel()
    residuals = residuals[np.isfinite(residuals)]
    sigma = np.sqrt(np.sum(residuals**2) / max(1, logs.size - N_UNKNOWNS))
    size = np.linalg.norm(jacobian, axis=0)
    size = np.where(size > 0, size, 1.0)
    _, singular, right = np.linalg.svd(jacobian / size, full_matrices=False)
    told = singular > 1e-6 * singular.max(initial=0.0)  # nothing is drawn along the others
    inverse = np.where(told, 1 / np.where(told, singular, 1.0), 0.0)
    root = sigma * (right.T * inverse) / size[:, None]
    held = np.clip(found[n_steps:], *bounds)
    ran_away = bool(missing or (held != found[n_steps:]).any())
    return held, slopes[n_steps:] @ root, ran_away


def _ode_fit(
    prepared: Prepared, horizon: int, n_samples: int, rngs: list[np.random.Generator]
) -> Drawn:
    """Predator-prey equations fitted to each series by least squares on its logs, and solved on.

        d prey / dt     = prey     ( alpha - beta predator / (1 + h prey) - epsilon_prey prey)
        d predator / dt = predator (-gamma + delta prey / (1 + h prey) - epsilon_predator predator)

    With h = 0 these are the generalised Lotka-Volterra equations of `generate_lotka_volterra`, with
    epsilon_predator = 0 those of Rosenzweig and MacArthur (1963); all seven parameters and both
    starting values are free. Samples draw the unknowns from their linearised distribution and add
    the residuals' spread.

    Returns:
        point (N, H, 2), samples (N, S, H, 2), a note on series that the equations do not fit and on
        forecasts that had to be held.

    Raises:
        DataError: other than two channels.
    """
    if prepared.n_channels != 2:
        raise DataError(
            f"ode_fit solves equations of two species; got {prepared.n_channels} channels, "
            "expected 2 (prey, predator)"
        )
    points, draws, n_poor, n_held = [], [], 0, 0
    for context, rng in zip(prepared.contexts, rngs, strict=True):
        raw = np.log(context)
        centre = raw.mean(axis=0)
        logs, bounds = raw - centre, log_bounds(raw) - centre
        solver = _Solver()
        fit = _fit_series(solver, logs)
        n_poor += fit.rms > POOR
        held, moves, ran_away = _forecast(solver, fit, logs, horizon, bounds)
        n_held += ran_away
        noise = rng.standard_normal((n_samples, N_UNKNOWNS))
        spread = 0.0 if not np.isfinite(fit.rms) else fit.rms
        paths = held + np.einsum("hcu,su->shc", moves, noise)
        paths = paths + spread * rng.standard_normal(paths.shape)
        points.append(np.exp(held + centre))
        draws.append(np.exp(np.clip(paths, *bounds) + centre))
    notes = []
    if n_poor:
        notes.append(
            f"the equations do not fit {n_poor} of {len(points)} series (more than {POOR:g} left "
            "in logs)"
        )
    if n_held:
        notes.append(
            f"{n_held} of {len(points)} point forecasts ran away and were held at "
            "the range of their context's logs plus once that range"
        )
    return np.stack(points), np.stack(draws), "; ".join(notes)


ODE_FIT = Method(
    name="ode_fit",
    label="ODE fit",
    spoken="the fitted predator-prey equations",
    hint="per series: predator-prey equations, least squares",
    group=Group.CLASSICAL,
    colour="#7F1D1D",
    needs=Needs(steps=LEAST_STEPS, positive=True),
    run=_ode_fit,
)
