"""What both products stand on: an adapted model, who pays for it, and its fit within a budget."""

from __future__ import annotations

from loracast.model._adapted import AdaptedModel
from loracast.model._fit_folder import check_finished, claim_folder, planned_budget
from loracast.model._spending import allowance, spending, work_sha256
from loracast.model._validated import validated

__all__ = [
    "AdaptedModel",
    "allowance",
    "check_finished",
    "claim_folder",
    "planned_budget",
    "spending",
    "validated",
    "work_sha256",
]
