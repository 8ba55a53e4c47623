"""The overall trend: a label, and a slope in value units a step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from loracast.annotation._facts import TREND_LABELS, SeriesFacts
from loracast.annotation._field import Cell, LabelField, found_words, in_order
from loracast.annotation._languages import Language
from loracast.annotation._parts import Described, Trend

__all__ = ["TREND"]

# With a slope, and without.
_SAID = {
    "en": ("The overall trend is {label} (slope {slope}).", "The overall trend is {label}."),
    "fr": (
        "La tendance générale est {label} (pente {slope}).",
        "La tendance générale est {label}.",
    ),
    "zh": ("总体趋势为{label}（斜率 {slope}）。", "总体趋势为{label}。"),
}
# Of the published sentences.
_WORDS = {
    "increasing": r"increas\w*|upwards?|up|ris(?:e|es|ing)|rose|grow(?:s|ing|th)?|climb\w*"
    r"|ascend\w*|gains?",
    "decreasing": r"decreas\w*|downwards?|down|fall(?:s|ing)?|fell|declin\w*|drop(?:s|ped|ping)?"
    r"|descend\w*|shrink\w*|reduc\w*",
    "flat": r"flat|stable|constant|stationary|unchanged|horizontal|level(?:s off)?|plateau\w*"
    r"|sideways",
}
_NO_TREND = re.compile(
    r"\b(?:no|not|without|neither|lacks?)\b[^.;,]*?\b(?:trend|increas\w*|decreas\w*|upward\w*)"
    r"[^.;,]*"
)


class _TrendField(LabelField):
    name, owns = "trend", ("trend", "slope")
    called = {"en": "trend", "fr": "tendance", "zh": "趋势"}
    labels = TREND_LABELS
    words = {
        "en": labels,
        "fr": ("à la hausse", "à la baisse", "stable"),
        "zh": ("上升", "下降", "平稳"),
    }
    stated = r"overall trend is (increasing|decreasing|flat)\b"

    def stretch(self, facts: SeriesFacts, old: int, values: np.ndarray | None) -> SeriesFacts:
        slope = None if facts.slope is None else facts.slope * old / facts.length
        return replace(facts, slope=slope)

    def sentence_labels(self, sentences: Mapping[str, str]) -> tuple[str, ...]:
        text = _NO_TREND.sub(lambda m: "flat".ljust(len(m[0])), sentences["trend"])
        return in_order([label for _, _, label in found_words(_WORDS, text)])

    def told(self, annotation: Described) -> bool:
        return bool(annotation.trend and annotation.trend.label)

    def columns(self, annotation: Described) -> dict[str, Cell]:
        trend = annotation.trend or Trend()
        return {"trend": trend.label, "slope": trend.slope}

    def prose(self, annotation: Described, words: Language) -> str | None:
        trend = annotation.trend
        if trend is None or trend.label is None:
            return None
        label, (with_slope, plain) = self.word(trend.label, words), _SAID[words.code]
        if trend.slope is None:
            return plain.format(label=label)
        unit = f" {annotation.value_unit}" if annotation.value_unit else ""
        slope = f"{words.number(trend.slope)}{unit} {words.a_step}"
        return with_slope.format(label=label, slope=slope)


TREND = _TrendField()
