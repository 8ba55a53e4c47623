"""Guided decoding against a slow reference: no batch, no cache, legality by another engine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import regex as slow_regex
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loracast.annotation import (
    EXTREMUM_REGIONS,
    LABEL_FIELDS,
    NOISE_LEVELS,
    SERIES_FIELDS,
    TREND_LABELS,
    AnnotationTask,
    answer_regex,
    parse_answer,
)
from loracast.backbone import (
    Backbone,
    History,
    build_embedded,
    embedded_config,
    load_backbone,
    number_batch,
    numeric_head_of,
    text_body,
)
from loracast.decoding import Alternatives, Guide, guided_answers, plan_guided
from loracast.decoding._guide import Reading
from loracast.errors import ConfigError, DataError, ModelError

CHOICES = (
    Alternatives("trend", '"trend":"', TREND_LABELS),
    Alternatives("noise", '"noise":"', NOISE_LEVELS),
    Alternatives("max", '"max":["', EXTREMUM_REGIONS),
    Alternatives("min", '"min":["', EXTREMUM_REGIONS),
)
LENGTHS = (3, 17, 40)


def _spread(base: Backbone, seed: int) -> None:
    """Weights large enough that the model has opinions."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in base.model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder: Path = tmp_path_factory.mktemp("guided") / "tiny"
    build_embedded(folder, embedded_config(64, 2, 128), seed=0)
    loaded = load_backbone(str(folder))
    loaded.use_numeric_head(True)
    _spread(loaded, 0)
    return loaded


class Asking(Guide):
    """Forces nothing: the model is asked for every token, and spells certain text as it likes."""

    def matcher(self, regex: str) -> Any:
        from llguidance import LLMatcher

        grammar = '%llguidance {"no_forcing": true}\nstart: /' + regex.replace("/", r"\/") + "/\n"
        return LLMatcher(self._tokens, LLMatcher.grammar_from_lark(grammar), log_level=0)

    def forced(self, matcher: Any) -> list[int]:
        return []


@pytest.fixture(scope="module")
def guide(base: Backbone) -> Guide:
    return Guide(base.tokenizer, base.vocabulary.full_size, base.tokenizer.eos_token_id)


@pytest.fixture(scope="module")
def asking(base: Backbone) -> Asking:
    return Asking(base.tokenizer, base.vocabulary.full_size, base.tokenizer.eos_token_id)


def _task(base: Backbone, numbers: str, fields: tuple[str, ...] = LABEL_FIELDS) -> AnnotationTask:
    place = base.tokenizer.encode(";")[0]
    return AnnotationTask(
        base.tokenizer,
        place_id=place,
        end_id=base.tokenizer.eos_token_id,
        numbers=numbers,
        fields=fields,
    )


