"""The folder of a fit: one fit's own, which comes back to it and keeps the budget it planned for.

Knows JSON facts and ledgers, not what is fitted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loracast.errors import BudgetExceeded, StorageError
from loracast.files import write_whole
from loracast.flops import format_flops
from loracast.ledger import Ledger
from loracast.training import TrainResult

__all__ = ["check_finished", "claim_folder", "planned_budget"]


def check_finished(result: TrainResult, ledger: Ledger) -> None:
    """Refuse a training that was cut short because some of it had to run twice.

    A fit plans its steps for its budget, so that is all that can cut it.

    Raises:
        BudgetExceeded: it was.
    """
    again = ledger.repeated_flops
    if result.stopped == "budget" and again:
        raise BudgetExceeded(
            f"{format_flops(again)} of the budget went into work that ran again after an "
            f"interruption, and step {result.steps + 1} does not fit any more; the same command "
            f"with a budget of {ledger.limit_flops + 1.1 * again:.2e} (--budget) goes on and ends "
            "with the adapter that was planned"
        )


def planned_budget(folder: Path, identity: Mapping[str, Any]) -> float:
    """The budget that the steps of a fit are planned for: that of its first run in this folder."""
    try:
        found = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        begun = float(found["budget_flops"])
    except (OSError, ValueError, KeyError, TypeError):
        return float(identity["budget_flops"])
    same = {**found, "budget_flops": None} == {**identity, "budget_flops": None}
    given = float(identity["budget_flops"])
    return begun if same and begun <= given else given


def claim_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Take a folder for one fit; the same fit may come back to it, another one may not.

    Args:
        folder: created where it does not exist.
        identity: JSON facts that decide the result.

    Raises:
        StorageError: it cannot be written, or belongs to another fit.
    """
    path = folder / "fit.json"
    text = json.dumps(identity, indent=1, sort_keys=True) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if path.read_text(encoding="utf-8") != text:
                raise StorageError(
                    f"{folder} holds a fit with other data or settings; choose another folder, "
                    "or remove it"
                )
            return
        write_whole(path, text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise StorageError(f"{folder} cannot be used for a fit: {reason}") from error
