"""The parts of an annotation: what is told about a series, in the layout that users get.

Checked against each other and against the length of the series. Knows no table of fields:
confidences and abstentions, which speak of fields by name, are `_schema`'s.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from loracast.annotation._facts import region_of

__all__ = [
    "SCHEMA_VERSION",
    "Described",
    "ExtremumPoint",
    "Label",
    "Length",
    "Level",
    "Noise",
    "Point",
    "Position",
    "Region",
    "Seasonality",
    "Segment",
    "Share",
    "Trend",
]

SCHEMA_VERSION: Literal[1] = 1

Label = Literal["increasing", "decreasing", "flat"]
Level = Literal["low", "medium", "high"]
Region = Literal["beginning", "middle", "end"]
Index = StrictInt | StrictFloat | StrictStr
# More points than any memory holds; a share of the length is still exact in float64.
Length = Annotated[int, Field(ge=1, le=2**53, strict=True)]
Position = Annotated[int, Field(ge=0, strict=True)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Segment(_Part):
    """A stretch of one trend: first and last index and position, both inside it."""

    start: Index
    end: Index
    start_position: Position
    end_position: Position
    label: Label
    slope: float | None = None


class Trend(_Part):
    """The overall trend; slope in value units a step."""

    label: Label | None = None
    slope: float | None = None
    segments: tuple[Segment, ...] = ()


class Noise(_Part):
    """Noise level; sigma is its standard deviation as a share of the series' range."""

    level: Level | None = None
    sigma: Annotated[float, Field(ge=0)] | None = None


class ExtremumPoint(_Part):
    """The global maximum or minimum; index, position and value are null where not known."""

    kind: Literal["max", "min"]
    index: Index | None = None
    position: Position | None = None
    value: float | None = None
    region: Region


class Seasonality(_Part):
    """Period in steps; strength is the share of detrended variance the season explains."""

    period: Annotated[float, Field(gt=0)]
    strength: Share | None = None


class Point(_Part):
    """A single place of the series."""

    index: Index
    position: Position


class Described(_Part):
    """What is told about one series of `length` points; see `Annotation`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str | None = None
    length: Length
    index_unit: str | None = None
    value_unit: str | None = None
    trend: Trend | None = None
    noise: Noise | None = None
    extrema: tuple[ExtremumPoint, ...] = ()
    seasonality: Seasonality | None = None
    change_points: tuple[Point, ...] | None = ()
    outliers: tuple[Point, ...] | None = ()
    correlation: Annotated[float, Field(ge=-1, le=1)] | None = None

    @model_validator(mode="after")
    def _inside(self) -> Described:
        segments = self.trend.segments if self.trend else ()
        positions = [s.end_position for s in segments]
        positions += [e.position for e in self.extrema if e.position is not None]
        positions += [p.position for p in (*(self.change_points or ()), *(self.outliers or ()))]
        if positions and max(positions) >= self.length:
            raise ValueError(f"position {max(positions)} in a series of {self.length} points")
        for segment in segments:
            if segment.end_position < segment.start_position:
                raise ValueError(
                    f"segment ends at {segment.end_position}, before its start at "
                    f"{segment.start_position}"
                )
        kinds = [e.kind for e in self.extrema]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"extrema {kinds}; at most one max and one min")
        for e in self.extrema:
            if (e.position is None) != (e.index is None):
                raise ValueError(f"{e.kind}: position and index belong together")
            if e.position is not None and region_of(e.position, self.length) != e.region:
                raise ValueError(
                    f"{e.kind} at position {e.position} of {self.length} called {e.region!r}; "
                    f"that position lies in the {region_of(e.position, self.length)!r}"
                )
        return self
