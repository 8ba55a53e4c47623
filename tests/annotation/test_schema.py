"""The annotation: what goes in comes out, in the caller's index, and nothing wrong goes in."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loracast.annotation import Annotation
from loracast.annotation._facts import UNKNOWN_INDEX, Extremum, SeriesFacts, TrendSegment
from loracast.annotation._fields import ANNOTATION_FIELDS, FIELDS
from loracast.errors import AnnotationError

FACTS = SeriesFacts(
    length=8,
    trend="increasing",
    slope=0.5,
    segments=(TrendSegment(0, 3, "flat", 0.0), TrendSegment(4, 7, "increasing", 1.0)),
    noise="low",
    sigma=0.01,
    extrema=(Extremum("max", 7, 9.5, "end"), Extremum("min", 0, -1.0, "beginning")),
    period=2.5,
    strength=0.75,
    change_points=(4,),
    outliers=(2, 5),
)


@settings(max_examples=60)
@given(data=st.data())
def test_facts_survive_the_annotation_and_its_json(any_facts, data) -> None:
    facts = data.draw(any_facts(complete=False))
    annotation = Annotation.from_facts(facts)
    assert annotation.facts() == facts
    text = annotation.model_dump_json()
    assert Annotation.read(text) == annotation
    assert Annotation.read(json.loads(text)) == annotation


def test_the_json_of_the_command_line_is_read_back() -> None:
    annotation = Annotation.from_facts(FACTS)
    data = annotation.model_dump(mode="json") | {"prose": "The overall trend is increasing."}
    assert Annotation.read(data) == Annotation.read(json.dumps(data)) == annotation
    with pytest.raises(AnnotationError, match="prose: Extra inputs"):
        Annotation.read(data | {"prose": ["It rises."]})


def test_the_layout_is_the_documented_one() -> None:
    data = json.loads(Annotation.from_facts(FACTS).model_dump_json())
    assert data["schema_version"] == 1
    assert data["trend"] == {
        "label": "increasing",
        "slope": 0.5,
        "segments": [
            {"start": 0, "end": 3, "start_position": 0, "end_position": 3, "label": "flat",
             "slope": 0.0},
            {"start": 4, "end": 7, "start_position": 4, "end_position": 7, "label": "increasing",
             "slope": 1.0},
        ],
    }  # fmt: skip
    assert data["noise"] == {"level": "low", "sigma": 0.01}
    assert data["extrema"][0] == {
        "kind": "max", "index": 7, "position": 7, "value": 9.5, "region": "end",
    }  # fmt: skip
    assert data["seasonality"] == {"period": 2.5, "strength": 0.75}
    assert data["change_points"] == [{"index": 4, "position": 4}]
    assert [p["position"] for p in data["outliers"]] == [2, 5]


@pytest.mark.parametrize(
    ("index", "third"),
    [
        (np.arange("2024-01-30", "2024-02-07", dtype="datetime64[D]"), "2024-02-01"),
        (np.datetime64("2024-01-01T00") + np.arange(8) * np.timedelta64(1, "h"),
         "2024-01-01T02:00"),
        (pd.date_range("2024-01-01", periods=8, freq="h", tz="UTC"), "2024-01-01T02:00:00+00:00"),
        (np.arange(100, 108), 102),
        ([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5], 1.0),
        (list("abcdefgh"), "c"),
    ],
)  # fmt: skip
def test_spans_are_in_the_callers_index(index, third) -> None:
    annotation = Annotation.from_facts(FACTS, index=index)
    outlier = annotation.outliers[0]
    assert (outlier.index, outlier.position) == (third, 2)
    assert type(outlier.index) is type(third)
    assert Annotation.read(annotation.model_dump_json()) == annotation
    assert annotation.facts() == FACTS


@pytest.mark.parametrize(
    ("start", "step", "third"),
    [
        ("2024-01-01T22", "h", "2024-01-02T00:00"),
        ("2024-01-01T23:59:58", "s", "2024-01-02T00:00:00"),
        ("2024-01-01T23:59:59.999998", "us", "2024-01-02T00:00:00.000000"),
        ("2024-01-01", "D", "2024-01-03"),
        ("2023-11", "M", "2024-01-01"),
    ],
)
def test_timestamps_of_one_series_have_one_form(start: str, step: str, third: str) -> None:
    index = np.datetime64(start) + np.arange(8) * np.timedelta64(1, step)
    for given_index in (index, index.astype("datetime64[ns]")):
        annotation = Annotation.from_facts(FACTS, index=given_index)
        assert annotation.outliers[0].index == third
        told = [s.start for s in annotation.trend.segments] + [p.index for p in annotation.outliers]
        assert {len(str(t)) for t in told} == {len(third)}
        times = np.array(told, dtype="datetime64[us]").astype(index.dtype)
        np.testing.assert_array_equal(times, index[[0, 4, 2, 5]])


@pytest.mark.parametrize(
    ("threshold", "match"),
    [
        (2, "got threshold 2; expected 0 to 1"),
        (-0.1, "got threshold -0.1; expected 0 to 1"),
        (float("nan"), "got threshold nan; expected 0 to 1"),
        ("0.5", "got threshold '0.5'; expected 0 to 1"),
        ({"nosie": 0.99}, "got a threshold for 'nosie'; expected fields of trend, noise, max"),
        ({"noise": 99}, "got threshold 99 for 'noise'; expected 0 to 1"),
    ],
)
def test_a_threshold_that_cannot_be_is_one_clear_line(threshold, match: str) -> None:
    with pytest.raises(AnnotationError, match=match) as caught:
        Annotation.from_facts(FACTS, confidence={"noise": 0.5}, threshold=threshold)
    assert "\n" not in str(caught.value)


def test_a_field_under_the_threshold_is_null_and_named() -> None:
    confidence = {"trend": 0.9, "noise": 0.2, "max": 0.1, "seasonality": 0.3, "outliers": 0.4}
    got = Annotation.from_facts(FACTS, confidence=confidence, threshold=0.5)
    assert got.abstained == ("noise", "max", "seasonality", "outliers")
    assert got.noise is None and got.seasonality is None and got.outliers is None
    assert [e.kind for e in got.extrema] == ["min"]
    assert got.trend is not None and got.trend.label == "increasing"
    assert dict(got.confidence) == confidence
    by_field = Annotation.from_facts(FACTS, confidence=confidence, threshold={"trend": 0.95})
    assert by_field.abstained == ("trend",)
    assert by_field.trend.label is None and by_field.trend.slope is None
    assert len(by_field.trend.segments) == 2
    assert Annotation.from_facts(FACTS, confidence={"noise": 0.5}, threshold=0.5).abstained == ()


@given(threshold=st.floats(0, 1), data=st.data())
def test_exactly_the_unsure_fields_are_left_out(threshold, data) -> None:
    shares = st.dictionaries(st.sampled_from(ANNOTATION_FIELDS), st.floats(0, 1))
    confidence = data.draw(shares)
    got = Annotation.from_facts(
        replace(FACTS, correlation=0.5), confidence=confidence, threshold=threshold
    )
    assert set(got.abstained) == {k for k, v in confidence.items() if v < threshold}


def test_what_the_source_does_not_speak_about_is_left_out() -> None:
    got = Annotation.from_facts(SeriesFacts(length=8, trend="flat"), fields=("trend",))
    always = {name for name, field in FIELDS.items() if not field.optional}
    assert set(got.abstained) == always - {"trend"} >= {"noise", "seasonality", "segments"}
    assert got.change_points is None and got.outliers is None


def test_an_extremum_may_be_known_by_its_region_alone() -> None:
    facts = SeriesFacts(8, extrema=(Extremum("max", UNKNOWN_INDEX, float("nan"), "end"),))
    got = Annotation.from_facts(facts)
    assert got.extrema[0].position is None and got.extrema[0].index is None
    assert got.extrema[0].value is None and got.extrema[0].region == "end"
    back = got.facts().extrema[0]
    assert back.index == UNKNOWN_INDEX and np.isnan(back.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"trend": "up"}, "trend.label.*'up'"),
        ({"noise": "loud"}, "noise.level.*'loud'"),
        ({"change_points": (8,)}, "position 8 in a series of 8 points.*0 to 7"),
        ({"outliers": (-1,)}, "position -1"),
        ({"extrema": (Extremum("max", 7, 1.0, "middle"),)}, "position 7 of 8 called 'middle'"),
        ({"extrema": (Extremum("max", 7, 1.0, "end"),) * 2}, "at most one max"),
        ({"extrema": (Extremum("max", 7, float("inf"), "end"),)}, "finite"),
        ({"segments": (TrendSegment(5, 3, "flat", 0.0),)}, "ends at 3, before its start at 5"),
        ({"period": 0.0}, "seasonality.period.*greater than 0"),
        ({"strength": 1.5}, "seasonality.strength"),
        ({"correlation": -2.0}, "correlation"),
        ({"length": 0, "segments": (), "extrema": (), "change_points": (), "outliers": ()},
         "length"),
    ],
)  # fmt: skip
def test_facts_that_cannot_be_are_one_clear_line(change, match) -> None:
    with pytest.raises(AnnotationError, match=match) as caught:
        Annotation.from_facts(replace(FACTS, **change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"length": "8"}, "length"),
        ({"mood": "fine"}, "mood.*Extra"),
        ({"confidence": {"trend": 1.2}}, "confidence.trend"),
        ({"confidence": {"mood": 1}}, "confidence.mood"),
        ({"abstained": ["noise"]}, r"abstained from \['noise'\], which are given"),
        ({"change_points": [{"index": 4, "position": 8}]}, "position 8 in a series of 8"),
        ({"change_points": [{"index": 4}]}, "change_points.0.position: Field required"),
        ({"extrema": [{"kind": "max", "region": "end", "position": 7}]}, "belong together"),
    ],
)
def test_json_that_is_no_annotation_is_one_clear_line(change, match) -> None:
    data = Annotation.from_facts(FACTS).model_dump(mode="json") | change
    with pytest.raises(AnnotationError, match=match) as caught:
        Annotation.read(data, "file.jsonl, line 3")
    assert str(caught.value).startswith("file.jsonl, line 3: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "<html>", "[1]", "null", b"\xff\xfe", "{", "9" * 5000, "[" * 100_000]
)
def test_no_json_object_is_one_clear_line(text) -> None:
    with pytest.raises(AnnotationError, match=r"expected a JSON object|got no JSON") as caught:
        Annotation.read(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("index", [range(7), [[1] * 8]])
def test_an_index_of_another_length_is_refused(index) -> None:
    with pytest.raises(AnnotationError, match="one entry for each of the 8 points"):
        Annotation.from_facts(FACTS, index=index)
