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

from loracast.adapters import (
    AdapterConfig,
    AdapterManifest,
    attach_lora,
    load_adapter,
    lora_parameters,
    read_manifest,
    save_adapter,
)
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
from loracast.backbone import Backbone, load_backbone, symbol_ids, values_of
from loracast.decoding import Guide, Guided, Work, guided_answers, plan_guided
from loracast.errors import AnnotationError, ModelError
from loracast.flops import LoraSpec, get_convention
from loracast.ledger import Ledger
from loracast.model import spending, work_sha256
from loracast.training import Meter

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
        backbone: a loaded model with its whole vocabulary.
        settings: how series enter and what is asked.
        adapter: how the model is adapted; None while it is the bare base.
        lora: what the adapter costs when it runs beside the base; None once merged.

    Raises:
        AnnotationError: an unknown field or form of numbers.
        ModelError: a tokenizer that does not suit the task.
    """

    def __init__(
        self,
        backbone: Backbone,
        settings: AnnotatorSettings,
        adapter: AdapterConfig | None = None,
        lora: LoraSpec | None = None,
    ) -> None:
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
        self.backbone, self.adapter, self.lora = backbone, adapter, lora
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
        self.architecture = backbone.architecture
        self.manifest: AdapterManifest | None = None
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
        backbone.use_values(settings.numbers != "digits", seed=random_start or 0)
        backbone.model.eval()
        return cls(backbone, settings)

    @classmethod
    def load(cls, folder: Path, *, model: str | None = None) -> AnnotationEngine:
        """Load a saved annotator with its base, the adapter merged.

        Raises:
            AdapterError: not an annotator, or of another base.
        """
        settings = read_settings(folder)
        backbone, manifest = load_adapter(folder, model=model)
        if manifest.adapter.method == "lora":
            backbone.model = backbone.model.merge_and_unload()
            backbone.model.eval()
        engine = cls(backbone, settings, manifest.adapter)
        engine.manifest = manifest
        return engine

    @classmethod
    def to_train(cls, folder: Path, *, model: str | None = None) -> AnnotationEngine:
        """Load a saved annotator whose adapter is to be trained further."""
        manifest, settings = read_manifest(folder), read_settings(folder)
        base = load_backbone(model or manifest.model, random_start=manifest.random_start)
        base.use_values(manifest.values is not None)
        lora = manifest.adapter.spec(base.model)
        backbone, manifest = load_adapter(folder, base=base)
        interface = values_of(backbone.model)
        if manifest.adapter.method == "full":
            backbone.model.requires_grad_(True)
        else:
            for name, weight in backbone.model.named_parameters():
                if ".lora_" in name:
                    weight.requires_grad_(True)
            if interface is not None:
                interface.requires_grad_(True)
        engine = cls(backbone, settings, manifest.adapter, lora)
        engine.manifest = manifest
        return engine

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

    def attach(self, adapter: AdapterConfig, seed: int) -> None:
        """Give the model fresh trainable weights."""
        if self.adapter is not None:
            raise ModelError("this model is adapted already; open the base again to start anew")
        self.lora = adapter.spec(self.backbone.model)
        self.backbone.model = attach_lora(self.backbone.model, adapter, seed)
        self.adapter = adapter

    def detach(self) -> None:
        """Undo `attach`."""
        if self.lora is not None:
            self.backbone.model = self.backbone.model.unload()
            self.backbone.model.eval()
        self.adapter = self.lora = None

    def merge(self) -> None:
        """Fold the adapter into the weights, as `load` does it: the answers are the same."""
        if self.lora is not None:
            self.backbone.model = self.backbone.model.merge_and_unload()
            self.backbone.model.eval()
            self.lora = None

    def meter(
        self,
        ledger: Ledger,
        stage: str,
        validation: Sequence[Any] = (),
        *,
        optimizer: str = "adamw",
    ) -> Meter:
        """Prices training of this model for a stage of a ledger."""
        return Meter(
            ledger,
            stage,
            self.architecture,
            self.lora,
            validation,
            values=self.backbone.value_spec,
            device=next(self.backbone.model.parameters()).device.type,
            optimizer=optimizer,
        )

    def identity(self) -> str:
        """Of base, settings and adapter: what an answer depends on beside its question."""
        facts: dict[str, Any] = {
            "base": self.backbone.base_sha256,
            "settings": self.settings.model_dump(mode="json"),
            "adapter": None if self.adapter is None else self.adapter.model_dump(mode="json"),
            "saved": None if self.manifest is None else self.manifest.model_dump(mode="json"),
        }
        trained = lora_parameters(self.backbone.model) if self.manifest is None else {}
        weights = [trained[name].detach().float().cpu().numpy() for name in sorted(trained)]
        return work_sha256(facts, weights)

    def work_flops(self, work: Work, convention: str = "exact") -> float:
        """What prefills and guided decoding cost."""
        rules = get_convention(convention)
        table = rules.decode(
            self.architecture, work.positions, work.cached, work.head_positions, self.lora
        )
        for rows, length in work.prefill:
            table = table + rules.forward(self.architecture, rows, length, self.lora, 1)
        values = self.backbone.value_spec
        if values is not None:
            table = table + values.forward(work.prefill_positions, 0)
        return float(table.total)

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
            key = f"{stage}/generate/{asked}"
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
        if self.adapter is None:
            raise ModelError("nothing to save: the base is as it came; call fit first")
        interface = values_of(self.backbone.model)
        manifest = AdapterManifest(
            model=self.backbone.name,
            base_sha256=self.backbone.base_sha256,
            kept_ids=self.backbone.vocabulary.kept,
            adapter=self.adapter,
            codec=_CODECS[self.settings.numbers],
            context_steps=self.settings.max_points,
            n_channels=1,
            random_start=self.backbone.random_start,
            values=None if interface is None else interface.shape,
            training=dict(training or {}) | {"task": "annotation"},
        )
        with tempfile.TemporaryDirectory(prefix="loracast-") as scratch:
            path = Path(scratch) / ANNOTATOR_FILE
            path.write_text(self.settings.model_dump_json(indent=1) + "\n", encoding="utf-8")
            extra = {ANNOTATOR_FILE: path}
            self.manifest = save_adapter(self.backbone.model, folder, manifest, extra)
