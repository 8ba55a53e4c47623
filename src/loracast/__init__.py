"""Adapt a small pretrained language model to numerical time series, under a FLOPs budget.

Data flows one way; a room imports only rooms to its left (`tests/test_layers.py` holds it):

    series, flops | codec | tasks, evaluation, backbone | adapters | training, decoding
        | api | studies | cli, server

    series -> codec -> tasks -> training -> adapter -> decoding -> tasks (parse) -> evaluation

`import loracast` is light: what needs torch is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loracast.api import Annotator, Forecaster

__all__ = ["Annotator", "Forecaster", "LoracastError", "__version__"]

__version__ = "0.1.0"

_HOME_OF = {
    "Annotator": "loracast.api",
    "Forecaster": "loracast.api",
    "LoracastError": "loracast.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'loracast' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
