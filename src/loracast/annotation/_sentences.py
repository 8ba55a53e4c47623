"""The published three-sentence form, written from an annotation and read back by its words.

`{"trend": ..., "noise": ..., "extrema": ...}`, one English sentence each. The reader looks for
words, not for grammar: what it names twice differently ("up, then down", "low to medium") is
found as several labels, and only `sentence_labels` tells them; as a fact it is no single label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import LABELLED
from loracast.annotation._schema import Annotation
from loracast.errors import AnnotationError

__all__ = [
    "SENTENCE_KEYS",
    "facts_from_sentences",
    "profile_sentences",
    "prose_labels",
    "sentence_labels",
]

SENTENCE_KEYS = ("trend", "noise", "extrema")


def sentence_labels(sentences: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """All labels that the sentences name, in their order, under trend, noise, max and min.

    Args:
        sentences: some of the keys trend, noise and extrema, each an English sentence.

    Raises:
        AnnotationError: another key, or a value that is not text.
    """
    unknown = sorted(set(sentences) - set(SENTENCE_KEYS))
    if unknown:
        raise AnnotationError(f"got the keys {unknown}; expected some of {list(SENTENCE_KEYS)}")
    texts = {}
    for key in SENTENCE_KEYS:
        value = sentences.get(key, "")
        if not isinstance(value, str):
            raise AnnotationError(f"{key}: got {value!r:.60}; expected a sentence")
        texts[key] = value.lower()
    return {name: field.sentence_labels(texts) for name, field in LABELLED.items()}


def facts_from_sentences(sentences: Mapping[str, Any], length: int) -> SeriesFacts:
    """The facts that the sentences state, each where they name exactly one label.

    Args:
        sentences: as `sentence_labels`.
        length: T of the series they describe.

    Returns:
        Facts with trend, noise and extrema, whose index is `UNKNOWN_INDEX` and value NaN.

    Raises:
        AnnotationError: as `sentence_labels`.
    """
    facts = SeriesFacts(length)
    for name, labels in sentence_labels(sentences).items():
        facts = LABELLED[name].put(facts, labels[0] if len(labels) == 1 else None)
    return facts


def prose_labels(text: str) -> dict[str, str | None]:
    """The labels that English prose (`prose`) states, under trend, noise, max and min.

    For counting contradictions between prose and fields; None where it states none.
    """
    found = {name: re.search(field.stated, text) for name, field in LABELLED.items()}
    return {name: m[1] if m else None for name, m in found.items()}


def profile_sentences(annotation: Annotation) -> dict[str, str]:
    """The published form of an annotation; what it does not say is called not certain."""
    facts = annotation.facts()
    article = "an" if facts.trend == "increasing" else "a"
    where = {e.kind: f"at the {e.region}" for e in facts.extrema}
    where = {k: v.replace("at the middle", "in the middle") for k, v in where.items()}
    names = {"max": "global maximum", "min": "global minimum"}
    told = [f"the {names[k]} is located {where[k]}" for k in ("max", "min") if k in where]
    extrema = " and ".join(told) or "the places of the extrema are not certain"
    return {
        "trend": f"The time series shows {article} {facts.trend} trend."
        if facts.trend
        else "The direction is not certain.",
        "noise": f"The noise intensity is {facts.noise}."
        if facts.noise
        else "The noise intensity is not certain.",
        "extrema": f"{extrema[0].upper()}{extrema[1:]}.",
    }
