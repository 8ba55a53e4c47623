"""Load a model safely, prune its vocabulary, probe its tokenizer; the embedded base lives here."""

from loracast.backbone._embedded import build_embedded, embedded_config
from loracast.backbone._load import EMBEDDED_DIR, Backbone, load_backbone, resolve_model
from loracast.backbone._probe import Probe, probe_tokenizer, symbol_ids
from loracast.backbone._vocabulary import Vocabulary, prune_vocabulary

__all__ = [
    "EMBEDDED_DIR",
    "Backbone",
    "Probe",
    "Vocabulary",
    "build_embedded",
    "embedded_config",
    "load_backbone",
    "probe_tokenizer",
    "prune_vocabulary",
    "resolve_model",
    "symbol_ids",
]
