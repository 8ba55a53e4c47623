"""What an annotator may answer, and what an answer says.

Knows settings, grammars and decoded text, not models and what they cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loracast.api._annotation_confidence import calibrated, scaled
from loracast.api._annotation_settings import AnnotatorSettings
from loracast.decoding import Choice, GuidedAnswer
from loracast.series import EXTREMUM_REGIONS, NOISE_LEVELS, TREND_LABELS, SeriesFacts
from loracast.tasks.annotation import (
    answer_regex,
    extremum_regions,
    observed_regions,
    parse_answer,
    placed,
    stretch_facts,
)
from loracast.tasks.annotation._answer import value_spans

__all__ = ["Answer", "choices_of", "legal_answers", "read_answer"]

_CHOICES = {
    "trend": Choice("trend", '"trend":"', TREND_LABELS),
    "noise": Choice("noise", '"noise":"', NOISE_LEVELS),
    "max": Choice("max", '"max":["', EXTREMUM_REGIONS),
    "min": Choice("min", '"min":["', EXTREMUM_REGIONS),
}


@dataclass(frozen=True)
class Answer:
    """What the model said about one series of T points.

    Args:
        text: its line of JSON.
        facts: read from it.
        probabilities: label field -> label -> probability as the model gave it.
        likelihood: other field -> probability of its answer as the model gave it.
        confidence: field -> calibrated probability that it is right.
    """

    text: str
    facts: SeriesFacts
    probabilities: dict[str, dict[str, float]]
    likelihood: dict[str, float]
    confidence: dict[str, float]


def choices_of(settings: AnnotatorSettings) -> list[Choice]:
    """The labels of an answer whose probabilities are wanted."""
    return [_CHOICES[name] for name in settings.fields if name in _CHOICES]


def legal_answers(
    settings: AnnotatorSettings, length: int, values: np.ndarray, places: bool
) -> str:
    """The regular expression of all answers about a series.

    Args:
        settings: of the annotator.
        length: points that the model is shown.
        values: (T,) the whole series. Where measurements are told, its extrema lie where
            arithmetic says.
        places: whether the answer also has places of extrema.
    """
    regions: dict[str, tuple[str, ...]] = dict.fromkeys(("max", "min"), observed_regions(values))
    if settings.numbers == "measured":
        regions = {kind: (region,) for kind, region in extremum_regions(values).items()}
    return answer_regex(length, settings.fields, places=places, regions=regions)


def read_answer(
    settings: AnnotatorSettings, said: GuidedAnswer, length: int, values: np.ndarray
) -> Answer:
    """The answer about a whole series (T,), from what was said of `length` points of it."""
    likelihood = {
        name: said.probability(*span)
        for name, span in value_spans(said.text).items()
        if name not in said.choices
    }
    confidence = {
        name: max(calibrated(p, settings.temperatures.get(name, 1.0)).values())
        for name, p in said.choices.items()
    }
    confidence |= {
        name: scaled(p, settings.scales.get(name, (1.0, 0.0))) for name, p in likelihood.items()
    }
    facts = placed(stretch_facts(parse_answer(said.text, length), len(values)), values)
    return Answer(said.text, facts, said.choices, likelihood, confidence)
