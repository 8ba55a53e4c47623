"""Engine, fit and training rows of an annotator, against hand-made answers and counts."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loracast.annotation import (
    LABEL_FIELDS,
    AnnotatedSeries,
    Annotation,
    AnnotationEngine,
    describe_chunk,
    label_of,
    region_of,
)
from loracast.annotation._annotator import Annotator
from loracast.annotation._answer import answer_text
from loracast.annotation._confidence import fit_scales, fit_temperatures
from loracast.annotation._facts import Extremum, SeriesFacts, TrendSegment
from loracast.annotation._fitting import _divided, _sha256
from loracast.annotation._rows import POOL, DescribedStream, labelled_example, shortened
from loracast.annotation._sentences import profile_sentences
from loracast.backbone import numeric_head_of
from loracast.decoding import plan_guided
from loracast.errors import AnnotationError, BudgetExceeded, StorageError
from loracast.training import IGNORED

LENGTHS = (20, 40)
EVERY_FIELD = (*LABEL_FIELDS, "seasonality", "change_points", "segments", "outliers")


def _rows(n: int, seed: int = 3) -> list:
    return describe_chunk(seed, 0, n, lengths=LENGTHS)


@pytest.fixture(scope="module")
def measured(base: str) -> AnnotationEngine:
    """A bare base that is asked for every field of a measured series."""
    return Annotator.from_pretrained(base, numbers="measured", fields=EVERY_FIELD).engine


def test_too_little_confidence_is_raised_and_no_scale_turns_it_around() -> None:
    """Stated at a third of what is true; answers that are right where they seem wrong."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (400, 3))
    true = [rng.choice(3, p=np.exp(z) / np.exp(z).sum()) for z in logits]
    regions = ("beginning", "middle", "end")
    rows = [
        {"min": dict(zip(regions, np.exp(z / 3) / np.exp(z / 3).sum(), strict=True))}
        for z in logits
    ]
    extrema = [(Extremum("max", 0, 0.0, "beginning"), Extremum("min", 0, 0.0, regions[k]))
               for k in true]  # fmt: skip
    truth = [SeriesFacts(length=5, extrema=e) for e in extrema]
    assert label_of(truth[0], "min") == regions[true[0]]
    assert fit_temperatures(rows, truth)["min"] == pytest.approx(1 / 3, rel=0.2)
    stated = rng.uniform(0.05, 0.95, 200)
    told = [{"outliers": bool(rng.random() > p)} for p in stated]
    assert fit_scales([{"outliers": float(p)} for p in stated], told)["outliers"][0] == 0.0


