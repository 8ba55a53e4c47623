"""What both products stand on: an adapted model, who pays for it, and its fit within a budget."""

from __future__ import annotations

from loracast.model._adapted import AdaptedModel
from loracast.model._fit import BudgetShares, FitRecord, fit_within_budget, kept_once
from loracast.model._product import Product
from loracast.model._spending import spending, work_sha256
from loracast.model._validated import validated

__all__ = [
    "AdaptedModel",
    "BudgetShares",
    "FitRecord",
    "Product",
    "fit_within_budget",
    "kept_once",
    "spending",
    "validated",
    "work_sha256",
]
