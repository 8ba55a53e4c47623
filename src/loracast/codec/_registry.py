"""Codecs by name, so that a recipe, a saved adapter or a command line can ask for one."""

from __future__ import annotations

import inspect

from loracast.codec._annotation import AnnotationCodec
from loracast.codec._base import Codec
from loracast.codec._compact import CompactCodec
from loracast.codec._continuous import ContinuousCodec
from loracast.codec._decimal import FungCodec, MaoCodec, MillerCodec
from loracast.codec._llmtime import LLMTimeCodec
from loracast.errors import CodecError

__all__ = ["CODECS", "PRESETS", "make_codec"]

_CLASSES: dict[str, type[Codec]] = {
    cls.name: cls
    for cls in (CompactCodec, MaoCodec, FungCodec, MillerCodec, LLMTimeCodec, AnnotationCodec)
}
PRESETS: tuple[str, ...] = tuple(_CLASSES)  # digit text, the default first
_CLASSES[ContinuousCodec.name] = ContinuousCodec
CODECS: tuple[str, ...] = tuple(_CLASSES)


def make_codec(name: str = "compact", **options: object) -> Codec:
    """A codec by name; `make_codec(**codec.config())` builds the same codec again.

    Raises:
        CodecError: an unknown name, an unknown option, or a value an option cannot have.
    """
    if not isinstance(name, str) or name not in _CLASSES:
        raise CodecError(f"got codec {name!r}; expected one of {', '.join(CODECS)}")
    known = list(inspect.signature(_CLASSES[name]).parameters)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise CodecError(f"codec {name!r}: got options {unknown}; expected some of {known}")
    try:
        return _CLASSES[name](**options)
    except (TypeError, ValueError) as error:
        raise CodecError(f"codec {name!r}: got options {options}; {error}") from error
