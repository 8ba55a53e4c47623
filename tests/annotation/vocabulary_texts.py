"""Texts that a tokenizer for annotations should encode in few tokens, as the code writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from loracast.annotation._answer import answer_text
from loracast.annotation._facts import (
    EXTREMUM_REGIONS,
    NOISE_LEVELS,
    TREND_LABELS,
    Extremum,
    SeriesFacts,
    TrendSegment,
)
from loracast.annotation._fields import LABEL_FIELDS
from loracast.annotation._prompt import PROMPT_PROFILES, PUBLISHED_INSTRUCTION, annotation_prompt
from loracast.annotation._prose import prose
from loracast.annotation._schema import Annotation
from loracast.annotation._sentences import profile_sentences

__all__ = ["vocabulary_texts"]


def _examples() -> list[SeriesFacts]:
    """Facts that use every label, of 100 points so that places are round."""
    places = {"beginning": 10, "middle": 50, "end": 90}
    out = []
    for i, trend in enumerate(TREND_LABELS):
        noise, other = NOISE_LEVELS[i], TREND_LABELS[(i + 1) % 3]
        high, low = EXTREMUM_REGIONS[i], EXTREMUM_REGIONS[(i + 1) % 3]
        facts = SeriesFacts(
            length=100,
            trend=trend,
            slope=0.0123,
            segments=(TrendSegment(0, 47, trend, 0.0123), TrendSegment(48, 99, other, 0.0)),
            noise=noise,
            sigma=0.045,
            extrema=(
                Extremum("max", places[high], 6.78, high),
                Extremum("min", places[low], -0.9, low),
            ),
            period=12.0,
            strength=0.85,
            change_points=(48,),
            outliers=(12, 34),
            correlation=-0.57,
        )
        out.append(facts)
        out.append(
            replace(
                facts,
                segments=(TrendSegment(0, 99, trend, 0.0123),),
                period=None,
                strength=None,
                change_points=(),
                outliers=(),
                correlation=None,
            )
        )
    return out


def vocabulary_texts(languages: Sequence[str] = ("en",)) -> list[str]:
    """Prompts, answers, annotations as JSON, published sentences and prose with every label.

    Numbers in them are examples; a tokenizer is expected to take digits one by one.

    Args:
        languages: of the prose, which no model has to write; some of `LANGUAGES`.
    """
    series = np.arange(100.0)
    texts = [PUBLISHED_INSTRUCTION]
    texts += [annotation_prompt(series, profile=profile).text for profile in PROMPT_PROFILES]
    texts.append(annotation_prompt(series, fields=LABEL_FIELDS).text)
    for facts in _examples():
        annotation = Annotation.from_facts(facts)
        texts += [answer_text(facts), answer_text(facts, LABEL_FIELDS, places=False)]
        texts.append(annotation.model_dump_json())
        texts += [f'"{k}": "{v}"' for k, v in profile_sentences(annotation).items()]
        texts += [prose(annotation, language) for language in languages]
    return texts
