"""What both products stand on: who pays, and the folder of a fit within its budget."""

from __future__ import annotations

from loracast.model._fit_folder import check_finished, claim_folder, planned_budget
from loracast.model._spending import allowance, spending, work_sha256
from loracast.model._validated import validated

__all__ = [
    "allowance",
    "check_finished",
    "claim_folder",
    "planned_budget",
    "spending",
    "validated",
    "work_sha256",
]
