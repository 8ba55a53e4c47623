"""Annotations as a table: one row a series, one column a field, for CSV and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from loracast.annotation._prose import prose
from loracast.annotation._schema import ANNOTATION_FIELDS, Annotation, Noise, Point, Trend
from loracast.errors import AnnotationError

__all__ = ["annotation_row", "write_csv"]

Cell = int | float | str | None


def annotation_row(annotation: Annotation, language: str = "en") -> dict[str, Cell]:
    """The fields under fixed column names; None where null, places joined by ';'.

    Args:
        annotation: of one series.
        language: of the column `prose`.
    """
    trend, noise = annotation.trend or Trend(), annotation.noise or Noise()
    row: dict[str, Cell] = {
        "id": annotation.id,
        "length": annotation.length,
        "trend": trend.label,
        "slope": trend.slope,
        "noise": noise.level,
        "sigma": noise.sigma,
    }
    for kind in ("max", "min"):
        point = next((e for e in annotation.extrema if e.kind == kind), None)
        for name in ("region", "index", "value"):
            row[f"{kind}_{name}"] = getattr(point, name, None)
    season = annotation.seasonality
    row["period"] = None if season is None else season.period
    row["strength"] = None if season is None else season.strength
    row["change_points"] = _places(annotation.change_points)
    row["segments"] = ";".join(f"{s.label}:{s.start}..{s.end}" for s in trend.segments)
    row["outliers"] = _places(annotation.outliers)
    row["correlation"] = annotation.correlation
    for name in ANNOTATION_FIELDS:
        row[f"confidence_{name}"] = annotation.confidence.get(name)
    row["abstained"] = ";".join(annotation.abstained)
    row["arithmetic"] = ";".join(annotation.arithmetic)
    row["notes"] = ";".join(annotation.notes)
    row["annotator"] = annotation.annotator
    row["prose"] = prose(annotation, language)
    return row


def _places(points: tuple[Point, ...] | None) -> str | None:
    return None if points is None else ";".join(str(p.index) for p in points)


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
