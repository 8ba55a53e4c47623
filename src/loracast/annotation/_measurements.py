"""What arithmetic reads off the numbers of a series: places, net changes, estimates of the noise.

All but places and length are shares of the range (highest less lowest observed value). None of
these is a label: each estimate of the noise is misled by something else (a trend, a season, jumps,
correlated noise, outliers), and which to believe is for a model or a person to judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loracast.errors import DataError

__all__ = ["NOISE_ESTIMATES", "Measurements", "measure"]

MAD_TO_SIGMA = 1.4826  # of a normal distribution
LONGEST_LAG = 64  # that a season is looked for at
MOST_CORRELATED = 0.75  # coefficient of AR(1) noise
ENDS = 20  # points at either end whose means the published trend rule compares

NOISE_ESTIMATES = (
    "lag_1", "lag_2", "lag_4", "second_mad", "second_rms", "seasonal_1", "seasonal_2",
    "seasonal_4", "seasonal_ar", "band_4", "band_6", "band_8", "cubic",
)  # fmt: skip
_BANDS = {"band_4": (0.4, 0.6), "band_6": (0.6, 0.8), "band_8": (0.8, 1.0)}


@dataclass(frozen=True)
class Measurements:
    """Measured from one series of T points.

    Args:
        length: T.
        highest, lowest: position of the first highest and lowest observed value.
        net_change: median of the last fifth of the observed values less that of the first.
        ends_change: mean of the last 20 (at most half) observed values less that of the first.
        noise: estimates of the noise's standard deviation, by the names in NOISE_ESTIMATES:

            - lag_k: 1.4826 MAD / sqrt(2) of the differences at lag k;
            - second_mad, second_rms: of second differences, over sqrt(6);
            - seasonal_j: 1.4826 MAD / 2 of differences at lag j of differences at lag k, where k
              from 2 to 64 (at most T / 3; 1 under 6 points) makes seasonal_1 least: a season of
              period k and a slope are gone;
            - seasonal_ar: seasonal_1 / sqrt(1 - phi), for AR(1) noise, whose differences at lag j
              have the variance 2 sigma^2 (1 - phi^j): phi = (seasonal_2 / seasonal_1)^2 - 1, kept
              within 0 and 0.75;
            - band_k: sqrt(median / log 2) of the periodogram, residual to a cubic, from k / 10 of
              the Nyquist frequency on (white noise has an exponential periodogram);
            - cubic: root mean square residual to a cubic, the published reading.
        roughness: (T,) size of the second difference around each point over sqrt(6), gaps bridged
            by straight lines.
    """

    length: int
    highest: int
    lowest: int
    net_change: float
    ends_change: float
    noise: dict[str, float]
    roughness: np.ndarray


def measure(values: np.ndarray) -> Measurements:
    """Measure a series.

    Args:
        values: (T,) numbers, NaN where missing.

    Raises:
        DataError: not one channel, an infinity, or fewer than two different observed values.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or np.isinf(x).any():
        raise DataError(
            f"got values of shape {x.shape}{' with infinities' if np.isinf(x).any() else ''}; "
            "expected one channel (T,) of finite numbers, NaN where missing"
        )
    seen = np.isfinite(x)
    if not seen.any() or np.nanmin(x) == np.nanmax(x):
        raise DataError("got fewer than two different values; expected at least two to measure")
    share = shares_of_range(x)
    T, known = len(x), share[seen]
    filled = np.interp(np.arange(T), np.flatnonzero(seen), known)
    fifth, ends = max(len(known) // 5, 1), min(ENDS, len(known) // 2)
    first, second = np.diff(share), np.diff(share, 2)
    noise = {
        "lag_1": _mad(first) / np.sqrt(2),
        "lag_2": _mad(share[2:] - share[:-2]) / np.sqrt(2),
        "lag_4": _mad(share[4:] - share[:-4]) / np.sqrt(2),
        "second_mad": _mad(second) / np.sqrt(6),
        "second_rms": _rms(second) / np.sqrt(6),
        **_seasonal_noise(share),
        **_band_noise(filled),
        "cubic": _rms(_residual(np.linspace(-1.0, 1.0, T)[seen], known)),
    }
    return Measurements(
        length=T,
        highest=int(np.nanargmax(x)),
        lowest=int(np.nanargmin(x)),
        net_change=float(np.median(known[-fifth:]) - np.median(known[:fifth])),
        ends_change=float(known[-ends:].mean() - known[:ends].mean()),
        noise={name: float(noise[name]) for name in NOISE_ESTIMATES},
        roughness=_roughness(filled),
    )


def shares_of_range(x: np.ndarray) -> np.ndarray:
    """(T,) from 0, the lowest observed value, to 1, the highest; NaN stays NaN."""
    scaled = x / np.nanmax(np.abs(x))  # the range of finite numbers need not be finite
    low, high = np.nanmin(scaled), np.nanmax(scaled)
    return np.asarray((scaled - low) / (high - low))


def _observed(statistic: Callable[[np.ndarray], float], x: np.ndarray) -> float:
    x = x[np.isfinite(x)]
    return statistic(x) if len(x) else 0.0


def _mad(x: np.ndarray) -> float:
    return _observed(lambda v: MAD_TO_SIGMA * float(np.median(np.abs(v - np.median(v)))), x)


def _rms(x: np.ndarray) -> float:
    return _observed(lambda v: float(np.sqrt(np.mean(v**2))), x)


def _seasonal_noise(share: np.ndarray) -> dict[str, float]:
    steps = np.diff(share)
    lags = range(2, min(len(share) // 3, LONGEST_LAG) + 1)
    spreads = np.array([_mad(steps[k:] - steps[:-k]) for k in lags])
    # The first of equals, whatever rounding says.
    season = lags[int(np.argmax(spreads <= spreads.min() + 1e-9))] if len(lags) else 1
    rest = share[season:] - share[:-season]
    one, two, four = (_mad(rest[j:] - rest[:-j]) / 2 for j in (1, 2, 4))
    phi = np.clip((two / one) ** 2 - 1, 0, MOST_CORRELATED) if one > 0 else 0.0
    return {
        "seasonal_1": one,
        "seasonal_2": two,
        "seasonal_4": four,
        "seasonal_ar": one / float(np.sqrt(1 - phi)),
    }


def _residual(time: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What the best cubic leaves of y (n,) at `time` (n,)."""
    basis, _ = np.linalg.qr(np.vander(time, min(4, len(time))))
    return np.asarray(y - basis @ (basis.T @ y))


def _band_noise(filled: np.ndarray) -> dict[str, float]:
    T = len(filled)
    rest = _residual(np.linspace(-1.0, 1.0, T), filled)
    power = np.abs(np.fft.rfft(rest))[1:] ** 2 / T
    out = {}
    for name, (low, high) in _BANDS.items():
        band = power[int(low * len(power)) : max(int(high * len(power)), int(low * len(power)) + 1)]
        out[name] = _observed(lambda v: float(np.sqrt(np.median(v) / np.log(2))), band)
    return out


def _roughness(filled: np.ndarray) -> np.ndarray:
    if len(filled) < 3:
        return np.zeros(len(filled))
    inner = np.abs(np.diff(filled, 2)) / np.sqrt(6)
    return np.concatenate([inner[:1], inner, inner[-1:]])
