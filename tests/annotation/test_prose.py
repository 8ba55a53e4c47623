"""Prose says what the fields say, in every language; published sentences are read as meant."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loracast.annotation import LANGUAGES, Annotation, prose
from loracast.annotation._facts import (
    EXTREMUM_REGIONS,
    NOISE_LEVELS,
    TREND_LABELS,
    Extremum,
    SeriesFacts,
    TrendSegment,
    region_of,
)
from loracast.annotation._fields import ANNOTATION_FIELDS
from loracast.annotation._prose import prose_sentences
from loracast.annotation._records import read_published
from loracast.annotation._sentences import (
    facts_from_sentences,
    profile_sentences,
    prose_labels,
    sentence_labels,
)
from loracast.errors import AnnotationError

from .vocabulary_texts import vocabulary_texts

# The word of each label in the sentence of its field, and no other label's word may be there.
WORDS = {
    "en": ("increasing decreasing flat", "low medium high", "beginning middle end"),
    "fr": ("hausse baisse stable", "faible moyen élevé", "début milieu fin"),
    "zh": ("上升 下降 平稳", "低 中等 高", "开头 中间 末尾"),
}


def _labels(facts: SeriesFacts) -> dict[str, str | None]:
    regions = {e.kind: e.region for e in facts.extrema}
    return {
        "trend": facts.trend,
        "noise": facts.noise,
        "max": regions.get("max"),
        "min": regions.get("min"),
    }


@settings(max_examples=60)
@given(data=st.data())
def test_english_prose_parses_back_to_the_same_labels(any_facts, data) -> None:
    facts = data.draw(any_facts(complete=False))
    index = np.datetime64("2024-01-01") + np.arange(facts.length)
    annotation = Annotation.from_facts(facts, index=index, value_unit="kW")
    assert prose_labels(prose(annotation)) == _labels(facts)
    told = prose_sentences(annotation)
    # The reader of free sentences, which knows nothing of the templates, agrees.
    free = {"trend": told.get("trend", ""), "noise": told.get("noise", "").split("(")[0]}
    free["extrema"] = " ".join(told[k].split("(")[0] for k in ("max", "min") if k in told)
    read = sentence_labels(free)
    assert {k: v[0] if v else None for k, v in read.items()} == _labels(facts)
    assert all(len(v) <= 1 for v in read.values())


@settings(max_examples=60)
@given(language=st.sampled_from(LANGUAGES), data=st.data())
def test_every_language_says_what_every_field_says(any_facts, language: str, data) -> None:
    facts = data.draw(any_facts(complete=False))
    confidence = data.draw(st.dictionaries(st.sampled_from(ANNOTATION_FIELDS), st.floats(0, 1)))
    annotation = Annotation.from_facts(facts, confidence=confidence, threshold=0.5)
    told = prose_sentences(annotation, language)
    text = prose(annotation, language)
    assert all(sentence in text for sentence in told.values())
    trend = annotation.trend.label if annotation.trend else None
    noise = annotation.noise.level if annotation.noise else None
    regions = {e.kind: e.region for e in annotation.extrema}
    for name, label, known, words in (
        ("trend", trend, TREND_LABELS, WORDS[language][0]),
        ("noise", noise, NOISE_LEVELS, WORDS[language][1]),
        ("max", regions.get("max"), EXTREMUM_REGIONS, WORDS[language][2]),
        ("min", regions.get("min"), EXTREMUM_REGIONS, WORDS[language][2]),
    ):
        assert (name in told) == (label is not None)
        if label is not None:
            head = re.split(r"[(（]", told[name])[0] if name in ("trend", "noise") else told[name]
            found = [w for w in words.split() if w in head]
            assert found == [words.split()[known.index(label)]], told[name]
    assert ("seasonality" in told) == ("seasonality" not in annotation.abstained)
    for name in ("change_points", "outliers"):
        points = getattr(annotation, name)
        assert (name in told) == (points is not None)
        numbers = re.findall(r"\d+", told.get(name, ""))
        assert numbers == [str(p.position) for p in points or ()]
    below = {name for name, c in confidence.items() if c < 0.5}
    assert ("uncertain" in told) == bool(below) and "unasked" not in told
    assert ("correlation" in told) == (annotation.correlation is not None)
    segments = annotation.trend.segments if annotation.trend else ()
    if len(segments) > 1:
        found = re.findall("|".join(WORDS[language][0].split()), told["segments"])
        known = dict(zip(TREND_LABELS, WORDS[language][0].split(), strict=True))
        assert found == [known[s.label] for s in segments]


def test_languages_differ_and_another_is_refused() -> None:
    annotation = Annotation.from_facts(SeriesFacts(8, trend="flat", noise="low"))
    assert len({prose(annotation, language) for language in LANGUAGES}) == 3
    with pytest.raises(AnnotationError, match="got language 'de'; expected one of en, fr, zh"):
        prose(annotation, "de")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10004.4, "10004.4"),
        (68.95095583, "68.951"),
        (100004.25, "100004.25"),
        (-3.0, "-3"),
        (0.1 + 0.2, "0.3"),
        (1.5e-7, "1.5e-07"),
        (123456789.125, "123456789.1"),
        (9999999999.96, "9999999999.96"),
        (1e10, "10000000000"),
        (123456789012345.0, "123456789012345"),
        (1e16 + 38, "1.0000000000000038e+16"),
        (1e16, "1e+16"),
    ],
)
def test_large_values_are_not_rounded_away(value: float, text: str) -> None:
    extremum = Extremum("max", 7, value, "end")
    annotation = Annotation.from_facts(SeriesFacts(8, extrema=(extremum,)))
    told = prose_sentences(annotation)["max"]
    assert told == f"The global maximum, {text}, is at the end (index 7)."
    french = prose_sentences(annotation, "fr")["max"]
    assert f"maximum global, {text.replace('.', ',')}, se" in french


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_value_reads_back_to_six_digits(value: float) -> None:
    extremum = Extremum("min", 0, value, "beginning")
    told = prose_sentences(Annotation.from_facts(SeriesFacts(8, extrema=(extremum,))))["min"]
    found = float(told.split(", ")[1])
    assert found == pytest.approx(value, rel=5.1e-6, abs=0)
    assert "e" not in told.split(", ")[1] or not 1e-4 <= abs(value) < 1e15


def test_abstained_fields_are_named_and_not_claimed() -> None:
    annotation = Annotation.from_facts(
        SeriesFacts(8, trend="flat", noise="low"),
        confidence={"trend": 0.9, "noise": 0.4},
        threshold=0.5,
        fields=("trend", "noise"),
    )
    text = prose(annotation)
    assert "season " not in text and "outlier at" not in text and "noise level" not in text
    assert text == (
        "The overall trend is flat. Not certain enough to be stated: noise. "
        "Not described: maximum, minimum, seasonality, change points, trend segments, outliers."
    )


@pytest.mark.parametrize(
    ("key", "sentence", "labels"),
    [
        ("trend", "The series goes up then down.", ("increasing", "decreasing")),
        ("trend", "Values rise at first, then fall sharply.", ("increasing", "decreasing")),
        ("trend", "The time series is stable.", ("flat",)),
        ("trend", "It remains constant overall.", ("flat",)),
        ("trend", "There is no clear increasing or decreasing trend.", ("flat",)),
        ("trend", "No clear trend is visible, with fluctuations.", ("flat",)),
        ("trend", "It does not exhibit a clear increasing trend; it is flat.", ("flat",)),
        ("trend", "A downward trend over the whole period", ("decreasing",)),
        ("trend", "An overall increasing trend, with significant fluctuations.", ("increasing",)),
        ("trend", "Increasing, and still increasing.", ("increasing",)),
        ("trend", "Bananas.", ()),
        ("noise", "The noise intensity is moderate, with high peaks.", ("medium",)),
        ("noise", "The noise intensity is low to medium.", ("low", "medium")),
        ("noise", "The noise is medium with minor fluctuations.", ("medium",)),
        ("noise", "Relatively low and the fluctuations are high at times", ("low",)),
        ("noise", "With strong fluctuations.", ("high",)),
        ("noise", "Overall, the noise is high.", ("high",)),
        ("noise", "There is no significant noise.", ("low",)),
        ("noise", "The series shows no noticeable or strong noise.", ("low",)),
        ("noise", "Without large fluctuations, the noise is hardly visible.", ("low",)),
        ("noise", "The noise is not significant.", ("low",)),
        ("noise", "The noise isn't considerable.", ("low",)),
        ("noise", "It is free of heavy noise.", ("low",)),
        ("noise", "The series lacks intense noise.", ("low",)),
        ("noise", "The noise is insignificant.", ("low",)),
        ("noise", "The noise is not high but moderate.", ("medium",)),
        ("noise", "The noise is neither high nor low.", ()),
        ("noise", "The noise is not low.", ()),
        ("noise", "The noise is not very high.", ()),
        ("noise", "No trend is visible, and the noise is high.", ("high",)),
        ("noise", "The noise, without doubt, is strong.", ("high",)),
    ],
)
def test_free_sentences(key: str, sentence: str, labels: tuple[str, ...]) -> None:
    assert sentence_labels({key: sentence})[key] == labels
    facts = facts_from_sentences({key: sentence}, 128)
    assert getattr(facts, key) == (labels[0] if len(labels) == 1 else None)


@pytest.mark.parametrize(
    ("sentence", "highest", "lowest"),
    [
        ("The global maximum is towards the end, the global minimum in the middle.",
         ("end",), ("middle",)),
        ("The minimum is near the start and the maximum around the mid-point.",
         ("middle",), ("beginning",)),
        ("Both the maximum and the minimum are at the end.", ("end",), ("end",)),
        ("At the beginning lies the maximum, at the end the minimum.", ("beginning",), ("end",)),
        ("The peak comes late, the trough early.", ("end",), ("beginning",)),
        ("The maximum is at the end.", ("end",), ()),
        ("The maximum is in the middle towards the end.", ("middle", "end"), ()),
        ("Nothing to say.", (), ()),
    ],
)  # fmt: skip
def test_free_sentences_about_extrema(sentence: str, highest, lowest) -> None:
    got = sentence_labels({"extrema": sentence})
    assert (got["max"], got["min"]) == (highest, lowest)


@pytest.mark.parametrize(
    ("sentences", "match"),
    [({"mood": "fine"}, "got the keys ['mood']"), ({"trend": 3}, "trend: got 3")],
)
def test_what_is_no_sentence_is_one_clear_line(sentences, match: str) -> None:
    with pytest.raises(AnnotationError, match=re.escape(match)):
        facts_from_sentences(sentences, 8)


@settings(max_examples=60)
@given(data=st.data())
def test_the_published_form_parses_back(any_facts, data) -> None:
    facts = data.draw(any_facts(complete=False))
    sentences = profile_sentences(Annotation.from_facts(facts))
    assert list(sentences) == ["trend", "noise", "extrema"]
    assert _labels(facts_from_sentences(sentences, facts.length)) == _labels(facts)


def test_the_published_rows_read_like_the_published_rule(shared_dir) -> None:
    """Agreement with the published rule, counted here; its known figures on 200 rows: trend
    88.5 % strictly and 97.5 % if 'up then down' counts, noise 79 and 82, maximum 96.5, minimum 95,
    all fields 66 and 72.5."""
    rows = read_published(shared_dir / "data" / "dlaa_annotations_dev.jsonl")
    assert len(rows) == 150
    strict = dict.fromkeys(("trend", "noise", "max", "min", "all"), 0)
    lenient = dict(strict)
    for row in rows:
        x = row.values
        rise = x[-20:].mean() - x[:20].mean()
        t = np.arange(128)
        rms = np.sqrt(np.mean((x - np.polyval(np.polyfit(t, x, 3), t)) ** 2))
        rule = {
            "trend": "increasing" if rise > 3 else "decreasing" if rise < -3 else "flat",
            "noise": "low" if rms < 2 else "high" if rms > 12 else "medium",
            "max": region_of(int(x.argmax()), 128),
            "min": region_of(int(x.argmin()), 128),
        }
        found = sentence_labels(row.sentences)
        assert all(found.values()), row.sentences
        one = {k: found[k] == (v,) for k, v in rule.items()}
        some = {k: v in found[k] for k, v in rule.items()}
        for count, hits in ((strict, one), (lenient, some)):
            for name in rule:
                count[name] += hits[name]
            count["all"] += all(hits.values())
    assert strict == {"trend": 136, "noise": 119, "max": 146, "min": 144, "all": 103}
    assert lenient == {"trend": 147, "noise": 124, "max": 146, "min": 144, "all": 112}


def test_vocabulary_texts_have_every_label_and_no_accidents() -> None:
    texts = vocabulary_texts()
    joined = "\n".join(texts)
    for label in (*TREND_LABELS, *NOISE_LEVELS, *EXTREMUM_REGIONS):
        assert f'"{label}"' in joined
    for name in ANNOTATION_FIELDS:
        assert f'"{name}":' in joined
    assert len(texts) == len(vocabulary_texts(())) + 6
    assert all("时" not in t for t in texts) and any("趋势" in t for t in vocabulary_texts(("zh",)))


def test_prose_of_json_is_prose_of_the_annotation() -> None:
    annotation = Annotation.from_facts(replace(SeriesFacts(8), trend="flat", correlation=-0.25))
    again = Annotation.read(json.loads(annotation.model_dump_json()))
    assert prose(again) == prose(annotation)
    assert "-0.25" in prose(annotation) and "-0,25" in prose(annotation, "fr")


FULL = SeriesFacts(
    length=12,
    trend="increasing",
    slope=0.25,
    segments=(
        TrendSegment(0, 3, "flat", 0.0),
        TrendSegment(4, 4, "decreasing", -1.0),
        TrendSegment(5, 11, "increasing", 0.5),
    ),
    noise="low",
    sigma=0.015,
    extrema=(Extremum("max", 11, 9.5, "end"), Extremum("min", 4, -1.0, "middle")),
    period=2.5,
    strength=0.75,
    change_points=(4, 5),
    outliers=(2,),
)


SAID = {
    "en": {
        "trend": "The overall trend is increasing (slope 0.25 kW a step).",
        "segments": "In stretches it is flat from 101 to 104, decreasing at 105, "
        "then increasing from 106 to 112.",
        "noise": "The noise level is low (standard deviation 1.5% of the range).",
        "max": "The global maximum, 9.5 kW, is at the end (index 112).",
        "min": "The global minimum, -1 kW, is in the middle (index 105).",
        "seasonality": "A season repeats every 2.5 steps (strength 0.75).",
        "change_points": "There are change points at 105 and 106.",
        "outliers": "There is an outlier at 103.",
    },
    "fr": {
        "trend": "La tendance générale est à la hausse (pente 0,25 kW par pas).",
        "segments": "Par segments, elle est stable de 101 à 104, à la baisse en 105, "
        "puis à la hausse de 106 à 112.",
        "noise": "Le niveau de bruit est faible (écart-type : 1,5 % de l'étendue).",
        "max": "Le maximum global, 9,5 kW, se trouve à la fin (indice 112).",
        "min": "Le minimum global, -1 kW, se trouve au milieu (indice 105).",
        "seasonality": "Une saison se répète tous les 2,5 pas (force 0,75).",
        "change_points": "Il y a des points de rupture en 105 et 106.",
        "outliers": "Il y a une valeur aberrante en 103.",
    },
    "zh": {
        "trend": "总体趋势为上升（斜率 0.25 kW 每步）。",
        "segments": "分段来看：从 101 到 104 平稳、在 105 下降，随后从 106 到 112 上升。",
        "noise": "噪声水平为低（标准差为极差的 1.5%）。",
        "max": "全局最大值（9.5 kW）位于序列末尾，索引为 112。",
        "min": "全局最小值（-1 kW）位于序列中间，索引为 105。",
        "seasonality": "存在季节性，周期为 2.5 步（强度 0.75）。",
        "change_points": "有多个变点，位于 105和106。",
        "outliers": "有一个异常点，位于 103。",
    },
}


BARE = {
    "en": ("The global maximum is at the end.", "The global minimum is at the beginning.",
           "There is no season.", "There is no change point.", "There is no outlier."),
    "fr": ("Le maximum global se trouve à la fin.", "Le minimum global se trouve au début.",
           "Il n'y a pas de saisonnalité.", "Il n'y a pas de point de rupture.",
           "Il n'y a pas de valeur aberrante."),
    "zh": ("全局最大值位于序列末尾。", "全局最小值位于序列开头。", "没有季节性。", "没有变点。",
           "没有异常点。"),
}  # fmt: skip


@pytest.mark.parametrize("language", SAID)
def test_every_sentence_word_for_word(language: str) -> None:
    """In the caller's index and unit."""
    full = Annotation.from_facts(FULL, index=np.arange(101, 113), value_unit="kW")
    assert prose_sentences(full, language) == SAID[language]
    places = (Extremum(k, -1, float("nan"), r) for k, r in (("max", "end"), ("min", "beginning")))
    bare = Annotation.from_facts(SeriesFacts(12, extrema=tuple(places)))
    assert tuple(prose_sentences(bare, language).values()) == BARE[language]


def test_one_stretch_is_told_where_the_trend_is_abstained_from() -> None:
    facts = SeriesFacts(12, trend="flat", segments=(TrendSegment(0, 11, "flat", 0.0),))
    assert "segments" not in prose_sentences(Annotation.from_facts(facts))
    unsure = Annotation.from_facts(facts, confidence={"trend": 0.1}, threshold=0.5)
    told = prose_sentences(unsure)
    assert "trend" not in told and told["segments"] == "In stretches it is flat from 0 to 11."
