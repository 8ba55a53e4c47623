"""What an annotator may answer, and what an answer says.

Knows settings, grammars and decoded text, not models and what they cost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from loracast.annotation._answer import answer_regex, answer_text, parse_answer, value_spans
from loracast.annotation._confidence import calibrated, scaled
from loracast.annotation._facts import Extremum, SeriesFacts
from loracast.annotation._field_extrema import extrema_of
from loracast.annotation._fields import ARITHMETIC, LABELLED
from loracast.annotation._label_bounds import trend_label
from loracast.annotation._length import stretch_facts
from loracast.annotation._measurements import measure
from loracast.annotation._settings import AnnotatorSettings
from loracast.decoding import Alternatives, GuidedAnswer

__all__ = [
    "Answer",
    "arithmetic_answer",
    "choices_of",
    "legal_answers",
    "net_answer",
    "read_answer",
]

# How often the net change has the trend of a generated series of 5 to 15 points (measured,
# benchmarks/annotation_short.py).
NET_CONFIDENCE = 0.57


@dataclass(frozen=True)
class Answer:
    """What is said about one series of T points: the model's word, extrema by arithmetic.

    Args:
        text: its line of JSON.
        facts: read from it.
        probabilities: trend and noise -> label -> probability as the model gave it.
        likelihood: other field -> probability of its answer as the model gave it.
        confidence: field -> calibrated probability that it is right; 1 for max and min.
    """

    text: str
    facts: SeriesFacts
    probabilities: dict[str, dict[str, float]]
    likelihood: dict[str, float]
    confidence: dict[str, float]


def choices_of(settings: AnnotatorSettings) -> list[Alternatives]:
    """The labels of an answer whose probabilities are wanted."""
    return [
        Alternatives(name, f'"{name}":"', LABELLED[name].labels)
        for name in settings.fields
        if name in LABELLED and name not in ARITHMETIC
    ]


def legal_answers(
    settings: AnnotatorSettings, length: int, values: np.ndarray, places: bool
) -> str:
    """The regular expression of all answers about a series.

    Args:
        settings: of the annotator.
        length: points that the model is shown.
        values: (T,) the whole series. Its extrema lie where arithmetic says; no other answer is
            legal, so that the model is not asked for them.
        places: whether the answer also has places of extrema.
    """
    known = _extrema_shown(length, values)
    return answer_regex(length, settings.fields, places=places, known=known)


def arithmetic_answer(
    settings: AnnotatorSettings, length: int, values: np.ndarray, places: bool
) -> GuidedAnswer:
    """The answer, which no model writes, where maximum and minimum are all that is asked for."""
    text = answer_text(_extrema_shown(length, values), settings.fields, places=places)
    none = np.array([], dtype=np.int64)
    return GuidedAnswer(none, text, none.astype(np.float64), none, {})


def net_answer(settings: AnnotatorSettings, values: np.ndarray) -> Answer:
    """What can be said of a series (T,) that is too short for a model to judge.

    Its extrema, and the trend of its net change: median of the last fifth of the points less that
    of the first, flat under 0.2 of the range.
    """
    facts = SeriesFacts(len(values), extrema=_asked_extrema(settings, values))
    confidence = _certain(settings)
    if "trend" in settings.fields:
        facts = replace(facts, trend=trend_label(measure(values).net_change))
        confidence["trend"] = NET_CONFIDENCE
    return Answer("", facts, {}, {}, confidence)


def _certain(settings: AnnotatorSettings) -> dict[str, float]:
    return {name: 1.0 for name in ARITHMETIC if name in settings.fields}


def _asked_extrema(settings: AnnotatorSettings, values: np.ndarray) -> tuple[Extremum, ...]:
    return tuple(e for e in extrema_of(values) if e.kind in settings.fields)


def _extrema_shown(length: int, values: np.ndarray) -> SeriesFacts:
    """Where the extrema of a whole series (T,) lie among the `length` points that are shown."""
    return stretch_facts(SeriesFacts(len(values), extrema=extrema_of(values)), length)


def read_answer(
    settings: AnnotatorSettings, said: GuidedAnswer, length: int, values: np.ndarray
) -> Answer:
    """The answer about a whole series (T,), from what was said of `length` points of it."""
    likelihood = {
        name: said.probability(*span)
        for name, span in value_spans(said.text).items()
        if name not in said.choices and name not in ARITHMETIC
    }
    confidence = {
        name: max(calibrated(p, settings.temperatures.get(name, 1.0)).values())
        for name, p in said.choices.items()
    }
    confidence |= {
        name: scaled(p, settings.scales.get(name, (1.0, 0.0))) for name, p in likelihood.items()
    }
    confidence |= _certain(settings)
    facts = stretch_facts(parse_answer(said.text, length), len(values))
    facts = replace(facts, extrema=_asked_extrema(settings, values))
    return Answer(said.text, facts, said.choices, likelihood, confidence)
