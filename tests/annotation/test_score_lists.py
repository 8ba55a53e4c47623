"""When an answer that is a number or a list counts as right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loracast.annotation._facts import SeriesFacts, TrendSegment
from loracast.annotation._score_lists import is_right, score_lists
from loracast.errors import DataError

TRUTH = SeriesFacts(
    length=200,
    period=20.0,
    change_points=(50, 120),
    outliers=(7,),
    segments=(
        TrendSegment(0, 49, "flat", 0.0),
        TrendSegment(50, 119, "increasing", 1.0),
        TrendSegment(120, 199, "flat", 0.0),
    ),
)
NONE = SeriesFacts(length=200)


@pytest.mark.parametrize(
    ("field", "answer", "right"),
    [
        ("seasonality", {"period": 22.0}, True),
        ("seasonality", {"period": 18.0}, True),
        ("seasonality", {"period": 22.1}, False),
        ("seasonality", {"period": None}, False),
        ("change_points", {"change_points": (60, 110)}, True),
        ("change_points", {"change_points": (61, 110)}, False),
        ("change_points", {"change_points": (50,)}, False),
        ("change_points", {"change_points": ()}, False),
        ("outliers", {"outliers": (9,)}, True),
        ("outliers", {"outliers": (10,)}, False),
        ("outliers", {"outliers": (7, 100)}, False),
        ("segments", {}, True),
        ("segments", {"change_points": (50, 140)}, False),
        ("segments", {"segments": TRUTH.segments[:2]}, False),
    ],
)
def test_near_enough_is_right(field: str, answer: dict, right: bool) -> None:
    assert is_right(field, TRUTH, replace(TRUTH, **answer)) is right
    # The order of places is no matter.
    turned = {k: v[::-1] if k in ("change_points", "outliers") else v for k, v in answer.items()}
    assert is_right(field, TRUTH, replace(TRUTH, **turned)) is right


def test_nothing_is_right_where_there_is_nothing() -> None:
    for field in ("seasonality", "change_points", "outliers", "segments"):
        assert is_right(field, NONE, NONE)
        assert not is_right(field, TRUTH, NONE) and not is_right(field, NONE, TRUTH)
    with pytest.raises(DataError, match="'trend'"):
        is_right("trend", NONE, NONE)
    with pytest.raises(DataError, match="200 and 100"):
        is_right("outliers", NONE, SeriesFacts(length=100))


def test_scores_count_rows_with_and_without() -> None:
    truth = [TRUTH, TRUTH, NONE, NONE]
    answers = [TRUTH, NONE, NONE, NONE]
    found = score_lists(truth, answers, None, ["outliers"])["outliers"]
    assert found == {"accuracy": 0.75, "some": 0.5, "accuracy_some": 0.5}
    sure = [{"outliers": 0.75}] * 4
    assert score_lists(truth, answers, sure, ["outliers"])["outliers"]["ece"] == pytest.approx(0)
    assert score_lists([NONE], [NONE], None, ["outliers"])["outliers"]["accuracy_some"] is None
    assert np.isclose(score_lists(truth, answers, sure, ["outliers"])["outliers"]["aurc"], 0.25)


@pytest.mark.parametrize(("place", "right"), [(20, True), (21, True), (22, False)])
def test_in_a_short_series_an_outlier_may_be_one_position_off(place: int, right: bool) -> None:
    truth = SeriesFacts(50, outliers=(20,))
    assert is_right("outliers", truth, SeriesFacts(50, outliers=(place,))) is right


def test_some_counts_what_each_field_has_to_find() -> None:
    whole, first, second = ((a, b, "flat", 0.0) for a, b in ((0, 49), (0, 24), (25, 49)))
    one, two = (TrendSegment(*whole),), (TrendSegment(*first), TrendSegment(*second))
    truth = [
        SeriesFacts(50, segments=one),
        SeriesFacts(50, segments=two, change_points=(25,)),
        SeriesFacts(50, segments=two, change_points=(25,), period=5.0),
        SeriesFacts(50, segments=two, change_points=(25,), period=5.0, outliers=(3,)),
    ]
    fields = ["outliers", "seasonality", "change_points", "segments"]
    found = score_lists(truth, truth, None, fields)
    assert [found[name]["some"] for name in fields] == [0.25, 0.5, 0.75, 0.75]
