"""Outliers: the places of single points far off."""

from __future__ import annotations

from loracast.annotation._field_points import PointsField
from loracast.annotation._places import MAX_POINTS, place_codes, shares_pattern

__all__ = ["OUTLIERS"]

NEAR = 0.01  # of the length, or one position


class _OutliersField(PointsField):
    name, owns = "outliers", ("outliers",)
    called = {"en": "outliers", "fr": "valeurs aberrantes", "zh": "异常点"}
    digits = 3
    said = {
        "en": (
            "There is no outlier.",
            "There is an outlier at {places}.",
            "There are outliers at {places}.",
        ),
        "fr": (
            "Il n'y a pas de valeur aberrante.",
            "Il y a une valeur aberrante en {places}.",
            "Il y a des valeurs aberrantes en {places}.",
        ),
        "zh": ("没有异常点。", "有一个异常点，位于 {places}。", "有多个异常点，位于 {places}。"),
    }
    marks = ("outlier",)

    def near(self, length: int) -> float:
        return max(NEAR * length, 1.0)

    def grammar(self, length: int, places: bool) -> str:
        share = shares_pattern(place_codes(length, self.digits), self.digits)
        return rf"\[({share}(,{share}){{0,{MAX_POINTS - 1}}})?\]"


OUTLIERS = _OutliersField()
