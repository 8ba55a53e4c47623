"""What all baselines share: checked contexts without holes, and the shape of their answer.

Holes are filled by straight lines between the known values (ends by the nearest known value);
the note of every forecast says how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loracast.errors import DataError

__all__ = ["BaselineForecast", "Drawn", "Prepared", "prepare", "require_positive"]

Drawn = tuple[np.ndarray, np.ndarray, str]  # point (N, H, C), samples (N, S, H, C), a note


@dataclass(frozen=True)
class BaselineForecast:
    """What a baseline says about N series.

    Args:
        point: (N, H, C) point forecasts.
        samples: (N, S, H, C) sampled paths, or None for a method without uncertainty.
        seconds: CPU seconds of this process, fitting included.
        note: what a reader of the numbers should know, "" when there is nothing.
    """

    point: np.ndarray
    samples: np.ndarray | None
    seconds: float
    note: str


@dataclass(frozen=True)
class Prepared:
    """Checked contexts: N arrays (T_n, C) of finite numbers, and how many were filled in.

    `seasons` are the N steps of a season, None where none is known or found.
    """

    contexts: list[np.ndarray]
    n_filled: int
    seasons: tuple[int | None, ...] = ()

    @property
    def n_channels(self) -> int:
        """C, the number of channels."""
        return int(self.contexts[0].shape[1])

    def seasonal_note(self, otherwise: str) -> str:
        """The seasons in words, and what is done with the series that have none."""
        known = [m for m in self.seasons if m is not None]
        if not known:
            return otherwise
        named = ", ".join(map(str, sorted(set(known))[:3])) + (", ..." * (len(set(known)) > 3))
        if len(known) == len(self.seasons):
            return f"season {named}"
        return f"season {named} in {len(known)} of {len(self.seasons)}, else {otherwise}"

    def notes(self, *more: str) -> str:
        """The filled holes and other remarks as one line."""
        filled = f"{self.n_filled} missing values interpolated" if self.n_filled else ""
        return "; ".join(text for text in (filled, *more) if text)


def prepare(contexts: Sequence[np.ndarray], horizon: int, least: int, method: str) -> Prepared:
    """Check the contexts of a baseline and fill their holes.

    Args:
        contexts: N arrays (T_n, C), NaN where a value is missing.
        horizon: H, steps to forecast.
        least: steps the method needs.
        method: its name, for messages.

    Raises:
        DataError: no series, a context that is too short, infinite, of another number of
            channels, or without any known value in a channel; a horizon below 1.
    """
    if horizon < 1:
        raise DataError(f"got horizon {horizon}; expected at least 1")
    if not len(contexts):
        raise DataError(f"got no series; {method} needs at least one")
    n_channels = contexts[0].shape[1] if contexts[0].ndim == 2 else 0
    filled, n_filled = [], 0
    for series, context in enumerate(contexts):
        if context.ndim != 2 or context.shape[1] != n_channels or n_channels < 1:
            raise DataError(
                f"context {series} has shape {context.shape}; expected (T, C) with one C for all"
            )
        if len(context) < least:
            raise DataError(
                f"context {series} has {len(context)} steps; {method} needs at least {least}"
            )
        values = np.array(context, dtype=np.float64)
        if np.isinf(values).any():
            raise DataError(f"context {series} holds infinite values; expected finite or NaN")
        for channel in range(n_channels):
            holes = np.isnan(values[:, channel])
            if holes.all():
                raise DataError(f"context {series} has no known value in channel {channel}")
            if holes.any():
                known = np.flatnonzero(~holes)
                at = np.flatnonzero(holes)
                values[at, channel] = np.interp(at, known, values[known, channel])
                n_filled += len(at)
        filled.append(values)
    return Prepared(filled, n_filled)


def require_positive(contexts: Sequence[np.ndarray], method: str) -> None:
    """Refuse values that have no logarithm.

    Raises:
        DataError: a value that is zero or negative.
    """
    for series, context in enumerate(contexts):
        if (context <= 0).any():
            raise DataError(
                f"{method} takes logarithms; context {series} holds {context.min():g}, "
                "expected positive values only"
            )
