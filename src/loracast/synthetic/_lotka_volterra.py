"""Predator-prey systems of four regimes, with the parameters and the regime of each.

Makes numbers only; splits, files and models are elsewhere. Two laws take turns by chance: crowding
alone, where the regime follows from the parameters, and predators that have their fill, as in the
public set of 1000 systems that published studies use; ranges are wider than that set's on both
sides (compared in docs/log.md).
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp

from loracast.errors import DataError, LoracastError
from loracast.series import Panel, classify_regime

__all__ = ["REGIMES", "generate_lotka_volterra", "lotka_volterra_field"]

REGIMES = ("oscillatory", "decaying", "growing", "stable")
PARAMETERS = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon_prey",
    "epsilon_predator",
    "saturation",
)
END_TIME = 200.0  # the public set: 100 steps over 0..200
SATURATING = 0.5  # share of systems whose predators have their fill (assumption)
# Without saturation: damping of the amplitude over 200 time units, exp(-range), by regime
# (assumption).
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
# With saturation. Fitted to 800 systems of the public set, each range below was 0.10..0.30,
# 5..15, 0.20..0.50, 0.05..0.20, 0.10..0.30 and 0.3..0.7; the last is of our own making.
FED = {
    "alpha": (0.07, 0.36),
    "capacity": (3.5, 20.0),  # alpha / epsilon_prey: prey without predators
    "beta": (0.12, 0.60),
    "saturation": (0.0, 0.30),
    "gamma": (0.07, 0.36),
    "conversion": (0.20, 0.90),  # delta / beta
    "epsilon_predator": (-0.02, 0.02),  # below 0 stands for none
}
START = (0.8, 1.2)
SMALLEST, LARGEST = 1e-5, 20.0
BLOCK = 64  # systems solved together; a multiple of the number of regimes
MOST_ROUNDS = 30
RTOL, ATOL = 1e-9, 1e-11
# Times by which a regime is told, whatever times were asked for.
REGIME_TIMES = np.linspace(0.0, END_TIME, 100)


def lotka_volterra_field(logs: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Rates of change of the logs of prey and predator.

    Args:
        logs: (N, 2).
        parameters: (N, 7) in the order alpha, beta, gamma, delta, epsilon_prey,
            epsilon_predator, saturation.

    Returns:
        (N, 2).
    """
    alpha, beta, gamma, delta, own_prey, own_predator, saturation = parameters.T
    prey, predator = np.exp(np.clip(logs, -50.0, 20.0)).T
    hunger = 1.0 / (1.0 + saturation * prey)
    return np.stack(
        [
            alpha - beta * predator * hunger - own_prey * prey,
            -gamma + delta * prey * hunger - own_predator * predator,
        ],
        axis=1,
    )


def generate_lotka_volterra(n: int, seed: int, n_steps: int = 100) -> Panel:
    """Random predator-prey systems, a quarter of each regime.

        d prey / dt     = prey     ( alpha - beta predator s - epsilon_prey prey)
        d predator / dt = predator (-gamma + delta prey s    - epsilon_predator predator)
        s = 1 / (1 + saturation prey)

    By chance, half of the systems have no saturation: the generalised Lotka-Volterra equations.
    Both epsilons zero is the textbook system, which circles for ever (`oscillatory`). Positive
    ones are crowding, the swings shrink (`decaying`), or die out well before the end
    (`stable`); negative ones are cooperation, the swings widen (`growing`). Around the fixed
    point (prey*, predator*) swings change as exp(-lambda t) with
    lambda = (epsilon_prey prey* + epsilon_predator predator*) / 2, and lambda is what is drawn.

    The others are the equations of Rosenzweig and MacArthur (1963): predators have their fill
    (Holling 1959), crowded prey, and now and then crowded predators. They settle, or end on a
    cycle of their own from inside or outside; their regime is what `classify_regime` says of
    100 steps over 200 time units, and systems are drawn until each regime has its share.

    Every four successive systems hold each regime once, in random order. The first systems do
    not depend on `n`.

    Args:
        n: N, number of systems.
        seed: of parameters, regimes and starts (prey and predator each from 0.8 to 1.2).
        n_steps: T, equally spaced times from 0 to 200, both included.

    Returns:
        A panel with channels prey and predator; `meta["per_series"]` has `regime` and the seven
        parameters of the equations.

    Raises:
        DataError: n or n_steps too small.
    """
    if n < 1 or n_steps < 2:
        raise DataError(f"got n={n}, n_steps={n_steps}; expected n >= 1 and n_steps >= 2")
    if seed < 0:
        raise DataError(f"got seed {seed}; expected 0 or more")
    times = np.linspace(0.0, END_TIME, n_steps)
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
            "end_time": END_TIME,
            "per_series": columns,
        },
    )


