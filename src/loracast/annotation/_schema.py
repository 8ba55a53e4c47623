"""The annotation a user gets: facts of one series in checked, versioned JSON.

Positions count from 0; `index` repeats them in the caller's own time axis (`ds`: integers, numbers
or ISO 8601 timestamps), so that a span means the same inside the caller's frame. A field the
annotator is not sure of is null and named in `abstained`; nothing is guessed in its place.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from loracast.annotation._facts import UNKNOWN_INDEX, Extremum, SeriesFacts, TrendSegment
from loracast.annotation._fields import ANNOTATION_FIELDS, FIELDS
from loracast.annotation._parts import Described, Noise, Share, Trend
from loracast.errors import AnnotationError

__all__ = ["Annotation", "FieldName", "check_threshold", "one_line"]

if TYPE_CHECKING:
    FieldName = str
else:  # for pydantic, which then tells what the names are
    FieldName = Literal[ANNOTATION_FIELDS]
_UNITS: tuple[Literal["D", "m", "s", "ms", "us", "ns"], ...] = ("D", "m", "s", "ms", "us", "ns")
Note = Literal["short_series", "too_short"]


class Annotation(Described):
    """A description of one series of `length` points.

    Args:
        schema_version: of this layout; another one is refused.
        id: the series' name in its frame.
        length: T.
        index_unit, value_unit: what a step and a value are counted in, free text.
        trend, noise, extrema, seasonality, change_points, outliers, correlation: the fields; null
            where abstained. A null `seasonality` that is not abstained says: no season.
        confidence: 0..1 by field name (`ANNOTATION_FIELDS`).
        abstained: the fields left out: their confidence lies under the threshold, or the source
            does not speak about them.
        arithmetic: the fields that are read off the numbers, which no model judged; their
            confidence is 1 for that reason.
        notes: what to know when reading it. A "short_series" has fewer points than the annotator
            learned from, so that its other fields are less certain than their confidence says. One
            that is "too_short" was not judged at all: its trend is that of its net change.
        annotator: who described the series, free text.
    """

    confidence: dict[FieldName, Share] = Field(default_factory=dict)
    abstained: tuple[FieldName, ...] = ()
    arithmetic: tuple[FieldName, ...] = ()
    notes: tuple[Note, ...] = ()
    annotator: str | None = None

    @model_validator(mode="after")
    def _told_or_not(self) -> Annotation:
        told = [name for name in self.abstained if FIELDS[name].told(self)]
        if told:
            raise ValueError(f"abstained from {told}, which are given")
        absent = [name for name in self.arithmetic if not FIELDS[name].told(self)]
        if absent:
            raise ValueError(f"arithmetic {absent}, which are not given")
        return self

    @classmethod
    def from_facts(
        cls,
        facts: SeriesFacts,
        index: Sequence[Any] | np.ndarray | None = None,
        confidence: Mapping[str, float] | None = None,
        threshold: float | Mapping[str, float] | None = None,
        *,
        fields: Collection[str] | None = None,
        id: str | None = None,  # noqa: A002 - the name in the schema
        index_unit: str | None = None,
        value_unit: str | None = None,
        arithmetic: Collection[str] = (),
        notes: Collection[str] = (),
        annotator: str | None = None,
    ) -> Annotation:
        """The annotation that says what the facts say, in the caller's index.

        Args:
            facts: of a series of T points; `clear` is not kept, nor a strength without a period.
            index: (T,) the series' `ds`: integers, numbers, timestamps; None counts positions.
            confidence: 0..1 by field name.
            threshold: fields whose confidence is lower become null and are named in `abstained`;
                one number, or one by field name. A field without a confidence is kept.
            fields: what the source of the facts speaks about; the others are null and named in
                `abstained`, so that no season told is not read as no season. None is all.
            id: the series' name.
            index_unit: what a step is counted in, e.g. "hour".
            value_unit: what a value is counted in, e.g. "kW".
            arithmetic: fields that were read off the numbers; those left out are dropped.
            notes: what to know when reading it.
            annotator: who described the series.

        Raises:
            AnnotationError: facts outside the series, labels outside the vocabulary, an index of
                another length, a confidence or threshold outside 0..1, a threshold of no field.
        """
        check_threshold(threshold)
        at = _index_labels(index, facts.length)
        confidence = dict(confidence or {})
        asked = ANNOTATION_FIELDS if fields is None else fields
        out = tuple(
            name
            for name, field in FIELDS.items()
            if (name not in asked and (field.known(facts) or not field.optional))
            or _too_low(name, confidence, threshold)
        )
        for name in out:
            facts = FIELDS[name].drop(facts)
        trend = {
            "label": facts.trend,
            "slope": _number(facts.slope),
            "segments": [_segment(s, at) for s in facts.segments],
        }
        noise = {"level": facts.noise, "sigma": _number(facts.sigma)}
        season = None
        if facts.period is not None:
            season = {"period": facts.period, "strength": _number(facts.strength)}
        data: dict[str, Any] = {
            "id": id,
            "length": facts.length,
            "index_unit": index_unit,
            "value_unit": value_unit,
            "trend": trend if any(trend.values()) or trend["slope"] is not None else None,
            "noise": None if noise == {"level": None, "sigma": None} else noise,
            "extrema": [_extremum(e, at) for e in facts.extrema],
            "seasonality": season,
            "change_points": [_point(p, at) for p in facts.change_points],
            "outliers": [_point(p, at) for p in facts.outliers],
            "correlation": facts.correlation,
            "confidence": confidence,
            "abstained": out,
            "arithmetic": [n for n in ANNOTATION_FIELDS if n in arithmetic and n not in out],
            "notes": notes,
            "annotator": annotator,
        }
        data.update({n: None for n in out if n in data and n != "trend"})
        with one_line("annotation"):
            return cls.model_validate(data)

    @classmethod
    def read(cls, data: str | bytes | Mapping[str, Any], where: str = "annotation") -> Annotation:
        """An annotation from its JSON text or the mapping read from it.

        Args:
            data: JSON, or a mapping. Text under the key `prose`, as `loracast annotate` writes it
                beside the fields, is dropped: it is rendered from them and carries nothing more.
            where: what the error message calls it, e.g. a file and a row.

        Raises:
            AnnotationError: no JSON, an unknown or missing key, a value out of its range.
        """
        if isinstance(data, str | bytes):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError) as error:
                raise AnnotationError(f"{where}: got no JSON ({error})") from error
        if not isinstance(data, Mapping):
            raise AnnotationError(f"{where}: got {type(data).__name__}; expected a JSON object")
        if isinstance(data.get("prose"), str):
            data = {key: value for key, value in data.items() if key != "prose"}
        with one_line(where):
            return cls.model_validate(data)

    def facts(self) -> SeriesFacts:
        """The same as facts; an extremum known by its region alone gets `UNKNOWN_INDEX`."""
        trend, noise, season = self.trend or Trend(), self.noise or Noise(), self.seasonality
        return SeriesFacts(
            length=self.length,
            trend=trend.label,
            slope=trend.slope,
            segments=tuple(
                TrendSegment(
                    s.start_position, s.end_position, s.label,
                    float("nan") if s.slope is None else s.slope,
                )
                for s in trend.segments
            ),
            noise=noise.level,
            sigma=noise.sigma,
            extrema=tuple(
                Extremum(
                    e.kind,
                    UNKNOWN_INDEX if e.position is None else e.position,
                    float("nan") if e.value is None else e.value,
                    e.region,
                )
                for e in self.extrema
            ),
            period=None if season is None else season.period,
            strength=None if season is None else season.strength,
            change_points=tuple(p.position for p in self.change_points or ()),
            outliers=tuple(p.position for p in self.outliers or ()),
            correlation=self.correlation,
        )  # fmt: skip


@contextmanager
def one_line(where: str) -> Iterator[None]:
    """Turns pydantic's report into one line: where, which key, what was wrong with what."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        bare = first["type"] in ("missing", "value_error")
        got = "" if bare else f" (got {_short(first['input'])})"
        more = "" if error.error_count() == 1 else f"; {error.error_count() - 1} more faults"
        message = first["msg"].removeprefix("Value error, ")
        raise AnnotationError(
            f"{where}: {key + ': ' if key else ''}{message}{got}{more}"
        ) from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_threshold(threshold: float | Mapping[str, float] | None) -> None:
    """Raises AnnotationError for one outside 0 to 1, or for a field that there is not."""
    by_field = dict(threshold) if isinstance(threshold, Mapping) else {None: threshold}
    for name, limit in by_field.items():
        if name is not None and name not in ANNOTATION_FIELDS:
            raise AnnotationError(
                f"got a threshold for {name!r}; expected fields of {', '.join(ANNOTATION_FIELDS)}"
            )
        known = isinstance(limit, int | float | np.number) and 0 <= limit <= 1
        if limit is not None and not known:
            where = "" if name is None else f" for {name!r}"
            raise AnnotationError(f"got threshold {_short(limit)}{where}; expected 0 to 1")


