"""Labelled sets: generated, read from any known kind of file, and audited against slow loops."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loracast.annotation import (
    AnnotatedSeries,
    audit_labels,
    generate_labelled,
    label_of,
    read_labelled,
    region_of,
    write_labelled,
)
from loracast.annotation._facts import Extremum, SeriesFacts
from loracast.annotation._rules import published_rules
from loracast.errors import AnnotationError, ConfigError, DataError

FIELDS = ("trend", "noise", "max", "min")
CLASSES = {
    "trend": ("increasing", "decreasing", "flat"),
    "noise": ("low", "medium", "high"),
    "max": ("beginning", "middle", "end"),
    "min": ("beginning", "middle", "end"),
}


def slow_kappa(pairs: list[tuple[str, str | None]]) -> float:
    """Cohen's kappa by its definition, a missing label being a class of its own."""
    n = len(pairs)
    agree = sum(a == b for a, b in pairs) / n
    labels = {a for a, _ in pairs} | {b for _, b in pairs}
    chance = 0.0
    for label in labels:
        chance += sum(a == label for a, _ in pairs) / n * sum(b == label for _, b in pairs) / n
    return (agree - chance) / (1 - chance)


def sentences_of(said: dict[str, list[str]]) -> dict[str, str]:
    """The published form; a field may name several labels, or none."""
    trend = " then ".join(said["trend"]) or "not to be told"
    noise = " to ".join(said["noise"]) or "not to be told"
    names = {"max": "maximum", "min": "minimum"}
    places = [f"the global {names[k]} is at the {said[k][0]}" for k in names if said[k]]
    return {
        "trend": f"The time series is {trend}.",
        "noise": f"The noise intensity is {noise}.",
        "extrema": " and ".join(places) or "Hard to say.",
    }


@pytest.fixture(scope="module")
def said() -> list[dict[str, list[str]]]:
    """What 60 rows say: mostly the rule's label, else another, two, or none."""
    rng = np.random.default_rng(4)
    out = []
    for item in generate_labelled(60, 2, lengths=(128, 128)):
        facts = published_rules(item.values)
        row = {}
        for name in FIELDS:
            right = str(label_of(facts, name))
            wrong = [label for label in CLASSES[name] if label != right]
            draw = rng.random()
            if draw < 0.7:
                row[name] = [right]
            elif draw < 0.8:
                row[name] = [wrong[0]]
            elif draw < 0.95:
                row[name] = [right, wrong[1]] if name in ("trend", "noise") else [right]
            else:
                row[name] = []
        out.append(row)
    return out


