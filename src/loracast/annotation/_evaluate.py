"""An annotator on labelled rows of a file: agreement with their labels and with a rule engine.

For sets whose truth is a person's or a model's word, such as the published rows. With `tune`, the
annotator first learns from some of the rows and is tested on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loracast.annotation._annotator import Annotator
from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import LABEL_FIELDS, label_of
from loracast.annotation._inputs import series_of
from loracast.annotation._label_files import read_labelled
from loracast.annotation._records import AnnotatedSeries
from loracast.annotation._sentences import sentence_labels
from loracast.annotation._teachers import RuleTeacher
from loracast.errors import AnnotationError, ConfigError, DataError
from loracast.ledger import Ledger
from loracast.training import Progress

__all__ = ["evaluate_file"]

TUNE_BUDGET = "5e12"


def evaluate_file(
    path: Path,
    adapter: Path | None = None,
    *,
    model: str | None = None,
    tune: int = 0,
    seed: int = 0,
    rules: str = "published",
    budget: str | float = TUNE_BUDGET,
    out: Path | None = None,
    ledger: Ledger | None = None,
    bare: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Compare an annotator's labels with those of a file.

    Args:
        path: labelled series in any format that `read_labelled` knows.
        adapter: folder of an annotator; None takes the one that ships with the embedded base.
        model: where the base is now, if it moved; the base itself without an adapter.
        tune: rows to learn from first, drawn by the seed; the others are the test.
        seed: of that draw and of the tuning.
        rules: "published" or "robust".
        budget: FLOPs of the tuning.
        out: folder of the tuned annotator; None keeps nothing.
        ledger: that grants the tuning's budget, and is charged for tuning and answers.
        bare: ask the base alone, as it came; no adapter then.
        progress: called after every step of the tuning.

    Returns:
        `{"n", "unreadable" (ids of rows left out, constant or too short), "valid_json", "gold":
        {field: share}, "rule": {field: share}, "gold_n", "gold_lenient", "rule_gold" (the rules
        against the labels), "majority", "tuned_on", "flops" (of the answers), "tuning_flops",
        "answers": [{id, field: label ..}]}`. `gold` counts rows whose label is a single one;
        `gold_lenient` all that name a label, right where the answer is one of those named.

    Raises:
        AnnotationError: a file that cannot be used.
        ConfigError: `tune` leaves nothing to test.
        AdapterError: no annotator, or one of another base.
        BudgetExceeded: the budget, or the ledger, does not hold it.
    """
    if bare and adapter is not None:
        raise ConfigError("got an adapter and bare=True; expected one of them")
    records, unreadable = _describable(read_labelled(path))
    if not records:
        raise AnnotationError(f"{path}: no row can be described; each is constant or too short")
    if not 0 <= tune < len(records):
        raise ConfigError(
            f"got {tune} rows to tune on of {len(records)}; expected 0 or more, and at least one "
            "left to test"
        )
    if adapter is None:
        annotator = Annotator.from_pretrained(model or "embedded", seed=seed, bare=bare)
    else:
        annotator = Annotator.load(adapter, model=model)
        annotator.seed = seed
    order = np.random.default_rng([seed, 9]).permutation(len(records))
    tuned_on = sorted(int(i) for i in order[:tune])
    if tune:
        rows = [records[i] for i in tuned_on if _labels(records[i].facts)]
        if not rows:
            raise AnnotationError(f"{path}: none of the {tune} rows to tune on names a label")
        annotator.fit(
            rows,
            budget=budget,
            out=out,
            ledger=ledger,
            progress=progress,
        )
    test = [r for i, r in enumerate(records) if i not in set(tuned_on)]
    said = annotator.annotate([r.values for r in test], how="resample", ledger=ledger)
    spent = annotator.annotation_report
    assert spent is not None
    answers = [a.facts() for a in said]
    ruled = [label.facts for label in RuleTeacher(rules).describe(test)]
    gold = [_named(r) for r in test]
    fields = [name for name in LABEL_FIELDS if name in annotator.engine.settings.fields]
    return {
        "n": len(test),
        "unreadable": unreadable,
        # What could not be read would have ended in an error above.
        "valid_json": len(said) / len(test),
        "gold": {n: _agreement(answers, gold, n) for n in fields},
        "rule": {n: _same(answers, ruled, n) for n in fields},
        "gold_n": {n: sum(len(g[n]) == 1 for g in gold) for n in fields},
        "gold_lenient": {n: _agreement(answers, gold, n, lenient=True) for n in fields},
        "rule_gold": {n: _agreement(ruled, gold, n) for n in fields},
        "majority": {n: _majority(gold, n) for n in fields},
        "tuned_on": tuned_on,
        "flops": spent.flops,
        "tuning_flops": 0.0 if annotator.fit_report is None else annotator.fit_report.flops,
        "answers": [
            {"id": r.id} | {n: label_of(a, n) for n in fields}
            for r, a in zip(test, answers, strict=True)
        ],
    }


def _describable(records: list[AnnotatedSeries]) -> tuple[list[AnnotatedSeries], list[str]]:
    """The rows that can be described, and the ids of the others."""
    good, others = [], []
    for record in records:
        try:
            series_of(record.values)
        except DataError:
            others.append(record.id)
        else:
            good.append(record)
    return good, others


def _labels(facts: SeriesFacts) -> list[str]:
    return [n for n in LABEL_FIELDS if label_of(facts, n) is not None]


def _named(record: AnnotatedSeries) -> dict[str, tuple[str, ...]]:
    """All labels a row names, by field."""
    if record.sentences is not None:
        return sentence_labels(record.sentences)
    found = {n: label_of(record.facts, n) for n in LABEL_FIELDS}
    return {n: () if label is None else (label,) for n, label in found.items()}


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def _agreement(
    answers: Sequence[SeriesFacts | None],
    gold: Sequence[dict[str, tuple[str, ...]]],
    name: str,
    *,
    lenient: bool = False,
) -> float | None:
    return _share(
        [
            label_of(a, name) in g[name]
            for a, g in zip(answers, gold, strict=True)
            if (len(g[name]) > 0 if lenient else len(g[name]) == 1)
        ]
    )


def _same(
    answers: Sequence[SeriesFacts | None], others: Sequence[SeriesFacts | None], name: str
) -> float | None:
    return _share(
        [
            label_of(a, name) == label_of(o, name)
            for a, o in zip(answers, others, strict=True)
            if o is not None
        ]
    )


def _majority(gold: Sequence[dict[str, tuple[str, ...]]], name: str) -> float | None:
    labels = [g[name][0] for g in gold if len(g[name]) == 1]
    return max(map(labels.count, labels)) / len(labels) if labels else None
