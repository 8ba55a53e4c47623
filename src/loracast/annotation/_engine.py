"""A model, the annotation task and its costs under one roof: what an `Annotator` drives.

Knows series as arrays and answers as facts, not frames and files. Every FLOP goes through the
ledger it is given. The base keeps its whole vocabulary: it reads and writes text.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loracast.annotation._fields import ARITHMETIC, LABEL_FIELDS, SERIES_FIELDS, check_fields
from loracast.annotation._prompt import NUMBER_FORMS
from loracast.annotation._reading import (
    Answer,
    arithmetic_answer,
    choices_of,
    legal_answers,
    read_answer,
)
from loracast.annotation._settings import (
    ANNOTATOR_FILE,
    LONGEST_SERIES,
    AnnotatorSettings,
    read_settings,
)
from loracast.annotation._task import AnnotationTask, Question
from loracast.backbone import load_backbone, symbol_ids
from loracast.decoding import Guide, Guided, Work, guided_answers, plan_guided
from loracast.errors import AnnotationError, ModelError
from loracast.ledger import Key, Ledger
from loracast.model import AdaptedModel, spending, work_sha256

__all__ = ["AnnotationEngine", "Answer"]

# Bytes of the longest legal answers, with places: label fields alone, all fields of one series.
LABEL_BYTES, ANSWER_BYTES = 96, 256

_CODECS: dict[str, dict[str, Any]] = {
    "continuous": {"name": "continuous", "transform": "linear"},
    "digits": {"name": "annotation"},
    "measured": {"name": "continuous", "transform": "linear"},
}


class AnnotationEngine:
    """A backbone that answers questions about series, adapted or not.

    Args:
        model: a backbone with its whole vocabulary, adapted or not.
        settings: how series enter and what is asked.

    Raises:
        AnnotationError: an unknown field or form of numbers.
        ModelError: a tokenizer that does not suit the task.
    """

    def __init__(self, model: AdaptedModel, settings: AnnotatorSettings) -> None:
        if settings.numbers not in NUMBER_FORMS:
            raise AnnotationError(
                f"got numbers={settings.numbers!r}; expected one of {', '.join(NUMBER_FORMS)}"
            )
        fields = tuple(check_fields(settings.fields))
        if not set(fields) <= set(SERIES_FIELDS):
            raise AnnotationError(
                f"got the fields {', '.join(fields)}; an annotator reads one series at a time: "
                f"expected some of {', '.join(SERIES_FIELDS)}"
            )
        self.model, self.backbone = model, model.backbone
        backbone = model.backbone
        self.settings = settings.model_copy(update={"fields": fields})
        end = backbone.tokenizer.eos_token_id
        if end is None:
            raise ModelError(
                f"the tokenizer of {backbone.name} has no token that ends a text; expected one "
                "with an eos_token"
            )
        self.task = AnnotationTask(
            backbone.tokenizer,
            place_id=int(symbol_ids(backbone.tokenizer, (";",), adjacent_digits=False)[0]),
            end_id=int(end),
            numbers=settings.numbers,
            fields=fields,
            bos=backbone.bos_full_id,
            # As the embedded base learned it in its pretraining, which knew no measurements.
            places=settings.numbers != "measured",
        )
        self._guide: Guide | None = None

    @classmethod
    def open(
        cls, model: str, settings: AnnotatorSettings, *, random_start: int | None = None
    ) -> AnnotationEngine:
        """Load a base.

        Raises:
            ModelError: the model cannot be loaded, or its tokenizer does not suit the task.
        """
        backbone = load_backbone(model, random_start=random_start)
        backbone.use_numeric_head(settings.numbers != "digits", seed=random_start or 0)
        backbone.model.eval()
        return cls(AdaptedModel(backbone), settings)

    @classmethod
    def load(cls, folder: Path, *, model: str | None = None) -> AnnotationEngine:
        """Load a saved annotator with its base, the adapter merged.

        Raises:
            AdapterError: not an annotator, or of another base.
        """
        settings = read_settings(folder)
        return cls(AdaptedModel.load(folder, model=model), settings)

    @classmethod
    def to_train(cls, folder: Path, *, model: str | None = None) -> AnnotationEngine:
        """Load a saved annotator whose adapter is to be trained further; as `load`."""
        settings = read_settings(folder)
        return cls(AdaptedModel.load_to_train(folder, model=model), settings)

    @property
    def answer_bytes(self) -> int:
        """At most, of an answer."""
        labels_alone = set(self.settings.fields) <= set(LABEL_FIELDS)
        return LABEL_BYTES if labels_alone else ANSWER_BYTES

    @property
    def guide(self) -> Guide:
        """Legal tokens of this model; made when first needed."""
        if self._guide is None:
            vocabulary = self.backbone.vocabulary
            self._guide = Guide(
                self.backbone.tokenizer, vocabulary.full_size, self.task.end_id, vocabulary.kept
            )
        return self._guide

    def identity(self) -> str:
        """Of base, settings and adapter: what an answer depends on beside its question."""
        return self.model.identity({"settings": self.settings.model_dump(mode="json")})

    def work_flops(self, work: Work, convention: str = "exact") -> float:
        """What prefills and guided decoding cost."""
        return self.model.work_flops(work, convention)

    def untuned_settings(self, numbers: str | None = None) -> AnnotatorSettings:
        """The same task for the bare base."""
        numbers = numbers or self.settings.numbers
        points = min(self.settings.max_points, LONGEST_SERIES[numbers])
        update = {"temperatures": {}, "scales": {}, "numbers": numbers, "max_points": points}
        return self.settings.model_copy(update=update)

    def _questions(self, series: Sequence[np.ndarray], shots: Sequence[Any] = ()) -> list[Question]:
        questions = [self.task.question(values) for values in series]
        if not shots:
            return questions
        if self.settings.numbers != "digits":
            raise AnnotationError(
                "got worked examples for numbers that are no text; show them as digits"
            )
        before = [self.task.example(shot.values, shot.facts).ids for shot in shots]
        return [Question(np.concatenate([*before, q.ids]), None, q.length) for q in questions]

    def fits(self, series: Sequence[np.ndarray], shots: Sequence[Any] = ()) -> bool:
        """Whether the model has positions for every question behind the worked examples."""
        limit = getattr(self.backbone.model.config, "max_position_embeddings", None)
        longest = max(len(q.ids) for q in self._questions(series, shots))
        return limit is None or longest + self.answer_bytes <= int(limit)

    def answers(
        self,
        series: Sequence[np.ndarray],
        *,
        whole: Sequence[np.ndarray] | None = None,
        shots: Sequence[Any] = (),
        ledger: Ledger | None = None,
        stage: str = "annotate",
        progress: Callable[[int], None] | None = None,
    ) -> list[Answer]:
        """What the model says about N series.

        Args:
            series: N arrays (T,), NaN where missing, each short enough for the model.
            whole: the N arrays that these are resampled from, and that the facts are about; None
                where they are not.
            shots: labelled series to show with their answers before each question, as digits.
            ledger: charged before the work starts; None charges one that is thrown away.
            stage: its name there.
            progress: called with the number of series just answered.

        Raises:
            AnnotationError: a series that cannot be shown.
            BudgetExceeded: the ledger refuses.
        """
        questions = self._questions(series, shots)
        whole = series if whole is None else whole
        planned = plan_guided([len(q.ids) for q in questions], self.answer_bytes)
        asked = work_sha256({"model": self.identity()}, [*(q.ids for q in questions), *series])
        with spending(ledger) as paying:
            most = self.work_flops(planned, paying.convention)
            key = Key(stage, "generate", asked)
            with paying.charge(key, most, stage=stage, kind="generate") as charge:
                done = self._decoded(questions, whole, progress)
                charge.flops = self.work_flops(done, paying.convention)
        return self._read(done, questions, whole)

    def counted_answers(
        self,
        series: Sequence[np.ndarray],
        whole: Sequence[np.ndarray],
        shots: Sequence[Any] = (),
        *,
        ledger: Ledger | None = None,
        stage: str = "annotate",
    ) -> tuple[list[Answer], float]:
        """As `answers`, and the FLOPs it took."""
        with spending(ledger) as paying:
            before = paying.charged_flops
            said = self.answers(series, whole=whole, shots=shots, ledger=paying, stage=stage)
            return said, paying.charged_flops - before

    def _decoded(
        self,
        questions: Sequence[Question],
        whole: Sequence[np.ndarray],
        progress: Callable[[int], None] | None = None,
    ) -> Guided:
        rows = [
            (self.settings, q.length, v, self.task.places)
            for q, v in zip(questions, whole, strict=True)
        ]
        if set(self.settings.fields) <= set(ARITHMETIC):
            if progress is not None:
                progress(len(rows))
            return Guided((), 0, 0, 0, [arithmetic_answer(*row) for row in rows])
        return guided_answers(
            self.backbone.model,
            questions,
            [legal_answers(*row) for row in rows],
            self.guide,
            choices=choices_of(self.settings),
            progress=progress,
        )

    def _read(
        self, done: Guided, questions: Sequence[Question], whole: Sequence[np.ndarray]
    ) -> list[Answer]:
        rows = zip(done.answers, questions, whole, strict=True)
        return [read_answer(self.settings, said, q.length, values) for said, q, values in rows]

    def save(self, folder: Path, training: Mapping[str, Any] | None = None) -> None:
        """Save adapter and settings; see `adapters.save_adapter` for what may be raised."""
        with tempfile.TemporaryDirectory(prefix="loracast-") as scratch:
            path = Path(scratch) / ANNOTATOR_FILE
            path.write_text(self.settings.model_dump_json(indent=1) + "\n", encoding="utf-8")
            extra = {ANNOTATOR_FILE: path}
            self.model.save(
                folder,
                codec=_CODECS[self.settings.numbers],
                context_steps=self.settings.max_points,
                n_channels=1,
                training=dict(training or {}) | {"task": "annotation"},
                extra_files=extra,
            )
