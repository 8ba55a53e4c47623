"""The trend in stretches: a label for each, between the change points."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from loracast.annotation._facts import TREND_LABELS, SeriesFacts, TrendSegment
from loracast.annotation._field import Cell, ValueField, quoted
from loracast.annotation._field_changes import CHANGE_POINTS
from loracast.annotation._field_trend import TREND
from loracast.annotation._languages import Language
from loracast.annotation._parts import Described, Trend
from loracast.annotation._places import moved, point_codes
from loracast.errors import AnnotationError

__all__ = ["SEGMENTS"]

# The whole, a stretch, and one of a single point.
_SAID = {
    "en": ("In stretches it is {parts}.", "{label} from {start} to {end}", "{label} at {start}"),
    "fr": ("Par segments, elle est {parts}.", "{label} de {start} à {end}", "{label} en {start}"),
    "zh": ("分段来看：{parts}。", "从 {start} 到 {end} {label}", "在 {start} {label}"),
}


class _SegmentsField(ValueField):
    name, owns = "segments", ("segments",)
    called = {"en": "trend segments", "fr": "segments de tendance", "zh": "分段趋势"}
    written_with = CHANGE_POINTS.name
    said_after = TREND.name
    marks, spans = TREND_LABELS, True

    def known(self, facts: SeriesFacts) -> bool:
        return bool(facts.segments)

    def fill(self, facts: SeriesFacts, rules: SeriesFacts) -> SeriesFacts:
        trend = facts.trend or rules.trend
        if facts.segments or trend is None:
            return facts
        return replace(facts, segments=(TrendSegment(0, facts.length - 1, trend, 0.0),))

    def stretch(self, facts: SeriesFacts, old: int, values: np.ndarray | None) -> SeriesFacts:
        length = facts.length

        def bound(cut: int) -> int:
            return length if cut == old else moved(cut, old, length)

        ends = [(s, bound(s.start), bound(s.end + 1) - 1) for s in facts.segments]
        segments = (
            TrendSegment(start, end, s.label, s.slope * old / length)
            for s, start, end in ends
            if end >= start
        )
        return replace(facts, segments=tuple(segments))

    def write(self, facts: SeriesFacts, places: bool) -> str:
        """The label of each stretch: that of the segment which covers most of it."""
        if not facts.segments:
            raise AnnotationError("got no trend segments to write; leave the field segments out")
        length, digits = facts.length, CHANGE_POINTS.digits
        codes = point_codes(facts.change_points, length, digits, CHANGE_POINTS.first)
        out = []
        for start, end in pairwise([0, *(c * length // 10**digits for c in codes), length]):
            cover = dict.fromkeys(TREND_LABELS, 0)
            for s in facts.segments:
                quoted(s.label, TREND_LABELS, self.name)
                cover[s.label] += max(0, min(end, s.end + 1) - max(start, s.start))
            out.append(max(cover, key=lambda label: cover[label]))
        return json.dumps(out, separators=(",", ":"))

    def grammar(self, length: int, places: bool) -> str:
        label = TREND.grammar(length, places)
        both = [
            rf'{changes},"{self.name}":\[{label}(,{label}){{{count}}}\]'
            for count, changes in enumerate(CHANGE_POINTS.patterns(length))
        ]
        return f"({'|'.join(both)})"

    def read(self, value: Any, facts: SeriesFacts) -> SeriesFacts:
        stretches = list(pairwise([0, *facts.change_points, facts.length]))
        if not isinstance(value, list) or len(value) != len(stretches):
            raise AnnotationError(
                f"segments: got {value!r:.60}; expected {len(stretches)} labels, one more than "
                "change points"
            )
        for label in value:
            quoted(label, TREND_LABELS, self.name)
        segments = (
            TrendSegment(start, end - 1, label, float("nan"))
            for (start, end), label in zip(stretches, value, strict=True)
        )
        return replace(facts, segments=tuple(segments))

    def some(self, truth: SeriesFacts) -> bool:
        return len(truth.segments) > 1

    def right(self, truth: SeriesFacts, answer: SeriesFacts) -> bool:
        """The same labels, between right change points."""
        wanted, given = ([s.label for s in f.segments] for f in (truth, answer))
        return wanted == given and CHANGE_POINTS.right(truth, answer)

    def told(self, annotation: Described) -> bool:
        return bool(annotation.trend and annotation.trend.segments)

    def columns(self, annotation: Described) -> dict[str, Cell]:
        segments = (annotation.trend or Trend()).segments
        return {"segments": ";".join(f"{s.label}:{s.start}..{s.end}" for s in segments)}

    def prose(self, annotation: Described, words: Language) -> str | None:
        """Of a series in several pieces; one piece is what the trend says."""
        trend, (whole, stretch, point) = annotation.trend or Trend(), _SAID[words.code]
        if len(trend.segments) < 2 and (trend.label is not None or not trend.segments):
            return None
        parts = [
            (point if s.start_position == s.end_position else stretch).format(
                label=TREND.word(s.label, words), start=s.start, end=s.end
            )
            for s in trend.segments
        ]
        return whole.format(parts=words.listed(parts, words.then))

    def marked(self, facts: SeriesFacts) -> list[tuple[int, int, str]]:
        return [(s.start, s.end, s.label) for s in facts.segments]

    def read_mark(
        self, facts: SeriesFacts, start: int, end: int, mark: str, values: np.ndarray, where: str
    ) -> SeriesFacts:
        segment = TrendSegment(min(start, end), max(start, end), mark, float("nan"))
        segments = sorted([*facts.segments, segment], key=lambda s: s.start)
        return replace(facts, segments=tuple(segments))


SEGMENTS = _SegmentsField()
