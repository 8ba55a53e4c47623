"""Predator-prey systems of four regimes, with the parameters and the regime of each.

Makes numbers only; splits, files and models are elsewhere. Ranges are assumptions chosen so
that sizes and periods resemble the public set of 1000 systems that published studies use.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp

from loracast.errors import DataError, LoracastError
from loracast.series._panel import Panel

__all__ = ["REGIMES", "generate_lotka_volterra", "lotka_volterra_field"]

REGIMES = ("oscillatory", "decaying", "growing", "stable")
PARAMETERS = ("alpha", "beta", "gamma", "delta", "epsilon_prey", "epsilon_predator")
END_TIME = 200.0  # the public set: 100 steps over 0..200
# Damping of the amplitude over 200 time units, exp(-range), by regime (assumption).
DAMPING = {
    "oscillatory": (0.0, 0.0),
    "decaying": (1.0, 2.2),
    "growing": (-1.2, -0.6),
    "stable": (6.0, 12.0),
}
# Distance of the start from the fixed point, in logs, by regime (assumption): far enough to see
# a decay, near enough that a growing swing stays of order 1 to 10.
START_DISTANCE = {
    "oscillatory": (0.4, 1.8),
    "decaying": (0.9, 1.8),
    "growing": (0.4, 1.1),
    "stable": (0.4, 1.8),
}
SMALLEST, LARGEST = 1e-4, 15.0
BLOCK = 64  # systems solved together; a multiple of the number of regimes
MOST_ROUNDS = 30
RTOL, ATOL = 1e-9, 1e-11


def lotka_volterra_field(logs: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Rates of change of the logs of prey and predator.

    Args:
        logs: (N, 2).
        parameters: (N, 6) in the order alpha, beta, gamma, delta, epsilon_prey,
            epsilon_predator.

    Returns:
        (N, 2).
    """
    alpha, beta, gamma, delta, own_prey, own_predator = parameters.T
    prey, predator = np.exp(np.clip(logs, -50.0, 20.0)).T
    return np.stack(
        [
            alpha - beta * predator - own_prey * prey,
            -gamma + delta * prey - own_predator * predator,
        ],
        axis=1,
    )


