"""Scores against scikit-learn, slow loops and cases worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loracast.annotation import describe_chunk, region_of
from loracast.annotation._facts import (
    EXTREMUM_REGIONS,
    NOISE_LEVELS,
    TREND_LABELS,
    Extremum,
    SeriesFacts,
)
from loracast.annotation._score_confidence import score_confidence
from loracast.annotation._scores import (
    majority_baseline,
    score_annotations,
    trend_only_baseline,
)
from loracast.errors import DataError

T = 100
ANNOTATION_FIELDS = {
    "trend": TREND_LABELS,
    "noise": NOISE_LEVELS,
    "max": EXTREMUM_REGIONS,
    "min": EXTREMUM_REGIONS,
}


def facts(trend="flat", noise="low", top=50, bottom=5, clear=()) -> SeriesFacts:
    extrema = tuple(
        Extremum(kind, k, 0.0, region_of(k, T)) for kind, k in (("max", top), ("min", bottom))
    )
    return SeriesFacts(T, trend=trend, noise=noise, extrema=extrema, clear=frozenset(clear))


def random_facts(rng: np.random.Generator, n: int) -> list[SeriesFacts]:
    return [
        facts(
            str(rng.choice(["increasing", "decreasing", "flat"], p=[0.5, 0.3, 0.2])),
            str(rng.choice(["low", "medium", "high"])),
            *(int(k) for k in rng.integers(T, size=2)),
            clear=[field for field in ANNOTATION_FIELDS if rng.random() < 0.7],
        )
        for _ in range(n)
    ]


def label(fact: SeriesFacts | None, field: str) -> str:
    if fact is None:
        return "none"
    if field in ("trend", "noise"):
        return str(getattr(fact, field))
    return fact.extrema[0 if field == "max" else 1].region


def pair(n: int, seed: int) -> tuple[list[SeriesFacts], list[SeriesFacts | None]]:
    """Truth, and answers of which some copy it, some are random and some are not valid."""
    rng = np.random.default_rng(seed)
    truth, other = random_facts(rng, n), random_facts(rng, n)
    u = rng.random(n)
    answers = [
        None if x < 0.1 else a if x < 0.6 else b for x, a, b in zip(u, truth, other, strict=True)
    ]
    return truth, answers


@pytest.mark.parametrize(("n", "seed"), [(300, 0), (40, 1), (5, 2)])
def test_accuracy_f1_and_kappa_are_those_of_scikit_learn(n: int, seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, answers = pair(n, seed)
    scores = score_annotations(truth, answers, seed=0, n_boot=5)
    for field, found in scores["fields"].items():
        y, p = [label(x, field) for x in truth], [label(x, field) for x in answers]
        kappa = metrics.cohen_kappa_score(y, p)
        f1 = metrics.f1_score(y, p, labels=sorted(set(y)), average="macro", zero_division=0)
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, p))
        assert found["macro_f1"] == pytest.approx(f1)
        assert found["kappa"] == pytest.approx(kappa)
        for true in ANNOTATION_FIELDS[field]:
            for answered in (*ANNOTATION_FIELDS[field], "none"):
                rows = sum(a == true and b == answered for a, b in zip(y, p, strict=True))
                assert found["confusion"][true][answered] == rows


def test_rates_and_clear_rows_by_loop() -> None:
    truth, answers = pair(200, 3)
    scores = score_annotations(truth, answers, seed=0, n_boot=5)
    assert scores["n"] == 200
    assert scores["valid_rate"] == sum(x is not None for x in answers) / 200
    both = [
        all(label(a, f) == label(b, f) for f in ANNOTATION_FIELDS)
        for a, b in zip(truth, answers, strict=True)
    ]
    assert scores["all_fields"]["accuracy"] == np.mean(both)
    for field, found in scores["fields"].items():
        clear = [
            label(a, field) == label(b, field)
            for a, b in zip(truth, answers, strict=True)
            if field in a.clear
        ]
        assert found["clear"] == {"n": len(clear), "accuracy": np.mean(clear)}
        assert found["answered_rate"] == pytest.approx(scores["valid_rate"])


def test_intervals_are_those_of_resampled_rows() -> None:
    """Against a bootstrap that resamples rows one by one."""
    truth, answers = pair(60, 4)
    found = score_annotations(truth, answers, seed=0, n_boot=4000)["fields"]["trend"]
    rng = np.random.default_rng(9)
    drawn: dict[str, list[float]] = {"accuracy": [], "macro_f1": [], "kappa": []}
    for _ in range(400):
        rows = rng.integers(60, size=60)
        again = score_annotations(
            [truth[k] for k in rows], [answers[k] for k in rows], seed=0, n_boot=1
        )
        for name, values in drawn.items():
            values.append(again["fields"]["trend"][name])
    for name, values in drawn.items():
        low, high = found[f"{name}_interval"]
        assert low == pytest.approx(np.percentile(values, 2.5), abs=0.03)
        assert high == pytest.approx(np.percentile(values, 97.5), abs=0.03)
        assert low < found[name] < high


def test_the_seed_decides_the_intervals() -> None:
    truth, answers = pair(50, 5)
    one = score_annotations(truth, answers, seed=1, n_boot=200)
    assert one == score_annotations(truth, answers, seed=1, n_boot=200)
    assert one != score_annotations(truth, answers, seed=2, n_boot=200)


def test_index_error_and_hits() -> None:
    truth = [facts(top=50), facts(top=50), facts(top=50), facts(top=50), facts(top=50)]
    unknown = replace(facts(), extrema=(Extremum("max", -1, math.nan, "middle"),))
    answers = [facts(top=50), facts(top=55), facts(top=56), unknown, None]
    found = score_annotations(truth, answers, seed=0, n_boot=5)["fields"]["max"]
    assert found["index"] == {
        "n": 5,
        "answered": 3,
        "mean_error": pytest.approx(0.11 / 3),
        "hit_rate": 2 / 5,
    }
    assert found["accuracy"] == 4 / 5
    none = score_annotations([unknown], [facts()], seed=0, n_boot=5)["fields"]["max"]
    assert none["index"] == {"n": 0, "answered": 0, "mean_error": None, "hit_rate": None}


def test_what_the_truth_does_not_say_is_not_scored() -> None:
    truth = [facts(), replace(facts(), noise=None, extrema=())]
    scores = score_annotations(truth, [facts(), facts(noise="high")], seed=0, n_boot=5)
    assert [scores["fields"][k]["n"] for k in ANNOTATION_FIELDS] == [2, 1, 1, 1]
    assert scores["all_fields"]["n"] == 1
    nothing = score_annotations([SeriesFacts(T)], [facts()], seed=0, n_boot=5)
    field = nothing["fields"]["trend"]
    assert field["n"] == 0 and field["accuracy"] is None and field["kappa_interval"] is None


def test_kappa_is_not_defined_where_one_label_is_all_there_is() -> None:
    found = score_annotations([facts()] * 4, [facts()] * 4, seed=0, n_boot=5)["fields"]["trend"]
    assert found["accuracy"] == found["macro_f1"] == 1.0 and found["kappa"] is None


def test_the_result_is_plain_json() -> None:
    truth, answers = pair(30, 6)
    sure = [None if x is None else dict.fromkeys(ANNOTATION_FIELDS, 0.7) for x in answers]
    scores = score_annotations(truth, answers, sure, seed=0, n_boot=20)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_calibration_and_risk_by_hand() -> None:
    confidence = np.array([0.95, 0.9, 0.65, 0.55, 0.1])
    right = np.array([True, True, False, True, False])
    found = score_confidence(confidence, right)
    # Bins (0.9, 1], (0.8, 0.9], (0.6, 0.7], (0.5, 0.6], (0, 0.1], one answer each.
    assert found["ece"] == pytest.approx((0.05 + 0.1 + 0.65 + 0.45 + 0.1) / 5)
    assert found["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 4 + 2 / 5) / 5)
    assert found["coverage_at_95"] == 2 / 5 and found["threshold_at_95"] == 0.9
    # A bin holds its upper edge: 0.45 and 0.5 share (0.4, 0.5].
    edge = score_confidence(np.array([0.5, 0.45]), np.array([True, False]))
    assert edge["ece"] == pytest.approx(0.05 / 2)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=12))
def test_calibration_and_risk_by_loop(rows: list[tuple[int, bool]]) -> None:
    """Ties by the mean over their orders: many shuffles of the same answers."""
    confidence = np.array([k / 6 for k, _ in rows])
    right = np.array([flag for _, flag in rows])
    found = score_confidence(confidence, right)
    ece = 0.0
    for b in range(10):
        inside = [
            k
            for k, c in enumerate(confidence)
            if b / 10 < c <= (b + 1) / 10 or (b == 0 and c == 0.0)
        ]
        if inside:
            gap = np.mean(right[inside]) - np.mean(confidence[inside])
            ece += len(inside) / len(rows) * abs(gap)
    assert found["ece"] == pytest.approx(ece)
    rng, areas = np.random.default_rng(0), []
    for _ in range(200):
        order = rng.permutation(len(rows))
        order = order[np.argsort(-confidence[order], kind="stable")]
        wrong = np.cumsum(~right[order])
        areas.append(np.mean(wrong / np.arange(1, len(rows) + 1)))
    assert found["aurc"] == pytest.approx(np.mean(areas), abs=5 * np.std(areas) / 14 + 1e-9)
    best = 0.0
    for bound in set(confidence):
        kept = confidence >= bound
        if right[kept].mean() >= 0.95:
            best = max(best, kept.mean())
    assert found["coverage_at_95"] == pytest.approx(best)


def test_confidences_reach_their_fields() -> None:
    truth = [facts(), facts(), facts()]
    answers = [facts(), facts(trend="increasing"), None]
    sure = [dict.fromkeys(ANNOTATION_FIELDS, 0.9), dict.fromkeys(ANNOTATION_FIELDS, 0.4), None]
    scores = score_annotations(truth, answers, sure, seed=0, n_boot=5)["fields"]
    # An answer that is not valid counts as confidence 0, and is wrong.
    assert scores["trend"]["confidence"]["ece"] == pytest.approx((0.1 + 0.4 + 0.0) / 3)
    assert scores["noise"]["confidence"]["ece"] == pytest.approx((0.1 + 0.6 + 0.0) / 3)
    assert scores["trend"]["confidence"]["coverage_at_95"] == 1 / 3
    plain = score_annotations(truth, answers, seed=0, n_boot=5)["fields"]["trend"]
    assert "confidence" not in plain


def test_majority_baseline() -> None:
    truth = [facts("increasing", "low", 90, 5)] * 3 + [facts("flat", "high", 5, 50)] * 2
    guesses = majority_baseline(truth)
    assert {label(x, "trend") for x in guesses} == {"increasing"}
    scores = score_annotations(truth, guesses, seed=0, n_boot=5)["fields"]
    assert [scores[k]["accuracy"] for k in ANNOTATION_FIELDS] == [0.6] * 4
    assert scores["max"]["index"]["answered"] == 0
    other = majority_baseline(truth, reference=[facts("decreasing")])
    assert {label(x, "trend") for x in other} == {"decreasing"} and len(other) == 5


def test_trend_only_baseline() -> None:
    rising, falling = facts("increasing", top=90, bottom=5), facts("decreasing", top=5, bottom=90)
    odd = facts("increasing", top=50, bottom=50)
    truth = [rising, rising, falling, odd]
    scores = score_annotations(truth, trend_only_baseline(truth), seed=0, n_boot=5)["fields"]
    assert scores["trend"]["accuracy"] == 1.0
    assert scores["max"]["accuracy"] == scores["min"]["accuracy"] == 0.75
    unseen = trend_only_baseline([facts("flat")], reference=truth)
    assert label(unseen[0], "trend") == "flat" and label(unseen[0], "max") == "end"


def test_baselines_on_described_series_are_beaten_by_the_truth() -> None:
    truth = [series.facts for series in describe_chunk(0, 0, 256)]
    perfect = score_annotations(truth, truth, seed=0, n_boot=50)
    assert perfect["all_fields"]["accuracy"] == 1.0
    for guesses in (majority_baseline(truth), trend_only_baseline(truth)):
        scores = score_annotations(truth, guesses, seed=0, n_boot=50)["fields"]
        assert scores["max"]["accuracy"] < 0.6 and scores["min"]["accuracy"] < 0.6


SURE = dict.fromkeys(ANNOTATION_FIELDS, 0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], []), "0 true rows"),
        (([facts()], []), "0 answers"),
        (([facts()], [facts()], []), "0 confidences for 1"),
        (([facts()], [facts("rising")]), "row 0: got trend 'rising' in the answer"),
        (([facts(noise="loud")], [facts()]), "row 0: got noise 'loud' in the truth"),
        (([facts()], [SeriesFacts(T - 1)]), "row 0: got an answer for 99 points"),
        (([facts()], [facts()], [None]), "row 0: got no confidence for trend"),
        (([facts()], [facts()], [{**SURE, "max": 1.5}]), "confidence 1.5 for max"),
        (([facts()], [facts()], [{**SURE, "min": math.nan}]), "confidence nan for min"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple, words: str) -> None:
    with pytest.raises(DataError, match=words) as problem:
        score_annotations(*arguments, seed=0, n_boot=5)
    assert "\n" not in str(problem.value) and "expected" in str(problem.value)
    with pytest.raises(DataError, match="n_boot=0"):
        score_annotations([facts()], [facts()], seed=0, n_boot=0)


@pytest.mark.parametrize(("n", "coverage"), [(15, 0.0), (19, 0.0), (20, 1.0), (40, 1.0)])
def test_95_percent_is_the_bound(n: int, coverage: float) -> None:
    """One wrong of n that are equally sure: all are kept from 1 in 20 on."""
    found = score_confidence(np.full(n, 0.7), np.arange(n) > 0)
    assert found["coverage_at_95"] == coverage
    assert found["threshold_at_95"] == (0.7 if coverage else None)


def test_a_row_is_clear_where_every_field_is() -> None:
    truth = [facts(clear=ANNOTATION_FIELDS), facts(clear=ANNOTATION_FIELDS), facts(clear=["trend"])]
    answers = [facts(), facts(noise="high"), facts()]
    whole = score_annotations(truth, answers, seed=0, n_boot=5)["all_fields"]
    assert whole == {"n": 3, "accuracy": 2 / 3, "clear_n": 2, "clear_accuracy": 0.5}


def test_confidence_in_a_label_that_was_not_given_counts_as_none() -> None:
    answers = [replace(facts(), trend=None), None]
    sure = [dict.fromkeys(ANNOTATION_FIELDS, 0.9)] * 2
    scores = score_annotations([facts()] * 2, answers, sure, seed=0, n_boot=5)["fields"]
    assert scores["trend"]["confidence"]["ece"] == 0.0
    assert scores["noise"]["confidence"]["ece"] == pytest.approx(0.1 / 2)
