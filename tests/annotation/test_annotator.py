"""The annotator on a tiny random base: what it returns, what it keeps, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from loracast.annotation import LABEL_FIELDS, AnnotatedSeries, describe_chunk, prose, region_of
from loracast.annotation._annotator import Annotator
from loracast.annotation._confidence import calibrated, fit_scales, fit_temperatures, scaled
from loracast.annotation._facts import Extremum, SeriesFacts
from loracast.annotation._rows import DescribedRows, DescribedStream, labelled_example
from loracast.annotation._rules import published_rules
from loracast.annotation._sentences import prose_labels
from loracast.errors import (
    AdapterError,
    AnnotationError,
    BudgetExceeded,
    ConfigError,
    DataError,
    ModelError,
)
from loracast.training import IGNORED

LENGTHS = (20, 40)


def _rows(n: int, seed: int = 3) -> list:
    return describe_chunk(seed, 0, n, lengths=LENGTHS)


def test_a_frame_comes_back_in_its_own_index(annotator, few: pd.DataFrame) -> None:
    frame = few.assign(ds=pd.Timestamp("2024-02-27") + pd.to_timedelta(few["ds"], unit="D"))
    made = annotator[0].annotate(frame)
    assert [a.id for a in made] == ["s0", "s1", "s2"]
    for name, annotation in zip(("s0", "s1", "s2"), made, strict=True):
        part = frame[frame["unique_id"] == name].reset_index(drop=True)
        assert annotation.length == len(part)
        for extremum in annotation.extrema:
            row = part.loc[extremum.position]
            assert pd.Timestamp(extremum.index) == row["ds"]
            assert extremum.value == row["y"]
            assert region_of(extremum.position, len(part)) == extremum.region
        assert set(annotation.confidence) == set(LABEL_FIELDS)
        told = prose_labels(prose(annotation))
        assert told["trend"] == annotation.trend.label
        assert told["noise"] == annotation.noise.level
        assert {e.kind: e.region for e in annotation.extrema} == {
            k: told[k] for k in ("max", "min")
        }
    report = annotator[0].annotation_report
    assert report.n_series == 3 and report.flops > 0


def test_arrays_a_panel_and_a_frame_give_the_same(annotator, few: pd.DataFrame) -> None:
    made, _ = annotator
    arrays = [g["y"].to_numpy() for _, g in few.groupby("unique_id")]
    of_frame, of_arrays = made.annotate(few), made.annotate(arrays)
    one = made.annotate(arrays[1])
    for a, b in zip(of_frame, of_arrays, strict=True):
        assert a.model_copy(update={"id": b.id}) == b
    (alone,), other = one, of_arrays[1]
    assert alone.confidence == pytest.approx(other.confidence, abs=1e-4)
    same = {"id": "0", "confidence": alone.confidence}
    assert alone == other.model_copy(update=same)


def test_under_the_threshold_a_field_is_left_out(annotator) -> None:
    made, _ = annotator
    series = [r.values for r in _rows(6)]
    for plain, strict in zip(
        made.annotate(series), made.annotate(series, {"trend": 1, "max": 0.0}), strict=True
    ):
        assert strict.trend is None and "trend" in strict.abstained
        assert strict.extrema == plain.extrema and strict.confidence == plain.confidence
    # All that is not arithmetic is left out where nobody can be that sure.
    for plain, strict in zip(made.annotate(series), made.annotate(series, 1.0), strict=True):
        assert strict.extrema == plain.extrema and strict.arithmetic == ("max", "min")
        assert strict.confidence["max"] == strict.confidence["min"] == 1.0
        assert {"trend", "noise"} <= set(strict.abstained)


def test_a_long_series_is_refused_or_resampled(annotator) -> None:
    made, _ = annotator
    values = np.sin(np.arange(300) / 9) + np.arange(300) / 100
    with pytest.raises(AnnotationError, match="series '0': got a series of 300 points") as caught:
        made.annotate([values])
    assert "\n" not in str(caught.value)
    (annotation,) = made.annotate([values], how="resample")
    assert annotation.length == 300
    for e in annotation.extrema:
        assert e.value == values[e.position] and region_of(e.position, 300) == e.region
    (short,) = made.annotate([values], how="resample", max_points=40)
    assert short.length == 300
    with pytest.raises(AnnotationError, match="how='cut'"):
        made.annotate([values], how="cut")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "0 known of 0 points"),
        ([1.0], "1 known of 1 points"),
        ([2.0] * 30, "the value 2 at all"),
        ([np.nan] * 30, "0 known of 30 points"),
        ([np.nan] * 30 + [1.0], "1 known of 31 points"),
        ([1.0, np.inf, 2.0], "infinite value at point 1"),
        (["a", "b"], "no numbers"),
        (np.zeros((5, 2)), "one channel"),
    ],
)
def test_a_series_without_a_description_is_refused_in_one_line(annotator, values, said) -> None:
    with pytest.raises((DataError, AnnotationError)) as caught:
        annotator[0].annotate([np.arange(9.0), values], strict=True)
    assert said in str(caught.value) and "series '1'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_refused_as_a_whole(annotator, positive_panel) -> None:
    made, _ = annotator
    with pytest.raises(DataError, match="prey, predator"):
        made.annotate(positive_panel)
    with pytest.raises(DataError, match="no series"):
        made.annotate([])
    with pytest.raises(BudgetExceeded):
        made.annotate([np.arange(30.0)], budget=1e3)
    with pytest.raises(ConfigError, match="max_points"):
        made.annotate([np.arange(30.0)], max_points=1)


def test_saved_and_loaded_it_says_the_same(annotator, alike, tmp_path: Path) -> None:
    made, out = annotator
    series = [r.values for r in _rows(8)]
    before = made.annotate(series)
    copy = made.save(tmp_path / "copy")
    for folder in (out, copy):
        alike(Annotator.load(folder).annotate(series), before)
    settings = json.loads((copy / "annotator.json").read_text())
    assert settings["fields"] == list(LABEL_FIELDS)
    assert settings["temperatures"] == made.fit_report.temperatures
    (copy / "annotator.json").write_text(json.dumps(settings | {"format_version": 1}))
    with pytest.raises(AdapterError, match="has format 1; this version reads 2: train"):
        Annotator.load(copy)
    (copy / "annotator.json").write_text("{")
    with pytest.raises(AdapterError, match="not a valid annotator"):
        Annotator.load(copy)
    (copy / "annotator.json").unlink()
    with pytest.raises(AdapterError, match=r"holds no annotator\.json"):
        Annotator.load(copy)


def test_a_fit_keeps_to_its_budget_and_learns_on(annotator, alike, tmp_path: Path) -> None:
    made, out = annotator
    report = made.fit_report
    assert report.training.steps == 2 and report.n_train is None and report.n_validation == 24
    assert 0 < report.flops <= report.limit_flops
    assert set(report.temperatures) == {"trend", "noise"}
    further = Annotator.load(out)
    rows = _rows(12)
    further.fit(rows, budget=1e11, max_steps=3, out=tmp_path / "more", training={"batch_size": 3})
    assert further.fit_report.n_train == 12 and further.fit_report.n_validation == 0
    assert further.fit_report.temperatures == report.temperatures
    assert further.engine.model.adapter == made.engine.model.adapter
    series = [r.values for r in rows[:3]]
    alike(Annotator.load(tmp_path / "more").annotate(series), further.annotate(series))
    with pytest.raises(ConfigError, match="adapter"):
        further.fit(rows, adapter={"rank": 2})
    with pytest.raises(BudgetExceeded, match="--budget"):
        further.fit(rows, budget=1e6)
    with pytest.raises(AnnotationError, match="no rows"):
        further.fit([])


def test_digits_in_place_of_numbers(base: str, alike, tmp_path: Path) -> None:
    made = Annotator.from_pretrained(base, numbers="digits", fields=("trend", "max"))
    with pytest.raises(ModelError, match="nothing to save"):
        made.save(tmp_path / "nothing")
    made.fit(_rows(3), budget=1e11, max_steps=1, training={"batch_size": 2}, out=tmp_path / "d")
    series = [r.values for r in _rows(3, seed=8)]
    said = made.annotate(series)
    assert all(a.noise is None and set(a.confidence) == {"trend", "max"} for a in said)
    alike(Annotator.load(tmp_path / "d").annotate(series), said)
    with pytest.raises(AnnotationError, match="numbers='words'"):
        Annotator.from_pretrained(base, numbers="words")
    with pytest.raises(AnnotationError, match="colour"):
        Annotator.from_pretrained(base, fields=("colour",))


def test_batches_depend_on_the_step_alone(annotator) -> None:
    task = annotator[0].engine.task
    for make in (
        lambda: DescribedStream(task, 3, 7, LENGTHS, 256),
        lambda: DescribedRows(task, _rows(5), 3, 7, 256),
    ):
        one, other = make(), make()
        there = [one.batch(step) for step in range(12)]
        for step in (11, 3, 0):
            for a, b in zip(there[step], other.batch(step), strict=True):
                assert np.array_equal(a.ids, b.ids) and np.array_equal(a.labels, b.labels)
    shown = [e for step in range(5) for e in DescribedRows(task, _rows(5), 3, 7, 256).batch(step)]
    texts = [e.ids.tobytes() + e.numbers.values.tobytes() for e in shown]
    assert sorted(texts.count(t) for t in set(texts)) == [3] * 5


def test_what_a_row_does_not_tell_carries_no_loss(annotator) -> None:
    task = annotator[0].engine.task
    values = np.array([0.0, 5, 1, 9, 2, 3, 4, 8, 7, 6, 5, 4])
    facts = SeriesFacts(
        length=12, trend="flat", extrema=(Extremum("max", -1, float("nan"), "end"),)
    )
    example = labelled_example(task, AnnotatedSeries(values, facts), 256)
    asked = example.labels[example.labels != IGNORED]
    text = "".join(task.tokenizer.decode([int(i)]).strip('",[]:}') for i in asked[:-1])
    assert asked[-1] == task.end_id
    rules = published_rules(values)
    # The highest point of the last quarter is position 10; the lowest of all is the first.
    full = (
        f'{{"trend":"flat","noise":"{rules.noise}","max":["end",0.834],"min":["beginning",0.000]}}'
    )
    whole = task.tokenizer.decode(example.ids[-len(task.tokenizer.encode(full)) - 1 : -1])
    assert whole.endswith(full)
    assert text == "flatend"
    with pytest.raises(AnnotationError, match="tells none"):
        labelled_example(task, AnnotatedSeries(values, SeriesFacts(length=12)), 256)


def test_labels_near_a_bound_are_learned_as_shares(annotator) -> None:
    task = annotator[0].engine.task
    tokenizer = annotator[0].engine.backbone.tokenizer
    for row in _rows(12):
        example = task.example(row.values, row.facts)
        assert [set(s.shares) for s in example.soft] == [
            set(row.facts.soft_labels[name].values()) for name in ("trend", "noise")
        ]
        for name, soft in zip(("trend", "noise"), example.soft, strict=True):
            shares = row.facts.soft_labels[name]
            assert example.labels[soft.position] in soft.ids
            for token, share in zip(soft.ids, soft.shares, strict=True):
                (label,) = [k for k in shares if k.startswith(tokenizer.decode([token]))]
                assert share == shares[label]
        # A correction by hand is what counts, and what is not told is not learned.
        other = next(k for k in shares if k != row.facts.noise)
        assert len(task.example(row.values, replace(row.facts, noise=other)).soft) == 1
        assert len(task.example(row.values, row.facts, {"trend", "max"}).soft) == 1


def test_temperatures_make_the_truth_most_likely() -> None:
    rng = np.random.default_rng(1)
    labels = ("increasing", "decreasing", "flat")
    logits = rng.normal(0, 2, (400, 3))
    true = np.array([rng.choice(3, p=np.exp(z) / np.exp(z).sum()) for z in logits])
    # Stated three times too sure.
    stated = np.exp(3 * logits) / np.exp(3 * logits).sum(axis=1, keepdims=True)
    rows = [{"trend": dict(zip(labels, p, strict=True))} for p in stated]
    truth = [SeriesFacts(length=5, trend=labels[k]) for k in true]
    found = fit_temperatures(rows, truth)["trend"]

    def loss(log_t):
        z = np.log(np.maximum(stated, 1e-9)) / np.exp(log_t[0])
        return -np.mean(z[np.arange(400), true] - np.log(np.exp(z).sum(axis=1)))

    assert found == pytest.approx(
        np.exp(minimize(loss, [0.0], method="Nelder-Mead").x[0]), rel=1e-3
    )
    assert 2.3 < found < 3.9
    shares = calibrated(rows[0]["trend"], found)
    scaled = stated[0] ** (1 / found)
    assert list(shares.values()) == pytest.approx(scaled / scaled.sum(), rel=1e-6)
    assert max(shares, key=shares.get) == max(rows[0]["trend"], key=rows[0]["trend"].get)
    assert calibrated(rows[0]["trend"], 1.0) == pytest.approx(rows[0]["trend"])
    assert fit_temperatures(rows[:5], truth[:5]) == {"trend": 1.0}


def test_scales_make_it_most_likely_which_answers_were_right() -> None:
    rng = np.random.default_rng(2)
    logit = rng.normal(1, 2, 500)
    right = rng.random(500) < 1 / (1 + np.exp(-(0.5 * logit - 1)))  # twice too sure, and too high
    stated = 1 / (1 + np.exp(-logit))
    rows = [{"outliers": float(p)} for p in stated]
    told = [{"outliers": bool(r)} for r in right]
    a, b = fit_scales(rows, told)["outliers"]

    def loss(scale):
        p = 1 / (1 + np.exp(-(scale[0] * logit + scale[1])))
        fit = -np.where(right, np.log(p), np.log(1 - p)).sum()
        return fit + (scale[0] - 1) ** 2 + scale[1] ** 2

    assert (a, b) == pytest.approx(minimize(loss, [1, 0], method="Nelder-Mead").x, abs=5e-3)
    assert 0.35 < a < 0.65 and -1.4 < b < -0.6
    assert scaled(0.9, (a, b)) == pytest.approx(1 / (1 + np.exp(-(a * np.log(9) + b))))
    assert scaled(0.9, (1.0, 0.0)) == pytest.approx(0.9)
    assert 0 < scaled(0.0, (1.0, 0.0)) < scaled(1.0, (1.0, 0.0)) <= 1
    assert fit_scales(rows[:5], told[:5]) == {"outliers": (1.0, 0.0)}
    assert fit_scales([{}], [{}]) == {}


def test_measured_series_with_every_field_come_back_with_confidences(
    base: str, alike, tmp_path: Path
) -> None:
    fields = (*LABEL_FIELDS, "seasonality", "change_points", "segments", "outliers")
    made = Annotator.from_pretrained(base, numbers="measured", fields=fields)
    assert made.engine.settings.max_points == 1024
    made.fit(
        budget=1e12,
        adapter={"method": "full"},
        max_steps=2,
        lengths=(20, 300),
        calibration=24,
        training={"batch_size": 4},
        out=tmp_path / "m",
    )
    series = [r.values for r in describe_chunk(3, 0, 5, lengths=(20, 400))]
    said = made.annotate(series)
    for annotation, values in zip(said, series, strict=True):
        assert set(annotation.confidence) == set(fields)
        for e in annotation.extrema:
            assert e.value == values[e.position]
    alike(Annotator.load(tmp_path / "m").annotate(series), said)
    assert set(made.engine.settings.scales) == set(fields) - set(LABEL_FIELDS)
    # All that is not arithmetic is left out where nobody can be that sure.
    (bare,) = made.annotate(series[:1], threshold=1)
    assert set(bare.abstained) >= set(fields) - {"max", "min"}
