"""Every field of the registry keeps what grammar, scores, prose and formats expect of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from loracast.annotation import (
    LANGUAGES,
    Annotation,
    answer_regex,
    label_of,
    label_studio_config,
    parse_answer,
)
from loracast.annotation._answer import answer_text
from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import (
    ANNOTATION_FIELDS,
    ARITHMETIC,
    FIELDS,
    LABEL_FIELDS,
    LABELLED,
    LIST_FIELDS,
    SERIES_FIELDS,
    VALUED,
    check_fields,
)
from loracast.annotation._label_studio import CHOICES, MARKS, NUMBERS
from loracast.annotation._languages import language_of
from loracast.annotation._length import stretch_facts
from loracast.annotation._prose import prose_sentences
from loracast.annotation._score_lists import is_right, score_lists
from loracast.annotation._sentences import prose_labels, sentence_labels
from loracast.annotation._table import annotation_row


def _asked(name: str) -> list[str]:
    """The field, with the one that an answer needs before it."""
    return check_fields([n for n in (name, FIELDS[name].written_with) if n])


def test_the_tables_are_read_off_the_registry() -> None:
    assert LABEL_FIELDS == ("trend", "noise", "max", "min")
    assert LIST_FIELDS[:4] == ("seasonality", "change_points", "segments", "outliers")
    assert ARITHMETIC == ("max", "min")
    assert set(LABEL_FIELDS + LIST_FIELDS) == set(SERIES_FIELDS)
    assert set(ANNOTATION_FIELDS) - set(SERIES_FIELDS) == {"correlation"}
    assert all(FIELDS[name].name == name for name in FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_has_its_words_in_every_language(name: str) -> None:
    field = FIELDS[name]
    assert set(field.called) == set(LANGUAGES) and all(field.called.values())
    if name in LABELLED:
        words = LABELLED[name].words
        assert set(words) == set(LANGUAGES)
        assert all(len(set(w)) == len(LABELLED[name].labels) for w in words.values())


@pytest.mark.parametrize("name", FIELDS)
def test_what_one_field_is_called_no_other_is(name: str) -> None:
    for other in set(FIELDS) - {name}:
        for code in LANGUAGES:
            assert FIELDS[name].called[code] != FIELDS[other].called[code]
    marks = Counter(mark for field in FIELDS.values() for mark in field.marks)
    assert set(marks.values()) == {1} and set(marks) == set(MARKS)
    config = label_studio_config()
    for control in (*CHOICES, *NUMBERS):
        assert config.count(f'name="{control}"') == 1


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=10)
@given(data=st.data(), places=st.booleans())
def test_what_a_field_writes_its_grammar_allows_and_it_reads(
    any_facts, name: str, data, places: bool
) -> None:
    facts = data.draw(any_facts())
    assume(FIELDS[name].known(facts) is not False)
    text = answer_text(facts, _asked(name), places=places)
    assert list(json.loads(text)) == _asked(name)
    assert re.fullmatch(answer_regex(facts.length, _asked(name), places=places), text)
    got = parse_answer(text, facts.length)
    assert answer_text(got, _asked(name), places=places) == text
    if name in LABELLED:
        assert label_of(got, name) == label_of(facts, name)


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=10)
@given(data=st.data())
def test_a_dropped_field_is_told_nowhere_and_the_others_are(any_facts, name: str, data) -> None:
    facts = data.draw(any_facts(complete=False))
    field, whole = FIELDS[name], Annotation.from_facts(facts)
    got = Annotation.from_facts(facts, confidence={name: 0.1}, threshold=0.5)
    assert got.abstained == (name,) and not field.told(got)
    dropped = field.drop(facts)
    assert field.drop(dropped) == dropped and field.known(dropped) in (None, False)
    own = set(field.columns(whole))
    rows = annotation_row(whole), annotation_row(got)
    assert list(rows[0]) == list(rows[1])
    changed = {key for key in rows[0] if rows[0][key] != rows[1][key]}
    assert changed <= own | {f"confidence_{name}", "abstained", "prose"}
    assert not any(rows[1][key] for key in own)
    assert all(got.confidence.get(n) is None for n in FIELDS if n != name)
    for code in LANGUAGES:
        told, before = prose_sentences(got, code), prose_sentences(whole, code)
        assert name not in told and field.called[code] in told["uncertain"]
        assert set(before) - {name} <= set(told)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", LABELLED)
def test_a_label_stands_in_its_sentence_and_is_read_out_of_it(name: str, language: str) -> None:
    field = LABELLED[name]
    for label in field.labels:
        facts = field.put(SeriesFacts(128), label)
        assert label_of(facts, name) == label and field.label(field.drop(facts)) is None
        said = prose_sentences(Annotation.from_facts(facts), language)[name]
        assert field.word(label, language_of(language)) in said
        if language == "en":
            assert prose_labels(said) == {n: label if n == name else None for n in LABELLED}
    assert set(sentence_labels({})) == set(LABELLED)


@pytest.mark.parametrize("name", VALUED)
@settings(max_examples=10)
@given(data=st.data(), length=st.integers(1, 600))
def test_the_truth_is_right_on_any_length(any_facts, name: str, data, length: int) -> None:
    facts = data.draw(any_facts())
    nothing = VALUED[name].drop(facts)
    assert not VALUED[name].some(nothing) and is_right(name, nothing, nothing)
    for truth in (facts, stretch_facts(facts, length)):
        assert is_right(name, truth, truth)
        found = score_lists([truth], [truth], None, [name])[name]
        assert found["accuracy"] == 1.0 and found["some"] == VALUED[name].some(truth)


@pytest.mark.parametrize("name", FIELDS)
def test_marks_and_numbers_of_label_studio_come_back(name: str) -> None:
    facts = SeriesFacts(40, period=4.5, change_points=(3, 30), outliers=(7,), trend="flat")
    values = np.sin(np.arange(40.0))
    for one in FIELDS.values():
        if one.marks and not one.marked(facts):
            facts = one.read_mark(facts, 5, 9 if one.spans else 5, one.marks[0], values, "here")
    field, got = FIELDS[name], FIELDS[name].drop(facts)
    assert field.marked(got) == [] and bool(field.marked(facts)) == bool(field.marks)
    for start, end, mark in field.marked(facts):
        assert MARKS[mark] is field
        got = field.read_mark(got, start, end, mark, values, "here")
    assert field.marked(got) == field.marked(facts)
    if name in VALUED and VALUED[name].control:
        number = VALUED[name].number(facts)
        assert number is not None
        back = VALUED[name].read_number(replace(field.drop(facts)), number, "here")
        assert VALUED[name].number(back) == number
