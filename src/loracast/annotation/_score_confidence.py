"""Whether stated confidences are worth believing: calibration, and what abstention would buy."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["score_confidence"]

N_BINS = 10
TARGET = 0.95


def score_confidence(confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Calibration error and risk-coverage of N answers.

    Answers of equal confidence cannot be told apart: a threshold keeps all of them or none, and
    the risk inside such a group is the mean over its orders.

    Args:
        confidence: (N,) probabilities 0..1.
        right: (N,) bool.

    Returns:
        `ece`: expected calibration error, sum over 10 equal bins of share times |accuracy - mean
        confidence| (Guo et al. 2017; bins (a, b], 0 in the first). `aurc`: area under the
        risk-coverage curve, the mean over k of the share of wrong ones among the k most confident
        (Geifman et al. 2019; 0 is best). `coverage_at_95`: largest share of answers above a
        threshold that are right in at least 95 % (0.0 for none), with its `threshold_at_95`
        (lowest confidence kept; None for none). All None without answers.
    """
    n = len(confidence)
    if not n:
        return {"ece": None, "aurc": None, "coverage_at_95": None, "threshold_at_95": None}
    bins = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    gap = np.bincount(bins, weights=right.astype(float) - confidence, minlength=N_BINS)
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, wrong = confidence[order], (~right[order]).astype(float)
    ends = np.flatnonzero(np.append(np.diff(sorted_confidence) != 0, True)) + 1
    errors = np.concatenate([[0.0], np.cumsum(wrong)[ends - 1]])
    kept = np.arange(1, n + 1)
    risk = np.interp(kept, np.concatenate([[0], ends]), errors) / kept
    good = ends[1 - errors[1:] / ends >= TARGET]
    most = int(good[-1]) if len(good) else 0
    return {
        "ece": float(np.abs(gap).sum() / n),
        "aurc": float(risk.mean()),
        "coverage_at_95": most / n,
        "threshold_at_95": float(sorted_confidence[most - 1]) if most else None,
    }
