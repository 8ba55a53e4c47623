"""Fields that are lists of single places: what change points and outliers have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._field import Cell, ValueField
from loracast.annotation._languages import Language
from loracast.annotation._parts import Described, Point
from loracast.annotation._places import MAX_POINTS, moved, point_codes, read_place, share_text
from loracast.errors import AnnotationError

__all__ = ["PointsField"]


class PointsField(ValueField):
    """Places that `SeriesFacts` and `Described` hold under the field's own name.

    Args:
        digits: of a share in an answer.
        first: position that can be one.
        said: by the code of a language, the sentence for none, one and several.
    """

    digits: int
    first: int = 0
    said: Mapping[str, tuple[str, str, str]]

    @abstractmethod
    def near(self, length: int) -> float:
        """Positions that a right answer may be off by, each of its places."""

    def _of(self, facts: SeriesFacts) -> tuple[int, ...]:
        found: tuple[int, ...] = getattr(facts, self.name)
        return found

    def put(self, facts: SeriesFacts, places: set[int]) -> SeriesFacts:
        """The facts with these places."""
        own: dict[str, Any] = {self.name: tuple(sorted(places))}
        return replace(facts, **own)

    def _points(self, annotation: Described) -> tuple[Point, ...] | None:
        found: tuple[Point, ...] | None = getattr(annotation, self.name)
        return found

    def stretch(self, facts: SeriesFacts, old: int, values: np.ndarray | None) -> SeriesFacts:
        places = {moved(p, old, facts.length) for p in self._of(facts)}
        return self.put(facts, {p for p in places if p >= self.first})

    def write(self, facts: SeriesFacts, places: bool) -> str:
        codes = point_codes(self._of(facts), facts.length, self.digits, self.first)
        return f"[{','.join(share_text(code, self.digits) for code in codes)}]"

    def read_places(self, value: Any, length: int) -> list[int]:
        """The indices of a list of shares."""
        if not isinstance(value, list) or len(value) > MAX_POINTS:
            raise AnnotationError(
                f"{self.name}: got {value!r:.60}; expected at most {MAX_POINTS} places"
            )
        return [read_place(v, length, self.name) for v in value]

    def read(self, value: Any, facts: SeriesFacts) -> SeriesFacts:
        return self.put(facts, set(self.read_places(value, facts.length)))

    def some(self, truth: SeriesFacts) -> bool:
        return bool(self._of(truth))

    def right(self, truth: SeriesFacts, answer: SeriesFacts) -> bool:
        """As many, and in ascending order each near enough."""
        wanted, given, near = self._of(truth), self._of(answer), self.near(truth.length)
        return len(wanted) == len(given) and all(
            abs(a - b) <= near for a, b in zip(sorted(wanted), sorted(given), strict=True)
        )

    def columns(self, annotation: Described) -> dict[str, Cell]:
        points = self._points(annotation)
        return {self.name: None if points is None else ";".join(str(p.index) for p in points)}

    def prose(self, annotation: Described, words: Language) -> str | None:
        points = self._points(annotation)
        if points is None:
            return None
        text = self.said[words.code][min(len(points), 2)]
        return text.format(places=words.listed([str(p.index) for p in points]))

    def marked(self, facts: SeriesFacts) -> list[tuple[int, int, str]]:
        return [(p, p, self.marks[0]) for p in self._of(facts)]

    def read_mark(
        self, facts: SeriesFacts, start: int, end: int, mark: str, values: np.ndarray, where: str
    ) -> SeriesFacts:
        return self.put(facts, {*self._of(facts), start})
