"""Reading what a model wrote: one answer becomes facts, or one line that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from loracast.annotation._answer import MAX_POINTS, check_fields, label_text
from loracast.annotation._facts import (
    EXTREMUM_REGIONS,
    NOISE_LEVELS,
    TREND_LABELS,
    Extremum,
    SeriesFacts,
    TrendSegment,
    region_of,
)
from loracast.annotation._schema import UNKNOWN_INDEX
from loracast.errors import AnnotationError

__all__ = ["extrema_of", "parse_answer", "placed", "with_values"]


def parse_answer(text: str, length: int, values: np.ndarray | None = None) -> SeriesFacts:
    """The facts that an answer states; spaces and the order of keys are free.

    Args:
        text: the model's answer.
        length: T of the described series, at least 1.
        values: (T,) its numbers; given, the extrema carry the value at their index (else NaN).

    Returns:
        Facts with slopes NaN, and with `UNKNOWN_INDEX` where only a region was written.

    Raises:
        AnnotationError: anything that is not a legal answer: no JSON, a key twice, missing or
            unknown, a label outside its vocabulary, a place outside the series or its region.
    """
    if length < 1:
        raise AnnotationError(f"got a series of {length} points; expected at least 1")
    try:
        data = json.loads(text, parse_float=Decimal, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError, ArithmeticError) as error:  # numbers beyond any bound
        raise AnnotationError(f"got no JSON in the answer {text!r:.80} ({error})") from error
    if not isinstance(data, dict):
        raise AnnotationError(f"got the answer {text!r:.80}; expected a JSON object")
    check_fields(list(data))
    changes = _indices(data, "change_points", length)
    facts = SeriesFacts(
        length=length,
        trend=_read_label(data, "trend", TREND_LABELS),
        noise=_read_label(data, "noise", NOISE_LEVELS),
        extrema=tuple(_read_extremum(data[k], k, length) for k in ("max", "min") if k in data),
        period=_read_period(data.get("seasonality"), length),
        change_points=changes,
        segments=_read_segments(data, changes, length),
        outliers=_indices(data, "outliers", length),
        correlation=_read_correlation(data),
    )
    return facts if values is None else with_values(facts, values)


def with_values(facts: SeriesFacts, values: np.ndarray) -> SeriesFacts:
    """The facts with each extremum's value read from the series at its index.

    Args:
        facts: of a series of T points.
        values: (T,) its numbers; a missing one gives NaN.

    Raises:
        AnnotationError: another number of values.
    """
    if np.shape(values) != (facts.length,):
        raise AnnotationError(f"got values of shape {np.shape(values)}; expected ({facts.length},)")
    extrema = tuple(
        e if e.index == UNKNOWN_INDEX else replace(e, value=float(values[e.index]))
        for e in facts.extrema
    )
    return replace(facts, extrema=extrema)


def extrema_of(values: np.ndarray) -> tuple[Extremum, Extremum]:
    """The global maximum and minimum of a series: its first highest and first lowest known point.

    Args:
        values: (T,) numbers, NaN where missing, at least one of them known.
    """
    x = np.asarray(values, dtype=np.float64)
    highest, lowest = int(np.nanargmax(x)), int(np.nanargmin(x))
    return (
        Extremum("max", highest, float(x[highest]), region_of(highest, len(x))),
        Extremum("min", lowest, float(x[lowest]), region_of(lowest, len(x))),
    )


def placed(facts: SeriesFacts, values: np.ndarray) -> SeriesFacts:
    """The facts with each extremum at its region's own extremum, whatever place they had.

    The first highest (lowest) observed point there: that is the place which the words mean, and
    it takes arithmetic, no judgement.

    Args:
        facts: of a series of T points.
        values: (T,) its numbers, NaN where missing.

    Raises:
        AnnotationError: a region without an observed point.
    """
    x = np.asarray(values, dtype=np.float64)
    regions = np.array([region_of(k, len(x)) for k in range(len(x))])

    def place(e: Extremum) -> Extremum:
        inside = np.flatnonzero((regions == e.region) & ~np.isnan(x))
        if not len(inside):
            raise AnnotationError(
                f"{e.kind}: got {e.region!r} of a series of {len(x)} points, which has no known "
                "point there"
            )
        best = np.argmax if e.kind == "max" else np.argmin
        index = int(inside[best(x[inside])])
        return replace(e, index=index, value=float(x[index]))

    return replace(facts, extrema=tuple(place(e) for e in facts.extrema))


def _no_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise AnnotationError(f"got the key {key!r} twice in an answer")
        out[key] = value
    return out


def _read_label(data: dict[str, Any], name: str, known: Sequence[str]) -> str | None:
    if name not in data:
        return None
    label_text(data[name], known, name)
    return str(data[name])


def _read_place(value: Any, length: int, name: str) -> int:
    number = Decimal(value) if type(value) is int else value
    if not isinstance(number, Decimal) or not 0 <= number < 1:
        raise AnnotationError(
            f"{name}: got {str(value)[:60]!r} for a place; expected a share of the length from 0 "
            "to below 1"
        )
    return int(number * length)


def _read_extremum(value: Any, kind: str, length: int) -> Extremum:
    if not isinstance(value, list) or len(value) not in (1, 2):
        raise AnnotationError(f'{kind}: got {value!r:.60}; expected ["region", share]')
    region = str(_read_label({kind: value[0]}, kind, EXTREMUM_REGIONS))
    if len(value) == 1:
        return Extremum(kind, UNKNOWN_INDEX, float("nan"), region)
    index = _read_place(value[1], length, kind)
    if region_of(index, length) != region:
        raise AnnotationError(
            f"{kind}: got {region!r} and the share {value[1]}, which is index {index} of {length} "
            f"and lies in the {region_of(index, length)}"
        )
    return Extremum(kind, index, float("nan"), region)


def _read_period(value: Any, length: int) -> float | None:
    if value is None:
        return None
    if type(value) is not int or not 2 <= value <= length:
        raise AnnotationError(
            f"seasonality: got {str(value)[:60]!r}; expected null or a period of 2 to {length} "
            "whole steps"
        )
    return float(value)


def _indices(data: dict[str, Any], name: str, length: int) -> tuple[int, ...]:
    value = data.get(name, [])
    if not isinstance(value, list) or len(value) > MAX_POINTS:
        raise AnnotationError(f"{name}: got {value!r:.60}; expected at most {MAX_POINTS} places")
    indices = [_read_place(v, length, name) for v in value]
    if name == "change_points":
        if any(b <= a for a, b in pairwise([0, *indices])):
            raise AnnotationError(f"{name}: got {indices}; expected ascending indices from 1 on")
        return tuple(indices)
    return tuple(sorted(set(indices)))


def _read_segments(
    data: dict[str, Any], changes: Sequence[int], length: int
) -> tuple[TrendSegment, ...]:
    if "segments" not in data:
        return ()
    labels = data["segments"]
    if not isinstance(labels, list) or len(labels) != len(changes) + 1:
        raise AnnotationError(
            f"segments: got {labels!r:.60}; expected {len(changes) + 1} labels, one more than "
            "change points"
        )
    for label in labels:
        label_text(label, TREND_LABELS, "segments")
    cuts = [0, *changes, length]
    return tuple(
        TrendSegment(start, end - 1, label, float("nan"))
        for (start, end), label in zip(pairwise(cuts), labels, strict=True)
    )


def _read_correlation(data: dict[str, Any]) -> float | None:
    if "correlation" not in data:
        return None
    value = data["correlation"]
    if type(value) not in (int, Decimal) or not abs(value) <= 1:
        raise AnnotationError(f"correlation: got {str(value)[:60]!r}; expected -1 to 1")
    return float(value)