def generate_lotka_volterra(
    n: int, seed: int, n_steps: int = 100, end_time: float = END_TIME
) -> Panel:
    """Random generalised Lotka-Volterra systems, a quarter of each regime.

        d prey / dt     = prey     ( alpha - beta predator - epsilon_prey prey)
        d predator / dt = predator (-gamma + delta prey    - epsilon_predator predator)

    Both epsilons zero is the textbook system, which circles for ever (`oscillatory`). Positive
    ones are crowding, the swings shrink (`decaying`), or die out well before the end
    (`stable`); negative ones are cooperation, the swings widen (`growing`). Around the fixed
    point (prey*, predator*) swings change as exp(-lambda t) with
    lambda = (epsilon_prey prey* + epsilon_predator predator*) / 2, and lambda is what is drawn.
    Every four successive systems hold each regime once, in random order. The first systems do
    not depend on `n`.

    Args:
        n: N, number of systems.
        seed: of parameters, regimes and starts (prey and predator each from 0.8 to 1.2).
        n_steps: T, equally spaced times from 0 to `end_time`, both included.
        end_time: in the time unit of the rates; regimes are meant for 200.

    Returns:
        A panel with channels prey and predator; `meta["per_series"]` has `regime` and the six
        parameters of the equations.

    Raises:
        DataError: n or n_steps too small, or an end time that is not positive.
    """
    if n < 1 or n_steps < 2 or not 0 < end_time < np.inf:
        raise DataError(
            f"got n={n}, n_steps={n_steps}, end_time={end_time}; "
            "expected n >= 1, n_steps >= 2 and a positive end time"
        )
    if seed < 0:
        raise DataError(f"got seed {seed}; expected 0 or more")
    times = np.linspace(0.0, end_time, n_steps)
    blocks = [_block(seed, block, times) for block in range(-(-n // BLOCK))]
    values = np.concatenate([b[0] for b in blocks])[:n]
    parameters = np.concatenate([b[1] for b in blocks])[:n]
    regimes = [name for b in blocks for name in b[2]][:n]
    columns: dict[str, object] = {"regime": regimes}
    columns.update({name: parameters[:, i].tolist() for i, name in enumerate(PARAMETERS)})
    return Panel(
        ids=tuple(range(n)),
        values=tuple(values),
        times=(times,) * n,
        channels=("prey", "predator"),
        meta={
            "generator": "lotka-volterra",
            "seed": seed,
            "n_steps": n_steps,
            "end_time": end_time,
            "per_series": columns,
        },
    )


def _block(seed: int, block: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """BLOCK systems: values (BLOCK, T, 2), parameters (BLOCK, 6), regimes."""
    rng = np.random.default_rng([seed, block])
    order = np.concatenate([rng.permutation(len(REGIMES)) for _ in range(BLOCK // len(REGIMES))])
    values = np.empty((BLOCK, len(times), 2))
    parameters = np.empty((BLOCK, len(PARAMETERS)))
    open_rows = np.arange(BLOCK)
    for _ in range(MOST_ROUNDS):
        drawn, start = _draw(rng, order[open_rows])
        solved = np.exp(_solve(start, drawn, times))
        kept = ((solved > SMALLEST) & (solved < LARGEST)).all(axis=(1, 2))
        values[open_rows[kept]], parameters[open_rows[kept]] = solved[kept], drawn[kept]
        open_rows = open_rows[~kept]
        if not len(open_rows):
            return values, parameters, [REGIMES[i] for i in order]
    raise DataError(
        f"found no systems between {SMALLEST} and {LARGEST} over {times[-1]:g} time units; "
        f"take an end time nearer to {END_TIME:g}"
    )


def _draw(rng: np.random.Generator, regimes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (R, 6) and starting logs (R, 2), redrawn until each start lies where it should."""
    parameters, start = _draw_once(rng, regimes)
    near, far = np.array([START_DISTANCE[r] for r in REGIMES]).T
    while True:
        alpha, beta, gamma, delta, own_prey, own_predator = parameters.T
        # the fixed point: alpha = beta predator + own_prey prey, gamma = delta prey - ...
        size = beta * delta + own_prey * own_predator
        prey = (alpha * own_predator + beta * gamma) / size
        predator = (alpha * delta - own_prey * gamma) / size
        distance = np.hypot(start[:, 0] - np.log(prey), start[:, 1] - np.log(predator))
        off = (distance < near[regimes]) | (distance > far[regimes])
        if not off.any():
            return parameters, start
        parameters[off], start[off] = _draw_once(rng, regimes[off])


def _draw_once(rng: np.random.Generator, regimes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(regimes)
    alpha, gamma = rng.uniform(0.10, 0.28, count), rng.uniform(0.10, 0.26, count)
    beta, delta = rng.uniform(0.13, 0.45, count), rng.uniform(0.05, 0.28, count)
    prey, predator = gamma / delta, alpha / beta  # the fixed point, which crowding leaves alone
    low, high = np.array([DAMPING[r] for r in REGIMES]).T
    damping = rng.uniform(low[regimes], high[regimes]) / END_TIME
    share = rng.uniform(0.5, 1.0, count)
    own_prey = 2 * damping * share / prey
    own_predator = 2 * damping * (1 - share) / predator
    columns = [
        alpha + own_prey * prey,
        beta,
        gamma - own_predator * predator,
        delta,
        own_prey,
        own_predator,
    ]
    return np.stack(columns, axis=1), np.log(rng.uniform(0.8, 1.2, (count, 2)))


def _solve(start: np.ndarray, parameters: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Logs (R, T, 2) of R systems, solved as one system of 2 R equations."""
    shape = start.shape

    def field(_: float, state: np.ndarray) -> np.ndarray:
        return lotka_volterra_field(state.reshape(shape), parameters).ravel()

    found = solve_ivp(
        field,
        (times[0], times[-1]),
        start.ravel(),
        method="DOP853",
        t_eval=times,
        rtol=RTOL,
        atol=ATOL,
    )
    if not found.success:
        raise LoracastError(f"the solver gave up ({found.message}); choose another seed")
    logs: np.ndarray = found.y.T.reshape(len(times), *shape).transpose(1, 0, 2)
    return logs
