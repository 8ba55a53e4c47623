"""Places in an answer: a share of the length T, which means the index floor(share * T).

Written with a fixed number of digits, as a regular expression, and read back. Every share below 1
lies inside the series, so that nothing has to be cut. Knows no fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from typing import Any

from loracast.annotation._facts import region_of
from loracast.errors import AnnotationError

__all__ = [
    "MAX_POINTS",
    "moved",
    "nearest_code",
    "one_of",
    "place_codes",
    "point_codes",
    "read_place",
    "require_inside",
    "share_text",
    "shares_pattern",
]

MAX_POINTS = 3  # of a list of places in an answer: the first ones


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


def nearest_code(
    index: int, length: int, digits: int, region: str | None = None, first: int = 0
) -> int:
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


def point_codes(indices: Sequence[int], length: int, digits: int, first: int = 0) -> list[int]:
    """The codes of the first MAX_POINTS indices, ascending.

    Raises:
        AnnotationError: an index outside the series, or before `first`.
    """
    for index in indices:
        require_inside(index, length, first)
    chosen = sorted(indices)[:MAX_POINTS]
    return sorted({nearest_code(i, length, digits, first=first) for i in chosen})


def share_text(code: int, digits: int) -> str:
    """A share as an answer has it."""
    return f"0.{code:0{digits}d}"


def require_inside(index: int, length: int, first: int = 0) -> None:
    """Raises AnnotationError for an index outside the series, or before `first`."""
    if not first <= index < length:
        raise AnnotationError(
            f"got index {index} in a series of {length} points; expected {first} to {length - 1}"
        )


def read_place(value: Any, length: int, name: str) -> int:
    """The index of a share as JSON has it, with decimals for floats.

    Raises:
        AnnotationError: no share from 0 to below 1; `name` is the field in the message.
    """
    number = Decimal(value) if type(value) is int else value
    if not isinstance(number, Decimal) or not 0 <= number < 1:
        raise AnnotationError(
            f"{name}: got {str(value)[:60]!r} for a place; expected a share of the length from 0 "
            "to below 1"
        )
    return int(number * length)


def moved(index: int, old: int, length: int) -> int:
    """An index of a series of `old` points on `length` points: it keeps its share."""
    if length > old:
        return index * length // old
    return min(round(index * length / old), length - 1)


def shares_pattern(codes: Iterable[int], digits: int) -> str:
    """A regular expression of these shares."""
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
