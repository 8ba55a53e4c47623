"""The annotation task: a described series becomes a training sequence or a prompt.

    instruction tokens | the series | question tokens | answer tokens, end of text

The series enters as text, or as numbers at positions of their own (`_shown.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loracast.annotation._answer import answer_text, value_spans
from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import LABEL_FIELDS
from loracast.annotation._prompt import annotation_prompt
from loracast.annotation._shown import continuous_form, measured_form
from loracast.backbone import Numbers
from loracast.errors import AnnotationError
from loracast.training import IGNORED, Example, SoftLabel

__all__ = ["AnnotationTask", "Question"]


@dataclass(frozen=True)
class Question:
    """An encoded prompt: token ids (L,), and the numbers that stand among them."""

    ids: np.ndarray
    numbers: Numbers | None
    length: int


class AnnotationTask:
    """Series in, prompts and training examples out.

    Args:
        tokenizer: of the model, over full ids.
        place_id: the token that holds the place of a number.
        numbers: one of NUMBER_FORMS, how the series enters.
        fields: of the answer.
        end_id: the token that ends an answer.
        bos: full id of the token that starts a document, or None.
        places: whether an answer also has the place of an extremum beside its region.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        place_id: int,
        end_id: int,
        numbers: str = "continuous",
        fields: Sequence[str] = LABEL_FIELDS,
        bos: int | None = None,
        places: bool = False,
    ) -> None:
        self.tokenizer, self.numbers = tokenizer, numbers
        self.fields = tuple(fields)
        self.place_id, self.end_id, self.bos = place_id, end_id, bos
        self.places = places
        self._texts: dict[str, np.ndarray] = {}

    def _ids(self, text: str) -> np.ndarray:
        return np.asarray(self.tokenizer.encode(text, add_special_tokens=False), dtype=np.int64)

    def _fixed(self, text: str) -> np.ndarray:
        """Ids of an instruction; the same few texts come again and again."""
        if text not in self._texts:
            self._texts[text] = self._ids(text)
        return self._texts[text]

    def question(self, values: np.ndarray) -> Question:
        """The prompt for one series (T,), NaN where missing.

        Raises:
            AnnotationError: an empty or all-missing series.
        """
        prompt = annotation_prompt(values, numbers=self.numbers, fields=self.fields)
        asked = prompt.chat(self.tokenizer)
        first = np.array([] if self.bos is None else [self.bos], dtype=np.int64)
        if asked.series is not None:
            ids = np.concatenate([first, self._ids(asked.text)])
            return Question(ids, None, len(values))
        if asked.values is None or asked.values.shape[1] != 1:
            raise AnnotationError("got several channels; expected one series (T,) at a time")
        before = np.concatenate([first, self._fixed(asked.before)])
        form = measured_form if self.numbers == "measured" else continuous_form
        z, statics = form(asked.values[:, 0])
        shown = Numbers(len(before), z, statics, asked_from=len(z))
        place = np.full(len(z), self.place_id, dtype=np.int64)
        return Question(
            np.concatenate([before, place, self._fixed(asked.after)]), shown, len(values)
        )

    def example(
        self, values: np.ndarray, facts: SeriesFacts, told: Collection[str] | None = None
    ) -> Example:
        """A training sequence; the loss runs over the answer and the end of text alone.

        Without places, it runs over labels, numbers and the end, not over keys and brackets.

        Args:
            values: (T,), NaN where missing.
            facts: what is known about them.
            told: the fields to learn, of those asked for; None is all.

        Raises:
            AnnotationError: facts that cannot be written as an answer.
        """
        question = self.question(values)
        wanted = self.fields if told is None else told
        text = answer_text(facts, self.fields, places=self.places)
        answer = self._ids(text)
        ids = np.concatenate([question.ids, answer, [self.end_id]])
        labels = np.full(len(ids), IGNORED, dtype=np.int64)
        labels[len(question.ids) :] = ids[len(question.ids) :]
        if not self.places or told is not None:
            spans = value_spans(text)
            open_ = self._covered(text, [spans[name] for name in wanted])
            labels[len(question.ids) : -1][~open_] = IGNORED
        soft = self._soft(text, answer, len(question.ids), facts, wanted)
        return Example(ids, labels, question.numbers, soft)

    def _soft(
        self, text: str, answer: np.ndarray, start: int, facts: SeriesFacts, wanted: Collection[str]
    ) -> tuple[SoftLabel, ...]:
        """Of the answer (A,) at `start`: label tokens that are shared with other labels.

        Told apart at the first token in which the labels differ; labels that do not all differ
        there stay hard.
        """
        out = []
        for name, shares in facts.soft_labels.items():
            label = max(shares, key=lambda known: shares[known])
            if name not in wanted or f'"{name}":"{label}"' not in text:
                continue
            before = text[: text.index(f'"{name}":"{label}"') + len(name) + 4]
            written = {known: self._fixed(f'{before}{known}"') for known in shares}
            columns = enumerate(zip(*(ids.tolist() for ids in written.values()), strict=False))
            at, tokens = next((k, c) for k, c in columns if len(set(c)) > 1)
            if len(set(tokens)) == len(tokens) and answer[at] == written[label][at]:
                out.append(SoftLabel(start + at, tokens, tuple(shares.values())))
        return tuple(out)

    def _covered(self, text: str, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """(A,) which tokens of a text have a part in any of these (start, stop) of characters."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        begins, ends = np.array(encoded["offset_mapping"]).T
        out = np.zeros(len(begins), dtype=bool)
        for start, stop in spans:
            out |= (ends > start) & (begins < stop)
        return out
