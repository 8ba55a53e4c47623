"""What the model writes: one line of JSON, few tokens, keys in a fixed order.

    {"trend":"increasing","noise":"low","max":["end",0.930],"min":["beginning",0.031],
     "seasonality":12,"change_points":[0.48],"segments":["increasing","flat"],"outliers":[0.125]}

A place is written as a share of the length T and means the index floor(share * T), so every share
below 1 lies inside the series and nothing has to be cut. Extrema and outliers have three digits
(exact up to 1,000 points), change points two. The region of an extremum stands before its place and
the grammar allows only places inside it. The period is in whole steps, null for none. Change points
ascend; segments are the trend labels of the stretches between them.

Annotators write the region of an extremum alone, `"max":["end"]`; the embedded base learned places
beside it. Either is forced on the model: where the extrema of a series lie is arithmetic
(`extrema_of`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

from loracast.annotation._facts import (
    EXTREMUM_REGIONS,
    NOISE_LEVELS,
    TREND_LABELS,
    SeriesFacts,
    region_of,
)
from loracast.annotation._schema import ANNOTATION_FIELDS, UNKNOWN_INDEX
from loracast.errors import AnnotationError

__all__ = [
    "LABEL_FIELDS",
    "MAX_POINTS",
    "SERIES_FIELDS",
    "answer_text",
    "place_codes",
    "value_spans",
]

LABEL_FIELDS = ("trend", "noise", "max", "min")
SERIES_FIELDS = ANNOTATION_FIELDS[:-1]  # of one channel; two have a correlation as well
MAX_POINTS = 3  # change points, and outliers, that an answer can hold: the first ones
DIGITS = {"max": 3, "min": 3, "outliers": 3, "change_points": 2}


@lru_cache(maxsize=256)
def place_codes(length: int, digits: int, first: int = 0) -> tuple[int, ...]:
    """The whole numbers k in ascending order for which k / 10^digits is a place's canonical share.

    floor(k * T / 10^digits) is a different index, `first` or later, for each; up to 10^digits
    points every index has one.
    """
    base = 10**digits
    codes: dict[int, int] = {}
    for code in range(base):
        codes.setdefault(code * length // base, code)
    return tuple(code for index, code in codes.items() if index >= first)


def _code(index: int, length: int, digits: int, region: str | None = None, first: int = 0) -> int:
    """The canonical code whose index is nearest to `index`, and in the same region.

    One of the two neighbours is in it: a region is wider than the step between codes.
    """
    base = 10**digits
    above = -(-base * index // length)  # the first code at `index` or later
    below = -(-base * ((above - 1) * length // base) // length)
    fitting = [
        code
        for code in (below, above)
        if 0 <= code < base
        and code * length // base >= first
        and region in (None, region_of(code * length // base, length))
    ]
    return min(fitting, key=lambda code: abs(code * length // base - index))


def answer_text(
    facts: SeriesFacts, fields: Sequence[str] | None = None, *, places: bool = True
) -> str:
    """The canonical answer that says what the facts say.

    Args:
        facts: of a series of T >= 1 points.
        fields: which fields to write, in any order; None writes all that the facts know
            (`correlation` and `segments` only where given).
        places: also where in its region an extremum lies.

    Raises:
        AnnotationError: a field the facts say nothing about, a place outside the series, a label
            outside its vocabulary, a region its place contradicts, a period over T.
    """
    if facts.length < 1:
        raise AnnotationError(f"got a series of {facts.length} points; expected at least 1")
    written = {name: _value(facts, name, places) for name in _chosen(facts, fields)}
    return "{" + ",".join(f'"{name}":{text}' for name, text in written.items()) + "}"


def value_spans(text: str) -> dict[str, tuple[int, int]]:
    """Field -> (start, stop) of what the grammar leaves open in an answer.

    A label without its quotes and brackets, and without its place. Elsewhere the whole value with
    the characters beside it, `":` and the comma: one token may hold them and the first bracket,
    and another the end of a number, so that choosing them is choosing the value.

    Args:
        text: an answer as `answer_text` writes it.
    """
    keys = {name: f'"{name}":' for name in ANNOTATION_FIELDS}
    starts = sorted((text.index(key), name) for name, key in keys.items() if key in text)
    stops = [at - 1 for at, _ in starts[1:]] + [len(text) - 1]
    spans: dict[str, tuple[int, int]] = {}
    for (at, name), stop in zip(starts, stops, strict=True):
        start = at + len(keys[name])
        if name in LABEL_FIELDS:
            start = text.index('"', start) + 1
            stop = text.index('"', start)
            spans[name] = (start, stop)
        else:
            spans[name] = (start - 2, stop + 1)
    return spans


def _chosen(facts: SeriesFacts, fields: Sequence[str] | None) -> list[str]:
    if fields is None:
        kinds = {e.kind for e in facts.extrema}
        missing = {"max", "min"} - kinds
        missing |= {n for n in ("trend", "noise", "correlation") if getattr(facts, n) is None}
        if not facts.segments:
            missing.add("segments")
        return [name for name in ANNOTATION_FIELDS if name not in missing]
    return check_fields(fields)


def check_fields(fields: Sequence[str]) -> list[str]:
    """The fields in canonical order.

    Raises:
        AnnotationError: an unknown name, none at all, or segments without change points.
    """
    unknown = [name for name in fields if name not in ANNOTATION_FIELDS]
    if unknown or not fields:
        raise AnnotationError(
            f"got the fields {unknown or list(fields)}; expected some of {list(ANNOTATION_FIELDS)}"
        )
    if "segments" in fields and "change_points" not in fields:
        raise AnnotationError("got the field segments without change_points; ask for both")
    return [name for name in ANNOTATION_FIELDS if name in fields]


def _value(facts: SeriesFacts, name: str, places: bool) -> str:
    if name == "trend":
        return label_text(facts.trend, TREND_LABELS, name)
    if name == "noise":
        return label_text(facts.noise, NOISE_LEVELS, name)
    if name in ("max", "min"):
        return extremum_text(facts, name, places)
    if name == "seasonality":
        return _period_text(facts)
    if name == "correlation":
        if facts.correlation is None or not abs(facts.correlation) <= 1:
            raise AnnotationError(f"got correlation {facts.correlation}; expected -1 to 1")
        return f"{facts.correlation + 0.0:.2f}".replace("-0.00", "0.00")
    if name == "segments":
        return json.dumps(_segment_labels(facts), separators=(",", ":"))
    digits = DIGITS[name]
    first = int(name == "change_points")
    indices = facts.change_points if name == "change_points" else facts.outliers
    return f"[{','.join(_shares(indices, facts.length, digits, first))}]"


def _shares(indices: Sequence[int], length: int, digits: int, first: int = 0) -> list[str]:
    for index in indices:
        require_inside(index, length, first)
    codes = {_code(i, length, digits, first=first) for i in sorted(indices)[:MAX_POINTS]}
    return [_share(code, digits) for code in sorted(codes)]


def _share(code: int, digits: int) -> str:
    return f"0.{code:0{digits}d}"


def require_inside(index: int, length: int, first: int = 0) -> None:
    if not first <= index < length:
        raise AnnotationError(
            f"got index {index} in a series of {length} points; expected {first} to {length - 1}"
        )


def label_text(label: Any, known: Sequence[str], name: str) -> str:
    if label not in known:
        raise AnnotationError(f"{name}: got {label!r:.60}; expected one of {', '.join(known)}")
    return f'"{label}"'


def extremum_text(facts: SeriesFacts, kind: str, places: bool) -> str:
    found = [e for e in facts.extrema if e.kind == kind]
    if len(found) != 1:
        raise AnnotationError(f"got {len(found)} extrema of kind {kind!r}; expected 1")
    region = label_text(found[0].region, EXTREMUM_REGIONS, kind)
    if not places:
        return f"[{region}]"
    index = found[0].index
    if index == UNKNOWN_INDEX:
        raise AnnotationError(f"{kind}: got a region without a place; write it with places=False")
    require_inside(index, facts.length)
    if region_of(index, facts.length) != found[0].region:
        raise AnnotationError(
            f"{kind}: got index {index} of {facts.length} called {region}; that index lies in the "
            f"{region_of(index, facts.length)}"
        )
    return f"[{region},{_share(_code(index, facts.length, 3, found[0].region), 3)}]"


def _period_text(facts: SeriesFacts) -> str:
    if facts.period is None:
        return "null"
    steps = round(facts.period)
    if not 2 <= steps <= facts.length:
        raise AnnotationError(
            f"got a period of {facts.period} steps in a series of {facts.length}; expected 2 to "
            f"{facts.length}, or None"
        )
    return str(steps)


def _bounds(facts: SeriesFacts) -> list[tuple[int, int]]:
    """The stretches [start, end) between the change points as an answer writes them."""
    base = 10 ** DIGITS["change_points"]
    shares = _shares(facts.change_points, facts.length, DIGITS["change_points"], 1)
    cuts = [0, *(int(Decimal(s) * base) * facts.length // base for s in shares), facts.length]
    return list(pairwise(cuts))


def _segment_labels(facts: SeriesFacts) -> list[str]:
    """The label of each stretch: that of the segment which covers most of it."""
    if not facts.segments:
        raise AnnotationError("got no trend segments to write; leave the field segments out")
    out = []
    for start, end in _bounds(facts):
        cover = dict.fromkeys(TREND_LABELS, 0)
        for s in facts.segments:
            label_text(s.label, TREND_LABELS, "segments")
            cover[s.label] += max(0, min(end, s.end + 1) - max(start, s.start))
        out.append(max(cover, key=lambda label: cover[label]))
    return out
