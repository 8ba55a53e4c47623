"""Answers that are numbers or lists: when a season, breaks or outliers count as found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import LIST_FIELDS, VALUED
from loracast.annotation._score_confidence import score_confidence
from loracast.errors import DataError

__all__ = ["is_right", "score_lists"]


def is_right(field: str, truth: SeriesFacts, answer: SeriesFacts) -> bool:
    """Whether an answer says what is true.

    Args:
        field: "seasonality": both none, or a period within 10 % of the true one; "change_points":
            as many, each within 5 % of the length; "outliers": as many, each within 1 % of the
            length or one position; "segments": the same labels, between right change points.
        truth: facts of T points.
        answer: facts of the same series.

    Raises:
        DataError: another field, or facts of another length.
    """
    if field not in VALUED or truth.length != answer.length:
        raise DataError(
            f"got the field {field!r} of {truth.length} and {answer.length} points; expected one "
            f"of {', '.join(LIST_FIELDS)}, and as many points"
        )
    return VALUED[field].right(truth, answer)


def score_lists(
    truth: Sequence[SeriesFacts],
    answers: Sequence[SeriesFacts],
    confidences: Sequence[Mapping[str, float]] | None,
    fields: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """How often such answers are right.

    Args:
        truth: N facts.
        answers: N facts.
        confidences: per row, field -> 0..1; None for answers without.
        fields: of LIST_FIELDS.

    Returns:
        field -> `accuracy`, `some` (share of rows that have anything to find), `accuracy_some`
        (on those; None without any), and with confidences those of `score_confidence`.
    """
    out = {}
    for field in fields:
        right = np.array([is_right(field, t, a) for t, a in zip(truth, answers, strict=True)])
        some = np.array([VALUED[field].some(t) for t in truth])
        out[field] = {
            "accuracy": float(right.mean()),
            "some": float(some.mean()),
            "accuracy_some": float(right[some].mean()) if some.any() else None,
        }
        if confidences is not None:
            given = np.array([row[field] for row in confidences])
            out[field] |= score_confidence(given, right)
    return out
