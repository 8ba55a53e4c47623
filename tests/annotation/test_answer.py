"""What the model writes: exact places, a reader that refuses, a grammar that allows no more."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loracast.annotation import LABEL_FIELDS, SERIES_FIELDS, answer_regex, parse_answer
from loracast.annotation._answer import answer_text, value_spans
from loracast.annotation._facts import (
    UNKNOWN_INDEX,
    Extremum,
    SeriesFacts,
    TrendSegment,
    region_of,
)
from loracast.annotation._field_extrema import extrema_of, placed
from loracast.annotation._fields import ANNOTATION_FIELDS
from loracast.annotation._places import one_of
from loracast.errors import AnnotationError

from .vocabulary_texts import vocabulary_texts

LENGTHS = (1, 2, 3, 4, 7, 32, 99, 100, 101, 128, 999, 1000, 1001, 1024, 2500)
FACTS = SeriesFacts(
    length=128,
    trend="increasing",
    segments=(TrendSegment(0, 60, "increasing", 0.1), TrendSegment(61, 127, "flat", 0.0)),
    noise="low",
    extrema=(Extremum("max", 119, 3.0, "end"), Extremum("min", 4, 0.0, "beginning")),
    period=12.3,
    change_points=(61,),
    outliers=(16,),
)
TEXT = (
    '{"trend":"increasing","noise":"low","max":["end",0.930],"min":["beginning",0.032],'
    '"seasonality":12,"change_points":[0.48],"segments":["increasing","flat"],"outliers":[0.125]}'
)
WRITTEN = tuple(json.loads(TEXT))
ILLEGAL = [
    ('"increasing"', '"rising"', "trend: got 'rising'"),
    ('"low"', '"LOW"', "noise: got 'LOW'"),
    ('"low"', "3", "noise: got 3"),
    ('["end",0.930]', '["end",0.500]', "index 64 of 128 and lies in the middle"),
    ('["end",0.930]', '["end",1.000]', "from 0 to below 1"),
    ('["end",0.930]', '["end",-0.1]', "from 0 to below 1"),
    ('["end",0.930]', '["end","0.93"]', "from 0 to below 1"),
    ('["end",0.930]', '["last",0.930]', "max: got 'last'"),
    ('["end",0.930]', "119", "max: got 119"),
    ('["end",0.930]', '["end",NaN]', "from 0 to below 1"),
    (":12,", ":1,", "period of 2 to 128"),
    (":12,", ":129,", "period of 2 to 128"),
    (":12,", ":12.5,", "whole steps"),
    (":12,", ":true,", "whole steps"),
    ("[0.48]", "[0.48,0.30]", "ascending"),
    ("[0.48]", "[0.48,0.48]", "ascending"),
    ("[0.48]", "[0.00]", "ascending indices from 1 on"),
    ("[0.48]", "[0.1,0.2,0.3,0.4]", "at most 3"),
    ("[0.48]", "null", "at most 3"),
    ('["increasing","flat"]', '["increasing"]', "expected 2 labels"),
    ('["increasing","flat"]', '["increasing","up"]', "segments: got 'up'"),
    ("[0.125]", "[0.1,0.2,0.3,0.4]", "at most 3"),
    ("[0.125]", "[1]", "from 0 to below 1"),
    ('"noise"', '"sound"', "sound"),
    ('"noise"', '"trend"', "'trend' twice"),
    ("}", "", "no JSON"),
    ("}", "} Done.", "no JSON"),
    ("{", "```json\n{", "no JSON"),
    (":12,", ":" + "9" * 5000 + ",", "no JSON"),
    ("0.930", "0.5e-99999999999999999999", "no JSON"),
]


def test_the_answer_is_the_documented_one() -> None:
    assert answer_text(FACTS) == TEXT
    json.loads(TEXT)
    labels = answer_text(FACTS, ("min", "max", "noise", "trend"), places=False)
    assert labels == ('{"trend":"increasing","noise":"low","max":["end"],"min":["beginning"]}')
    got = parse_answer(TEXT, 128, np.arange(128.0))
    assert (got.trend, got.noise, got.period, got.change_points) == (
        "increasing", "low", 12.0, (61,)
    )  # fmt: skip
    assert [(e.kind, e.index, e.value) for e in got.extrema] == [
        ("max", 119, 119.0),
        ("min", 4, 4.0),
    ]
    assert [(s.start, s.end, s.label) for s in got.segments] == [
        (0, 60, "increasing"), (61, 127, "flat")
    ]  # fmt: skip
    assert parse_answer(labels, 128).extrema[0].index == UNKNOWN_INDEX


@pytest.mark.parametrize("length", LENGTHS)
def test_a_place_comes_back(length: int) -> None:
    """Exactly up to 1,000 points (100 for change points), beyond within one code's width."""
    for index in {*range(min(length, 130)), *range(0, length, 7), length // 4, length * 3 // 4}:
        region = region_of(index, length)
        facts = SeriesFacts(
            length,
            extrema=(Extremum("max", index, 0.0, region), Extremum("min", index, 0.0, region)),
            change_points=(index,) if index else (),
            outliers=(index,),
        )
        text = answer_text(facts)
        got = parse_answer(text, length)
        share = Fraction(json.loads(text, parse_float=str)["max"][1])
        assert got.extrema[0].index == int(share * length)  # the rule, in exact arithmetic
        assert got.extrema[0].region == region
        if length <= 1000:
            assert got.extrema[0].index == index and got.outliers == (index,)
        if length <= 100 and index:
            assert got.change_points == (index,)
        assert abs(got.extrema[0].index - index) <= length / 1000
        # Nothing that could be written lies nearer.
        thousandths, hundredths = (np.arange(n) * length // n for n in (1000, 100))
        assert all(abs(o - index) == abs(thousandths - index).min() for o in got.outliers)
        possible = hundredths[hundredths > 0]
        assert all(abs(c - index) == abs(possible - index).min() for c in got.change_points)


def test_of_many_points_the_first_three_are_written() -> None:
    facts = SeriesFacts(100, change_points=(50, 10, 40, 20), outliers=(9, 8, 7, 6, 5))
    got = parse_answer(answer_text(facts), 100)
    assert (got.change_points, got.outliers) == ((10, 20, 40), (5, 6, 7))


@settings(max_examples=60)
@given(data=st.data())
def test_writing_and_reading_agree(any_facts, data) -> None:
    facts = data.draw(any_facts(complete=False))
    text = answer_text(facts)
    got = parse_answer(text, facts.length)
    assert (got.trend, got.noise) == (facts.trend, facts.noise)
    assert [(e.kind, e.region) for e in got.extrema] == [(e.kind, e.region) for e in facts.extrema]
    assert answer_text(got, json.loads(text)) == text  # canonical
    assert re.fullmatch(answer_regex(facts.length, list(json.loads(text))), text)


@settings(max_examples=60)
@given(data=st.data(), places=st.booleans())
def test_the_spans_of_values_are_what_json_reads(any_facts, data, places: bool) -> None:
    facts = data.draw(any_facts(complete=False))
    text = answer_text(facts, places=places)
    read, spans = json.loads(text), value_spans(text)
    assert list(spans) == list(read)
    for name, (start, stop) in spans.items():
        if name in LABEL_FIELDS:
            assert text[start:stop] == (
                read[name] if isinstance(read[name], str) else read[name][0]
            )
        else:
            assert text[start : start + 2] == '":' and text[stop - 1] in ",}"
            assert json.loads(text[start + 2 : stop - 1]) == read[name]


@given(
    st.lists(st.one_of(st.none(), st.integers(-3, 3)), min_size=1, max_size=20).filter(
        lambda v: any(x is not None for x in v)
    )
)
def test_a_region_stands_for_its_own_extremum(values: list[int | None]) -> None:
    x = np.array([np.nan if v is None else float(v) for v in values])
    T = len(values)
    regions = {region_of(i, T) for i, v in enumerate(values) if v is not None}
    for region in ("beginning", "middle", "end"):
        text = f'{{"max":["{region}"],"min":["{region}"]}}'
        facts = parse_answer(text, T)
        if region not in regions:
            with pytest.raises(AnnotationError, match="no known point there"):
                placed(facts, x)
            continue
        inside = [
            (v, i) for i, v in enumerate(values) if v is not None and region_of(i, T) == region
        ]
        top = max(v for v, _ in inside)
        low = min(v for v, _ in inside)
        wanted = [("max", top), ("min", low)]
        for e, (kind, value) in zip(placed(facts, x).extrema, wanted, strict=True):
            first = min(i for v, i in inside if v == value)
            assert (e.kind, e.index, e.value, e.region) == (kind, first, value, region)


def _sample(tree, rng: np.random.Generator) -> str:
    """A random text of a parsed regular expression (of the few constructs the grammar has)."""
    out = ""
    for op, value in tree:
        match str(op):
            case "LITERAL":
                out += chr(value)
            case "IN":
                which, what = value[rng.integers(len(value))]
                low, high = (what, what) if str(which) == "LITERAL" else what
                out += chr(rng.integers(low, high + 1))
            case "SUBPATTERN":
                out += _sample(value[-1], rng)
            case "BRANCH":
                out += _sample(value[1][rng.integers(len(value[1]))], rng)
            case "MAX_REPEAT":
                low, high, inner = value
                out += "".join(_sample(inner, rng) for _ in range(rng.integers(low, high + 1)))
            case other:
                raise AssertionError(other)
    return out


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    ("fields", "places"),
    [
        (ANNOTATION_FIELDS, True),
        (LABEL_FIELDS, False),
        (("noise", "change_points"), True),
        (("min", "outliers"), True),
    ],
)
def test_whatever_the_grammar_allows_is_legal(length: int, fields, places: bool) -> None:
    pattern = answer_regex(length, fields, places=places)
    tree, rng = _parser.parse(pattern), np.random.default_rng(length)
    for _ in range(30):
        text = _sample(tree, rng)
        assert re.fullmatch(pattern, text)
        got = parse_answer(text, length)
        assert list(json.loads(text)) == [name for name in ANNOTATION_FIELDS if name in fields]
        indices = [*got.change_points, *got.outliers]
        indices += [e.index for e in got.extrema] if places else []
        assert all(0 <= i < length for i in indices)


@pytest.mark.parametrize(("old", "new", "match"), ILLEGAL)
def test_an_illegal_answer_is_one_clear_line(old: str, new: str, match: str) -> None:
    assert TEXT.count(old) >= 1
    text = TEXT.replace(old, new, 1)
    assert re.fullmatch(answer_regex(128, WRITTEN), TEXT)
    assert not re.fullmatch(answer_regex(128, WRITTEN), text)
    with pytest.raises(AnnotationError, match=re.escape(match)) as caught:
        parse_answer(text, 128)
    assert "\n" not in str(caught.value)


def test_spaces_and_order_are_free_to_the_reader_only() -> None:
    data = json.loads(TEXT)
    loose = json.dumps(dict(reversed(data.items())), indent=1)
    assert answer_text(parse_answer(loose, 128)) == answer_text(parse_answer(TEXT, 128))
    assert not re.fullmatch(answer_regex(128, WRITTEN), loose)


@pytest.mark.parametrize(
    ("change", "fields", "match"),
    [
        ({"trend": None}, ("trend",), "trend: got None"),
        ({"extrema": ()}, ("max",), "0 extrema of kind 'max'"),
        ({"extrema": (Extremum("max", 64, 0.0, "end"),)}, ("max",), "lies in the middle"),
        ({"extrema": (Extremum("max", 128, 0.0, "end"),)}, ("max",), "expected 0 to 127"),
        ({"extrema": (Extremum("max", -1, 0.0, "end"),)}, ("max",), "places=False"),
        ({"change_points": (0,)}, ("change_points",), "expected 1 to 127"),
        ({"period": 200.0}, ("seasonality",), "period of 200.0 steps"),
        ({"segments": ()}, ("change_points", "segments"), "no trend segments"),
        ({"correlation": None}, ("correlation",), "got correlation None"),
        ({}, ("mood",), "got the fields ['mood']"),
        ({}, (), "expected some of"),
        ({}, ("segments",), "segments without change_points"),
        ({"length": 0}, None, "a series of 0 points"),
    ],
)
def test_facts_that_cannot_be_answered_are_one_clear_line(change, fields, match) -> None:
    with pytest.raises(AnnotationError, match=re.escape(match)):
        answer_text(replace(FACTS, **change), fields)


def test_no_length_no_grammar() -> None:
    with pytest.raises(AnnotationError, match="0 points"):
        answer_regex(0)
    with pytest.raises(AnnotationError, match="0 points"):
        parse_answer(TEXT, 0)
    with pytest.raises(AnnotationError, match="got the fields"):
        answer_regex(8, ("mood",))


@settings(max_examples=50)
@given(st.sets(st.from_regex(r"[0-9]{1,4}", fullmatch=True), min_size=1))
def test_a_set_of_digit_texts_as_a_regular_expression(texts: set[str]) -> None:
    pattern = re.compile(one_of(texts))
    around = {t[:-1] for t in texts} | {t + "0" for t in texts} | {t[::-1] for t in texts}
    for text in (texts | around) - {""}:
        assert bool(pattern.fullmatch(text)) == (text in texts)


# With llguidance itself, the library that masks tokens by this grammar.


def _byte_level_bpe(folder: Path) -> str:
    """A small byte-level BPE tokenizer with merges across quotes and brackets, as a file."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(vocabulary_texts(), trainer)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


@pytest.fixture(scope="module", params=["byte", "bpe"])
def ll_tokenizer(request, tmp_path_factory):
    llguidance = pytest.importorskip("llguidance")
    if request.param == "byte":
        return llguidance.LLTokenizer("byte")
    path = _byte_level_bpe(tmp_path_factory.mktemp("bpe"))
    return llguidance.LLTokenizer(path, eos_token=0)


def _matcher(tokenizer, length: int, fields):
    from llguidance import LLMatcher

    grammar = LLMatcher.grammar_from_lark(f"start: /{answer_regex(length, fields)}/\n")
    matcher = LLMatcher(tokenizer, grammar)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def _accepts(tokenizer, matcher, text: str) -> bool:
    """Whether every token may follow the last, and the text may end there."""
    matcher.reset()
    tokens = tokenizer.tokenize_str(text)
    return matcher.validate_tokens(tokens) == len(tokens) and (
        matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()
    )


def test_llguidance_accepts_what_facts_answer(ll_tokenizer, any_facts) -> None:
    seen = 0

    @settings(max_examples=25)
    @given(facts=any_facts())
    def check(facts: SeriesFacts) -> None:
        nonlocal seen
        text = answer_text(facts)
        matcher = _matcher(ll_tokenizer, facts.length, list(json.loads(text)))
        assert _accepts(ll_tokenizer, matcher, text)
        seen += 1

    check()
    assert seen >= 25


def test_llguidance_refuses_what_is_illegal(ll_tokenizer) -> None:
    matcher = _matcher(ll_tokenizer, 128, WRITTEN)
    assert _accepts(ll_tokenizer, matcher, TEXT)
    for old, new, _ in ILLEGAL:
        assert not _accepts(ll_tokenizer, matcher, TEXT.replace(old, new, 1)), new
    assert not _accepts(ll_tokenizer, matcher, TEXT.replace('":', '": ', 1))
    assert not _accepts(ll_tokenizer, matcher, TEXT[:-1])


@pytest.mark.parametrize("length", [1, 2, 50, 1024])
def test_llguidance_lets_a_drunken_model_write_legal_answers_only(ll_tokenizer, length) -> None:
    rng = np.random.default_rng(length)
    for fields in (LABEL_FIELDS, SERIES_FIELDS):
        matcher = _matcher(ll_tokenizer, length, fields)
        for _ in range(5):
            matcher.reset()
            tokens: list[int] = []
            while not matcher.is_stopped():
                bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
                allowed = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
                token = int(rng.choice(allowed))
                if token in ll_tokenizer.eos_tokens:
                    break
                assert matcher.consume_token(token)
                tokens.append(token)
                assert len(tokens) < 400
            parse_answer(ll_tokenizer.decode_str(tokens), length)


@pytest.mark.parametrize(("period", "steps"), [(12.3, 12), (12.7, 13), (2.0, 2)])
def test_a_period_is_rounded_to_whole_steps(period: float, steps: int) -> None:
    facts = SeriesFacts(30, period=period)
    assert json.loads(answer_text(facts, ("seasonality",))) == {"seasonality": steps}


def test_a_stretch_has_the_label_that_covers_most_points_of_it() -> None:
    # Three points increase; two and two decrease.
    pieces = ((0, 2, "increasing"), (3, 4, "decreasing"), (5, 6, "decreasing"))
    segments = tuple(TrendSegment(a, b, label, 0.0) for a, b, label in pieces)
    text = answer_text(SeriesFacts(7, segments=segments), ("change_points", "segments"))
    assert json.loads(text)["segments"] == ["decreasing"]


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_the_grammar_allows_every_choice_of_change_points(length: int) -> None:
    pattern = answer_regex(length, ("change_points",))
    for n in range(min(length - 1, 3) + 1):
        for places in itertools.combinations(range(1, length), n):
            text = answer_text(SeriesFacts(length, change_points=places), ("change_points",))
            assert re.fullmatch(pattern, text), text


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=60).filter(
        lambda v: any(x is not None for x in v)
    ),
    st.booleans(),
)
def test_one_place_is_legal_for_an_extremum_and_it_is_the_series_own(
    values: list[float | None], places: bool
) -> None:
    x = np.array([np.nan if v is None else v for v in values])
    known = {i: v for i, v in enumerate(values) if v is not None}
    wanted = {"max": max(known, key=known.get), "min": min(known, key=known.get)}  # the first
    found = extrema_of(x)
    assert {e.kind: e.index for e in found} == wanted
    for e in found:
        assert e.value == known[e.index] and e.region == region_of(e.index, len(x))
    facts = SeriesFacts(len(x), extrema=found)
    text = answer_text(facts, ("max", "min"), places=places)
    pattern = answer_regex(len(x), ("max", "min"), places=places, known=facts)
    # What the pattern matches is one text alone: without its escapes it is that text.
    assert re.fullmatch(pattern, text) and pattern.replace("\\", "") == text
    with pytest.raises(AnnotationError, match=f"got index {len(x)}"):
        beyond = replace(found[0], index=len(x))
        answer_regex(len(x), ("max",), known=SeriesFacts(len(x), extrema=(beyond,)))


def test_outliers_are_read_in_order_and_an_unknown_place_has_no_value() -> None:
    assert parse_answer('{"outliers":[0.5,0.1,0.5]}', 10).outliers == (1, 5)
    assert math.isnan(parse_answer('{"max":["end"]}', 4, np.arange(4.0)).extrema[0].value)
