"""Find a season of unknown period and separate it by STL, whatever the trend does."""

from __future__ import annotations

from typing import Any

import numpy as np

from loracast.annotation._measurements import MAD_TO_SIGMA

__all__ = ["find_season"]

LEAST_CYCLES = 3
LEAST_STRENGTH = 0.3  # assumption
LEAST_PERIOD = 4
N_CANDIDATES = 3
LEAST_ALIKE, LEAST_CONTRAST = 0.2, 0.4  # of autocorrelations, measured on described series


def find_season(x: np.ndarray, stl: Any) -> tuple[np.ndarray, float | None, float]:
    """The season of a series without gaps, if it has one.

    Args:
        x: (T,) finite values.
        stl: the STL class of statsmodels.

    Returns:
        season (T,), zeros for none; its period in steps or None; STL's strength
        1 - var(rest) / var(season + rest), 0..1, 0 where no period was tried (Hyndman and
        Athanasopoulos, Forecasting, section 4.3).
    """
    T, none = len(x), (np.zeros(len(x)), None, 0.0)
    period = _period(x)
    if period is None:
        return none
    # STL wants whole periods: the series is read off at `whole` points a period, and its season,
    # the same in every cycle (a long seasonal window), is read back.
    steps, whole = np.arange(T), max(round(period), 2)
    grid = np.arange(0, T - 1 + 1e-9, period / whole)
    if len(grid) < 2 * whole:
        return none
    fit = stl(
        np.interp(grid, steps, x), period=whole, seasonal=10 * len(grid) + 1, robust=True
    ).fit(inner_iter=1, outer_iter=3)
    both = np.var(fit.seasonal + fit.resid)
    strength = float(np.clip(1 - np.var(fit.resid) / both, 0.0, 1.0)) if both > 0 else 0.0
    if strength < LEAST_STRENGTH:
        return np.zeros(T), None, strength
    return np.interp(steps, grid, fit.seasonal), period, strength


def _period(x: np.ndarray) -> float | None:
    """Of the highest periodogram peaks, the one whose cycles resemble each other most.

    Candidates from the periodogram, checked on the autocorrelation (Vlachos, Yu and Castelli
    2005): one period apart the series has to be alike, half a period apart much less so, two
    periods apart still a little.
    """
    from scipy.ndimage import median_filter, uniform_filter1d
    from scipy.optimize import minimize_scalar
    from scipy.signal import find_peaks

    T = len(x)
    longest = T // LEAST_CYCLES
    if longest < LEAST_PERIOD:
        return None
    # A trend, a step or a bump would fill the low frequencies.
    window = 2 * (longest // 2) + 1
    rough = x - uniform_filter1d(median_filter(x, window, mode="nearest"), window, mode="nearest")
    bound = 3 * MAD_TO_SIGMA * np.median(np.abs(rough - np.median(rough)))
    rough = np.clip(rough - np.median(rough), -bound, bound)
    rough -= rough.mean()
    energy = float(rough @ rough)
    if energy <= 0:
        return None
    power = np.abs(np.fft.rfft(rough * np.hanning(T))) ** 2
    correlation = np.fft.irfft(np.abs(np.fft.rfft(rough, 2 * T)) ** 2)[:T] / energy
    correlation *= T / np.arange(T, 0, -1)
    peaks, _ = find_peaks(power)
    peaks = peaks[(peaks >= LEAST_CYCLES - 1) & (peaks <= T // LEAST_PERIOD)]
    steps, best, found = np.arange(T), LEAST_CONTRAST, None
    for peak in peaks[np.argsort(power[peaks])[::-1][:N_CANDIDATES]]:
        fine = minimize_scalar(
            lambda f: -abs(np.sum(rough * np.exp(-2j * np.pi * f * steps))),
            bounds=((peak - 0.7) / T, (peak + 0.7) / T),
            method="bounded",
        )
        period = float(1 / fine.x)
        one, half, two = np.interp([period, period / 2, 2 * period], steps, correlation)
        repeats = period <= 1.05 * T / LEAST_CYCLES and min(one, 2 * two) > LEAST_ALIKE
        if repeats and one - half > best:
            best, found = one - half, period
    return found
