"""Prose rendered from the fields of an annotation, so that it cannot contradict them.

One sentence a field; a field that is null is passed over, or named in the last sentences where the
annotation abstains from it: not certain enough, or not described at all. No model writes any of
this.
"""

from __future__ import annotations

from loracast.annotation._fields import FIELDS
from loracast.annotation._languages import language_of
from loracast.annotation._schema import Annotation

__all__ = ["prose", "prose_sentences"]


def prose(annotation: Annotation, language: str = "en") -> str:
    """The annotation in words: the sentences of `prose_sentences`, one after the other."""
    sentences = prose_sentences(annotation, language)
    return language_of(language).between.join(sentences.values())


def prose_sentences(annotation: Annotation, language: str = "en") -> dict[str, str]:
    """One sentence for each field told, by field name; "uncertain", "unasked" and notes are last.

    Args:
        annotation: what to say.
        language: "en", "fr" or "zh".

    Raises:
        AnnotationError: another language.
    """
    words, names = language_of(language), list(FIELDS)
    order = sorted(FIELDS.values(), key=lambda field: names.index(field.said_after or field.name))
    told = {
        field.name: field.prose(annotation, words)
        for field in order
        if field.name not in annotation.abstained
    }
    # What the source was not asked about comes without a confidence.
    uncertain = [n for n in annotation.abstained if n in annotation.confidence]
    unasked = [n for n in annotation.abstained if n not in annotation.confidence]
    for key, names, template in (
        ("uncertain", uncertain, words.uncertain),
        ("unasked", unasked, words.unasked),
    ):
        if names:
            called = [FIELDS[name].called[language] for name in names]
            told[key] = template.format(names=words.comma.join(called))
    for note, template in (("short_series", words.short), ("too_short", words.too_short)):
        if note in annotation.notes:
            told[note] = template.format(length=annotation.length)
    return {name: text for name, text in told.items() if text is not None}
