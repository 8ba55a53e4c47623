"""The correlation of two channels, -1 to 1; of one channel there is none."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._field import Cell, Field
from loracast.annotation._languages import Language
from loracast.annotation._parts import Described
from loracast.errors import AnnotationError

__all__ = ["CORRELATION"]

_SAID = {
    "en": "The correlation of the two channels is {value}.",
    "fr": "La corrélation des deux canaux est de {value}.",
    "zh": "两个通道的相关系数为 {value}。",
}


class _CorrelationField(Field):
    name, owns = "correlation", ("correlation",)
    called = {"en": "correlation", "fr": "corrélation", "zh": "相关性"}
    channels, optional = 2, True

    def known(self, facts: SeriesFacts) -> bool:
        return facts.correlation is not None

    def write(self, facts: SeriesFacts, places: bool) -> str:
        if facts.correlation is None or not abs(facts.correlation) <= 1:
            raise AnnotationError(f"got correlation {facts.correlation}; expected -1 to 1")
        return f"{facts.correlation + 0.0:.2f}".replace("-0.00", "0.00")

    def grammar(self, length: int, places: bool) -> str:
        return r"(-?(0\.[0-9][1-9]|0\.[1-9]0|1\.00)|0\.00)"

    def read(self, value: Any, facts: SeriesFacts) -> SeriesFacts:
        if type(value) not in (int, Decimal) or not abs(value) <= 1:
            raise AnnotationError(f"correlation: got {str(value)[:60]!r}; expected -1 to 1")
        return replace(facts, correlation=float(value))

    def columns(self, annotation: Described) -> dict[str, Cell]:
        return {"correlation": annotation.correlation}

    def prose(self, annotation: Described, words: Language) -> str | None:
        if annotation.correlation is None:
            return None
        return _SAID[words.code].format(value=words.number(annotation.correlation, ".2f"))


CORRELATION = _CorrelationField()
