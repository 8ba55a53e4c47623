"""What comes in to be described: frames, panels and arrays, each series checked in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from loracast.annotation._length import fit_length
from loracast.errors import AnnotationError, DataError
from loracast.series import Panel, Skipped, as_panel, left_out

__all__ = ["OneSeries", "describable", "described_series", "note_of", "series_of"]

# Fewest points that a model is asked to judge, of one that learned from no shorter ones. Below,
# the shipped annotator is surer than right by 0.13 to 0.42 and calls some straight lines flat; at
# 16 to 31 points it is better than any rule (measured, docs/annotation.md).
LEAST_JUDGED = 16
MOST_MISSING = 0.1  # share of the points that the generator leaves out at most


@dataclass(frozen=True)
class OneSeries:
    """One series in the caller's index.

    Args:
        id: its name.
        values: (T,) float64, NaN where missing.
        index: (T,) its times; None counts positions.
    """

    id: str
    values: np.ndarray
    index: np.ndarray | None


def series_of(frame: Any) -> list[OneSeries]:
    """The series of a frame, a panel, an array (T,) or a list of arrays.

    Raises:
        DataError: none at all, several channels, or one that cannot be described: fewer than two
            points, nothing known, all values equal, an infinity.
    """
    if isinstance(frame, np.ndarray) and frame.ndim == 1:
        frame = [frame]
    if isinstance(frame, list | tuple):
        series = [_of_array(i, values) for i, values in enumerate(frame)]
    else:
        panel: Panel = as_panel(frame)
        if panel.n_channels != 1:
            raise DataError(
                f"got the channels {', '.join(panel.channels)}; an annotation describes one: "
                "choose it (target_cols, --target-cols)"
            )
        series = [
            OneSeries(str(name), np.asarray(values[:, 0], dtype=np.float64), times)
            for name, values, times in zip(panel.ids, panel.values, panel.times, strict=True)
        ]
    if not series:
        raise DataError("got no series; expected at least one")
    for one in series:
        _check(one.id, one.values, "")
    return series


def describable(
    frame: Any, max_points: int, how: str, strict: bool
) -> tuple[list[OneSeries], list[np.ndarray], tuple[Skipped, ...]]:
    """The series that can be described, as they are and as they are shown, and the others.

    Args:
        frame: as in `series_of`.
        max_points: the longest series to show.
        how: "refuse" a longer one, or "resample" it.
        strict: stop at the first series that cannot be described.

    Returns:
        M series, M arrays (T,) to show, and N - M that are left out, with their reasons.

    Raises:
        DataError, AnnotationError: none can be described, or, where `strict`, one cannot; or
            several channels.
    """
    if isinstance(frame, np.ndarray) and frame.ndim == 1:
        frame = [frame]
    several = isinstance(frame, list | tuple)
    panel = None if several else as_panel(frame, strict=strict)
    skipped = [] if panel is None else list(left_out(panel))
    series, shown, first = [], [], None
    for i in range(len(frame) if panel is None else len(panel)):
        try:
            if panel is None:
                one = _of_array(i, frame[i])
                _check(one.id, one.values, "")
            else:
                (one,) = series_of(panel.select([i]))
            values = described_series(one, max_points, how)
        except (DataError, AnnotationError) as problem:
            if strict or (panel is not None and panel.n_channels != 1):
                raise
            first = first or problem
            skipped.append(Skipped(str(i) if panel is None else panel.ids[i], str(problem)))
        else:
            series.append(one)
            shown.append(values)
    if first is not None and not series:
        raise first
    if not series:
        series_of(frame)  # says that there is none
    return series, shown, tuple(skipped)


def _of_array(number: int, values: Any) -> OneSeries:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"series '{number}': got no numbers ({error})") from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"series '{number}': got values of shape {array.shape}; expected one channel, (T,)"
        )
    return OneSeries(str(number), array, None)


def _check(name: str, values: np.ndarray, what: str) -> None:
    if np.isinf(values).any():
        raise DataError(
            f"series {name!r}: got an infinite value at point {int(np.isinf(values).argmax())}; "
            "expected finite numbers, or NaN where missing"
        )
    known = values[np.isfinite(values)]
    if len(values) < 2 or len(known) < 2:
        raise DataError(
            f"series {name!r}: got {len(known)} known of {len(values)} points{what}; a "
            "description needs at least 2: leave the series out"
        )
    if known.min() == known.max():
        raise DataError(
            f"series {name!r}: got the value {known[0]:g} at all its known points{what}; a "
            "description needs at least 2 different values: leave the series out"
        )


def described_series(series: OneSeries, max_points: int, how: str) -> np.ndarray:
    """The values (T,) as the model is shown them.

    Raises:
        AnnotationError: longer than `max_points` under how="refuse".
        DataError: resampled to something that cannot be described.
    """
    try:
        short = fit_length(series.values, max_points, how)
    except AnnotationError as error:
        raise AnnotationError(f"series {series.id!r}: {error}") from error
    if len(short) < len(series.values):
        _check(series.id, short, f" left after resampling to {len(short)}")
    return short


def note_of(values: np.ndarray, least: int) -> str | None:
    """The note that a series (T,) gets for its length: "too_short", "short_series" or none.

    Args:
        values: NaN where missing.
        least: the shortest series the annotator learned from, of which a tenth could be missing.
    """
    known = int(np.isfinite(values).sum())

    def below(points: int) -> bool:
        return len(values) < points or known < points * (1 - MOST_MISSING)

    if below(min(LEAST_JUDGED, least)):
        return "too_short"
    return "short_series" if below(least) else None
