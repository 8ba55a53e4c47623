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
from loracast.backbone._probe import symbol_ids
from loracast.backbone._values import (
    History,
    ValueShape,
    attach_values,
    has_values,
    load_values,
    save_values,
    text_body,
    values_of,
)

__all__ = [
    "CARD_FILE",
    "EMBEDDED_DIR",
    "VOCABULARY_DIR",
    "Backbone",
    "History",
    "Mixed",
    "NumberBatch",
    "Numbers",
    "ValueShape",
    "attach_values",
    "build_embedded",
    "embed_mixed",
    "embedded_config",
    "has_values",
    "left_padded",
    "load_backbone",
    "load_values",
    "number_batch",
    "read_card",
    "resolve_model",
    "save_values",
    "symbol_ids",
    "text_body",
    "values_of",
    "write_tokenizer",
]
