"""Generated series that nobody trained on: how right an annotator is, beside every baseline.

Truth from latents; the same series for all methods. A model that reads fewer points gets them
resampled. Three evaluation seeds are three sets of series, not three models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from loracast.annotation._answer import parse_answer
from loracast.annotation._described import describe_chunk
from loracast.annotation._engine import AnnotationEngine, Answer
from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import LABEL_FIELDS, LIST_FIELDS, label_of
from loracast.annotation._length import fit_length
from loracast.annotation._prose import prose
from loracast.annotation._rules import published_rules, robust_rules
from loracast.annotation._schema import Annotation
from loracast.annotation._score_lists import score_lists
from loracast.annotation._scores import majority_baseline, score_annotations, trend_only_baseline
from loracast.annotation._sentences import prose_labels
from loracast.errors import AnnotationError
from loracast.ledger import Ledger
from loracast.training import Quiet, StudyProgress

__all__ = ["CLEAR_TARGET", "UnseenSeries", "contradictions", "score_unseen", "unseen_series"]

TEST_SEEDS = 3_000_000  # apart from those that annotators are trained and calibrated on
CLEAR_TARGET = 0.95
RULES = ("published_rules", "robust_rules")
TELL_LISTS = ("majority", "robust_rules", "untuned", "annotator")  # "majority": never any
CHUNK = 100
LENGTH_BANDS = ((32, 63), (64, 127), (128, 255), (256, 1024))
FEW_SHOTS = 3
SHOT_LENGTHS = (32, 48)
FEW_SHOT_ROWS = 100  # a seed: its prompts are long
N_BOOT = 200


@dataclass(frozen=True)
class UnseenSeries:
    """A test set.

    Args:
        seed: of the set.
        values: N arrays (T,), NaN where missing.
        truth: N facts from latents.
    """

    seed: int
    values: list[np.ndarray]
    truth: list[SeriesFacts]


@dataclass
class _Method:
    """What one method said about one test set."""

    answers: list[SeriesFacts]
    n: int
    seconds: float
    flops: float | None = None
    confidences: list[dict[str, float]] | None = None
    texts: list[str] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)  # points of each series that a model was shown


def unseen_series(seed: int, n: int, lengths: tuple[int, int]) -> UnseenSeries:
    """N generated series of test set `seed`."""
    rows = describe_chunk(TEST_SEEDS + seed, 0, n, lengths=lengths)
    return UnseenSeries(seed, [r.values for r in rows], [r.facts for r in rows])


def score_unseen(
    engine: AnnotationEngine,
    base: AnnotationEngine | None,
    shots: AnnotationEngine | None,
    sets: Sequence[UnseenSeries],
    watcher: StudyProgress | None = None,
    ledger: Ledger | None = None,
) -> dict[str, Any]:
    """Every method on every test set.

    Args:
        engine: the trained annotator.
        base: the untuned base, the same task; None leaves it out.
        shots: the untuned base with digits for numbers, asked with worked examples before the
            question; None, or where the model's context is too short, leaves it out.
        sets: test sets.
        watcher: told how far it is.
        ledger: charged for what the models do; None charges ledgers that are thrown away.

    Returns:
        method -> `{"n", "flops", "seconds", "fields": {field: {"accuracy", "clear", "macro_f1",
        "kappa", "ece" (each the mean over sets), "accuracy_by_seed", "clear_by_seed", ...}}}`,
        where seasons, change points, outliers or segments are asked for `lists` (`score_lists`),
        for a model also `valid_json` and `contradictions`. FLOPs and seconds are of all sets.
    """
    watcher = watcher or Quiet()
    methods: dict[str, Callable[[UnseenSeries], _Method | None]] = {
        "majority": lambda s: _by_facts(s, lambda: majority_baseline(s.truth)),
        "trend_only": lambda s: _by_facts(s, lambda: trend_only_baseline(s.truth)),
        "published_rules": lambda s: _by_facts(s, lambda: [published_rules(v) for v in s.values]),
        "robust_rules": lambda s: _by_facts(s, lambda: [robust_rules(v) for v in s.values]),
        "few_shot": lambda s: None if shots is None else _few_shot(shots, s, ledger),
        "untuned": lambda s: None if base is None else _by_model(base, s, ledger, "untuned"),
        "annotator": lambda s: _by_model(engine, s, ledger, "annotator"),
    }
    watcher.stage("evaluation", len(methods) * len(sets))
    out = {}
    for name, run in methods.items():
        found: list[tuple[UnseenSeries, _Method]] = []
        for one in sets:
            said = run(one)
            if said is not None:
                found.append((one, said))
            watcher.advance(1, name)
        if found:
            out[name] = _summary(name, found, engine.settings.fields)
    return out


def _by_facts(one: UnseenSeries, run: Callable[[], list[SeriesFacts]]) -> _Method:
    started = time.monotonic()
    answers = run()
    return _Method(answers, len(one.truth), time.monotonic() - started)


def _by_model(
    engine: AnnotationEngine,
    one: UnseenSeries,
    ledger: Ledger | None,
    method: str,
    shots: Sequence[Any] = (),
    n: int | None = None,
) -> _Method:
    started, total = time.monotonic(), 0.0
    values = one.values[:n]
    points = engine.settings.max_points
    shown = [fit_length(v, points, "resample") for v in values]
    said: list[Answer] = []
    for start in range(0, len(values), CHUNK):
        rows = slice(start, start + CHUNK)
        part, flops = engine.counted_answers(
            shown[rows], values[rows], shots, ledger=ledger, stage=f"evaluation.{method}"
        )
        said, total = said + part, total + flops
    return _Method(
        [a.facts for a in said],
        len(values),
        time.monotonic() - started,
        total,
        [a.confidence for a in said],
        [a.text for a in said],
        [len(v) for v in shown],
    )


def _few_shot(engine: AnnotationEngine, one: UnseenSeries, ledger: Ledger | None) -> _Method | None:
    rows = describe_chunk(TEST_SEEDS - 1, one.seed, 24, lengths=SHOT_LENGTHS)
    # Worked examples with different trends say more than any three.
    labels = dict.fromkeys(r.facts.trend for r in rows)
    shots = [next(r for r in rows if r.facts.trend == label) for label in labels][:FEW_SHOTS]
    points = engine.settings.max_points
    values = [fit_length(v, points, "resample") for v in one.values[:FEW_SHOT_ROWS]]
    if not engine.fits(values, shots):
        return None
    return _by_model(engine, one, ledger, "few_shot", shots, FEW_SHOT_ROWS)


def contradictions(answers: Sequence[SeriesFacts], fields: Sequence[str]) -> int:
    """How many annotations say something else in English prose than in their fields."""
    count = 0
    for facts in answers:
        annotation = Annotation.from_facts(facts, fields=fields)
        told, kept = prose_labels(prose(annotation)), annotation.facts()
        count += any(told[name] != label_of(kept, name) for name in LABEL_FIELDS)
    return count


def _valid(texts: Sequence[str], lengths: Sequence[int]) -> float:
    good = 0
    for text, length in zip(texts, lengths, strict=True):
        try:
            facts = parse_answer(text, length)
            Annotation.read(Annotation.from_facts(facts).model_dump_json())
            good += 1
        except AnnotationError:
            pass
    return good / len(texts)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _summary(
    name: str, found: Sequence[tuple[UnseenSeries, _Method]], fields: Sequence[str]
) -> dict[str, Any]:
    scores = [
        score_annotations(
            one.truth[: said.n], said.answers, said.confidences, seed=one.seed, n_boot=N_BOOT
        )
        for one, said in found
    ]
    flops = [said.flops for _, said in found if said.flops is not None]
    out: dict[str, Any] = {
        "n": found[0][1].n,
        "seeds": [one.seed for one, _ in found],
        "flops": sum(flops) if flops else None,
        "seconds": sum(said.seconds for _, said in found),
        "fields": {
            n: _field(n, scores) | {"clear_by_length": _by_length(n, found)}
            for n in LABEL_FIELDS
            if n in fields
        },
    }
    lists = [name for name in fields if name in LIST_FIELDS]
    if lists and name in TELL_LISTS:
        parts = [score_lists(o.truth[: s.n], s.answers, s.confidences, lists) for o, s in found]
        out["lists"] = {n: {k: _mean([p[n][k] for p in parts]) for k in parts[0][n]} for n in lists}
    if found[0][1].texts:
        out["valid_json"] = _mean([_valid(said.texts, said.shown) for _, said in found])
        out["contradictions"] = sum(contradictions(said.answers, fields) for _, said in found)
    return out


def _field(name: str, scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    parts = [s["fields"][name] for s in scores]
    out: dict[str, Any] = {
        "accuracy": _mean([p["accuracy"] for p in parts]),
        "clear": _mean([p["clear"]["accuracy"] for p in parts]),
        "macro_f1": _mean([p["macro_f1"] for p in parts]),
        "kappa": _mean([p["kappa"] for p in parts]),
        "accuracy_by_seed": [p["accuracy"] for p in parts],
        "accuracy_interval_by_seed": [p["accuracy_interval"] for p in parts],
        "clear_by_seed": [p["clear"]["accuracy"] for p in parts],
        "clear_n_by_seed": [p["clear"]["n"] for p in parts],
    }
    if "index" in parts[0]:
        out["index_error"] = _mean([p["index"]["mean_error"] for p in parts])
        out["hit_rate"] = _mean([p["index"]["hit_rate"] for p in parts])
    if "confidence" in parts[0]:
        for key in ("ece", "aurc", "coverage_at_95"):
            out[key] = _mean([p["confidence"][key] for p in parts])
    return out


def _by_length(name: str, found: Sequence[tuple[UnseenSeries, _Method]]) -> dict[str, float | None]:
    """Accuracy on clear rows of all sets, by the number of points."""
    rows = [pair for one, said in found for pair in zip(one.truth, said.answers, strict=False)]
    clear = [(t.length, label_of(t, name) == label_of(a, name)) for t, a in rows if name in t.clear]
    return {
        f"{low}-{high}": _mean([right for length, right in clear if low <= length <= high])
        for low, high in LENGTH_BANDS
    }


def best_rules(methods: Mapping[str, Any], name: str) -> float | None:
    """The accuracy on all rows of the better rule engine."""
    known = [methods[r]["fields"][name]["accuracy"] for r in RULES if r in methods]
    return max((k for k in known if k is not None), default=None)
