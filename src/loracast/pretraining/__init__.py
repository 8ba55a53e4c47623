"""How the embedded base is made: its corpus, its growth, its training."""

from __future__ import annotations

from loracast.pretraining._grow import grow_embedded
from loracast.pretraining._pretrain import load_pretrain_recipe, pretrain

__all__ = [
    "grow_embedded",
    "load_pretrain_recipe",
    "pretrain",
]
