"""A series that is longer than the model can read, and facts on another length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import FIELDS
from loracast.errors import AnnotationError

__all__ = ["LENGTH_CHOICES", "fit_length", "stretch_facts"]

LENGTH_CHOICES = ("resample", "refuse")


def fit_length(values: np.ndarray, max_points: int, how: str = "refuse") -> np.ndarray:
    """A series of at most `max_points` points.

    Args:
        values: (T,) or (T, C).
        max_points: n, the most points the model can read beside its instruction.
        how: "refuse" raises on a longer series; "resample" keeps the n values at positions
            floor(j T / n). These are values of the series, so that noise stays as strong as it
            was; a peak between them is not seen.

    Raises:
        AnnotationError: a series that is too long, or an unknown `how`.
    """
    if how not in LENGTH_CHOICES or max_points < 1:
        raise AnnotationError(
            f"got how={how!r}, max_points={max_points}; expected one of {LENGTH_CHOICES} and at "
            "least 1 point"
        )
    length = len(values)
    if length <= max_points:
        return values
    if how == "refuse":
        raise AnnotationError(
            f"got a series of {length} points; expected at most {max_points}, which is what the "
            "model was made to read: shorten it, or ask for how='resample' (--long resample)"
        )
    return values[np.arange(max_points) * length // max_points]


def stretch_facts(facts: SeriesFacts, length: int, values: np.ndarray | None = None) -> SeriesFacts:
    """The facts of a series as facts of the same series on another number of points.

    An answer about a resampled series becomes one about the whole, and the truth about the whole
    becomes what can be said of the resampled one. Places keep their share of the length and
    extrema their region; periods and slopes change with the step. A period under two steps is
    none.

    Args:
        facts: of T points.
        length: the new T, at least 1.
        values: (new T,) numbers, from which the values of the extrema are then read.
    """
    old = facts.length
    if length < 1 or old < 1:
        raise AnnotationError(f"got {old} points to become {length}; expected at least 1")
    if length == old:
        return facts

    out = replace(facts, length=length)
    for field in FIELDS.values():
        out = field.stretch(out, old, values)
    return out
