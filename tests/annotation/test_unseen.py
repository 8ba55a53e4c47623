"""Scores on unseen series, against loops over a model that is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loracast.annotation import (
    LABEL_FIELDS,
    Annotation,
    _unseen,
    describe_chunk,
    prose,
    unseen_series,
)
from loracast.annotation._answer import answer_text
from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fitting import TRAIN_SEEDS, generated_rows
from loracast.annotation._length import stretch_facts
from loracast.annotation._rules import published_rules
from loracast.annotation._unseen import _valid, best_rules, contradictions, score_unseen

LENGTHS = (32, 200)


class Rules:
    """Answers as an engine does: published rules on at most 64 points, 2 FLOPs a series."""

    settings = SimpleNamespace(max_points=64, fields=LABEL_FIELDS)

    def counted_answers(
        self, series: Any, whole: Any, shots: Any, **_: Any
    ) -> tuple[list[Any], float]:
        assert not shots and all(len(v) <= 64 for v in series)
        pairs = zip(series, whole, strict=True)
        found = [stretch_facts(published_rules(v), len(w), w) for v, w in pairs]
        sure = dict.fromkeys(LABEL_FIELDS, 0.75)
        return [
            SimpleNamespace(facts=f, text=answer_text(f, LABEL_FIELDS), confidence=sure)
            for f in found
        ], 2.0 * len(series)


def test_training_calibration_and_test_series_are_not_the_same() -> None:
    sets = [
        {r.values.tobytes() for r in describe_chunk(TRAIN_SEEDS, 0, 24, lengths=LENGTHS)},
        {r.values.tobytes() for r in generated_rows(0, 24, LENGTHS)},
        {v.tobytes() for v in unseen_series(0, 24, LENGTHS).values},
    ]
    assert len(set().union(*sets)) == 3 * 24


def test_an_annotator_is_scored_as_a_loop_does() -> None:
    sets = [unseen_series(seed, 130, LENGTHS) for seed in (0, 1)]
    found = score_unseen(Rules(), None, None, sets)["annotator"]
    assert (found["n"], found["seeds"], found["flops"]) == (130, [0, 1], 2.0 * 260)
    assert found["contradictions"] == 0
    for name in ("trend", "noise"):
        every, clear = [], []
        for one in sets:
            rows = []
            for values, true in zip(one.values, one.truth, strict=True):
                T, n = len(values), min(len(values), 64)
                said = published_rules(values[np.arange(n) * T // n])
                rows.append((getattr(said, name) == getattr(true, name), name in true.clear))
            every.append(np.mean([right for right, _ in rows]))
            clear.append(np.mean([right for right, sure in rows if sure]))
        scores = found["fields"][name]
        assert scores["accuracy_by_seed"] == pytest.approx(every)
        assert scores["clear_by_seed"] == pytest.approx(clear)
        assert scores["accuracy"] == pytest.approx(np.mean(every))
        assert scores["clear"] == pytest.approx(np.mean(clear))


def test_a_band_of_lengths_holds_both_its_ends() -> None:
    def one(length: int, label: str) -> SeriesFacts:
        return SeriesFacts(length, trend=label, clear=frozenset(["trend"]))

    lengths = (32, 63, 64, 127, 128)
    truth = [one(T, "flat") for T in lengths]
    said = [one(T, "flat" if T in (63, 64) else "increasing") for T in lengths]
    pairs = [(SimpleNamespace(truth=truth), SimpleNamespace(answers=said))]
    assert _unseen._by_length("trend", pairs) == {
        "32-63": 0.5, "64-127": 0.5, "128-255": 0.0, "256-1024": None,
    }  # fmt: skip


def test_one_field_told_otherwise_is_a_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = [published_rules(r.values) for r in describe_chunk(1, 0, 5, lengths=LENGTHS)]
    assert contradictions(facts, LABEL_FIELDS) == 0

    def lying(annotation: Annotation) -> str:
        text = prose(annotation)
        return text.replace(f"noise level is {annotation.noise.level}", "noise level is loud")

    monkeypatch.setattr(_unseen, "prose", lying)
    assert contradictions(facts, LABEL_FIELDS) == 5


def test_shares_of_valid_answers_and_the_better_rules() -> None:
    good = '{"trend":"flat"}'
    assert _valid([good, "{", '{"trend":"up"}', good], [9] * 4) == 0.5
    methods = {
        name: {"fields": {"trend": {"accuracy": share}}}
        for name, share in (("published_rules", 0.7), ("robust_rules", 0.9), ("annotator", 1.0))
    }
    assert best_rules(methods, "trend") == 0.9
    assert best_rules({"annotator": methods["annotator"]}, "trend") is None
