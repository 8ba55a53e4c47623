"""How far a labelled set agrees with a rule engine that reads the same numbers.

No judge of who is right: it counts, and names the rows to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import LABEL_FIELDS, label_of
from loracast.annotation._records import AnnotatedSeries
from loracast.annotation._scores import score_annotations
from loracast.annotation._sentences import facts_from_sentences, sentence_labels
from loracast.annotation._teachers import RuleTeacher
from loracast.errors import AnnotationError

__all__ = ["audit_labels"]


def audit_labels(
    records: Sequence[AnnotatedSeries],
    rules: str = "published",
    *,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Compare labels with what a rule engine reads in the numbers.

    A row counts for a field where its label says anything about it. Strictly, a sentence that
    names two labels ("up, then down") agrees with none; leniently, with each of them.

    Args:
        records: N labelled series.
        rules: "published" or "robust".
        seed: of the bootstrap of the intervals.
        advance: called with 1 after each series.

    Returns:
        `{"rules", "n", "unreadable": [row ..], "all_fields": {n, accuracy, lenient_accuracy},
        "fields": {"trend" | "noise" | "max" | "min": {n, accuracy, accuracy_interval,
        lenient_accuracy, kappa, kappa_interval, majority (share of the rule's commonest label),
        confusion (rule -> label of the set, "none" for no single one -> rows), rows (positions
        from 0 that disagree strictly)}}, "rows": [{row, id, differs: {field: {label, rule}}}]}`.
        A label is a string, a list where a sentence names several, None where the words name
        none. Intervals are 95 % bootstrap. A field that no row speaks about has n 0.

    Raises:
        AnnotationError: no rows, or none that the rules can read.
        ConfigError: unknown rules, or a library that they need is not installed.
    """
    if not records:
        raise AnnotationError("got no rows to audit; expected at least one")
    read = RuleTeacher(rules, advance).describe(records)
    readable = [row for row, label in enumerate(read) if label.facts is not None]
    if not readable:
        raise AnnotationError(f"the {rules} rules can read none of the rows: {read[0].reason}")
    told = {row: _told(records[row]) for row in readable}
    truth = [_silenced(read[row].facts, told[row]) for row in readable]
    scores = score_annotations(truth, [_said(records[row]) for row in readable], seed=seed)
    fields: dict[str, Any] = {}
    differing: dict[int, dict[str, Any]] = {}
    lenient_rows: dict[int, bool] = {}
    for name in LABEL_FIELDS:
        score = scores["fields"][name]
        rows, lenient = [], 0
        for row in readable:
            if not told[row][name]:
                continue
            rule = label_of(read[row].facts, name)
            labels = [label for label in told[row][name] if label != _NO_WORD]
            lenient += rule in labels
            lenient_rows[row] = lenient_rows.get(row, True) and rule in labels
            if labels != [rule]:
                rows.append(row)
                shown = labels if len(labels) > 1 else labels[0] if labels else None
                differing.setdefault(row, {})[name] = {"label": shown, "rule": rule}
        counts = [sum(cells.values()) for cells in score["confusion"].values()]
        n = score["n"]
        fields[name] = {
            **{k: score[k] for k in ("n", "accuracy", "accuracy_interval")},
            "lenient_accuracy": lenient / n if n else None,
            **{k: score[k] for k in ("kappa", "kappa_interval")},
            "majority": max(counts) / n if n else None,
            "confusion": score["confusion"],
            "rows": rows,
        }
    whole = [row for row in readable if all(told[row][name] for name in LABEL_FIELDS)]
    return {
        "rules": rules,
        "n": len(records),
        "unreadable": [row for row in range(len(records)) if read[row].facts is None],
        "all_fields": {
            "n": len(whole),
            "accuracy": _share([row not in differing for row in whole]),
            "lenient_accuracy": _share([lenient_rows[row] for row in whole]),
        },
        "fields": fields,
        "rows": [
            {"row": row, "id": records[row].id, "differs": differing[row]}
            for row in sorted(differing)
        ],
    }


_NO_WORD = ""  # of a sentence in which no word of the vocabulary was found


def _told(record: AnnotatedSeries) -> dict[str, tuple[str, ...]]:
    """By field every label that the row names; empty where it does not speak about the field."""
    if record.sentences is not None:
        said = sentence_labels(record.sentences)
        spoken = {"max": "extrema", "min": "extrema"}
        return {
            name: said[name] or ((_NO_WORD,) if spoken.get(name, name) in record.sentences else ())
            for name in LABEL_FIELDS
        }
    labels = {name: label_of(record.facts, name) for name in LABEL_FIELDS}
    return {name: () if label is None else (label,) for name, label in labels.items()}


def _said(record: AnnotatedSeries) -> SeriesFacts:
    """What the row states with one label a field; its sentences count where it has some."""
    if record.sentences is None:
        return record.facts
    return facts_from_sentences(record.sentences, len(record.values))


def _silenced(rule: SeriesFacts | None, told: dict[str, tuple[str, ...]]) -> SeriesFacts:
    """The rule's facts without the labels of fields that the row does not speak about."""
    assert rule is not None
    return replace(
        rule,
        trend=rule.trend if told["trend"] else None,
        noise=rule.noise if told["noise"] else None,
        extrema=tuple(e for e in rule.extrema if told[e.kind]),
    )


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None
