"""Who pays for model work: a ledger of the caller's, or one that is thrown away with its answer.

Knows ledgers and budgets, not models. Why it exists: nothing runs a model without being charged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from loracast.errors import ConfigError
from loracast.files import sha256_of
from loracast.flops import parse_flops
from loracast.ledger import Key, Ledger

__all__ = ["allowance", "spending", "work_sha256"]


@contextmanager
def spending(ledger: Ledger | None = None, budget: str | float | None = None) -> Iterator[Ledger]:
    """The ledger to charge: the caller's own, or one for this work alone.

    Args:
        ledger: of the caller; it stays open.
        budget: FLOPs of a ledger for this work alone; None sets no limit.

    Raises:
        ConfigError: both are given, or the budget is no amount.
    """
    if ledger is not None:
        if budget is not None:
            raise ConfigError(
                f"got the budget {budget!r} and a ledger; a ledger brings its own limit: drop one"
            )
        yield ledger
        return
    limit = None if budget is None else parse_flops(budget)
    with Ledger.in_memory(limit) as own:
        yield own


@contextmanager
def allowance(ledger: Ledger | None, name: str, own: Ledger, stage: str) -> Iterator[None]:
    """Set a run's whole budget aside in the caller's ledger, and hand back what it did not use.

    The run keeps its own ledger, which outlives the process: a run that was killed finds its
    allowance again under the same key, and one that goes on after it ended gets another for what
    is left of its budget. All allowances of a run together are settled at what its ledger used.

    Args:
        ledger: of the caller; None sets nothing aside.
        name: of this run and no other.
        own: the run's ledger.
        stage: what kind of run it is, in the caller's ledger.

    Raises:
        BudgetExceeded: the budget does not fit into the caller's ledger.
        ConfigError: the two count by different conventions.
    """
    if ledger is None:
        yield
        return
    if ledger.convention != own.convention:
        raise ConfigError(
            f"ledger {ledger.location} counts by {ledger.convention!r}, this run by "
            f"{own.convention!r}; give a ledger of the same convention"
        )
    key = Key(stage, None, name)
    runs = [e for e in ledger.entries() if Key.parse(e.key).block == key]
    before = sum(e.settled_flops or 0.0 for e in runs)
    wanted = max(0.0, own.limit_flops - before)
    left_open = [e.key for e in runs if e.state == "reserved"]
    take = ledger.reserve if left_open else ledger.begin
    held = take(left_open[0] if left_open else key, wanted, stage, "allowance").key
    try:
        yield
    finally:
        used = own.spent_flops + own.reserved_flops
        ledger.settle(held, max(0.0, used - before))


def work_sha256(facts: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> str:
    """Sixteen digits that tell one piece of work from another.

    Args:
        facts: JSON-like, in the same order every time.
        arrays: what the model is shown.
    """
    shown = (part for a in arrays for part in (f"{a.dtype}{a.shape}", a))
    return sha256_of(repr(sorted(facts.items())), *shown)[:16]
