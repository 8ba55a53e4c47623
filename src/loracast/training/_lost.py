"""Steps that were trained and saved, and whose checkpoints are lost: said aloud, or refused.

Checkpoints are deleted or damaged while the ledger keeps its entries. Doing the steps again costs
again. What no longer fits is refused here, before anything is computed, rather than ended with a
model of fewer steps than were asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from loracast.errors import DamageWarning, StorageError
from loracast.flops import format_flops
from loracast.ledger import Key
from loracast.training._checkpoint import newest_step
from loracast.training._example import Example
from loracast.training._meter import Meter

__all__ = ["check_lost_work"]


def check_lost_work(
    meter: Meter,
    folder: Path,
    *,
    step: int,
    steps: int,
    saved_next: int,
    batch: Callable[[int], Sequence[Example]],
    validations: int,
) -> None:
    """Compare what a run goes on from with what the ledger and the folder know of it.

    Args:
        meter: of the stage.
        folder: of its checkpoints.
        step: steps that the checkpoint gone on from holds, 0 where there is none.
        steps: of the whole run.
        saved_next: the step at which the next checkpoint is written.
        batch: the examples of a step.
        validations: still to come.

    Raises:
        StorageError: lost steps and those that follow do not fit into the budget, or the ledger
            knows nothing of the steps that the checkpoint holds.

    Warns:
        DamageWarning: steps are lost, and what it costs to go on without them.
    """
    blocks = [e for e in meter.ledger.entries() if (e.stage, e.kind) == (meter.stage, "train")]
    if step and not blocks:
        raise StorageError(
            f"{folder} holds checkpoints of {step} steps of {meter.stage!r}, but the ledger "
            f"{meter.ledger.location} knows of none; put their ledger back, or start over in "
            "another output folder"
        )
    # A block that begins where a checkpoint is due was begun after that checkpoint was written.
    begun = [Key.parse(e.key).step for e in blocks]
    saved = max([newest_step(folder), *(b for b in begun if b >= saved_next)])
    if saved <= step:
        return
    price = sum(meter.pricer.step_flops(batch(s)) for s in range(step, steps))
    price += validations * meter.validation_flops
    what = (
        f"{meter.stage!r} was trained beyond step {step}, but its later checkpoints in {folder} "
        "are lost or damaged"
    )
    if price > meter.remaining_flops:
        raise StorageError(
            f"{what}; training from there again costs {format_flops(price)} and "
            f"{format_flops(meter.remaining_flops)} are left: raise the budget, or start over in "
            "another output folder"
        )
    warnings.warn(
        f"{what}; it goes on from there, and what is trained again is charged again",
        DamageWarning,
        stacklevel=3,
    )
