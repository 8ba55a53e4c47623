"""The registry of codecs: one class a codec, asked for by name in recipes, adapters and options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from loracast.codec._annotation import AnnotationCodec
from loracast.codec._base import Codec
from loracast.codec._compact import CompactCodec
from loracast.codec._continuous import ContinuousCodec
from loracast.codec._decimal import FungCodec, MaoCodec, MillerCodec
from loracast.codec._llmtime import LLMTimeCodec
from loracast.errors import CodecError

__all__ = ["CODECS", "PRESETS", "make_codec"]

_LISTED: tuple[type[Codec], ...] = (
    CompactCodec,
    MaoCodec,
    FungCodec,
    MillerCodec,
    LLMTimeCodec,
    AnnotationCodec,
    ContinuousCodec,
)
CODECS: Mapping[str, type[Codec]] = {kind.name: kind for kind in _LISTED}
PRESETS = tuple(kind.name for kind in _LISTED if kind is not ContinuousCodec)  # digit text


def make_codec(name: str = "compact", **options: object) -> Codec:
    """A codec by name; `make_codec(**codec.config())` builds the same codec again.

    Raises:
        CodecError: an unknown name, an unknown option, or a value an option cannot have.
    """
    if not isinstance(name, str) or name not in CODECS:
        raise CodecError(f"got codec {name!r}; expected one of {', '.join(CODECS)}")
    known = list(inspect.signature(CODECS[name]).parameters)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise CodecError(f"codec {name!r}: got options {unknown}; expected some of {known}")
    try:
        return CODECS[name](**options)
    except (TypeError, ValueError) as error:
        raise CodecError(f"codec {name!r}: got options {options}; {error}") from error
