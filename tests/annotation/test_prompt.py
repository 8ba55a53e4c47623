"""The prompt holds the series and the whole instruction; series and facts on other lengths."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loracast.annotation import LABEL_FIELDS, series_text
from loracast.annotation._facts import Extremum, SeriesFacts, TrendSegment, region_of
from loracast.annotation._length import fit_length, stretch_facts
from loracast.annotation._prompt import PUBLISHED_INSTRUCTION, annotation_prompt
from loracast.errors import AnnotationError, CodecError


def test_the_published_prompts_come_out_letter_by_letter(shared_dir) -> None:
    path = shared_dir / "data" / "dlaa_annotations_dev.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["input"]
        cells = re.findall(r"\d\d", text.removeprefix(PUBLISHED_INSTRUCTION))
        prompt = annotation_prompt(np.array(cells, dtype=float), profile="published")
        assert prompt.text == text


@pytest.mark.parametrize("profile", ["short", "published"])
def test_a_prompt_always_contains_the_series(profile: str) -> None:
    values = np.array([0.0, 1.0, np.nan, 4.0])
    prompt = annotation_prompt(values, profile=profile)
    assert "[00, 24, ??, 99]" in prompt.text
    assert prompt.text == prompt.before + "[00, 24, ??, 99]" + prompt.after
    numbers = annotation_prompt(values, profile=profile, numbers="continuous")
    assert (numbers.before, numbers.after) == (prompt.before, prompt.after)
    np.testing.assert_array_equal(numbers.values, values[:, None])
    with pytest.raises(AnnotationError, match="no text"):
        _ = numbers.text


def test_the_short_prompt_names_the_wanted_fields() -> None:
    prompt = annotation_prompt(np.arange(4.0), fields=LABEL_FIELDS)
    assert "trend, noise, max, min." in prompt.before
    assert "outliers" not in prompt.before


def test_channels_stand_on_lines_of_their_own() -> None:
    both = np.column_stack([np.arange(4.0), -np.arange(4.0)])
    assert series_text(both) == "[00, 33, 66, 99]\n[99, 66, 33, 00]"


@pytest.mark.parametrize(
    ("values", "options", "match"),
    [
        (np.array([]), {}, "shape (0,)"),
        (np.array([np.nan, np.nan]), {}, "without a single number"),
        (np.zeros((2, 2, 2)), {}, "shape (2, 2, 2)"),
        (np.arange(3.0), {"profile": "long"}, "profile='long'"),
        (np.arange(3.0), {"numbers": "roman"}, "numbers='roman'"),
        (np.arange(3.0), {"fields": ("mood",)}, "['mood']"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_line(values, options, match: str) -> None:
    with pytest.raises(AnnotationError, match=re.escape(match)):
        annotation_prompt(values, **options)


def test_an_infinity_is_refused() -> None:
    with pytest.raises(CodecError):
        annotation_prompt(np.array([1.0, np.inf]))


@pytest.mark.parametrize(("values", "text"), [([5.0], "[00]"), ([3.0, 3.0], "[00, 00]")])
def test_one_point_and_a_constant_are_shown(values, text: str) -> None:
    assert text in annotation_prompt(np.array(values)).text


def _template(messages, tokenize, add_generation_prompt):
    assert not tokenize and add_generation_prompt
    return "<user>" + messages[0]["content"] + "</user><assistant>"


def test_the_chat_template_goes_around_the_whole_prompt() -> None:
    prompt = annotation_prompt(np.arange(3.0))
    chat = prompt.chat(SimpleNamespace(chat_template="x", apply_chat_template=_template))
    assert chat.text == "<user>" + prompt.text.rstrip("\n") + "</user><assistant>"
    assert chat.series == prompt.series
    assert prompt.chat(SimpleNamespace(chat_template=None)) is prompt
    silent = SimpleNamespace(chat_template="x", apply_chat_template=lambda *a, **k: "hello")
    with pytest.raises(AnnotationError, match="0 times; expected once"):
        prompt.chat(silent)


def test_a_long_series_is_refused_or_resampled() -> None:
    values = np.arange(10.0)
    assert fit_length(values, 10) is values
    with pytest.raises(AnnotationError, match=r"10 points; expected at most 4.*resample"):
        fit_length(values, 4)
    np.testing.assert_array_equal(fit_length(values, 4, "resample"), [0.0, 2.0, 5.0, 7.0])
    assert fit_length(np.zeros((10, 2)), 4, "resample").shape == (4, 2)
    for max_points, how in ((4, "cut"), (0, "resample")):
        with pytest.raises(AnnotationError, match="expected one of"):
            fit_length(values, max_points, how)


@settings(max_examples=60)
@given(data=st.data(), length=st.integers(1, 1500))
def test_stretched_facts_keep_labels_and_shares(any_facts, data, length: int) -> None:
    facts = data.draw(any_facts())
    got = stretch_facts(facts, length)
    assert (got.trend, got.noise, got.length) == (facts.trend, facts.noise, length)
    for before, after in zip(facts.extrema, got.extrema, strict=True):
        assert 0 <= after.index < length
        assert after.region == region_of(after.index, length)
        shift = abs(after.index / length - before.index / facts.length)
        assert shift <= 3 / length + 1 / facts.length
        if min(length, facts.length) >= 16:
            assert after.region == before.region
    if got.period is not None:
        assert got.period / length == pytest.approx(facts.period / facts.length)
        assert got.period >= 2
    if facts.slope is not None:
        assert got.slope * length == pytest.approx(facts.slope * facts.length)
    assert all(0 < c < length for c in got.change_points)
    if got.segments:
        assert got.segments[0].start == 0 and got.segments[-1].end == length - 1


@pytest.mark.parametrize(("length", "n"), [(1000, 300), (302, 301), (1024, 1023)])
def test_an_answer_about_a_resampled_series_points_at_what_was_shown(length: int, n: int) -> None:
    """Position j of the resampled series is position floor(j T / n) of the whole, exactly, or the
    next where that would be another region."""
    values = np.random.default_rng(0).normal(size=length)
    shown = fit_length(values, n, "resample")
    for j in range(n):
        region = region_of(j, n)
        facts = SeriesFacts(n, extrema=(Extremum("max", j, shown[j], region),))
        back = stretch_facts(facts, length, values).extrema[0]
        assert back.region == region == region_of(back.index, length)
        moved = back.index - j * length // n
        if region_of(j * length // n, length) == region:
            assert moved == 0 and back.value == shown[j]
        else:
            assert moved == 1 and back.value == values[back.index]


def test_a_period_that_cannot_be_seen_any_more_is_none() -> None:
    facts = SeriesFacts(100, period=10.0, segments=(TrendSegment(0, 99, "flat", 0.0),))
    assert stretch_facts(facts, 25).period == 2.5
    assert stretch_facts(facts, 15).period is None
    assert stretch_facts(facts, 100) is facts
    with pytest.raises(AnnotationError, match="expected at least 1"):
        stretch_facts(replace(facts, length=5), 0)