def test_temperatures_and_scales_reach_the_confidences(
    measured: AnnotationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales = dict.fromkeys(EVERY_FIELD[4:], (2.0, -1.0))
    update = {"temperatures": dict.fromkeys(LABEL_FIELDS, 4.0), "scales": scales}
    changed = measured.settings.model_copy(update=update)
    monkeypatch.setattr(measured, "settings", changed)
    for answer in measured.answers([r.values for r in _rows(3)]):
        for name, p in answer.probabilities.items():
            flat = np.maximum(list(p.values()), 1e-9) ** 0.25
            assert answer.confidence[name] == pytest.approx(flat.max() / flat.sum(), rel=1e-4)
        for name, p in answer.likelihood.items():
            odds = np.exp(-1.0) * (p / (1 - p)) ** 2
            assert answer.confidence[name] == pytest.approx(odds / (1 + odds), rel=1e-4)


@pytest.mark.parametrize("numbers", ["measured", "continuous", "digits"])
def test_extrema_are_those_of_the_numbers_in_every_mode_and_no_model_is_asked(
    base: str, numbers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Annotator.from_pretrained(base, numbers=numbers).engine
    series = [r.values for r in _rows(8)]
    shots = _rows(2, seed=8) if numbers == "digits" else ()
    for answer, values in zip(engine.answers(series, shots=shots), series, strict=True):
        places = {e.kind: e.index for e in answer.facts.extrema}
        assert places == {"max": np.nanargmax(values), "min": np.nanargmin(values)}
        assert all(e.value == values[e.index] for e in answer.facts.extrema)
        assert set(answer.probabilities) == {"trend", "noise"}
        assert (answer.confidence["max"], answer.confidence["min"]) == (1.0, 1.0)
    alone = Annotator.from_pretrained(base, numbers=numbers, fields=("max", "min")).engine
    monkeypatch.setattr("loracast.annotation._engine.guided_answers", None)
    for answer, values in zip(alone.answers(series), series, strict=True):
        assert [e.index for e in answer.facts.extrema] == [
            np.nanargmax(values),
            np.nanargmin(values),
        ]


def test_the_longest_answers_fit_into_what_is_planned(annotator, measured) -> None:
    T = 1024
    facts = SeriesFacts(
        T,
        trend="decreasing",
        noise="medium",
        extrema=tuple(Extremum(k, 5, 0.0, "beginning") for k in ("max", "min")),
        period=1000.0,
        change_points=(200, 400, 600),
        segments=tuple(
            TrendSegment(a, b - 1, "decreasing", 0.0)
            for a, b in ((0, 200), (200, 400), (400, 600), (600, T))
        ),
        outliers=(100, 300, 500),
    )
    assert len(answer_text(facts, EVERY_FIELD)) <= measured.answer_bytes
    assert len(answer_text(facts, LABEL_FIELDS)) <= annotator[0].engine.answer_bytes


def test_a_prefill_costs_two_flops_a_weight_and_position(base: str) -> None:
    engine = Annotator.from_pretrained(base, numbers="digits").engine
    work = plan_guided([50, 50], 96)
    more = replace(work, prefill=((40, 50), *work.prefill))
    model = engine.backbone.model.model
    weights = sum(w.numel() for w in model.layers.parameters() if w.ndim == 2)
    attention = 2 * 4 * 64 * 50  # 2 layers, 64 wide: scores and mix over 50 keys
    head = 40 * 2 * model.embed_tokens.weight.numel()  # one position a row
    found = engine.work_flops(more) - engine.work_flops(work)
    assert found == pytest.approx(40 * 50 * (2 * weights + attention) + head, rel=0.05)


def test_worked_examples_stand_before_the_question(base: str) -> None:
    engine = Annotator.from_pretrained(base, numbers="digits").engine
    shots, values = _rows(2, seed=8), _rows(1)[0].values
    plain, asked = engine._questions([values])[0].ids, engine._questions([values], shots)[0].ids
    first = engine.task.example(shots[0].values, shots[0].facts).ids
    assert np.array_equal(asked[: len(first)], first)
    assert np.array_equal(asked[-len(plain) :], plain)


def test_the_untuned_base_is_shown_no_more_than_it_knows(measured: AnnotationEngine) -> None:
    bare = measured.untuned_settings("continuous")
    assert (measured.settings.max_points, bare.max_points) == (1024, 256)
    assert (bare.numbers, bare.fields) == ("continuous", EVERY_FIELD)


def test_what_was_trained_is_trained_further(annotator) -> None:
    engine = AnnotationEngine.to_train(annotator[1] / "adapter")
    interface = numeric_head_of(engine.backbone.model)
    assert all(weight.requires_grad for weight in interface.parameters())
    lora = [w for n, w in engine.backbone.model.named_parameters() if ".lora_" in n]
    assert lora and all(weight.requires_grad for weight in lora)


def test_rows_are_learned_more_slowly_than_the_stream(annotator) -> None:
    made, out = annotator
    assert made.fit_report.config.learning_rate == 8e-4
    further = Annotator.load(out).fit(_rows(3), budget=1e11, max_steps=1)
    assert further.fit_report.config.learning_rate == 5e-4


def test_a_tight_budget_holds_validation_and_calibration_as_well(base: str) -> None:
    made = Annotator.from_pretrained(base).fit(
        budget=8e9, max_steps=1000, lengths=LENGTHS, calibration=24, training={"batch_size": 2}
    )
    report = made.fit_report
    assert 0 < report.training.steps == report.config.steps < 1000
    assert report.training.stopped == "completed" and report.flops <= 8e9
    assert set(report.temperatures) == {"trend", "noise"}


def test_held_out_rows_are_not_trained_on_and_labels_are_part_of_a_fit() -> None:
    rows = _rows(200)
    train, held = _divided(rows, 0, LENGTHS, 24)
    assert (len(train), len(held)) == (180, 20)
    assert {id(r) for r in train} | {id(r) for r in held} == {id(r) for r in rows}
    assert _divided(rows[:199], 0, LENGTHS, 24) == (rows[:199], [])
    other = replace(rows[0], facts=replace(rows[0].facts, trend=None))
    assert _sha256(rows[:1]) != _sha256([other])


def test_rows_are_known_again_by_another_process() -> None:
    """A set is written in another order by every process; what names a fit must not be."""
    code = (
        "from loracast.annotation import describe_chunk\n"
        "from loracast.annotation._fitting import _sha256\n"
        f"print(_sha256(list(describe_chunk(4, 0, 3, lengths={LENGTHS}))))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    rows = list(describe_chunk(4, 0, 3, lengths=LENGTHS))
    assert max(len(row.facts.clear) for row in rows) > 1
    assert said == [_sha256(rows)] * 2
    # Rows that name one field at most are known as earlier versions knew them.
    plain = replace(rows[0], facts=replace(rows[0].facts, clear=frozenset({"trend"})))
    seen = hashlib.sha256(plain.values.tobytes() + repr(plain.facts).encode()).hexdigest()
    assert _sha256([plain]) == seen


def test_shortened_series_come_with_facts_about_them() -> None:
    for row in _rows(20):
        values, facts = shortened(row.values, row.facts, 15)
        assert len(values) == facts.length == 15
        assert all(0 <= k < 15 for k in (*facts.change_points, *facts.outliers))
        for e in facts.extrema:
            assert e.region == region_of(e.index, 15)


def test_the_stream_never_repeats_and_mixes_lengths(annotator) -> None:
    stream = DescribedStream(annotator[0].engine.task, 3, 7, LENGTHS, 256)
    batches = [stream.batch(step) for step in range(2 * POOL)]
    shown = [e.numbers.values.tobytes() for batch in batches for e in batch]
    assert len(set(shown)) == len(shown)
    longest = [max(len(e) for e in batch) for batch in batches[:POOL]]
    assert longest != sorted(longest)


def test_a_label_that_is_not_told_leaves_the_other_fields_their_loss(
    measured: AnnotationEngine,
) -> None:
    task = measured.task
    row = next(r for r in _rows(50) if r.facts.outliers and r.facts.noise)
    full = labelled_example(task, row, 1024)
    silent = labelled_example(task, replace(row, facts=replace(row.facts, noise=None)), 1024)
    lost = int((full.labels != IGNORED).sum() - (silent.labels != IGNORED).sum())
    assert lost == len(task.tokenizer.encode(row.facts.noise))


def test_extrema_of_a_resampled_series_are_those_of_the_whole(base: str) -> None:
    values = np.sin(np.arange(900) / 20)
    values[[501, 133]] = 30.0, -20.0
    for numbers in ("measured", "continuous", "digits"):
        made = Annotator.from_pretrained(base, numbers=numbers, max_points=100)
        (told,) = made.annotate([values], how="resample")
        assert {e.kind: e.position for e in told.extrema} == {"max": 501, "min": 133}


def test_a_fit_from_another_annotator_does_not_go_on_in_the_same_folder(
    base: str, tmp_path: Path
) -> None:
    rows, dials = _rows(4), {"budget": 1e11, "max_steps": 1}
    for name, seed in (("one", 1), ("two", 2)):
        made = Annotator.from_pretrained(base, seed=seed)
        made.fit(rows, out=tmp_path / name, **dials)
    Annotator.load(tmp_path / "one").fit(rows, out=tmp_path / "on", **dials)
    other = Annotator.load(tmp_path / "two")
    other.seed = 1
    with pytest.raises(StorageError, match="another"):
        other.fit(rows, out=tmp_path / "on", **dials)


def test_a_fit_that_does_not_fit_the_budget_leaves_the_base_as_it_was(base: str) -> None:
    made = Annotator.from_pretrained(base)
    before = made.annotate([r.values for r in _rows(2)])
    with pytest.raises(BudgetExceeded):
        made.fit(_rows(3), budget=10, adapter={"rank": 4})
    assert made.annotate([r.values for r in _rows(2)]) == before
    made.fit(_rows(3), budget=1e11, max_steps=1, adapter={"rank": 2})
    assert made.engine.model.adapter is not None and made.engine.model.adapter.rank == 2


def test_an_annotator_learns_on_where_its_base_has_moved(base: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(base, home)
    Annotator.from_pretrained(str(home)).fit(
        _rows(3), budget=1e11, max_steps=1, out=tmp_path / "fit"
    )
    home.rename(tmp_path / "new")
    moved = Annotator.load(tmp_path / "fit", model=str(tmp_path / "new"))
    moved.fit(_rows(3), budget=1e11, max_steps=1)
    assert moved.fit_report is not None and moved.fit_report.training.steps == 1


def test_what_the_published_form_cannot_say_is_not_learned_as_none(
    measured: AnnotationEngine,
) -> None:
    row = _rows(1)[0]
    said = profile_sentences(Annotation.from_facts(row.facts))
    published = AnnotatedSeries(row.values, row.facts, sentences=said)
    full = labelled_example(measured.task, AnnotatedSeries(row.values, row.facts), 1024)
    silent = labelled_example(
        measured.task, replace(published, facts=replace(row.facts, segments=())), 1024
    )
    asked = [e.labels[e.labels != IGNORED] for e in (full, silent)]
    words = [measured.task.tokenizer.decode([int(i)]).strip('",[]:}') for i in asked[1][:-1]]
    label = "".join(words)
    regions = [e.region for e in row.facts.extrema]
    assert label == "".join((row.facts.trend, row.facts.noise, *regions))
    assert len(asked[0]) > len(asked[1])


def test_rows_without_a_label_field_and_rows_that_tell_nothing(base: str) -> None:
    seasons = Annotator.from_pretrained(base, numbers="measured", fields=("seasonality",))
    seasons.fit(_rows(3), budget=1e11, max_steps=1)
    rows = [AnnotatedSeries(r.values, r.facts, id=f"r{i}") for i, r in enumerate(_rows(3))]
    rows[1] = replace(rows[1], facts=SeriesFacts(length=len(rows[1].values)))
    with pytest.raises(AnnotationError, match=r"row 2 \(id 'r1'\): .* tells none of trend, noise"):
        Annotator.from_pretrained(base).fit(rows, budget=1e11, max_steps=1)


def test_two_channels_are_not_asked_for(base: str) -> None:
    with pytest.raises(AnnotationError, match="one series at a time"):
        Annotator.from_pretrained(base, fields=("trend", "correlation"))


def test_wherever_two_answers_part_the_loss_runs_over_both_tokens(
    measured: AnnotationEngine,
) -> None:
    row = describe_chunk(1, 0, 1, lengths=(200, 200))[0]
    plain = replace(row.facts, period=None, change_points=(), outliers=(), segments=(
        TrendSegment(0, 199, "flat", 0.0),
    ))  # fmt: skip
    others = [
        replace(plain, period=6.0), replace(plain, period=61.0), replace(plain, outliers=(7,)),
        replace(plain, outliers=(7, 90)), replace(plain, change_points=(40,)), plain,
    ]  # fmt: skip
    examples = [measured.task.example(row.values, facts) for facts in others]
    for one in examples:
        for other in examples:
            pairs = enumerate(zip(one.ids, other.ids, strict=False))
            at = next((k for k, (a, b) in pairs if a != b), None)
            if at is not None:
                assert one.labels[at] == one.ids[at] and other.labels[at] == other.ids[at]
