"""The budget itself: blocks of FLOPs are reserved before they run, and settled after."""

from __future__ import annotations

from loracast.ledger._entries import LedgerEntry
from loracast.ledger._key import Key
from loracast.ledger._ledger import Ledger

__all__ = ["Key", "Ledger", "LedgerEntry"]
