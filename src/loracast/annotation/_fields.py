"""All fields of an annotation, in the order in which answers write them.

A new field is one object in a file of its own, and a line in `_LISTED`.
"""

from __future__ import annotations

from collections.abc import Sequence

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._field import Field, LabelField, ValueField
from loracast.annotation._field_changes import CHANGE_POINTS
from loracast.annotation._field_correlation import CORRELATION
from loracast.annotation._field_extrema import MAX, MIN
from loracast.annotation._field_noise import NOISE
from loracast.annotation._field_outliers import OUTLIERS
from loracast.annotation._field_season import SEASONALITY
from loracast.annotation._field_segments import SEGMENTS
from loracast.annotation._field_trend import TREND
from loracast.errors import AnnotationError

__all__ = [
    "ANNOTATION_FIELDS",
    "ARITHMETIC",
    "FIELDS",
    "LABELLED",
    "LABEL_FIELDS",
    "LIST_FIELDS",
    "SERIES_FIELDS",
    "VALUED",
    "check_fields",
    "label_of",
]

_LISTED: tuple[Field, ...] = (
    TREND, NOISE, MAX, MIN, SEASONALITY, CHANGE_POINTS, SEGMENTS, OUTLIERS, CORRELATION,
)  # fmt: skip
FIELDS = {field.name: field for field in _LISTED}
LABELLED = {name: field for name, field in FIELDS.items() if isinstance(field, LabelField)}
VALUED = {name: field for name, field in FIELDS.items() if isinstance(field, ValueField)}
# The names by which confidence, abstention and scores speak of the parts of an annotation.
ANNOTATION_FIELDS = tuple(FIELDS)
LABEL_FIELDS, LIST_FIELDS = tuple(LABELLED), tuple(VALUED)
SERIES_FIELDS = tuple(f.name for f in _LISTED if f.channels == 1)
ARITHMETIC = tuple(f.name for f in _LISTED if f.arithmetic)


def check_fields(fields: Sequence[str]) -> list[str]:
    """The fields in canonical order.

    Raises:
        AnnotationError: an unknown name, none at all, or segments without change points.
    """
    unknown = [name for name in fields if name not in FIELDS]
    if unknown or not fields:
        raise AnnotationError(
            f"got the fields {unknown or list(fields)}; expected some of {list(FIELDS)}"
        )
    chosen = [field for field in _LISTED if field.name in fields]
    for field in chosen:
        if field.written_with not in (None, *fields):
            raise AnnotationError(
                f"got the field {field.name} without {field.written_with}; ask for both"
            )
    return [field.name for field in chosen]


def label_of(facts: SeriesFacts | None, name: str) -> str | None:
    """The label of one of LABEL_FIELDS, the region of an extremum; None where not told."""
    return None if facts is None else LABELLED[name].label(facts)
