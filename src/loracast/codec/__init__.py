"""Numbers to symbols and back, with the scaling state of each series beside its symbols.

values (T, C) --fit--> State --encode--> symbol ids (L,) --decode--> values (T, C)
                                 grammar(C) says which symbol may follow
"""

from __future__ import annotations

from loracast.codec._base import Codec, Encoded, Grammar, State
from loracast.codec._continuous import ContinuousCodec
from loracast.codec._registry import make_codec

__all__ = [
    "Codec",
    "ContinuousCodec",
    "Encoded",
    "Grammar",
    "State",
    "make_codec",
]
