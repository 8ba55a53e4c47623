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
from loracast.flops._conventions import CONVENTIONS, get_convention
from loracast.flops._cost import CostTable
from loracast.flops._lora import LoraSpec
from loracast.flops._numeric_head import NumericHeadSpec
from loracast.flops._planner import Plan, PlannedStage
from loracast.flops._published import mao2025_table10, mao2025_table14, step_by_convention
from loracast.flops._trained import NEWTON_SCHULZ_STEPS, muon_takes, trained_parameters
from loracast.flops._units import format_flops, parse_flops

__all__ = [
    "CONVENTIONS",
    "NEWTON_SCHULZ_STEPS",
    "Architecture",
    "CostTable",
    "LoraSpec",
    "NumericHeadSpec",
    "Plan",
    "PlannedStage",
    "format_flops",
    "get_convention",
    "mao2025_table10",
    "mao2025_table14",
    "muon_takes",
    "parse_flops",
    "step_by_convention",
    "trained_parameters",
]
