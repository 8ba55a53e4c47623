"""The annotator for people: series in, checked descriptions out, each with its confidence.

Knows frames, panels and arrays; the work is the `AnnotationEngine`'s. Everything the language
model does is charged to a ledger first, also where no budget was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from loracast.adapters import AdapterConfig, adapter_folder
from loracast.annotation._engine import AnnotationEngine, Answer
from loracast.annotation._fields import ARITHMETIC, LABEL_FIELDS
from loracast.annotation._fitting import AnnotatorReport, fit_annotator, most_steps
from loracast.annotation._inputs import describable, note_of
from loracast.annotation._reading import net_answer
from loracast.annotation._rows import LabelledSeries
from loracast.annotation._schema import Annotation, check_threshold
from loracast.annotation._settings import LONGEST_SERIES, AnnotatorSettings
from loracast.annotation._shipped import adapter_name, check_asked, shipped_annotator
from loracast.errors import ConfigError
from loracast.flops import parse_flops
from loracast.ledger import Ledger
from loracast.model import Product, spending, validated
from loracast.series import Skipped, warn_of_skipped
from loracast.training import Progress

__all__ = ["AnnotationReport", "Annotator"]

DEFAULT_BUDGET = "2e13"
DEFAULT_LENGTHS = (32, 256)
DEFAULT_CALIBRATION = 512


@dataclass(frozen=True)
class AnnotationReport:
    """What the last call of `annotate` cost.

    Args:
        flops: of the language model.
        seconds: of wall time.
        n_series: N.
        skipped: series that could not be described, with their reasons.
        annotator: who described them.
    """

    flops: float
    seconds: float
    n_series: int
    skipped: tuple[Skipped, ...] = ()
    annotator: str = ""


class Annotator(Product[AnnotationEngine, AnnotatorReport]):
    """A language model that describes time series: as it ships, or fitted to your own.

        from loracast import Annotator

        annotator = Annotator.from_pretrained()  # the one that ships with the embedded base
        annotator.annotate(frame, threshold=0.8)
        annotator.fit(rows)  # learns on from rows that you labelled

    Trend and noise (and seasons, breaks and outliers, of an annotator that learned them) are the
    model's judgement. The global maximum and minimum are arithmetic, whatever the model.

    Build one with `from_pretrained` or `load`. `fit_report` and `annotation_report` say what the
    last fit and the last annotations did and cost.

    Args:
        engine: the model with its task.
        seed: of adapter weights, training order and generated series.
    """

    def __init__(self, engine: AnnotationEngine, *, seed: int = 0) -> None:
        super().__init__(engine, seed)
        self.annotation_report: AnnotationReport | None = None
        self._settings = engine.settings
        self._loaded: Path | None = None
        self._base: str | None = None  # where it is, if it moved
        self.name = f"{engine.backbone.name} as it came"

    @classmethod
    def from_pretrained(
        cls,
        model: str = "embedded",
        *,
        numbers: str | None = None,
        fields: Sequence[str] | None = None,
        max_points: int | None = None,
        seed: int = 0,
        bare: bool = False,
    ) -> Annotator:
        """The annotator that ships with the embedded base, or any base as it came.

        Args:
            model: 'embedded', a local folder, or a hub id. With 'embedded' it is the annotator
                that was trained on it and ships with it, unless `bare`; others come as they are.
            numbers: of a base as it came, how a series enters: "continuous" values (None), which
                the embedded base reads as it comes; "measured" values beside what arithmetic reads
                off them, best after a fit; or "digits" as text.
            fields: of an annotation; see `Annotation`. None is
                the four labels (trend, noise, max, min), which is what the shipped one knows.
            max_points: the longest series to describe; None is 1,024 where measured, else 256.
            seed: of everything random.
            bare: the embedded base without its annotator, to fit another one on.

        Raises:
            ModelError: the model cannot be loaded, or its tokenizer does not suit the task.
            AnnotationError: an unknown field or form of numbers.
            ConfigError: `numbers` or `fields` that the shipped annotator does not have.
            AdapterError: the shipped annotator is damaged.
        """
        if model == "embedded" and not bare:
            made = cls.load(shipped_annotator())
            check_asked(made.engine.settings, numbers, fields)
            if max_points is not None:
                own = made.engine.settings.model_dump() | {"max_points": max_points}
                made._settings = made.engine.settings = validated(AnnotatorSettings, own)
            made.seed = seed
            return made
        numbers = numbers or "continuous"
        settings = validated(
            AnnotatorSettings,
            {
                "numbers": numbers,
                "fields": LABEL_FIELDS if fields is None else tuple(fields),
                "max_points": LONGEST_SERIES.get(numbers, 2) if max_points is None else max_points,
            },
        )
        return cls(AnnotationEngine.open(model, settings), seed=seed)

    @classmethod
    def load(cls, folder: str | Path, *, model: str | None = None) -> Annotator:
        """An annotator that `save` or a fit wrote.

        Args:
            folder: of the adapter, or one that holds it as `adapter/`.
            model: where the base is now, if it moved.

        Raises:
            AdapterError: no annotator, or one of another base.
        """
        found = adapter_folder(folder)
        engine = AnnotationEngine.load(found, model=model)
        assert engine.model.manifest is not None
        made = cls(engine, seed=int(engine.model.manifest.training.get("seed", 0)))
        made._saved, made._loaded, made._base = found, found, model
        made.name = f"{engine.backbone.name} with {adapter_name(found)}"
        return made

    def fit(
        self,
        rows: Sequence[LabelledSeries] | None = None,
        budget: str | float = DEFAULT_BUDGET,
        *,
        adapter: AdapterConfig | Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        max_steps: int | None = None,
        lengths: tuple[int, int] = DEFAULT_LENGTHS,
        calibration: int = DEFAULT_CALIBRATION,
        out: str | Path | None = None,
        ledger: Ledger | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Annotator:
        """Adapt the model, for as many steps as the budget affords.

        Every fit starts from what was opened, a second one too: a base is adapted anew, and an
        annotator that was loaded, or that ships, learns on. A fit that fails leaves the annotator
        as it was.

        The loss runs over the answer alone. Temperatures of the confidences are fitted on series
        held out: generated ones, or a tenth of the rows where there are 200 or more; with
        fewer rows they stay as they are.

        Args:
            rows: labelled series (`values`, `facts`), such as `describe_chunk` generates or
                `read_records` and `read_published` read; None trains on an endless stream of
                generated ones.
            budget: FLOPs for training, validation and calibration, for example 2e13 or "20TF".
            adapter: LoRA's rank, targets, ...; see `AdapterConfig`. An annotator that learns on
                keeps its own.
            training: dials of `TrainConfig` to set.
            max_steps: optimiser steps at most, whatever the budget; None is 20,000, or 8 passes
                over the rows.
            lengths: shortest and longest generated series.
            calibration: generated series held out for it, 20 or more to have an effect.
            out: folder for ledger, checkpoints and the adapter, so that a killed fit goes on
                where it stopped; None keeps nothing. A larger budget in the same folder keeps
                the plan of the first and pays for what had to run twice.
            ledger: that grants the budget, and is charged what was used of it.
            progress: called after every step.

        Returns:
            This annotator.

        Raises:
            AnnotationError: rows that cannot be used.
            ConfigError: an impossible dial or budget.
            BudgetExceeded: the budget does not hold one step, nor, after an interruption, what
                had to run twice; or the ledger does not hold the budget.
            StorageError: `out` cannot be written, or belongs to another fit.
        """
        limit = parse_flops(budget)
        if max_steps is None:
            max_steps = most_steps(None if rows is None else len(rows))
        if max_steps < 1 or calibration < 1:
            raise ConfigError(
                f"got max_steps={max_steps}, calibration={calibration}; expected each at least 1"
            )
        if self._loaded is not None and adapter is not None:
            raise ConfigError("got an adapter for an annotator that has one; leave it out")
        if not isinstance(adapter, AdapterConfig):
            adapter = validated(AdapterConfig, adapter or {})
        self._fit(
            out,
            lambda engine, folder: fit_annotator(
                engine,
                None if rows is None else list(rows),
                budget_flops=limit,
                adapter=adapter,
                training=training or {},
                max_steps=max_steps,
                seed=self.seed,
                lengths=lengths,
                calibration=calibration,
                folder=folder,
                ledger=ledger,
                progress=progress,
            ),
        )
        assert self._saved is not None
        self.name = f"{self.engine.backbone.name} with {adapter_name(self._saved)}"
        return self

    def annotate(
        self,
        frame: Any,
        threshold: float | Mapping[str, float] | None = None,
        *,
        how: str = "refuse",
        max_points: int | None = None,
        budget: str | float | None = None,
        ledger: Ledger | None = None,
        value_unit: str | None = None,
        index_unit: str | None = None,
        strict: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> list[Annotation]:
        """Describe every series.

        Args:
            frame: a long pandas or polars frame, a `Panel`, one array (T,), or a list of them.
                A series has one channel, two or more known points and two or more different
                values.
            threshold: fields whose confidence is lower are left out and named in `abstained`;
                one number, or one by field name. None leaves nothing out.
            how: "refuse" a series that is longer than the model reads, or "resample" it.
            max_points: the longest series to show; None takes what the annotator was made for.
            budget: FLOPs it may cost; None sets no limit.
            ledger: to charge in place of a budget.
            value_unit: what a value is counted in; passed on.
            index_unit: what a step is counted in; passed on.
            strict: stop at a series that cannot be described. Otherwise it is left out with a
                `LoracastWarning`, and `annotation_report.skipped` names it.
            progress: called with the number of series just described.

        Returns:
            N annotations, indices in the caller's own. `loracast.annotation.prose` puts
            one into words, in English, French or Chinese. Maximum and minimum are those of the
            numbers (`arithmetic`). A series of fewer points than the annotator learned from has
            the note "short_series"; one of fewer than 16, "too_short": the model is not asked, its
            trend is that of its net change, and other fields are left out.

        Raises:
            DataError: no series that can be described, or, where `strict`, one that cannot.
            AnnotationError: a series that is too long, an unknown `how`, or a threshold outside
                0 to 1 or of an unknown field.
            BudgetExceeded: it does not fit.
            ConfigError: a budget and a ledger.
        """
        check_threshold(threshold)
        points = self.engine.settings.max_points if max_points is None else max_points
        if points < 2:
            raise ConfigError(f"got max_points={points}; expected at least 2")
        series, shown, skipped = describable(frame, points, how, strict)
        settings = self.engine.settings
        notes = [note_of(s.values, settings.min_points) for s in series]
        if set(settings.fields) <= set(ARITHMETIC):
            notes = [None] * len(series)
        # The model is asked about those that are long enough; the others come between its answers.
        judged = [i for i, note in enumerate(notes) if note != "too_short"]
        whole = [series[i].values for i in judged]
        said = iter(self._answered([shown[i] for i in judged], whole, budget, ledger, progress))
        answers = [
            net_answer(settings, s.values) if note == "too_short" else next(said)
            for s, note in zip(series, notes, strict=True)
        ]
        if progress is not None and len(judged) < len(series):
            progress(len(series) - len(judged))
        assert self.annotation_report is not None
        self.annotation_report = replace(
            self.annotation_report, n_series=len(series), skipped=skipped, annotator=self.name
        )
        warn_of_skipped(skipped, len(series) + len(skipped))
        return [
            Annotation.from_facts(
                answer.facts,
                s.index,
                answer.confidence,
                threshold,
                fields=_told(settings.fields, note),
                id=s.id,
                index_unit=index_unit,
                value_unit=value_unit,
                arithmetic=ARITHMETIC,
                notes=() if note is None else (note,),
                annotator=self.name,
            )
            for s, note, answer in zip(series, notes, answers, strict=True)
        ]

    def _answered(
        self,
        shown: list[np.ndarray],
        whole: list[np.ndarray],
        budget: str | float | None,
        ledger: Ledger | None,
        progress: Callable[[int], None] | None,
    ) -> list[Answer]:
        started = time.monotonic()
        if not shown:
            self.annotation_report = AnnotationReport(0.0, 0.0, 0)
            return []
        with spending(ledger, budget) as paying:
            before = paying.charged_flops
            answers = self.engine.answers(shown, whole=whole, ledger=paying, progress=progress)
            flops = paying.charged_flops - before
        seconds = time.monotonic() - started
        self.annotation_report = AnnotationReport(flops, seconds, len(shown))
        return answers

    def _reopened(self) -> AnnotationEngine:
        base = self._engine.backbone
        if self._loaded is None:
            return AnnotationEngine.open(base.name, self._settings, random_start=base.random_start)
        engine = AnnotationEngine.to_train(self._loaded, model=self._base)
        engine.settings = self._settings
        return engine


def _told(fields: tuple[str, ...], note: str | None) -> tuple[str, ...]:
    """The fields that a series with this note is described by."""
    if note != "too_short":
        return fields
    return tuple(name for name in fields if name in (*ARITHMETIC, "trend"))
