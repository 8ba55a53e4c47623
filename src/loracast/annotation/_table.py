"""Annotations as a table: one row a series, one column a field, for CSV and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from loracast.annotation._field import Cell
from loracast.annotation._fields import FIELDS
from loracast.annotation._prose import prose
from loracast.annotation._schema import Annotation
from loracast.errors import AnnotationError

__all__ = ["annotation_row", "write_csv"]


def annotation_row(annotation: Annotation, language: str = "en") -> dict[str, Cell]:
    """The fields under fixed column names; None where null, places joined by ';'.

    Args:
        annotation: of one series.
        language: of the column `prose`.
    """
    row: dict[str, Cell] = {"id": annotation.id, "length": annotation.length}
    for field in FIELDS.values():
        row |= field.columns(annotation)
    for name in FIELDS:
        row[f"confidence_{name}"] = annotation.confidence.get(name)
    row["abstained"] = ";".join(annotation.abstained)
    row["arithmetic"] = ";".join(annotation.arithmetic)
    row["notes"] = ";".join(annotation.notes)
    row["annotator"] = annotation.annotator
    row["prose"] = prose(annotation, language)
    return row


def write_csv(path: str | Path, annotations: Iterable[Annotation], language: str = "en") -> int:
    """Write one line an annotation under a head line; returns how many.

    Raises:
        AnnotationError: a path that cannot be written, or no annotation at all.
    """
    rows = [annotation_row(a, language) for a in annotations]
    if not rows:
        raise AnnotationError(f"{path}: got no annotations to write; expected at least one")
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be written ({error})") from error
    return len(rows)
