"""What the nine fields write, read and score, to the letter, over many facts.

Adapters, files and studies made before depend on it: a change here is a change of a format. A field
that is added leaves all of it alone.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loracast.annotation import (
    LANGUAGES,
    AnnotatedSeries,
    Annotation,
    answer_regex,
    label_studio_config,
    label_studio_task,
    parse_answer,
)
from loracast.annotation._answer import answer_text, value_spans
from loracast.annotation._facts import (
    EXTREMUM_REGIONS,
    NOISE_LEVELS,
    TREND_LABELS,
    Extremum,
    SeriesFacts,
    TrendSegment,
    region_of,
)
from loracast.annotation._label_studio_read import read_label_studio
from loracast.annotation._length import stretch_facts
from loracast.annotation._prompt import annotation_prompt
from loracast.annotation._prose import prose_sentences
from loracast.annotation._records import published_line, read_records, record_line
from loracast.annotation._rows import labelled_example, tells
from loracast.annotation._score_lists import score_lists
from loracast.annotation._scores import majority_baseline, score_annotations, trend_only_baseline
from loracast.annotation._sentences import prose_labels, sentence_labels
from loracast.annotation._table import annotation_row
from loracast.errors import LoracastError

LABELS = ("trend", "noise", "max", "min")
LISTS = ("seasonality", "change_points", "segments", "outliers")
EIGHT = (*LABELS, "seasonality", "change_points", "segments", "outliers")
NINE = (*EIGHT, "correlation")
WISHES = (NINE, EIGHT, LABELS, ("noise", "max"), ("seasonality", "outliers"), ("change_points",))


def _facts(rng: random.Random, complete: bool = False) -> SeriesFacts:
    T = rng.choice((1, 2, 5, 16, 33, 100, 128, 500, 1024, 1500))
    maybe = (lambda v: v) if complete else (lambda v: v if rng.random() < 0.8 else None)
    cuts = sorted(rng.sample(range(1, T), min(T - 1, rng.randrange(5))))
    kinds = [k for k in ("max", "min") if complete or rng.random() < 0.8]
    places = {k: rng.randrange(T) for k in kinds}
    hidden = {k for k in kinds if not complete and rng.random() < 0.1}
    return SeriesFacts(
        length=T,
        trend=maybe(rng.choice(TREND_LABELS)),
        slope=maybe(rng.randint(-999, 999) / 64),
        segments=tuple(
            TrendSegment(a, b - 1, rng.choice(TREND_LABELS), rng.randint(-99, 99) / 8)
            for a, b in pairwise([0, *cuts, T])
        )
        if maybe(1)
        else (),
        noise=maybe(rng.choice(NOISE_LEVELS)),
        sigma=maybe(rng.randrange(512) / 4096),
        extrema=tuple(
            Extremum(k, -1, float("nan"), rng.choice(EXTREMUM_REGIONS))
            if k in hidden
            else Extremum(k, places[k], rng.randint(-9999, 9999) / 16, region_of(places[k], T))
            for k in kinds
        ),
        period=rng.randint(4, 2 * T) / 2 if T > 1 and rng.random() < 0.6 else None,
        strength=maybe(rng.randrange(129) / 128),
        change_points=tuple(cuts),
        outliers=tuple(sorted(rng.sample(range(T), min(T, rng.randrange(5))))),
        correlation=rng.randint(-128, 128) / 128 if rng.random() < 0.2 else None,
        clear=frozenset(rng.sample(LABELS, rng.randrange(5))),
    )


ALL = [_facts(random.Random(seed)) for seed in range(300)]
WHOLE = [_facts(random.Random(seed), complete=True) for seed in range(300, 400)]
VALUES = [np.random.default_rng(k).integers(-64, 64, f.length) / 8 for k, f in enumerate(WHOLE)]


def _or_error(work: Callable[..., Any], *args: Any, **options: Any) -> str:
    try:
        return repr(work(*args, **options))
    except LoracastError as error:
        # A list of all fields grows with each new one.
        return f"{type(error).__name__}: {error}".split("; expected some of [")[0]


def _annotations() -> Iterator[Annotation]:
    for k, facts in enumerate(ALL):
        rng = random.Random(k)
        sure = {name: rng.randrange(9) / 8 for name in rng.sample(NINE, rng.randrange(10))}
        limit = rng.choice((None, 0.5, {"noise": 0.9, "max": 0.3}))
        index = None if k % 3 else np.datetime64("2024-01-01") + np.arange(facts.length)
        try:
            yield Annotation.from_facts(
                facts, index, sure, limit, id=f"s{k}", value_unit="kW" if k % 2 else None,
                arithmetic=("max", "min"), notes=("short_series",) if k % 5 == 0 else (),
            )  # fmt: skip
        except LoracastError:
            continue


def _answers() -> Iterator[str]:
    for facts in (*ALL, *WHOLE):
        for fields in (*WISHES, ("segments",), ("mood",)):
            for places in (True, False):
                told = _or_error(answer_text, facts, fields, places=places)
                yield told
                if told.startswith("'"):
                    yield repr(value_spans(told[1:-1]))
        yield _or_error(answer_text, replace(facts, strength=None))


def _grammars() -> Iterator[str]:
    for length in (1, 2, 3, 4, 7, 33, 100, 128, 999, 1024, 1500):
        for fields in (*WISHES, ("segments",)):
            for places in (True, False):
                yield _or_error(answer_regex, length, fields, places=places)
        for index in {0, length // 3, length - 1}:
            places = {"max": index, "min": length - 1}
            both = tuple(Extremum(k, i, 0.0, region_of(i, length)) for k, i in places.items())
            known, one = SeriesFacts(length, extrema=both), SeriesFacts(length, extrema=both[:1])
            yield _or_error(answer_regex, length, LABELS, places=False, known=known)
            yield _or_error(answer_regex, length, LABELS, known=one)


def _parsed() -> Iterator[str]:
    swaps = (
        ('"increasing"', '"up"'), ('"low"', "3"), ('["end"', '["last"'), ('["end",0.', '["end",1.'),
        ('"seasonality":', '"seasonality":1'), ('"change_points":[', '"change_points":[0.0,'),
        ('"outliers":[', '"outliers":[7,'), ('"segments":[', '"segments":["flat",'),
        ('"correlation":', '"correlation":9'), ('"noise"', '"trend"'), ('"min"', '"mood"'),
    )  # fmt: skip
    for facts, values in zip(WHOLE, VALUES, strict=True):
        for fields in WISHES[1:]:
            text = answer_text(facts, fields, places=len(fields) != 4)
            yield _or_error(parse_answer, text, facts.length)
            yield _or_error(parse_answer, text, facts.length, values)
            for old, new in swaps:
                yield _or_error(parse_answer, text.replace(old, new, 1), facts.length)


def _stretched() -> Iterator[str]:
    for facts in (*ALL, *WHOLE):
        for length in (1, 3, 64, 128, 700):
            changed = stretch_facts(facts, length)
            yield repr(replace(changed, clear=frozenset())) + repr(sorted(changed.clear))


def _written() -> Iterator[str]:
    for annotation in _annotations():
        yield annotation.model_dump_json()
        yield repr(annotation.facts())
        for language in LANGUAGES:
            yield repr(prose_sentences(annotation, language))
        yield repr(prose_labels(" ".join(prose_sentences(annotation).values())))
        names = {f"confidence_{name}" for name in NINE}
        row = annotation_row(annotation)
        assert names <= set(row)
        kept = [k for k in row if not k.startswith("confidence_") or k in names]
        yield repr([(k, row[k]) for k in kept])
    for change in ({"trend": "up"}, {"noise": "x"}, {"outliers": (9999,)}, {"strength": 2.0}):
        yield _or_error(Annotation.from_facts, replace(WHOLE[3], **change))


def _labelled() -> Iterator[str]:
    yield label_studio_config()
    yield label_studio_config(timestamps=True)
    for annotation in _annotations():
        facts = annotation.facts()
        record = AnnotatedSeries(np.arange(float(facts.length)), facts, annotation=annotation)
        yield json.dumps(label_studio_task(record))


def _read_back(folder: Any) -> Iterator[str]:
    path = folder / "tasks.json"
    for facts, values in zip(WHOLE, VALUES, strict=True):
        task = label_studio_task(AnnotatedSeries(values, facts, "a"))
        results = task["predictions"][0]["result"]
        bad = [dict(r, value={"choices": ["up"]}) for r in results if r["type"] == "choices"]
        for result in (results, [*results, results[0]], bad, [*results, results[-1]]):
            path.write_text(json.dumps([{**task, "annotations": [{"result": result}]}]))
            found = _or_error(read_label_studio, path)
            yield found.replace(str(path), "tasks.json")
    path = folder / "rows.jsonl"
    for facts in (*ALL, *WHOLE):
        line = record_line(AnnotatedSeries(np.arange(float(facts.length)), facts, "a"))
        yield line
        yield published_line(AnnotatedSeries(np.arange(float(facts.length)), facts, "a"), 3)
        path.write_text(line)
        if facts.period is None or facts.period <= facts.length:
            facts = read_records(path)[0].facts
            yield repr(replace(facts, clear=frozenset())) + repr(sorted(facts.clear))


def _learned() -> Iterator[str]:
    class Task(SimpleNamespace):
        def example(self, *given: Any) -> str:
            return repr(given[2:]) + answer_text(given[1], self.fields, places=self.places)

    for fields in (EIGHT, LABELS, ("noise",), ("change_points", "segments")):
        yield annotation_prompt(np.arange(4.0), fields=fields).text
        for facts, values in zip((*ALL, *WHOLE), VALUES * 4, strict=True):
            x = np.resize(values, facts.length).astype(float) + np.arange(facts.length)
            row = AnnotatedSeries(x, facts, sentences={} if len(facts.outliers) == 1 else None)
            yield repr([tells(row, name) for name in fields])
            for places in (True, False):
                task: Any = Task(fields=fields, places=places)
                yield _or_error(labelled_example, task, row, 1024)


def _scored() -> Iterator[str]:
    truth = [replace(f, length=2000) for f in ALL]
    rng = random.Random(0)
    answers = [replace(rng.choice(truth), length=2000) for _ in truth]
    sure = [{name: rng.randrange(9) / 8 for name in NINE} for _ in truth]
    for found in (
        score_annotations(truth, answers, sure, seed=3, n_boot=50),
        score_annotations(truth, [None, *answers[1:]], seed=3, n_boot=50),
        score_lists(truth, answers, sure, LISTS),
        score_lists(truth, truth[::-1], None, LISTS),
    ):  # to nine digits: sums of floats depend on the processor
        text = json.dumps(found)
        yield re.sub(r"\d+\.\d+(?:e-\d+)?", lambda m: f"{float(m[0]):.9f}", text)
    for baseline in (majority_baseline, trend_only_baseline):
        yield repr(baseline(truth))
        yield repr(baseline(truth[:40], truth[40:]))


def _sentences() -> Iterator[str]:
    words = (
        "the", "maximum", "minimum", "is", "at", "end", "start", "middle", "rises", "falls", "no",
        "noise", "low", "strong", "not", "moderate", "flat", "then", ",", "peak", "early", "trend",
    )  # fmt: skip
    for seed in range(400):
        rng = random.Random(seed)
        text = " ".join(rng.choice(words) for _ in range(rng.randrange(1, 12)))
        yield repr(sentence_labels({"trend": text, "noise": text, "extrema": text}))
        yield repr(prose_labels(text))


TOPICS: dict[str, Callable[..., Iterator[str]]] = {
    "answers": _answers,
    "grammars": _grammars,
    "parsed": _parsed,
    "stretched": _stretched,
    "written": _written,
    "labelled": _labelled,
    "read_back": _read_back,
    "learned": _learned,
    "scored": _scored,
    "sentences": _sentences,
}
KEPT = {
    "answers": "7a2da008062aad24",
    "grammars": "f117f01b67f1365e",
    "parsed": "044285f7b741e31b",
    "stretched": "e0457bb2d748ba73",
    "written": "7689355762f91197",
    "labelled": "054b7925dc8f187f",
    "read_back": "daa95d061420c9d7",
    "learned": "c281810a496b7b05",
    "scored": "dfaf6150cd6d49bb",
    "sentences": "90defe03b376b88e",
}


@pytest.mark.parametrize("topic", TOPICS)
def test_it_is_what_it_was(topic: str, tmp_path) -> None:
    lines = list(TOPICS[topic](tmp_path) if topic == "read_back" else TOPICS[topic]())
    found = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    assert (topic, found) == (topic, KEPT[topic])
