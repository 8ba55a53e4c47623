"""What the rows of a ledger add up to: shares, the burn-down, and whether the totals agree.

Works on rows already read; it repairs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loracast.ledger._entries import RELEASED, RESERVED, SETTLED
from loracast.ledger._key import Key

__all__ = ["burn_down", "flops_by", "problems_of", "repeated"]


def flops_by(column: str, settled: Sequence[Any]) -> dict[str, float]:
    """FLOPs of settled entries by a column, in order of first use."""
    sums: dict[str, int] = {}
    for row in settled:
        group = getattr(row, column)
        sums[group] = sums.get(group, 0) + row.settled_flops
    return {group: float(flops) for group, flops in sums.items()}


def repeated(settled: Sequence[Any]) -> list[Any]:
    """Settled rows whose work was run again by a later attempt."""
    last: dict[Key, int] = {}
    keys = [Key.parse(row.key) for row in settled]
    for key in keys:
        last[key.block] = max(last.get(key.block, 0), key.run)
    return [row for row, key in zip(settled, keys, strict=True) if key.run < last[key.block]]


def burn_down(journal: Sequence[Any]) -> list[tuple[float, float]]:
    """(seconds since the epoch, FLOPs left of the limit) at every opening, limit and settlement."""
    points: list[tuple[float, float]] = []
    limit = spent = 0
    for event in journal:
        if event.event in ("open", "limit"):
            limit = event.flops
        elif event.event == "settle":
            spent += event.flops
        else:
            continue
        points.append((event.time, float(limit - spent)))
    return points


def problems_of(totals: Any, entries: Sequence[Any], journal: Sequence[Any]) -> list[str]:
    """Problems of a ledger, one line each; empty when it is sound.

    Args:
        totals: its limit, settled and reserved FLOPs.
        entries: all of them.
        journal: all of it, in order.
    """
    problems = []
    settled = sum(r.settled_flops for r in entries if r.state == SETTLED)
    reserved = sum(r.reserved_flops for r in entries if r.state == RESERVED)
    for label, total, found in (
        ("settled", totals.settled_flops, settled),
        ("reserved", totals.reserved_flops, reserved),
    ):
        if total != found:
            problems.append(f"{label}: the total says {total}, the entries add up to {found}")
    over = 0 if totals.limit_flops is None else settled + reserved - totals.limit_flops
    noted = [event.flops for event in journal if event.event == "overdraft"]
    if over > (noted[-1] if noted else 0):
        problems.append(
            f"over the limit: {settled + reserved} settled and reserved of {totals.limit_flops}"
        )
    for r in entries:
        if r.state not in (RESERVED, SETTLED, RELEASED):
            problems.append(f"{r.key}: unknown state {r.state!r}")
        if (r.state == SETTLED) != (r.settled_flops is not None):
            problems.append(f"{r.key}: is {r.state} with settled FLOPs {r.settled_flops}")
    return problems + _replayed(journal, entries)


def _replayed(journal: Sequence[Any], entries: Sequence[Any]) -> list[str]:
    """Where the journal, played again, differs from the entries."""
    open_flops: dict[str, int] = {}
    settled: dict[str, int] = {}
    for event in journal:
        if event.event in ("reserve", "adopt"):
            if event.key not in settled:
                open_flops[event.key] = open_flops.get(event.key, 0) + event.flops
        elif event.event == "settle":
            open_flops.pop(event.key, None)
            settled[event.key] = event.flops
        elif event.event == "release":
            open_flops.pop(event.key, None)
    problems = []
    for row in entries:
        held = row.reserved_flops if row.state == RESERVED else None
        if open_flops.get(row.key) != held:
            problems.append(f"{row.key}: the journal holds {open_flops.get(row.key)} open FLOPs")
        if settled.get(row.key) != row.settled_flops:
            problems.append(f"{row.key}: the journal settles {settled.get(row.key)} FLOPs")
    known = {row.key for row in entries}
    problems.extend(
        f"{key}: is in the journal and not among the entries"
        for key in sorted((set(open_flops) | set(settled)) - known)
    )
    return problems
