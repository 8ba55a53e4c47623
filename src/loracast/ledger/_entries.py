"""What a ledger hands out: entries, journal events and charges, and whole numbers of FLOPs.

Plain values; they know no database and no budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from loracast.errors import ConfigError

__all__ = [
    "RELEASED",
    "RESERVED",
    "SETTLED",
    "Charge",
    "JournalEvent",
    "LedgerEntry",
    "entry_of",
    "whole_flops",
]

RESERVED, SETTLED, RELEASED = "reserved", "settled", "released"


@dataclass(frozen=True)
class LedgerEntry:
    """One block of work as the ledger holds it.

    Args:
        key: its unique name, for instance `final/train/000100-000149`.
        stage: part of a study, for instance `grid`.
        kind: `train`, `validate`, `generate`, ...
        state: `reserved` (open), `settled` or `released`.
        reserved_flops: what was set aside before it ran.
        settled_flops: what it cost; None while open.
        attempts: which run of its work this is (a second one has a key that ends in `#2`), or how
            often a reservation was taken up again; above 1 something was interrupted.
        pid: process that touched it last.
        created, updated: seconds since the epoch.
    """

    key: str
    stage: str
    kind: str
    state: str
    reserved_flops: float
    settled_flops: float | None
    attempts: int
    pid: int
    created: float
    updated: float


@dataclass(frozen=True)
class JournalEvent:
    """One line of the append-only journal.

    Its event is open, limit, reserve, adopt, settle, release, or overdraft: by how much more than
    the limit was used once the entry settled just before cost more than it had reserved. A ledger
    without a limit opens with 0 FLOPs.
    """

    time: float
    event: str
    key: str
    flops: float
    pid: int


@dataclass
class Charge:
    """What `Ledger.charge` hands out; set `flops` to settle another amount than reserved."""

    entry: LedgerEntry
    flops: float | None = None


def entry_of(row: Any) -> LedgerEntry:
    """An entry from its row, with FLOPs as floats."""
    return LedgerEntry(
        key=row.key,
        stage=row.stage,
        kind=row.kind,
        state=row.state,
        reserved_flops=float(row.reserved_flops),
        settled_flops=None if row.settled_flops is None else float(row.settled_flops),
        attempts=row.attempts,
        pid=row.pid,
        created=row.created,
        updated=row.updated,
    )


def whole_flops(flops: float, what: str, minimum: int = 0) -> int:
    """An amount rounded up to a whole number.

    Raises:
        ConfigError: no finite number of at least `minimum`.
    """
    try:
        finite = math.isfinite(flops)
    except (TypeError, OverflowError):
        finite = isinstance(flops, int)
    if not finite or flops < minimum:
        raise ConfigError(
            f"ledger: {what}: got {flops!r} FLOPs, expected a finite number of at least {minimum}"
        )
    return math.ceil(flops)
