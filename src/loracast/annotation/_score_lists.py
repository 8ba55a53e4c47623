"""Answers that are numbers or lists: when a season, breaks or outliers count as found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._score_confidence import score_confidence
from loracast.errors import DataError

__all__ = ["LIST_FIELDS", "is_right", "score_lists"]

PERIOD_NEAR = 0.1  # of the true period
BREAK_NEAR = 0.05  # of the length
OUTLIER_NEAR = 0.01  # of the length, or one position


def _season(truth: SeriesFacts, answer: SeriesFacts) -> bool:
    if truth.period is None or answer.period is None:
        return truth.period is answer.period
    return abs(answer.period - truth.period) <= PERIOD_NEAR * truth.period


def _all_near(truth: Sequence[int], answer: Sequence[int], near: float) -> bool:
    """As many, and in ascending order each within `near` positions."""
    return len(truth) == len(answer) and all(
        abs(a - b) <= near for a, b in zip(sorted(truth), sorted(answer), strict=True)
    )


def _breaks(truth: SeriesFacts, answer: SeriesFacts) -> bool:
    return _all_near(truth.change_points, answer.change_points, BREAK_NEAR * truth.length)


def _outliers(truth: SeriesFacts, answer: SeriesFacts) -> bool:
    return _all_near(truth.outliers, answer.outliers, max(OUTLIER_NEAR * truth.length, 1.0))


def _segments(truth: SeriesFacts, answer: SeriesFacts) -> bool:
    labels = [s.label for s in truth.segments], [s.label for s in answer.segments]
    return labels[0] == labels[1] and _breaks(truth, answer)


# Field -> whether an answer is right, and whether the truth has anything to find.
_RULES: dict[str, tuple[Callable[[SeriesFacts, SeriesFacts], bool], Callable[..., bool]]] = {
    "seasonality": (_season, lambda t: t.period is not None),
    "change_points": (_breaks, lambda t: bool(t.change_points)),
    "segments": (_segments, lambda t: len(t.segments) > 1),
    "outliers": (_outliers, lambda t: bool(t.outliers)),
}
LIST_FIELDS = tuple(_RULES)


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
    if field not in _RULES or truth.length != answer.length:
        raise DataError(
            f"got the field {field!r} of {truth.length} and {answer.length} points; expected one "
            f"of {', '.join(LIST_FIELDS)}, and as many points"
        )
    return _RULES[field][0](truth, answer)


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
        some = np.array([_RULES[field][1](t) for t in truth])
        out[field] = {
            "accuracy": float(right.mean()),
            "some": float(some.mean()),
            "accuracy_some": float(right[some].mean()) if some.any() else None,
        }
        if confidences is not None:
            given = np.array([row[field] for row in confidences])
            out[field] |= score_confidence(given, right)
    return out
