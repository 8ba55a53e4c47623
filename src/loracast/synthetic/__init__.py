"""Systems that make series: Lotka-Volterra, Ornstein-Uhlenbeck, the stream that bases learn."""

from __future__ import annotations

from loracast.synthetic._corpus import CORPUS_CHANNELS, corpus_chunk
from loracast.synthetic._lotka_volterra import REGIMES, generate_lotka_volterra
from loracast.synthetic._ou import generate_ou

__all__ = ["CORPUS_CHANNELS", "REGIMES", "corpus_chunk", "generate_lotka_volterra", "generate_ou"]
