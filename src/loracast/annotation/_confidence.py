"""From the model's probabilities to confidences worth believing; no answer changes.

Labels: temperature scaling (Guo et al. 2017), p_k ~ exp(log p_k / temperature), the temperature
chosen to make held-out truths most likely. Other fields, whose answers are numbers or lists: Platt
scaling (Platt 1999) of the probability that the model gave all of the answer's tokens together,
confidence = sigmoid(a logit(p) + b), with a and b from whether held-out answers were right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from loracast.annotation._facts import SeriesFacts
from loracast.annotation._fields import label_of

__all__ = ["calibrated", "fit_scales", "fit_temperatures", "scaled"]

LEAST_ROWS = 20  # fewer say too little about a temperature (assumption)
LOG_RANGE = (-2.0, 3.0)  # of the temperature
FLOOR = 1e-9  # of a probability, before its logarithm
RIDGE = 1.0  # pulls (a, b) to (1, 0): as much as this many rows would (assumption)


def calibrated(probabilities: Mapping[str, float], temperature: float) -> dict[str, float]:
    """The same probabilities at a temperature; they add up to 1."""
    given = np.array(list(probabilities.values()))
    if temperature == 1.0:
        scaled = given
    else:
        logs = np.log(np.maximum(given, FLOOR)) / temperature
        scaled = np.exp(logs - logs.max())
    scaled = scaled / scaled.sum()
    return dict(zip(probabilities, scaled.tolist(), strict=True))


def fit_temperatures(
    probabilities: Sequence[Mapping[str, Mapping[str, float]]], truth: Sequence[SeriesFacts]
) -> dict[str, float]:
    """The temperature of each field that makes the true labels most likely.

    Args:
        probabilities: N rows, field -> label -> probability.
        truth: N facts.

    Returns:
        field -> temperature, 1 for a field with fewer than 20 known labels.
    """
    from scipy.optimize import minimize_scalar

    out = {}
    for field in probabilities[0] if probabilities else ():
        logs, right = [], []
        for row, facts in zip(probabilities, truth, strict=True):
            label = label_of(facts, field)
            if label in row[field]:
                logs.append(np.log(np.maximum(list(row[field].values()), FLOOR)))
                right.append(list(row[field]).index(str(label)))
        out[field] = 1.0
        if len(right) < LEAST_ROWS:
            continue
        table, chosen = np.array(logs), np.array(right)

        def loss(
            log_temperature: float, table: np.ndarray = table, chosen: np.ndarray = chosen
        ) -> float:
            scaled = table / np.exp(log_temperature)
            scaled = scaled - scaled.max(axis=1, keepdims=True)
            total = np.log(np.exp(scaled).sum(axis=1))
            return float((total - scaled[np.arange(len(chosen)), chosen]).mean())

        found = minimize_scalar(loss, bounds=LOG_RANGE, method="bounded")
        out[field] = float(np.exp(found.x))
    return out


def scaled(probability: float, scale: tuple[float, float]) -> float:
    """Sigmoid(a logit(p) + b) for scale (a, b)."""
    p = np.clip(probability, FLOOR, 1 - FLOOR)
    return float(1 / (1 + np.exp(-(scale[0] * np.log(p / (1 - p)) + scale[1]))))


def fit_scales(
    probabilities: Sequence[Mapping[str, float]], right: Sequence[Mapping[str, bool]]
) -> dict[str, tuple[float, float]]:
    """The scale (a, b) of each field that makes it most likely which answers were right.

    Args:
        probabilities: N rows, field -> probability of the answer.
        right: N rows, field -> whether it was right.

    Returns:
        field -> (a, b), a >= 0; (1, 0) for a field with fewer than 20 rows.
    """
    from scipy.optimize import minimize

    out = {}
    for field in probabilities[0] if probabilities else ():
        out[field] = (1.0, 0.0)
        if len(probabilities) < LEAST_ROWS:
            continue
        p = np.clip([row[field] for row in probabilities], FLOOR, 1 - FLOOR)
        logit = np.log(p / (1 - p))
        sign = np.where([row[field] for row in right], 1.0, -1.0)

        def loss(scale: np.ndarray, logit: np.ndarray = logit, sign: np.ndarray = sign) -> float:
            wrong = np.logaddexp(0.0, -sign * (scale[0] * logit + scale[1])).sum()
            return float(wrong + RIDGE * ((scale[0] - 1) ** 2 + scale[1] ** 2))

        found = minimize(loss, [1.0, 0.0], bounds=[(0.0, None), (None, None)])
        out[field] = (float(found.x[0]), float(found.x[1]))
    return out
