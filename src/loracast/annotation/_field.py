"""What a field of an annotation is: one thing that can be asked, answered, scored and told.

Each field is one object in a file of its own; `_fields.py` has them in order. Grammar, reader,
scores, prose, tables and formats walk that registry and know no field by name.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._languages import Language
from loracast.annotation._parts import Described
from loracast.errors import AnnotationError

__all__ = ["Cell", "Field", "LabelField", "ValueField", "found_words", "in_order", "quoted"]

Cell = int | float | str | None


class Field(ABC):
    """A field. What it is about is in `SeriesFacts`, and laid out for users in `Described`.

    What writes, reads or checks raises an AnnotationError for facts or values that cannot be.

    Args:
        name: in answers, confidences, abstentions and scores.
        called: its name in words, by the code of a language.
        owns: the attributes of `SeriesFacts` that are its own.
        channels: of the series that it describes.
        optional: left out in silence, and not named in `abstained`, where it was not asked for and
            the facts do not have it.
        arithmetic: read off the numbers, so that no model is asked.
        written_with: the field that an answer needs before this one, which writes the grammar of
            both.
        said_after: the field whose sentence stands before this one's.
        marks: of Label Studio, labels of a place, or of a stretch where it `spans` several.
    """

    name: str
    called: Mapping[str, str]
    owns: tuple[str, ...] = ()
    channels: int = 1
    optional: bool = False
    arithmetic: bool = False
    written_with: str | None = None
    said_after: str | None = None
    marks: tuple[str, ...] = ()
    spans: bool = False

    def known(self, facts: SeriesFacts) -> bool | None:
        """Whether the facts have it; None where nothing found and not looked for are alike."""
        return None

    def drop(self, facts: SeriesFacts) -> SeriesFacts:
        """The facts without it."""
        nothing: dict[str, Any] = {name: getattr(SeriesFacts, name) for name in self.owns}
        return replace(facts, **nothing)

    def fill(self, facts: SeriesFacts, rules: SeriesFacts) -> SeriesFacts:
        """The facts with what the rules say, where they do not have it and an answer must."""
        return facts

    def stretch(self, facts: SeriesFacts, old: int, values: np.ndarray | None) -> SeriesFacts:
        """Its part of the facts of `old` points on `facts.length` points, with those values."""
        return facts

    @abstractmethod
    def write(self, facts: SeriesFacts, places: bool) -> str:
        """Its value in an answer, as JSON; with `places` also where an extremum is."""

    @abstractmethod
    def grammar(self, length: int, places: bool) -> str:
        """The regular expression of its legal values in a series of T points.

        Of a field `written_with` another: of that one's value, its own key and its own value.
        """

    @abstractmethod
    def read(self, value: Any, facts: SeriesFacts) -> SeriesFacts:
        """The facts with a value of an answer's JSON, read after the fields before it."""

    def told(self, annotation: Described) -> bool:
        """Whether an annotation gives it."""
        return getattr(annotation, self.name) is not None

    def columns(self, annotation: Described) -> dict[str, Cell]:
        """Its cells of a table; the same columns whatever the annotation says."""
        return {}

    def prose(self, annotation: Described, words: Language) -> str | None:
        """Its sentence; None for none. Not asked where the annotation abstains from it."""
        return None

    def marked(self, facts: SeriesFacts) -> list[tuple[int, int, str]]:
        """First and last position and label of each of its marks in Label Studio."""
        return []

    def read_mark(
        self, facts: SeriesFacts, start: int, end: int, mark: str, values: np.ndarray, where: str
    ) -> SeriesFacts:
        """The facts with one mark more; `where` begins the message of an error.

        Asked of a field with marks alone, which says how.
        """
        raise AssertionError(f"field {self.name!r} has no marks")


class LabelField(Field):
    """A field whose answer is one of a few labels: scored by classes, learned with soft labels.

    Without marks it is a choice for the whole series in Label Studio.

    Args:
        labels: all of them.
        words: of each label, by the code of a language.
        stated: a regular expression whose group is the label in its English sentence.
        by_trend: whether `trend_only_baseline` guesses it from the trend.
    """

    labels: tuple[str, ...]
    words: Mapping[str, Sequence[str]]
    stated: str
    by_trend: bool = False

    def label(self, facts: SeriesFacts) -> str | None:
        """The label that the facts have."""
        found: str | None = getattr(facts, self.name)
        return found

    def put(self, facts: SeriesFacts, label: str | None) -> SeriesFacts:
        """The facts with this label, and no number beside it; None takes it away."""
        own: dict[str, Any] = {self.name: label}
        return replace(Field.drop(self, facts), **own)

    def sentence_labels(self, sentences: Mapping[str, str]) -> tuple[str, ...]:
        """The labels that the published sentences name, in their order."""
        return ()

    def scores(
        self, truth: Sequence[SeriesFacts], answers: Sequence[SeriesFacts | None]
    ) -> dict[str, Any]:
        """Scores beside those of the labels."""
        return {}

    def word(self, label: str, words: Language) -> str:
        """A label in a language."""
        return self.words[words.code][self.labels.index(label)]

    def known(self, facts: SeriesFacts) -> bool:
        return self.label(facts) is not None

    def drop(self, facts: SeriesFacts) -> SeriesFacts:
        return self.put(facts, None)

    def fill(self, facts: SeriesFacts, rules: SeriesFacts) -> SeriesFacts:
        return facts if self.known(facts) else self.put(facts, self.label(rules))

    def write(self, facts: SeriesFacts, places: bool) -> str:
        return quoted(self.label(facts), self.labels, self.name)

    def grammar(self, length: int, places: bool) -> str:
        return f'"({"|".join(self.labels)})"'

    def read(self, value: Any, facts: SeriesFacts) -> SeriesFacts:
        quoted(value, self.labels, self.name)
        return self.put(facts, value)


class ValueField(Field):
    """A field whose answer is a number or a list: right where it is near enough.

    Args:
        control: the name of its number for the whole series in Label Studio; None for none.
    """

    control: str | None = None

    @abstractmethod
    def some(self, truth: SeriesFacts) -> bool:
        """Whether there is anything to find."""

    @abstractmethod
    def right(self, truth: SeriesFacts, answer: SeriesFacts) -> bool:
        """Whether an answer says what is true."""

    def number(self, facts: SeriesFacts) -> float | None:
        """The number of its control; None for none."""
        return None

    def read_number(self, facts: SeriesFacts, value: float, where: str) -> SeriesFacts:
        """The facts with the number of its control; `where` begins the message of an error.

        Asked of a field with a control alone, which says how.
        """
        raise AssertionError(f"field {self.name!r} has no number")


def quoted(label: Any, known: Sequence[str], name: str) -> str:
    """A label of field `name` as JSON; AnnotationError where it is not known."""
    if label not in known:
        raise AnnotationError(f"{name}: got {label!r:.60}; expected one of {', '.join(known)}")
    return f'"{label}"'


def found_words(table: Mapping[str, str], text: str) -> list[tuple[int, int, str]]:
    """(start, end, label) of every word of a table of patterns, in the order of the text."""
    found = [
        (m.start(), m.end(), label)
        for label, pattern in table.items()
        for m in re.finditer(rf"\b(?:{pattern})\b", text)
    ]
    return sorted(found)


def in_order(labels: Sequence[str]) -> tuple[str, ...]:
    """Neighbours that are alike count once."""
    return tuple(b for a, b in zip([None, *labels], labels, strict=False) if a != b)
