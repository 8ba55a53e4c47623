"""Numbers as a model is shown them and back, with the scaling state of each series beside them.

values (T, C) --fit--> State
    text codecs:  --encode--> symbol ids (L,) --decode--> values;  grammar(C): what may follow
    `continuous`: --forward--> z (T, C) and statics --inverse--> values
"""

from __future__ import annotations

from loracast.codec._annotation import AnnotationCodec
from loracast.codec._base import Codec, Grammar, State, TextCodec
from loracast.codec._continuous import ContinuousCodec
from loracast.codec._registry import make_codec
from loracast.codec._statics import VALUE_CHANNELS, VALUE_STATICS, Statics

__all__ = [
    "VALUE_CHANNELS",
    "VALUE_STATICS",
    "AnnotationCodec",
    "Codec",
    "ContinuousCodec",
    "Grammar",
    "State",
    "Statics",
    "TextCodec",
    "make_codec",
]