def _series(length: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng([seed, length]).standard_normal(length).cumsum()
    values[length // 2] = np.nan
    return values


@torch.no_grad()
def _logits(base: Backbone, question, written: list[int]) -> np.ndarray:
    """By one full forward of a single sequence without padding or cache."""
    ids = np.concatenate([question.ids, written]).astype(np.int64)
    inputs = base.model.get_input_embeddings()(torch.from_numpy(ids)[None])
    if question.numbers is not None:
        n = question.numbers
        shown = number_batch([n], [0], len(ids), inputs.device)
        history = History.of(shown.values)
        values = numeric_head_of(base.model).embed(
            history, shown.observed, shown.present, shown.statics
        )
        inputs = torch.where(shown.is_value[..., None], values, inputs)
    hidden = text_body(base.model)(inputs_embeds=inputs, use_cache=False).last_hidden_state
    return base.model.get_output_embeddings()(hidden[0, -1]).double().numpy()


def _reference(base: Backbone, question, pattern: str) -> tuple[list[int], str, list[float]]:
    """Masked argmax; a token is legal where the text so far and it begin a legal text."""
    compiled = slow_regex.compile(pattern)
    spellings = {
        i: base.tokenizer.decode([i])
        for i in range(base.vocabulary.full_size)
        if i not in base.tokenizer.all_special_ids
    }
    written: list[int] = []
    text, shares = "", []
    while not compiled.fullmatch(text):
        logits = _logits(base, question, written)
        legal = [
            i
            for i, s in spellings.items()
            if s and s.isascii() and compiled.fullmatch(text + s, partial=True)
        ]
        weights = np.exp(logits[legal] - logits[legal].max())
        best = int(weights.argmax())
        written.append(legal[best])
        text += spellings[legal[best]]
        shares.append(float(weights[best] / weights.sum()))
    return written, text, shares


@pytest.mark.parametrize("numbers", ["continuous", "measured", "digits"])
def test_answers_of_a_batch_are_those_of_the_slow_reference(
    base: Backbone, asking: Asking, numbers: str
) -> None:
    task = _task(base, numbers)
    questions = [task.question(_series(n)) for n in LENGTHS]
    patterns = [answer_regex(n, LABEL_FIELDS) for n in LENGTHS]
    got = guided_answers(base.model, questions, patterns, asking)
    for answer, question, pattern in zip(got.answers, questions, patterns, strict=True):
        ids, text, shares = _reference(base, question, pattern)
        assert answer.text == text
        assert answer.ids.tolist() == ids
        np.testing.assert_allclose(answer.token_probabilities, shares, atol=1e-4)
        # The probability of a stretch: of the tokens that have a letter in it.
        start, stop = text.index("noise") + 1, text.index("max")
        spelled, product = 0, 1.0
        for i, share in zip(ids, shares, strict=True):
            letters = range(spelled, spelled := spelled + len(base.tokenizer.decode([i])))
            if any(start <= k < stop for k in letters):
                product *= share
        assert answer.probability(start, stop) == pytest.approx(product, abs=1e-4)


def test_forced_tokens_are_fed_as_the_tokenizer_cuts_them(base: Backbone, guide: Guide) -> None:
    """The same greedy rule, the model asked only where there is a choice."""
    task = _task(base, "continuous")
    question, pattern = task.question(_series(40)), answer_regex(40, LABEL_FIELDS)
    got = guided_answers(base.model, [question], [pattern], guide).answers[0]
    matcher, written = guide.matcher(pattern), []
    while not matcher.is_stopped():
        forced = matcher.compute_ff_tokens()
        if not forced:
            logits = _logits(base, question, written)
            legal = guide.legal(matcher)
            forced = [int(legal[logits[legal].argmax()])]
        for token in forced:
            assert matcher.consume_token(token)
        written += forced
    assert got.ids.tolist() == written
    assert got.text == base.tokenizer.decode(written)
    assert got.ids[:4].tolist() == base.tokenizer.encode('{"trend":"')


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    length=st.integers(1, 300),
    seed=st.integers(0, 10**6),
    fields=st.sets(st.sampled_from(SERIES_FIELDS), min_size=1),
    forcing=st.booleans(),
)
def test_whatever_the_weights_every_answer_is_legal(
    base: Backbone,
    guide: Guide,
    asking: Asking,
    length: int,
    seed: int,
    fields: set[str],
    forcing: bool,
) -> None:
    if "segments" in fields:
        fields.add("change_points")
    chosen = tuple(f for f in SERIES_FIELDS if f in fields)
    _spread(base, seed)
    task = _task(base, "continuous", chosen)
    lengths = [length, max(1, length // 2)]
    questions = [task.question(np.arange(float(n)) + seed % 7) for n in lengths]
    patterns = [answer_regex(n, chosen) for n in lengths]
    choices = [c for c in CHOICES if c.name in chosen]
    chosen_guide = guide if forcing else asking
    got = guided_answers(base.model, questions, patterns, chosen_guide, choices=choices)
    for answer, n in zip(got.answers, lengths, strict=True):
        facts = parse_answer(answer.text, n)
        told = {"trend": facts.trend, "noise": facts.noise}
        told |= {e.kind: e.region for e in facts.extrema}
        for name, shares in answer.choices.items():
            assert sum(shares.values()) == pytest.approx(1.0, abs=1e-9)
            assert min(shares.values()) >= 0.0
            assert shares[told[name]] > 0.0
    most = plan_guided([len(q.ids) for q in questions], 256)
    assert got.positions <= most.positions
    assert got.cached <= most.cached
    assert got.head_positions <= most.head_positions
    assert got.prefill_positions <= most.prefill_positions
    _spread(base, 0)


def test_a_labels_probability_is_the_sum_over_the_tokens_that_lead_to_it(
    base: Backbone, guide: Guide
) -> None:
    task = _task(base, "continuous", ("trend", "noise"))
    question, pattern = task.question(_series(40)), answer_regex(40, ("trend", "noise"))
    got = guided_answers(base.model, [question], [pattern], guide, choices=CHOICES[:2]).answers[0]
    before = base.tokenizer.encode('{"trend":"')
    logits = _logits(base, question, before)
    weights = np.exp(logits - logits.max())
    summed = {
        label: sum(
            weights[i]
            for i in range(base.vocabulary.full_size)
            if (s := base.tokenizer.decode([i])) and label.startswith(s)
        )
        for label in TREND_LABELS
    }
    total = sum(summed.values())
    for label, mass in summed.items():
        assert got.choices["trend"][label] == pytest.approx(mass / total, abs=1e-5)


def test_labels_that_share_their_beginning() -> None:
    reading = Reading(Alternatives("x", "=", ("aab", "aac", "b")))
    reading.read(b"", {b"=": 1.0}, b"=")
    reading.read(b"=", {b"a": 0.3, b"aa": 0.5, b"b": 0.2}, b"aa")
    assert not reading.settled
    reading.read(b"=aa", {b"b": 0.25, b"c": 0.75}, b"c")
    assert reading.settled
    assert reading.probabilities == pytest.approx({"b": 0.2, "aab": 0.2, "aac": 0.6})


def test_rows_do_not_depend_on_their_batch(base: Backbone, guide: Guide) -> None:
    task = _task(base, "continuous")
    lengths = [5, 30, 31, 60, 8]
    questions = [task.question(_series(n, 3)) for n in lengths]
    patterns = [answer_regex(n, LABEL_FIELDS) for n in lengths]
    together = guided_answers(base.model, questions, patterns, guide, choices=CHOICES).answers
    for i in range(len(lengths)):
        alone = guided_answers(
            base.model, questions[i : i + 1], patterns[i : i + 1], guide, choices=CHOICES
        ).answers[0]
        assert alone.text == together[i].text
        for name, shares in alone.choices.items():
            assert together[i].choices[name] == pytest.approx(shares, abs=1e-4)


def test_a_pruned_model_spells_with_the_tokens_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    build_embedded(folder, embedded_config(64, 2, 128), seed=1)
    pruned = load_backbone(str(folder))
    pattern = answer_regex(20, LABEL_FIELDS)
    texts = ["Series", *'{}[]",:.0123456789_abcdefghijklmnopqrstuvwxyz']
    kept = {i for text in texts for i in pruned.tokenizer.encode(text)}
    pruned.prune(kept)
    guide = Asking(
        pruned.tokenizer, pruned.vocabulary.full_size, pruned.tokenizer.eos_token_id,
        pruned.vocabulary.kept,
    )  # fmt: skip
    question = SimpleNamespace(
        ids=pruned.vocabulary.to_model(pruned.tokenizer.encode("Series")), numbers=None
    )
    answer = guided_answers(pruned.model, [question], [pattern], guide).answers[0]
    assert parse_answer(answer.text, 20).trend in TREND_LABELS
    full = [pruned.vocabulary.kept[row] for row in answer.ids]
    assert pruned.tokenizer.decode(full) == answer.text


def test_bad_calls_say_so_in_one_line(base: Backbone, guide: Guide) -> None:
    task = _task(base, "continuous")
    question, pattern = task.question(_series(9)), answer_regex(9, LABEL_FIELDS)
    with pytest.raises(DataError, match="expected one each"):
        guided_answers(base.model, [question], [], guide)
    with pytest.raises(ConfigError, match="cannot be followed"):
        guided_answers(base.model, [question], ["("], guide)
    with pytest.raises(ModelError, match="positions"):
        guided_answers(base.model, [task.question(_series(4100))], [pattern], guide)
    with pytest.raises(ModelError, match="pruned"):
        few = Guide(base.tokenizer, base.vocabulary.full_size, guide.end_id, [1, 2])
        guided_answers(base.model, [question], [pattern], few)
    interface = numeric_head_of(base.model)
    base.use_numeric_head(False)
    with pytest.raises(ModelError, match="numeric head"):
        guided_answers(base.model, [question], [pattern], guide)
    base.model.value_interface = interface
