"""What tells one data set from another."""

from __future__ import annotations

import json

from loracast.files import sha256_of
from loracast.series._panel import Panel

__all__ = ["data_sha256"]


def data_sha256(panel: Panel) -> str:
    """Of the ids, channels and values of a panel, as they are in memory."""
    names = json.dumps([list(map(str, panel.ids)), panel.channels])
    return sha256_of(names, *(part for v in panel.values for part in (str(v.shape), v)))
