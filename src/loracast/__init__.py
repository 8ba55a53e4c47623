"""Adapt a small pretrained language model to numerical time series, under a FLOPs budget.

A kernel, two products on it that never import each other, studies and doors on top. Data flows one
way; a room imports only rooms to its left, by their faces (`tests/test_layers.py` holds it):

    series, flops | ledger, codec, synthetic, evaluation | backbone | adapters | training, decoding
        | model | forecasting, annotation | pretraining, studies | cli

    series -> codec -> training -> adapters -> decoding -> quantiles or facts -> evaluation

`import loracast` is light: what needs torch is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loracast.annotation import Annotator
    from loracast.forecasting import Forecaster

__all__ = ["Annotator", "Forecaster", "LoracastError", "__version__"]

__version__ = "0.1.0"

_HOME_OF = {
    "Annotator": "loracast.annotation",
    "Forecaster": "loracast.forecasting",
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
