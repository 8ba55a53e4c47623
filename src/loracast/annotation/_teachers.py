"""Teachers: whoever says what a series is like, behind one small protocol.

A series goes in, a label comes out: facts, or the reason why there are none. The teacher that asks
a server is in `_teacher_openai.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._records import AnnotatedSeries
from loracast.annotation._rules import published_rules, robust_rules
from loracast.errors import ConfigError, DataError

__all__ = [
    "LatentTeacher",
    "RuleTeacher",
    "Teacher",
    "TeacherLabel",
]

RULES: Mapping[str, Callable[[np.ndarray], SeriesFacts]] = {
    "published": published_rules,
    "robust": robust_rules,
}


@dataclass(frozen=True)
class TeacherLabel:
    """What a teacher says about one series.

    Args:
        facts: what is said; None where there is no usable answer.
        reason: why there is none, one line.
        asked: whether the teacher was asked at all: a cap may end a run before.
        provenance: of the label, as JSON values: model, seed ...
    """

    facts: SeriesFacts | None
    reason: str = ""
    asked: bool = True
    provenance: Mapping[str, Any] = field(default_factory=dict)


class Teacher(Protocol):
    """Describes series."""

    @property
    def name(self) -> str:
        """What its labels are filed under."""

    def describe(self, items: Sequence[AnnotatedSeries]) -> list[TeacherLabel]:
        """One label for each of N series, in their order.

        Raises:
            LoracastError: it cannot work at all.
        """


class LatentTeacher:
    """Says what a series was built from: the facts that its generator gave it."""

    name = "latents"

    def describe(self, items: Sequence[AnnotatedSeries]) -> list[TeacherLabel]:
        """The facts that the series come with."""
        return [TeacherLabel(item.facts) for item in items]


class RuleTeacher:
    """Reads the numbers, and nothing else, by one of the rule engines.

    Args:
        rules: "published" or "robust".
        advance: called with 1 after each series.

    Raises:
        ConfigError: another name.
    """

    def __init__(self, rules: str, advance: Callable[[int], None] | None = None) -> None:
        if rules not in RULES:
            raise ConfigError(f"got the rules {rules!r}; expected one of {', '.join(RULES)}")
        self.name, self._rules, self._advance = rules, RULES[rules], advance

    def describe(self, items: Sequence[AnnotatedSeries]) -> list[TeacherLabel]:
        """What the rules read; a series they cannot read gets none, with the reason.

        Raises:
            ConfigError: a library that the robust rules need is not installed.
        """
        labels = []
        for item in items:
            try:
                labels.append(TeacherLabel(self._rules(np.asarray(item.values))))
            except DataError as error:
                labels.append(TeacherLabel(None, str(error)))
            if self._advance:
                self._advance(1)
        return labels
