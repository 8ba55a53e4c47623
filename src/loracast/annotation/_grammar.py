"""Which answers are legal, as one regular expression bounded by the length of the series.

Plain enough for llguidance (`LLMatcher.grammar_from_regex`, or the Lark text here) and for `re`.
Every text it allows is a legal answer: labels from their vocabularies, places inside the series
and inside the region they stand with, change points ascending, one segment more than those. Where
the positions of the extrema are given it allows those alone: they are arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby

from loracast.annotation._answer import (
    DIGITS,
    MAX_POINTS,
    SERIES_FIELDS,
    check_fields,
    extremum_text,
    place_codes,
)
from loracast.annotation._facts import (
    EXTREMUM_REGIONS,
    NOISE_LEVELS,
    TREND_LABELS,
    Extremum,
    SeriesFacts,
    region_of,
)
from loracast.errors import AnnotationError

__all__ = ["answer_grammar", "answer_regex"]


def answer_grammar(
    length: int, fields: Sequence[str] = SERIES_FIELDS, *, places: bool = True
) -> str:
    """`answer_regex` as a Lark grammar, for `LLMatcher.grammar_from_lark` of llguidance.

    Args:
        length: T of the described series, at least 1.
        fields: which fields the answer has, each exactly once.
        places: whether an extremum has a place beside its region.

    Raises:
        AnnotationError: a length below 1, or fields that do not exist.
    """
    return "start: /" + answer_regex(length, fields, places=places) + "/\n"


def answer_regex(
    length: int,
    fields: Sequence[str] = SERIES_FIELDS,
    *,
    places: bool = True,
    at: Mapping[str, int] | None = None,
) -> str:
    """The regular expression of all legal answers.

    Args:
        length: T of the described series, at least 1.
        fields: which fields the answer has, each exactly once.
        places: whether an extremum has a place beside its region.
        at: "max" and "min" -> the position that it has; without, it may stand anywhere.

    Raises:
        AnnotationError: a length below 1, a position outside it, or fields that do not exist.
    """
    if length < 1:
        raise AnnotationError(f"got a series of {length} points; expected at least 1")
    known = dict(at or {})
    highest, lowest = (
        _only(kind, known[kind], length, places) if kind in known else None
        for kind in ("max", "min")
    )
    return _regex(length, tuple(check_fields(fields)), places, highest, lowest)


def _only(kind: str, index: int, length: int, places: bool) -> str:
    """The one extremum that may be written."""
    region = region_of(index, length)
    facts = SeriesFacts(length, extrema=(Extremum(kind, index, float("nan"), region),))
    return re.escape(extremum_text(facts, kind, places))


@lru_cache(maxsize=64)
def _regex(
    length: int,
    fields: tuple[str, ...],
    places: bool,
    highest: str | None,
    lowest: str | None,
) -> str:
    trend, parts = _labels(TREND_LABELS), []
    for name in fields:
        if name in ("trend", "noise"):
            value = trend if name == "trend" else _labels(NOISE_LEVELS)
        elif name in ("max", "min"):
            only = highest if name == "max" else lowest
            value = _extremum(length, places) if only is None else only
        elif name == "seasonality":
            value = f"(null|{one_of(map(str, range(2, length + 1)))})" if length > 1 else "null"
        elif name == "outliers":
            share = _shares(place_codes(length, DIGITS[name]), DIGITS[name])
            value = rf"\[({share}(,{share}){{0,{MAX_POINTS - 1}}})?\]"
        elif name == "change_points":
            if "segments" in fields:
                continue
            value = "(" + "|".join(_changes(length)) + ")"
        elif name == "segments":
            both = [
                rf'{changes},"segments":\[{trend}(,{trend}){{{count}}}\]'
                for count, changes in enumerate(_changes(length))
            ]
            parts.append(f'"change_points":({"|".join(both)})')
            continue
        else:
            value = r"(-?(0\.[0-9][1-9]|0\.[1-9]0|1\.00)|0\.00)"
        parts.append(f'"{name}":{value}')
    return r"\{" + ",".join(parts) + r"\}"


def _labels(labels: Sequence[str]) -> str:
    return f'"({"|".join(labels)})"'


def _extremum(length: int, places: bool) -> str:
    if not places:
        return rf"\[{_labels(EXTREMUM_REGIONS)}\]"
    codes, base = place_codes(length, DIGITS["max"]), 10 ** DIGITS["max"]
    options = []
    for region in EXTREMUM_REGIONS:
        inside = [c for c in codes if region_of(c * length // base, length) == region]
        if inside:
            options.append(f'"{region}",{_shares(inside, DIGITS["max"])}')
    return rf"\[({'|'.join(options)})\]"


def _changes(length: int) -> list[str]:
    """The lists of 0, 1, 2 and 3 ascending change points, as far as there is room for them."""
    digits = DIGITS["change_points"]
    codes = place_codes(length, digits, 1)
    shares = [_share(code, digits) for code in codes]
    texts = [r"\[\]"]
    if codes:
        texts.append(rf"\[{_shares(codes, digits)}\]")
    if len(codes) > 1:
        pairs = [f"{s},{_shares(codes[i + 1 :], digits)}" for i, s in enumerate(shares[:-1])]
        texts.append(rf"\[({'|'.join(pairs)})\]")
    if len(codes) > 2:
        triples = [
            f"{_shares(codes[:i], digits)},{shares[i]},{_shares(codes[i + 1 :], digits)}"
            for i in range(1, len(codes) - 1)
        ]
        texts.append(rf"\[({'|'.join(triples)})\]")
    return texts


def _share(code: int, digits: int) -> str:
    return rf"0\.{code:0{digits}d}"


def _shares(codes: Iterable[int], digits: int) -> str:
    return r"0\." + one_of(f"{code:0{digits}d}" for code in codes)


def one_of(texts: Iterable[str]) -> str:
    """A short regular expression that matches exactly these texts of digits."""
    return _trie(tuple(sorted(set(texts))))


def _trie(texts: tuple[str, ...]) -> str:
    ends = texts[:1] == ("",)
    branches: dict[str, str] = {}  # what may follow -> the digits it follows
    for head, group in groupby(texts[ends:], key=lambda t: t[0]):
        rest = _trie(tuple(t[1:] for t in group))
        branches[rest] = branches.get(rest, "") + head
    options = [_digit_class(digits) + rest for rest, digits in branches.items()]
    if not options:
        return ""
    body = options[0] if len(options) == 1 and not ends else f"({'|'.join(options)})"
    return body + "?" if ends else body


def _digit_class(digits: str) -> str:
    """One of these ascending digits."""
    if len(digits) == 1:
        return digits
    first, last = digits[0], digits[-1]
    run = len(digits) == int(last) - int(first) + 1
    return f"[{first}-{last}]" if run and len(digits) > 2 else f"[{digits}]"
