"""Change points: the places where level or slope break."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._field_points import PointsField
from loracast.annotation._places import place_codes, shares_pattern
from loracast.errors import AnnotationError

__all__ = ["CHANGE_POINTS"]

NEAR = 0.05  # of the length


class _ChangesField(PointsField):
    name, owns = "change_points", ("change_points",)
    called = {"en": "change points", "fr": "points de rupture", "zh": "变点"}
    digits, first = 2, 1
    said = {
        "en": (
            "There is no change point.",
            "There is a change point at {places}.",
            "There are change points at {places}.",
        ),
        "fr": (
            "Il n'y a pas de point de rupture.",
            "Il y a un point de rupture en {places}.",
            "Il y a des points de rupture en {places}.",
        ),
        "zh": ("没有变点。", "有一个变点，位于 {places}。", "有多个变点，位于 {places}。"),
    }
    marks = ("change point",)

    def near(self, length: int) -> float:
        return NEAR * length

    def grammar(self, length: int, places: bool) -> str:
        return "(" + "|".join(self.patterns(length)) + ")"

    def patterns(self, length: int) -> list[str]:
        """The lists of 0, 1, 2 and 3 ascending change points, as far as there is room for them."""
        digits = self.digits
        codes = place_codes(length, digits, self.first)
        shares = [shares_pattern([code], digits) for code in codes]
        texts = [r"\[\]"]
        if codes:
            texts.append(rf"\[{shares_pattern(codes, digits)}\]")
        if len(codes) > 1:
            pairs = [
                f"{share},{shares_pattern(codes[i + 1 :], digits)}"
                for i, share in enumerate(shares[:-1])
            ]
            texts.append(rf"\[({'|'.join(pairs)})\]")
        if len(codes) > 2:
            triples = [
                f"{shares_pattern(codes[:i], digits)},{shares[i]},"
                f"{shares_pattern(codes[i + 1 :], digits)}"
                for i in range(1, len(codes) - 1)
            ]
            texts.append(rf"\[({'|'.join(triples)})\]")
        return texts

    def read(self, value: Any, facts: SeriesFacts) -> SeriesFacts:
        places = self.read_places(value, facts.length)
        if any(b <= a for a, b in pairwise([0, *places])):
            raise AnnotationError(
                f"{self.name}: got {places}; expected ascending indices from 1 on"
            )
        return self.put(facts, set(places))


CHANGE_POINTS = _ChangesField()