def _too_low(
    name: str, confidence: Mapping[str, float], threshold: float | Mapping[str, float] | None
) -> bool:
    limit = threshold.get(name) if isinstance(threshold, Mapping) else threshold
    return limit is not None and name in confidence and confidence[name] < limit


def _index_labels(index: Sequence[Any] | np.ndarray | None, length: int) -> list[int | float | str]:
    if index is None:
        return list(range(length))
    array = np.asarray(index)
    if array.shape != (length,):
        raise AnnotationError(
            f"got an index of shape {array.shape}; expected one entry for each of the "
            f"{length} points"
        )
    if np.issubdtype(array.dtype, np.datetime64):
        return _timestamps(array)
    return [v.isoformat() if hasattr(v, "isoformat") else v for v in array.tolist()]


def _timestamps(array: np.ndarray) -> list[int | float | str]:
    """ISO 8601 in one unit for all, the coarsest that is exact."""
    known = array[~np.isnat(array)]
    for unit in _UNITS:
        if (known.astype(f"datetime64[{unit}]") == known).all():
            return [str(v) for v in np.datetime_as_string(array, unit=unit)]
    return [str(v) for v in np.datetime_as_string(array)]


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _at(position: int, at: Sequence[int | float | str]) -> int | float | str:
    if not 0 <= position < len(at):
        raise AnnotationError(
            f"got position {position} in a series of {len(at)} points; expected 0 to {len(at) - 1}"
        )
    return at[position]


def _point(position: int, at: Sequence[int | float | str]) -> dict[str, Any]:
    return {"index": _at(position, at), "position": int(position)}


def _segment(segment: TrendSegment, at: Sequence[int | float | str]) -> dict[str, Any]:
    return {
        "start": _at(segment.start, at),
        "end": _at(segment.end, at),
        "start_position": int(segment.start),
        "end_position": int(segment.end),
        "label": segment.label,
        "slope": _number(segment.slope),
    }


def _extremum(extremum: Extremum, at: Sequence[int | float | str]) -> dict[str, Any]:
    known = extremum.index != UNKNOWN_INDEX
    return {
        "kind": extremum.kind,
        "index": _at(extremum.index, at) if known else None,
        "position": int(extremum.index) if known else None,
        "value": _number(extremum.value),
        "region": extremum.region,
    }
