"""What the model is asked, with a gap where the series enters.

Digits fill the gap as text, `[02, 01, ...]` through the `annotation` codec; continuous values
leave it open, and the caller puts one position a time step between the two texts. Knows no
tokenizer but the one it is handed, and of that only the chat template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loracast.annotation._fields import SERIES_FIELDS, check_fields
from loracast.codec import AnnotationCodec
from loracast.errors import AnnotationError

__all__ = [
    "NUMBER_FORMS",
    "PROMPT_PROFILES",
    "PUBLISHED_INSTRUCTION",
    "AnnotationPrompt",
    "annotation_prompt",
    "series_text",
]

PROMPT_PROFILES = ("short", "published")
NUMBER_FORMS = ("digits", "continuous", "measured")

# Of the published examples, letter by letter.
PUBLISHED_INSTRUCTION = (
    "\n/think Describe the time series in three sentences. First sentence: describe trend "
    "(increasing/decreasing/flat). Second sentence: noise intensity (low/medium/high). Third "
    "sentence: approximate localisation of global maximum (beginning/middle/end) and global "
    "minimum (beginning/middle/end).\nPut the description in a JSON format with the following "
    'pattern\n```json\n{ "trend": <sentence1>,\n  "noise": <sentence2>,\n  "extrema": '
    "<sentence3> }\n```\n Series: "
)
_GAP = "\ue000"  # of the private use area: stands in no instruction and no digit text


@dataclass(frozen=True)
class AnnotationPrompt:
    """An instruction around a series.

    Args:
        before: text up to the series.
        series: the series as text; None where its values enter as numbers.
        after: text from the series to the answer.
        values: (T, C) the values that enter as numbers, raw; None where they are text.
    """

    before: str
    series: str | None
    after: str
    values: np.ndarray | None = None

    @property
    def text(self) -> str:
        """The whole prompt, of a series shown as text.

        Raises:
            AnnotationError: values that enter as numbers.
        """
        if self.series is None:
            raise AnnotationError(
                "got a prompt whose values are no text; tokenize `before` and `after` apart"
            )
        return self.before + self.series + self.after

    def chat(self, tokenizer: Any) -> AnnotationPrompt:
        """The prompt as the user's turn, where the tokenizer has a chat template; else itself.

        Args:
            tokenizer: of transformers, with `chat_template` and `apply_chat_template`.

        Raises:
            AnnotationError: a template that does not show the user's text exactly once.
        """
        if not getattr(tokenizer, "chat_template", None):
            return self
        content = self.before + _GAP + self.after.rstrip("\n")
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        before, *rest = str(text).split(_GAP)
        if len(rest) != 1:
            raise AnnotationError(
                f"got a chat template that shows the user's text {len(rest)} times; expected once"
            )
        return AnnotationPrompt(before, self.series, rest[0], self.values)


def series_text(values: np.ndarray) -> str:
    """`[02, 01, ...]` of a series (T,) or (T, 1); channels of (T, C) follow on lines of their own.

    Each channel runs from 00, its minimum, to 99, its maximum; `??` is a missing value.

    Raises:
        CodecError: nothing but missing values in a channel, or an infinity.
    """
    columns = _columns(values)
    codec = AnnotationCodec()
    texts = []
    for c in range(columns.shape[1]):
        column = columns[:, c : c + 1]
        texts.append(codec.text(codec.encode(column, codec.fit(column))))
    return "\n".join(texts)


def annotation_prompt(
    values: np.ndarray,
    *,
    profile: str = "short",
    numbers: str = "digits",
    fields: Sequence[str] = SERIES_FIELDS,
) -> AnnotationPrompt:
    """The prompt that asks for an answer about one series.

    Args:
        values: (T,) or (T, C), NaN where missing; already short enough (`fit_length`).
        profile: "short" names the wanted fields; "published" is the instruction of the published
            examples, which asks for three sentences.
        numbers: one of NUMBER_FORMS; "digits" alone is text.
        fields: of the answer; the published profile has its own.

    Raises:
        AnnotationError: an unknown profile, form or field; an empty or all-missing series.
    """
    if profile not in PROMPT_PROFILES or numbers not in NUMBER_FORMS:
        raise AnnotationError(
            f"got profile={profile!r}, numbers={numbers!r}; expected one of {PROMPT_PROFILES} and "
            f"one of {NUMBER_FORMS}"
        )
    columns = _columns(values)
    if profile == "published":
        before, after = PUBLISHED_INSTRUCTION, ""
    else:
        names = ", ".join(check_fields(fields))
        before = f"Describe the time series in JSON: {names}.\nSeries: "
        after = "\nJSON: "
    if numbers != "digits":
        return AnnotationPrompt(before, None, after, columns)
    return AnnotationPrompt(before, series_text(columns), after)


def _columns(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    columns = array[:, None] if array.ndim == 1 else array
    if columns.ndim != 2 or 0 in columns.shape:
        raise AnnotationError(
            f"got a series of shape {array.shape}; expected (T,) or (T, C) with at least one point"
        )
    if not np.isfinite(columns).any(axis=0).all():
        raise AnnotationError(
            "got a series (or a channel) without a single number; expected at least one"
        )
    return columns
