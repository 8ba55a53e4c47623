"""Rules that describe a series from its numbers alone: what a trained annotator has to beat.

`published_rules` are those of the published annotation task, faults included: they call most of
white noise a trend, and a clean step noisy. `robust_rules` are the field's standard methods, with
the bounds that the described series of `loracast.series` are labelled by.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np

from loracast.annotation._facts import Extremum, SeriesFacts, region_of
from loracast.annotation._field_extrema import extrema_of
from loracast.annotation._label_bounds import noise_label, trend_label
from loracast.annotation._measurements import MAD_TO_SIGMA
from loracast.annotation._rule_season import find_season
from loracast.errors import ConfigError, DataError

__all__ = ["published_rules", "robust_rules"]

# The published task: two-digit values by floor(99.9999 share), means of 20 points at either end
# that differ by more than 3, root mean square residual to a cubic under 2 and over 12.
PUBLISHED_TOP = 99.9999
PUBLISHED_ENDS = 20
PUBLISHED_STEP = 3.0
PUBLISHED_NOISE = (2.0, 12.0)

SIGNIFICANCE = 0.05
LEAST_STEP = 0.1  # of the range
OUTLIER_SIGMAS = 6.5
NET_ERRORS = 3.0
LEAST_SIGMA = 0.003  # of the range: that of rounding to two digits
LEAST_OUTLIER = 0.08  # of the range


def published_rules(values: np.ndarray) -> SeriesFacts:
    """Trend, noise and extrema by the rules of the published task.

    Args:
        values: (T,) numbers, NaN where missing. The ends are the first and last 20 observed
            points, or half of them each where there are fewer than 40; the cubic is fitted to the
            observed points.

    Returns:
        Facts with trend, noise, sigma (root mean square residual to the cubic over the range) and
        extrema. A series of equal values is flat, low, with both extrema at its first point.

    Raises:
        DataError: not one channel, infinite values, or fewer than two observed points.
    """
    x, seen, share, spread = _checked(values)
    if spread == 0.0:
        return _constant(x, seen)
    T, bins = len(x), np.floor(share * PUBLISHED_TOP)
    shown = bins[seen]
    ends = min(PUBLISHED_ENDS, len(shown) // 2)
    step = float(shown[-ends:].mean() - shown[:ends].mean())
    time = np.linspace(-1.0, 1.0, T)[seen]
    cubic = np.polynomial.polynomial.polyfit(time, shown, min(3, len(shown) - 1))
    residual = shown - np.polynomial.polynomial.polyval(time, cubic)
    rms = float(np.sqrt(np.mean(residual**2)))
    trend = "increasing" if step > PUBLISHED_STEP else "decreasing"
    return SeriesFacts(
        length=T,
        trend=trend if abs(step) > PUBLISHED_STEP else "flat",
        noise=noise_label(rms, PUBLISHED_NOISE),
        sigma=rms / PUBLISHED_TOP,
        extrema=extrema_of(x),
    )


def robust_rules(values: np.ndarray) -> SeriesFacts:
    """Trend, noise, extrema, season, breaks and outliers by standard methods.

    - season: of the three highest periodogram peaks after a running median is removed, the period
      after which the series is most like itself (Vlachos et al. 2005), kept if STL's strength
      1 - var(rest) / var(season + rest) reaches 0.3 (Hyndman and Athanasopoulos, Forecasting,
      section 4.3);
    - trend: median of the last fifth less that of the first fifth of the series without its
      season, at least 0.2 of the range in size, where Mann-Kendall with the variance correction
      of Hamed and Rao (1998) finds a trend at 5 %, or the net change is over three standard
      errors (an up-then-down series has a net change that Mann-Kendall does not see); else flat;
    - slope: Sen's;
    - noise: 1.4826 MAD / sqrt(2) of the differences of the series without its season, over the
      range, against 0.02 and 0.06;
    - change points: PELT (Killick et al. 2012) for shifts of the mean, every position tried,
      penalty 3 sigma^2 log T, kept where the level steps by at least 0.1 of the range and 3 sigma
      from one point to the next;
    - outliers: peaks and dips one point wide with a prominence, among their four neighbours on
      either side, of at least 6.5 sigma and 0.08 of the range;
    - extrema: first highest and lowest observed value.

    Args:
        values: (T,) numbers, NaN where missing; gaps are filled by straight lines for STL, PELT
            and the peaks.

    Returns:
        Facts without segments. A series of equal values is flat, low, with both extrema at its
        first point.

    Raises:
        DataError: not one channel, infinite values, or fewer than two observed points.
        ConfigError: pymannkendall, ruptures or statsmodels is not installed.
    """
    mann_kendall = _need("pymannkendall")
    ruptures = _need("ruptures")
    stl = _need("statsmodels.tsa.seasonal").STL
    x, seen, share, spread = _checked(values)
    if spread == 0.0:
        return _constant(x, seen)
    T = len(x)
    filled = np.interp(np.arange(T), np.flatnonzero(seen), share[seen])
    season, period, strength = find_season(filled, stl)
    rest = filled - season
    sigma = _sigma_of_differences(np.where(seen, rest, np.nan))
    slope, significant = _slope(rest[seen], np.flatnonzero(seen), mann_kendall)
    net, error = _net_change(rest[seen], sigma)
    found = significant or abs(net) > NET_ERRORS * error
    return SeriesFacts(
        length=T,
        trend=trend_label(net) if found else "flat",
        slope=slope * spread,
        noise=noise_label(sigma),
        sigma=sigma,
        extrema=extrema_of(x),
        period=period,
        strength=strength,
        change_points=_change_points(rest, sigma, ruptures),
        outliers=_outliers(rest, sigma, seen),
    )


def _checked(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(T,) float64, which points are observed, values as shares 0..1 of the range, the range."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise DataError(f"got values of shape {x.shape}; expected one channel, shape (T,)")
    if np.isinf(x).any():
        raise DataError(
            f"got an infinite value at point {int(np.isinf(x).argmax())}; expected finite values, "
            "or NaN where a point is missing"
        )
    seen = ~np.isnan(x)
    if seen.sum() < 2:
        raise DataError(
            f"got {int(seen.sum())} observed of {len(x)} points; expected at least 2 to describe"
        )
    # By the largest value first: the range of finite numbers need not be finite.
    largest = float(np.abs(x[seen]).max()) or 1.0
    scaled = x / largest
    low, high = float(scaled[seen].min()), float(scaled[seen].max())
    share = (scaled - low) / ((high - low) or 1.0)
    return x, seen, share, min((high - low) * largest, float(np.finfo(np.float64).max))


def _need(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as problem:
        name = module.split(".")[0]
        raise ConfigError(
            f"robust_rules needs {name}, which is not installed; pip install 'loracast[annotate]'"
        ) from problem


def _constant(x: np.ndarray, seen: np.ndarray) -> SeriesFacts:
    T, k = len(x), int(seen.argmax())
    extrema = tuple(Extremum(kind, k, float(x[k]), region_of(k, T)) for kind in ("max", "min"))
    return SeriesFacts(
        length=T, trend="flat", slope=0.0, noise="low", sigma=0.0, extrema=extrema, strength=0.0
    )


def _sigma_of_differences(x: np.ndarray) -> float:
    """Standard deviation of white noise from neighbouring observed points."""
    step = np.diff(x)
    step = step[~np.isnan(step)]
    if not len(step):
        return 0.0
    return float(MAD_TO_SIGMA * np.median(np.abs(step - np.median(step))) / np.sqrt(2))


def _slope(x: np.ndarray, steps: np.ndarray, mann_kendall: Any) -> tuple[float, bool]:
    """Sen's slope a step, and whether Mann-Kendall finds a trend, of values at `steps`."""
    if len(x) < 4 or np.ptp(x) == 0.0:
        return float(x[-1] - x[0]) / float(steps[-1] - steps[0]), True
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = mann_kendall.hamed_rao_modification_test(x, alpha=SIGNIFICANCE)
    slope = found.slope
    if steps[-1] - steps[0] >= len(steps):  # pymannkendall closes the gaps
        from scipy.stats import theilslopes

        slope = theilslopes(x, steps).slope
    return float(slope), found.trend != "no trend"