@pytest.fixture(scope="module")
def rows(said: Any, tmp_path_factory: pytest.TempPathFactory) -> list[AnnotatedSeries]:
    """The same as a file in the published format."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    items = generate_labelled(60, 2, lengths=(128, 128))
    told = [replace(i, sentences=sentences_of(s)) for i, s in zip(items, said, strict=True)]
    write_labelled(path, told, "published")
    return read_labelled(path)


def test_an_audit_counts_as_a_slow_loop_does(rows: Any, said: Any) -> None:
    found = audit_labels(rows, "published")
    assert found["n"] == 60
    strict_all, lenient_all = [True] * 60, [True] * 60
    for name in FIELDS:
        pairs, lenient, differing = [], 0, []
        for i, (row, told) in enumerate(zip(rows, said, strict=True)):
            rule = str(label_of(published_rules(row.values), name))
            one = told[name][0] if len(told[name]) == 1 else None
            pairs.append((rule, one))
            lenient += rule in told[name]
            strict_all[i] &= one == rule
            lenient_all[i] &= rule in told[name]
            if one != rule:
                differing.append(i)
        score = found["fields"][name]
        assert score["n"] == 60
        assert score["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / 60)
        assert score["lenient_accuracy"] == pytest.approx(lenient / 60)
        assert score["kappa"] == pytest.approx(slow_kappa(pairs))
        assert score["kappa_interval"][0] <= score["kappa"] <= score["kappa_interval"][1]
        assert score["rows"] == differing
        commonest = max(sum(a == label for a, _ in pairs) for label in CLASSES[name])
        assert score["majority"] == pytest.approx(commonest / 60)
        for rule, label in product(CLASSES[name], (*CLASSES[name], None)):
            count = sum(pair == (rule, label) for pair in pairs)
            assert score["confusion"][rule][label or "none"] == count
    assert found["all_fields"] == {
        "n": 60,
        "accuracy": pytest.approx(sum(strict_all) / 60),
        "lenient_accuracy": pytest.approx(sum(lenient_all) / 60),
    }
    assert [r["row"] for r in found["rows"]] == [i for i, ok in enumerate(strict_all) if not ok]
    assert [r["id"] for r in found["rows"]] == [str(r["row"]) for r in found["rows"]]
    for r in found["rows"]:
        for name, both in r["differs"].items():
            told = said[r["row"]][name]
            assert both["label"] == (told if len(told) > 1 else told[0] if told else None)
            assert both["rule"] == label_of(published_rules(rows[r["row"]].values), name)


def test_a_field_that_no_row_speaks_about_is_not_counted() -> None:
    items = generate_labelled(12, 1, lengths=(64, 64))
    silent = [replace(i, facts=replace(i.facts, noise=None)) for i in items]
    silent[3] = replace(silent[3], facts=replace(silent[3].facts, trend=None))
    found = audit_labels(silent)
    assert found["fields"]["noise"]["n"] == 0
    assert found["fields"]["noise"]["accuracy"] is None
    assert found["fields"]["noise"]["rows"] == []
    assert found["fields"]["trend"]["n"] == 11
    assert found["all_fields"] == {"n": 0, "accuracy": None, "lenient_accuracy": None}


def test_a_set_labelled_by_its_rules_agrees_in_full() -> None:
    items = generate_labelled(40, 3, lengths=(64, 100))
    ruled = [replace(item, facts=published_rules(item.values)) for item in items]
    found = audit_labels(ruled, "published")
    for score in found["fields"].values():
        assert score["accuracy"] == score["lenient_accuracy"] == 1.0
        assert score["kappa"] in (1.0, None)
    assert found["rows"] == []
    assert found["all_fields"]["accuracy"] == 1.0


def test_rows_that_the_rules_cannot_read_are_named() -> None:
    items = generate_labelled(3, 1, lengths=(64, 64))
    point = AnnotatedSeries(np.array([1.0]), SeriesFacts(1, trend="flat"), "point")
    found = audit_labels([items[0], point, *items[1:]])
    assert found["unreadable"] == [1]
    assert (found["n"], found["fields"]["trend"]["n"]) == (4, 3)
    assert all(r["row"] != 1 for r in found["rows"])
    with pytest.raises(AnnotationError, match="can read none of the rows: got 1 observed"):
        audit_labels([point])
    with pytest.raises(AnnotationError, match="no rows"):
        audit_labels([])
    with pytest.raises(ConfigError, match="got the rules"):
        audit_labels(items, "folklore")


def test_the_published_rows_agree_as_far_as_is_known(shared_dir: Path) -> None:
    """On all 200: trend .885, noise .79, max .965, min .95, all .66; leniently .975, .82, .725."""
    found = audit_labels(read_labelled(shared_dir / "data" / "dlaa_annotations_dev.jsonl"))
    assert found["n"] == 150
    known = {"trend": (0.885, 0.975), "noise": (0.79, 0.82), "max": (0.965,), "min": (0.95,)}
    for name, figures in known.items():
        score = found["fields"][name]
        assert score["n"] == 150
        assert score["accuracy"] == pytest.approx(figures[0], abs=0.025)
        assert score["lenient_accuracy"] == pytest.approx(figures[-1], abs=0.015)
    assert found["all_fields"]["accuracy"] == pytest.approx(0.66, abs=0.03)
    assert found["all_fields"]["lenient_accuracy"] == pytest.approx(0.725, abs=0.03)
    # Of 200 at most 68 and 55 rows disagree.
    assert len(found["rows"]) == round(150 * (1 - found["all_fields"]["accuracy"])) <= 68


# Making and reading sets


def test_a_smaller_set_begins_a_larger_one() -> None:
    large, small = generate_labelled(130, 7), generate_labelled(70, 7)
    for a, b in zip(small, large, strict=False):
        assert np.array_equal(a.values, b.values, equal_nan=True)
        assert a.facts == b.facts
        assert (a.id, a.provenance) == (b.id, b.provenance)
    assert len({item.id for item in large}) == 130
    other = generate_labelled(1, 8)[0]
    assert not np.array_equal(other.values, large[0].values, equal_nan=True)


def test_families_and_lengths_are_as_asked_for() -> None:
    told: list[int] = []
    items = generate_labelled(
        90, 0, families=["line", "hump"], lengths=(40, 50), advance=told.append
    )
    assert {item.provenance["family"] for item in items} == {"line", "hump"}
    assert all(40 <= len(item.values) <= 50 for item in items)
    assert sum(told) == 90
    with pytest.raises(DataError, match="families"):
        generate_labelled(1, families=["spiral"])
    with pytest.raises(ConfigError, match="n=0"):
        generate_labelled(0)


@pytest.mark.parametrize("form", ["loracast", "published"])
def test_what_is_written_is_read_again(tmp_path: Path, form: str) -> None:
    items = generate_labelled(20, 1)
    path = tmp_path / "set.jsonl"
    assert write_labelled(path, items, form) == 20
    again = read_labelled(path)
    for a, b in zip(items, again, strict=True):
        assert [label_of(a.facts, n) for n in FIELDS] == [label_of(b.facts, n) for n in FIELDS]
        if form == "loracast":
            assert np.array_equal(a.values, b.values, equal_nan=True)
            assert (a.facts, a.provenance) == (b.facts, b.provenance)
        else:
            assert np.array_equal(np.isnan(a.values), np.isnan(b.values))
            assert np.nanmin(b.values) == 0
            assert np.nanmax(b.values) == 99
    path.write_bytes(b"\n\n" + path.read_bytes())
    assert len(read_labelled(path)) == 20
    with pytest.raises(ConfigError, match="format"):
        write_labelled(path, items, "parquet")


def test_a_label_studio_export_is_read(tmp_path: Path) -> None:
    values = np.sin(np.arange(50) / 9)
    places = {"max": int(values.argmax()), "min": int(values.argmin())}
    extrema = tuple(Extremum(k, i, float(values[i]), region_of(i, 50)) for k, i in places.items())
    item = AnnotatedSeries(values, SeriesFacts(50, trend="flat", noise="low", extrema=extrema), "a")
    path = tmp_path / "tasks.json"
    write_labelled(path, [item], "label-studio")
    tasks = json.loads(path.read_text())
    with pytest.raises(AnnotationError, match="none annotated"):
        read_labelled(path)
    tasks[0]["annotations"] = [{"result": tasks[0].pop("predictions")[0]["result"]}]
    path.write_text(json.dumps(tasks))
    again = read_labelled(path)
    assert len(again) == 1
    assert again[0].facts == replace(item.facts)
    assert audit_labels(again)["fields"]["max"]["accuracy"] == 1.0


PUBLISHED = {"index": 0, "input": "x Series: [01, 02]", "output": '{"trend": "It is flat."}'}
OURS = {"schema_version": 1, "values": [1.0, 2.0], "facts": {"length": 2, "trend": "flat"}}


def changed(row: dict[str, Any], **change: Any) -> str:
    data = {k: v for k, v in {**row, **change}.items() if v is not None}
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("<!DOCTYPE html>\n<html>", "line 1: got HTML"),
        ("\nindex,input,output\n", "line 2: got no JSON"),
        ("17\n", "line 1: got int"),
        ("{}\n", "line 1: got the keys none"),
        ('{"text": 1, "label": 2}\n', "line 1: got the keys text, label"),
        (changed(PUBLISHED, output=None), "line 1: output: "),
        (changed(PUBLISHED, input=None), "line 1: input: "),
        (changed(PUBLISHED, output="It is flat."), "line 1: output: "),
        (changed(PUBLISHED, output='{"trend": 3}'), "line 1: output: trend"),
        (changed(PUBLISHED, output='{"mood": "x"}'), "mood"),
        (changed(PUBLISHED, input="no numbers"), "got no series"),
        (changed(PUBLISHED) + "\n" + changed(PUBLISHED, extra=1), "line 2: extra"),
        (changed(PUBLISHED) + "\n" + "<html>", "line 2: got no JSON"),
        (changed(OURS, facts=None), "line 1: facts"),
        (changed(OURS) + "\n" + changed(OURS, values=[1]), "line 2"),
        (changed(OURS, facts={"length": 2, "trend": "up"}), "facts.trend"),
        (changed(OURS, facts={"length": 2, "mood": 1}), "facts.mood"),
        (changed(OURS, schema_version=2), "schema_version"),
        (changed(OURS).replace("1.0", "NaN"), "line 1: got no JSON"),
        ("[]", "none annotated"),
        ("[1]", "task 0"),
        ('[{"annotations": [{"result": []}]}]', "missing key 'data'"),
        ("[" * 5000, "JSON"),
    ],
)
def test_a_bad_file_is_one_line_with_row_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_labelled(path)
    assert message in str(caught.value)
    assert "set.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(b'{"index": "\xff"}')
    for path in (tmp_path, tmp_path / "none.jsonl", tmp_path / "b.jsonl"):
        with pytest.raises(AnnotationError, match="cannot be read"):
            read_labelled(path)


def test_a_first_row_longer_than_the_first_look_is_told_apart(tmp_path: Path) -> None:
    values = np.sin(np.arange(20_000) / 50)
    item = AnnotatedSeries(values, SeriesFacts(20_000, trend="flat"), "long")
    path = tmp_path / "set.jsonl"
    write_labelled(path, [item, item])
    assert path.stat().st_size > 2 * (1 << 17)
    again = read_labelled(path)
    assert len(again) == 2
    assert math.isclose(again[1].values[-1], values[-1])
