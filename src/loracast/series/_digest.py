"""What tells one data set from another."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from loracast.series._panel import Panel

__all__ = ["data_sha256"]


def data_sha256(panel: Panel) -> str:
    """Of the ids, channels and values of a panel, as they are in memory."""
    digest = hashlib.sha256(json.dumps([list(map(str, panel.ids)), panel.channels]).encode())
    for values in panel.values:
        digest.update(str(values.shape).encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
