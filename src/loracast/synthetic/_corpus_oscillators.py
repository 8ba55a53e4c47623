"""Known oscillators of mechanics, chemistry, electronics and meteorology, as vector fields.

Knows only the fields, their parameters' ranges and a typical period. Ranges are assumptions
around the values of the cited papers. No predator-prey and no epidemic model is among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loracast.synthetic._corpus_rk4 import Systems

__all__ = ["OSCILLATORS", "Oscillator", "draw_oscillator"]

# states (M, D), parameters (M or 1, 4) uniform in 0..1 -> rates (M, D)
ParametricField = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Oscillator:
    """A field with where it starts: uniform between low and high, (D,) or one for all."""

    field: ParametricField
    dimension: int
    low: float
    high: float
    period: float
    observed: tuple[int, ...]


def _van_der_pol(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    x, y = s.T
    return np.stack([y, 3 * p[:, 0] * (1 - x * x) * y - x], 1)


def _duffing(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    x, y = s.T
    return np.stack([y, -0.3 * p[:, 0] * y - x - 2 * p[:, 1] * x * x * x], 1)


def _pendulum(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    x, y = s.T
    return np.stack([y, -0.3 * p[:, 0] * y - np.sin(x)], 1)


def _fitzhugh(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # FitzHugh 1961, an excitable membrane; time in units of a sixth of its slow variable.
    x, y = s.T
    slow = (0.05 + 0.2 * p[:, 1]) * (x + 0.7 - 0.8 * y)
    return np.stack([x - x * x * x / 3 - y + 0.3 + 0.5 * p[:, 0], slow], 1) * 3.0


def _brusselator(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Prigogine & Lefever 1968, an autocatalytic reaction.
    x, y = s.T
    a = 0.6 + p[:, 0]
    b = 0.6 + a * a * (0.6 + 1.4 * p[:, 1])
    xxy = x * x * y
    return np.stack([a + xxy - (b + 1) * x, b * x - xxy], 1)


def _selkov(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Sel'kov 1968, glycolysis.
    x, y = s.T
    a, b = 0.04 + 0.1 * p[:, 0], 0.4 + 0.5 * p[:, 1]
    flow = (a + x * x) * y
    return np.stack([flow - x, b - flow], 1)


def _hopf(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Stuart-Landau normal form of a Hopf bifurcation, with shear.
    x, y = s.T
    r2 = x * x + y * y
    mu, shear = 0.6 * (p[:, 0] - 0.5), 1.5 * (p[:, 1] - 0.5)
    w, grow = 1 + shear * r2, mu - 0.3 * r2
    return np.stack([grow * x - w * y, grow * y + w * x], 1)


def _goodwin(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Goodwin 1965, a gene that represses itself through two steps; Hill exponent 8 to 12.
    x, y, z = s.T
    loss = 0.8 + 0.4 * p[:, 1]
    pressed = 1.5 / (1 + np.abs(z) ** (8 + 4 * p[:, 0]))
    return np.stack([pressed - 0.5 * loss * x, x - 0.5 * loss * y, y - 0.5 * loss * z], 1)


def _repressilator(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Elowitz & Leibler 2000, three genes in a ring, messengers left out.
    x, y, z = s.T
    power, strength = 3 + 2 * p[:, 0], 3 + 5 * p[:, 1]
    made = strength[:, None] / (1 + np.abs(s[:, [2, 0, 1]]) ** power[:, None])
    return made - np.stack([x, y, z], 1)


def _forced(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # A damped, slightly hardening spring driven by a sine; the drive is two more states.
    x, y, c, d = s.T
    w = 0.4 + 1.2 * p[:, 1]
    pull = -0.4 * p[:, 0] * y - x - 0.5 * p[:, 2] * x * x * x + p[:, 3] * c
    return np.stack([y, pull, -w * d, w * c], 1)


def _coupled_springs(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    x, y, u, v = s.T
    tie = 0.5 * p[:, 0] * (u - x)
    stiff = 0.5 + 2 * p[:, 1]
    loss = 0.15 * p[:, 2]
    return np.stack(
        [y, -x + tie - loss * y, v, -stiff * u - tie - loss * v - 0.3 * p[:, 3] * u * u * u], 1
    )


def _coupled_van_der_pol(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    x, y, u, v = s.T
    tie = 0.6 * p[:, 0]
    first = p[:, 1] * 1.5 * (1 - x * x) * y - x + tie * (u - x)
    second = p[:, 2] * 1.5 * (1 - u * u) * v - (0.6 + p[:, 3]) * u + tie * (x - u)
    return np.stack([y, first, v, second], 1)


def _lorenz(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Lorenz 1963, shrunk tenfold; rho from the decaying to the chaotic range.
    x, y, z = s.T
    rho = 10 + 22 * p[:, 0]
    return np.stack([10 * (y - x), rho * x - y - 10 * x * z, 10 * x * y - (8 / 3) * z], 1)


def _rossler(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Roessler 1976, shrunk tenfold.
    x, y, z = s.T
    a, c = 0.1 + 0.1 * p[:, 0], 0.25 + 0.35 * p[:, 1]
    return np.stack([-y - z, x + a * y, 0.02 + 10 * z * (x - c)], 1)


def _thomas(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    # Thomas 1999, a cyclically symmetric flow of sines.
    turned = s[:, [1, 2, 0]]
    return 2 * (np.sin(turned * 1.5) - (0.1 + 0.3 * p[:, :1]) * s)


_TURN = 2 * np.pi
OSCILLATORS: dict[str, Oscillator] = {
    "van der Pol": Oscillator(_van_der_pol, 2, -2.0, 2.0, _TURN, (0, 1)),
    "Duffing": Oscillator(_duffing, 2, -1.5, 1.5, _TURN, (0, 1)),
    "pendulum": Oscillator(_pendulum, 2, -2.2, 2.2, _TURN, (0, 1)),
    "FitzHugh": Oscillator(_fitzhugh, 2, -1.5, 1.5, 12.0, (0, 1)),
    "Brusselator": Oscillator(_brusselator, 2, 0.1, 2.0, _TURN, (0, 1)),
    "Selkov": Oscillator(_selkov, 2, 0.1, 1.5, 8.0, (0, 1)),
    "Hopf": Oscillator(_hopf, 2, -1.5, 1.5, _TURN, (0, 1)),
    "Goodwin": Oscillator(_goodwin, 3, 0.3, 1.5, 8.0, (0, 1, 2)),
    "repressilator": Oscillator(_repressilator, 3, 0.1, 2.5, 6.0, (0, 1, 2)),
    "forced": Oscillator(_forced, 4, -1.2, 1.2, _TURN, (0, 1, 2)),
    "coupled springs": Oscillator(_coupled_springs, 4, -1.5, 1.5, _TURN, (0, 2, 1, 3)),
    "coupled van der Pol": Oscillator(_coupled_van_der_pol, 4, -2, 2, _TURN, (0, 2, 1, 3)),
    "Lorenz": Oscillator(_lorenz, 3, 0.3, 1.8, 0.75, (0, 1, 2)),
    "Roessler": Oscillator(_rossler, 3, 0.05, 0.7, _TURN, (0, 1, 2)),
    "Thomas": Oscillator(_thomas, 3, -1.5, 1.5, 3.0, (0, 1, 2)),
}


def draw_oscillator(rng: np.random.Generator, n: int, name: str) -> Systems:
    """Systems, n of them, of one named form with random parameters and starts.

    Args:
        rng: source.
        n: how many.
        name: a key of `OSCILLATORS`.
    """
    kind = OSCILLATORS[name]
    params = rng.uniform(0, 1, (n, 4))
    start = rng.uniform(kind.low, kind.high, (n, kind.dimension))
    return Systems(
        lambda state: kind.field(state, params),
        start,
        np.full(n, kind.period),
        np.full(n, kind.dimension),
        observed=kind.observed,
        bound=30.0,
    )
