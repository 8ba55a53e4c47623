"""Load a model safely, prune its vocabulary, probe its tokenizer; the embedded base lives here."""

from loracast.backbone._card import CARD_FILE, BaseCard, read_card
from loracast.backbone._embedded import VOCABULARY_DIR, build_embedded, embedded_config
from loracast.backbone._grow import grow_embedded
from loracast.backbone._load import EMBEDDED_DIR, Backbone, load_backbone, resolve_model
from loracast.backbone._numbers import NumberBatch, number_batch
from loracast.backbone._probe import Probe, probe_tokenizer, symbol_ids
from loracast.backbone._values import (
    VALUE_CHANNELS,
    VALUE_STATICS,
    History,
    Mixture,
    ValueInterface,
    ValueShape,
    attach_values,
    has_values,
    load_values,
    save_values,
    text_body,
    values_of,
)
from loracast.backbone._vocabulary import Vocabulary, prune_vocabulary

__all__ = [
    "CARD_FILE",
    "EMBEDDED_DIR",
    "VALUE_CHANNELS",
    "VALUE_STATICS",
    "VOCABULARY_DIR",
    "Backbone",
    "BaseCard",
    "History",
    "Mixture",
    "NumberBatch",
    "Probe",
    "ValueInterface",
    "ValueShape",
    "Vocabulary",
    "attach_values",
    "build_embedded",
    "embedded_config",
    "grow_embedded",
    "has_values",
    "load_backbone",
    "load_values",
    "number_batch",
    "probe_tokenizer",
    "prune_vocabulary",
    "read_card",
    "resolve_model",
    "save_values",
    "symbol_ids",
    "text_body",
    "values_of",
]