def _net_change(x: np.ndarray, sigma: float) -> tuple[float, float]:
    """Median of the last fifth less that of the first, and its standard error for white noise."""
    n = max(len(x) // 5, 1)
    # A median's variance is pi / 2 that of a mean.
    error = sigma * np.sqrt(np.pi / 2 * 2 / n)
    return float(np.median(x[-n:]) - np.median(x[:n])), float(error)


def _change_points(x: np.ndarray, sigma: float, ruptures: Any) -> tuple[int, ...]:
    T = len(x)
    if T < 8:
        return ()
    noise = max(sigma, LEAST_SIGMA)
    model = ruptures.KernelCPD(kernel="linear", min_size=2, jump=1).fit(x[:, None])
    places = model.predict(pen=3 * noise**2 * np.log(T))[:-1]
    side, least = max(3, T // 10), max(LEAST_STEP, 3 * noise)
    out = []
    for k in places:
        step = np.median(x[k : k + side]) - np.median(x[max(0, k - side) : k])
        # A slope or a bump moves the level as well, but not from one point to the next.
        sharp = np.median(x[k : k + 3]) - np.median(x[max(0, k - 3) : k])
        once = x[k] - x[k - 1]
        if min(np.sign(step) * np.array([step, sharp / 0.7, once / 0.7])) >= least:
            out.append(int(k))
    return tuple(out)


def _outliers(x: np.ndarray, sigma: float, seen: np.ndarray) -> tuple[int, ...]:
    if len(x) < 5:
        return ()
    from scipy.signal import find_peaks

    least = max(LEAST_OUTLIER, OUTLIER_SIGMAS * sigma)
    found: set[int] = set()
    for side in (x, -x):
        places, _ = find_peaks(side, plateau_size=(1, 1), prominence=least, wlen=9, width=(0, 1.4))
        found.update(int(k) for k in places if seen[k])
    return tuple(sorted(found))
