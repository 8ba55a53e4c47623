"""Load a model safely, prune its vocabulary, probe its tokenizer; the embedded base lives here."""

from __future__ import annotations

from loracast.backbone._card import CARD_FILE, read_card
from loracast.backbone._embedded import (
    VOCABULARY_DIR,
    build_embedded,
    embedded_config,
    write_tokenizer,
)
from loracast.backbone._load import EMBEDDED_DIR, Backbone, load_backbone, resolve_model
from loracast.backbone._numbers import (
    Mixed,
    NumberBatch,
    Numbers,
    embed_mixed,
    left_padded,
    number_batch,
)
from loracast.backbone._numeric_head import (
    History,
    NumericHeadShape,
    attach_numeric_head,
    has_numeric_head,
    load_numeric_head,
    numeric_head_of,
    save_numeric_head,
    text_body,
)
from loracast.backbone._probe import symbol_ids

__all__ = [
    "CARD_FILE",
    "EMBEDDED_DIR",
    "VOCABULARY_DIR",
    "Backbone",
    "History",
    "Mixed",
    "NumberBatch",
    "Numbers",
    "NumericHeadShape",
    "attach_numeric_head",
    "build_embedded",
    "embed_mixed",
    "embedded_config",
    "has_numeric_head",
    "left_padded",
    "load_backbone",
    "load_numeric_head",
    "number_batch",
    "numeric_head_of",
    "read_card",
    "resolve_model",
    "save_numeric_head",
    "symbol_ids",
    "text_body",
    "write_tokenizer",
]
