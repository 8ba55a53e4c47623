"""The season: its period in steps, None for none, and its strength."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._field import Cell, ValueField
from loracast.annotation._languages import Language
from loracast.annotation._parts import Described
from loracast.annotation._places import one_of
from loracast.errors import AnnotationError

__all__ = ["SEASONALITY"]

NEAR = 0.1  # of the true period

# With a strength, without, and of none.
_SAID = {
    "en": (
        "A season repeats every {period} (strength {strength}).",
        "A season repeats every {period}.",
        "There is no season.",
    ),
    "fr": (
        "Une saison se répète tous les {period} (force {strength}).",
        "Une saison se répète tous les {period}.",
        "Il n'y a pas de saisonnalité.",
    ),
    "zh": (
        "存在季节性，周期为 {period}（强度 {strength}）。",
        "存在季节性，周期为 {period}。",
        "没有季节性。",
    ),
}


class _SeasonField(ValueField):
    name, owns, control = "seasonality", ("period", "strength"), "period"
    called = {"en": "seasonality", "fr": "saisonnalité", "zh": "季节性"}

    def stretch(self, facts: SeriesFacts, old: int, values: np.ndarray | None) -> SeriesFacts:
        period = None if facts.period is None else facts.period * facts.length / old
        return replace(facts, period=period if period is not None and period >= 2 else None)

    def write(self, facts: SeriesFacts, places: bool) -> str:
        if facts.period is None:
            return "null"
        steps = round(facts.period)
        if not 2 <= steps <= facts.length:
            raise AnnotationError(
                f"got a period of {facts.period} steps in a series of {facts.length}; expected 2 "
                f"to {facts.length}, or None"
            )
        return str(steps)

    def grammar(self, length: int, places: bool) -> str:
        return f"(null|{one_of(map(str, range(2, length + 1)))})" if length > 1 else "null"

    def read(self, value: Any, facts: SeriesFacts) -> SeriesFacts:
        if value is None:
            return replace(facts, period=None)
        if type(value) is not int or not 2 <= value <= facts.length:
            raise AnnotationError(
                f"seasonality: got {str(value)[:60]!r}; expected null or a period of 2 to "
                f"{facts.length} whole steps"
            )
        return replace(facts, period=float(value))

    def some(self, truth: SeriesFacts) -> bool:
        return truth.period is not None

    def right(self, truth: SeriesFacts, answer: SeriesFacts) -> bool:
        if truth.period is None or answer.period is None:
            return truth.period is answer.period
        return abs(answer.period - truth.period) <= NEAR * truth.period

    def columns(self, annotation: Described) -> dict[str, Cell]:
        season = annotation.seasonality
        return {name: getattr(season, name, None) for name in self.owns}

    def prose(self, annotation: Described, words: Language) -> str | None:
        season, (with_strength, plain, none) = annotation.seasonality, _SAID[words.code]
        if season is None:
            return none
        period = f"{words.number(season.period)} {words.steps}"
        if season.strength is None:
            return plain.format(period=period)
        return with_strength.format(period=period, strength=words.number(season.strength, ".2f"))

    def number(self, facts: SeriesFacts) -> float | None:
        return facts.period

    def read_number(self, facts: SeriesFacts, value: float, where: str) -> SeriesFacts:
        if not 0 < value <= facts.length:
            raise AnnotationError(
                f"{where}: key 'number': got {value!r:.60}; expected steps above 0 and at most "
                f"{facts.length}, the points of the series"
            )
        return replace(facts, period=float(value))


SEASONALITY = _SeasonField()
