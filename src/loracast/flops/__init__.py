"""What a model's work costs, before it runs, and a ledger that keeps it within a budget.

    Architecture ─┐
    LoraSpec ─────┼─> Convention ──> CostTable ──> Plan      (before)
    B, L, S ──────┘   exact             │
                      coursework        └───────> Ledger     (during: reserve, run, settle)
                      mao2025

Knows shapes and numbers of FLOPs; it knows neither weights nor tasks.
"""

from __future__ import annotations

from loracast.flops._architecture import Architecture
from loracast.flops._convention import Convention, get_convention
from loracast.flops._cost import CostTable
from loracast.flops._entries import Charge, LedgerEntry, run_of
from loracast.flops._ledger import Ledger
from loracast.flops._lora import LoraSpec
from loracast.flops._planner import Plan, PlannedStage
from loracast.flops._trained import NEWTON_SCHULZ_STEPS, muon_takes, trained_parameters
from loracast.flops._units import format_flops, parse_flops
from loracast.flops._values import ValueSpec

__all__ = [
    "NEWTON_SCHULZ_STEPS",
    "Architecture",
    "Charge",
    "Convention",
    "CostTable",
    "Ledger",
    "LedgerEntry",
    "LoraSpec",
    "Plan",
    "PlannedStage",
    "ValueSpec",
    "format_flops",
    "get_convention",
    "muon_takes",
    "parse_flops",
    "run_of",
    "trained_parameters",
]
