"""Annotated series as JSON lines: the published format, and ours.

Published: `{"index": 0, "input": prompt, "output": sentences}`, where the prompt ends in the series
and the output is the three-sentence form, as JSON text. Ours: the values as they are, the facts,
the annotation if there is one, and where all that comes from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from loracast.annotation._facts import (
    UNKNOWN_INDEX,
    Extremum,
    SeriesFacts,
    TrendSegment,
    region_of,
)
from loracast.annotation._parts import (
    SCHEMA_VERSION,
    Label,
    Length,
    Level,
    Position,
    Region,
    Share,
)
from loracast.annotation._prompt import annotation_prompt
from loracast.annotation._schema import Annotation, FieldName, one_line
from loracast.annotation._sentences import facts_from_sentences, profile_sentences
from loracast.errors import AnnotationError

__all__ = [
    "AnnotatedSeries",
    "published_line",
    "read_published",
    "read_records",
    "record_line",
    "write_published",
    "write_records",
]


@dataclass(frozen=True)
class AnnotatedSeries:
    """One series and what is said about it.

    Args:
        values: (T,) float64, NaN where missing.
        facts: what is said.
        id: the series' name.
        index: (T,) its `ds` as JSON values (numbers, ISO 8601 text); None counts positions.
        annotation: the checked form, where one was made.
        sentences: the published form, where the series came with one.
        provenance: where values and facts come from, as JSON values: generator, seed, teacher ...
    """

    values: np.ndarray
    facts: SeriesFacts
    id: str = ""
    index: tuple[int | float | str, ...] | None = None
    annotation: Annotation | None = None
    sentences: Mapping[str, str] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length = len(self.values)
        given = {
            "facts": self.facts.length,
            "index": length if self.index is None else len(self.index),
            "annotation": length if self.annotation is None else self.annotation.length,
        }
        wrong = {name: n for name, n in given.items() if n != length}
        if wrong:
            name, n = next(iter(wrong.items()))
            raise AnnotationError(f"got {length} values and {name} of {n} points; expected as many")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Segment(_Part):
    start: Position
    end: Position
    label: Label
    slope: float | None = None


class _Extremum(_Part):
    kind: Literal["max", "min"]
    index: Annotated[int, Field(ge=UNKNOWN_INDEX, strict=True)]
    value: float | None = None
    region: Region


class _Facts(_Part):
    length: Length
    trend: Label | None = None
    slope: float | None = None
    segments: tuple[_Segment, ...] = ()
    noise: Level | None = None
    sigma: Annotated[float, Field(ge=0)] | None = None
    extrema: tuple[_Extremum, ...] = ()
    period: Annotated[float, Field(gt=0)] | None = None
    strength: Share | None = None
    change_points: tuple[Position, ...] = ()
    outliers: tuple[Position, ...] = ()
    correlation: Annotated[float, Field(ge=-1, le=1)] | None = None
    clear: frozenset[FieldName] = frozenset()
    soft_labels: dict[FieldName, dict[str, Share]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _inside(self) -> _Facts:
        """What contradicts the length of the series, or itself, would be trained on as truth."""
        where = f"in a series of {self.length} points"
        places = [("change point", k) for k in self.change_points]
        places += [("outlier", k) for k in self.outliers]
        places += [(f"{e.kind} at", e.index) for e in self.extrema]
        for name, place in places:
            if place >= self.length:
                raise ValueError(f"{name} {str(place)[:20]} {where}; expected a position inside it")
        for s in self.segments:
            if not s.start <= s.end < self.length:
                raise ValueError(
                    f"segment from {str(s.start)[:20]} to {str(s.end)[:20]} {where}; expected an "
                    "end inside it, and not before the start"
                )
        if self.period is not None and self.period > self.length:
            raise ValueError(f"a period of {self.period:g} steps {where}; expected no longer one")
        kinds = [e.kind for e in self.extrema]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"extrema {kinds[:4]}; at most one max and one min")
        for e in self.extrema:
            if e.index != UNKNOWN_INDEX and region_of(e.index, self.length) != e.region:
                raise ValueError(
                    f"{e.kind} at {e.index} of {self.length} called {e.region!r}; that position "
                    f"lies in the {region_of(e.index, self.length)!r}"
                )
        return self

    def facts(self) -> SeriesFacts:
        data = dict(self)
        data["segments"] = tuple(
            TrendSegment(**{**dict(s), "slope": _nan(s.slope)}) for s in self.segments
        )
        data["extrema"] = tuple(
            Extremum(**{**dict(e), "value": _nan(e.value)}) for e in self.extrema
        )
        return SeriesFacts(**data)


def _unicode(text: str) -> str:
    text.encode("utf-8")  # a lone surrogate is none, and could not be written again
    return text


class _Record(_Part):
    schema_version: Literal[1]
    id: Annotated[str, AfterValidator(_unicode)] = ""
    values: Annotated[tuple[StrictFloat | None, ...], Field(min_length=1)]
    index: tuple[StrictInt | StrictFloat | StrictStr, ...] | None = None
    facts: _Facts
    annotation: dict[str, Any] | None = None
    sentences: dict[str, str] | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)


class _Published(_Part):
    index: Annotated[int, Field(strict=True)]
    input: str
    output: str


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _plain(value: Any) -> Any:
    """JSON types; NaN becomes null, a set a sorted list."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def record_line(record: AnnotatedSeries) -> str:
    """One line of our format, without the line end."""
    data = {
        "schema_version": SCHEMA_VERSION,
        "id": record.id,
        "values": np.asarray(record.values, dtype=np.float64).tolist(),
        "index": record.index,
        "facts": asdict(record.facts),
        "annotation": record.annotation and record.annotation.model_dump(mode="json"),
        "sentences": record.sentences,
        "provenance": record.provenance,
    }
    try:
        return json.dumps(_plain(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise AnnotationError(
            f"series {record.id!r}: cannot be written as JSON ({error}); expected finite numbers, "
            "or NaN where missing, and JSON values in its provenance"
        ) from error


def published_line(record: AnnotatedSeries, number: int) -> str:
    """One line of the published format: the instruction with the series, and three sentences."""
    sentences = record.sentences
    if sentences is None:
        annotation = record.annotation or Annotation.from_facts(record.facts)
        sentences = profile_sentences(annotation)
    prompt = annotation_prompt(record.values, profile="published").text
    output = json.dumps(dict(sentences), ensure_ascii=False)
    row = {"index": number, "input": prompt, "output": output}
    return json.dumps(row, ensure_ascii=False)


def write_records(path: str | Path, records: Iterable[AnnotatedSeries]) -> int:
    """Write a file in our format; returns the number of rows."""
    return _write(path, map(record_line, records))


def write_published(path: str | Path, records: Iterable[AnnotatedSeries]) -> int:
    """Write a file in the published format; returns the number of rows."""
    return _write(path, (published_line(r, i) for i, r in enumerate(records)))


def read_records(path: str | Path) -> list[AnnotatedSeries]:
    """The rows of a file in our format.

    Raises:
        AnnotationError: a file that cannot be read, or a row that is not as it should be, with
            its line and key.
    """
    out = []
    for where, data in _rows(path):
        row = _validated(_Record, data, where)
        try:
            out.append(
                AnnotatedSeries(
                    values=np.array([_nan(v) for v in row.values], dtype=np.float64),
                    facts=row.facts.facts(),
                    id=row.id,
                    index=row.index,
                    annotation=None
                    if row.annotation is None
                    else Annotation.read(row.annotation, "annotation"),
                    sentences=row.sentences,
                    provenance=row.provenance,
                )
            )
        except AnnotationError as error:
            raise AnnotationError(f"{where}: {error}") from error
    return out


def read_published(path: str | Path) -> list[AnnotatedSeries]:
    """The rows of a file in the published format; the facts are what the sentences state.

    Raises:
        AnnotationError: a file that cannot be read, or a row that is not as it should be, with
            its line and key.
    """
    out = []
    for where, data in _rows(path):
        row = _validated(_Published, data, where)
        values = _series_of(row.input, where)
        try:
            sentences = json.loads(row.output)
            if not isinstance(sentences, dict):
                raise AnnotationError(f"got {type(sentences).__name__}; expected a JSON object")
            facts = facts_from_sentences(sentences, len(values))
        except AnnotationError as error:
            raise AnnotationError(f"{where}: output: {error}") from error
        except (ValueError, RecursionError) as error:
            raise AnnotationError(f"{where}: output: got no JSON ({error})") from error
        provenance = {"format": "published", "index": row.index}
        out.append(
            AnnotatedSeries(values, facts, str(row.index), None, None, sentences, provenance)
        )
    return out


def _series_of(prompt: str, where: str) -> np.ndarray:
    match = re.search(r"Series: \[([^\]]*)\]\s*\Z", prompt)
    cells = match[1].split(",") if match else []
    try:
        values = [math.nan if cell.strip() == "??" else float(cell) for cell in cells]
    except ValueError as error:
        raise AnnotationError(f"{where}: input: {error} in its series") from error
    if not values:
        raise AnnotationError(
            f"{where}: input: got no series; expected it to end in 'Series: [..]'"
        )
    return np.array(values, dtype=np.float64)


def _validated(model: type[Any], data: Any, where: str) -> Any:
    with one_line(where):
        return model.model_validate(data)


def _rows(path: str | Path) -> Iterator[tuple[str, Any]]:
    """("FILE, line N", parsed JSON) of each line that is not blank."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: cannot be read ({error})") from error
    found = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = True
        where = f"{path}, line {number}"
        try:
            yield where, json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise AnnotationError(f"{where}: got no JSON ({error})") from error
    if not found:
        raise AnnotationError(f"{path}: got no rows; expected one JSON object a line")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _write(path: str | Path, lines: Iterable[str]) -> int:
    count = 0
    try:
        with Path(path).open("w", encoding="utf-8", newline="\n") as stream:
            for line in lines:
                stream.write(line + "\n")
                count += 1
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be written ({error})") from error
    except UnicodeEncodeError as error:
        raise AnnotationError(f"{path}, line {count + 1}: cannot be written ({error})") from error
    return count
