"""The parts that a described series is added up from: level, season, noise, outliers, events.

Every function fills a block of B series of one length T, in units where the whole series is to
have a range of about 1. Time runs from 0 to 1 over the T points.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "SHAPES",
    "add_events",
    "ar1",
    "draw_level",
    "draw_noise",
    "draw_outliers",
    "draw_season",
]

SHAPES = ("line", "bend", "logistic", "shift", "hump")
# (position, kind): a step of the level starts there, the slope breaks there, or neither ("soft":
# the label of the stretch changes but nothing breaks).
Knot = tuple[int, str]

# Shares of series that have the part, from ROOMY points on; shorter series, which cannot show as
# many parts at once, have each of them in proportion to their length.
ROOMY = 128
P_BREAK = 0.2  # a step of the level on top of a shape that has none
P_SEASON = 0.5
P_OUTLIERS = 0.2
SHORTEST_PERIOD = 6.0  # steps; so that three harmonics stay under the Nyquist frequency
LEAST_CYCLES = 3.0


def draw_level(
    rng: np.random.Generator, shapes: np.ndarray, net: np.ndarray, T: int
) -> tuple[np.ndarray, list[list[Knot]]]:
    """The level (B, T) of each series: starts at 0, ends at `net` (B,); and its knots.

    `shapes` (B,) indexes SHAPES. A shape without a step gets one in a share P_BREAK of cases.
    """
    B = len(net)
    time = np.linspace(0.0, 1.0, T)
    u = rng.random((B, 6))
    sign = np.where(rng.random((B, 2)) < 0.5, -1.0, 1.0)
    stepped = (rng.random(B) < _share(P_BREAK, T)) & (shapes != SHAPES.index("shift"))
    size = np.where(stepped, sign[:, 0] * (0.2 + 0.3 * u[:, 0]), 0.0)
    at = 1 + np.floor((0.15 + 0.7 * u[:, 1]) * (T - 1)).astype(int)
    level = np.where(np.arange(T) >= at[:, None], size[:, None], 0.0)
    knots: list[list[Knot]] = [
        [(int(k), "level")] if s else [] for k, s in zip(at, stepped, strict=True)
    ]
    rest = net - size
    for shape, name in enumerate(SHAPES):
        rows = np.flatnonzero(shapes == shape)
        if len(rows):
            part, found = _SHAPE[name](time, rest[rows], u[rows, 2:], sign[rows, 1])
            level[rows] += part
            for row, more in zip(rows, found, strict=True):
                knots[row] += [(int(np.ceil(k * (T - 1) - 1e-9)), kind) for k, kind in more]
    return level, knots


def _share(share: float, T: int) -> float:
    return share * min(1.0, T / ROOMY)


Found = tuple[np.ndarray, list[list[tuple[float, str]]]]


def _line(time: np.ndarray, net: np.ndarray, _u: np.ndarray, _sign: np.ndarray) -> Found:
    return net[:, None] * time, [[] for _ in net]


def _bend(time: np.ndarray, net: np.ndarray, u: np.ndarray, sign: np.ndarray) -> Found:
    """Two straight stretches; most of the change falls into one of them."""
    knot = 0.25 + 0.5 * u[:, 0]
    share = np.where(sign > 0, -0.1 + 0.35 * u[:, 1], 0.75 + 0.35 * u[:, 1])
    middle = (net * share)[:, None]
    k = knot[:, None]
    after = middle + (net[:, None] - middle) * (time - k) / (1 - k)
    return np.where(time < k, middle * time / k, after), [[(x, "slope")] for x in knot]


def _logistic(time: np.ndarray, net: np.ndarray, u: np.ndarray, _sign: np.ndarray) -> Found:
    middle, width = 0.3 + 0.4 * u[:, 0], 0.02 + 0.06 * u[:, 1]
    curve = 1.0 / (1.0 + np.exp((middle[:, None] - time) / width[:, None]))
    curve -= curve[:, :1]
    curve *= (net / curve[:, -1])[:, None]
    return curve, [
        [(m - 3 * w, "soft"), (m + 3 * w, "soft")] for m, w in zip(middle, width, strict=True)
    ]


def _shift(time: np.ndarray, net: np.ndarray, u: np.ndarray, sign: np.ndarray) -> Found:
    """One step, or two where the net change is small (one alone would not be seen) or by coin."""
    double = (np.abs(net) < 0.2) | (u[:, 3] < 0.4)
    first = np.where(double, 0.15 + 0.3 * u[:, 0], 0.15 + 0.7 * u[:, 0])
    second = 0.55 + 0.3 * u[:, 1]
    size = np.where(double, sign * (0.3 + 0.5 * u[:, 2]), net)
    level = np.where(time >= first[:, None], size[:, None], 0.0)
    level += np.where(double[:, None] & (time >= second[:, None]), (net - size)[:, None], 0.0)
    knots = [
        [(a, "level"), (b, "level")] if two else [(a, "level")]
        for a, b, two in zip(first, second, double, strict=True)
    ]
    return level, knots


def _hump(time: np.ndarray, net: np.ndarray, u: np.ndarray, sign: np.ndarray) -> Found:
    """Up then down, or down then up, pointed or round, on a line of the net change."""
    apex = (0.3 + 0.4 * u[:, 0])[:, None]
    tent = np.where(time < apex, time / apex, (1 - time) / (1 - apex))
    pointed = u[:, 2] < 0.5
    tent = np.where(pointed[:, None], tent, np.sin(0.5 * np.pi * tent) ** 2)
    level = net[:, None] * time + (sign * (0.4 + 0.5 * u[:, 1]))[:, None] * tent
    knots = zip(apex[:, 0], pointed, strict=True)
    return level, [[(a, "slope" if point else "soft")] for a, point in knots]


_SHAPE = {
    "line": _line,
    "bend": _bend,
    "logistic": _logistic,
    "shift": _shift,
    "hump": _hump,
}


def draw_season(rng: np.random.Generator, net: np.ndarray, T: int) -> tuple[np.ndarray, np.ndarray]:
    """Season (B, T) and its period (B,) in steps, NaN for none.

    Sine, sawtooth or three harmonics, centred; peak to peak 0.1 to 0.6 of what the level's net
    change (B,) leaves of the range. The period is log-uniform from SHORTEST_PERIOD to
    T / LEAST_CYCLES.
    """
    B = len(net)
    u = rng.random((B, 6))
    has = rng.random(B) < _share(P_SEASON, T)
    longest = max(T / LEAST_CYCLES, SHORTEST_PERIOD)
    period = SHORTEST_PERIOD * (longest / SHORTEST_PERIOD) ** u[:, 0]
    phase = np.arange(T) / period[:, None] + u[:, 1:2]
    kind = np.floor(3 * u[:, 2])[:, None]
    wave = np.sin(2 * np.pi * phase)
    harmonics = wave + u[:, 4:5] * np.sin(4 * np.pi * phase + 6.28 * u[:, 5:6])
    harmonics += 0.5 * (1 - u[:, 4:5]) * np.sin(6 * np.pi * phase)
    wave = np.where(kind == 0, wave, np.where(kind == 1, phase % 1.0, harmonics))
    wave -= wave.mean(axis=1, keepdims=True)
    size = (0.1 + 0.5 * u[:, 3]) * np.maximum(1 - np.abs(net), 0.2) * has
    wave *= (size / np.ptp(wave, axis=1))[:, None]
    return wave, np.where(has, period, np.nan)


def draw_noise(rng: np.random.Generator, B: int, T: int) -> np.ndarray:
    """Gaussian (40 %), AR(1) (30 %, coefficient 0.2 to 0.6) or Laplace (30 %) noise (B, T).

    Each series' noise has mean 0 and standard deviation 1 as drawn, not only on average: the
    latent sigma is then that of these very numbers.
    """
    u, coefficient = rng.random(B), 0.2 + 0.4 * rng.random(B)
    noise = rng.standard_normal((B, T))
    laplace = u > 0.7
    if laplace.any():  # a normal of exponential variance is Laplace
        noise[laplace] *= np.sqrt(2 * rng.standard_exponential((int(laplace.sum()), T)))
    correlated = np.flatnonzero((u > 0.4) & ~laplace)
    if len(correlated):
        keep = coefficient[correlated]
        part = noise[correlated]
        part[:, 1:] *= np.sqrt(1 - keep**2)[:, None]
        noise[correlated] = ar1(part, keep)
    noise -= noise.mean(axis=1, keepdims=True)
    return noise / noise.std(axis=1, keepdims=True)


def ar1(shocks: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """x[t] = keep x[t-1] + shocks[t] along the last axis of (B, T), for `keep` (B,).

    By doubling: sum_j (keep L)^j is the product of 1 + (keep L)^(2^i), so log2 T passes do.
    """
    out = shocks.copy()
    power, lag = keep[:, None].copy(), 1
    while lag < out.shape[1] and np.abs(power).max(initial=0.0) > 1e-18:
        out[:, lag:] += power * out[:, :-lag].copy()
        power, lag = power**2, 2 * lag
    return out


def draw_outliers(
    rng: np.random.Generator, sigma: np.ndarray, T: int
) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """One to three single points off by 8 to 13 sigma (B,), at least 0.15: (B, T), positions."""
    B = len(sigma)
    out = np.zeros((B, T))
    places: list[tuple[int, ...]] = [()] * B
    for row in np.flatnonzero(rng.random(B) < _share(P_OUTLIERS, T)):
        # every third point is free, so that no two are neighbours
        free = rng.choice((T - 2) // 3, size=rng.integers(1, 4), replace=False)
        where = np.sort(1 + 3 * free)
        size = max(8 * sigma[row], 0.15) * (1 + 0.6 * rng.random(len(where)))
        out[row, where] = size * np.where(rng.random(len(where)) < 0.5, -1.0, 1.0)
        places[row] = tuple(int(k) for k in where)
    return out, places


def add_events(rng: np.random.Generator, values: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Add a bump and a dip so that the extrema of `values` (B, T) fall into wanted regions.

    A round bump (standard deviation 0.6 to 2.5 % of T) is centred anywhere in the wanted region of
    the maximum, regions[:, 0], and a dip in that of the minimum, regions[:, 1] (0 beginning,
    1 middle, 2 end), whatever the trend is. They are as high as needed to pass the present
    extremum and to fill the range up to 1; where the extremum is there already and the range is
    full, nothing is added.
    """
    B, T = values.shape
    rows, time = np.arange(B), np.arange(T)
    top, low = values.max(axis=1), values.min(axis=1)
    fill = np.maximum(1.0 - (top - low), 0.0)
    part = rng.random(B)
    out = values.copy()
    for column, sign in ((0, 1.0), (1, -1.0)):
        u = rng.random((B, 3))
        start = np.array([0.0, 0.25, 0.75])[regions[:, column]]
        width = np.array([0.25, 0.5, 0.25])[regions[:, column]]
        centre = np.floor((start + width * u[:, 0]) * T).astype(int)
        extreme = values.argmax(axis=1) if sign > 0 else values.argmin(axis=1)
        now = np.where(extreme < T / 4, 0, np.where(extreme > 3 * T / 4, 2, 1))
        extra = fill * (part if sign > 0 else 1 - part)
        wanted = (now != regions[:, column]) | (extra > 0.02)
        edge = top if sign > 0 else -low
        height = edge - sign * values[rows, centre] + np.maximum(extra, 0.02 + 0.08 * u[:, 1])
        spread = np.maximum((0.006 + 0.019 * u[:, 2]) * T, 0.8)
        shape = np.exp(-0.5 * ((time - centre[:, None]) / spread[:, None]) ** 2)
        out += (sign * height * wanted)[:, None] * shape
    return out