def _block(seed: int, block: int, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """BLOCK systems: values (BLOCK, T, 2), parameters (BLOCK, 7), regimes."""
    rng = np.random.default_rng([seed, block])
    order = np.concatenate([rng.permutation(len(REGIMES)) for _ in range(BLOCK // len(REGIMES))])
    fed = rng.random(BLOCK) < SATURATING
    values = np.empty((BLOCK, len(times), 2))
    parameters = np.empty((BLOCK, len(PARAMETERS)))
    # Each law has a stream of its own.
    for law, fill, rows in zip(rng.spawn(2), (_fill_plain, _fill_fed), (~fed, fed), strict=True):
        values[rows], parameters[rows] = fill(law, order[rows], times)
    return values, parameters, [REGIMES[i] for i in order]


def _fill_plain(
    rng: np.random.Generator, regimes: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """R systems without saturation: values (R, T, 2) and parameters (R, 7)."""
    values = np.empty((len(regimes), len(times), 2))
    parameters = np.empty((len(regimes), len(PARAMETERS)))
    open_rows = np.arange(len(regimes))
    for _ in range(MOST_ROUNDS):
        if not len(open_rows):
            return values, parameters
        drawn, start = _draw(rng, regimes[open_rows])
        solved = np.exp(_solve(start, drawn, times))
        kept = _within(solved)
        values[open_rows[kept]], parameters[open_rows[kept]] = solved[kept], drawn[kept]
        open_rows = open_rows[~kept]
    raise _nothing_found(times)


def _fill_fed(
    rng: np.random.Generator, regimes: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """R systems with saturation: values (R, T, 2) and parameters (R, 7).

    What is drawn has the regime it has; it goes to the first row that waits for that regime.
    """
    values = np.empty((len(regimes), len(times), 2))
    parameters = np.empty((len(regimes), len(PARAMETERS)))
    waiting = [list(np.flatnonzero(regimes == i)) for i in range(len(REGIMES))]
    grid = np.union1d(REGIME_TIMES, times)
    judged, asked = np.searchsorted(grid, REGIME_TIMES), np.searchsorted(grid, times)
    for _ in range(MOST_ROUNDS):
        if not any(waiting):
            return values, parameters
        drawn, start = _draw_fed(rng, BLOCK)
        solved = np.exp(_solve(start, drawn, grid))
        for i in np.flatnonzero(_within(solved)):
            rows = waiting[REGIMES.index(classify_regime(solved[i, judged]))]
            if rows:
                row = rows.pop(0)
                values[row], parameters[row] = solved[i, asked], drawn[i]
    raise _nothing_found(times)


def _within(solved: np.ndarray) -> np.ndarray:
    """(R,) which of the systems (R, T, 2) stay between the smallest and the largest value."""
    return np.asarray(((solved > SMALLEST) & (solved < LARGEST)).all(axis=(1, 2)))


def _nothing_found(times: np.ndarray) -> DataError:
    return DataError(
        f"found no systems between {SMALLEST} and {LARGEST} over {times[-1]:g} time units; "
        "take another seed"
    )


def _draw(rng: np.random.Generator, regimes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (R, 7) and starting logs (R, 2), redrawn until each start lies where it should."""
    parameters, start = _draw_once(rng, regimes)
    near, far = np.array([START_DISTANCE[r] for r in REGIMES]).T
    while True:
        alpha, beta, gamma, delta, own_prey, own_predator, _ = parameters.T
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
    alpha, gamma = rng.uniform(0.08, 0.32, count), rng.uniform(0.08, 0.32, count)
    beta, delta = rng.uniform(0.12, 0.50, count), rng.uniform(0.04, 0.32, count)
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
        np.zeros(count),
    ]
    return np.stack(columns, axis=1), np.log(rng.uniform(*START, (count, 2)))


def _draw_fed(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (R, 7) with saturation, and starting logs (R, 2), of any regime."""
    drawn = {name: rng.uniform(low, high, count) for name, (low, high) in FED.items()}
    columns = [
        drawn["alpha"],
        drawn["beta"],
        drawn["gamma"],
        drawn["conversion"] * drawn["beta"],
        drawn["alpha"] / drawn["capacity"],
        np.maximum(drawn["epsilon_predator"], 0.0),
        drawn["saturation"],
    ]
    return np.stack(columns, axis=1), np.log(rng.uniform(*START, (count, 2)))


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
