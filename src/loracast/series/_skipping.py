"""Series of a panel that cannot be used: left out and named, or, where wanted, an error."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from loracast.errors import DataError, LoracastWarning
from loracast.series._inputs import require_known
from loracast.series._panel import Panel

__all__ = [
    "Skipped",
    "facts_of_skipped",
    "left_out",
    "note_of_skipped",
    "unusable",
    "usable_series",
    "warn_of_skipped",
]

NAMED = 3  # series that a note names with their reasons


@dataclass(frozen=True)
class Skipped:
    """A series that was left out.

    Args:
        id: its name.
        reason: in one line.
    """

    id: Hashable
    reason: str


def usable_series(
    panel: Panel,
    *,
    least: int = 2,
    last: Sequence[int] | None = None,
    purpose: str = "a forecast",
    strict: bool = False,
) -> tuple[Panel, tuple[Skipped, ...]]:
    """The series that are long enough and have a known value in every channel.

    Args:
        panel: N series.
        least: steps that a series must have.
        last: how many of the last steps of each are looked at; None for all.
        purpose: what needs them, as the subject of a sentence.
        strict: stop at the first series that cannot be used.

    Returns:
        The usable series, and the others with their reasons.

    Raises:
        DataError: none can be used, or, where `strict`, one cannot.
    """
    if strict or not len(panel):
        panel.require_length(least, purpose)
        require_known(panel, last, purpose)
        return panel, ()
    rows, skipped = [], []
    for row, name in enumerate(panel.ids):
        shown = slice(None if last is None else -last[row], None)
        reason = unusable(panel, row, least, shown, purpose)
        if reason:
            skipped.append(Skipped(name, reason))
        else:
            rows.append(row)
    if not rows:
        panel.require_length(least, purpose)
        require_known(panel, last, purpose)
        raise DataError(f"{skipped[0].reason} (none of the {len(panel)} series can be used)")
    return (panel.select(rows) if skipped else panel), tuple(skipped)


def unusable(panel: Panel, row: int, least: int, shown: slice, purpose: str) -> str:
    """Why a series cannot be used, in one line; "" where it can.

    Args:
        panel: of the series.
        row: its position there.
        least: steps that it must have.
        shown: of its steps, those in which every channel must have a known value.
        purpose: what needs them, as the subject of a sentence.
    """
    name, values = panel.ids[row], panel.values[row]
    if len(values) < least:
        plural = "s" * (len(values) != 1)
        return f"series {name!r} has {len(values)} step{plural}; {purpose} needs at least {least}"
    seen = np.isfinite(values[shown]).any(axis=0)
    if not seen.all():
        channel = panel.channels[int(np.argmin(seen))]
        return f"series {name!r} has no known value in {channel!r} among the steps shown"
    return ""


def left_out(panel: Panel) -> tuple[Skipped, ...]:
    """The series that the reader of a panel left out already."""
    found = panel.meta.get("skipped", ())
    assert isinstance(found, tuple)
    return tuple(Skipped(name, reason) for name, reason in found)


def note_of_skipped(skipped: Sequence[Skipped], n_all: int) -> str:
    """One line that says how many series are left out, and why the first ones are.

    Args:
        skipped: what is left out.
        n_all: series in all, those left out among them.
    """
    if not skipped:
        return ""
    reasons = "; ".join(one.reason for one in skipped[:NAMED])
    more = "; ..." if len(skipped) > NAMED else ""
    return f"{len(skipped)} of {n_all} series left out: {reasons}{more}"


def facts_of_skipped(skipped: Sequence[Skipped]) -> list[dict[str, str]]:
    """As JSON, all of them."""
    return [{"id": str(one.id), "reason": one.reason} for one in skipped]


def warn_of_skipped(skipped: Sequence[Skipped], n_all: int) -> None:
    """Tell a caller in Python, once for all of them."""
    if skipped:
        warnings.warn(note_of_skipped(skipped, n_all), LoracastWarning, stacklevel=3)
