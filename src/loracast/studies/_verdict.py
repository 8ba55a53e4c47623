"""In plain words: whom the adapted model beats, whom it loses to, and by how much.

Knows only a table of errors, method by horizon. A loss is always said first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from loracast.evaluation import ADAPTED, FULL_FINE_TUNING, METHODS, RANDOM_START, Group

__all__ = ["Comparison", "compare", "verdict_lines"]

MOST_PERCENT = 100_000  # beyond it the other method is all but exact, and digits say no more
TIE_PERCENT = 1.0  # assumption: differences below it are called a tie

# Before the headline, where no series were left to test on.
SPLIT = "Scored on the {split} series, which also chose settings and checkpoint: "

Outcome = Literal["loses", "ties", "wins", "missing"]


@dataclass(frozen=True)
class Comparison:
    """The adapted model against one method at one horizon.

    Args:
        method: the other method.
        horizon: steps ahead over which both were scored.
        outcome: seen from the adapted model; "missing" where one of the two has no score.
        percent: how much higher (positive) or lower the adapted error is than the other one;
            infinite where the other method is exact, None where the outcome is "missing".
    """

    method: str
    horizon: int
    outcome: Outcome
    percent: float | None


def compare(errors: Mapping[str, Mapping[int, float | None]]) -> list[Comparison]:
    """Hold the adapted model's error against every other method's, at every horizon of any.

    Args:
        errors: method -> horizon -> error (lower is better); None or NaN where there is none.
    """
    horizons = sorted({h for row in errors.values() for h in row})
    own = errors.get(ADAPTED.name, {})
    found = []
    for method, row in errors.items():
        if method == ADAPTED.name:
            continue
        for horizon in horizons:
            ours, theirs = _number(own.get(horizon)), _number(row.get(horizon))
            if ours is None or theirs is None:
                found.append(Comparison(method, horizon, "missing", None))
                continue
            if theirs > 0:
                percent = 100 * (ours / theirs - 1)
            else:
                percent = 0.0 if ours == theirs else math.inf
            outcome: Outcome = "loses" if percent > 0 else "wins"
            if abs(percent) < TIE_PERCENT:
                outcome = "ties"
            found.append(Comparison(method, horizon, outcome, percent))
    return found


def verdict_lines(
    errors: Mapping[str, Mapping[int, float | None]],
    metric: str = "MAE",
    *,
    evaluated_on: str = "test",
    notes: Mapping[str, str] | None = None,
) -> list[str]:
    """The verdict: one headline that names every loss, then one line per group of methods.

    Args:
        errors: method -> horizon -> error (lower is better).
        metric: what the error is called in the text.
        evaluated_on: the split that was scored; the headline says so where it is no test set.
        notes: method -> why it has no scores.
    """
    comparisons = compare(errors)
    scored = [c for c in comparisons if c.outcome != "missing"]
    if all(_number(e) is None for e in errors.get(ADAPTED.name, {}).values()):
        return ["No verdict: the adapted model has no scores."]
    if not scored:
        return ["No verdict: there is no scored method to hold the adapted model against."]

    methods = list(dict.fromkeys(c.method for c in scored))
    losing = list(dict.fromkeys(c.method for c in scored if c.outcome == "loses"))
    lines = []
    if losing:
        parts = [_phrase(m, _of(scored, m, "loses"), metric) for m in losing]
        lines.append(
            f"The adapted model loses to {len(losing)} of the {len(methods)} methods compared: "
            + "; ".join(parts)
            + "."
        )
    elif any(c.outcome == "ties" for c in scored):
        lines.append(f"The adapted model loses to none of the {len(methods)} methods compared.")
    else:
        others = (
            f"each of the {len(methods)} methods compared"
            if len(methods) > 1
            else "the one method compared"
        )
        lines.append(f"The adapted model has a lower {metric} than {others}, at every horizon.")
    if evaluated_on != "test":
        lines[0] = SPLIT.format(split=evaluated_on) + lines[0][0].lower() + lines[0][1:]

    for group in Group:
        if present := [n for n, m in METHODS.items() if m.group is group and n in methods]:
            lines.append(_group_line(group, present, scored, metric))
    if unknown := [m for m in methods if m not in METHODS]:
        lines.append(_group_line("other methods", unknown, scored, metric))
    if pretraining := _pretraining_line(errors, metric):
        lines.append(pretraining)

    missing: dict[str, list[int]] = {}
    for c in comparisons:
        if c.outcome == "missing":
            missing.setdefault(c.method, []).append(c.horizon)
    if missing:
        parts = []
        for m, hs in missing.items():
            reason = (notes or {}).get(m, "").removeprefix("does not apply: ")
            if m in methods:
                parts.append(f"{_name(m)} at {_join([str(h) for h in hs])} steps")
            else:
                parts.append(f"{_name(m)} ({reason})" if reason else _name(m))
        lines.append(f"Not compared, for want of a score: {'; '.join(parts)}.")
    return lines


def _pretraining_line(errors: Mapping[str, Mapping[int, float | None]], metric: str) -> str:
    """What pretraining brought: the two trained alike, all weights, that differ in their start.

    An adapter against a random start would also compare LoRA with training all weights.
    """
    warm, cold = errors.get(FULL_FINE_TUNING.name, {}), errors.get(RANDOM_START.name, {})
    parts = []
    for horizon in sorted({*warm, *cold}):
        ours, theirs = _number(warm.get(horizon)), _number(cold.get(horizon))
        if ours is None or theirs is None or theirs <= 0:
            continue
        percent = 100 * (ours / theirs - 1)
        word = "higher" if percent > 0 else "lower"
        parts.append(f"{_percent(abs(percent))} {word} at {horizon} steps")
    if not parts:
        return ""
    return (
        f"The effect of pretraining, with all weights trained alike: {metric} {', '.join(parts)} "
        "than from a random start."
    )


def _group_line(
    title: str, members: Sequence[str], scored: Sequence[Comparison], metric: str
) -> str:
    parts = []
    for method in members:
        wins, ties = _of(scored, method, "wins"), _of(scored, method, "ties")
        if wins:
            parts.append("beats " + _phrase(method, wins, metric))
        if ties:
            steps = _join([str(c.horizon) for c in ties])
            parts.append(f"ties with {_name(method)} at {steps} steps (within {TIE_PERCENT:g} %)")
        if not wins and not ties:
            parts.append(f"beats {_name(method)} at no horizon")
        elif losses := _of(scored, method, "loses"):
            parts.append(f"loses to it at {_join([str(c.horizon) for c in losses])} steps")
    return f"Against {title}: {'; '.join(parts)}."


def _phrase(method: str, comparisons: Sequence[Comparison], metric: str) -> str:
    """'seasonal naive (MAE 20 % lower at 5 steps, 31 % at 20)'."""
    parts = []
    for i, c in enumerate(comparisons):
        assert c.percent is not None
        if math.isinf(c.percent):
            parts.append(f"it is exact at {c.horizon} steps")
            continue
        direction = " higher" if c.percent > 0 else " lower"
        parts.append(
            f"{metric + ' ' if i == 0 else ''}{_percent(abs(c.percent))}"
            f"{direction if i == 0 else ''} at {c.horizon}{' steps' if i == 0 else ''}"
        )
    return f"{_name(method)} ({', '.join(parts)})"


def _percent(value: float) -> str:
    # 99.97 must not be said as 100 % lower, that would be an exact forecast
    if value < 10 or 99 < value < 100:
        return f"{min(value, 99.9) if value < 100 else value:.1f} %"
    return f"{value:,.0f} %" if value < MOST_PERCENT else f"over {MOST_PERCENT:,.0f} %"


def _of(comparisons: Sequence[Comparison], method: str, outcome: Outcome) -> list[Comparison]:
    return [c for c in comparisons if c.method == method and c.outcome == outcome]


def _name(method: str) -> str:
    return METHODS[method].spoken if method in METHODS else method


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _join(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
