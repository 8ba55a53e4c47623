"""Annotated series in files: what is written is read back, what is broken is named."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loracast.annotation import (
    AnnotatedSeries,
    Annotation,
    label_studio_config,
    label_studio_task,
    write_csv,
    write_published,
    write_records,
)
from loracast.annotation._facts import UNKNOWN_INDEX, Extremum, SeriesFacts, TrendSegment, region_of
from loracast.annotation._label_studio import write_label_studio
from loracast.annotation._label_studio_read import read_label_studio
from loracast.annotation._records import published_line, read_published, read_records, record_line
from loracast.annotation._sentences import profile_sentences
from loracast.annotation._table import annotation_row
from loracast.errors import AnnotationError

VALUES = np.array([0.0, 1.0, 5.0, np.nan, 2.0, 2.5, 3.0, 9.0])
FACTS = SeriesFacts(
    length=8,
    trend="increasing",
    segments=(TrendSegment(0, 3, "flat", 0.5), TrendSegment(4, 7, "increasing", 1.0)),
    noise="low",
    sigma=0.01,
    extrema=(Extremum("max", 7, 9.0, "end"), Extremum("min", 0, 0.0, "beginning")),
    period=2.5,
    change_points=(4,),
    outliers=(2,),
    clear=frozenset({"trend", "max"}),
)
DAYS = tuple(f"2024-03-0{d}" for d in range(1, 9))


def _same(a: object, b: object) -> bool:
    """Equal as JSON with NaN equal to NaN; sets in any order."""
    return json.dumps(asdict(a), default=sorted) == json.dumps(asdict(b), default=sorted)


@settings(max_examples=40)
@given(data=st.data())
def test_our_format_keeps_everything(any_facts, tmp_path_factory, data) -> None:
    facts = data.draw(any_facts(complete=False))
    facts = replace(facts, clear=frozenset(data.draw(st.sets(st.sampled_from(["trend", "min"])))))
    numbers = st.one_of(st.just(float("nan")), st.floats(allow_nan=False, allow_infinity=False))
    size = min(facts.length, 5)  # draw a few, repeat them
    values = np.resize(data.draw(st.lists(numbers, min_size=size, max_size=size)), facts.length)
    record = AnnotatedSeries(
        values=values,
        facts=facts,
        id=data.draw(st.text(max_size=5)),
        annotation=Annotation.from_facts(facts),
        provenance={"seed": 3, "teacher": "rules"},
    )
    path = tmp_path_factory.mktemp("records") / "rows.jsonl"
    assert write_records(path, [record, record]) == 2
    for got in read_records(path):
        np.testing.assert_array_equal(got.values, record.values)
        assert _same(got.facts, record.facts)
        assert (got.id, got.annotation, got.provenance) == (
            record.id, record.annotation, record.provenance
        )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    assert "NaN" not in text and text.count("\n") == 2


def test_a_record_with_an_unknown_place_and_a_time_axis(tmp_path: Path) -> None:
    facts = SeriesFacts(8, extrema=(Extremum("max", UNKNOWN_INDEX, float("nan"), "end"),))
    record = AnnotatedSeries(VALUES, facts, "a", DAYS, sentences={"trend": "It rises."})
    write_records(tmp_path / "r.jsonl", [record])
    got = read_records(tmp_path / "r.jsonl")[0]
    assert got.index == DAYS and got.sentences == {"trend": "It rises."}
    assert _same(got.facts, facts)


def _line(**change: object) -> str:
    data = json.loads(record_line(AnnotatedSeries(VALUES, FACTS, "a")))
    for key, value in change.items():
        if value is None:
            del data[key]
        else:
            data[key] = value
    return json.dumps(data)


def _facts(**change: object) -> str:
    return _line(facts={"length": 8} | change)


_MAX = {"kind": "max", "index": 7, "region": "end"}
_PLACED = _MAX | {"position": 7}


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (_line(values=None), "values: Field required"),
        (_line(values=[]), "values"),
        (_line(values=[1, "2"]), "values.1"),
        (_line(values=[1, 10**400]), "values.1"),
        (_line(values=[1, True]), "values.1"),
        (_line(id="\ud800"), "id"),
        (_line(values=[1, 2]), "got 2 values and facts of 8 points"),
        (_line(index=[1, 2]), "got 8 values and index of 2 points"),
        (_line(schema_version=2), "schema_version"),
        (_line(mood="fine"), "mood: Extra inputs"),
        (_line(facts={"length": 8, "trend": "up"}), "facts.trend"),
        (_line(facts={"length": 8, "outliers": [1.5]}), "facts.outliers.0"),
        (_facts(change_points=[8]), "facts: change point 8 in a series of 8 points"),
        (_facts(outliers=[9]), "facts: outlier 9 in a series of 8 points"),
        (_facts(segments=[{"start": 3, "end": 2, "label": "flat"}]), "facts: segment from 3 to 2"),
        (_facts(segments=[{"start": 3, "end": 8, "label": "flat"}]), "facts: segment from 3 to 8"),
        (_facts(period=8.5), "facts: a period of 8.5 steps in a series of 8 points"),
        (_facts(extrema=[_MAX, _MAX]), "facts: extrema ['max', 'max']; at most one max and"),
        (_facts(extrema=[_MAX | {"index": 8}]), "facts: max at 8 in a series of 8 points"),
        (_facts(extrema=[_MAX | {"index": 0}]), "facts: max at 0 of 8 called 'end'"),
        (_line(facts={"length": 10**400, "extrema": [_MAX]}), "facts.length"),
        (_line(annotation={"length": 10**400, "extrema": [_PLACED]}), "annotation: length"),
        (_line(annotation={"length": "8"}), "annotation: length"),
        (_line(annotation={"length": 9}), "annotation of 9 points"),
        ('{"values": [NaN]}', "NaN is no JSON"),
        ("<html>", "no JSON"),
        ("[1]", "valid dictionary"),
        ("", "no rows"),
    ],
)
def test_a_broken_row_is_named_with_file_line_and_key(tmp_path, line: str, match: str) -> None:
    path = tmp_path / "rows.jsonl"
    good = record_line(AnnotatedSeries(VALUES, FACTS)) + "\n\n" if line else ""
    path.write_text(good + line, encoding="utf-8")
    with pytest.raises(AnnotationError, match=re.escape(match)) as caught:
        read_records(path)
    assert str(caught.value).startswith(f"{path}, line 3: " if line else f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_json_is_not_written() -> None:
    infinite = np.array([np.inf])
    with pytest.raises(AnnotationError, match="finite numbers"):
        record_line(AnnotatedSeries(infinite, SeriesFacts(1)))
    with pytest.raises(AnnotationError, match="JSON values in its provenance"):
        record_line(AnnotatedSeries(VALUES, FACTS, provenance={"model": object()}))


@pytest.mark.parametrize("read", [read_records, read_published, read_label_studio])
def test_a_missing_file_is_one_clear_line(tmp_path: Path, read) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        read(tmp_path / "no.jsonl")


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_records, record_line(AnnotatedSeries(VALUES, FACTS))),
        (read_published, published_line(AnnotatedSeries(VALUES, FACTS), 0)),
    ],
)
def test_a_byte_order_mark_is_no_part_of_the_rows(tmp_path: Path, read, text: str) -> None:
    (tmp_path / "r.jsonl").write_text(text, encoding="utf-8-sig")
    assert len(read(tmp_path / "r.jsonl")) == 1


def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path: Path) -> None:
    path, record = tmp_path / "no" / "x", AnnotatedSeries(VALUES, FACTS)
    for write in (write_records, write_published, write_label_studio):
        with pytest.raises(AnnotationError, match="cannot be written"):
            write(path, [record])
    with pytest.raises(AnnotationError, match="cannot be written"):
        write_csv(path, [Annotation.from_facts(FACTS)])


def test_text_that_is_no_unicode_cannot_be_written(tmp_path: Path) -> None:
    fine = AnnotatedSeries(VALUES, FACTS, "a")
    bad = replace(fine, id="\ud800", sentences={"trend": "\ud800"})
    for write in (write_records, write_published):
        with pytest.raises(AnnotationError, match=r"rows\.jsonl, line 2: .*\\ud800"):
            write(tmp_path / "rows.jsonl", [fine, bad])
    with pytest.raises(AnnotationError, match=r"rows\.json: series '\\ud800': "):
        write_label_studio(tmp_path / "rows.json", [fine, bad])


def test_the_published_format_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_published(path, [AnnotatedSeries(VALUES, FACTS)])
    row = json.loads(path.read_text(encoding="utf-8"))
    assert list(row) == ["index", "input", "output"]
    assert row["input"].endswith("Series: [00, 11, 55, ??, 22, 27, 33, 99]")
    assert json.loads(row["output"]) == profile_sentences(Annotation.from_facts(FACTS))
    got = read_published(path)[0]
    assert (got.id, got.facts.trend, got.facts.noise) == ("0", "increasing", "low")
    assert {e.kind: e.region for e in got.facts.extrema} == {"max": "end", "min": "beginning"}
    np.testing.assert_array_equal(got.values, [0, 11, 55, np.nan, 22, 27, 33, 99])


def test_the_published_rows_survive(shared_dir, tmp_path: Path) -> None:
    source = shared_dir / "data" / "dlaa_annotations_dev.jsonl"
    rows = read_published(source)
    again = [published_line(row, int(row.id)) for row in rows]
    for line, wanted in zip(again, source.read_text(encoding="utf-8").splitlines(), strict=True):
        got, want = json.loads(line), json.loads(wanted)
        assert (got["index"], got["input"]) == (want["index"], want["input"])
        assert json.loads(got["output"]) == json.loads(want["output"])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"input": "Describe it."}, "input: got no series"),
        ({"input": "Series: []"}, "input: could not convert"),
        ({"input": "Series: [1, x]"}, "input: could not convert"),
        ({"output": "It rises."}, "output: got no JSON (Expecting value"),
        ({"output": "[]"}, "output: got list"),
        ({"output": "9" * 5000}, "output: got no JSON"),
        ({"output": "[" * 100_000}, "output: got no JSON"),
        ({"output": '{"mood": "x"}'}, "output: got the keys ['mood']"),
        ({"output": '{"trend": 1}'}, "output: trend: got 1"),
        ({"index": "0"}, "index"),
        ({"answer": "x"}, "answer: Extra"),
    ],
)
def test_a_broken_published_row_is_named(tmp_path: Path, change, match: str) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"index": 0, "input": "Series: [1, 2]", "output": "{}"} | change
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(AnnotationError, match=re.escape(match)) as caught:
        read_published(path)
    assert str(caught.value).startswith(f"{path}, line 1: ")


def test_the_table_has_one_column_a_field(tmp_path: Path) -> None:
    full = Annotation.from_facts(
        FACTS, index=DAYS, id="a, b", confidence={"noise": 0.1, "max": 0.9}, threshold=0.5
    )
    plain = Annotation.from_facts(SeriesFacts(8), fields=("trend",))
    assert list(annotation_row(full)) == list(annotation_row(plain))
    path = tmp_path / "rows.csv"
    assert write_csv(path, [full, plain]) == 2
    with path.open(encoding="utf-8", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert first["id"] == "a, b" and first["trend"] == "increasing" and first["noise"] == ""
    assert (first["max_index"], first["max_value"], first["max_region"]) == (
        "2024-03-08", "9.0", "end"
    )  # fmt: skip
    assert first["outliers"] == "2024-03-03" and first["confidence_max"] == "0.9"
    assert first["segments"].startswith("flat:2024-03-01..2024-03-04;increasing:")
    assert first["abstained"] == "noise" and first["prose"].startswith("The overall trend")
    assert second["change_points"] == "" and second["trend"] == ""
    with pytest.raises(AnnotationError, match="no annotations"):
        write_csv(path, [])


# Label Studio


def _submitted(task: dict) -> dict:
    """The task as a labeller leaves it who agrees with every prediction."""
    result = [dict(r, origin="prediction") for r in task["predictions"][0]["result"]]
    old = {"id": 1, "was_cancelled": False, "result": []}
    done = {"id": 2, "was_cancelled": False, "result": result}
    dropped = {"id": 3, "was_cancelled": True, "result": [{"type": "nonsense"}]}
    return {"id": 17, "data": task["data"], "annotations": [old, done, dropped]}


def _export(folder: Path, tasks: object) -> Path:
    path = folder / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def test_the_task_is_what_label_studio_reads() -> None:
    annotation = Annotation.from_facts(FACTS, DAYS, confidence={"trend": 0.9, "max": 0.6})
    task = label_studio_task(AnnotatedSeries(VALUES, FACTS, "a", DAYS, annotation))
    times = [f"{day}T00:00:00.000" for day in DAYS]
    assert task["data"]["ts"] == {"time": times, "value": [0, 1, 5, None, 2, 2.5, 3, 9]}
    prediction = task["predictions"][0]
    assert prediction["model_version"] == "loracast" and prediction["score"] == 0.6
    results = prediction["result"]
    assert len({r["id"] for r in results}) == len(results)
    point = next(r for r in results if r["value"].get("timeserieslabels") == ["maximum"])
    assert point == {
        "id": point["id"], "from_name": "label", "to_name": "ts", "type": "timeserieslabels",
        "score": 0.6,
        "value": {"start": times[7], "end": times[7], "instant": True,
                  "timeserieslabels": ["maximum"]},
    }  # fmt: skip
    span = next(r for r in results if r["value"].get("timeserieslabels") == ["flat"])["value"]
    assert (span["start"], span["end"], span["instant"]) == (times[0], times[3], False)
    config = ET.fromstring(label_studio_config(timestamps=True))
    named = {e.get("name"): e for e in config.iter() if e.get("name")}
    known = {e.get("value") for e in config.iter("Label")}
    for result in results:
        assert result["from_name"] in named and result["to_name"] == "ts"
        assert named[result["from_name"]].tag.lower() == result["type"]
        assert set(result["value"].get("timeserieslabels", [])) <= known
        choices = {c.get("value") for c in named[result["from_name"]].iter("Choice")}
        assert set(result["value"].get("choices", [])) <= choices
    assert named["ts"].get("timeFormat") and named["ts"].get("timeColumn") == "time"
    assert "timeFormat" not in label_studio_config()
    ET.fromstring(label_studio_config())


@settings(max_examples=40)
@given(stamps=st.booleans(), data=st.data())
def test_agreed_predictions_come_back_as_the_facts(
    any_facts, tmp_path_factory, stamps: bool, data
) -> None:
    facts = data.draw(any_facts(complete=False))
    values = np.linspace(-1.0, 1.0, facts.length)
    index = None
    if stamps:
        days = np.datetime64("2020-02-01") + np.arange(facts.length)
        index = tuple(np.datetime_as_string(days))
    record = AnnotatedSeries(values, facts, "a", index)
    task = label_studio_task(record)
    got = read_label_studio(_export(tmp_path_factory.mktemp("ls"), [_submitted(task)]))[0]
    np.testing.assert_array_equal(got.values, values)
    assert (got.facts.trend, got.facts.noise) == (facts.trend, facts.noise)
    assert got.facts.period == facts.period
    assert (got.facts.change_points, got.facts.outliers) == (facts.change_points, facts.outliers)
    assert [(s.start, s.end, s.label) for s in got.facts.segments] == [
        (s.start, s.end, s.label) for s in facts.segments
    ]
    assert [(e.kind, e.index, e.region) for e in got.facts.extrema] == [
        (e.kind, e.index, e.region) for e in facts.extrema
    ]
    assert all(e.value == values[e.index] for e in got.facts.extrema)


def _hand_made(**value: object) -> dict:
    """A task of eight half-hours, with one region drawn by hand."""
    given = {"start": 1.2, "end": 1.2, "instant": True, "timeserieslabels": ["outlier"]} | value
    given = {k: v for k, v in given.items() if v is not None}
    times = [0.5 * i for i in range(8)]
    region = {"id": "x", "from_name": "label", "to_name": "ts", "type": "timeserieslabels"}
    return {
        "id": 5,
        "data": {"ts": {"time": times, "value": [None if v != v else v for v in VALUES]}},
        "annotations": [{"result": [region | {"value": given}]}],
    }


def test_a_region_drawn_by_hand_goes_to_the_nearest_step(tmp_path: Path) -> None:
    got = read_label_studio(_export(tmp_path, [_hand_made()]))[0]
    assert got.facts.outliers == (2,) and got.provenance["task"] == 5
    drawn = _hand_made(start=3.6, end=0.4, timeserieslabels=["flat"])
    segment = read_label_studio(_export(tmp_path, [drawn]))[0].facts.segments[0]
    assert (segment.start, segment.end, segment.label) == (1, 7, "flat")
    highest = read_label_studio(_export(tmp_path, [_hand_made(timeserieslabels=["maximum"])]))
    assert highest[0].facts.extrema == (Extremum("max", 2, 5.0, region_of(2, 8)),)


def test_an_export_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps([_hand_made()]), encoding="utf-8-sig")
    assert len(read_label_studio(tmp_path / "e.json")) == 1


def test_milliseconds_since_1970_on_a_time_axis(tmp_path: Path) -> None:
    task = _submitted(label_studio_task(AnnotatedSeries(VALUES, SeriesFacts(8), "a", DAYS)))
    third = int(np.datetime64("2024-03-03", "ms").astype(int))
    value = {"start": third, "end": third + 0.4, "timeserieslabels": ["change point"]}
    task["annotations"][1]["result"] = [{"type": "timeserieslabels", "value": value}]
    assert read_label_studio(_export(tmp_path, [task]))[0].facts.change_points == (2,)


def test_tasks_that_nobody_labelled_are_left_out(tmp_path: Path) -> None:
    untouched = _hand_made() | {"annotations": []}
    cancelled = _hand_made()
    cancelled["annotations"][0]["was_cancelled"] = True
    assert len(read_label_studio(_export(tmp_path, [untouched, _hand_made(), cancelled]))) == 1
    with pytest.raises(AnnotationError, match="2 tasks, none annotated"):
        read_label_studio(_export(tmp_path, [untouched, cancelled]))


def test_answers_without_their_series_are_told_for_what_they_are(tmp_path: Path) -> None:
    answer = Annotation.from_facts(FACTS).model_dump(mode="json") | {"prose": "It rises."}
    match = "2 descriptions without their series, as `loracast annotate --format json` writes them"
    with pytest.raises(AnnotationError, match=match) as caught:
        read_label_studio(_export(tmp_path, [answer, answer]))
    assert "\n" not in str(caught.value) and "Label Studio" in str(caught.value)


def _with(path: str, value: object) -> dict:
    """The hand-made task with one place of it changed, or removed (None)."""
    task = _hand_made()
    at: object = task
    *way, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for part in way:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return task


@pytest.mark.parametrize(
    ("task", "match"),
    [
        (_hand_made(timeserieslabels=["weird"]),
         "task 0, result 0, value: key 'timeserieslabels': got ['weird']; expected one of maximum"),
        (_hand_made(timeserieslabels=[]), "got []"),
        (_hand_made(timeserieslabels=None), "missing key 'timeserieslabels'"),
        (_hand_made(start=None), "task 0, result 0, value: missing key 'start'"),
        (_hand_made(start="soon"), "key 'start': got 'soon'; expected a number"),
        (_hand_made(start=True), "key 'start': got True"),
        (_hand_made(end=99), "key 'end': got 99, which lies outside the series"),
        (_hand_made(end=3.0), "expected a single point, start = end"),
        (_hand_made() | {"data": {}}, "task 0, data: missing key 'ts'"),
        (_with("data.ts.value", None), "data.ts: missing key 'value'"),
        (_with("data.ts.value", [1]), "got 8 times and 1 values"),
        (_with("data.ts.value.1", "x"), "expected numbers or null"),
        (_with("data.ts.value.1", 10**400), "data.ts: key 'value': expected numbers or null"),
        (_with("data.ts.time.1", 10**400), "key 'time': got a time that is no number"),
        (_with("data.id", "\ud800"), r"data: key 'id': got '\ud800'; expected valid Unicode"),
        (_hand_made(end=10**400), "key 'end': got a time that is no number"),
        (_with("data.ts.time.1", "x"), "expected numbers only, or ISO 8601"),
        (_with("data.ts.time", ["2024-01-01"] * 7 + ["NaT"]), "key 'time': got 'NaT'; expected"),
        (_with("annotations.0.result.0",
               {"type": "number", "from_name": "period", "value": {"number": 10**400}}),
         "expected steps above 0"),
        (_with("annotations.0.result.0",
               {"type": "number", "from_name": "period", "value": {"number": 8.5}}),
         "got 8.5; expected steps above 0 and at most 8"),
        (_with("annotations.0.result", None), "missing key 'result'"),
        (_with("annotations.0.result.0.value", None), "result 0: missing key 'value'"),
        (_with("annotations.0.result.0.type", None), "missing key 'type'"),
        (_with("annotations.0.result.0.type", "brush"), "got 'brush'"),
        (_with("annotations.0.result.0",
               {"type": "choices", "from_name": "trend", "value": {"choices": ["up"]}}),
         "got ['up']; expected one of increasing, decreasing, flat"),
        (_with("annotations.0.result.0",
               {"type": "choices", "from_name": "mood", "value": {"choices": ["up"]}}),
         "got 'mood'"),
        (_with("annotations.0.result.0",
               {"type": "number", "from_name": "period", "value": {"number": 0}}),
         "expected steps above 0"),
        (_with("annotations", [3]), "expected a JSON object"),
        ("text", "got str; expected a JSON object"),
    ],
)  # fmt: skip
def test_a_broken_label_is_named_with_task_and_key(tmp_path: Path, task, match: str) -> None:
    with pytest.raises(AnnotationError, match=re.escape(match)) as caught:
        read_label_studio(_export(tmp_path, [task]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("end", [1e300, 10**400, -(2**63), "NaT", ""])
def test_a_time_beyond_all_clocks_is_refused(tmp_path: Path, end: object) -> None:
    task = _submitted(label_studio_task(AnnotatedSeries(VALUES, SeriesFacts(8), "a", DAYS)))
    value = {"start": "2024-03-03", "end": end, "timeserieslabels": ["flat"]}
    task["annotations"][1]["result"] = [{"type": "timeserieslabels", "value": value}]
    with pytest.raises(AnnotationError, match="task 0, result 0, value: key 'end': got ") as caught:
        read_label_studio(_export(tmp_path, [task]))
    assert "\n" not in str(caught.value)


def test_two_maxima_are_refused(tmp_path: Path) -> None:
    task = _hand_made(timeserieslabels=["maximum"])
    task["annotations"][0]["result"] *= 2
    with pytest.raises(AnnotationError, match="result 1, value: got a second maximum"):
        read_label_studio(_export(tmp_path, [task]))
    with pytest.raises(AnnotationError, match="got dict; expected a list of tasks"):
        read_label_studio(_export(tmp_path, task))


@pytest.mark.parametrize(
    ("record", "match"),
    [
        (AnnotatedSeries(np.array([np.inf]), SeriesFacts(1), "a"), "'a': got an infinite value"),
        (AnnotatedSeries(np.zeros(1), SeriesFacts(1), "a", ("soon",)), "ISO 8601"),
        (AnnotatedSeries(np.zeros(2), SeriesFacts(2), "a",
                         ("2024-01-01T00:00:00.000001", "2024-01-01T00:00:00.000002")),
         "'a': index: got 2024-01-01T00:00:00.000 for 2 points when rounded"),
    ],
)  # fmt: skip
def test_what_label_studio_cannot_show_is_refused(record, match: str) -> None:
    with pytest.raises(AnnotationError, match=match) as caught:
        label_studio_task(record)
    assert "\n" not in str(caught.value)
