"""What a base was pretrained on, from the `pretrain.json` beside its weights.

A base without that file came from elsewhere: nothing is known of it, and nothing is held against
it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CARD_FILE", "BaseCard", "read_card"]

CARD_FILE = "pretrain.json"


@dataclass(frozen=True)
class BaseCard:
    """The series a base has seen.

    Args:
        codecs: how numbers were shown, each `make_codec(**codec)`.
        channels: the most channels of a series; None where the card does not say.
    """

    codecs: tuple[dict[str, Any], ...]
    channels: int | None


def read_card(folder: Path) -> BaseCard | None:
    """The card in a model's folder; None where there is none, or one of another make."""
    try:
        card = json.loads((Path(folder) / CARD_FILE).read_text(encoding="utf-8"))
        codecs = tuple(dict(kind["codec"]) for kind in card["recipe"]["kinds"] if "codec" in kind)
        channels = card.get("channels")
        return BaseCard(codecs, None if channels is None else int(channels))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
