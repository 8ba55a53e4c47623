"""What the model writes, and its grammar and reader: one line of JSON, keys in a fixed order.

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

The grammar is one regular expression, plain enough for llguidance and for `re`. Every text that it
allows is a legal answer: labels from their vocabularies, places inside the series, one segment more
than change points. The reader also takes other spaces and orders of keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._field_extrema import with_values
from loracast.annotation._fields import FIELDS, LABELLED, SERIES_FIELDS, check_fields
from loracast.errors import AnnotationError

__all__ = ["answer_regex", "answer_text", "parse_answer", "value_spans"]


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
    if fields is None:
        chosen = [name for name, field in FIELDS.items() if field.known(facts) is not False]
    else:
        chosen = check_fields(fields)
    return "{" + ",".join(f'"{n}":{FIELDS[n].write(facts, places)}' for n in chosen) + "}"


def value_spans(text: str) -> dict[str, tuple[int, int]]:
    """Field -> (start, stop) of what the grammar leaves open in an answer.

    A label without its quotes and brackets, and without its place. Elsewhere the whole value with
    the characters beside it, `":` and the comma: one token may hold them and the first bracket,
    and another the end of a number, so that choosing them is choosing the value.

    Args:
        text: an answer as `answer_text` writes it.
    """
    keys = {name: f'"{name}":' for name in FIELDS}
    starts = sorted((text.index(key), name) for name, key in keys.items() if key in text)
    stops = [at - 1 for at, _ in starts[1:]] + [len(text) - 1]
    spans: dict[str, tuple[int, int]] = {}
    for (at, name), stop in zip(starts, stops, strict=True):
        start = at + len(keys[name])
        if name in LABELLED:
            start = text.index('"', start) + 1
            stop = text.index('"', start)
            spans[name] = (start, stop)
        else:
            spans[name] = (start - 2, stop + 1)
    return spans


def answer_regex(
    length: int,
    fields: Sequence[str] = SERIES_FIELDS,
    *,
    places: bool = True,
    known: SeriesFacts | None = None,
) -> str:
    """The regular expression of all legal answers.

    Args:
        length: T of the described series, at least 1.
        fields: which fields the answer has, each exactly once.
        places: whether an extremum has a place beside its region.
        known: facts of the series; an arithmetic field (max, min) that they have may be written as
            they have it alone.

    Raises:
        AnnotationError: a length below 1, a position outside it, or fields that do not exist.
    """
    if length < 1:
        raise AnnotationError(f"got a series of {length} points; expected at least 1")
    known = known or SeriesFacts(length)
    chosen = check_fields(fields)
    only = tuple(
        (name, re.escape(FIELDS[name].write(known, places)))
        for name in chosen
        if FIELDS[name].arithmetic and FIELDS[name].known(known)
    )
    return _regex(length, tuple(chosen), places, only)


@lru_cache(maxsize=64)
def _regex(
    length: int, names: tuple[str, ...], places: bool, only: tuple[tuple[str, str], ...]
) -> str:
    given, fields = dict(only), [FIELDS[name] for name in names]
    partners = {f.written_with for f in fields}
    parts = [
        f'"{f.written_with or f.name}":{given.get(f.name) or f.grammar(length, places)}'
        for f in fields
        if f.name not in partners
    ]
    return r"\{" + ",".join(parts) + r"\}"


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
    facts = SeriesFacts(length)
    for name in check_fields(list(data)):
        facts = FIELDS[name].read(data[name], facts)
    return facts if values is None else with_values(facts, values)


def _no_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise AnnotationError(f"got the key {key!r} twice in an answer")
        out[key] = value
    return out
