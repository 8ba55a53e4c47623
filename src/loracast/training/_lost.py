"""Work that the ledger has been paid for and that no checkpoint holds any more.

Checkpoints are lost (deleted, damaged) while the ledger keeps its entries. What stands there as
settled was done, and doing it again costs again: it gets keys of its own and must fit the budget.
Otherwise the run is refused, before anything is computed, rather than ended after its first steps.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from loracast.errors import LoracastWarning, StorageError
from loracast.flops import LedgerEntry, format_flops
from loracast.tasks import Example
from loracast.training._meter import RESERVED, Meter

__all__ = ["charge_lost_work_again"]

SETTLED = "settled"
_BLOCK = re.compile(r"(?:/again-(\d+))?/train/(\d+)")


def _place(entry: LedgerEntry) -> tuple[int, int]:
    """(attempt, first step) of a block of training steps."""
    found = _BLOCK.search(entry.key)
    return (int(found[1] or 0), int(found[2])) if found else (0, 0)


def charge_lost_work_again(
    meter: Meter,
    folder: Path,
    *,
    attempt: int,
    step: int,
    steps: int,
    batch: Callable[[int], Sequence[Example]],
    validations: int,
) -> None:
    """Set the meter's `attempt`; a new one where the ledger knows of steps that are lost.

    Args:
        meter: of the stage.
        folder: of its checkpoints, for messages.
        attempt: that the checkpoint gone on from belongs to, 0 where there is none.
        step: steps that this checkpoint holds, 0 where there is none.
        steps: of the whole run.
        batch: the examples of a step.
        validations: still to come.

    Raises:
        StorageError: doing the lost steps again does not fit into the budget, or the ledger knows
            nothing of the steps that the checkpoint holds.

    Warns:
        LoracastWarning: steps that are lost, and what doing them again costs.
    """
    blocks = [e for e in meter.ledger.entries() if (e.stage, e.kind) == (meter.stage, "train")]
    if step and not blocks:
        raise StorageError(
            f"{folder} holds checkpoints of {step} steps of {meter.stage!r}, but the ledger "
            f"{meter.ledger.location} knows of none; put their ledger back, or start over in "
            "another output folder"
        )
    places = [_place(e) for e in blocks]
    settled = [p for e, p in zip(blocks, places, strict=True) if e.state == SETTLED]
    lost = [(a, start) for a, start in settled if a >= attempt and start >= step]
    if not lost:
        meter.attempt = attempt
        return
    newest = max(a for a, _ in places)
    meter.attempt = newest + 1 if any(a == newest for a, _ in lost) else newest
    price = sum(meter.step_flops(batch(s)) for s in range(step, steps))
    price += validations * meter.validation_flops
    held = sum(
        e.reserved_flops
        for e, (a, _) in zip(blocks, places, strict=True)
        if e.state == RESERVED and a == meter.attempt
    )
    room = meter.remaining_flops + held
    what = (
        f"the ledger was charged for steps of {meter.stage!r} from step {step} on, whose "
        f"checkpoints in {folder} are lost or damaged"
    )
    if price > room:
        raise StorageError(
            f"{what}; training them again costs {format_flops(price)} and {format_flops(room)} "
            "are left: raise the budget, or start over in another output folder"
        )
    warnings.warn(
        f"{what}; they are trained again and charged again, {format_flops(price)}",
        LoracastWarning,
        stacklevel=3,
    )
