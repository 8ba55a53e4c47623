"""The registry of conventions: one class a convention, each in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loracast.errors import ConfigError
from loracast.flops._convention import Convention
from loracast.flops._coursework import Coursework
from loracast.flops._exact import Exact
from loracast.flops._mao2025 import Mao2025

__all__ = ["CONVENTIONS", "get_convention"]

_LISTED: tuple[type[Convention], ...] = (Coursework, Exact, Mao2025)
CONVENTIONS: Mapping[str, type[Convention]] = {kind.name: kind for kind in _LISTED}


def get_convention(name: str, **options: Any) -> Convention:
    """The convention of this name, one of `CONVENTIONS`.

    Raises:
        ConfigError: unknown name or option.
    """
    if name not in CONVENTIONS:
        raise ConfigError(f"convention: got {name!r}, expected one of {', '.join(CONVENTIONS)}")
    try:
        return CONVENTIONS[name](**options)
    except TypeError:
        raise ConfigError(
            f"convention {name}: options {sorted(options)} are not all known to it"
        ) from None
