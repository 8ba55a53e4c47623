"""Scores of descriptions against the truth, and two answers that look at no number.

Facts in, one plain dictionary out. Nothing here knows where the facts come from: known latents,
people, rules or a model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import LABEL_FIELDS, LABELLED, label_of
from loracast.annotation._score_confidence import score_confidence
from loracast.errors import DataError

__all__ = ["majority_baseline", "score_annotations", "trend_only_baseline"]

NO_ANSWER = "none"
PERCENTILES = (2.5, 97.5)


def score_annotations(
    truth: Sequence[SeriesFacts],
    answers: Sequence[SeriesFacts | None],
    confidences: Sequence[Mapping[str, float] | None] | None = None,
    *,
    seed: int,
    n_boot: int = 1000,
) -> dict[str, Any]:
    """How often descriptions are right, field by field.

    A row counts for a field where the truth has a label for it. An invalid answer (None) and a
    field without a label are wrong. Intervals are percentiles of bootstrap resamples of rows.

    Args:
        truth: N facts.
        answers: N facts, None for an answer that was not valid.
        confidences: per row, field -> probability of the label given, 0..1; None, or a mapping
            that lacks the field, only where the answer has no label (it then counts as 0).
        seed: of the bootstrap.
        n_boot: resamples, >= 1.

    Returns:
        `{"n", "valid_rate", "all_fields": {"n", "accuracy", "clear_n", "clear_accuracy"},
        "fields": {"trend" | "noise" | "max" | "min": {...}}}`; per field `n`, `answered_rate`,
        `accuracy`, `macro_f1`, `kappa`, each of the three with `_interval` [low, high], `clear`
        (n, accuracy on rows whose truth lies clear of a class boundary), `confusion` (true label
        -> answered label or "none" -> rows), for max and min `index` (n, mean |i - i_true| / T
        over rows answered with an index, `hit_rate` within 5 % of the length over all rows whose
        truth has one), with confidences `confidence` (see `score_confidence`). A number that is
        not defined is None: everything on no rows, kappa where one label is all there is.

        Macro-F1 is the mean over the labels that occur in the truth; kappa is Cohen's, a missing
        answer being a label of its own.

    Raises:
        DataError: lengths that differ, no rows, unknown labels, confidences outside 0..1 or
            missing.
    """
    truth, answers = list(truth), list(answers)
    if not truth or len(truth) != len(answers):
        raise DataError(
            f"got {len(truth)} true rows and {len(answers)} answers; expected as many, at least one"
        )
    if confidences is not None and len(confidences) != len(truth):
        raise DataError(
            f"got {len(confidences)} confidences for {len(truth)} rows; expected one each"
        )
    if n_boot < 1 or seed < 0:
        raise DataError(f"got n_boot={n_boot}, seed={seed}; expected n_boot >= 1, seed >= 0")
    for row, (fact, answer) in enumerate(zip(truth, answers, strict=True)):
        if answer is not None and answer.length != fact.length:
            raise DataError(
                f"row {row}: got an answer for {answer.length} points; "
                f"expected {fact.length}, the length of the series"
            )
    fields = {}
    for number, field in enumerate(LABEL_FIELDS):
        rng = np.random.default_rng([seed, number])
        fields[field] = _score_field(field, truth, answers, confidences, rng, n_boot)
    whole = [
        (fact, all(label_of(fact, k) == label_of(answer, k) for k in LABEL_FIELDS))
        for fact, answer in zip(truth, answers, strict=True)
        if all(label_of(fact, k) is not None for k in LABEL_FIELDS)
    ]
    clear = [right for fact, right in whole if fact.clear.issuperset(LABEL_FIELDS)]
    return {
        "n": len(truth),
        "valid_rate": sum(answer is not None for answer in answers) / len(answers),
        "all_fields": {
            "n": len(whole),
            "accuracy": _mean([right for _, right in whole]),
            "clear_n": len(clear),
            "clear_accuracy": _mean(clear),
        },
        "fields": fields,
    }


def majority_baseline(
    facts: Sequence[SeriesFacts], reference: Sequence[SeriesFacts] | None = None
) -> list[SeriesFacts]:
    """For every row the most frequent label of each field in `reference` (default: `facts`).

    Extrema have no index: -1, and the value NaN. Ties go to the label named first in the class
    list.
    """
    counted = facts if reference is None else reference
    labels = {field: _most_frequent(counted, field) for field in LABEL_FIELDS}
    return [_guess(fact.length, labels) for fact in facts]


def trend_only_baseline(
    facts: Sequence[SeriesFacts], reference: Sequence[SeriesFacts] | None = None
) -> list[SeriesFacts]:
    """Extrema guessed from the trend label alone.

    Each row keeps its own trend; its regions are the most frequent ones among the rows of
    `reference` (default: `facts`) with that trend, its noise the most frequent of all. Where rows
    rise or fall along their whole length, this is right without a look at the extrema; a score
    has to beat it. Give the true facts for the best that such an answer can do.
    """
    counted = facts if reference is None else reference
    guesses: dict[str | None, dict[str, str | None]] = {}
    for label in {fact.trend for fact in facts}:
        same = [fact for fact in counted if fact.trend == label] or counted
        guesses[label] = {
            name: _most_frequent(same if field.by_trend else counted, name)
            for name, field in LABELLED.items()
        } | {"trend": label}
    return [_guess(fact.length, guesses[fact.trend]) for fact in facts]


def _guess(length: int, labels: Mapping[str, str | None]) -> SeriesFacts:
    facts = SeriesFacts(length)
    for name, label in labels.items():
        facts = LABELLED[name].put(facts, label)
    return facts


def _most_frequent(facts: Sequence[SeriesFacts], field: str) -> str | None:
    counts = Counter(label_of(fact, field) for fact in facts)
    return max(LABELLED[field].labels, key=lambda label: counts[label]) if counts else None


def _score_field(
    field: str,
    truth: list[SeriesFacts],
    answers: list[SeriesFacts | None],
    confidences: Sequence[Mapping[str, float] | None] | None,
    rng: np.random.Generator,
    n_boot: int,
) -> dict[str, Any]:
    labels = LABELLED[field].labels
    rows = [row for row, fact in enumerate(truth) if label_of(fact, field) is not None]
    columns = (*labels, NO_ANSWER)
    table = np.zeros((len(labels), len(columns)), dtype=np.int64)
    right, clear = [], []
    for row in rows:
        true, answered = label_of(truth[row], field), label_of(answers[row], field)
        for what, label in (("truth", true), ("answer", answered)):
            if label is not None and label not in labels:
                raise DataError(
                    f"row {row}: got {field} {label!r} in the {what}; "
                    f"expected one of {', '.join(labels)}"
                )
        table[labels.index(str(true)), columns.index(answered or NO_ANSWER)] += 1
        right.append(true == answered)
        if field in truth[row].clear:
            clear.append(true == answered)
    out: dict[str, Any] = {
        "n": len(rows),
        "answered_rate": 1 - float(table[:, -1].sum()) / len(rows) if rows else None,
    }
    # Resampling rows is drawing the table from a multinomial of its own shares.
    shares = table.ravel() / max(len(rows), 1)
    drawn = rng.multinomial(len(rows), shares, size=n_boot) if rows else table.ravel()[None]
    drawn = drawn.reshape(-1, *table.shape)
    for name, measure in _MEASURES.items():
        value = float(measure(table[None])[0])
        spread = measure(drawn)
        spread = spread[~np.isnan(spread)]
        out[name] = None if np.isnan(value) else value
        out[f"{name}_interval"] = (
            None if np.isnan(value) else [float(x) for x in np.percentile(spread, PERCENTILES)]
        )
    out["clear"] = {"n": len(clear), "accuracy": _mean(clear)}
    out["confusion"] = {
        label: dict(zip(columns, (int(k) for k in counts), strict=True))
        for label, counts in zip(labels, table, strict=True)
    }
    out |= LABELLED[field].scores(truth, answers)
    if confidences is not None:
        given = [_confidence(field, row, answers[row], confidences[row]) for row in rows]
        out["confidence"] = score_confidence(np.array(given), np.array(right, dtype=bool))
    return out


def _accuracy(tables: np.ndarray) -> np.ndarray:
    """(R,) from tables (R, K, K + 1); NaN without rows."""
    with np.errstate(invalid="ignore"):
        right = np.trace(tables, axis1=1, axis2=2)
        return np.asarray(right / tables.sum(axis=(1, 2)))


def _macro_f1(tables: np.ndarray) -> np.ndarray:
    """Mean over the labels that occur in the truth of 2 TP / (2 TP + FP + FN)."""
    K = tables.shape[1]
    hits = np.diagonal(tables, axis1=1, axis2=2)
    true, answered = tables.sum(axis=2), tables.sum(axis=1)[:, :K]
    with np.errstate(invalid="ignore"):
        f1 = np.where(true > 0, 2 * hits / np.maximum(true + answered, 1), 0.0)
        return np.asarray(f1.sum(axis=1) / (true > 0).sum(axis=1))


def _kappa(tables: np.ndarray) -> np.ndarray:
    """(p_o - p_e) / (1 - p_e) (Cohen 1960); NaN where chance alone agrees always."""
    K = tables.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        n = tables.sum(axis=(1, 2)).astype(float)
        true, answered = tables.sum(axis=2), tables.sum(axis=1)[:, :K]
        chance = (true * answered).sum(axis=1) / n**2
        return np.asarray(np.where(chance < 1, (_accuracy(tables) - chance) / (1 - chance), np.nan))


_MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "kappa": _kappa,
}


def _confidence(
    field: str, row: int, answer: SeriesFacts | None, given: Mapping[str, float] | None
) -> float:
    value = None if given is None else given.get(field)
    if value is None:
        if label_of(answer, field) is not None:
            raise DataError(
                f"row {row}: got no confidence for {field}; expected one for every label given"
            )
        return 0.0
    if not 0.0 <= value <= 1.0:
        raise DataError(f"row {row}: got confidence {value} for {field}; expected 0 to 1")
    return float(value) if label_of(answer, field) is not None else 0.0


def _mean(numbers: Sequence[float]) -> float | None:
    return float(np.mean(numbers)) if len(numbers) else None
